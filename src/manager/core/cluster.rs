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

    pub(super) fn dissociate_cluster(&mut self, cluster: ClusterId) -> Applying {
        self.check_cluster(cluster)?;
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

    pub(super) fn add_static_peer(&mut self, cluster: ClusterId, addr: A, now: Instant) -> Applying {
        self.check_addr(&addr)?;
        self.check_cluster(cluster)?;
        self.designate(addr, cluster, By::Host, now)
    }

    pub(super) fn remove_static_peer(&mut self, cluster: ClusterId, addr: &A) -> Applying {
        self.check_cluster(cluster)?;
        Ok(self.undesignate(addr, cluster, By::Host))
    }

    /// Notes a role, and replays what follows from it: static peers come and go while this node has a role.
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

    /// Enables or disables the clusters of a net that goes on or off. The members of the net itself have been
    /// or will be looked after by the caller.
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
            self.plan(&addr);
        }
    }

    pub(super) fn dissociate_clusters_of(&mut self, net: NetId) -> Applying {
        let clusters: Vec<_> = self.directory().clusters_of(net).map(Cluster::id).collect();
        for cluster in clusters {
            self.dissociate_cluster(cluster)?;
        }
        Ok(Outcome::Done)
    }
}
