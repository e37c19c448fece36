//! What the host of a node decides about its clusters.

use switchboard::{Link, NodeAddr, Outcome};

use crate::local::Local;

/// Puts the peer of a link into the clusters in which the host wants it, and takes it out of the others.
///
/// A static peer joins by itself with its first stream. A refusal in the net ends that, and leaves it to the
/// host.
pub(crate) async fn sort_into_clusters(local: &Local, link: &Link<NodeAddr>) {
    let Local { addr: me, plan, totals, .. } = local;
    for (_, cluster, _) in plan.clusters() {
        let (peer, wanted) = (*link.addr(), plan.wants(*me, link, cluster));
        if wanted == link.is_cluster_member(cluster) {
            continue;
        }
        let (done, count) = if wanted {
            (local.apply(|handle| handle.join_cluster(cluster, peer)).await, &totals.host_joins)
        } else {
            (local.apply(|handle| handle.leave_cluster(cluster, peer)).await, &totals.host_leaves)
        };
        // An error: the link, or its stream, is gone.
        if done.is_ok_and(|applied| applied.outcome == Outcome::Done) {
            count.add(1);
        }
    }
}
