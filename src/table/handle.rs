//! The read side of a table.

use std::fmt;
use std::time::Duration;

use crate::sync::Arc;
use crate::table::cell::SnapshotCell;
use crate::table::feed::Feed;
use crate::table::hash::DefaultHashBuilder;
use crate::table::published::Published;
use crate::table::reader::Reader;
use crate::table::snapshot::Snapshot;
use crate::table::state::State;
use crate::table::version::Version;
use crate::table::waiters::WaitError;
/// The read side of a table: a cheap handle that any number of threads can clone.
///
/// A table maps keys to values in *versions*. One [`Writer`](crate::Writer) stages changes and publishes
/// them; a published version never changes. A reader takes the newest version as a whole and reads it for as
/// long as it likes: the keys and the [index](crate::table::Index) of a version are consistent with each
/// other, and no reader ever waits for the writer or makes it wait.
///
/// | to | use | cost |
/// |---|---|---|
/// | look up keys in a hot loop | [`reader`](Self::reader), one per thread, then [`Reader::get`] | one atomic load more than a map |
/// | look up keys in a task, a connection or a request | [`snapshot`](Self::snapshot) for each request ([why](Reader#tasks)) | one increment and one decrement of a reference count |
/// | ask several questions about one version | [`snapshot`](Self::snapshot) | one increment and one decrement of a reference count |
/// | see what another thread has published | [`wait_for`](Self::wait_for) its version, or await [`reached`](Self::reached) | blocks, or waits as a task |
/// | be told of a newer version in a task | await [`changed`](Self::changed) | O(log waiting tasks) for each wait |
/// | be told of a newer version on a thread | [`Feed::next_timeout`] of a [`subscribe`](Self::subscribe) | blocks |
/// | start with entries, or from a file | [`TableBuilder::build_with`](crate::TableBuilder::build_with) (or feature `serde`) | one insertion each |
/// | receive every change | [`subscribe`](Self::subscribe) | O(changes) for the subscriber |
/// | change it from many threads or tasks | [`SharedWriter`](crate::SharedWriter) | one queued operation each |
///
/// # Consistency
///
/// * A publish is atomic: a snapshot contains all of it or none of it.
/// * Reads are linearizable across all handles: once a publish has returned, or any thread has seen a
///   version, no thread that learns of this reads an older one. A [`Reader`] never goes backwards.
/// * A [`Feed`] delivers each version once and in order, or reports that it has missed some.
/// * A removed value is dropped when no one holds a version that contains it, in one of the publishes that
///   follow or in [`Writer::reclaim`](crate::Writer::reclaim). A resource in it, such as a socket, is better
///   closed explicitly.
/// * Changes inside values are not tracked. A counter in a value (an `Arc<AtomicU64>`) may be newer than the
///   version that contains it.
///
/// # Complexity
///
/// `n` is the number of entries; a page holds up to 448 of them, fewer if they are large.
///
/// | operation | cost | progress |
/// |---|---|---|
/// | [`Reader::get`], nothing new published | O(1): one atomic load, one hash lookup behind one or two directories | wait-free |
/// | [`Reader::get`] after a publish, [`snapshot`](Self::snapshot) | O(1): also increments a reference count | wait-free, see [below](#progress) |
/// | [`Snapshot::get`], [`len`](Snapshot::len), `clone` | O(1) | wait-free |
/// | [`Snapshot::iter`] | O(n); allocates nothing | wait-free |
/// | [`Snapshot::diff`] | O(pages that differ), each of whose entries is looked up once | wait-free |
/// | dropping a [`Snapshot`] | O(1): decrements a reference count | wait-free |
/// | [`Writer::insert`](crate::Writer::insert), [`update`](crate::Writer::update), [`remove`](crate::Writer::remove) | O(1) amortized, done twice when versions are recycled; at most eight pages at once when pages split | never waits for readers |
/// | the first of these on a page that a held version shares | a copy of the page, and of 64 pointers per directory | never waits for readers |
/// | [`Writer::publish`](crate::Writer::publish) | O(1), and dropping old versions in proportion to the batch | lock-free, see there |
/// | [`Writer::clear`](crate::Writer::clear) | O(1); the entries are dropped in the publishes that follow | never waits for readers |
/// | [`GroupIndex`](crate::table::GroupIndex) count, listing | O(1), O(keys listed) | wait-free |
/// | [`Feed::next_timeout`] | O(changes) | blocks until there is an event |
/// | awaiting [`changed`](Self::changed), [`reached`](Self::reached), [`Feed::next`] | O(log waiting tasks), and O(changes) for an event | takes a lock while there is nothing to return |
///
/// # Trade-offs
///
/// There is one writer. An update costs one or two hash lookups and, where the page is shared with a version
/// that is held, a copy of that page; in return, a batch becomes visible all at once.
///
/// | use | when |
/// |---|---|
/// | this table | many threads read, one writes (or many do through a [`SharedWriter`](crate::SharedWriter)), and readers need several keys of the same moment: counts, lists, indexes, differences, "wait until you see what I wrote" |
/// | papaya, scc, dashmap | many threads write all the time, each entry stands alone, and no query spans the whole map |
/// | `RwLock<HashMap>` | there is little contention, writes are as frequent as reads, or memory is scarce: a table that recycles versions has two copies of what changes ([`TableBuilder::recycle`](crate::TableBuilder::recycle)) |
/// | `ArcSwap<HashMap>` | changes are so rare that copying the whole map for each one does not matter: then its lookups are the fastest |
///
/// Figures for each of these are in [`docs::performance`](crate::docs::performance).
///
/// # Progress
///
/// "Wait-free" is used as `arc_swap` uses it: a load is wait-free except at most once in `usize::MAX / 4`
/// loads, when it is lock-free; and the first load of a thread claims or allocates a small record that
/// `arc_swap` keeps for the life of the process. To pay for that early, call [`reader`](Self::reader) when a
/// thread starts.
///
/// # Examples
/// ```
/// use switchboard::Table;
///
/// let (mut writer, table) = Table::<u64, &str>::new();
/// writer.insert(7, "seven");
/// let empty = table.snapshot();
///
/// let version = writer.publish();
/// assert_eq!(table.version(), version);
/// assert_eq!(table.snapshot().get(&7), Some(&"seven"));
/// assert!(empty.is_empty(), "a version never changes");
/// ```
pub struct Table<K, V, I = (), S = DefaultHashBuilder> {
    pub(super) cell: Arc<SnapshotCell<State<K, V, I, S>>>,
}

