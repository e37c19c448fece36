//! The map from keys to sessions: the only file that names papaya.
//!
//! papaya reads without locks. Its loads and exchanges are not visible to the checkers, which therefore run a
//! stand-in: a map under a lock, with the same operations.

#[cfg(not(switchboard_model))]
pub(super) use real::Map;
#[cfg(switchboard_model)]
pub(super) use twin::Map;

#[cfg(not(switchboard_model))]
mod real {
    use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

    use crate::sync::Arc;

    /// Keys are hashed here, once, with a seed per map. papaya moves entries while a thread inserts, and would
    /// hash their keys then: a hash that panics would leave the move unfinished, and other threads waiting.
    pub(in crate::sessions) struct Map<K, S> {
        seed: foldhash::fast::RandomState,
        map: papaya::HashMap<Hashed<K>, Arc<S>, BuildHasherDefault<Same>>,
    }

    struct Hashed<K> {
        hash: u64,
        key: K,
    }

    impl<K> Hash for Hashed<K> {
        fn hash<H: Hasher>(&self, state: &mut H) {
            state.write_u64(self.hash);
        }
    }

    impl<K: Eq> PartialEq for Hashed<K> {
        fn eq(&self, other: &Self) -> bool {
            self.hash == other.hash && self.key == other.key
        }
    }

    impl<K: Eq> Eq for Hashed<K> {}

    impl<K: Eq> papaya::Equivalent<Hashed<K>> for Hashed<&K> {
        fn equivalent(&self, other: &Hashed<K>) -> bool {
            self.hash == other.hash && *self.key == other.key
        }
    }

    /// The hash of a number that is a hash.
    #[derive(Default)]
    struct Same(u64);

    impl Hasher for Same {
        fn write(&mut self, _: &[u8]) {
            unreachable!("only numbers are hashed");
        }

        fn write_u64(&mut self, hash: u64) {
            self.0 = hash;
        }

        fn finish(&self) -> u64 {
            self.0
        }
    }

    impl<K: Hash + Eq, S> Map<K, S> {
        pub(in crate::sessions) fn new() -> Self {
            Self { seed: foldhash::fast::RandomState::default(), map: papaya::HashMap::default() }
        }

        fn hashed<'a>(&self, key: &'a K) -> Hashed<&'a K> {
            Hashed { hash: self.seed.hash_one(key), key }
        }

        pub(in crate::sessions) fn get(&self, key: &K) -> Option<Arc<S>> {
            self.with(key, Arc::clone)
        }

        /// Returns what `look` returns for the session of the key. It must not run user code, or use the map.
        pub(in crate::sessions) fn with<R>(&self, key: &K, look: impl FnOnce(&Arc<S>) -> R) -> Option<R> {
            let key = self.hashed(key);
            self.map.pin().get(&key).map(look)
        }

        /// Inserts `session`, unless the key has one. Returns the session of the key.
        pub(in crate::sessions) fn insert_new(&self, key: K, session: Arc<S>) -> Arc<S> {
            let hash = self.hashed(&key).hash;
            let (current, unneeded) = match self.map.pin().try_insert(Hashed { hash, key }, session) {
                Ok(inserted) => (inserted.clone(), None),
                Err(occupied) => (occupied.current.clone(), Some(occupied.not_inserted)),
            };
            // User code, and therefore without the pin.
            drop(unneeded);
            current
        }

        /// Removes the session of the key, if it is this one.
        pub(in crate::sessions) fn remove_same(&self, key: &K, session: &Arc<S>) {
            let key = self.hashed(key);
            let _removed = self.map.pin().remove_if(&key, |_, current| Arc::ptr_eq(current, session));
        }

        /// Returns the sessions. Those that are inserted or removed meanwhile may be among them or not.
        pub(in crate::sessions) fn entries(&self) -> Vec<(K, Arc<S>)>
        where
            K: Clone,
        {
            self.map.pin().iter().map(|(key, session)| (key.key.clone(), session.clone())).collect()
        }

        pub(in crate::sessions) fn len(&self) -> usize {
            self.map.len()
        }
    }
}

#[cfg(switchboard_model)]
mod twin {
    use std::collections::HashMap;
    use std::hash::Hash;

    use crate::sync::{Arc, Mutex, lock_order};

    pub(in crate::sessions) struct Map<K, S>(Mutex<HashMap<K, Arc<S>>>);

    impl<K: Hash + Eq, S> Map<K, S> {
        pub(in crate::sessions) fn new() -> Self {
            Self(Mutex::new(&lock_order::SESSION_MAP, HashMap::new()))
        }

        pub(in crate::sessions) fn get(&self, key: &K) -> Option<Arc<S>> {
            self.0.lock().get(key).cloned()
        }

        pub(in crate::sessions) fn with<R>(&self, key: &K, look: impl FnOnce(&Arc<S>) -> R) -> Option<R> {
            self.0.lock().get(key).map(look)
        }

        pub(in crate::sessions) fn insert_new(&self, key: K, session: Arc<S>) -> Arc<S> {
            self.0.lock().entry(key).or_insert(session).clone()
        }

        pub(in crate::sessions) fn remove_same(&self, key: &K, session: &Arc<S>) {
            let mut map = self.0.lock();
            let removed = match map.get(key) {
                Some(current) if Arc::ptr_eq(current, session) => map.remove(key),
                _ => None,
            };
            drop(map);
            drop(removed);
        }

        pub(in crate::sessions) fn entries(&self) -> Vec<(K, Arc<S>)>
        where
            K: Clone,
        {
            self.0.lock().iter().map(|(key, session)| (key.clone(), session.clone())).collect()
        }

        pub(in crate::sessions) fn len(&self) -> usize {
            self.0.lock().len()
        }
    }
}
