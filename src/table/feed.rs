//! Following a table version by version.
//!
//! The writer has no queue and does not know who follows, only how many. While there is anybody, each version
//! carries its [history](super::history); a feed holds the version up to which it has delivered, loads the
//! newest one when there is one, and finds in it all that led from the one to the other: a [`Window`]. Or it
//! does not: the history is bounded, and then the feed has two whole versions, the one that it was at and the
//! newest, and says so.
//!
//! What the history has of an operation is its key and the new value. The old one is in the last operation on
//! the key since the start of the window or, if there is none, in the version at its start.

#[cfg(test)]
mod models;
pub(crate) mod window;

use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::time::Duration;

use super::cell::SnapshotCell;
use super::state::State;
use crate::sync::{Arc, StdArc};
use crate::table::diff::Change;
use crate::table::hash::DefaultHashBuilder;
use crate::table::snapshot::Snapshot;
use crate::table::version::Version;
use crate::table::waiters::WaitError;
use window::Changes;
use window::Window;

/// A subscription to a table: every version's changes, in order, from an exact snapshot on.
///
/// Made by [`Table::subscribe`](crate::Table::subscribe). Each version that is published later comes out as
/// one [`FeedEvent::Changes`], exactly once and without a gap: who applies them one after the other to a copy
/// of [`snapshot`](Self::snapshot) has each version in turn.
///
/// # A slow subscriber
///
/// The writer never waits for a subscriber and keeps no queue for it. While there is a feed, versions are
/// published together with the changes that led to the last few of them
/// ([bounded](crate::TableBuilder::history)). A feed that has fallen further behind gets
/// [`FeedEvent::Lagged`] in the place of all that it has missed, with both ends, and goes on from the newer
/// one: `resync.diff(&from)` is what happened in between, taken together.
///
/// There is one more reason for `Lagged`, which a subscriber that is fast enough can see, too: a version that
/// was not recorded. These are versions with more operations than the bound, those whose batch
/// [cleared](crate::Writer::clear) the table, and the one that was in the making when the first feed of a
/// table came: if the writer was inside [`publish`](crate::Writer::publish), or, in a table that does not
/// [recycle](crate::TableBuilder::recycle), had begun to stage.
///
/// # Memory
///
/// A feed holds the version that it is at, as a [`Reader`](crate::Reader) does, and at most one newer one
/// whose changes it is delivering. All feeds of a table share one history. A feed that is never read, or
/// leaked, therefore costs two versions and the bounded history, however much is published. The keys and
/// values of the history are dropped by the writer, never by a subscriber.
///
/// # Progress
///
/// [`try_next`](Self::try_next) takes no lock. It is wait-free, in O(operations in the versions since the
/// last look) at the first of them, and O(1) at the others. [`next_timeout`](Self::next_timeout) and the
/// iterator block.
///
/// A subscriber costs the writer O(1) for each publish, whatever the number of subscribers, and a clone of
/// each key and value that a retired version is brought up to date with. Without one, the writer looks at a
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
/// // The rest, and then the end, because the writer is gone.
/// assert_eq!(feed.count(), 1);
/// ```
#[must_use = "a feed makes the writer keep a history, for nothing unless it is read"]
pub struct Feed<K, V, I = (), S = DefaultHashBuilder> {
    follower: Follower<State<K, V, I, S>>,
    /// All versions up to this one have been delivered.
    base: Snapshot<K, V, I, S>,
    /// What leads on from `base`, unless all of it has been delivered.
    window: Option<StdArc<Window<K, V, I, S>>>,
    /// How many change sets of the window have been delivered.
    delivered: usize,
}

/// What a [`Feed`] delivers.
#[derive(Debug)]
#[non_exhaustive]
pub enum FeedEvent<K, V, I = (), S = DefaultHashBuilder> {
    /// The changes of the next version.
    Changes(ChangeSet<K, V, I, S>),
    /// The next version is not in the history: this feed goes on from `resync`.
    #[non_exhaustive]
    Lagged {
        /// The version up to which everything was delivered.
        from: Snapshot<K, V, I, S>,
        /// The newest version: the next change set leads on from here.
        resync: Snapshot<K, V, I, S>,
    },
}

/// What one version changed, relative to the one before it. Owned: may be kept and sent.
///
/// Holds the versions at both ends of what the feed has fetched at once, as snapshots.
pub struct ChangeSet<K, V, I = (), S = DefaultHashBuilder> {
    window: StdArc<Window<K, V, I, S>>,
    index: usize,
}

