//! Commands about associated clusters and their static peers.
//!
//! Membership and designation are independent. A *member* has a stream now; a *static peer* is meant to be a
//! member whenever it can be reached. A membership ends with the last stream, a designation only by a
//! command.

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
    /// Associates a cluster with a net. The cluster takes the status of the net at once. In the reference, a
    /// cluster that is associated with an active net stays disabled, and the first accounting fails an
    /// assertion.
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
        // No role is known yet. This node's own role, once noted, makes the others static peers.
        let roles = StdArc::default();
        self.directory_mut().add_cluster(Cluster { id: cluster, net, kind, status, roles });
        Ok(Outcome::Done)
    }

    /// Removes a cluster with its memberships and designations, and the links that only this cluster kept.
    pub(super) fn dissociate_cluster(&mut self, cluster: ClusterId) -> Applying {
        self.check_cluster(cluster)?;
        // Noted before the first record changes: the cluster is removed last, when its peers already are.
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

    /// Makes a connected node a member of an enabled cluster. A node without a stream is refused: every
    /// member of a cluster can be reached.
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

    /// Ends a membership. A static peer remains designated and joins again with its next first stream. A link
    /// that only this membership kept is removed.
    pub(super) fn leave_cluster(&mut self, cluster: ClusterId, addr: &A) -> Applying {
        self.check_cluster(cluster)?;
        let link = self.writer.get(addr).ok_or(CommandError::UnknownLink)?;
        if !link.is_cluster_member(cluster) {
            return Ok(Outcome::Unchanged);
        }
        let mut link = (**link).clone();
        link.leave_cluster(cluster);
        // The membership may have been the last reason for the record.
        self.settle(link);
        Ok(Outcome::Done)
    }

    /// Makes a node a static peer of a cluster on behalf of the host. The cluster may be disabled: the peer
    /// is then dialled once the net of the cluster is switched on.
    pub(super) fn add_static_peer(&mut self, cluster: ClusterId, addr: A, now: Instant) -> Applying {
        self.check_addr(&addr)?;
        self.check_cluster(cluster)?;
        self.designate(addr, cluster, By::Host, now)
    }

    /// Revokes a designation made by the host. A designation by role is independent of it.
    pub(super) fn remove_static_peer(&mut self, cluster: ClusterId, addr: &A) -> Applying {
        self.check_cluster(cluster)?;
        Ok(self.undesignate(addr, cluster, By::Host))
    }

    /// Notes that a node has a role in an autonomic cluster, or has lost it.
    ///
    /// While this node has a role, all other nodes with one are static peers of the cluster. The role of this
    /// node therefore designates all of them at once, or releases them; the role of another node concerns
    /// that node alone.
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
        // The address of this node is accepted here, unlike in `check_addr`: this node has roles, too.
        let is_own = self.own.as_ref() == Some(&addr);
        // Checked for all of them in advance: a role comes with all its peers or not at all.
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
        // The set is about to change: a handle that is still held would force a copy.
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

    /// Enables or disables the associated clusters of a net that is being switched. The caller handles the
    /// main cluster.
    pub(super) fn switch_clusters(&mut self, net: NetId, active: bool) {
        self.directory_mut().set_cluster_status(net, ClusterStatus::of_net(active));
        let clusters: Vec<_> = self.directory().clusters_of(net).map(Cluster::id).collect();
        let groups: Vec<_> =
            clusters.into_iter().flat_map(|id| [Group::Cluster(id), Group::Static(id)]).collect();
        // Static peers as well as members: those that are connected join an enabled cluster at once.
        for addr in self.addresses(&groups) {
            let Some(mut link) = self.checkout(&addr) else { continue };
            if active {
                self.join_static_of(&mut link, net);
            } else {
                // A disabled cluster has no members. The designations stay for the next time.
                let directory = self.directory();
                link.clusters.retain(|cluster| directory.is_cluster_enabled(*cluster));
            }
            self.settle(link);
            // The status of a cluster is not part of the record, so `settle` alone does not move the timer.
            self.plan(&addr);
        }
    }

    /// Dissociates all clusters of a net that is being removed. Static peers of these clusters lose their
    /// designation, and with it possibly their record.
    pub(super) fn dissociate_clusters_of(&mut self, net: NetId) -> Applying {
        let clusters: Vec<_> = self.directory().clusters_of(net).map(Cluster::id).collect();
        for cluster in clusters {
            self.dissociate_cluster(cluster)?;
        }
        Ok(Outcome::Done)
    }
}
