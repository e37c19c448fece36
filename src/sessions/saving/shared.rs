//! The state machines behind their lock, the store, and the calls of user code, which run without the lock.

use std::any::Any;
use std::hash::{BuildHasher, Hash};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use super::super::mark::Mark;
use super::super::store::{Saved, SessionStore, StoreError, StoreErrorKind, Version};
use super::super::watch::Unused;
use super::config::{Config, Random};
use super::core::{Begin, BeginNow, Change, Core, Garbage, Job, Outcome};
use super::loads::{BeginLoad, Loads};
use super::stats::Stats;
use crate::clock::Clock;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, StdArc, lock_order};
use crate::unwind::contain;

/// The data of a session, as a load found it.
#[derive(Debug)]
pub(in crate::sessions) struct Loaded<D> {
    pub(in crate::sessions) number: u64,
    pub(in crate::sessions) data: StdArc<D>,
}

/// The time for which a flush waits for the job of another thread.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    Never,
    /// Without an end if there is no deadline.
    Until(Option<Instant>),
}

type LoadResult<D> = Result<Option<Loaded<D>>, StoreError>;

pub(super) struct Shared<K, D> {
    pub(super) inner: Mutex<Inner<K, D>>,
    /// Notified when something may be due earlier, or a thread is to end.
    pub(super) work: Condvar,
    /// Notified when a job or a load ends, or a thread.
    pub(super) done: Condvar,
    pub(super) store: Box<dyn SessionStore<K, D>>,
    opening: u64,
    clock: StdArc<dyn Clock>,
    created: Instant,
    random: Random,
    lost: AtomicU64,
    hasher: foldhash::fast::RandomState,
}

/// Valid after a panic: the only user code under the lock, `Eq` of keys, runs before anything changes.
pub(super) struct Inner<K, D> {
    pub(super) core: Core<K, StdArc<D>>,
    loads: Loads<K, StdArc<D>, LoadResult<D>>,
    last_failure: Option<StoreError>,
    /// Stored sessions that could not be read, and were kept aside.
    kept_aside: u64,
}

