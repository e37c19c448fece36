//! Subscriptions to a table, version by version.
//!
//! The writer has no queue and does not know its subscribers, only how many there are. While there are any,
//! each version carries its [history](super::history). A feed holds the version up to which it has delivered,
//! loads the newest version when there is one, and finds in it every operation between the two: a [`Window`].
//! The history is bounded; if it does not reach back far enough, the feed delivers the two whole versions,
//! the one that it was at and the newest, as [`FeedEvent::Lagged`].
//!
//! The history has the key of an operation and the new value. The old value is in the last operation on the
//! key since the start of the window or, if there is none, in the version at its start.

#[cfg(test)]
mod models;
pub(crate) mod next;
pub(crate) mod window;

use std::fmt;
use std::mem;
use std::time::Duration;

use super::cell::SnapshotCell;
use super::state::State;
use super::watch::Watch;
use crate::sync::{Arc, StdArc};
use crate::table::diff::Change;
use crate::table::hash::DefaultHashBuilder;
use crate::table::snapshot::Snapshot;
use crate::table::version::Version;
use crate::table::waiters::WaitError;
use window::Changes;
use window::Window;

/// A subscription to a table: the changes of every version, in order, starting from an exact snapshot.
///
/// Created by [`Table::subscribe`](crate::Table::subscribe). Each version published later is delivered as one
/// [`FeedEvent::Changes`], exactly once and without gaps: applying them one after the other to a copy of
/// [`snapshot`](Self::snapshot) reproduces every version.
///
/// # A slow subscriber
///
/// The writer never waits for a subscriber and keeps no queue for it. While there is a feed, versions are
/// published together with the changes that led to the last few of them
/// ([bounded](crate::TableBuilder::history)). A feed that falls further behind gets [`FeedEvent::Lagged`]
/// instead of everything that it has missed, with both ends, and continues from the newer one:
/// `resync.diff(&from)` returns the combined changes in between.
///
/// A fast subscriber can see `Lagged` for one other reason: a version that was not recorded. Such versions
/// are those with more operations than the bound, those whose batch [cleared](crate::Writer::clear) the
/// table, and the one in progress when the first feed of a table was created, if the writer was inside
/// [`publish`](crate::Writer::publish) or, in a table that does not [recycle](crate::TableBuilder::recycle),
/// had begun to stage.
///
/// # Memory
///
/// A feed holds its current version, as a [`Reader`](crate::Reader) does, and at most one newer one whose
/// changes it is delivering. All feeds of a table share one history. A feed that is never read, or leaked,
/// therefore costs two versions and the bounded history, however much is published. The keys and values of
/// the history are dropped by the writer, never by a subscriber.
///
/// # Progress
///
/// [`try_next`](Self::try_next) takes no lock. It is wait-free: O(operations in the versions published since
/// the last call) for the first of these versions, and O(1) for the others.
/// [`next`](Self::next) waits as a task; [`next_timeout`](Self::next_timeout) and [`events`](Self::events)
/// block.
///
/// Having subscribers costs the writer O(1) for each publish, regardless of their number, and a clone of each
/// key and value that a retired version is brought up to date with. Without subscribers, the writer reads a
/// counter once per batch and once per publish.
///
/// # Examples
/// ```
/// use switchboard::Table;
/// use switchboard::table::{Change, FeedEvent};
///
/// let (mut writer, table) = Table::<&str, u32>::new();
/// let mut feed = table.subscribe();
/// assert!(feed.snapshot().is_empty());
///
/// writer.insert("a", 1);
/// let version = writer.publish();
/// writer.insert("a", 2);
/// writer.publish();
///
/// match feed.try_next() {
///     Some(FeedEvent::Changes(changes)) => {
///         assert_eq!(changes.version(), version);
///         assert!(changes.iter().eq([Change::Inserted { key: &"a", new: &1 }]));
///     }
///     Some(FeedEvent::Lagged { resync, .. }) => println!("start again from {}", resync.version()),
///     _ => unreachable!("two versions were published"),
/// }
///
/// drop(writer);
/// // The rest, and then the end, because the writer was dropped.
/// assert_eq!(feed.events().count(), 1);
/// ```
#[must_use = "a feed makes the writer keep a history, which is wasted unless the feed is read"]
pub struct Feed<K, V, I = (), S = DefaultHashBuilder> {
    follower: Follower<State<K, V, I, S>>,
    /// The version up to which everything has been delivered.
    base: Snapshot<K, V, I, S>,
    /// The versions after `base`, unless all of them have been delivered.
    window: Option<StdArc<Window<K, V, I, S>>>,
    /// Number of change sets of the window that have been delivered.
    delivered: usize,
    /// Whether the end was returned to a task.
    ended: bool,
}

