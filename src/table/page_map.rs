//! The persistent paged map, which holds the entries of a version.
//!
//! A clone is O(1) and shares everything; a write copies the page that it touches and the directories above
//! it, if and only if they are shared. [`pages`] explains the structure.

mod iter;
pub(crate) mod node;
pub(crate) mod pages;
mod reshape;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::borrow::Borrow;
use std::collections::HashSet;
use std::iter::FusedIterator;
use std::mem;

use pages::{Dismantle, Entry, Pages};

/// Number of keys that are looked up together: more of them take as long each.
pub(super) const TOGETHER: usize = 16;

/// A persistent hash map. The caller computes the hashes.
///
/// Every operation on a key takes the hash of that key, and those that may move entries also take a hasher
/// that must agree with it. A panic of `K`'s or `V`'s code in the middle of an operation leaves the map as it
/// was before.
///
/// # Bounds
///
/// A page has up to `P` entries ([`Page::FULL`](node::Page::FULL): 448, fewer for entries of more than 64
/// bytes) and a directory up to 64 slots. A path has one directory up to about 28 thousand entries, two up to
/// 1.8 million, and so on; eleven if all hashes agree in all but the last bits.
///
/// * `get`: one array access per directory, then one probe of a `hashbrown::HashTable`.
/// * `get_mut`, and `insert` of an existing key: the same, and a copy of at most one page (`P` entries) and
///   64 pointers per directory, as far as they are shared.
/// * `insert` of a new key: in addition it moves the entries of one page when its table grows, and of up to
///   eight pages (`8 * P` entries, copied first if shared) when they are split into sixty-four. With a good
///   hasher this happens once in `8 * P` insertions, one directory at a time: O(1) amortized.
/// * `remove`: in addition it moves up to `4 * P` entries when pages merge, with the same amortization, and
///   reads the sizes of up to 64 pages once in eight removals from a page.
/// * `clone`: increments one reference count. `iter`: O(1) to start, no allocation. `clear`, and dropping a
///   map: as many pages as no other version shares.
///
/// Entries whose 64-bit hashes are all equal cannot be separated: they share one page of unbounded size.
pub(crate) struct PageMap<K, V> {
    pages: Pages<(K, V)>,
}

impl<K, V> Clone for PageMap<K, V> {
    #[inline]
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone() }
    }
}

impl<K, V> PageMap<K, V> {
    /// Creates an empty map. Does not allocate.
    pub(crate) fn new() -> Self {
        Self { pages: Pages::new() }
    }

    /// Creates an empty map. The capacity is a hint.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { pages: Pages::with_capacity(capacity) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops up to `budget` pages that no other version shares; returns `true` when nothing is left. For
    /// versions that are no longer needed: until it is done, the remains are not a valid map.
    pub(crate) fn dismantle(&mut self, budget: &mut usize) -> bool {
        self.pages.dismantle(budget)
    }

    /// Like [`dismantle`](Self::dismantle), for entries that have to be dismantled themselves.
    pub(crate) fn dismantle_with(&mut self, budget: &mut usize, entry: &mut Dismantle<'_, (K, V)>) -> bool {
        self.pages.dismantle_with(budget, entry)
    }

    #[cfg(all(test, not(switchboard_model)))]
    /// Drops this version's references. The entries that no other version shares are dropped with them.
    #[cfg(test)]
    pub(crate) fn clear(&mut self) {
        self.pages = Pages::new();
    }

    /// Sets the number of the version that later changes make; see [`node::Stamp`].
    pub(crate) fn set_stamp(&mut self, stamp: node::Stamp) {
        self.pages.set_stamp(stamp);
    }

    /// Iterates over the entries, in an arbitrary order.
    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        Iter { entries: self.pages.iter() }
    }

    #[cfg(all(test, not(switchboard_model)))]
    /// Counts pages and bytes. O(pages).
    pub(crate) fn stats(&self) -> Stats {
        self.pages.stats()
    }

    /// Returns the heap memory of pages and directories whose addresses are not in `seen`, and adds them to
    /// it. O(pages).
    pub(crate) fn bytes_unseen(&self, seen: &mut HashSet<usize>) -> usize {
        self.pages.bytes_unseen(seen)
    }

    pub(super) fn pages(&self) -> &Pages<(K, V)> {
        &self.pages
    }
}

