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
    use std::hash::Hash;

    use crate::sync::Arc;

    /// The hasher of the keys is seeded per map.
    pub(in crate::sessions) struct Map<K, S>(papaya::HashMap<K, Arc<S>, foldhash::fast::RandomState>);

    impl<K: Hash + Eq, S> Map<K, S> {
        pub(in crate::sessions) fn new() -> Self {
            Self(papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()))
        }

        pub(in crate::sessions) fn get(&self, key: &K) -> Option<Arc<S>> {
            self.0.pin().get(key).cloned()
        }

        /// Returns what `look` returns for the session of the key. It must not run user code, or use the map.
        pub(in crate::sessions) fn with<R>(&self, key: &K, look: impl FnOnce(&Arc<S>) -> R) -> Option<R> {
            self.0.pin().get(key).map(look)
        }

        /// Inserts `session`, unless the key has one. Returns the session of the key.
        pub(in crate::sessions) fn insert_new(&self, key: K, session: Arc<S>) -> Arc<S> {
            match self.0.pin().try_insert(key, session) {
                Ok(inserted) => inserted.clone(),
                Err(occupied) => occupied.current.clone(),
            }
        }

        /// Removes the session of the key, if it is this one.
        pub(in crate::sessions) fn remove_same(&self, key: &K, session: &Arc<S>) {
            let _removed = self.0.pin().remove_if(key, |_, current| Arc::ptr_eq(current, session));
        }

        /// Returns the sessions. Those that are inserted or removed meanwhile may be among them or not.
        pub(in crate::sessions) fn entries(&self) -> Vec<(K, Arc<S>)>
        where
            K: Clone,
        {
            self.0.pin().iter().map(|(key, session)| (key.clone(), session.clone())).collect()
        }

        pub(in crate::sessions) fn len(&self) -> usize {
            self.0.len()
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
