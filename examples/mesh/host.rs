//! The decisions of a node's host about its clusters.

use switchboard::{Link, NodeAddr, Outcome};

use crate::local::Local;

/// Adds the peer of a link to the clusters in which the host wants it, and removes it from the others.
///
/// A static peer joins with its first stream without a command. After a refusal in the net it no longer does,
/// and the host decides.
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
        // An error means that the link or its stream no longer exists.
        if done.is_ok_and(|applied| applied.outcome == Outcome::Done) {
            count.add(1);
        }
    }
}
