use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use super::cell::SnapshotCell;
use super::state::State;
use crate::sync::Arc;
use crate::table::hash::DefaultHashBuilder;
use crate::table::snapshot::Snapshot;
use crate::table::version::Version;

/// A reader for hot loops: keeps a snapshot, and checks with one atomic load whether it is still the newest.
///
/// Each thread uses its own: a reader is `Send`, and its methods take `&mut self`. It never goes back to an
/// older version, and never returns one older than a version that another thread has read and told this
/// thread about.
///
/// # Memory
///
/// Between two calls a reader holds the version that it saw last. An idle reader therefore keeps that version
/// alive: the pages that have changed since, and every value in them that was removed or replaced. Readers
/// that become idle at different versions each hold a copy of these pages: in a table of 1.3 MB, 1,000 of
/// them have been measured to hold 162 MB.
///
/// [`release`](Self::release) lets go of the version until the next call. [`Stats::readers`] shows how many
/// readers hold one.
///
/// # Tasks
///
/// A reader belongs to a thread, not to a task, a connection or a request: the number of readers is then the
/// number of threads, whatever the number of tasks. An async program uses
///
/// * [`Table::snapshot`](crate::Table::snapshot) for each request. It is wait-free and costs an increment and
///   a decrement of a reference count. Each task keeps a clone of the [`Table`](crate::Table), which holds no
///   version, and drops the snapshot before it waits for something that takes long. 10,000 tasks that wait in
///   this way have been measured to add 4.5 MB to a table of 44 MB, including the memory that tokio takes for
///   the tasks (`tests/tasks_memory.rs`).
/// * or, in the hottest paths, one reader for each worker thread, in a `thread_local!` of its table: the reader
///   keeps the table alive until the thread ends. A worker that parks lets go of its version: tokio has
///   `Builder::on_thread_park` for this.
///
/// A reader in a task that waits for minutes holds a version for minutes. If a reader must live in a task,
/// `release` it before each wait.
///
/// ```
/// use std::cell::RefCell;
/// use std::sync::OnceLock;
/// use switchboard::{Reader, Table};
///
/// /// The routes of the program: the only table that `READER` reads.
/// static ROUTES: OnceLock<Table<u64, u64>> = OnceLock::new();
///
/// thread_local! {
///     static READER: RefCell<Option<Reader<u64, u64>>> = const { RefCell::new(None) };
/// }
///
/// /// Looks up a key. The first call on a thread creates the reader of the thread.
/// fn route(key: u64) -> Option<u64> {
///     READER.with_borrow_mut(|reader| {
///         if reader.is_none() {
///             *reader = ROUTES.get().map(Table::reader);
///         }
///         reader.as_mut()?.get(&key).copied()
///     })
/// }
///
/// /// To be called when the thread is about to park.
/// fn on_thread_park() {
///     READER.with_borrow_mut(|reader| reader.as_mut().map(Reader::release));
/// }
///
/// let (mut writer, table) = Table::<u64, u64>::new();
/// ROUTES.set(table).expect("there is one table of routes");
/// writer.insert(7, 70);
/// writer.publish();
/// assert_eq!(route(7), Some(70));
/// assert_eq!(writer.stats().readers, 1);
/// on_thread_park();
/// assert_eq!(writer.stats().readers, 0);
/// ```
///
/// # Progress
///
/// Wait-free while nothing is published: one atomic load, and no write to shared memory. The first call after
/// a publish, or after [`release`](Self::release), costs as much as
/// [`Table::snapshot`](crate::Table::snapshot).
///
/// # Examples
/// ```
/// let (mut writer, table) = switchboard::Table::<u64, &str>::new();
/// let mut reader = table.reader();
/// assert_eq!(reader.get(&7), None);
/// writer.insert(7, "seven");
/// assert_eq!(reader.get(&7), None);
/// writer.publish();
/// assert_eq!(reader.get(&7), Some(&"seven"));
/// ```
///
/// [`Stats::readers`]: crate::table::Stats::readers
pub struct Reader<K, V, I = (), S = DefaultHashBuilder> {
    cell: Arc<SnapshotCell<State<K, V, I, S>>>,
    /// `None` while released. If there is one, the cell counts this reader.
    held: Option<Snapshot<K, V, I, S>>,
}

