//! Restores the state from an export.
//!
//! An export has been checked as a whole before the core sees it, so nothing in here fails. The restored
//! state is published as one version: no reader sees half an import. No effect is produced either; links that
//! are due are dialled when the core is next advanced.

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
    /// Stages and publishes an export that was [checked](Export::check). The core must have no nets and no
    /// links.
    ///
    /// `wall` is the wall-clock time at `now`: an export contains wall-clock times, because an [`Instant`]
    /// has no meaning in another process.
    pub(crate) fn restore(&mut self, export: Export<A>, wall: SystemTime, now: Instant) {
        let anchor = Anchor::new(now, wall);
        self.directory_mut().active = export.active;
        // Nets first, then clusters, then links: each refers to the ones before.
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
            // The address of this node may have changed since the export: a link to itself is left out.
            if self.own.as_ref() != Some(&saved.addr) {
                let link = self.restored_link(saved, anchor, now);
                self.commit(link);
            }
        }
        self.restore_kept(now);
        self.drop_unkept();
        // Counted once all are restored: `restore_kept` creates records, `drop_unkept` removes some.
        self.tally.links_created = self.writer.len() as u64;
        self.publish(now);
    }

    /// Creates the links of permanent peers and role members. There is room for them: the check has counted
    /// them.
    fn restore_kept(&mut self, now: Instant) {
        // A net that is off gives its permanent peers their links when it is switched on.
        let active: Vec<_> = self.directory().nets().iter().filter(|net| net.is_active()).cloned().collect();
        for net in active {
            for addr in net.permanent_peers() {
                let _ = self.associate(addr.clone(), net.id(), now);
            }
        }
        // Designations by role are not exported: they follow from the roles.
        let Some(own) = self.own.clone() else { return };
        let clusters = self.directory().clusters().iter();
        let clusters: Vec<_> = clusters.filter(|cluster| cluster.roles.contains(&own)).cloned().collect();
        for cluster in clusters {
            for addr in cluster.role_members().filter(|addr| **addr != own) {
                let _ = self.designate(addr.clone(), cluster.id(), By::Role, now);
            }
        }
    }

    /// Removes the links that have no reason. Without an address of its own, for example, this node has no
    /// role, and the links that only a role kept have none either.
    fn drop_unkept(&mut self) {
        let lost: Vec<_> =
            self.links().filter(|link| !link.has_reason()).map(|link| link.addr.clone()).collect();
        for addr in lost {
            self.remove_record(&addr);
        }
    }

    /// The role members of a saved cluster. The role of this node is saved without its address, which may
    /// have changed since.
    fn restored_roles(&self, saved: &SavedCluster<A>) -> StdArc<HashSet<A>> {
        let own = self.own.as_ref();
        let others = saved.roles.iter().filter(|addr| Some(*addr) != own);
        StdArc::new(others.chain(own.filter(|_| saved.own_role)).cloned().collect())
    }

    /// Restores a net. Beyond the limit of ignored addresses, those that expire first are left out. If the
    /// wall clock was set back, no address stays ignored longer than the ignore period.
    fn restored_net(&self, saved: SavedNet<A>, anchor: Anchor) -> NetStatus<A> {
        let (ignore_period, limit) = (self.settings().ignore_period, self.settings().max_ignored);
        let mut net = NetStatus::new(saved.id, saved.config());
        net.active = saved.active;
        let ignored = saved.ignored.into_iter().filter(|ignored| self.own.as_ref() != Some(&ignored.addr));
        let ignored = ignored.filter_map(|ignored| {
            // `None` if the entry has expired in the meantime.
            let until = anchor.restore(ignored.until, ignore_period)?;
            Some(IgnoredEntry { until, addr: ignored.addr, failure: None })
        });
        let mut ignored: Vec<_> = ignored.collect();
        // In order of expiry, as the list is kept; the surplus is at the front.
        ignored.sort_by_key(|entry| entry.until);
        let surplus = ignored.len().saturating_sub(limit);
        let permanent = saved.permanent.into_iter().filter(|addr| self.own.as_ref() != Some(addr));
        net.permanent = StdArc::new(permanent.collect());
        net.ignored = StdArc::new(VecDeque::from(ignored.split_off(surplus)));
        net
    }

    /// Restores a link, unconnected. Its endpoint is not fresh: the host is asked again before the dial, and
    /// the saved endpoint is used if the host knows no better one. Delays are cut to what the settings in
    /// force allow.
    fn restored_link(&self, saved: SavedLink<A>, anchor: Anchor, now: Instant) -> Link<A> {
        let cap = self.settings().retry.cap();
        let rest = self.settings().flaps.filter(|_| saved.resting).map(|policy| policy.delay);
        // Flaps are not exported: a restart clears the counts, but a rest in progress continues.
        let mut link = Link::new(saved.addr, now);
        link.dialable = true;
        link.nets = saved.nets;
        link.endpoint = saved.endpoint;
        link.attempts = saved.attempts;
        link.failures = saved.failures;
        link.not_before = saved.next_attempt.and_then(|at| anchor.restore(at, rest.unwrap_or(cap)));
        // Without a flap policy there are no rests, and the saved one has become an ordinary delay.
        link.resting = rest.is_some() && link.not_before.is_some();
        // Designated by the host: `restore_kept` adds the designations by role.
        for cluster in saved.static_of {
            link.designate(cluster.get(), By::Host);
        }
        link
    }
}
