//! The differences between two versions of the links, nets and clusters.

use std::cmp::Ordering;
use std::fmt;
use std::iter::FusedIterator;

use super::snapshot::LinksSnapshot;
use crate::link::addr::{Addr, NodeAddr};
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::{Cluster, NetStatus};
use crate::manager::model::directory::{Group, counts};
use crate::sync::StdArc;
use crate::table::Change;

/// The changes that lead from one version of the links to another: which links, nets and clusters.
///
/// Returned by [`LinksSnapshot::diff`], and delivered by a [`LinksFeed`](super::feed::LinksFeed). Holds both
/// versions; may be kept and sent.
///
/// The changes are combined: each link, net and cluster is listed once, however many versions lie between the
/// two. One that was added and removed in between is not listed.
#[derive(Clone)]
pub struct LinksDiff<A: Addr = NodeAddr> {
    from: LinksSnapshot<A>,
    to: LinksSnapshot<A>,
}

impl<A: Addr> LinksDiff<A> {
    /// # Panics
    /// If the two belong to different managers.
    pub(super) fn new(from: LinksSnapshot<A>, to: LinksSnapshot<A>) -> Self {
        assert!(to.inner.is_related_to(&from.inner), "`diff` compares two versions of one manager");
        Self { from, to }
    }

    /// The version that the changes start from.
    #[must_use]
    pub fn from(&self) -> &LinksSnapshot<A> {
        &self.from
    }

    /// The version that the changes lead to.
    #[must_use]
    pub fn to(&self) -> &LinksSnapshot<A> {
        &self.to
    }

    /// Whether neither a link nor a net nor a cluster changed. Costs as much as the first change of each.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links().next().is_none() && self.nets().next().is_none() && self.clusters().next().is_none()
    }

    /// The links that were created, changed or removed, in no particular order.
    ///
    /// A link has changed if anything in its record has: its streams, its state, the nets that want it, its
    /// memberships, its retry delay, its user value. Traffic counters are not part of a version, so they are
    /// not compared.
    ///
    /// The complexity is that of [`Snapshot::diff`](crate::Snapshot::diff).
    #[must_use = "iterators are lazy"]
    pub fn links(&self) -> impl FusedIterator<Item = Change<'_, A, Link<A>>> {
        self.to.inner.diff(&self.from.inner).map(|change| match change {
            Change::Inserted { key, new } => Change::Inserted { key, new: &**new },
            Change::Updated { key, old, new } => Change::Updated { key, old: &**old, new: &**new },
            Change::Removed { key, old } => Change::Removed { key, old: &**old },
        })
    }

    /// The nets that were added, changed or removed, sorted by identity.
    ///
    /// A net has changed if its configuration, its switch, its permanent peers, its ignore list, or the
    /// number of its members of either direction has. O(nets), and O(addresses) for each list that the two
    /// versions do not share.
    #[must_use = "iterators are lazy"]
    pub fn nets(&self) -> impl FusedIterator<Item = Change<'_, NetId, NetStatus<A>>> {
        let counted = |snapshot: &LinksSnapshot<A>, net: &NetStatus<A>| {
            let counts = counts(snapshot.members(), net.id());
            (counts.uplinks, counts.downlinks)
        };
        let is_same = move |old: &NetStatus<A>, new: &NetStatus<A>| {
            is_same_net(old, new) && counted(&self.from, old) == counted(&self.to, new)
        };
        Merge::new(self.from.nets(), self.to.nets(), |net| &net.id, is_same)
    }

    /// The associated clusters that were added, changed or removed, sorted by identity.
    ///
    /// A cluster has changed if its status, its role members, or the number of its members or static peers
    /// has. O(clusters), and O(role members) for each list that the two versions do not share.
    #[must_use = "iterators are lazy"]
    pub fn clusters(&self) -> impl FusedIterator<Item = Change<'_, ClusterId, Cluster<A>>> {
        let counted = |snapshot: &LinksSnapshot<A>, cluster: &Cluster<A>| {
            let count = |group| snapshot.members().count(&group);
            (count(Group::Cluster(cluster.id())), count(Group::Static(cluster.id())))
        };
        let is_same = move |old: &Cluster<A>, new: &Cluster<A>| {
            is_same_cluster(old, new) && counted(&self.from, old) == counted(&self.to, new)
        };
        Merge::new(self.from.clusters(), self.to.clusters(), |cluster| &cluster.id, is_same)
    }
}

