//! The senders that wait for a room of one lane, threads and tasks in one order.
//!
//! Each sender has a place, and a state that others change: the thread that gives a room back hands it to the
//! first sender that waits, and the close ends them all. The sender collects its state and leaves.
//!
//! The states are in a map by place, so a sender can leave from anywhere: O(log n) for n waiting senders,
//! which are as many as threads in a call and futures that were polled.

use std::collections::BTreeMap;
use std::task::Waker;

use crate::sync::{Arc, Condvar};
use crate::unwind;

/// The reason why a wait for a room ended without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    Timeout,
    Closed,
}

/// The place of one sender in the queue. Places are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// The way to reach a waiting sender.
#[derive(Debug)]
pub(super) enum Wake {
    /// The thread waits on this condition variable, with the lock of the queue.
    Thread(Arc<Condvar>),
    Task(Waker),
}

/// The state of one sender.
#[derive(Debug)]
pub(super) enum Turn {
    Waiting(Wake),
    /// The wait has ended, with a room for this sender or without one.
    Ended(Result<(), Stopped>),
}

/// The queue of one lane. Valid after a panic: no user code runs under its lock.
#[derive(Debug, Default)]
pub(super) struct Queue {
    turns: BTreeMap<Place, Turn>,
    /// The next place to be given.
    next: u64,
    /// All senders before this place have ended, and all others wait.
    first: u64,
}

impl Wake {
    /// Wakes the sender. This is user code, which must not run under a lock; its panics are contained.
    pub(super) fn wake(self) {
        match self {
            Self::Thread(ended) => ended.notify_one(),
            Self::Task(waker) => unwind::wake(waker),
        }
    }

    /// Drops it without waking. As for [`wake`](Self::wake), this may be user code.
    pub(super) fn discard(self) {
        if let Self::Task(waker) = self {
            unwind::drop_waker(waker);
        }
    }
}

impl Queue {
    /// Appends a sender.
    pub(super) fn push(&mut self, wake: Wake) -> Place {
        let place = Place(self.next);
        self.next += 1;
        self.turns.insert(place, Turn::Waiting(wake));
        place
    }

    /// Returns whether any sender waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.turns.range(Place(self.first)..).next().is_some()
    }

    /// Ends the wait of the first sender that waits. The caller wakes it, without the lock.
    pub(super) fn end_first(&mut self, outcome: Result<(), Stopped>) -> Option<Wake> {
        let (place, turn) = self.turns.range_mut(Place(self.first)..).next()?;
        self.first = place.0 + 1;
        match std::mem::replace(turn, Turn::Ended(outcome)) {
            Turn::Waiting(wake) => Some(wake),
            Turn::Ended(_) => unreachable!("all senders from the first one on wait"),
        }
    }

    /// Returns the outcome of a wait that has ended, and removes the sender.
    pub(super) fn collect(&mut self, place: Place) -> Option<Result<(), Stopped>> {
        match self.turns.get(&place) {
            Some(Turn::Ended(outcome)) => {
                let outcome = *outcome;
                self.turns.remove(&place);
                Some(outcome)
            }
            Some(Turn::Waiting(_)) | None => None,
        }
    }

    /// Removes a sender, whether it waits or not.
    pub(super) fn remove(&mut self, place: Place) -> Option<Turn> {
        self.turns.remove(&place)
    }

    /// Returns the waker of a waiting task.
    pub(super) fn waker(&mut self, place: Place) -> Option<&mut Waker> {
        match self.turns.get_mut(&place) {
            Some(Turn::Waiting(Wake::Task(waker))) => Some(waker),
            _ => None,
        }
    }

    /// Returns the number of senders that wait or have not collected their outcome.
    #[cfg(all(test, not(switchboard_model)))]
    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }
}