impl<K: Eq, V> PageMap<K, V> {
    #[inline]
    pub(crate) fn get<Q>(&self, hash: u64, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.pages.find(hash, |(k, _)| k.borrow() == key).map(|(_, value)| value)
    }

    /// Returns the values of up to `N` keys; see [`Pages::find_many`].
    #[inline]
    pub(crate) fn get_many<Q, const N: usize>(&self, hashes: &[u64], keys: &[&Q]) -> [Option<&V>; N]
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.pages
            .find_many(hashes, |index, (key, _)| key.borrow() == keys[index])
            .map(|entry| entry.map(|(_, value)| value))
    }

    #[inline]
    pub(crate) fn get_key_value<Q>(&self, hash: u64, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.pages.find(hash, |(k, _)| k.borrow() == key).map(|(key, value)| (key, value))
    }
}

impl<K: Eq + Clone, V: Clone> PageMap<K, V> {
    /// Returns a mutable reference to the value. Copies no page if the key is absent.
    #[inline]
    pub(crate) fn get_mut<Q>(&mut self, hash: u64, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.get_key_value_mut(hash, key).map(|(_, value)| value)
    }

    /// Returns the key and a mutable reference to the value. Copies no page if the key is absent.
    #[inline]
    pub(crate) fn get_key_value_mut<Q>(&mut self, hash: u64, key: &Q) -> Option<(&K, &mut V)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.pages.find_mut(hash, |(k, _)| k.borrow() == key).map(|(key, value)| (&*key, value))
    }

    /// Inserts or replaces; returns a replaced value, and keeps the key in the map.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, key: K, value: V, hasher: &impl Fn(&K) -> u64) -> Option<V> {
        self.insert_with(hash, key, value, hasher, |_, _, _| ()).map(|(_, old)| old)
    }

    /// Like [`insert`](Self::insert), but calls `before` first. Also returns the redundant key, whose
    /// destructor is user code.
    ///
    /// `before` gets the key, the old value and the new one when nothing else can panic any longer: if it
    /// panics, the map is unchanged.
    #[inline]
    pub(crate) fn insert_with(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        hasher: &impl Fn(&K) -> u64,
        before: impl FnOnce(&K, Option<&V>, &V),
    ) -> Option<(K, V)> {
        // Most inserted keys exist already, and then no room is needed.
        if let Some((stored, old)) = self.pages.find_mut(hash, |(k, _)| *k == key) {
            before(stored, Some(old), &value);
            return Some((key, mem::replace(old, value)));
        }
        match self.pages.entry(hash, |(k, _)| *k == key, |(k, _)| hasher(k)) {
            Entry::Occupied((stored, old)) => {
                before(stored, Some(old), &value);
                Some((key, mem::replace(old, value)))
            }
            Entry::Vacant(place) => {
                before(&key, None, &value);
                place.insert((key, value));
                None
            }
        }
    }

    /// Removes the entry and returns it. Copies no page if the key is absent.
    #[inline]
    pub(crate) fn remove<Q>(&mut self, hash: u64, key: &Q, hasher: &impl Fn(&K) -> u64) -> Option<(K, V)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.remove_with(hash, key, hasher, |_, _| ())
    }

    /// Like [`remove`](Self::remove), but calls `before` first, as [`insert_with`](Self::insert_with) does.
    #[inline]
    pub(crate) fn remove_with<Q>(
        &mut self,
        hash: u64,
        key: &Q,
        hasher: &impl Fn(&K) -> u64,
        before: impl FnOnce(&K, &V),
    ) -> Option<(K, V)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let before = |(key, value): &(K, V)| before(key, value);
        self.pages.remove_with(hash, |(k, _)| k.borrow() == key, |(k, _)| hasher(k), before)
    }
}

#[cfg(all(test, not(switchboard_model)))]
/// Numbers of the parts of a map. Pages shared with other versions count in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) entries: usize,
    pub(crate) pages: usize,
    pub(crate) directories: usize,
    /// Heap memory, without what keys and values own.
    pub(crate) bytes: usize,
}

/// An iterator over the entries of a [`PageMap`], in an arbitrary order. Does not allocate.
pub(crate) struct Iter<'a, K, V> {
    entries: iter::Iter<'a, (K, V)>,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next().map(|(key, value)| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}
