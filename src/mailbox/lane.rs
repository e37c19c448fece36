//! One lane: its rooms, its ring, and the senders that wait for a room.

use std::task::{Context, Poll};
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::queue::{Place, Queue, Stopped, Turn, Wake};
use super::semaphore::{Refused, Released, Semaphore};
use super::{Config, Priority};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::ring::Ring;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, Spin, lock_order};
use crate::unwind;

/// A command in a ring.
pub(super) struct Entry<T> {
    pub(super) value: T,
    /// The lane whose room it occupies: a lower one if it took over the room of a shed command.
    pub(super) home: Priority,
}

/// The instant at which a wait ends on its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deadline {
    Never,
    At(Instant),
}

impl Deadline {
    /// Returns the deadline `timeout` from now, or `Never` if the clock cannot represent it.
    pub(super) fn of(timeout: std::time::Duration) -> Self {
        crate::sync::deadline_after(timeout).map_or(Self::Never, Self::At)
    }
}

pub(super) struct Lane<T> {
    /// Written by every sender and by the receiver; padded so that it shares no cache line with another lane.
    pub(super) rooms: CachePadded<Semaphore>,
    pub(super) ring: Ring<Entry<T>>,
    /// The senders that wait for a room. The mark in `rooms` is set exactly while any of them waits; both
    /// change together, under this lock.
    queue: Mutex<Queue>,
    pub(super) counters: Counters,
}

/// Statistics of one lane, written only on the slow paths.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) refused: Counter,
    pub(super) shed: Counter,
    pub(super) timed_out: Counter,
}

/// A number of events.
#[derive(Debug)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn add_one(&self) {
        // Relaxed: a statistic.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        // Relaxed: a statistic.
        self.0.load(Ordering::Relaxed)
    }
}

impl<T> Lane<T> {
    pub(super) fn new(priority: Priority, config: &Config) -> Self {
        Self {
            rooms: CachePadded::new(Semaphore::new(config.capacity(priority))),
            ring: Ring::new(config.slots(priority)),
            queue: Mutex::new(&lock_order::MAILBOX_SENDERS, Queue::default()),
            counters: Counters { refused: Counter::new(), shed: Counter::new(), timed_out: Counter::new() },
        }
    }

    /// Returns the memory of the ring, including one stamp per entry.
    #[cfg(feature = "manager")]
    pub(super) fn bytes(&self) -> usize {
        self.ring.capacity() * (size_of::<Entry<T>>() + size_of::<usize>())
    }

    /// Takes a room, waiting for one if necessary: tries, spins, parks.
    ///
    /// The waiter is woken by the thread that gives its room back ([`release`](Self::release)) and by
    /// [`close`](Self::close), which the receiver also calls when it is dropped, and therefore when its
    /// thread dies.
    pub(super) fn take_room(&self, deadline: Deadline) -> Result<(), Stopped> {
        let mut spin = Spin::new();
        loop {
            if let Some(outcome) = self.try_take_room() {
                return outcome;
            }
            if !spin.spin() {
                return self.take_room_parked(deadline);
            }
        }
    }

    fn take_room_parked(&self, deadline: Deadline) -> Result<(), Stopped> {
        let ended = Arc::new(Condvar::new());
        let mut queue = self.queue.lock();
        let place = match self.enter(&mut queue, Wake::Thread(ended.clone())) {
            Ok(place) => place,
            Err((outcome, _)) => return outcome,
        };
        loop {
            if let Some(outcome) = queue.collect(place) {
                return outcome;
            }
            let timed_out;
            (queue, timed_out) = match deadline {
                Deadline::Never => (ended.wait(queue), false),
                Deadline::At(deadline) => ended.wait_until(queue, deadline),
            };
            if timed_out {
                // A room that was handed over in the meantime is this sender's.
                return self.leave(queue, place).unwrap_or(Err(Stopped::Timeout));
            }
        }
    }

