//! Invariants that hold after every command.

use std::collections::BTreeSet;

use super::*;
use crate::manager::model::config::Timing;
use crate::manager::model::directory::Group;

impl Bench {
    /// Checks the invariants on the staged state.
    pub(super) fn check(&self) {
        let (mut members, mut clusters, mut designations) = (0, 0, 0);
        for (addr, link) in self.core.writer.iter() {
            // I1: one record per address, and none for the own or the blank address.
            assert_eq!(addr, link.addr());
            assert!(*addr != OWN && *addr != NodeAddr::BLANK);
            self.check_link(link);
            members += link.memberships().len();
            clusters += link.clusters().len();
            designations += link.static_clusters().len();
        }
        // I2 and B14: the index agrees with a recount of the records.
        let directory = self.core.directory();
        let nets: Vec<_> = directory.nets().iter().map(NetStatus::id).collect();
        assert_eq!(nets.iter().map(|net| self.core.counts(*net).total()).sum::<usize>(), members);
        for net in directory.nets() {
            self.check_net(net);
        }
        let mut recount = (0, 0);
        for cluster in directory.clusters() {
            self.check_cluster(cluster);
            let index = &self.core.writer.index().0;
            recount.0 += index.count(&Group::Cluster(cluster.id()));
            recount.1 += index.count(&Group::Static(cluster.id()));
        }
        assert_eq!(recount, (clusters, designations));
    }

    fn check_link(&self, link: &Link<NodeAddr>) {
        let directory = self.core.directory();
        // I3: a member has a live stream.
        assert!(!link.is_active() || link.primary().is_some(), "{link:?}");
        // I4: a link that is wanted or designated is dialable.
        assert!(link.nets().is_empty() || link.is_dialable(), "{link:?}");
        assert!(link.static_clusters().len() == 0 || link.is_dialable(), "{link:?}");
        // I5: a net or cluster that is off has no members.
        assert!(link.memberships().iter().all(|net| directory.is_net_active(*net)), "{link:?}");
        assert!(link.clusters().iter().all(|cluster| directory.is_cluster_enabled(*cluster)), "{link:?}");
        // I6: no list has duplicates.
        assert_unique(link.nets().iter());
        assert_unique(link.memberships().iter());
        assert_unique(link.clusters().iter());
        assert_unique(link.static_clusters());
        // I8: no retry is later than the longest delay or rest.
        let settings = self.core.settings();
        let rest = settings.flaps.filter(|_| link.resting).map(|policy| policy.delay);
        let limit = later(self.now(), rest.unwrap_or(settings.retry.cap()));
        assert!(link.not_before().is_none_or(|at| at <= limit), "{link:?}");
        // A record has a reason, and a dial agrees with its state.
        assert!(link.has_reason(), "{link:?}");
        assert_eq!(link.dial_id().is_some(), link.state() != DialState::Disconnected, "{link:?}");
        assert!(!link.is_resolving() || link.dial_id().is_none(), "{link:?}");
        let direction = link.primary().map_or(Direction::Downlink, |stream| stream.direction);
        assert_eq!(link.direction(), direction);
        // A busy dialer has a reason.
        let fixed = link.static_clusters().any(|cluster| directory.is_cluster_enabled(cluster));
        let busy = link.dial_id().is_some() || link.is_resolving();
        assert!(!busy || !link.nets().is_empty() || link.is_active() || fixed, "{link:?}");
        // An uplink belongs to a dial.
        let uplink = link.streams().iter().any(|stream| stream.direction == Direction::Uplink);
        assert!(!uplink || link.dial_id().is_some(), "{link:?}");
    }

    fn check_net(&self, net: &NetStatus<NodeAddr>) {
        let reserved = net.config().reserved_only;
        for (addr, link) in self.core.writer.iter() {
            let served = link.is_member(net.id()) || link.nets().contains(&net.id());
            assert!(!reserved || !served || net.is_permanent(addr), "{}: {link:?}", net.id());
        }
        if net.is_active() {
            for addr in net.permanent_peers() {
                let link = self.core.writer.get(addr).expect("a permanent peer has a record");
                assert!(link.nets().contains(&net.id()), "{}: {link:?}", net.id());
            }
        }
    }

    fn check_cluster(&self, cluster: &Cluster<NodeAddr>) {
        let (directory, index) = (self.core.directory(), &self.core.writer.index().0);
        let active = directory.is_net_active(cluster.net());
        assert!(directory.net(cluster.net()).is_some());
        assert_eq!(cluster.status() == ClusterStatus::Enabled, active);
        for addr in index.keys(&Group::Cluster(cluster.id())) {
            let link = self.core.writer.get(addr).expect("a member has a record");
            assert!(link.is_cluster_member(cluster.id()));
        }
        // While this node has a role, all other nodes with a role are designated.
        let roles: BTreeSet<_> = cluster.role_members().copied().collect();
        let mut replayed: BTreeSet<_> = roles.iter().copied().filter(|addr| *addr != OWN).collect();
        if !roles.contains(&OWN) {
            replayed.clear();
        }
        let by_role = |link: &Link<NodeAddr>| {
            link.designations.iter().any(|one| one.cluster == cluster.id() && one.role)
        };
        let found = self.core.writer.iter().filter(|(_, link)| by_role(link)).map(|(addr, _)| *addr);
        assert_eq!(found.collect::<BTreeSet<_>>(), replayed);
    }

    /// Checks that no effect after the first `known` ones closes a listed stream.
    pub(super) fn check_closed_streams(&self, known: usize) {
        for effect in &self.core.effects[known..] {
            let Effect::CloseStreams { addr, streams } = effect else { continue };
            let listed = self.core.writer.get(addr).map_or(&[][..], |link| link.streams());
            assert!(listed.iter().all(|stream| !streams.contains(&stream.id)), "{effect:?}: {listed:?}");
        }
    }

    /// Checks I7 for every dial among the effects after the first `known` ones.
    pub(super) fn check_dials(&self, known: usize) {
        let directory = self.core.directory();
        for effect in &self.core.effects[known..] {
            let Effect::Dial { addr, dial, .. } = effect else { continue };
            let link = self.core.writer.get(addr).expect("a node that is dialled has a record");
            assert_eq!((link.dial_id(), link.state()), (Some(*dial), DialState::Connecting));
            assert!(directory.active && !link.is_active(), "{link:?}");
            let (wanted, past) = match self.core.config.timing {
                Timing::Immediate => (
                    link.nets().iter().any(|net| directory.is_net_active(*net)),
                    link.not_before().is_none_or(|at| at <= self.now()),
                ),
                Timing::Ticked => {
                    (!link.nets().is_empty(), link.not_before().is_none_or(|at| at < self.now()))
                }
            };
            let fixed = link.static_clusters().any(|cluster| directory.is_cluster_enabled(cluster));
            assert!(past && (wanted || fixed), "{link:?}");
        }
    }
}

fn assert_unique<T: Ord + std::fmt::Debug>(items: impl Iterator<Item = T>) {
    let mut items: Vec<_> = items.collect();
    items.sort();
    assert!(items.windows(2).all(|pair| pair[0] != pair[1]), "{items:?}");
}
