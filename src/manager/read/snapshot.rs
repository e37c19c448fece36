//! Queries: each is answered from one version.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::link::addr::{Addr, NodeAddr};
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::stream::Direction;
use crate::link::{DialState, NetStatus};
use crate::manager::model::config::Timing;
use crate::manager::model::config::settings::Settings;
use crate::manager::model::directory::{
    Counts, Directory, Group, Indexes, LinkReader, LinkTable, Membership, counts, member_groups,
};
use crate::manager::model::rules::Rules;
use crate::manager::model::tally::Stats;
use crate::sync::StdArc;
use crate::table::snapshot::Snapshot;
use crate::table::version::Version;
use crate::table::{Published, WaitError, WriterClosed};

/// Selects the members of a net to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberFilter {
    /// All members.
    All,
    /// All members except uplinks whose dialer has no working connection; downlinks are always listed.
    Established,
}

/// The read side of a link manager. Clones are cheap and share the table.
///
/// Apart from [`wait_for`](Self::wait_for) and the futures of [`changed`](Self::changed) and
/// [`reached`](Self::reached), nothing here waits for the writer, and no reader can delay it. The last
/// version stays readable after the manager has ended.
pub struct Links<A: Addr = NodeAddr> {
    table: LinkTable<A>,
    timing: Timing,
}

impl<A: Addr> Links<A> {
    pub(crate) fn new(table: LinkTable<A>, timing: Timing) -> Self {
        Self { table, timing }
    }

    pub(super) fn table(&self) -> &LinkTable<A> {
        &self.table
    }

    pub(super) fn timing(&self) -> Timing {
        self.timing
    }

    /// Returns a snapshot of the newest version, which may be held for any length of time. Wait-free except
    /// in the cases listed at [`Table::snapshot`](crate::Table::snapshot).
    #[must_use]
    pub fn snapshot(&self) -> LinksSnapshot<A> {
        LinksSnapshot { inner: self.table.snapshot(), timing: self.timing }
    }

    /// Returns a reader for hot loops, which keeps a snapshot and checks with one atomic load whether there
    /// is a newer version. One per thread, not one per task: see [`LinksReader`].
    #[must_use]
    pub fn reader(&self) -> LinksReader<A> {
        LinksReader { reader: self.table.reader(), timing: self.timing, snapshot: None }
    }

    /// The number of the newest version. Wait-free: one atomic load.
    #[must_use]
    pub fn version(&self) -> Version {
        self.table.version()
    }

    /// Waits up to `timeout` until `version` or a later one is published, and returns a snapshot of the
    /// newest version. Lets one thread read what another has written.
    ///
    /// # Errors
    /// [`WaitError`] if the time-out passed or the manager ended first, as in
    /// [`Table::wait_for`](crate::Table::wait_for).
    pub fn wait_for(&self, version: Version, timeout: Duration) -> Result<LinksSnapshot<A>, WaitError> {
        self.table.wait_for(version, timeout)?;
        Ok(self.snapshot())
    }

    /// Waits up to `timeout` until a version newer than `version` is published, and returns a snapshot of the
    /// newest version. The form of [`changed`](Self::changed) for threads.
    ///
    /// # Errors
    /// [`WaitError`] if the time-out passed, or the manager has ended and `version` is the last one.
    pub fn wait_changed(&self, version: Version, timeout: Duration) -> Result<LinksSnapshot<A>, WaitError> {
        self.table.wait_changed(version, timeout)?;
        Ok(self.snapshot())
    }

    /// Waits, as a task, until `version` or a later one is published, and returns a snapshot of the newest
    /// version: the asynchronous form of [`wait_for`](Self::wait_for).
    ///
    /// The future needs no runtime and can be dropped at any time, as
    /// [`Table::reached`](crate::Table::reached).
    ///
    /// # Errors
    /// [`WriterClosed`] if the manager ended without publishing `version`.
    ///
    /// # Examples
    /// ```
    /// use switchboard::{Config, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let nothing = |_: Effect<NodeAddr>, _: &Handle| {};
    /// let manager = LinkManager::builder(Config::default()).transport(nothing).spawn()?;
    /// let applied = manager.handle().add_net(NetId(1), NetConfig::new())?.await?;
    /// let snapshot = manager.links().reached(applied.version).await?;
    /// assert!(snapshot.net(NetId(1)).is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reached(&self, version: Version) -> LinksPublished<A> {
        LinksPublished { published: self.table.reached(version), timing: self.timing }
    }

    /// Waits, as a task, until a version newer than `version` is published, and returns a snapshot of the
    /// newest version.
    ///
    /// `version` is that of the last snapshot that the task has seen, so a change between two calls is not
    /// missed. The future needs no runtime and can be dropped at any time, as
    /// [`Table::changed`](crate::Table::changed).
    ///
    /// # Errors
    /// [`WriterClosed`] if the manager has ended and `version` is the last one.
    ///
    /// # Examples
    /// ```
    /// use switchboard::{Links, NetId};
    ///
    /// /// Returns once the net has this many members, or the manager has ended.
    /// async fn connected(links: &Links, net: NetId, count: usize) -> bool {
    ///     let mut snapshot = links.snapshot();
    ///     while snapshot.count(net) < count {
    ///         match links.changed(snapshot.version()).await {
    ///             Ok(newest) => snapshot = newest,
    ///             Err(_) => return false,
    ///         }
    ///     }
    ///     true
    /// }
    /// ```
    pub fn changed(&self, version: Version) -> LinksPublished<A> {
        LinksPublished { published: self.table.changed(version), timing: self.timing }
    }
}

