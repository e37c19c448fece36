//! Commands about clusters and their static peers.

use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::cluster::{By, ClusterId};
use crate::link::net::NetId;
use crate::link::{Cluster, ClusterKind, ClusterStatus};
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::directory::Group;
use crate::sync::StdArc;

impl<A: Addr> Core<A> {
    /// Associates a cluster with a net. It takes the status of the net at once: in the reference, a cluster
    /// that is associated with a net that is on stays disabled, and the first accounting finds it so.
    pub(super) fn associate_cluster(
        &mut self,
        net: NetId,
        cluster: ClusterId,
        kind: ClusterKind,
    ) -> Applying {
        let directory = self.directory();
        let Some(status) = directory.net(net) else { return Err(CommandError::UnknownNet(net)) };
        if cluster.is_main() {
            return Err(CommandError::MainCluster(cluster));
        }
        if directory.cluster(cluster).is_some() {
            return Err(CommandError::ClusterExists(cluster));
        }
        let limit = self.settings().max_clusters;
        if directory.clusters().len() >= limit {
            return Err(CommandError::LimitReached { of: "clusters", limit });
        }
        self.check_backlog()?;
        let status = ClusterStatus::of_net(status.is_active());
        let roles = StdArc::default();
        self.directory_mut().add_cluster(Cluster { id: cluster, net, kind, status, roles });
        Ok(Outcome::Done)
    }

    /// Forgets a cluster: memberships and designations end, and so does a link that only this cluster kept.
    pub(super) fn dissociate_cluster(&mut self, cluster: ClusterId) -> Applying {
        self.check_cluster(cluster)?;
        // Noted before the first record changes: the cluster goes last, and its peers are gone by then.
        self.journal_directory();
        for addr in self.addresses(&[Group::Cluster(cluster), Group::Static(cluster)]) {
            let Some(mut link) = self.checkout(&addr) else { continue };
            link.leave_cluster(cluster);
            link.designations.retain(|designation| designation.cluster != cluster);
            self.settle(link);
        }
        self.directory_mut().remove_cluster(cluster);
        Ok(Outcome::Done)
    }

    /// Makes a connected node a member of an enabled cluster. Without a stream there is nothing to be a
    /// member with: every member of a cluster can be reached.
    pub(super) fn join_cluster(&mut self, cluster: ClusterId, addr: &A) -> Applying {
        if !self.check_cluster(cluster)?.is_enabled() {
            return Err(CommandError::ClusterDisabled(cluster));
        }
        let link = self.writer.get(addr).ok_or(CommandError::UnknownLink)?;
        if link.primary().is_none() {
            return Err(CommandError::NotConnected);
        }
        if link.is_cluster_member(cluster) {
            return Ok(Outcome::Unchanged);
        }
        let mut link = (**link).clone();
        link.join_cluster(cluster);
        self.settle(link);
        Ok(Outcome::Done)
    }

    /// Ends a membership. A static peer remains designated and joins again with its next first stream.
    pub(super) fn leave_cluster(&mut self, cluster: ClusterId, addr: &A) -> Applying {
        self.check_cluster(cluster)?;
        let link = self.writer.get(addr).ok_or(CommandError::UnknownLink)?;
        if !link.is_cluster_member(cluster) {
            return Ok(Outcome::Unchanged);
        }
        let mut link = (**link).clone();
        link.leave_cluster(cluster);
        self.settle(link);
        Ok(Outcome::Done)
    }

    /// Makes a node a static peer of a cluster on behalf of the host.
    pub(super) fn add_static_peer(&mut self, cluster: ClusterId, addr: A, now: Instant) -> Applying {
        self.check_addr(&addr)?;
        self.check_cluster(cluster)?;
        self.designate(addr, cluster, By::Host, now)
    }

    /// Takes back a designation of the host. A designation by role is independent of it.
    pub(super) fn remove_static_peer(&mut self, cluster: ClusterId, addr: &A) -> Applying {
        self.check_cluster(cluster)?;
        Ok(self.undesignate(addr, cluster, By::Host))
    }

    /// Notes that a node has a role in an autonomic cluster, or has lost it.
    ///
    /// While this node has a role, all other nodes with one are static peers of the cluster. So the role of
    /// this node designates all of them at once or releases them, and the role of another node concerns that
    /// node alone.
    pub(super) fn set_role_member(
        &mut self,
        cluster: ClusterId,
        addr: A,
        member: bool,
        now: Instant,
    ) -> Applying {
        if addr.is_blank() {
            return Err(CommandError::BlankAddr);
        }
        let found = self.check_cluster(cluster)?;
        if found.kind() != ClusterKind::Autonomic {
            return Err(CommandError::NotAutonomic(cluster));
        }
        let roles = found.roles.clone();
        if roles.contains(&addr) == member {
            return Ok(Outcome::Unchanged);
        }
        let limit = self.settings().max_roles;
        if member && roles.len() >= limit {
            return Err(CommandError::LimitReached { of: "role members", limit });
        }
        let is_own = self.own.as_ref() == Some(&addr);
        // Checked for all of them in advance: a role is taken with all its peers or not at all.
        if is_own && member {
            self.check_room_for(roles.iter())?;
        }
        self.journal_directory();
        if is_own {
            for other in roles.iter() {
                if member {
                    self.designate(other.clone(), cluster, By::Role, now)?;
                } else if *other != addr {
                    self.undesignate(other, cluster, By::Role);
                }
            }
        } else if self.own.as_ref().is_some_and(|own| roles.contains(own)) {
            if member {
                self.designate(addr.clone(), cluster, By::Role, now)?;
            } else {
                self.undesignate(&addr, cluster, By::Role);
            }
        }
        // The set is about to change; a handle that is still held would make that a copy.
        drop(roles);
        if let Some(found) = self.directory_mut().cluster_mut(cluster) {
            let roles = StdArc::make_mut(&mut found.roles);
            if member {
                roles.insert(addr);
            } else {
                roles.remove(&addr);
            }
        }
        Ok(Outcome::Done)
    }

    /// Enables or disables the clusters of a net that is being switched. The caller takes care of the main
    /// cluster.
    pub(super) fn switch_clusters(&mut self, net: NetId, active: bool) {
        self.directory_mut().set_cluster_status(net, ClusterStatus::of_net(active));
        let clusters: Vec<_> = self.directory().clusters_of(net).map(Cluster::id).collect();
        let groups: Vec<_> =
            clusters.into_iter().flat_map(|id| [Group::Cluster(id), Group::Static(id)]).collect();
        for addr in self.addresses(&groups) {
            let Some(mut link) = self.checkout(&addr) else { continue };
            if active {
                self.join_static_of(&mut link, net);
            } else {
                let directory = self.directory();
                link.clusters.retain(|cluster| directory.is_cluster_enabled(*cluster));
            }
            self.settle(link);
            // The status of a cluster is no part of the record, so `settle` alone does not move the timer.
            self.plan(&addr);
        }
    }

    /// Dissociates all clusters of a net that is being removed.
    pub(super) fn dissociate_clusters_of(&mut self, net: NetId) -> Applying {
        let clusters: Vec<_> = self.directory().clusters_of(net).map(Cluster::id).collect();
        for cluster in clusters {
            self.dissociate_cluster(cluster)?;
        }
        Ok(Outcome::Done)
    }
}
