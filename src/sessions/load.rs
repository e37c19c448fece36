//! Loading sessions from the store.

use std::hash::Hash;

use super::registry::Sessions;
use super::store::StoreError;

/// The result of [`Sessions::load`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loaded {
    /// The session has the data of the store.
    Installed,
    /// The session was changed or loaded before. Its data is not older than that of the store, and stays.
    Newer,
    /// Nothing is stored for the key. The session has the data of a new one.
    Missing,
}

/// The result of [`Sessions::load_all`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadAll<K> {
    /// Number of sessions that have the data of the store now.
    pub installed: usize,
    /// The sessions that could not be loaded.
    pub failed: Vec<(K, StoreError)>,
}

impl<K, D, C> Sessions<K, D, C>
where
    K: Hash + Eq + Clone,
{
    /// Loads the session from the store, if it was not changed since it was created. Creates the session if the key has
    /// none. Without a store, nothing is loaded.
    ///
    /// Call it before the data is used, and while the session is in use, so that it is not evicted in between: after
    /// [`connect`](Self::connect), or as the first step of a run. A run that does not load its session works on the data
    /// of a new one, and what it writes replaces what is stored.
    ///
    /// Blocks for the store, with nothing held. Several threads that load one session share one read. The result is
    /// installed in one step, and only if the session was not changed meanwhile. A session that is removed during the
    /// load is not brought back.
    ///
    /// # Errors
    /// [`StoreError`]. If the stored data cannot be read, it is kept aside, and the next load finds nothing.
    ///
    /// # Panics
    /// As [`try_begin`](Self::try_begin).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use switchboard::sessions::store::MemoryStore;
    /// use switchboard::sessions::{Loaded, Sessions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let sessions: Sessions<u32, String> = Sessions::builder().store(store.clone()).build();
    /// assert_eq!(sessions.load(&1)?, Loaded::Missing);
    /// sessions.try_begin(&1)?.update(|_| String::from("hello"))?;
    /// sessions.saver().ok_or("has a store")?.flush_all(Duration::from_secs(10))?;
    ///
    /// // After a restart:
    /// let sessions: Sessions<u32, String> = Sessions::builder().store(store.reopen()).build();
    /// let run = sessions.try_begin(&1)?;
    /// assert_eq!(sessions.load(&1)?, Loaded::Installed);
    /// assert_eq!(*run.read()?, "hello");
    /// assert_eq!(sessions.load(&1)?, Loaded::Newer);
    /// # Ok(())
    /// # }
    /// ```
    pub fn load(&self, key: &K) -> Result<Loaded, StoreError> {
        let Some(saver) = self.saver() else { return Ok(Loaded::Missing) };
        loop {
            // Before the store is read: a removal from now on retires this session, and nothing is installed.
            let session = self.session(key);
            match session.published() {
                Some(published) if published.version > 0 => return Ok(Loaded::Newer),
                Some(_) => {}
                None => {
                    self.forget(key, &session);
                    continue;
                }
            }
            let Some(loaded) = saver.load(key)? else { return Ok(Loaded::Missing) };
            if session.install(loaded.number, loaded.data).is_ok() {
                // It may be evicted: what is loaded is stored, or going to be.
                if let Some(mark) = &session.mark {
                    mark.set_saved(loaded.number);
                }
                return Ok(Loaded::Installed);
            }
            // Changed, which the next turn finds, or retired: then the next turn reads again.
        }
    }

    /// Loads all stored sessions, as [`load`](Self::load) does, at the start of a program whose sessions fit into memory.
    ///
    /// Sessions that cannot be loaded do not keep the others from it.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    ///
    /// # Panics
    /// As [`try_begin`](Self::try_begin).
    pub fn load_all(&self) -> Result<LoadAll<K>, StoreError> {
        let mut all = LoadAll { installed: 0, failed: Vec::new() };
        let Some(saver) = self.saver() else { return Ok(all) };
        for key in saver.keys()? {
            match self.load(&key) {
                Ok(Loaded::Installed) => all.installed += 1,
                Ok(Loaded::Newer | Loaded::Missing) => {}
                Err(error) => all.failed.push((key, error)),
            }
        }
        Ok(all)
    }
}
