use std::sync::Arc;

use super::{Hasher, Peer, Read};
use crate::data::{Key, Value};

type Map<K, V> = hashbrown::HashMap<K, V, Hasher>;

/// `std::sync::RwLock<HashMap>`.
pub struct StdLock<K, V>(Arc<std::sync::RwLock<Map<K, V>>>);

/// `parking_lot::RwLock<HashMap>`.
pub struct ParkingLot<K, V>(Arc<parking_lot::RwLock<Map<K, V>>>);

impl<K: Key, V: Value> Peer<K, V> for StdLock<K, V> {
    const NAME: &'static str = "RwLock<HashMap> (std)";
    type Source = Arc<std::sync::RwLock<Map<K, V>>>;
    type Reader<'a> = &'a std::sync::RwLock<Map<K, V>>;

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
        self.0.write().expect("the lock is not poisoned").insert(key, value);
    }

    /// Writes the batch under one lock, so that readers see all of it or nothing.
    fn put_all<'a>(&mut self, batch: impl Iterator<Item = &'a (K, V)>) {
        let mut map = self.0.write().expect("the lock is not poisoned");
        for (key, value) in batch {
            map.insert(key.clone(), value.clone());
        }
    }
}

impl<K: Key, V: Value> Read<K, V> for &std::sync::RwLock<Map<K, V>> {
    #[inline]
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.read().expect("the lock is not poisoned").get(key).map(look)
    }

    fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
        self.read().expect("the lock is not poisoned").iter().for_each(|(key, value)| visit(key, value));
    }
}

impl<K: Key, V: Value> Peer<K, V> for ParkingLot<K, V> {
    const NAME: &'static str = "RwLock<HashMap> (parking_lot)";
    type Source = Arc<parking_lot::RwLock<Map<K, V>>>;
    type Reader<'a> = &'a parking_lot::RwLock<Map<K, V>>;

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
        self.0.write().insert(key, value);
    }

    /// Writes the batch under one lock, so that readers see all of it or nothing.
    fn put_all<'a>(&mut self, batch: impl Iterator<Item = &'a (K, V)>) {
        let mut map = self.0.write();
        for (key, value) in batch {
            map.insert(key.clone(), value.clone());
        }
    }
}

impl<K: Key, V: Value> Read<K, V> for &parking_lot::RwLock<Map<K, V>> {
    #[inline]
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.read().get(key).map(look)
    }

    fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
        self.read().iter().for_each(|(key, value)| visit(key, value));
    }
}