impl<K: Hash + Eq + Clone, D> Shared<K, D> {
    pub(super) fn new(store: Box<dyn SessionStore<K, D>>, config: Config, clock: StdArc<dyn Clock>) -> Self {
        let Config { delay, backoff, random } = config;
        let (core, loads) = (Core::new(delay, backoff), Loads::new());
        let inner = Inner { core, loads, last_failure: None, kept_aside: 0 };
        Self {
            inner: Mutex::new(&lock_order::SAVER, inner),
            work: Condvar::new(),
            done: Condvar::new(),
            opening: store.opening(),
            store,
            created: clock.now(),
            clock,
            random,
            lost: AtomicU64::new(0),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    pub(super) fn mark(&self, key: &K) -> Mark<K> {
        Mark::new(self.hasher.hash_one(key), key.clone())
    }

    /// Notes a change. `payload` is `None` if the session was deleted: then this comes before the first change of another
    /// session object with the key.
    pub(super) fn note(
        &self,
        mark: &Mark<K>,
        number: u64,
        payload: Option<StdArc<D>>,
    ) -> Garbage<K, StdArc<D>> {
        let change = Change { mark: mark.clone(), number, payload };
        let now = self.now();
        let mut inner = self.inner.lock();
        // The load first: if `Eq` of a key panics now, it returns at worst a change that is not going to be saved.
        let (is_loading, newer) = if mark.is_new(number) { inner.loads.note(&change) } else { (false, None) };
        let garbage = inner.core.note(change, is_loading, now).and(newer);
        drop(inner);
        self.work.notify_one();
        garbage
    }

    /// Counts a change that was not noted.
    pub(super) fn note_lost(&self) {
        // Relaxed: only a figure.
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Stores the change that is due for the longest time. `Err` has the time at which the next one is due.
    pub(super) fn run_once(&self) -> Result<Result<Saved, StoreError>, Option<Instant>> {
        let now = self.now();
        let begun = self.inner.lock().core.begin(now);
        match begun {
            Begin::Job(job) => Ok(self.perform(job)),
            Begin::Idle(due) => Err(due),
        }
    }

    /// Waits until `number` of the session is stored, or stores its newest change. `None` if it is in flight for longer
    /// than the caller waits.
    pub(super) fn reach(&self, mark: &Mark<K>, number: u64, wait: Wait) -> Option<Result<(), StoreError>> {
        loop {
            let mut inner = self.inner.lock();
            match inner.core.begin_now(mark, number) {
                BeginNow::Reached => return Some(Ok(())),
                BeginNow::Job(job) => {
                    drop(inner);
                    return Some(self.perform(job).map(drop));
                }
                // Woken by the end of the job, which always comes.
                BeginNow::InFlight => match wait {
                    Wait::Never => return None,
                    Wait::Until(None) => drop(self.done.wait(inner)),
                    Wait::Until(Some(deadline)) => {
                        let (guard, timed_out) = self.done.wait_until(inner, deadline);
                        drop(guard);
                        if timed_out {
                            return None;
                        }
                    }
                },
            }
        }
    }

    /// Calls the store, and notes the result.
    pub(super) fn perform(&self, job: Job<K, StdArc<D>>) -> Result<Saved, StoreError> {
        let version = Version::new(self.opening, job.change.number);
        let call = || match &job.change.payload {
            Some(data) => self.store.save(job.change.mark.key(), version, data),
            None => self.store.delete(job.change.mark.key(), version),
        };
        // Unwind safety: the store belongs to the caller, and is told of nothing else.
        let call =
            || contain(AssertUnwindSafe(call)).unwrap_or(Err(StoreError::new(StoreErrorKind::Panicked)));
        let mut result = call();
        let kept = result.as_ref().err().filter(|error| error.kept().is_some()).cloned();
        if kept.is_some() {
            // Nothing is in the way any more, and there is news of it.
            result = call();
        }
        let outcome = match &result {
            Ok(Saved::Stored) => Outcome::Stored,
            Ok(Saved::Discarded) => Outcome::Discarded,
            Err(_) => Outcome::Failed,
        };
        let random = if outcome == Outcome::Failed { self.random() } else { 0 };
        let now = self.now();
        let mut inner = self.inner.lock();
        let garbage = inner.core.end(&job, outcome, now, random);
        inner.kept_aside += u64::from(kept.is_some());
        let failure = match result.as_ref().err().cloned().or(kept) {
            Some(error) => inner.last_failure.replace(error),
            None => None,
        };
        drop(inner);
        self.done.notify_all();
        // The session may be dirty again, and due before what others wait for.
        self.work.notify_one();
        // Unwind safety: nothing of them remains observable. A destructor must not end the thread that saves.
        let _ = contain(AssertUnwindSafe(|| drop((garbage, job, failure))));
        result
    }

    /// Returns the newest data of the session that is noted or stored. `None` if the deadline passes while another
    /// thread reads it.
    pub(super) fn load(&self, mark: &Mark<K>, deadline: Option<Instant>) -> Option<LoadResult<D>> {
        let mut inner = self.inner.lock();
        if let Some(change) = inner.core.dirty(mark) {
            return Some(Ok(Loaded::of(change)));
        }
        let id = match inner.loads.begin(mark) {
            BeginLoad::Start(id) => {
                drop(inner);
                return Some(self.read(mark, id));
            }
            BeginLoad::Join(id) => id,
        };
        loop {
            if let Some(result) = inner.loads.join(id) {
                return Some(result);
            }
            // Woken by the thread that reads, which always reports.
            let Some(deadline) = deadline else {
                inner = self.done.wait(inner);
                continue;
            };
            let (guard, timed_out) = self.done.wait_until(inner, deadline);
            inner = guard;
            if timed_out {
                let result = inner.loads.join(id);
                if result.is_none() {
                    inner.loads.leave(mark, id);
                }
                return result;
            }
        }
    }

    fn read(&self, mark: &Mark<K>, id: u64) -> LoadResult<D> {
        // Unwind safety: as in `perform`.
        let read = contain(AssertUnwindSafe(|| self.store.load(mark.key())));
        let read = read.unwrap_or(Err(StoreError::new(StoreErrorKind::Panicked)));
        let is_kept_aside = read.as_ref().is_err_and(|error| error.kept().is_some());
        let read = read.map(|found| {
            found.map(|stored| Loaded { number: stored.version.number, data: StdArc::new(stored.data) })
        });
        let mut unused = None;
        let mut inner = self.inner.lock();
        inner.kept_aside += u64::from(is_kept_aside);
        let (result, held) = inner.loads.end(mark, id, |newer| match newer {
            Some(change) => {
                unused = Some(read);
                Ok(Loaded::of(change))
            }
            None => read,
        });
        if let Some(held) = &held {
            inner.core.release(held);
        }
        drop(inner);
        self.work.notify_one();
        self.done.notify_all();
        drop((unused, held));
        result
    }

    #[cfg(all(test, not(switchboard_model)))]
    pub(super) fn loads(&self) -> usize {
        self.inner.lock().loads.len()
    }

    pub(super) fn stats(&self) -> Stats {
        let now = self.now();
        let inner = self.inner.lock();
        let counts = inner.core.counts;
        let since = inner.core.dirty_since();
        Stats {
            saves: counts.saves,
            deletes: counts.deletes,
            discarded: counts.discarded,
            failures: counts.failures,
            retries: counts.retries,
            kept_aside: inner.kept_aside,
            loads: inner.loads.started,
            joined_loads: inner.loads.joined,
            dirty: inner.core.len(),
            in_flight: counts.in_flight,
            // Relaxed: only a figure.
            lost: self.lost.load(Ordering::Relaxed),
            oldest_dirty: since.map(|since| now.saturating_duration_since(since)).unwrap_or_default(),
        }
    }

    pub(super) fn last_failure(&self) -> Option<StoreError> {
        self.inner.lock().last_failure.clone()
    }

    /// Returns the time. A clock that panics shows the time of the creation: a job must not be lost by it.
    pub(super) fn now(&self) -> Instant {
        // Unwind safety: the clock is only asked.
        contain(AssertUnwindSafe(|| self.clock.now())).unwrap_or(self.created)
    }

    fn random(&self) -> u64 {
        // Unwind safety: the source is only asked.
        contain(AssertUnwindSafe(|| (self.random)())).unwrap_or(0)
    }
}

impl<K, D> From<Garbage<K, StdArc<D>>> for Unused
where
    K: Send + Sync + 'static,
    D: Send + Sync + 'static,
{
    fn from(garbage: Garbage<K, StdArc<D>>) -> Self {
        let [(a, b), (c, d)] = garbage.changes.map(|change| {
            let (mark, payload) = change.map(|change| (change.mark, change.payload)).unzip();
            (mark.map(Mark::into_any), payload.flatten().map(|data| data as StdArc<dyn Any + Send + Sync>))
        });
        Self::new([a, b, c, d])
    }
}

impl<D> Loaded<D> {
    fn of<K>(change: Change<K, StdArc<D>>) -> Option<Self> {
        let Change { number, payload, .. } = change;
        payload.map(|data| Self { number, data })
    }
}

impl<D> Clone for Loaded<D> {
    fn clone(&self) -> Self {
        Self { number: self.number, data: self.data.clone() }
    }
}