impl<K, V, I, S> Feed<K, V, I, S> {
    pub(super) fn new(
        cell: Arc<SnapshotCell<State<K, V, I, S>>>,
        from: Option<Snapshot<K, V, I, S>>,
    ) -> Self {
        // Counted before the version is loaded: a publish that begins later than this call is recorded.
        let follower = Follower::new(cell);
        let newest = Snapshot::new(follower.cell.load());
        let base = from.unwrap_or_else(|| newest.clone());
        assert!(base.state().is_related_to(newest.state()), "a feed resumes from a snapshot of its table");
        Self { follower, base, window: None, delivered: 0 }
    }

    /// A version up to which everything has been delivered: the one that the feed started at, was
    /// resynchronized to, or has caught up with last.
    ///
    /// It is behind [`version`](Self::version) while the feed is delivering several versions that it found
    /// at once.
    pub fn snapshot(&self) -> &Snapshot<K, V, I, S> {
        &self.base
    }

    /// The version that was delivered last: the next change set is that of the next version.
    #[must_use]
    pub fn version(&self) -> Version {
        match &self.window {
            Some(window) if self.delivered > 0 => window.version(self.delivered - 1),
            _ => self.base.version(),
        }
    }

    /// Whether the writer is gone and everything has been delivered: nothing comes any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // The flag before the version: the last version is never missed.
        self.follower.cell.is_closed() && self.window.is_none() && !self.is_behind()
    }

    /// Whether there is a newer version than the base. One atomic load.
    fn is_behind(&self) -> bool {
        self.follower.cell.version() > self.base.version()
    }
}

impl<K: Eq, V, I, S> Feed<K, V, I, S> {
    /// The next event, if there is one.
    ///
    /// `None` does not mean the end; ask [`is_closed`](Self::is_closed) for that.
    ///
    /// Calls `Eq` of the keys, on this thread. If that panics, nothing has been delivered.
    ///
    /// # Progress
    ///
    /// Wait-free; one atomic load if there is nothing. See [`Feed`] for the complexity.
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

    /// The next event, for which it waits up to `timeout`.
    ///
    /// # Errors
    /// [`WaitError::Timeout`] when nothing was published within `timeout` (one too long for the clock is no
    /// bound), and [`WaitError::WriterClosed`] when the writer is gone and everything has been delivered.
    ///
    /// # Progress
    ///
    /// Blocks as [`Table::wait_for`](crate::Table::wait_for): woken by the next publish and by the drop of
    /// the writer.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<FeedEvent<K, V, I, S>, WaitError> {
        loop {
            if let Some(event) = self.try_next() {
                return Ok(event);
            }
            // Once: the version that this waits for is there when it returns.
            self.follower.cell.wait_for(self.base.version().next(), timeout)?;
        }
    }

    /// Loads the newest version, which is newer than the base, and with it what leads to it.
    fn fetch(&mut self) -> Option<FeedEvent<K, V, I, S>> {
        let newest = Snapshot::new(self.follower.cell.load());
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

    /// The next change set of the window.
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

/// Blocks for each event, and ends when the writer is gone and everything has been delivered.
impl<K: Eq, V, I, S> Iterator for Feed<K, V, I, S> {
    type Item = FeedEvent<K, V, I, S>;

    fn next(&mut self) -> Option<FeedEvent<K, V, I, S>> {
        self.next_timeout(Duration::MAX).ok()
    }
}

impl<K: Eq, V, I, S> FusedIterator for Feed<K, V, I, S> {}

impl<K, V, I, S> ChangeSet<K, V, I, S> {
    /// The version that made these changes to the one before it.
    #[must_use]
    pub fn version(&self) -> Version {
        self.window.version(self.index)
    }

    /// How many keys changed. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.window.changes(self.index).len()
    }

    /// Whether no key changed: the batch undid all it did, or touched nothing but the index.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The newest version when this was fetched: that of this change set, or a later one if the feed was
    /// behind by several.
    pub fn newest(&self) -> &Snapshot<K, V, I, S> {
        self.window.end()
    }
}

impl<K: Eq, V, I, S> ChangeSet<K, V, I, S> {
    /// The changes, each key once, in the order in which the keys were first touched.
    ///
    /// What was written counts, not what it was before: an [`Updated`](Change::Updated) may have two equal
    /// values. A key that was inserted and removed in one batch is not mentioned. O(1) for each, does not
    /// allocate.
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

/// One of the followers that a cell counts.
struct Follower<T> {
    cell: Arc<SnapshotCell<T>>,
}

impl<T> Follower<T> {
    fn new(cell: Arc<SnapshotCell<T>>) -> Self {
        cell.follow();
        Self { cell }
    }
}

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        self.cell.unfollow();
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
