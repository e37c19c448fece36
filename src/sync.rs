//! The facade over `std`, loom and shuttle: the only file that names them.
//!
//! All synchronization in the crate goes through this file, so one build (`--cfg switchboard_model` with
//! `--cfg switchboard_loom` or `--cfg switchboard_shuttle`) runs the real protocols under a model checker.
//! The cfgs are specific to this crate: a plain `--cfg loom` reaches every dependency and breaks some of
//! them.
//!
//! The three backends differ deliberately:
//!
//! * [`Mutex`] and [`RwLock`](rw_lock::RwLock) do not poison. Next to each guarded struct, one sentence
//!   explains why its state is valid after a panic. Both have a rank from [`lock_order`], checked in debug
//!   builds.
//! * Under the checkers, [`Condvar::wait_until`] ends when a thread of the model lets time pass, or when it
//!   is notified, in either order: see `timed`. In a model without a clock every deadline has passed: the
//!   other threads run, and then the timeout is reported.
//! * Under loom, the atomics are loom's, each with a second object that its loads touch first: see `touched`.
//! * Under loom, [`Arc`] is loom's, so the release and acquire edges of its counter are explored. [`StdArc`]
//!   is always the standard one: for immutable trait objects and for the pages of the map, which become
//!   visible to readers through the cell that publishes them.
//! * Under the checkers, [`Spin`] ends at once and `Backoff` yields: spinning has no meaning there, and loom
//!   runs a thread that yielded after all others, which would hide the races of parking.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::ops::{Deref, DerefMut};
use std::time::Instant;

#[cfg(any(switchboard_loom, switchboard_shuttle))]
#[cfg(not(switchboard_model))]
compile_error!("`--cfg switchboard_loom` and `--cfg switchboard_shuttle` need `--cfg switchboard_model` too");

pub(crate) mod lock_order;
#[cfg(test)]
pub(crate) mod model;
pub(crate) mod ring;
#[cfg(feature = "shadow")]
pub(crate) mod rw_lock;
#[cfg(switchboard_model)]
pub(crate) mod timed;
#[cfg(switchboard_loom)]
pub(crate) mod touched;
#[cfg(switchboard_model)]
pub(crate) mod twin;

use lock_order::{Held, Lock};

#[cfg(not(switchboard_model))]
mod imp {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
    #[cfg(feature = "shadow")]
    pub(crate) use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub(crate) use std::thread_local;

    pub(crate) mod thread {
        pub(crate) use std::thread::current;
        pub(crate) use std::thread::{Builder, JoinHandle};
    }
}

#[cfg(switchboard_loom)]
mod imp {
    pub(crate) use super::touched as atomic;
    pub(crate) use loom::sync::atomic as plain;
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    #[cfg(feature = "shadow")]
    pub(crate) use loom::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub(crate) use loom::thread_local;

    pub(crate) mod thread {
        pub(crate) use loom::thread::current;
        pub(crate) use loom::thread::{Builder, JoinHandle, yield_now};
    }
}

#[cfg(switchboard_shuttle)]
mod imp {
    pub(crate) use shuttle::sync::atomic;
    pub(crate) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};
    #[cfg(feature = "shadow")]
    pub(crate) use shuttle::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub(crate) use shuttle::thread_local;

    pub(crate) mod thread {
        pub(crate) use shuttle::thread::current;
        pub(crate) use shuttle::thread::{Builder, JoinHandle, yield_now};
    }
}

/// Returns whether the calling thread is unwinding from a panic. The checkers do not model it.
pub(crate) use std::thread::panicking as is_unwinding;

#[cfg(switchboard_model)]
mod backoff {
    /// A stand-in for `crossbeam_utils::Backoff`: every step yields to the scheduler of the checker.
    #[derive(Debug)]
    pub(crate) struct Backoff;

    impl Backoff {
        pub(crate) fn new() -> Self {
            Self
        }

        pub(crate) fn snooze(&self) {
            super::imp::thread::yield_now();
        }
    }
}

#[cfg(switchboard_model)]
pub(crate) use backoff::Backoff;
#[cfg(all(test, not(switchboard_model)))]
pub(crate) use crossbeam_utils::Backoff;

pub(crate) use imp::{Arc, atomic, thread, thread_local};
pub(crate) use std::sync::Arc as StdArc;
#[cfg(any(feature = "sessions", feature = "cleanup"))]
pub(crate) use std::sync::Weak as StdWeak;
/// An `Arc` without weak references: checking for exclusive access costs one load, where the standard `Arc`
/// has to lock its weak count.
pub(crate) use triomphe::Arc as SlimArc;

/// A place for one value that the checkers do not see: no scheduling point, no edge between threads.
///
/// For the twins of structures whose own protocol determines which thread may access a slot. A violation of
/// that protocol panics.
#[cfg(switchboard_model)]
#[derive(Debug)]
pub(crate) struct Unseen<T> {
    value: std::sync::Mutex<Option<T>>,
}