/// Compares what a snapshot answers about a net. The instant of its next request is left out: it is part of
/// an explanation only.
fn is_same_net<A: Addr>(old: &NetStatus<A>, new: &NetStatus<A>) -> bool {
    let plain = |net: &NetStatus<A>| (net.config, net.active, net.counted);
    plain(old) == plain(new)
        && (StdArc::ptr_eq(&old.permanent, &new.permanent) || old.permanent == new.permanent)
        && (StdArc::ptr_eq(&old.ignored, &new.ignored) || old.ignored == new.ignored)
}

fn is_same_cluster<A: Addr>(old: &Cluster<A>, new: &Cluster<A>) -> bool {
    let plain = |cluster: &Cluster<A>| (cluster.net, cluster.kind, cluster.status);
    plain(old) == plain(new) && (StdArc::ptr_eq(&old.roles, &new.roles) || old.roles == new.roles)
}

/// The differences between two lists that are sorted by their keys.
struct Merge<'a, T, F, S> {
    old: &'a [T],
    new: &'a [T],
    key: F,
    is_same: S,
}

impl<'a, K: 'a, T, F, S> Merge<'a, T, F, S>
where
    F: Fn(&'a T) -> &'a K,
    S: Fn(&'a T, &'a T) -> bool,
{
    fn new(old: &'a [T], new: &'a [T], key: F, is_same: S) -> Self {
        Self { old, new, key, is_same }
    }
}

impl<'a, K, T, F, S> Iterator for Merge<'a, T, F, S>
where
    K: Ord + 'a,
    F: Fn(&'a T) -> &'a K,
    S: Fn(&'a T, &'a T) -> bool,
{
    type Item = Change<'a, K, T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.old.first(), self.new.first()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => (self.key)(old).cmp((self.key)(new)),
            };
            let old = if order.is_le() { self.old.split_off_first() } else { None };
            let new = if order.is_ge() { self.new.split_off_first() } else { None };
            match (old, new) {
                (Some(old), Some(new)) if (self.is_same)(old, new) => {}
                (Some(old), Some(new)) => return Some(Change::Updated { key: (self.key)(new), old, new }),
                (Some(old), None) => return Some(Change::Removed { key: (self.key)(old), old }),
                (None, Some(new)) => return Some(Change::Inserted { key: (self.key)(new), new }),
                (None, None) => return None,
            }
        }
    }
}

impl<'a, K, T, F, S> FusedIterator for Merge<'a, T, F, S>
where
    K: Ord + 'a,
    F: Fn(&'a T) -> &'a K,
    S: Fn(&'a T, &'a T) -> bool,
{
}

impl<A: Addr> fmt::Debug for LinksDiff<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinksDiff")
            .field("from", &self.from.version())
            .field("to", &self.to.version())
            .finish_non_exhaustive()
    }
}

impl<A: Addr> LinksSnapshot<A> {
    /// Returns the changes that lead from `older` to this snapshot: which links, nets and clusters.
    ///
    /// `older` may be the newer one of the two; the changes then lead backwards. Cheap: the work is done by
    /// the iterators of the result.
    ///
    /// # Panics
    /// If `older` is a snapshot of another manager.
    ///
    /// # Examples
    /// ```
    /// use switchboard::clock::{Clock, ManualClock};
    /// use switchboard::table::Change;
    /// use switchboard::{Config, LinkManager, NetConfig, NetId, NodeAddr};
    ///
    /// let clock = ManualClock::new();
    /// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
    /// let older = driver.links().snapshot();
    /// driver.handle().add_net(NetId(1), NetConfig::new())?;
    /// driver.handle().create_link(NodeAddr(2), NetId(1))?;
    /// let _ = driver.run_once(clock.now());
    ///
    /// let changes = driver.links().snapshot().diff(&older);
    /// let links: Vec<_> = changes.links().collect();
    /// assert!(matches!(links[..], [Change::Inserted { key: NodeAddr(2), .. }]));
    /// assert_eq!(changes.nets().count(), 1);
    /// assert_eq!(changes.clusters().count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn diff(&self, older: &Self) -> LinksDiff<A> {
        LinksDiff::new(older.clone(), self.clone())
    }
}
