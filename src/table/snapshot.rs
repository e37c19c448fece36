pub(super) mod get_each;
mod traits;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use get_each::GetEach;

use super::cell::Header;
use super::diff::{self, Change, EitherDiff};
use super::page_map;
use super::state::State;
use crate::sync::Arc;
use crate::table::hash::DefaultHashBuilder;
use crate::table::version::Version;

/// One version of a table: immutable, owned, valid indefinitely.
///
/// Cloning increments a reference count and dropping decrements it, and neither does anything else while the
/// table, a reader or the writer is alive: the table keeps every version until no one holds it, so **a thread
/// that drops a snapshot never runs the destructor of a key or value**. A snapshot that outlives all of them
/// is the last owner of its version, and frees it when it is dropped.
///
/// A snapshot keeps alive what has changed since it was taken: the pages (a few hundred entries each) that
/// the writer has touched, not a copy of the table. With [recycling](crate::TableBuilder::recycle), the
/// writer's one or two working copies are added to this, once for all snapshots together.
///
/// # Progress
///
/// Reading is wait-free: no lock, no atomic operation, no reference count.
#[must_use = "a snapshot does nothing unless it is read"]
pub struct Snapshot<K, V, I = (), S = DefaultHashBuilder> {
    header: Arc<Header<State<K, V, I, S>>>,
}

impl<K, V, I, S> Snapshot<K, V, I, S> {
    pub(super) fn new(header: Arc<Header<State<K, V, I, S>>>) -> Self {
        Self { header }
    }

    #[inline]
    pub(super) fn state(&self) -> &State<K, V, I, S> {
        self.header.state()
    }

    /// Returns the number of this version.
    #[inline]
    #[must_use]
    pub fn version(&self) -> Version {
        self.header.version()
    }

    /// Whether both are versions of one table.
    #[cfg(feature = "manager")]
    pub(crate) fn is_related_to(&self, other: &Self) -> bool {
        self.state().is_related_to(other.state())
    }

    /// Returns the number of entries. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().map.len()
    }

    /// Whether there is no entry. O(1).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state().map.is_empty()
    }

    /// Returns the index, as it was when this version was published.
    #[must_use]
    pub fn index(&self) -> &I {
        &self.state().index
    }

    /// Iterates over all entries, in no particular order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { inner: self.state().map.iter() }
    }
}

impl<K: Hash + Eq, V, I, S: BuildHasher> Snapshot<K, V, I, S> {
    /// Returns the value of `key`. O(1).
    #[inline]
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.state().get(key)
    }

    /// Returns the values of several keys. O(N), without allocation.
    ///
    /// Faster than one [`get`](Self::get) after the other in tables that are larger than the caches next to the
    /// processor, because the waits for memory overlap: with sixteen keys at a time, lookups take less than half of
    /// the time ([`docs::performance`](crate::docs::performance)). For any number of keys, use
    /// [`get_each`](Self::get_each).
    ///
    /// # Examples
    /// ```
    /// let (mut writer, table) = switchboard::Table::<u64, &str>::new();
    /// writer.extend([(1, "one"), (2, "two")]);
    /// writer.publish();
    /// assert_eq!(table.snapshot().get_many([&1, &3, &2]), [Some(&"one"), None, Some(&"two")]);
    /// ```
    #[inline]
    #[must_use]
    pub fn get_many<Q, const N: usize>(&self, keys: [&Q; N]) -> [Option<&V>; N]
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.state().get_many(&keys)
    }

    /// Returns an iterator over the values of the keys, in their order: [`get_many`](Self::get_many) for any number
    /// of keys. Takes sixteen keys at a time, before it returns the value of the first of them. Does not allocate.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, table) = switchboard::Table::<u64, u64>::new();
    /// writer.extend((0..100).map(|key| (key, key * key)));
    /// writer.publish();
    /// let snapshot = table.snapshot();
    /// let keys: Vec<u64> = (90..110).collect();
    /// let values: Vec<_> = snapshot.get_each(&keys).collect();
    /// assert_eq!((values[0], values[9], values[10]), (Some(&8_100), Some(&9_801), None));
    /// ```
    #[must_use = "iterators are lazy"]
    pub fn get_each<'a, Q, T>(&'a self, keys: T) -> GetEach<'a, K, V, I, S, T::IntoIter>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'a,
        T: IntoIterator<Item = &'a Q>,
    {
        GetEach::new(self.state(), keys.into_iter())
    }

    /// Returns the stored key that equals `key`, with its value. O(1).
    #[must_use]
    pub fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.state().get_key_value(key)
    }

    /// Whether there is an entry for `key`. O(1).
    #[must_use]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key).is_some()
    }
}

impl<K: Hash + Eq, V: PartialEq, I, S: BuildHasher> Snapshot<K, V, I, S> {
    /// Returns the changes that lead from `older` to this snapshot, in no particular order.
    ///
    /// # Complexity
    ///
    /// O(operations in between), each key looked up in both versions, if the newer version knows them: while
    /// there is a [subscriber](crate::Table::subscribe), versions carry the operations of the versions just
    /// before them ([`TableBuilder::history`](crate::TableBuilder::history)). Allocates a list of these keys.
    ///
    /// Otherwise O(pages that were written in between, and their entries), a few hundred entries for each
    /// change at most: pages that both versions share, and directories of them, are skipped by comparing
    /// their addresses. With [recycling](crate::TableBuilder::recycle), two versions may be copies that share
    /// nothing. Pages that were last written in the same version are skipped then: one additional step for
    /// each page of the table, about len / 250 of them, and no additional entry. Each visited entry is looked
    /// up once in the other version. Does not allocate.
    ///
    /// `older` may be the newer one of the two; the changes then lead backwards.
    ///
    /// # Panics
    /// If `older` is a snapshot of another table.
    ///
    /// # Examples
    /// ```
    /// use switchboard::Table;
    /// use switchboard::table::Change;
    ///
    /// let (mut writer, table) = Table::<&str, u32>::new();
    /// writer.insert("kept", 1);
    /// writer.insert("changed", 1);
    /// writer.publish();
    /// let older = table.snapshot();
    /// writer.insert("changed", 2);
    /// writer.publish();
    ///
    /// let newer = table.snapshot();
    /// let changes: Vec<_> = newer.diff(&older).collect();
    /// assert_eq!(changes, [Change::Updated { key: &"changed", old: &1, new: &2 }]);
    /// ```
    #[must_use = "iterators are lazy"]
    pub fn diff<'a>(
        &'a self,
        older: &'a Self,
    ) -> impl FusedIterator<Item = Change<'a, K, V>> + use<'a, K, V, I, S> {
        let older_version = older.version();
        let (older, newer) = (older.state(), self.state());
        assert!(newer.is_related_to(older), "`diff` compares two versions of one table");
        match newer.history.ops_since(older_version) {
            Some(batches) => EitherDiff::Ops(diff::diff_by_ops(&older.map, &newer.map, &batches)),
            None => EitherDiff::Pages(diff::diff(&older.map, &newer.map, |key: &K| newer.hash(key))),
        }
    }
}

impl<K, V, I, S> Clone for Snapshot<K, V, I, S> {
    fn clone(&self) -> Self {
        Self { header: self.header.clone() }
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

/// An iterator over the entries of a [`Snapshot`], or the staged entries of a [`Writer`](crate::Writer).
#[must_use = "iterators are lazy"]
pub struct Iter<'a, K, V> {
    pub(super) inner: page_map::Iter<'a, K, V>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