impl<K, V, I, S> Reader<K, V, I, S> {
    pub(super) fn new(cell: Arc<SnapshotCell<State<K, V, I, S>>>) -> Self {
        let mut reader = Self { cell, held: None };
        reader.refresh();
        reader
    }

    /// Returns the newest version.
    #[inline]
    pub fn snapshot(&mut self) -> &Snapshot<K, V, I, S> {
        // Not `!=`: the snapshot may be ahead of the counter, if it was loaded while the writer was between
        // storing the two. It is kept then.
        let is_newest = self.held.as_ref().is_some_and(|held| self.cell.version() <= held.version());
        if !is_newest {
            return self.refresh();
        }
        match &self.held {
            Some(held) => held,
            None => unreachable!("it is the newest"),
        }
    }

    /// Takes the newest version. Not older than any that this reader had before it was released: all of them
    /// were loaded from the same cell.
    #[cold]
    #[inline(never)]
    fn refresh(&mut self) -> &Snapshot<K, V, I, S> {
        if self.held.is_none() {
            self.cell.enter();
        }
        self.held.insert(Snapshot::new(self.cell.load()))
    }

    /// Lets go of the held version until the next call, which costs as much as
    /// [`Table::snapshot`](crate::Table::snapshot). A second call has no effect.
    ///
    /// Call it before the thread or task waits for long. A released reader keeps the table alive, and no
    /// version of it.
    ///
    /// # Progress
    ///
    /// Wait-free: decrements a reference count and a counter. Never runs a destructor of a key or value.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, table) = switchboard::Table::<u64, &str>::new();
    /// writer.insert(7, "seven");
    /// writer.publish();
    /// let mut reader = table.reader();
    /// assert_eq!(reader.held_version(), Some(table.version()));
    ///
    /// reader.release();
    /// assert_eq!(reader.held_version(), None);
    /// writer.insert(7, "eight");
    /// writer.publish();
    /// assert_eq!((writer.stats().alive, writer.stats().readers), (1, 0));
    /// assert_eq!(reader.get(&7), Some(&"eight"));
    /// ```
    pub fn release(&mut self) {
        if self.held.take().is_some() {
            self.cell.exit();
        }
    }

    /// Returns the version that the reader holds, which may be an older one than the newest. `None` if the
    /// reader is [released](Self::release).
    #[must_use]
    pub fn held_version(&self) -> Option<Version> {
        self.held.as_ref().map(Snapshot::version)
    }

    /// Returns the number of the newest version.
    pub fn version(&mut self) -> Version {
        self.snapshot().version()
    }
}

impl<K: Hash + Eq, V, I, S: BuildHasher> Reader<K, V, I, S> {
    /// Returns the value of `key` in the newest version. O(1).
    ///
    /// Two calls may read two different versions. To read several keys from one version, use
    /// [`snapshot`](Self::snapshot).
    #[inline]
    pub fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.snapshot().get(key)
    }

    /// Returns the values of several keys, all from the newest version. O(N); see
    /// [`Snapshot::get_many`](crate::Snapshot::get_many). For any number of keys, use
    /// [`snapshot`](Self::snapshot) and [`get_each`](crate::Snapshot::get_each).
    #[inline]
    pub fn get_many<Q, const N: usize>(&mut self, keys: [&Q; N]) -> [Option<&V>; N]
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.snapshot().get_many(keys)
    }

    /// Whether the newest version has an entry for `key`. O(1).
    #[inline]
    pub fn contains_key<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key).is_some()
    }
}

impl<K, V, I, S> Clone for Reader<K, V, I, S> {
    /// Returns another reader of the same table, for another thread. It holds the same version; the clone of
    /// a released reader is released.
    fn clone(&self) -> Self {
        if self.held.is_some() {
            self.cell.enter();
        }
        Self { cell: self.cell.clone(), held: self.held.clone() }
    }
}

impl<K, V, I, S> Drop for Reader<K, V, I, S> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<K, V, I, S> fmt::Debug for Reader<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.held_version())
            .field("len", &self.held.as_ref().map(Snapshot::len))
            .finish_non_exhaustive()
    }
}