impl<K, V, I, S> Table<K, V, I, S> {
    pub(super) fn new_handle(cell: Arc<SnapshotCell<State<K, V, I, S>>>) -> Self {
        Self { cell }
    }

    /// Returns a snapshot of the newest version.
    ///
    /// # Progress
    ///
    /// Wait-free (see [`Table`]). Writes to shared memory, to increment a reference count; in a hot loop, use
    /// a [`Reader`], which does not.
    pub fn snapshot(&self) -> Snapshot<K, V, I, S> {
        Snapshot::new(self.cell.load())
    }

    /// Returns a reader for one thread, which checks with one atomic load whether its version is still the
    /// newest.
    ///
    /// Between its calls the reader holds a version. Keep one per thread, not one per task or connection:
    /// thousands of idle readers hold as many versions. [`Reader`](Reader#tasks) describes the alternatives.
    #[must_use]
    pub fn reader(&self) -> Reader<K, V, I, S> {
        Reader::new(self.cell.clone())
    }

    /// Returns the number of the newest version: one atomic load, wait-free.
    #[must_use]
    pub fn version(&self) -> Version {
        self.cell.version()
    }

    /// Blocks until `version` or a later one is published, and returns the newest version.
    ///
    /// This is how a thread reads its own writes: any snapshot taken after the return is of `version` or
    /// newer.
    ///
    /// # Errors
    /// [`WaitError::Timeout`] if that has not happened within `timeout` (a timeout that the clock cannot
    /// represent never expires), and [`WaitError::WriterClosed`] as soon as it is certain that it never will.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use switchboard::Table;
    /// use switchboard::table::WaitError;
    ///
    /// let (mut writer, table) = Table::<u64, u64>::new();
    /// writer.insert(1, 1);
    /// let version = writer.publish();
    /// assert_eq!(table.wait_for(version, Duration::ZERO), Ok(version));
    /// # let later = { writer.insert(2, 2); writer.publish() };
    /// drop(writer);
    /// assert_eq!(table.wait_for(later, Duration::ZERO), Ok(later));
    /// ```
    pub fn wait_for(&self, version: Version, timeout: Duration) -> Result<Version, WaitError> {
        self.cell.wait_for(version, timeout)
    }

