//! The handle of a saver.

use std::fmt;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use super::super::mark::Mark;
use super::super::store::{Keys, Saved, SessionStore, StoreError};
use super::super::watch::Unused;
use super::config::Config;
use super::error::{FlushAllError, FlushError};
use super::shared::{Loaded, Shared, Wait};
use super::stats::Stats;
use crate::clock::Clock;
use crate::sync::{StdArc, deadline_after};
use crate::unwind::contain;

/// Saves the sessions of one registry: see the [module](super).
///
/// Belongs to a registry with a store, which returns it from [`Sessions::saver`](crate::sessions::Sessions::saver).
/// Cheap to clone; all clones are the same saver.
///
/// # Examples
/// ```
/// use switchboard::sessions::Sessions;
/// use switchboard::sessions::saving::Step;
/// use switchboard::sessions::store::{MemoryStore, SessionStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let sessions: Sessions<&str, u32> = Sessions::builder().store(store.clone()).build();
/// let saver = sessions.saver().ok_or("has a store")?;
/// let mut run = sessions.try_begin(&"a")?;
/// run.update(|_| 1)?;
/// run.update(|_| 2)?;
///
/// assert_eq!(saver.stats().dirty, 1);
/// assert!(matches!(saver.run_once(), Step::Saved));
/// assert!(matches!(saver.run_once(), Step::Idle { .. }), "only the newest state is saved");
/// assert_eq!(store.load(&"a")?.map(|stored| stored.data), Some(2));
/// # Ok(())
/// # }
/// ```
pub struct Saver<K, D> {
    pub(super) shared: StdArc<Shared<K, D>>,
}

/// The result of [`Saver::run_once`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// A change was stored.
    Saved,
    /// The store has a newer version of the session, so the change was dropped.
    Discarded,
    /// The store failed. The session remains dirty, and is tried again later.
    Failed(StoreError),
    /// Nothing is due.
    Idle {
        /// The time after which the next change is due, or `None` if none waits.
        wait: Option<Duration>,
    },
}

impl<K: Hash + Eq + Clone, D> Saver<K, D> {
    pub(in crate::sessions) fn new(
        store: Box<dyn SessionStore<K, D>>,
        config: Config,
        clock: StdArc<dyn Clock>,
    ) -> Self {
        Self { shared: StdArc::new(Shared::new(store, config, clock)) }
    }

    /// Returns the mark of a new session object.
    pub(in crate::sessions) fn mark(&self, key: &K) -> Mark<K> {
        self.shared.mark(key)
    }

    /// Notes that the session was changed; `data` is `None` if it was deleted. Takes a short lock.
    ///
    /// A deletion must be noted before the first change of another session object with the key. Other than that, changes
    /// may be noted in any order. A panic of `Eq` of a key is contained, and the change is counted as lost.
    pub(in crate::sessions) fn note(&self, mark: &Mark<K>, number: u64, data: Option<StdArc<D>>) -> Unused
    where
        K: Send + Sync + 'static,
        D: Send + Sync + 'static,
    {
        // Unwind safety: the saver is whole after a panic of `Eq`.
        match contain(AssertUnwindSafe(|| self.shared.note(mark, number, data))) {
            Some(garbage) => garbage.into(),
            None => {
                self.shared.note_lost();
                Unused::default()
            }
        }
    }

    /// Returns the newest data of the session that is noted or stored. Blocks for the store; waits up to the deadline
    /// for another thread that reads it. `None` if the deadline passes.
    pub(in crate::sessions) fn load_until(
        &self,
        key: &K,
        deadline: Option<Instant>,
    ) -> Option<Result<Option<Loaded<D>>, StoreError>> {
        self.shared.load(&self.shared.mark(key), deadline)
    }

    #[cfg(test)]
    pub(in crate::sessions) fn load(&self, key: &K) -> Result<Option<Loaded<D>>, StoreError> {
        match self.load_until(key, None) {
            Some(result) => result,
            None => unreachable!("there is no deadline"),
        }
    }