impl<A: Addr> Clone for Links<A> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), timing: self.timing }
    }
}

impl<A: Addr> fmt::Debug for Links<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("version", &self.version()).finish_non_exhaustive()
    }
}

/// A future that waits for a version of the links, and returns a snapshot of the newest version by then.
///
/// Created by [`Links::changed`] and [`Links::reached`]. Cancel-safe, and woken by the publish or by the end
/// of the manager, as [`Published`].
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct LinksPublished<A: Addr = NodeAddr> {
    published: Published<A, StdArc<Link<A>>, Indexes<A>>,
    timing: Timing,
}

impl<A: Addr> Future for LinksPublished<A> {
    type Output = Result<LinksSnapshot<A>, WriterClosed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(Pin::new(&mut self.published).poll(context))?;
        Poll::Ready(Ok(LinksSnapshot { inner: self.published.snapshot(), timing: self.timing }))
    }
}

impl<A: Addr> fmt::Debug for LinksPublished<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinksPublished").field("published", &self.published).finish_non_exhaustive()
    }
}

/// A per-thread reader of [`Links`].
///
/// A reader belongs to a thread, not to a task: [`Reader`](crate::Reader#tasks) describes the alternatives.
/// Between two calls it holds the version that it saw last, unless it is [released](Self::release).
pub struct LinksReader<A: Addr = NodeAddr> {
    reader: LinkReader<A>,
    timing: Timing,
    /// A second reference to the version that `reader` holds. `None` while released.
    snapshot: Option<LinksSnapshot<A>>,
}

impl<A: Addr> LinksReader<A> {
    /// Returns a snapshot of the newest version. One atomic load if none was published since the last call.
    ///
    /// The reader holds that version until the next call, or until it is [released](Self::release).
    pub fn snapshot(&mut self) -> &LinksSnapshot<A> {
        let Self { reader, timing, snapshot } = self;
        let newest = reader.snapshot();
        // The reader decides which version is the newest.
        if snapshot.as_ref().is_none_or(|kept| kept.version() != newest.version()) {
            return snapshot.insert(LinksSnapshot { inner: newest.clone(), timing: *timing });
        }
        match snapshot {
            Some(kept) => kept,
            None => unreachable!("it is the newest"),
        }
    }

    /// Lets go of the held version until the next call, as [`Reader::release`](crate::Reader::release) does.
    /// Call it before the thread or task waits for long. Wait-free.
    ///
    /// # Examples
    /// ```
    /// use switchboard::clock::{Clock, ManualClock};
    /// use switchboard::{Config, LinkManager, NodeAddr};
    ///
    /// let clock = ManualClock::new();
    /// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
    /// let mut reader = driver.links().reader();
    /// assert!(reader.snapshot().is_empty());
    /// assert_eq!(driver.memory().readers, 1);
    /// reader.release();
    /// assert_eq!(driver.memory().readers, 0);
    /// assert!(reader.snapshot().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn release(&mut self) {
        self.snapshot = None;
        self.reader.release();
    }
}

impl<A: Addr> fmt::Debug for LinksReader<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinksReader").field("version", &self.reader.held_version()).finish_non_exhaustive()
    }
}

/// One version of the links and nets. Cheap to clone, and valid indefinitely.
///
/// All answers come from the same version: the count of a net equals the number of addresses listed for it,
/// and each of these addresses has a record with that membership.
#[derive(Clone)]
pub struct LinksSnapshot<A: Addr = NodeAddr> {
    pub(super) inner: Snapshot<A, StdArc<Link<A>>, Indexes<A>>,
    pub(super) timing: Timing,
}

