//! The state of one result, shared by the two ends.

use std::task::Waker;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, Spin, lock_order};

/// The callback that a ticket leaves to be called with the result.
pub(super) type Callback<T, E> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// The completion turns `Pending` into `Complete`, or into `Taken` when it calls a callback. The ticket turns
/// `Complete` into `Taken`; when it is dropped, it replaces the current state with `Abandoned`.
///
/// Valid after a panic: every transition is one assignment, and no user code runs under the lock.
pub(super) enum State<T, E> {
    Pending(Waiter<T, E>),
    Complete(Result<T, E>),
    /// The result was taken.
    Taken,
    /// The ticket was dropped without leaving a callback.
    Abandoned,
}

/// The party to notify of the completion.
pub(super) enum Waiter<T, E> {
    Nobody,
    /// A thread in `wait`.
    Thread,
    /// A task that has polled.
    Task(Waker),
    Callback(Callback<T, E>),
}

pub(super) struct Slot<T, E> {
    state: Mutex<State<T, E>>,
    completed: Condvar,
    /// Set under the lock, with the result in place. Spares a ticket that looks too early the lock.
    done: AtomicBool,
}

/// The rest of the completer's work, to be done once the lock is released.
pub(super) enum Finished<T, E> {
    Nothing,
    /// Notify the thread that waits for [`completed`](Slot::completed).
    Notify,
    Wake(Waker),
    Call(Callback<T, E>, Result<T, E>),
    Abandoned(Result<T, E>),
}

impl<T, E> Slot<T, E> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(&lock_order::TICKET, State::Pending(Waiter::Nobody)),
            completed: Condvar::new(),
            done: AtomicBool::new(false),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock()
    }

    /// Signals the next change of a state in which a thread waits.
    pub(super) fn completed(&self) -> &Condvar {
        &self.completed
    }

    pub(super) fn is_done(&self) -> bool {
        // Acquire: pairs with `finish`, so everything the completer did before is visible even without the
        // lock.
        self.done.load(Ordering::Acquire)
    }

    /// Resets a used slot. Its exclusive owner calls this, so no thread waits and, both ends being gone, the
    /// slot holds no value.
    pub(super) fn renew(&mut self) {
        // Relaxed: exclusive access; the pool hands the slot over.
        self.done.store(false, Ordering::Relaxed);
        let old = std::mem::replace(&mut *self.state.lock(), State::Pending(Waiter::Nobody));
        // Dropped last, without the lock: a completion that was leaked leaves the callback of its ticket
        // here.
        drop(old);
    }

    /// Spins until the result is in place, for a bounded time.
    pub(super) fn spin(&self) {
        let mut spin = Spin::new();
        while !self.is_done() && spin.spin() {}
    }

    /// Puts the result in place, once. The caller does the rest later: the returned callback or waker is user
    /// code, which runs without the lock, and a thread that waits sleeps until it is notified.
    pub(super) fn finish(&self, result: Result<T, E>) -> Finished<T, E> {
        let mut state = self.lock();
        let finished = match std::mem::replace(&mut *state, State::Taken) {
            State::Pending(Waiter::Callback(callback)) => Finished::Call(callback, result),
            State::Pending(waiter) => {
                *state = State::Complete(result);
                match waiter {
                    Waiter::Task(waker) => Finished::Wake(waker),
                    // The thread registered under the lock and released it in the wait, so it receives a
                    // notification from now on.
                    Waiter::Thread => Finished::Notify,
                    Waiter::Nobody | Waiter::Callback(_) => Finished::Nothing,
                }
            }
            State::Abandoned => {
                *state = State::Abandoned;
                Finished::Abandoned(result)
            }
            State::Complete(_) | State::Taken => unreachable!("a completion completes once"),
        };
        // Release: pairs with `is_done`. Under the lock, so the flag never lags behind the state.
        self.done.store(true, Ordering::Release);
        drop(state);
        finished
    }
}

impl<T, E> State<T, E> {
    /// Returns the result, once.
    pub(super) fn take_result(&mut self) -> Option<Result<T, E>> {
        if !matches!(self, Self::Complete(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Taken) {
            Self::Complete(result) => Some(result),
            _ => None,
        }
    }

    /// Replaces the waiter by `waiter` and returns the previous one, to be dropped without the lock. If there
    /// is nothing to wait for, this has no effect and returns `waiter`.
    pub(super) fn set_waiter(&mut self, waiter: Waiter<T, E>) -> Waiter<T, E> {
        match self {
            Self::Pending(place) => std::mem::replace(place, waiter),
            Self::Complete(_) | Self::Taken | Self::Abandoned => waiter,
        }
    }
}
