//! The receiver's sleep.
//!
//! An event count for one sleeper. The receiver notes that it is about to sleep, looks once more for
//! work, and sleeps; a sender creates work, and then checks whether the receiver is about to sleep. Between
//! the two steps each has a `fence(SeqCst)`:
//!
//! ```text
//! receiver                          sender
//! R1  state = PARKED                S1  push (or close, or give back the last room, or ask to wake)
//! R2  fence(SeqCst)                 S2  fence(SeqCst)
//! R3  look at rings and lanes       S3  look at the state
//! R4  nothing: sleep                S4  PARKED: state = AWAKE, leave a notice, notify
//! ```
//!
//! The fences are totally ordered. If R2 is first, S3 sees R1 (or a later state, which only the receiver
//! itself or another sender in S4 can have set: then the receiver is awake, or has a notice). If S2 is first,
//! R3 sees S1. Hence the receiver never falls asleep with work pending and no notice. A sender pays for the
//! fence and one load of a cache line that is written only when the receiver parks; it takes the lock only
//! when the receiver sleeps.
//!
//! A task sleeps by returning from its poll: before R1 it leaves its waker under the lock, and S4 takes it.
//! Each poll that ends in R4 goes through the lock, and leaves a waker if there is none. Hence a sender in S4
//! that finds no waker comes after another one that has taken it: either that wake-up leads to a poll whose
//! visit to the lock comes later than this sender's, and which sees this sender's work in R3, or it is still
//! to come.

use std::task::Waker;

use super::lane::Deadline;
use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use crate::sync::{Condvar, Mutex, lock_order};
use crate::unwind;

const AWAKE: u8 = 0;
const PARKED: u8 = 1;
const GONE: u8 = 2;

/// Whether a command that was just pushed can still be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Notified {
    Heard,
    /// The receiver is gone: the sender has to empty the rings itself.
    Gone,
}

#[derive(Debug)]
pub(super) struct Parking {
    state: AtomicU8,
    wake_asked: AtomicBool,
    notice: Mutex<Notice>,
    noticed: Condvar,
}

/// The message to the sleeper. Valid after a panic: a superfluous notice costs one look around.
#[derive(Debug, Default)]
struct Notice {
    given: bool,
    /// The task to wake, if the receiver sleeps as one.
    task: Option<Waker>,
}