    /// Blocks until a version newer than `version` is published, and returns the newest version.
    ///
    /// `version` is that of the last snapshot that the thread has seen, so a change between two calls is not
    /// missed. The form of [`changed`](Self::changed) for threads.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for); [`WaitError::WriterClosed`] if `version` is the last one.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use switchboard::Table;
    ///
    /// let (mut writer, table) = Table::<u64, u64>::new();
    /// let watcher = std::thread::spawn(move || {
    ///     let mut seen = table.version();
    ///     while let Ok(newest) = table.wait_changed(seen, Duration::MAX) {
    ///         seen = newest;
    ///     }
    ///     table.snapshot().len() // the last version
    /// });
    /// writer.insert(1, 1);
    /// writer.publish();
    /// drop(writer);
    /// assert_eq!(watcher.join().unwrap(), 1);
    /// ```
    pub fn wait_changed(&self, version: Version, timeout: Duration) -> Result<Version, WaitError> {
        self.cell.wait_for(version.newer(), timeout)
    }

    /// Waits, as a task, until `version` or a later one is published, and returns the newest version: the
    /// asynchronous form of [`wait_for`](Self::wait_for).
    ///
    /// This is how a task reads its own writes. The future needs no runtime and can be dropped at any time;
    /// see [`Published`] for its cost. For a timeout, use that of the runtime.
    ///
    /// # Errors
    /// [`WriterClosed`](crate::table::WriterClosed) if the writer was dropped without publishing `version`.
    ///
    /// # Examples
    /// ```
    /// use switchboard::Table;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (mut writer, table) = Table::<u64, u64>::new();
    /// writer.insert(1, 1);
    /// let version = writer.publish();
    /// assert_eq!(table.reached(version).await, Ok(version));
    /// # });
    /// ```
    pub fn reached(&self, version: Version) -> Published<K, V, I, S> {
        Published::new(self.cell.clone(), version)
    }

    /// Waits, as a task, until a version newer than `version` is published, and returns the newest version.
    ///
    /// `version` is that of the last snapshot that the task has seen, so a change between two calls is not
    /// missed; [`version`](Self::version) may already be a later one. Several versions that were published in
    /// the meantime count as one change; [`subscribe`](Self::subscribe) delivers each of them. The future
    /// needs no runtime and can be dropped at any time; see [`Published`] for its cost.
    ///
    /// # Errors
    /// [`WriterClosed`](crate::table::WriterClosed) if the writer was dropped and `version` is the last one.
    ///
    /// # Examples
    /// ```
    /// use switchboard::Table;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (mut writer, table) = Table::<u64, u64>::new();
    /// let watcher = async {
    ///     let mut sizes = Vec::new();
    ///     loop {
    ///         let snapshot = table.snapshot();
    ///         let seen = snapshot.version();
    ///         sizes.push(snapshot.len());
    ///         drop(snapshot); // while it waits, the task holds no version
    ///         if table.changed(seen).await.is_err() {
    ///             break sizes;
    ///         }
    ///     }
    /// };
    /// let publisher = async move {
    ///     for key in 0..3 {
    ///         writer.insert(key, key);
    ///         writer.publish();
    ///         tokio::task::yield_now().await;
    ///     }
    /// };
    /// let (sizes, ()) = tokio::join!(biased; watcher, publisher);
    /// assert_eq!(sizes, [0, 1, 2, 3]);
    /// # });
    /// ```
    pub fn changed(&self, version: Version) -> Published<K, V, I, S> {
        Published::new(self.cell.clone(), version.newer())
    }

    /// Follows the table from its newest version onwards, version by version.
    ///
    /// The feed starts at an exact snapshot, [`Feed::snapshot`], and delivers every version published after
    /// it. See [`Feed`] for an example and for what happens to a slow subscriber.
    ///
    /// # Progress
    ///
    /// Wait-free, as [`snapshot`](Self::snapshot).
    pub fn subscribe(&self) -> Feed<K, V, I, S> {
        Feed::new(self.cell.clone(), None)
    }

    /// Follows the table from `snapshot` onwards, version by version: continues where another feed, or a
    /// reader, stopped.
    ///
    /// If some of the versions since then are no longer in the history, or there was no subscriber when they
    /// were published, the first event is [`FeedEvent::Lagged`](crate::table::FeedEvent::Lagged). To miss
    /// nothing between two feeds, create the second one before the first is dropped.
    ///
    /// # Panics
    /// If `snapshot` is of another table.
    ///
    /// # Progress
    ///
    /// Wait-free, as [`snapshot`](Self::snapshot).
    pub fn subscribe_from(&self, snapshot: Snapshot<K, V, I, S>) -> Feed<K, V, I, S> {
        Feed::new(self.cell.clone(), Some(snapshot))
    }

    /// Whether the writer has been dropped; the newest version is then the last one.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.cell.is_closed()
    }
}

impl<K, V, I, S> Clone for Table<K, V, I, S> {
    /// Returns another handle of the same table.
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone() }
    }
}

impl<K, V, I, S> fmt::Debug for Table<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("version", &self.version())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
