//! The read side of a table.

use std::fmt;
use std::time::Duration;

use crate::sync::Arc;
use crate::table::cell::SnapshotCell;
use crate::table::feed::Feed;
use crate::table::hash::DefaultHashBuilder;
use crate::table::reader::Reader;
use crate::table::snapshot::Snapshot;
use crate::table::state::State;
use crate::table::version::Version;
use crate::table::waiters::WaitError;
/// The read side of a table: a cheap handle, for as many threads as there are.
///
/// A table maps keys to values in *versions*. One [`Writer`](crate::Writer) stages changes and publishes them; a published
/// version never changes. Readers take the newest version, whole, and read it for as long as they like: what
/// they see is consistent in itself, over all keys and over the [index](crate::table::Index), and no reader ever waits for
/// the writer or makes it wait.
///
/// | to | use | cost |
/// |---|---|---|
/// | look up in a hot loop | [`reader`](Self::reader), then [`Reader::get`] | one atomic load more than a map |
/// | ask several questions about one version | [`snapshot`](Self::snapshot) | one reference count up and down |
/// | follow what another thread wrote | [`wait_for`](Self::wait_for) its version | blocks |
/// | start from entries, or from a file | [`TableBuilder::build_with`](crate::TableBuilder::build_with) (or feature `serde`) | one insertion each |
/// | hear of every change | [`subscribe`](Self::subscribe) | O(changes) for the subscriber |
///
/// # Consistency
///
/// * A publish is atomic: a snapshot has all of it or nothing.
/// * Reads are linearizable over all handles: once a publish has returned, or once any thread has seen a
///   version, nobody who learns of that reads an older one. A [`Reader`] never goes backwards.
/// * A [`Feed`] delivers each version once and in order, or says that it has missed some.
/// * A value that was removed is dropped when no one holds a version that has it, in one of the publishes that
///   follow or in [`Writer::reclaim`](crate::Writer::reclaim). A resource in it, such as a socket, is better closed explicitly.
/// * Values are not tracked. A counter inside a value (an `Arc<AtomicU64>`) is newer than the version it is
///   found in.
///
/// # Complexity
///
/// `n` is the number of entries; a page has up to 448 of them, fewer if they are large.
///
/// | operation | cost | progress |
/// |---|---|---|
/// | [`Reader::get`], nothing new published | O(1): one atomic load, one hash lookup behind one or two directories | wait-free |
/// | [`Reader::get`] after a publish, [`snapshot`](Self::snapshot) | O(1): a reference count more | wait-free, see [below](#progress) |
/// | [`Snapshot::get`], [`len`](Snapshot::len), `clone` | O(1) | wait-free |
/// | [`Snapshot::iter`] | O(n); nothing allocated | wait-free |
/// | [`Snapshot::diff`] | O(pages that differ), each entry of which is looked up once | wait-free |
/// | dropping a [`Snapshot`] | O(1): a counter | wait-free |
/// | [`Writer::insert`](crate::Writer::insert), [`update`](crate::Writer::update), [`remove`](crate::Writer::remove) | O(1) amortized, done twice when versions are recycled; at most eight pages at once when pages split | never waits for readers |
/// | the first of these on a page that a held version shares | a copy of the page, and of 64 pointers per directory | never waits for readers |
/// | [`Writer::publish`](crate::Writer::publish) | O(1), and a share of dropping old versions in proportion to the batch | lock-free, see there |
/// | [`Writer::clear`](crate::Writer::clear) | O(1); dropped in the publishes that follow | never waits for readers |
/// | [`GroupIndex`](crate::table::GroupIndex) count, listing | O(1), O(keys listed) | wait-free |
/// | [`Feed::next_timeout`] | O(changes) | blocks until there is something |
///
/// # Trade-offs
///
/// There is one writer. An update costs a hash lookup or two and, where the page is shared with a version
/// that somebody holds, a copy of that page; in return it is seen at once as a whole.
///
/// | take | when |
/// |---|---|
/// | this table | many read, one writes (or can be made to: an actor, a mutex around the [`Writer`](crate::Writer)), and readers want more than one key of the same moment: counts, lists, indexes, differences, "wait until you see what I wrote" |
/// | papaya, scc, dashmap | many threads write all the time, each entry is for itself, and nobody asks about the whole |
/// | `RwLock<HashMap>` | there is little contention, writes are as frequent as reads, or memory is scarce: a table that recycles versions has two copies of what changes ([`TableBuilder::recycle`](crate::TableBuilder::recycle)) |
/// | `ArcSwap<HashMap>` | it changes so seldom that a copy of everything per change does not matter: then it has the fastest lookups |
///
/// Figures beside each of these are in [`docs::performance`](crate::docs::performance).
///
/// # Progress
///
/// "Wait-free" is used as `arc_swap` uses it: a load is wait-free except at most once in `usize::MAX / 4`
/// loads, when it is lock-free; and the first load of a thread claims or allocates a small record that
/// `arc_swap` keeps for the life of the process. [`reader`](Self::reader) on a new thread is a good place to
/// pay for that.
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

    /// The newest version, to keep.
    ///
    /// # Progress
    ///
    /// Wait-free (see [`Table`]). Writes to shared memory, to count itself: in a hot loop, a [`Reader`] does
    /// not.
    pub fn snapshot(&self) -> Snapshot<K, V, I, S> {
        Snapshot::new(self.cell.load())
    }

    /// A reader for one thread, which asks with one atomic load whether its version is still the newest.
    #[must_use]
    pub fn reader(&self) -> Reader<K, V, I, S> {
        Reader::new(self.cell.clone())
    }

    /// The number of the newest version: one atomic load, wait-free.
    #[must_use]
    pub fn version(&self) -> Version {
        self.cell.version()
    }

    /// Blocks until `version` or a later one is published, and returns the newest: read your writes.
    ///
    /// Any snapshot that is taken after this has returned is of `version` or newer.
    ///
    /// # Errors
    /// [`WaitError::Timeout`] when that has not happened within `timeout` (one too long for the clock is no
    /// bound), and [`WaitError::WriterClosed`] as soon as it is clear that it never will.
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

    /// Follows the table from its newest version on, version by version.
    ///
    /// The feed starts at an exact snapshot, [`Feed::snapshot`]; what is published later comes out of it. See
    /// [`Feed`] for an example and for what a slow subscriber gets.
    ///
    /// # Progress
    ///
    /// Wait-free, as [`snapshot`](Self::snapshot).
    pub fn subscribe(&self) -> Feed<K, V, I, S> {
        Feed::new(self.cell.clone(), None)
    }

    /// Follows the table from `snapshot` on, version by version: resumes what another feed, or a reader, has
    /// left off.
    ///
    /// When some of the versions since then are not in the history any more, or nobody was subscribed when
    /// they were published, the first event is [`FeedEvent::Lagged`](crate::table::FeedEvent::Lagged). To be sure to miss nothing between two
    /// feeds, make the second one before the first is dropped.
    ///
    /// # Panics
    /// When `snapshot` is of another table.
    ///
    /// # Progress
    ///
    /// Wait-free, as [`snapshot`](Self::snapshot).
    pub fn subscribe_from(&self, snapshot: Snapshot<K, V, I, S>) -> Feed<K, V, I, S> {
        Feed::new(self.cell.clone(), Some(snapshot))
    }

    /// Whether the writer has been dropped: then the newest version is the last one.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.cell.is_closed()
    }
}

impl<K, V, I, S> Clone for Table<K, V, I, S> {
    /// Another handle of the same table.
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
