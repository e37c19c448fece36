//! Loading sessions from the store.

use std::error::Error;
use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::registry::Sessions;
use super::run::Run;
use super::saving::Saver;
use super::session::{NotInstalled, Session};
use super::store::{Keys, StoreError};
use crate::sync::{Arc, StdArc, deadline_after};

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
    /// The session is stored, and was not changed, but has a run now, or is being cleared. Nothing has changed: the run
    /// may be about to write what it has made of other data. The run itself can load: [`Sessions::load_run`].
    Busy,
}

/// The result of [`Sessions::load_all`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadAll<K> {
    /// Number of sessions that have the data of the store now.
    pub installed: usize,
    /// The sessions that were [`Loaded::Busy`].
    pub busy: Vec<K>,
    /// The sessions that could not be loaded.
    pub failed: Vec<(K, StoreError)>,
    /// Number of stored sessions whose keys cannot be read.
    pub unreadable: usize,
}

/// The error of [`Sessions::load_timeout`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The timeout expired while another thread was reading the session. Nothing has changed.
    Timeout,
    /// The store failed.
    Failed(StoreError),
}

impl LoadError {
    /// Returns whether the timeout expired.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timed out before the session was loaded"),
            Self::Failed(_) => f.write_str("the session was not loaded"),
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Timeout => None,
            Self::Failed(error) => Some(error),
        }
    }
}

/// A session that is being loaded. In the end, also by a panic, it is handed to the blank ones if it has no data and is
/// not in use: no one else may come who does.
struct Loading<K, D, C>(Arc<Session<K, D, C>>);

impl<K, D, C> Drop for Loading<K, D, C> {
    fn drop(&mut self) {
        Session::settle(&self.0);
    }
}

