//! A store without durability.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use super::{Keys, Saved, SessionStore, StoreError, Stored, Version};
use crate::sync::{Mutex, StdArc, lock_order};

/// A store that keeps the sessions in memory, for tests and examples.
///
/// Cheap to clone; clones are the same store and the same opening. [`reopen`](Self::reopen) simulates a restart of the
/// process.
///
/// `Eq`, `Hash`, `Clone` and `Drop` of the keys run under a lock of this store.
///
/// # Examples
/// ```
/// use switchboard::sessions::store::{MemoryStore, Saved, SessionStore, Version};
///
/// let store: MemoryStore<&str, u32> = MemoryStore::new();
/// assert_eq!(store.save(&"a", Version::new(1, 5), &7)?, Saved::Stored);
/// assert_eq!(store.save(&"a", Version::new(1, 4), &6)?, Saved::Discarded, "older");
/// assert_eq!(store.reopen().load(&"a")?.map(|stored| stored.data), Some(7));
/// # Ok::<(), switchboard::sessions::store::StoreError>(())
/// ```
pub struct MemoryStore<K, D> {
    opening: u64,
    sessions: StdArc<Mutex<Sessions<K, D>>>,
}

/// Valid after a panic: each change is one call of the map.
type Sessions<K, D> = HashMap<K, (Version, StdArc<D>)>;

impl<K, D> MemoryStore<K, D> {
    /// Creates an empty store, in its first opening.
    #[must_use]
    pub fn new() -> Self {
        Self { opening: 1, sessions: StdArc::new(Mutex::new(&lock_order::MEMORY_STORE, HashMap::new())) }
    }

    /// Returns the same store in its next opening.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { opening: self.opening + 1, sessions: self.sessions.clone() }
    }

    /// Returns the number of stored sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Returns whether no session is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, D> SessionStore<K, D> for MemoryStore<K, D>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    D: Clone + Send + Sync + 'static,
{
    fn opening(&self) -> u64 {
        self.opening
    }

    fn load(&self, key: &K) -> Result<Option<Stored<D>>, StoreError> {
        let found = self.sessions.lock().get(key).cloned();
        Ok(found.map(|(version, data)| Stored::new(version, D::clone(&data))))
    }

    fn keys(&self) -> Result<Keys<K>, StoreError> {
        Ok(Keys::new(self.sessions.lock().keys().cloned().collect(), 0))
    }

    fn save(&self, key: &K, version: Version, data: &D) -> Result<Saved, StoreError> {
        let (key, data) = (key.clone(), StdArc::new(data.clone()));
        let mut sessions = self.sessions.lock();
        if sessions.get(&key).is_some_and(|(stored, _)| *stored >= version) {
            drop(sessions);
            return Ok(Saved::Discarded);
        }
        let old = sessions.insert(key, (version, data));
        drop(sessions);
        drop(old);
        Ok(Saved::Stored)
    }

    fn delete(&self, key: &K, version: Version) -> Result<Saved, StoreError> {
        let mut sessions = self.sessions.lock();
        if sessions.get(key).is_some_and(|(stored, _)| *stored > version) {
            return Ok(Saved::Discarded);
        }
        let old = sessions.remove_entry(key);
        drop(sessions);
        drop(old);
        Ok(Saved::Stored)
    }
}

impl<K, D> Clone for MemoryStore<K, D> {
    fn clone(&self) -> Self {
        Self { opening: self.opening, sessions: self.sessions.clone() }
    }
}

impl<K, D> Default for MemoryStore<K, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, D> fmt::Debug for MemoryStore<K, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("opening", &self.opening).field("len", &self.len()).finish()
    }
}