impl<A: Addr> LinksSnapshot<A> {
    /// The number of the version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.inner.version()
    }

    /// The instant at which the version was published, on the manager's clock.
    #[must_use]
    pub fn published_at(&self) -> Instant {
        self.directory().published_at
    }

    /// Whether the manager is switched on.
    #[must_use]
    pub fn is_manager_active(&self) -> bool {
        self.directory().active
    }

    /// The number of members of the net's main cluster; 0 for an unknown net. O(1).
    #[must_use]
    pub fn count(&self, net: NetId) -> usize {
        self.counts(net).total()
    }

    /// The numbers of members of the net's main cluster whose primary stream was opened by this node, and by
    /// the peer.
    pub(crate) fn members_by_direction(&self, net: NetId) -> (usize, usize) {
        let Counts { uplinks, downlinks } = self.counts(net);
        (uplinks, downlinks)
    }

    /// The number of members of the net's main cluster with this direction and state. O(1).
    #[must_use]
    pub fn count_by(&self, net: NetId, direction: Direction, state: DialState) -> usize {
        self.members().count(&Group::Member(net, direction, state))
    }

    /// The minimum number of links of the net; 0 for an unknown net.
    #[must_use]
    pub fn min_links(&self, net: NetId) -> usize {
        self.net(net).map_or(0, |net| net.min_links() as usize)
    }

    /// The number of links needed to reach the net's minimum; 0 for an unknown net, and for one that is
    /// reserved for its permanent peers. With ticked timing, the links are those counted by the last request
    /// phase.
    #[must_use]
    pub fn needed(&self, net: NetId) -> usize {
        let Some(status) = self.net(net) else { return 0 };
        if status.config().reserved_only {
            return 0;
        }
        let counted = match self.timing {
            Timing::Immediate if status.config().count_downlinks => self.counts(net).total(),
            Timing::Immediate => self.counts(net).uplinks,
            Timing::Ticked => status.counted,
        };
        self.min_links(net).saturating_sub(counted)
    }

    /// Whether the net is switched on; `false` for an unknown one.
    #[must_use]
    pub fn is_active(&self, net: NetId) -> bool {
        self.directory().is_net_active(net)
    }

    /// Whether there is a link to `addr` that the net wants.
    #[must_use]
    pub fn contains(&self, addr: &A, net: NetId) -> bool {
        self.get(addr).is_some_and(|link| link.nets().contains(&net))
    }

    /// The link of an address. Costs one hash lookup.
    #[must_use]
    pub fn get(&self, addr: &A) -> Option<&Link<A>> {
        self.inner.get(addr).map(|link| &**link)
    }

    /// The number of links of all kinds. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether there is no link.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All links, in no particular order.
    pub fn links(&self) -> impl Iterator<Item = &Link<A>> {
        self.inner.iter().map(|(_, link)| &**link)
    }

    /// The addresses of the net's members, uplinks first. Does not allocate; O(members).
    pub fn addrs(&self, net: NetId, filter: MemberFilter) -> impl Iterator<Item = &A> {
        let listed = move |group: &Group| match (filter, group) {
            (MemberFilter::Established, Group::Member(_, Direction::Uplink, state)) => {
                *state == DialState::Established
            }
            _ => true,
        };
        member_groups(net).into_iter().filter(listed).flat_map(|group| self.members().keys(&group))
    }

    /// The addresses on the net's ignore list at `now`. They were tried recently and should not be offered as
    /// candidates.
    pub fn ignored(&self, net: NetId, now: Instant) -> impl Iterator<Item = &A> {
        self.net(net).into_iter().flat_map(move |net| net.ignored(now))
    }

    /// All managed nets, sorted by identity.
    #[must_use]
    pub fn nets(&self) -> &[NetStatus<A>] {
        self.directory().nets()
    }

    /// The managed net with this identity.
    #[must_use]
    pub fn net(&self, net: NetId) -> Option<&NetStatus<A>> {
        self.directory().net(net)
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.directory().settings
    }

    /// The counters of the manager up to this version.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats(self.directory().tally)
    }

    /// The address of this node, if the manager knows it.
    pub(in crate::manager) fn own(&self) -> Option<&A> {
        (*self.directory().own).as_ref()
    }

    pub(super) fn members(&self) -> &Membership<A> {
        &self.inner.index().0
    }

    pub(super) fn directory(&self) -> &Directory<A> {
        &self.inner.index().1
    }

    pub(in crate::manager) fn rules(&self) -> Rules<'_, A> {
        Rules::new(self.inner.index(), self.timing)
    }

    fn counts(&self, net: NetId) -> Counts {
        counts(self.members(), net)
    }
}

impl<A: Addr> fmt::Debug for LinksSnapshot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinksSnapshot")
            .field("version", &self.version())
            .field("links", &self.len())
            .field("nets", &self.nets().len())
            .finish_non_exhaustive()
    }
}
