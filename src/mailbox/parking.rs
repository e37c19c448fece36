//! Where the receiver sleeps.
//!
//! An event count for one sleeper. The receiver says that it is about to sleep, looks once more for anything
//! to do, and sleeps; a sender makes something to do, and looks whether the receiver is about to sleep.
//! Between the two steps each has a `fence(SeqCst)`:
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
//! itself or another sender in S4 can have set: then it is awake, or has a notice). If S2 is first, R3 sees
//! S1. So no sleep begins with something to do and without a notice. A sender pays for the fence and one load
//! of a line that is written only when the receiver parks; it takes the lock only when the receiver sleeps.

use super::lane::Deadline;
use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use crate::sync::{Condvar, Mutex, lock_order};

const AWAKE: u8 = 0;
const PARKED: u8 = 1;
const GONE: u8 = 2;

/// Whether anybody will ever take what was just pushed.
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
    /// Valid after a panic: a notice too many costs one look around.
    notice: Mutex<bool>,
    noticed: Condvar,
}

impl Parking {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU8::new(AWAKE),
            wake_asked: AtomicBool::new(false),
            notice: Mutex::new(&lock_order::MAILBOX_RECEIVER, false),
            noticed: Condvar::new(),
        }
    }

    /// R1 and R2. What follows is a look around, and [`cancel`](Self::cancel) or [`park`](Self::park).
    pub(super) fn prepare(&self) {
        // Relaxed: ordered by the fence.
        self.state.store(PARKED, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `notify`; both interleavings are in the head comment.
        fence(Ordering::SeqCst);
    }

    /// The receiver found something to do after all. A sender may leave a notice nevertheless.
    pub(super) fn cancel(&self) {
        // Relaxed: tells senders not to bother; the next `prepare` has its own fence.
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// R4: sleeps until there is a notice. False when the time was over before.
    ///
    /// It is woken by whoever makes something to do. The last sender that goes closes the mailbox, which is
    /// something to do, so the receiver does not outsleep its senders, however they end.
    pub(super) fn park(&self, deadline: Deadline) -> bool {
        let mut notice = self.notice.lock();
        while !*notice {
            let timed_out;
            (notice, timed_out) = match deadline {
                Deadline::Never => (self.noticed.wait(notice), false),
                Deadline::At(deadline) => self.noticed.wait_until(notice, deadline),
            };
            if timed_out {
                break;
            }
        }
        std::mem::take(&mut *notice)
    }

    /// S2 to S4.
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
        // One sender pays for the notice, the others see AWAKE. When this fails the receiver has cancelled,
        // and will look around again after its next fence, or is gone.
        // Relaxed: the lock orders the notice, the rings order their values.
        match self.state.compare_exchange(PARKED, AWAKE, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                *self.notice.lock() = true;
                self.noticed.notify_one();
                Notified::Heard
            }
            Err(GONE) => Notified::Gone,
            Err(_) => Notified::Heard,
        }
    }

    /// Asks the receiver to return from its wait without a command.
    pub(super) fn ask_to_wake(&self) {
        // Release: what the caller did before is visible to a receiver that was woken. A swap, so that
        // requests which are merged into one are all in the release sequence that `take_wake` reads from.
        self.wake_asked.swap(true, Ordering::Release);
        // A receiver that is gone needs no waking.
        let _ = self.notify();
    }

    /// Whether the receiver was asked to wake since the last time.
    pub(super) fn take_wake(&self) -> bool {
        // Relaxed: the swap decides.
        // Acquire: pairs with `ask_to_wake`.
        self.wake_asked.load(Ordering::Relaxed) && self.wake_asked.swap(false, Ordering::Acquire)
    }

    /// The receiver goes. It must empty the rings afterwards: a sender that pushed before this fence may not
    /// see that it is gone, but then its push is seen by the emptying; one that pushed after sees it and
    /// empties them.
    pub(super) fn leave(&self) {
        // Relaxed: ordered by the fence.
        self.state.store(GONE, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `notify`.
        fence(Ordering::SeqCst);
    }

    /// Whether [`leave`](Self::leave) was called. A hint: false may be stale.
    pub(super) fn is_gone(&self) -> bool {
        // Relaxed: a hint; `notify` decides.
        self.state.load(Ordering::Relaxed) == GONE
    }
}
