use std::sync::Arc;

use dashmap::DashMap;
use papaya::{HashMapRef, LocalGuard};
use scc::hash_index::Entry;

use super::{Hasher, Peer, Read};
use crate::data::{Key, Value};

/// `dashmap::DashMap`.
pub struct Dashmap<K, V>(Arc<DashMap<K, V, Hasher>>);

/// `papaya::HashMap`; readers pin once per round.
pub struct Papaya<K, V>(Arc<papaya::HashMap<K, V, Hasher>>);

/// `scc::HashIndex`.
pub struct SccIndex<K, V>(Arc<scc::HashIndex<K, V, Hasher>>);

/// `scc::HashMap`.
pub struct SccMap<K, V>(Arc<scc::HashMap<K, V, Hasher>>);

impl<K: Key, V: Value> Peer<K, V> for Dashmap<K, V> {
    const NAME: &'static str = "dashmap";
    type Source = Arc<DashMap<K, V, Hasher>>;
    type Reader<'a> = &'a DashMap<K, V, Hasher>;

    fn new() -> Self {
        Self(Arc::default())
    }

    fn source(&self) -> Self::Source {
        self.0.clone()
    }

    fn reader(source: &Self::Source) -> Self::Reader<'_> {
        source
    }

    fn put(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }
}

impl<K: Key, V: Value> Read<K, V> for &DashMap<K, V, Hasher> {
    #[inline]
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(|value| look(&value))
    }

    fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
        self.iter().for_each(|entry| visit(entry.key(), entry.value()));
    }
}

impl<K: Key, V: Value> Peer<K, V> for Papaya<K, V> {
    const NAME: &'static str = "papaya (pinned once)";
    type Source = Arc<papaya::HashMap<K, V, Hasher>>;
    type Reader<'a> = HashMapRef<'a, K, V, Hasher, LocalGuard<'a>>;

    fn new() -> Self {
        Self(Arc::default())
    }

    fn source(&self) -> Self::Source {
        self.0.clone()
    }

    fn reader(source: &Self::Source) -> Self::Reader<'_> {
        source.pin()
    }

    fn put(&mut self, key: K, value: V) {
        self.0.pin().insert(key, value);
    }
}

impl<K: Key, V: Value> Read<K, V> for HashMapRef<'_, K, V, Hasher, LocalGuard<'_>> {
    #[inline]
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(look)
    }

    fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
        self.iter().for_each(|(key, value)| visit(key, value));
    }
}

impl<K: Key, V: Value> Peer<K, V> for SccIndex<K, V> {
    const NAME: &'static str = "scc::HashIndex";
    type Source = Arc<scc::HashIndex<K, V, Hasher>>;
    type Reader<'a> = &'a scc::HashIndex<K, V, Hasher>;

    fn new() -> Self {
        Self(Arc::default())
    }

    fn source(&self) -> Self::Source {
        self.0.clone()
    }

    fn reader(source: &Self::Source) -> Self::Reader<'_> {
        source
    }

    fn put(&mut self, key: K, value: V) {
        match self.0.entry_sync(key) {
            Entry::Occupied(mut entry) => entry.update(value),
            Entry::Vacant(entry) => drop(entry.insert_entry(value)),
        }
    }
}

impl<K: Key, V: Value> Read<K, V> for &scc::HashIndex<K, V, Hasher> {
    #[inline]
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.peek_with(key, |_, value| look(value))
    }

    fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
        let guard = scc::Guard::new();
        self.iter(&guard).for_each(|(key, value)| visit(key, value));
    }
}

impl<K: Key, V: Value> Peer<K, V> for SccMap<K, V> {
    const NAME: &'static str = "scc::HashMap";
    type Source = Arc<scc::HashMap<K, V, Hasher>>;
    type Reader<'a> = &'a scc::HashMap<K, V, Hasher>;

    fn new() -> Self {
        Self(Arc::default())
    }

    fn source(&self) -> Self::Source {
        self.0.clone()
    }

    fn reader(source: &Self::Source) -> Self::Reader<'_> {
        source
    }

    fn put(&mut self, key: K, value: V) {
        self.0.upsert_sync(key, value);
    }
}

impl<K: Key, V: Value> Read<K, V> for &scc::HashMap<K, V, Hasher> {
    #[inline]
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.read_sync(key, |_, value| look(value))
    }

    fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
        self.iter_sync(|key, value| {
            visit(key, value);
            true
        });
    }
}
