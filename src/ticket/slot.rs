//! What the two ends share: the state of one result.

use std::task::Waker;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, Spin, lock_order};

/// What a ticket leaves to be called with the result.
pub(super) type Callback<T, E> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// The completion turns `Pending` into `Complete`, or into `Taken` when it calls a callback. The ticket turns
/// `Complete` into `Taken`, and what it finds into `Abandoned` when it is dropped.
///
/// Valid after a panic: every transition is one assignment, and no foreign code runs under the lock.
pub(super) enum State<T, E> {
    Pending(Waiter<T, E>),
    Complete(Result<T, E>),
    /// The ticket has had the result.
    Taken,
    /// The ticket is gone and left no callback.
    Abandoned,
}

/// Who wants to hear of the completion.
pub(super) enum Waiter<T, E> {
    Nobody,
    /// A thread in `wait`.
    Thread,
    /// A task that polled.
    Task(Waker),
    Callback(Callback<T, E>),
}

pub(super) struct Slot<T, E> {
    state: Mutex<State<T, E>>,
    completed: Condvar,
    /// Set under the lock, with the result in place. Spares a ticket that looks too early the lock.
    done: AtomicBool,
}

/// What the completer has to do once the lock is released.
pub(super) enum Finished<T, E> {
    Delivered(Option<Waker>),
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

    /// Waits for the next change of a state in which a thread waits.
    pub(super) fn completed(&self) -> &Condvar {
        &self.completed
    }

    pub(super) fn is_done(&self) -> bool {
        // Acquire: pairs with `finish`, so that what the completer did before is visible even without the
        // lock.
        self.done.load(Ordering::Acquire)
    }

    /// Makes a slot that was used as good as new. Its exclusive owner calls this, so nobody waits and, both
    /// ends being gone, there is no value in it.
    pub(super) fn renew(&mut self) {
        // Relaxed: exclusive access; the pool hands the slot over.
        self.done.store(false, Ordering::Relaxed);
        let old = std::mem::replace(&mut *self.state.lock(), State::Pending(Waiter::Nobody));
        // Without the lock, and last: a completion that was leaked leaves the callback of its ticket here.
        drop(old);
    }

    /// Spins until the result is there, for a bounded time.
    pub(super) fn spin(&self) {
        let mut spin = Spin::new();
        while !self.is_done() && spin.spin() {}
    }

    /// The one completion. What is returned is foreign and to be run by the caller, without the lock.
    pub(super) fn finish(&self, result: Result<T, E>) -> Finished<T, E> {
        let mut state = self.lock();
        let (finished, notify) = match std::mem::replace(&mut *state, State::Taken) {
            State::Pending(Waiter::Callback(callback)) => (Finished::Call(callback, result), false),
            State::Pending(waiter) => {
                *state = State::Complete(result);
                match waiter {
                    Waiter::Task(waker) => (Finished::Delivered(Some(waker)), false),
                    Waiter::Thread => (Finished::Delivered(None), true),
                    Waiter::Nobody | Waiter::Callback(_) => (Finished::Delivered(None), false),
                }
            }
            State::Abandoned => {
                *state = State::Abandoned;
                (Finished::Abandoned(result), false)
            }
            State::Complete(_) | State::Taken => unreachable!("a completion completes once"),
        };
        // Release: pairs with `is_done`. Under the lock, so that it never says less than the state.
        self.done.store(true, Ordering::Release);
        drop(state);
        if notify {
            // The thread registered under the lock and released it in the wait, so it hears this.
            self.completed.notify_one();
        }
        finished
    }
}

impl<T, E> State<T, E> {
    /// The result, once.
    pub(super) fn take_result(&mut self) -> Option<Result<T, E>> {
        if !matches!(self, Self::Complete(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Taken) {
            Self::Complete(result) => Some(result),
            _ => None,
        }
    }

    /// Puts `waiter` in the place of another, which comes back to be dropped without the lock. Without effect
    /// when there is nothing to wait for.
    pub(super) fn set_waiter(&mut self, waiter: Waiter<T, E>) -> Waiter<T, E> {
        match self {
            Self::Pending(place) => std::mem::replace(place, waiter),
            Self::Complete(_) | Self::Taken | Self::Abandoned => waiter,
        }
    }
}