    /// Takes a room for a task, or queues the task for one. `place` is its place between two polls.
    ///
    /// The task is woken as a thread in [`take_room`](Self::take_room) is.
    pub(super) fn poll_room(
        &self,
        place: &mut Option<Place>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Stopped>> {
        let outcome = match *place {
            None => self.poll_first(place, context),
            Some(queued) => self.poll_again(queued, context),
        };
        if outcome.is_ready() {
            *place = None;
        }
        outcome
    }

    fn poll_first(&self, place: &mut Option<Place>, context: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        if let Some(outcome) = self.try_take_room() {
            return Poll::Ready(outcome);
        }
        // Cloning and dropping a waker is user code: both are done without the lock.
        let wake = Wake::Task(context.waker().clone());
        let mut queue = self.queue.lock();
        let entered = self.enter(&mut queue, wake);
        drop(queue);
        match entered {
            Ok(queued) => {
                *place = Some(queued);
                Poll::Pending
            }
            Err((outcome, unused)) => {
                unused.discard();
                Poll::Ready(outcome)
            }
        }
    }

    fn poll_again(&self, place: Place, context: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        let mut fresh = None;
        // At most two iterations: the second one has the clone.
        loop {
            let mut queue = self.queue.lock();
            if let Some(outcome) = queue.collect(place) {
                drop(queue);
                fresh.into_iter().for_each(unwind::drop_waker);
                return Poll::Ready(outcome);
            }
            let Some(known) = queue.waker(place) else { unreachable!("a place is collected once") };
            if known.will_wake(context.waker()) {
                return Poll::Pending;
            }
            if let Some(fresh) = fresh.take() {
                let old = std::mem::replace(known, fresh);
                drop(queue);
                unwind::drop_waker(old);
                return Poll::Pending;
            }
            drop(queue);
            fresh = Some(context.waker().clone());
        }
    }

    /// Leaves the queue before its turn, or with a room that it does not need. Returns true if there is such
    /// a room, which the caller has to give back.
    pub(super) fn cancel(&self, place: Place) -> bool {
        self.leave(self.queue.lock(), place) == Some(Ok(()))
    }

    /// Takes a room, or appends a sender to the queue. `wake` is returned if it is not needed.
    fn enter(&self, queue: &mut Queue, wake: Wake) -> Result<Place, (Result<(), Stopped>, Wake)> {
        match self.rooms.acquire_or_await() {
            Ok(()) => Err((Ok(()), wake)),
            Err(Refused::Closed) => Err((Err(Stopped::Closed), wake)),
            Err(Refused::Full) => Ok(queue.push(wake)),
        }
    }

    /// Removes a sender from the queue. Returns the outcome of its wait, if it has ended.
    fn leave(&self, mut queue: MutexGuard<'_, Queue>, place: Place) -> Option<Result<(), Stopped>> {
        let turn = queue.remove(place);
        self.note_end(&queue);
        drop(queue);
        match turn? {
            Turn::Ended(outcome) => Some(outcome),
            Turn::Waiting(wake) => {
                wake.discard();
                None
            }
        }
    }

    fn try_take_room(&self) -> Option<Result<(), Stopped>> {
        match self.rooms.acquire() {
            Ok(()) => Some(Ok(())),
            Err(Refused::Closed) => Some(Err(Stopped::Closed)),
            Err(Refused::Full) => None,
        }
    }

    /// Gives rooms back, to the senders that wait for them if there are any. Returns true if this drained a
    /// closed lane.
    pub(super) fn release(&self, rooms: usize) -> bool {
        let Released { awaited, drained } = self.rooms.release(rooms);
        if awaited {
            self.hand_over(rooms);
        }
        drained
    }

    /// Gives the rooms that the caller has released to as many senders of the queue.
    ///
    /// No other sender can take them in between, because the lane is marked. If the mark is removed before
    /// they are handed over, no sender waits.
    #[cold]
    fn hand_over(&self, rooms: usize) {
        for _ in 0..rooms {
            let mut queue = self.queue.lock();
            // Refused if the lane was closed, and the closing thread ends the wait; or if the room was taken
            // after the mark was removed, and its next release hands it over.
            if !queue.is_awaited() || self.rooms.grant().is_err() {
                return;
            }
            let first = queue.end_first(Ok(()));
            self.note_end(&queue);
            drop(queue);
            first.into_iter().for_each(Wake::wake);
        }
    }

    /// Refuses new commands, and ends the waits of all senders in the queue.
    pub(super) fn close(&self) {
        if !self.rooms.close() {
            return;
        }
        loop {
            let mut queue = self.queue.lock();
            let first = queue.end_first(Err(Stopped::Closed));
            self.note_end(&queue);
            drop(queue);
            match first {
                Some(wake) => wake.wake(),
                None => return,
            }
        }
    }

    /// Removes the mark if no sender waits any more.
    fn note_end(&self, queue: &Queue) {
        if !queue.is_awaited() {
            self.rooms.end_await();
        }
    }

    /// Returns the number of senders in the queue.
    #[cfg(all(test, not(switchboard_model)))]
    pub(super) fn queued(&self) -> usize {
        self.queue.lock().len()
    }
}