/// An event that a [`Feed`] delivers.
#[derive(Debug)]
#[non_exhaustive]
pub enum FeedEvent<K, V, I = (), S = DefaultHashBuilder> {
    /// The changes of the next version.
    Changes(ChangeSet<K, V, I, S>),
    /// The next version is not in the history; this feed continues from `resync`.
    #[non_exhaustive]
    Lagged {
        /// The version up to which everything was delivered.
        from: Snapshot<K, V, I, S>,
        /// The newest version; the next change set follows it.
        resync: Snapshot<K, V, I, S>,
    },
}

/// The changes of one version, relative to the version before it. Owned: may be kept and sent.
///
/// Holds snapshots of the first and the last version of those that the feed fetched together.
pub struct ChangeSet<K, V, I = (), S = DefaultHashBuilder> {
    window: StdArc<Window<K, V, I, S>>,
    index: usize,
}

/// Several versions that are delivered together.
#[cfg(feature = "manager")]
pub(crate) struct Span<K, V, I, S> {
    /// The version up to which everything had been delivered before.
    pub(crate) from: Snapshot<K, V, I, S>,
    /// The newest version.
    pub(crate) to: Snapshot<K, V, I, S>,
    /// Whether `to` has every operation in between.
    pub(crate) is_complete: bool,
}

impl<K, V, I, S> Feed<K, V, I, S> {
    pub(super) fn new(
        cell: Arc<SnapshotCell<State<K, V, I, S>>>,
        from: Option<Snapshot<K, V, I, S>>,
    ) -> Self {
        // Counted before the version is loaded: a publish that begins after this call is recorded.
        let follower = Follower::new(cell);
        let newest = Snapshot::new(follower.cell().load());
        let base = from.unwrap_or_else(|| newest.clone());
        assert!(base.state().is_related_to(newest.state()), "a feed resumes from a snapshot of its table");
        Self { follower, base, window: None, delivered: 0, ended: false }
    }

    /// Returns a version up to which everything has been delivered: the one that the feed started at, was
    /// resynchronized to, or has last caught up with.
    ///
    /// It is behind [`version`](Self::version) while the feed is delivering several versions that it fetched
    /// together.
    pub fn snapshot(&self) -> &Snapshot<K, V, I, S> {
        &self.base
    }

    /// Returns the last delivered version: the next change set is that of the version after it.
    #[must_use]
    pub fn version(&self) -> Version {
        match &self.window {
            Some(window) if self.delivered > 0 => window.version(self.delivered - 1),
            _ => self.base.version(),
        }
    }

    /// Whether the writer was dropped and everything has been delivered: no event will follow.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // The flag before the version: the last version is never missed.
        self.follower.cell().is_closed() && self.window.is_none() && !self.is_behind()
    }

    /// Takes all versions since the base together. Not to be mixed with the other ways to read a feed.
    #[cfg(feature = "manager")]
    pub(crate) fn take_all(&mut self) -> Option<Span<K, V, I, S>> {
        if !self.is_behind() {
            return None;
        }
        let newest = Snapshot::new(self.follower.cell().load());
        let is_complete = newest.state().history.ops_since(self.base.version()).is_some();
        let from = mem::replace(&mut self.base, newest.clone());
        Some(Span { from, to: newest, is_complete })
    }

    /// Waits up to `timeout` until there is a newer version than the base.
    #[cfg(feature = "manager")]
    pub(crate) fn wait_behind(&self, timeout: Duration) -> Result<(), WaitError> {
        self.follower.cell().wait_for(self.base.version().next(), timeout).map(drop)
    }

    /// Whether there is a newer version than the base. One atomic load.
    fn is_behind(&self) -> bool {
        self.follower.cell().version() > self.base.version()
    }
}