#[cfg(switchboard_model)]
impl<T> Unseen<T> {
    pub(crate) fn empty() -> Self {
        Self { value: std::sync::Mutex::new(None) }
    }

    /// # Panics
    /// If it already holds a value, or another thread is inside.
    pub(crate) fn put(&self, value: T) {
        let old = match self.value.try_lock() {
            Ok(mut place) => place.replace(value),
            Err(error) => panic!("two threads in one slot: {error}"),
        };
        assert!(old.is_none(), "a value was overwritten");
    }

    /// # Panics
    /// If it holds no value, or another thread is inside.
    pub(crate) fn take(&self) -> T {
        let value = match self.value.try_lock() {
            Ok(mut place) => place.take(),
            Err(error) => panic!("two threads in one slot: {error}"),
        };
        let Some(value) = value else { panic!("an empty slot was read") };
        value
    }
}

/// The short spin between a failed look and parking; it never yields.
///
/// Yielding is not a short pause. If another thread wants the processor, a yield gives away a whole time
/// slice, several milliseconds, although the awaited event may occur much earlier; a parked thread is woken
/// at once. If the two threads share one processor, which is where the Linux scheduler puts threads that wake
/// each other, spinning only delays the other thread: with `crossbeam_utils::Backoff`, which yields four
/// times, a command took 9.2 µs to become visible, compared with 4.7 µs now (2 processors, idle; `benches`,
/// workload `manager`).
#[derive(Debug)]
pub(crate) struct Spin {
    steps: u32,
}

impl Spin {
    /// Number of spins: they take 1, 2 and 4 pause hints.
    #[cfg(not(switchboard_model))]
    const STEPS: u32 = 3;
    #[cfg(switchboard_model)]
    const STEPS: u32 = 0;

    pub(crate) fn new() -> Self {
        Self { steps: 0 }
    }

    /// Spins a little longer than the last time. Returns false, without spinning, when it is time to park.
    pub(crate) fn spin(&mut self) -> bool {
        let again = self.steps < Self::STEPS;
        if again {
            (0..1_u32 << self.steps).for_each(|_| std::hint::spin_loop());
            self.steps += 1;
        }
        again
    }
}

/// A mutual exclusion lock with a rank, without poisoning.
///
/// Created from an entry of the [`lock_order`] table. Debug builds panic if a thread acquires it while
/// holding a lock of the same or a higher rank.
pub(crate) struct Mutex<T> {
    lock: &'static Lock,
    inner: imp::Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(lock: &'static Lock, value: T) -> Self {
        Self { lock, inner: imp::Mutex::new(value) }
    }

    /// Blocks until the lock is free. A panic of an earlier holder is ignored.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        // The rank is checked before the wait, so an inversion panics instead of deadlocking.
        let held = lock_order::acquire(self.lock);
        let inner = match self.inner.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        };
        MutexGuard { mutex: self, inner: Some(inner), held: Some(held) }
    }
}

impl<T> std::fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mutex").field("lock", &self.lock.name()).finish_non_exhaustive()
    }
}

/// Access to the value of a [`Mutex`]; releases the lock when dropped.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    // `None` only while a `Condvar` holds it, and in `drop`.
    inner: Option<imp::MutexGuard<'a, T>>,
    held: Option<Held>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.inner {
            Some(guard) => guard,
            None => unreachable!("a guard outside `Condvar::wait` holds its lock"),
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.inner {
            Some(guard) => guard,
            None => unreachable!("a guard outside `Condvar::wait` holds its lock"),
        }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // The lock is released before its rank, so the record never omits a lock that is held.
        self.inner = None;
        self.held = None;
    }
}

/// A condition variable for [`Mutex`].
pub(crate) struct Condvar {
    inner: imp::Condvar,
    #[cfg(switchboard_model)]
    timed: timed::Queue,
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self {
            inner: imp::Condvar::new(),
            #[cfg(switchboard_model)]
            timed: timed::Queue::new(),
        }
    }

    pub(crate) fn notify_one(&self) {
        #[cfg(switchboard_model)]
        if self.timed.notify_one() {
            return;
        }
        self.inner.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        #[cfg(switchboard_model)]
        self.timed.notify_all();
        self.inner.notify_all();
    }

    /// Releases the lock, waits for a notification, and takes the lock again. May wake spuriously.
    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex = guard.mutex;
        let Some(inner) = guard.inner.take() else { return guard };
        drop(guard);
        let inner = match self.inner.wait(inner) {
            Ok(inner) => inner,
            Err(poisoned) => poisoned.into_inner(),
        };
        MutexGuard { mutex, inner: Some(inner), held: Some(lock_order::acquire(mutex.lock)) }
    }

    /// As [`wait`](Self::wait), but no longer than until `deadline`. The flag tells whether the deadline
    /// passed.
    #[cfg(not(switchboard_model))]
    pub(crate) fn wait_until<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> (MutexGuard<'a, T>, bool) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return (guard, true);
        }
        let mutex = guard.mutex;
        let Some(inner) = guard.inner.take() else { return (guard, true) };
        drop(guard);
        let (inner, result) = match self.inner.wait_timeout(inner, left) {
            Ok(woken) => woken,
            Err(poisoned) => poisoned.into_inner(),
        };
        let held = Some(lock_order::acquire(mutex.lock));
        (MutexGuard { mutex, inner: Some(inner), held }, result.timed_out())
    }

    /// As [`wait`](Self::wait), but ends when time passes in the model. Without a clock the deadline has
    /// passed: the other threads run, then the timeout is reported.
    #[cfg(switchboard_model)]
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _deadline: Instant,
    ) -> (MutexGuard<'a, T>, bool) {
        let mutex = guard.mutex;
        let Some(time) = timed::Time::now() else {
            drop(guard);
            thread::yield_now();
            return (mutex.lock(), true);
        };
        let timed_out = self.timed.wait(&time, || drop(guard));
        (mutex.lock(), timed_out)
    }
}