impl<K, D, C> Sessions<K, D, C>
where
    K: Hash + Eq + Clone,
{
    /// Loads the session from the store, if it was not changed since it was created. Creates the session if the key has
    /// none. Without a store, nothing is loaded.
    ///
    /// Call it before the first run, and while the session has a connection, so that it is not evicted in between:
    /// after [`connect`](Self::connect). A run that has begun without it can load its session by
    /// [`load_run`](Self::load_run). A run that does neither works on the data of a new session, and what it writes
    /// replaces what is stored.
    ///
    /// Blocks for the store, with nothing held. Several threads that load one session share one read. The result is
    /// installed in one step, and only if the session was not changed meanwhile and has no run. For this step, which is
    /// short and does not wait, the session counts as busy: a begin, a removal or a clear that comes then may be
    /// refused. A session that is removed during the load is not brought back.
    ///
    /// # Errors
    /// [`StoreError`]. If it says where the data is [kept](StoreError::kept), the store could not read it, and has moved
    /// it aside; the next load finds nothing, and a run may begin. After any other error the store may have the session
    /// as it was: **do not begin a run**. Its first write would replace what is stored.
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
    /// let connection = sessions.connect(&1, ()).connection;
    /// assert_eq!(sessions.load(&1)?, Loaded::Installed);
    /// assert_eq!(*connection.try_begin()?.read()?, "hello");
    /// assert_eq!(sessions.load(&1)?, Loaded::Newer);
    /// # Ok(())
    /// # }
    /// ```
    pub fn load(&self, key: &K) -> Result<Loaded, StoreError> {
        match self.load_until(key, None) {
            Some(result) => result,
            None => unreachable!("there is no deadline"),
        }
    }

    /// As [`load`](Self::load), but waits up to `timeout` for another thread that reads the session. The calls of the
    /// store on this thread are not bounded by it.
    ///
    /// # Errors
    /// [`LoadError`]; as for `load`, no run should begin.
    ///
    /// # Panics
    /// As [`try_begin`](Self::try_begin).
    pub fn load_timeout(&self, key: &K, timeout: Duration) -> Result<Loaded, LoadError> {
        match self.load_until(key, deadline_after(timeout)) {
            Some(result) => result.map_err(LoadError::Failed),
            None => Err(LoadError::Timeout),
        }
    }

    fn load_until(&self, key: &K, deadline: Option<Instant>) -> Option<Result<Loaded, StoreError>> {
        let Some(saver) = self.saver() else { return Some(Ok(Loaded::Missing)) };
        loop {
            // Before the store is read: a removal from now on retires this session, and nothing is installed.
            let loading = Loading(self.session(key));
            let Loading(session) = &loading;
            if session.published().is_none() {
                self.forget(key, session);
                continue;
            }
            let install = |number, data| Session::install(session, number, data);
            match load_into(saver, session, deadline, install)? {
                Ok(Some(loaded)) => return Some(Ok(loaded)),
                Err(error) => return Some(Err(error)),
                // Changed, which the next turn finds, or retired: then the next turn reads again.
                Ok(None) => {}
            }
        }
    }

    /// Loads the session of a run of this registry, as [`load`](Self::load) does: as the first step of the run, before
    /// it reads the data. Never [`Loaded::Busy`].
    ///
    /// # Errors
    /// As [`load`](Self::load): unless the data is kept aside, end the run without writing.
    ///
    /// # Panics
    /// As [`try_begin`](Self::try_begin).
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::store::{MemoryStore, SessionStore, Version};
    /// use switchboard::sessions::{Loaded, Sessions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// store.save(&1, Version::new(1, 1), &String::from("hello"))?;
    /// let sessions: Sessions<u32, String> = Sessions::builder().store(store.reopen()).build();
    /// let mut run = sessions.try_begin(&1)?;
    /// assert_eq!(sessions.load(&1)?, Loaded::Busy);
    /// assert_eq!(sessions.load_run(&mut run)?, Loaded::Installed);
    /// assert_eq!(*run.read()?, "hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn load_run(&self, run: &mut Run<K, D, C>) -> Result<Loaded, StoreError> {
        let Some(saver) = self.saver() else { return Ok(Loaded::Missing) };
        let session = self.session(run.key());
        // The run was detached by a clear, and the session removed.
        if run.is_of(&session).is_none() {
            return Ok(Loaded::Newer);
        }
        match load_into(saver, &session, None, |number, data| run.install(number, data)) {
            Some(Ok(loaded)) => Ok(loaded.unwrap_or(Loaded::Newer)),
            Some(Err(error)) => Err(error),
            None => unreachable!("there is no deadline"),
        }
    }

    /// Loads all stored sessions, as [`load`](Self::load) does, at the start of a program whose sessions fit into
    /// memory.
    ///
    /// Sessions that cannot be loaded do not keep the others from it.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    ///
    /// # Panics
    /// As [`try_begin`](Self::try_begin).
    pub fn load_all(&self) -> Result<LoadAll<K>, StoreError> {
        let mut all = LoadAll { installed: 0, busy: Vec::new(), failed: Vec::new(), unreadable: 0 };
        let Some(saver) = self.saver() else { return Ok(all) };
        let Keys { keys, unreadable } = saver.keys()?;
        all.unreadable = unreadable;
        for key in keys {
            match self.load(&key) {
                Ok(Loaded::Installed) => all.installed += 1,
                Ok(Loaded::Newer | Loaded::Missing) => {}
                Ok(Loaded::Busy) => all.busy.push(key),
                Err(error) => all.failed.push((key, error)),
            }
        }
        Ok(all)
    }
}

/// Reads the newest data of a session, and installs it. `None` if the deadline passes; `Ok(None)` if the session was
/// changed or retired meanwhile.
fn load_into<K: Hash + Eq + Clone, D, C>(
    saver: &Saver<K, D>,
    session: &Arc<Session<K, D, C>>,
    deadline: Option<Instant>,
    install: impl FnOnce(u64, StdArc<D>) -> Result<(), NotInstalled>,
) -> Option<Result<Option<Loaded>, StoreError>> {
    if session.published().is_some_and(|published| published.version > 0) {
        return Some(Ok(Some(Loaded::Newer)));
    }
    let loaded = match saver.load_until(session.key(), deadline)? {
        Ok(Some(loaded)) => loaded,
        Ok(None) => return Some(Ok(Some(Loaded::Missing))),
        Err(error) => return Some(Err(error)),
    };
    Some(Ok(match install(loaded.number, loaded.data) {
        Ok(()) => {
            // It may be evicted: what is loaded is stored, or going to be.
            if let Some(mark) = &session.mark {
                mark.set_saved(loaded.number);
            }
            Some(Loaded::Installed)
        }
        Err(NotInstalled::Busy) => Some(Loaded::Busy),
        Err(NotInstalled::Changed) => None,
    }))
}
