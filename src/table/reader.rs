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
/// Between two calls it holds the version that it saw last. An idle reader keeps that version alive (the
/// pages that have changed since); drop it, or call [`snapshot`](Self::snapshot) from time to time.
///
/// # Progress
///
/// Wait-free while nothing is published: one atomic load, and no write to shared memory. The first call after
/// a publish costs as much as [`Table::snapshot`](crate::Table::snapshot).
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
pub struct Reader<K, V, I = (), S = DefaultHashBuilder> {
    cell: Arc<SnapshotCell<State<K, V, I, S>>>,
    snapshot: Snapshot<K, V, I, S>,
}

impl<K, V, I, S> Reader<K, V, I, S> {
    pub(super) fn new(cell: Arc<SnapshotCell<State<K, V, I, S>>>) -> Self {
        let snapshot = Snapshot::new(cell.load());
        Self { cell, snapshot }
    }

    /// Returns the newest version.
    #[inline]
    pub fn snapshot(&mut self) -> &Snapshot<K, V, I, S> {
        // Not `!=`: the snapshot may be ahead of the counter, if it was loaded while the writer was between
        // storing the two. It is kept then.
        if self.cell.version() > self.snapshot.version() {
            self.refresh();
        }
        &self.snapshot
    }

    #[cold]
    #[inline(never)]
    fn refresh(&mut self) {
        self.snapshot = Snapshot::new(self.cell.load());
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
    /// Returns another reader of the same table, for another thread.
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone(), snapshot: self.snapshot.clone() }
    }
}

impl<K, V, I, S> fmt::Debug for Reader<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.snapshot.version())
            .field("len", &self.snapshot.len())
            .finish_non_exhaustive()
    }
}
