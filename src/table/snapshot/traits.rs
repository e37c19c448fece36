//! The methods and traits that a snapshot shares with the maps of the standard library.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;
use std::ops;

use super::{Iter, Snapshot};
impl<K, V, I, S> Snapshot<K, V, I, S> {
    /// Iterates over all keys, in the order of [`iter`](Self::iter).
    ///
    /// # Examples
    /// ```
    /// let snapshot: switchboard::Snapshot<u64, &str> = [(1, "one"), (2, "two")].into_iter().collect();
    /// assert_eq!(snapshot.keys().sum::<u64>(), 3);
    /// ```
    #[must_use = "iterators are lazy"]
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> + FusedIterator + Clone + use<'_, K, V, I, S> {
        self.iter().map(|(key, _)| key)
    }

    /// Iterates over all values, in the order of [`iter`](Self::iter).
    ///
    /// # Examples
    /// ```
    /// let snapshot: switchboard::Snapshot<&str, u64> = [("one", 1), ("two", 2)].into_iter().collect();
    /// assert_eq!(snapshot.values().max(), Some(&2));
    /// ```
    #[must_use = "iterators are lazy"]
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> + FusedIterator + Clone + use<'_, K, V, I, S> {
        self.iter().map(|(_, value)| value)
    }
}

impl<'a, K, V, I, S> IntoIterator for &'a Snapshot<K, V, I, S> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K, V, I, S, Q> ops::Index<&Q> for Snapshot<K, V, I, S>
where
    K: Hash + Eq + Borrow<Q>,
    S: BuildHasher,
    Q: Hash + Eq + ?Sized,
{
    type Output = V;

    /// Returns the value of `key`. O(1).
    ///
    /// # Panics
    /// If there is no such entry; [`get`](Snapshot::get) returns `None` instead.
    fn index(&self, key: &Q) -> &V {
        match self.get(key) {
            Some(value) => value,
            None => panic!("no entry for this key in version {}", self.version()),
        }
    }
}

impl<K, V, I, S> PartialEq for Snapshot<K, V, I, S>
where
    K: Hash + Eq,
    V: PartialEq,
    S: BuildHasher,
{
    /// Whether both have the same entries. They may be of two tables; versions and indexes are not compared.
    /// O(len).
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K, V, I, S> Eq for Snapshot<K, V, I, S>
where
    K: Hash + Eq,
    V: Eq,
    S: BuildHasher,
{
}

impl<K: fmt::Debug, V: fmt::Debug, I, S> fmt::Debug for Snapshot<K, V, I, S> {
    /// Formats the entries, as a map.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}