/// Returns the number of processors that this process may use.
#[cfg(feature = "cleanup")]
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// Returns the instant `timeout` from now on the real clock, for bounded waits; `None` if it cannot be
/// represented, which callers treat as no bound.
pub(crate) fn deadline_after(timeout: std::time::Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// Returns the time until `deadline` on the real clock; zero once it has passed.
#[cfg(any(feature = "manager", feature = "cleanup"))]
pub(crate) fn time_left(deadline: Instant) -> std::time::Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Waits for `timeout`, for a thread that no one wakes. Under the checkers the other threads run, and the time
/// is over.
pub(crate) fn sleep(timeout: std::time::Duration) {
    #[cfg(not(switchboard_model))]
    std::thread::sleep(timeout);
    #[cfg(switchboard_model)]
    {
        let _ = timeout;
        thread::yield_now();
    }
}

/// Lets the threads run that wait for this processor, and might otherwise wait for the rest of this thread's slice: some
/// milliseconds. No step of a protocol, and therefore nothing under the checkers.
pub(crate) fn give_way() {
    #[cfg(not(switchboard_model))]
    std::thread::yield_now();
}

/// Starts a named thread.
///
/// # Errors
/// The error of the operating system if it cannot create a thread, and `InvalidInput` if it cannot have the name.
pub(crate) fn spawn<F, T>(name: String, body: F) -> std::io::Result<thread::JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if name.contains('\0') {
        let kind = std::io::ErrorKind::InvalidInput;
        return Err(std::io::Error::new(kind, "the name of a thread contains a null character"));
    }
    thread::Builder::new().name(name).spawn(body)
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    #[test]
    fn a_panic_under_the_lock_does_not_poison_it() {
        let mutex = Mutex::new(&lock_order::TEST_AUXILIARY, 1);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut guard = mutex.lock();
            *guard = 2;
            panic!("while holding the lock");
        }));
        assert!(result.is_err());
        assert_eq!(*mutex.lock(), 2);
    }

    #[test]
    fn a_timed_wait_ends_at_its_deadline() {
        let mutex = Mutex::new(&lock_order::TEST_AUXILIARY, ());
        let condvar = Condvar::new();
        let deadline = Instant::now() + std::time::Duration::from_millis(5);
        let mut guard = mutex.lock();
        loop {
            let (again, timed_out) = condvar.wait_until(guard, deadline);
            guard = again;
            if timed_out {
                break;
            }
        }
        assert!(Instant::now() >= deadline);
        drop(guard);
        drop(mutex.lock());
    }
}

#[cfg(test)]
mod models {
    use super::atomic::{AtomicUsize, Ordering};
    use super::model::{model, spawn};
    use super::*;

    /// The mutex and the condition variable of the facade behave the same under each backend.
    #[test]
    fn a_notified_waiter_sees_what_was_written_under_the_lock() {
        model(|| {
            let shared = Arc::new((Mutex::new(&lock_order::TEST_AUXILIARY, false), Condvar::new()));
            let other = shared.clone();
            let thread = spawn(move || {
                *other.0.lock() = true;
                other.1.notify_one();
            });
            let mut ready = shared.0.lock();
            while !*ready {
                ready = shared.1.wait(ready);
            }
            drop(ready);
            assert!(thread.join().is_ok());
        });
    }

    /// A control: the checkers are really running, and the release store is necessary for this to pass.
    #[test]
    fn a_release_store_publishes_what_came_before_it() {
        model(|| {
            let shared = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
            let other = shared.clone();
            let thread = spawn(move || {
                // Relaxed: ordered by the release store below.
                other.0.store(7, Ordering::Relaxed);
                // Release: pairs with the acquire load of the model body.
                other.1.store(1, Ordering::Release);
            });
            // Acquire: pairs with the release store of the thread.
            if shared.1.load(Ordering::Acquire) == 1 {
                // Relaxed: ordered by the acquire load above.
                assert_eq!(shared.0.load(Ordering::Relaxed), 7);
            }
            assert!(thread.join().is_ok());
        });
    }
}