    /// Returns the keys of the stored sessions. Blocks for the store.
    pub(in crate::sessions) fn keys(&self) -> Result<Keys<K>, StoreError> {
        self.shared.store.keys()
    }

    /// Stores the change that is due for the longest time, if there is one. Blocks for the store, with nothing held.
    ///
    /// Never panics; a panic of the store is a failure.
    #[allow(clippy::must_use_candidate)] // A failure is also in the figures.
    pub fn run_once(&self) -> Step {
        match self.shared.run_once() {
            Ok(Ok(Saved::Stored)) => Step::Saved,
            Ok(Ok(Saved::Discarded)) => Step::Discarded,
            Ok(Err(error)) => Step::Failed(error),
            Err(None) => Step::Idle { wait: None },
            Err(Some(due)) => {
                let wait = due.saturating_duration_since(self.shared.now());
                Step::Idle { wait: Some(wait) }
            }
        }
    }

    /// Returns when the changes of the session that were noted before this call are stored: all that a run wrote
    /// before, on any thread that has told this one. Returns at once if the session is not dirty.
    ///
    /// Needs no other thread: unless one is saving the session already, this one does, without waiting for the delay or
    /// for a retry. Blocks for the store, and waits up to `timeout` for the other thread.
    ///
    /// # Errors
    /// [`FlushError`]: the session remains dirty.
    pub fn flush(&self, key: &K, timeout: Duration) -> Result<(), FlushError> {
        let mark = self.shared.mark(key);
        let dirty = self.shared.inner.lock().core.dirty(&mark);
        let Some(dirty) = dirty else { return Ok(()) };
        match self.shared.reach(&mark, dirty.number, Wait::Until(deadline_after(timeout))) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(FlushError::Failed(error)),
            None => Err(FlushError::Timeout),
        }
    }

    /// Returns when all changes that were noted before this call are stored: at a shutdown, after the runs have ended.
    ///
    /// Saves on this thread, as [`flush`](Self::flush) does, each dirty session once; those that other threads are saving
    /// come last, so that a call of the store that hangs there does not keep the others from it. Begins no further save
    /// after `timeout`. O(n) in the number of dirty sessions, of which it makes a list.
    ///
    /// # Errors
    /// [`FlushAllError`] if the time was over or the store failed for some sessions, which remain dirty. Another call
    /// tries them again.
    pub fn flush_all(&self, timeout: Duration) -> Result<(), FlushAllError> {
        let deadline = deadline_after(timeout);
        let dirty = self.shared.inner.lock().core.all_dirty();
        let (mut unsaved, mut failure) = (0, None);
        let mut reach = |mark: &Mark<K>, number: u64, wait: Wait| match self.shared.reach(mark, number, wait)
        {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                unsaved += 1;
                failure.get_or_insert(error);
                true
            }
            None => false,
        };
        // First those that wait for no one: a call of the store that hangs must not keep the others from theirs.
        let mut left = dirty;
        for wait in [Wait::Never, Wait::Until(deadline)] {
            left.retain(|(mark, number)| deadline.is_some_and(has_passed) || !reach(mark, *number, wait));
        }
        unsaved += left.len();
        if unsaved == 0 { Ok(()) } else { Err(FlushAllError { unsaved, failure }) }
    }

    /// Returns the figures of the saver.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Returns the latest failure of the store, if it ever failed to save or to remove a session, or found one in the
    /// place that it could not read: then [`StoreError::kept`] is where that is kept aside.
    #[must_use]
    pub fn last_failure(&self) -> Option<StoreError> {
        self.shared.last_failure()
    }
}

fn has_passed(deadline: Instant) -> bool {
    deadline_after(Duration::ZERO).is_some_and(|now| now >= deadline)
}

impl<K, D> Clone for Saver<K, D> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K: Hash + Eq + Clone, D> fmt::Debug for Saver<K, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saver").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