impl<K: Eq, V, I, S> Feed<K, V, I, S> {
    /// Returns the next event, if there is one.
    ///
    /// `None` does not mean the end; check [`is_closed`](Self::is_closed) for that.
    ///
    /// Calls `Eq` of the keys on this thread. If that panics, nothing has been delivered.
    ///
    /// # Progress
    ///
    /// Wait-free; one atomic load if there is no event. See [`Feed`] for the complexity.
    pub fn try_next(&mut self) -> Option<FeedEvent<K, V, I, S>> {
        if self.window.is_none() {
            if !self.is_behind() {
                return None;
            }
            if let Some(lagged) = self.fetch() {
                return Some(lagged);
            }
        }
        self.deliver().map(FeedEvent::Changes)
    }

    /// Waits up to `timeout` for the next event.
    ///
    /// # Errors
    /// [`WaitError::Timeout`] if nothing was published within `timeout` (a timeout that the clock cannot
    /// represent never expires), and [`WaitError::WriterClosed`] if the writer was dropped and everything has
    /// been delivered.
    ///
    /// # Progress
    ///
    /// Blocks like [`Table::wait_for`](crate::Table::wait_for): woken by the next publish and by the drop of
    /// the writer.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<FeedEvent<K, V, I, S>, WaitError> {
        loop {
            if let Some(event) = self.try_next() {
                return Ok(event);
            }
            // Waits at most once: the awaited version is published when this returns.
            self.follower.cell().wait_for(self.base.version().next(), timeout)?;
        }
    }

    /// Loads the newest version, which is newer than the base, and the operations that lead to it.
    fn fetch(&mut self) -> Option<FeedEvent<K, V, I, S>> {
        let newest = Snapshot::new(self.follower.cell().load());
        match newest.state().history.since(self.base.version()) {
            Some(links) => {
                let window = Window::new(self.base.clone(), newest, links);
                self.window = Some(StdArc::new(window));
                self.delivered = 0;
                None
            }
            None => {
                let from = mem::replace(&mut self.base, newest.clone());
                Some(FeedEvent::Lagged { from, resync: newest })
            }
        }
    }

    /// Returns the next change set of the window.
    fn deliver(&mut self) -> Option<ChangeSet<K, V, I, S>> {
        let window = self.window.take()?;
        let index = self.delivered;
        self.delivered += 1;
        if self.delivered < window.len() {
            self.window = Some(window.clone());
        } else {
            self.base = window.end().clone();
        }
        Some(ChangeSet { window, index })
    }
}

impl<K, V, I, S> ChangeSet<K, V, I, S> {
    /// Returns the version that made these changes to the one before it.
    #[must_use]
    pub fn version(&self) -> Version {
        self.window.version(self.index)
    }

    /// Returns the number of changed keys. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.window.changes(self.index).len()
    }

    /// Whether no key changed: the batch reverted all its changes, or touched only the index.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the newest version at the time of fetching: that of this change set, or a later one if the
    /// feed was several versions behind.
    pub fn newest(&self) -> &Snapshot<K, V, I, S> {
        self.window.end()
    }
}

impl<K: Eq, V, I, S> ChangeSet<K, V, I, S> {
    /// Iterates over the changes, each key once, in the order in which the keys were first touched.
    ///
    /// Writes are not compared with the old value: an [`Updated`](Change::Updated) may have two equal values.
    /// A key that was inserted and removed in one batch is omitted. O(1) for each change, does not allocate.
    pub fn iter(&self) -> Changes<'_, K, V, I, S> {
        self.window.iter(self.index)
    }
}

impl<'a, K: Eq, V, I, S> IntoIterator for &'a ChangeSet<K, V, I, S> {
    type Item = Change<'a, K, V>;
    type IntoIter = Changes<'a, K, V, I, S>;

    fn into_iter(self) -> Changes<'a, K, V, I, S> {
        self.iter()
    }
}

/// A follower that is counted by a cell.
struct Follower<T> {
    watch: Watch<T>,
}

impl<T> Follower<T> {
    fn new(cell: Arc<SnapshotCell<T>>) -> Self {
        cell.follow();
        Self { watch: Watch::new(cell) }
    }

    fn cell(&self) -> &SnapshotCell<T> {
        self.watch.cell()
    }
}

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        self.cell().unfollow();
    }
}

impl<K, V, I, S> fmt::Debug for Feed<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("version", &self.version())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<K, V, I, S> fmt::Debug for ChangeSet<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeSet")
            .field("version", &self.version())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
