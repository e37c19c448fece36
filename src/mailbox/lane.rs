//! One lane: its rooms, its ring, and the senders that wait for a room.

use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::semaphore::{Refused, Semaphore};
use super::{Config, Priority};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::ring::Ring;
use crate::sync::{Condvar, Mutex, Spin, lock_order};

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

/// The reason why a wait for a room ended without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    Timeout,
    Closed,
}

pub(super) struct Lane<T> {
    /// Written by every sender and by the receiver; padded so that it shares no cache line with another lane.
    pub(super) rooms: CachePadded<Semaphore>,
    pub(super) ring: Ring<Entry<T>>,
    /// Number of senders registered below.
    waiting: AtomicUsize,
    /// Guards nothing: a sender holds it from its registration to its wait, so a thread that acquires it in
    /// between knows that the sender is inside the wait.
    door: Mutex<()>,
    room_freed: Condvar,
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
            waiting: AtomicUsize::new(0),
            door: Mutex::new(&lock_order::MAILBOX_SENDERS, ()),
            room_freed: Condvar::new(),
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
    /// The waiter is woken by any thread that gives a room back ([`wake_waiting`](Self::wake_waiting)) and by
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
        let mut door = self.door.lock();
        // Relaxed: ordered by the fence.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // SeqCst: pairs with the fences in `release` and `close`. Of the two threads {register; fence; look
        // for a room} and {give a room back; fence; look for registrations}, the one whose fence is second
        // sees the other's first step. Either this thread finds the room, or the other finds it registered,
        // waits for the door, which is open only once this one is inside the wait, and notifies.
        fence(Ordering::SeqCst);
        let outcome = loop {
            if let Some(outcome) = self.try_take_room() {
                break outcome;
            }
            let timed_out;
            (door, timed_out) = match deadline {
                Deadline::Never => (self.room_freed.wait(door), false),
                Deadline::At(deadline) => self.room_freed.wait_until(door, deadline),
            };
            if timed_out {
                // The last notification may have been meant for this thread; no other thread would be told of
                // that room.
                break self.try_take_room().unwrap_or(Err(Stopped::Timeout));
            }
        };
        // Relaxed: a room that is freed from here on is not needed by this thread.
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        drop(door);
        outcome
    }

    fn try_take_room(&self) -> Option<Result<(), Stopped>> {
        match self.rooms.acquire() {
            Ok(()) => Some(Ok(())),
            Err(Refused::Closed) => Some(Err(Stopped::Closed)),
            Err(Refused::Full) => None,
        }
    }

    /// Gives rooms back and wakes as many senders. Returns true if this drained a closed lane.
    pub(super) fn release(&self, rooms: usize) -> bool {
        let drained = self.rooms.release(rooms);
        // SeqCst: pairs with the fence in `take_room_parked`, see there.
        fence(Ordering::SeqCst);
        self.wake_waiting(rooms);
        drained
    }

    /// Refuses new commands, and wakes all senders that wait for a room so that they observe the close.
    pub(super) fn close(&self) {
        self.rooms.close();
        // SeqCst: pairs with the fence in `take_room_parked`; closing counts as a room for every sender.
        fence(Ordering::SeqCst);
        self.wake_waiting(usize::MAX);
    }

    /// Must follow a `fence(SeqCst)` after the event that the senders wait for.
    ///
    /// One notification per room is enough. A notified sender takes the room, or finds that another sender
    /// took it, which notifies again when it gives the room back. A sender that times out while it is being
    /// notified tries once more.
    fn wake_waiting(&self, rooms: usize) {
        // Relaxed: ordered by the fence before the call.
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting == 0 {
            return;
        }
        drop(self.door.lock());
        if rooms < waiting {
            (0..rooms).for_each(|_| self.room_freed.notify_one());
        } else {
            self.room_freed.notify_all();
        }
    }
}