impl Parking {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU8::new(AWAKE),
            wake_asked: AtomicBool::new(false),
            notice: Mutex::new(&lock_order::MAILBOX_RECEIVER, Notice::default()),
            noticed: Condvar::new(),
        }
    }

    /// Performs R1 and R2. The caller then looks around, and calls [`cancel`](Self::cancel) or
    /// [`park`](Self::park).
    pub(super) fn prepare(&self) {
        // Relaxed: ordered by the fence.
        self.state.store(PARKED, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `notify`; both interleavings are in the head comment.
        fence(Ordering::SeqCst);
    }

    /// Leaves the waker of a task, then performs R1 and R2. The caller then looks around, and calls
    /// [`cancel`](Self::cancel) or returns from its poll.
    pub(super) fn prepare_task(&self, waker: &Waker) {
        // While AWAKE, the last waker was most likely taken, so this spares a look at it under the lock.
        if self.is_awake() || !self.knows(waker) {
            // Cloning and dropping a waker is user code: both are done without the lock. Only the receiver
            // leaves wakers, so none is left in between.
            let fresh = waker.clone();
            let old = self.notice.lock().task.replace(fresh);
            old.into_iter().for_each(unwind::drop_waker);
        }
        self.prepare();
    }

    /// Removes the waker of a task that no longer waits.
    pub(super) fn forget_task(&self) {
        self.cancel();
        let task = self.notice.lock().task.take();
        task.into_iter().for_each(unwind::drop_waker);
    }

    /// As [`forget_task`](Self::forget_task), after a poll that ended in R4: if a sender has come to S4 since,
    /// it takes the waker, or has taken it, and no lock is needed.
    pub(super) fn forget_sleeping_task(&self) {
        if !self.is_awake() {
            self.forget_task();
        }
    }

    fn is_awake(&self) -> bool {
        // Relaxed: an older state is PARKED, which costs a lock. Only the receiver, which calls this, sets
        // PARKED.
        self.state.load(Ordering::Relaxed) == AWAKE
    }

    fn knows(&self, waker: &Waker) -> bool {
        self.notice.lock().task.as_ref().is_some_and(|known| known.will_wake(waker))
    }

    /// Called when the receiver found something to do after all. A sender may still leave a notice.
    pub(super) fn cancel(&self) {
        // Relaxed: spares senders the notice; the next `prepare` has its own fence.
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Performs R4: sleeps until there is a notice. Returns false if the deadline passed first.
    ///
    /// The receiver is woken by any thread that creates work for it. The last sender to be dropped closes the
    /// mailbox, which counts as work, so the receiver never sleeps past the end of its senders, however they
    /// end.
    pub(super) fn park(&self, deadline: Deadline) -> bool {
        let mut notice = self.notice.lock();
        if let Some(stale) = notice.task.take() {
            // A task has polled, and a thread waits now.
            drop(notice);
            unwind::drop_waker(stale);
            notice = self.notice.lock();
        }
        while !notice.given {
            let timed_out;
            (notice, timed_out) = match deadline {
                Deadline::Never => (self.noticed.wait(notice), false),
                Deadline::At(deadline) => self.noticed.wait_until(notice, deadline),
            };
            if timed_out {
                break;
            }
        }
        std::mem::take(&mut notice.given)
    }

    /// Performs S2 to S4.
    pub(super) fn notify(&self) -> Notified {
        // SeqCst: pairs with the fences in `prepare` and `leave`.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        match self.state.load(Ordering::Relaxed) {
            AWAKE => Notified::Heard,
            PARKED => self.unpark(),
            _ => Notified::Gone,
        }
    }

    #[cold]
    fn unpark(&self) -> Notified {
        // One sender pays for the notice, the others see AWAKE. If this fails, the receiver has cancelled and
        // will look around again after its next fence, or it is gone.
        // Relaxed: the lock orders the notice, the rings order their values.
        match self.state.compare_exchange(PARKED, AWAKE, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                self.give_notice();
                Notified::Heard
            }
            Err(GONE) => Notified::Gone,
            Err(_) => Notified::Heard,
        }
    }

    fn give_notice(&self) {
        let mut notice = self.notice.lock();
        // Also for a task, whose waker may be stale: the receiver may be a thread that is about to park.
        notice.given = true;
        let task = notice.task.take();
        drop(notice);
        match task {
            // No thread is inside the wait: it would have removed the waker.
            Some(waker) => unwind::wake(waker),
            None => self.noticed.notify_one(),
        }
    }

    /// Asks the receiver to return from its wait without a command.
    pub(super) fn ask_to_wake(&self) {
        // Release: everything the caller did before is visible to the receiver that was woken. This is a
        // swap, so requests that are merged into one are all in the release sequence that `take_wake` reads
        // from.
        self.wake_asked.swap(true, Ordering::Release);
        // A receiver that is gone need not be woken.
        let _ = self.notify();
    }

    /// Returns whether the receiver was asked to wake since the last call.
    pub(super) fn take_wake(&self) -> bool {
        // Relaxed: the swap decides.
        // Acquire: pairs with `ask_to_wake`.
        self.wake_asked.load(Ordering::Relaxed) && self.wake_asked.swap(false, Ordering::Acquire)
    }

    /// Marks the receiver as gone. The caller must empty the rings afterwards: a sender that pushed before
    /// this fence may not see the mark, but then the emptying sees its push; a sender that pushed after it
    /// sees the mark and empties the rings itself.
    ///
    /// Returns the waker of the last task that polled, which the caller drops when it has emptied the rings.
    pub(super) fn leave(&self) -> Option<Waker> {
        // Relaxed: ordered by the fence.
        self.state.store(GONE, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `notify`.
        fence(Ordering::SeqCst);
        self.notice.lock().task.take()
    }

    /// Returns whether [`leave`](Self::leave) was called. A hint: false may be stale.
    pub(super) fn is_gone(&self) -> bool {
        // Relaxed: a hint; `notify` decides.
        self.state.load(Ordering::Relaxed) == GONE
    }
}
