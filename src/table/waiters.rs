//! Threads and tasks that wait for a version: an event count in front of a condition variable and a list of
//! wakers.
//!
//! A publish must not take a lock when no one waits, and must not miss a waiter that has just begun to wait.
//! Each side writes, fences, and then reads what the other one writes:
//!
//! ```text
//! waiter (holds the lock)               writer
//! target.store(wanted)                  version.store(v)
//! fence(SeqCst)                         fence(SeqCst)
//! version.load() >= wanted? done        target.load() <= v? lock, reset the target, unlock, wake
//! wait (releases the lock)
//! ```
//!
//! The two fences are totally ordered. If the waiter's is first, the writer sees the target and takes the
//! lock; it gets the lock only once the thread is inside `wait`, or the task is in the list, so the
//! notification reaches it. If the writer's is first, the waiter sees the version and does not wait.
//!
//! The target is the smallest version that is waited for, or less: a publish below it wakes no one. Waiters
//! only lower it, the writer only resets it, both under the lock. The writer resets it to the smallest version
//! that those wait for who stay asleep: the tasks that are not due, and, unless it wakes the threads, these.
//! It wakes all threads or none, as they share one condition variable: all, if one of them is due. A thread
//! that is woken and waits for a later version sets the target again before it reads the version.
//!
//! A task or a thread that stops waiting leaves the target as it is, which costs the writer one needless lock.
//!
//! Who remains in the list is certain: a task that was inserted and did not find its version is seen by the
//! publish of that version, and by the end of the writer, and each of them takes it out. A task that later
//! finds its version, or the end, therefore need not take the lock again to leave.
//!
//! A waiter is woken by `notify` after each publish, by `close` when the writer is dropped, and a thread by
//! its own deadline. If the writer's thread dies, unwinding drops the writer.

use std::fmt;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::tasks::{Place, Tasks, dispose};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::{Condvar, Mutex, Spin, deadline_after, lock_order};
use crate::table::version::Version;

/// The target while no one waits.
const NOBODY: u64 = u64::MAX;

/// The error returned by [`Table::wait_for`](crate::Table::wait_for).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The timeout expired before the version was published.
    Timeout,
    /// The writer was dropped without publishing the version.
    WriterClosed,
}

impl WaitError {
    /// Whether the timeout expired; the version may still be published.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        self == Self::Timeout
    }

    /// Whether the writer was dropped; the version will never be published.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self == Self::WriterClosed
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timed out before the version was published",
            Self::WriterClosed => "the writer was dropped before it published the version",
        })
    }
}

impl std::error::Error for WaitError {}

/// The error of a wait that ends with the writer: [`Table::changed`](crate::Table::changed),
/// [`Table::reached`](crate::Table::reached), [`Links::changed`](crate::Links::changed).
///
/// The writer was dropped without publishing the version, which will therefore never be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterClosed;

impl fmt::Display for WriterClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        WaitError::WriterClosed.fmt(f)
    }
}

impl std::error::Error for WriterClosed {}

impl From<WriterClosed> for WaitError {
    fn from(_: WriterClosed) -> Self {
        Self::WriterClosed
    }
}

/// The state of the waiters that only the lock gives access to.
///
/// Valid after a panic: no user code runs under the lock, and a target that is too small, or a flag that is
/// set without need, costs one needless wake-up.
#[derive(Debug)]
struct Waiting {
    /// The smallest version for which a thread may be inside `wait`, or less.
    threads: Option<Version>,
    tasks: Tasks,
}

impl Waiting {
    /// Notes that a thread is about to wait for `wanted`.
    fn add_thread(&mut self, wanted: Version) {
        self.threads = Some(self.threads.map_or(wanted, |first| first.min(wanted)));
    }

    /// Returns whether a thread may wait for `version` or less; if so, all threads are to be woken.
    fn take_threads(&mut self, version: Version) -> bool {
        self.threads.take_if(|first| *first <= version).is_some()
    }

    /// Returns the smallest version that is waited for, or less.
    fn target(&self) -> u64 {
        let first = self.threads.into_iter().chain(self.tasks.first_wanted()).min();
        first.map_or(NOBODY, Version::as_u64)
    }
}

