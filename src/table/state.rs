//! The contents of one version, and the operations that the writer applies to them. Pure: no shared state, no
//! atomics, no clock.

use std::any::TypeId;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem;

use super::history::History;
use super::index::Index;
use super::page_map::{PageMap, TOGETHER};
use crate::sync::StdArc;

/// Number of entries from which a table exceeds the caches next to the processor, and [`State::look_ahead`] pays off.
pub(super) const LARGE: usize = 16 * 1024;

/// The entries, the index over them, and the hasher. Cloning shares all pages.
#[derive(Clone)]
pub(crate) struct State<K, V, I, S> {
    pub(crate) map: PageMap<K, V>,
    pub(crate) index: I,
    hasher: S,
    /// The identity of the table: the same in all its versions.
    identity: StdArc<()>,
    /// The operations that led to this version, for subscribers. Meaningless while the state is staged.
    pub(crate) history: History<K, V>,
    /// Whether a change of the index has not returned: the index is half changed, and is only dropped or
    /// replaced. Never in a published state.
    pub(crate) is_torn: bool,
}

impl<K, V, I: Index<K, V>, S> State<K, V, I, S> {
    /// Drops up to `budget` pages, and parts of the index, that no other version shares; returns `true` when
    /// nothing is left. For versions that are no longer needed.
    ///
    /// An index that is torn, or whose `dismantle` has panicked, is left to be dropped as a whole.
    pub(crate) fn dismantle(&mut self, budget: &mut usize) -> bool {
        if !self.map.dismantle(budget) {
            return false;
        }
        let Self { index, is_torn, .. } = self;
        *is_torn || mark_torn(is_torn, || index.dismantle(budget))
    }
}

/// Runs a change of an index, which is torn if it panics.
#[inline]
fn mark_torn<R>(is_torn: &mut bool, change: impl FnOnce() -> R) -> R {
    *is_torn = true;
    let result = change();
    *is_torn = false;
    result
}

impl<K, V, I, S> State<K, V, I, S> {
    /// Whether both are versions of one table.
    pub(crate) fn is_related_to(&self, other: &Self) -> bool {
        StdArc::ptr_eq(&self.identity, &other.identity)
    }
}

impl<K: Hash + Eq, V, I, S: BuildHasher> State<K, V, I, S> {
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.get(self.hash(key), key)
    }

    #[inline]
    pub(crate) fn get_many<Q, const N: usize>(&self, keys: &[&Q; N]) -> [Option<&V>; N]
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.get_many(&keys.map(|key| self.hash(key)), keys)
    }

    #[inline]
    pub(crate) fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.get_key_value(self.hash(key), key)
    }
}

impl<K: Hash + Eq, V, I: Index<K, V>, S: BuildHasher> State<K, V, I, S> {
    /// Reads the entries of the keys, and what the index has of them: they are about to be changed. These reads are
    /// independent of each other, so their cache misses overlap, unlike those of the changes themselves.
    ///
    /// In a table that fits into the caches next to the processor, it does nothing.
    pub(crate) fn look_ahead<'a>(&self, keys: impl Iterator<Item = &'a K>)
    where
        K: 'a,
    {
        if self.map.len() < LARGE {
            return;
        }
        let mut keys = keys.fuse();
        while let Some(first) = keys.next() {
            let (mut some, mut hashes, mut len) = ([first; TOGETHER], [self.hash(first); TOGETHER], 1);
            for key in keys.by_ref().take(TOGETHER - 1) {
                (some[len], hashes[len]) = (key, self.hash(key));
                len += 1;
            }
            self.look_ahead_hashed(&hashes[..len], &some[..len]);
        }
    }

    /// As [`look_ahead`](Self::look_ahead), for up to [`TOGETHER`] keys whose hashes are known.
    pub(crate) fn look_ahead_hashed(&self, hashes: &[u64], keys: &[&K]) {
        let values: [_; TOGETHER] = self.map.get_many(hashes, keys);
        if Self::is_indexed() {
            let found = keys.iter().zip(values).filter_map(|(key, value)| Some((key, value?)));
            found.for_each(|(key, value)| self.index.look_ahead(key, value));
        }
        std::hint::black_box(values);
    }

    /// Whether the index has to be told of changes. Known at compile time.
    pub(crate) fn is_indexed() -> bool {
        TypeId::of::<I>() != TypeId::of::<()>()
    }
}

impl<K, V, I, S> State<K, V, I, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    I: Index<K, V>,
    S: BuildHasher,
{
    pub(crate) fn new(index: I, hasher: S, expected_len: usize) -> Self {
        Self {
            map: PageMap::with_capacity(expected_len),
            index,
            hasher,
            identity: StdArc::new(()),
            history: History::default(),
            is_torn: false,
        }
    }

    /// Returns the state without entries. Shares nothing.
    pub(crate) fn cleared(&self, index: I) -> Self
    where
        S: Clone,
    {
        Self {
            map: PageMap::new(),
            index,
            hasher: self.hasher.clone(),
            identity: self.identity.clone(),
            history: History::default(),
            is_torn: false,
        }
    }

    // The three methods below change the index first, and then the entries in a step that runs no user code.
    // A panic in user code therefore leaves the entries unchanged, and the index too unless the index itself
    // panicked.

    /// Inserts `value` under `key`. Returns the value of an existing entry, with the redundant key. `hash` is
    /// the hash of `key`.
    pub(crate) fn insert(&mut self, hash: u64, key: K, value: V) -> Option<(K, V)> {
        let Self { map, index, hasher, is_torn, .. } = self;
        let hasher = |key: &K| hasher.hash_one(key);
        map.insert_with(hash, key, value, &hasher, |key, old, new| {
            mark_torn(is_torn, || match old {
                Some(old) => index.update(key, old, new),
                None => index.insert(key, new),
            });
        })
    }

    /// Swaps `value` and the value of `key`; returns `false` if there is no entry.
    #[inline]
    pub(super) fn swap(&mut self, hash: u64, key: &K, value: &mut V) -> bool {
        let Some((key, stored)) = self.map.get_key_value_mut(hash, key) else { return false };
        mark_torn(&mut self.is_torn, || self.index.update(key, stored, value));
        mem::swap(stored, value);
        true
    }

    /// Replaces the value of `key` and returns the old one; does nothing if there is no entry.
    pub(crate) fn replace<Q>(&mut self, hash: u64, key: &Q, value: V) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (key, slot) = self.map.get_key_value_mut(hash, key)?;
        mark_torn(&mut self.is_torn, || self.index.update(key, slot, &value));
        Some(mem::replace(slot, value))
    }

    /// Removes the entry of `key` and returns it. `hash` is the hash of `key`.
    pub(crate) fn remove<Q>(&mut self, hash: u64, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Self { map, index, hasher, is_torn, .. } = self;
        let hasher = |key: &K| hasher.hash_one(key);
        map.remove_with(hash, key, &hasher, |key, value| mark_torn(is_torn, || index.remove(key, value)))
    }
}
