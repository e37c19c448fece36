//! Questions about clusters.

use super::snapshot::{LinksSnapshot, MemberFilter};
use crate::link::Cluster;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::manager::model::directory::Group;

impl<A: Addr> LinksSnapshot<A> {
    /// The clusters that are associated with nets, by rising identity. The main clusters of the nets are not
    /// among them.
    #[must_use]
    pub fn clusters(&self) -> &[Cluster<A>] {
        self.directory().clusters()
    }

    /// One associated cluster.
    #[must_use]
    pub fn cluster(&self, cluster: ClusterId) -> Option<&Cluster<A>> {
        self.directory().cluster(cluster)
    }

    /// Members of a cluster, a main one or an associated one; 0 for an unknown cluster. O(1).
    #[must_use]
    pub fn cluster_count(&self, cluster: ClusterId) -> usize {
        if cluster.is_main() {
            self.count(cluster.net())
        } else {
            self.members().count(&Group::Cluster(cluster))
        }
    }

    /// The addresses of a cluster's members: those of a main cluster uplinks first, those of an associated
    /// one in no particular order. Allocates nothing; O(members).
    pub fn cluster_members(&self, cluster: ClusterId) -> impl Iterator<Item = &A> {
        let main = cluster.is_main().then(|| self.addrs(cluster.net(), MemberFilter::All));
        main.into_iter().flatten().chain(self.members().keys(&Group::Cluster(cluster)))
    }

    /// How many static peers a cluster has. O(1).
    #[must_use]
    pub fn static_count(&self, cluster: ClusterId) -> usize {
        self.members().count(&Group::Static(cluster))
    }

    /// The static peers of a cluster, connected or not, in no particular order. Allocates nothing; O(peers).
    pub fn static_peers(&self, cluster: ClusterId) -> impl Iterator<Item = &A> {
        self.members().keys(&Group::Static(cluster))
    }
}
