//! The contents of one version, and the operations that the writer applies to them. Pure: nothing shared, no
//! atomics, no clock.

use std::any::TypeId;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem;

use super::history::History;
use super::index::Index;
use super::page_map::PageMap;
use crate::sync::StdArc;

/// Entries, the index over them, and what is needed to find an entry. Cloning shares all pages.
#[derive(Clone)]
pub(crate) struct State<K, V, I, S> {
    pub(crate) map: PageMap<K, V>,
    pub(crate) index: I,
    hasher: S,
    /// The same for all versions of one table, different for different tables.
    identity: StdArc<()>,
    /// How this version came about, for those who follow. Of no meaning while the state is staged.
    pub(crate) history: History<K, V>,
}

impl<K, V, I: Index<K, V>, S> State<K, V, I, S> {
    /// Drops up to `budget` pages, and parts of the index, that no other version shares; `true` when nothing
    /// is left. For versions that nobody needs any more.
    pub(crate) fn dismantle(&mut self, budget: &mut usize) -> bool {
        self.map.dismantle(budget) && self.index.dismantle(budget)
    }
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
    pub(crate) fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.get_key_value(self.hash(key), key)
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
        }
    }

    /// The state without entries. Shares nothing.
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
        }
    }

    /// The index has to be told of changes. Known at compile time.
    pub(crate) fn is_indexed() -> bool {
        TypeId::of::<I>() != TypeId::of::<()>()
    }

    // The three below change the entries after the index, in a step that runs no foreign code. So a panic
    // leaves the entries as they were, whosever it was; and the index too, unless it was its own.

    /// Puts `value` under `key`; if there was an entry, its old value, with the key that was not needed.
    /// `hash` is that of `key`.
    pub(crate) fn insert(&mut self, hash: u64, key: K, value: V) -> Option<(K, V)> {
        let Self { map, index, hasher, .. } = self;
        let hasher = |key: &K| hasher.hash_one(key);
        map.insert_with(hash, key, value, &hasher, |key, old, new| match old {
            Some(old) => index.update(key, old, new),
            None => index.insert(key, new),
        })
    }

    /// Swaps `value` and the value of `key`; false if there is none.
    #[inline]
    pub(super) fn swap(&mut self, hash: u64, key: &K, value: &mut V) -> bool {
        let Some((key, stored)) = self.map.get_key_value_mut(hash, key) else { return false };
        self.index.update(key, stored, value);
        mem::swap(stored, value);
        true
    }

    /// Puts `value` in the place of the value of `key`, and returns that; nothing happens if there is none.
    pub(crate) fn replace<Q>(&mut self, hash: u64, key: &Q, value: V) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (key, slot) = self.map.get_key_value_mut(hash, key)?;
        self.index.update(key, slot, &value);
        Some(mem::replace(slot, value))
    }

    /// Takes the entry of `key` out. `hash` is that of `key`.
    pub(crate) fn remove<Q>(&mut self, hash: u64, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Self { map, index, hasher, .. } = self;
        let hasher = |key: &K| hasher.hash_one(key);
        map.remove_with(hash, key, &hasher, |key, value| index.remove(key, value))
    }
}
