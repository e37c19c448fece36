//! Queries about clusters.

use super::snapshot::{LinksSnapshot, MemberFilter};
use crate::link::Cluster;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::manager::model::directory::Group;

impl<A: Addr> LinksSnapshot<A> {
    /// The clusters that are associated with nets, sorted by identity. The main clusters of the nets are not
    /// included.
    #[must_use]
    pub fn clusters(&self) -> &[Cluster<A>] {
        self.directory().clusters()
    }

    /// The associated cluster with this identity.
    #[must_use]
    pub fn cluster(&self, cluster: ClusterId) -> Option<&Cluster<A>> {
        self.directory().cluster(cluster)
    }

    /// The number of members of a main or associated cluster; 0 for an unknown cluster. O(1).
    #[must_use]
    pub fn cluster_count(&self, cluster: ClusterId) -> usize {
        if cluster.is_main() {
            self.count(cluster.net())
        } else {
            self.members().count(&Group::Cluster(cluster))
        }
    }

    /// The addresses of a cluster's members: for a main cluster uplinks first, for an associated one in no
    /// particular order. Does not allocate; O(members).
    pub fn cluster_members(&self, cluster: ClusterId) -> impl Iterator<Item = &A> {
        let main = cluster.is_main().then(|| self.addrs(cluster.net(), MemberFilter::All));
        main.into_iter().flatten().chain(self.members().keys(&Group::Cluster(cluster)))
    }

    /// The number of static peers of a cluster. O(1).
    #[must_use]
    pub fn static_count(&self, cluster: ClusterId) -> usize {
        self.members().count(&Group::Static(cluster))
    }

    /// The static peers of a cluster, connected or not, in no particular order. Does not allocate; O(peers).
    pub fn static_peers(&self, cluster: ClusterId) -> impl Iterator<Item = &A> {
        self.members().keys(&Group::Static(cluster))
    }
}
