//! Beginning with what was exported.

use std::collections::{HashSet, VecDeque};
use std::time::{Instant, SystemTime};

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::cluster::By;
use crate::link::net::IgnoredEntry;
use crate::link::record::Link;
use crate::link::{Cluster, ClusterStatus, NetStatus};
use crate::manager::model::export::{Anchor, Export, SavedCluster, SavedLink, SavedNet};
use crate::sync::StdArc;

impl<A: Addr> Core<A> {
    /// Stages and publishes an export that was [checked](Export::check). For a core without nets and links.
    pub(crate) fn restore(&mut self, export: Export<A>, wall: SystemTime, now: Instant) {
        let anchor = Anchor::new(now, wall);
        self.directory_mut().active = export.active;
        for net in export.nets {
            let status = self.restored_net(net, anchor);
            self.directory_mut().add(status);
        }
        for cluster in &export.clusters {
            let status = ClusterStatus::of_net(self.directory().is_net_active(cluster.net));
            let (id, net, kind, roles) =
                (cluster.id.get(), cluster.net, cluster.kind, self.restored_roles(cluster));
            self.directory_mut().add_cluster(Cluster { id, net, kind, status, roles });
        }
        for saved in export.links {
            if self.own.as_ref() != Some(&saved.addr) {
                let link = self.restored_link(saved, anchor, now);
                self.commit(link);
            }
        }
        self.restore_kept(now);
        self.drop_unkept();
        self.tally.links_created = self.writer.len() as u64;
        self.publish(now);
    }

    /// Gives permanent peers and role members their links. There is room for them: the check has counted
    /// them.
    fn restore_kept(&mut self, now: Instant) {
        let active: Vec<_> = self.directory().nets().iter().filter(|net| net.is_active()).cloned().collect();
        for net in active {
            for addr in net.permanent_peers() {
                let _ = self.associate(addr.clone(), net.id(), now);
            }
        }
        let Some(own) = self.own.clone() else { return };
        let clusters = self.directory().clusters().iter();
        let clusters: Vec<_> = clusters.filter(|cluster| cluster.roles.contains(&own)).cloned().collect();
        for cluster in clusters {
            for addr in cluster.role_members().filter(|addr| **addr != own) {
                let _ = self.designate(addr.clone(), cluster.id(), By::Role, now);
            }
        }
    }

    /// Without an own address this node has no role, and nobody is kept for one.
    fn drop_unkept(&mut self) {
        let lost: Vec<_> =
            self.links().filter(|link| !link.has_reason()).map(|link| link.addr.clone()).collect();
        for addr in lost {
            self.remove_record(&addr);
        }
    }

    /// The role members of a saved cluster. The own role is saved without the address of this node, which may
    /// have changed since.
    fn restored_roles(&self, saved: &SavedCluster<A>) -> StdArc<HashSet<A>> {
        let own = self.own.as_ref();
        let others = saved.roles.iter().filter(|addr| Some(*addr) != own);
        StdArc::new(others.chain(own.filter(|_| saved.own_role)).cloned().collect())
    }

    /// A saved net. Ignored addresses beyond the limit are left out, those that expire first; a wall clock
    /// that was set back makes none of them wait longer than the ignore period.
    fn restored_net(&self, saved: SavedNet<A>, anchor: Anchor) -> NetStatus<A> {
        let (ignore_period, limit) = (self.settings().ignore_period, self.settings().max_ignored);
        let mut net = NetStatus::new(saved.id, saved.config());
        net.active = saved.active;
        let hot = saved.ignored.into_iter().filter(|hot| self.own.as_ref() != Some(&hot.addr));
        let hot = hot.filter_map(|hot| {
            Some(IgnoredEntry { until: anchor.restore(hot.until, ignore_period)?, addr: hot.addr })
        });
        let mut hot: Vec<_> = hot.collect();
        hot.sort_by_key(|entry| entry.until);
        let surplus = hot.len().saturating_sub(limit);
        let permanent = saved.permanent.into_iter().filter(|addr| self.own.as_ref() != Some(addr));
        net.permanent = StdArc::new(permanent.collect());
        net.ignored = StdArc::new(VecDeque::from(hot.split_off(surplus)));
        net
    }

    /// A saved link, unconnected. The endpoint is not fresh: it is asked for again before the dial, and used
    /// if the host knows no better one. Delays are cut to what the settings in force allow.
    fn restored_link(&self, saved: SavedLink<A>, anchor: Anchor, now: Instant) -> Link<A> {
        let cap = self.settings().retry.cap();
        let rest = self.settings().flaps.filter(|_| saved.resting).map(|policy| policy.delay);
        let mut link = Link::new(saved.addr, now);
        link.dialable = true;
        link.nets = saved.nets;
        link.endpoint = saved.endpoint;
        link.attempts = saved.attempts;
        link.failures = saved.failures;
        link.not_before = saved.next_attempt.and_then(|at| anchor.restore(at, rest.unwrap_or(cap)));
        link.resting = rest.is_some() && link.not_before.is_some();
        for cluster in saved.static_of {
            link.designate(cluster.get(), By::Host);
        }
        link
    }
}