#[derive(Debug)]
pub(super) struct Waiters {
    /// The smallest version that is waited for, or less. Written under the lock only.
    target: AtomicU64,
    closed: AtomicBool,
    waiting: Mutex<Waiting>,
    condvar: Condvar,
}

impl Waiters {
    pub(super) fn new() -> Self {
        let waiting = Waiting { threads: None, tasks: Tasks::new() };
        Self {
            target: AtomicU64::new(NOBODY),
            closed: AtomicBool::new(false),
            waiting: Mutex::new(&lock_order::VERSION_WAITERS, waiting),
            condvar: Condvar::new(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire: pairs with the release store in `close`; a thread that sees the flag also sees the last
        // version.
        self.closed.load(Ordering::Acquire)
    }

    /// Returns the result of a wait for `wanted`, if it is certain.
    fn look(&self, wanted: Version, version: impl Fn() -> Version) -> Option<Result<Version, WriterClosed>> {
        // The flag before the version: a version that was published before the end is never missed.
        let closed = self.is_closed();
        let version = version();
        if version >= wanted { Some(Ok(version)) } else { closed.then_some(Err(WriterClosed)) }
    }

    /// Waits in three steps: try, spin, park.
    pub(super) fn wait(
        &self,
        wanted: Version,
        timeout: Duration,
        version: impl Fn() -> Version,
    ) -> Result<Version, WaitError> {
        let poll = || Some(self.look(wanted, &version)?.map_err(WaitError::from));
        if let Some(result) = poll() {
            return result;
        }
        if timeout.is_zero() {
            return Err(WaitError::Timeout);
        }
        let deadline = deadline_after(timeout);
        let mut spin = Spin::new();
        while spin.spin() {
            if let Some(result) = poll() {
                return result;
            }
        }
        let mut waiting = self.waiting.lock();
        loop {
            waiting.add_thread(wanted);
            self.lower_target(wanted);
            // SeqCst: pairs with the fence in `notify`; see the head of this file.
            fence(Ordering::SeqCst);
            if let Some(result) = poll() {
                return result;
            }
            let timed_out;
            (waiting, timed_out) = match deadline {
                None => (self.condvar.wait(waiting), false),
                Some(deadline) => self.condvar.wait_until(waiting, deadline),
            };
            // Before it registers again, so that a thread that was woken leaves nothing to wake.
            if let Some(result) = poll() {
                return result;
            }
            if timed_out {
                return Err(WaitError::Timeout);
            }
        }
    }

    /// Waits as a task: returns the result of a wait for `wanted`, or arranges for `waker` to be woken when
    /// it is certain.
    ///
    /// `place` is that of the task: `None` at first, or left by an earlier poll for `wanted` or a smaller
    /// version. It is to be given up with [`leave`](Self::leave).
    ///
    /// A panic of the clone of the waker reaches the caller, before anything has changed.
    pub(super) fn poll(
        &self,
        wanted: Version,
        place: &mut Option<Place>,
        waker: &Waker,
        version: impl Fn() -> Version,
    ) -> Poll<Result<Version, WriterClosed>> {
        if let Some(result) = self.look(wanted, &version) {
            // No lock: the writer has removed the task, or is about to.
            *place = None;
            return Poll::Ready(result);
        }
        if let Some(place) = *place
            && self.waiting.lock().tasks.has(place, wanted, waker)
        {
            return Poll::Pending;
        }
        self.register(wanted, place, waker.clone(), version).map_or(Poll::Pending, Poll::Ready)
    }

    /// Inserts the task, replacing its earlier entry, unless the wait is over.
    fn register(
        &self,
        wanted: Version,
        place: &mut Option<Place>,
        waker: Waker,
        version: impl Fn() -> Version,
    ) -> Option<Result<Version, WriterClosed>> {
        let mut waiting = self.waiting.lock();
        let replaced = place.take().and_then(|place| waiting.tasks.remove(place));
        let inserted = waiting.tasks.insert(wanted, waker);
        self.lower_target(wanted);
        // SeqCst: pairs with the fence in `notify`; see the head of this file.
        fence(Ordering::SeqCst);
        let result = self.look(wanted, version);
        let mut unneeded = None;
        match result {
            Some(_) => unneeded = waiting.tasks.remove(inserted),
            None => *place = Some(inserted),
        }
        drop(waiting);
        dispose(replaced);
        dispose(unneeded);
        result
    }

    /// Removes the task at `place`, if it waits: O(log n), under the lock.
    pub(super) fn leave(&self, place: &mut Option<Place>) {
        if let Some(place) = place.take() {
            let waker = self.waiting.lock().tasks.remove(place);
            dispose(waker);
        }
    }

    /// Lowers the target to `wanted`. The caller holds the lock.
    fn lower_target(&self, wanted: Version) {
        // Relaxed, both: all writers hold the lock, and the fences order the target against the version.
        if self.target.load(Ordering::Relaxed) > wanted.as_u64() {
            self.target.store(wanted.as_u64(), Ordering::Relaxed);
        }
    }

    /// Wakes the threads, if one of them waits for `version` or less, and the tasks that do. Called after the
    /// store that published it, and without a lock.
    pub(super) fn notify(&self, version: Version) {
        // SeqCst: pairs with the fences in `wait` and `register`; see the head of this file.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        if self.target.load(Ordering::Relaxed) <= version.as_u64() {
            self.wake(version);
        }
    }

    /// Wakes all waiters. Called after the last version.
    pub(super) fn close(&self) {
        // Release: pairs with the acquire load in `is_closed`. (The fence of the last `notify` would suffice;
        // this does not rely on it.)
        self.closed.store(true, Ordering::Release);
        // No fence: the lock is taken in any case. A waiter that held it before is inside `wait` or in the
        // list, and one that takes it later sees the flag.
        self.wake(Version::MAX);
    }

    /// Wakes the threads, if one of them waits for `version` or less, and the tasks that do.
    fn wake(&self, version: Version) {
        let mut waiting = self.waiting.lock();
        let due = waiting.tasks.take_due(version);
        let wakes_threads = waiting.take_threads(version);
        // Relaxed: as in `lower_target`.
        self.target.store(waiting.target(), Ordering::Relaxed);
        drop(waiting);
        if wakes_threads {
            self.condvar.notify_all();
        }
        due.wake();
    }

    /// Returns the number of waiting tasks, and the first version whose publish takes the lock.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, Option<Version>) {
        let waiting = self.waiting.lock();
        // Relaxed: all writers hold the lock.
        let target = self.target.load(Ordering::Relaxed);
        (waiting.tasks.len(), (target != NOBODY).then_some(Version::from_u64(target)))
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;
    use crate::sync::{Arc, spawn};

    /// The condition variable is shared, so the thread would be woken for nothing.
    #[test]
    fn a_thread_sleeps_through_the_wake_ups_of_tasks_and_of_earlier_versions() {
        const LAST: u64 = 100;
        let waiters = Arc::new(Waiters::new());
        let newest = Arc::new(AtomicU64::new(0));
        let last = Version::from_u64(LAST);
        let theirs = (waiters.clone(), newest.clone());
        let thread = spawn(String::from("waits"), move || {
            let (waiters, newest) = theirs;
            waiters.wait(last, Duration::MAX, || Version::from_u64(newest.load(Ordering::SeqCst)))
        });
        // Set under the lock, which the thread gives up only to sleep.
        while waiters.waiting.lock().threads.is_none() {
            std::hint::spin_loop();
        }
        for number in 1..=LAST {
            let version = Version::from_u64(number);
            let mut place = None;
            let now = || Version::from_u64(number - 1);
            assert!(waiters.poll(version, &mut place, Waker::noop(), now).is_pending());
            newest.store(number, Ordering::SeqCst);
            waiters.notify(version);
            let waiting = waiters.waiting.lock();
            assert_eq!(waiting.tasks.len(), 0);
            let asleep = (number < LAST).then_some(last);
            assert_eq!((waiting.threads, waiting.target()), (asleep, asleep.map_or(NOBODY, Version::as_u64)));
        }
        assert_eq!(thread.unwrap().join().unwrap(), Ok(last));
    }
}
