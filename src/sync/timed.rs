//! Deadlines under the checkers, which do not model time: a thread of the model lets it pass.
//!
//! A model that begins with [`Time::stopped`] has a stopped clock. A thread that waits with a deadline sleeps
//! until it is notified or until a thread of the model calls [`Time::pass`]. The checkers explore both
//! orders, as they do for any two threads. After that call every deadline has passed. In a model without a
//! clock every deadline has passed from the beginning.
//!
//! A waiter whose deadline passes can still be notified until it is awake again, and may consume a
//! notification that another waiter would have received. POSIX allows this for `pthread_cond_timedwait`, so
//! code that waits for a condition has to check it once more after a deadline. Waiters with a deadline are
//! notified before those without, for the same reason: it is the order that loses wake-ups.
//!
//! Everything before a call of `pass` is visible to the threads whose deadlines it ends. Where that could
//! hide an error, a thread that does nothing else has to call it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc as StdArc, Mutex as Unseen, PoisonError, Weak};

use super::imp::{Condvar, Mutex};

thread_local! {
    // The checkers run all threads of a model on the thread that started it.
    static NOW: RefCell<Weak<Time>> = const { RefCell::new(Weak::new()) };
}

/// The clock of one execution of a model.
pub(crate) struct Time {
    queue: Queue,
    // Not seen by the checkers: read and written right after an access to the queue, which is.
    is_over: Unseen<bool>,
}

#[cfg_attr(not(test), allow(dead_code))] // Only models use it.
impl Time {
    /// Creates a stopped clock, for all waits of this execution.
    pub(crate) fn stopped() -> StdArc<Self> {
        let time = StdArc::new(Self { queue: Queue::new(), is_over: Unseen::new(false) });
        NOW.set(StdArc::downgrade(&time));
        time
    }

    /// Lets all deadlines pass.
    pub(crate) fn pass(&self) {
        self.queue.touch();
        *unseen(&self.is_over) = true;
        let waiting = std::mem::take(&mut *unseen(&self.queue.waiting));
        waiting.iter().for_each(|waiter| waiter.wake(Woken::TimedOut));
    }

    /// Returns a timeout for a wait that this clock ends.
    #[allow(clippy::unused_self)] // Same interface as outside the checkers.
    pub(crate) fn timeout(&self) -> std::time::Duration {
        std::time::Duration::from_secs(60)
    }

    pub(super) fn now() -> Option<StdArc<Self>> {
        NOW.with_borrow(Weak::upgrade)
    }

    fn end(&self, waiter: &StdArc<Waiter>) {
        self.queue.touch();
        if *unseen(&self.is_over) {
            waiter.wake(Woken::TimedOut);
        } else {
            unseen(&self.queue.waiting).push_back(waiter.clone());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    Not,
    Notified,
    TimedOut,
}

/// One wait with a deadline. The first call that wakes it determines the reason.
pub(super) struct Waiter {
    woken: Mutex<Woken>,
    changed: Condvar,
}

impl Waiter {
    fn wake(&self, why: Woken) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if *woken == Woken::Not {
            *woken = why;
            self.changed.notify_one();
        }
    }

    /// Sleeps until woken. Returns whether the deadline came first.
    fn sleep(&self) -> bool {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while *woken == Woken::Not {
            woken = self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner);
        }
        *woken == Woken::TimedOut
    }
}

/// The threads waiting with a deadline: those of a condition variable, or all that the clock can end.
pub(super) struct Queue {
    /// No thread waits for it; it is touched before each access, so all orders of the accesses are explored.
    order: Condvar,
    waiting: Unseen<VecDeque<StdArc<Waiter>>>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { order: Condvar::new(), waiting: Unseen::new(VecDeque::new()) }
    }

    /// Registers, releases the lock with `release`, and sleeps. Returns true if the deadline came first.
    pub(super) fn wait(&self, time: &Time, release: impl FnOnce()) -> bool {
        let waiter = StdArc::new(Waiter { woken: Mutex::new(Woken::Not), changed: Condvar::new() });
        self.touch();
        unseen(&self.waiting).push_back(waiter.clone());
        time.end(&waiter);
        release();
        let timed_out = waiter.sleep();
        self.touch();
        unseen(&self.waiting).retain(|other| !StdArc::ptr_eq(other, &waiter));
        timed_out
    }

    /// Notifies the first waiter. Returns false if there is none.
    pub(super) fn notify_one(&self) -> bool {
        if Time::now().is_none() {
            return false;
        }
        self.touch();
        let first = unseen(&self.waiting).pop_front();
        first.inspect(|waiter| waiter.wake(Woken::Notified)).is_some()
    }

    pub(super) fn notify_all(&self) {
        while self.notify_one() {}
    }

    fn touch(&self) {
        self.order.notify_one();
    }
}

fn unseen<T>(value: &Unseen<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
