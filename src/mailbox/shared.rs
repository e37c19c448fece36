//! The state that the two ends share.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_utils::CachePadded;

use super::lane::{Entry, Lane};
use super::parking::{Notified, Parking};
use super::sent::Victim;
use super::stats::{LaneStats, Stats};
use super::turns::LaneSet;
use super::{Backpressure, Config, Priority};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::unwind::{both, discard, drop_waker, resume};

pub(super) struct Shared<T> {
    lanes: [Lane<T>; 4],
    /// Read by every send, written when the receiver parks: it has a cache line of its own, which stays with
    /// the readers.
    pub(super) parking: CachePadded<Parking>,
    senders: AtomicUsize,
    pub(super) policy: Backpressure,
    /// The lanes that each lane may shed from.
    sheddable: [&'static [Priority]; 4],
    /// Number of commands that were handed back, for any reason.
    handed_back: AtomicU64,
}

impl<T> Shared<T> {
    /// Creates the state with one sender.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            lanes: Priority::ALL.map(|priority| Lane::new(priority, config)),
            parking: CachePadded::new(Parking::new()),
            senders: AtomicUsize::new(1),
            policy: config.policy(),
            sheddable: Priority::ALL.map(|priority| config.sheddable(priority)),
            handed_back: AtomicU64::new(0),
        }
    }

    pub(super) fn lane(&self, priority: Priority) -> &Lane<T> {
        &self.lanes[priority.index()]
    }

    /// Queues a command for which a room of `home` was taken.
    pub(super) fn push(&self, priority: Priority, home: Priority, value: T) {
        if self.lane(priority).ring.push(Entry { value, home }).is_err() {
            unreachable!("a ring has a slot for every room that can be taken");
        }
        self.notify();
    }

    /// Takes the oldest command of a lane; its room stays taken.
    pub(super) fn pop(&self, priority: Priority) -> Option<Entry<T>> {
        self.lane(priority).ring.pop()
    }

    /// Gives back a room that was not used, or whose command was taken.
    pub(super) fn release(&self, home: Priority, rooms: usize) {
        if self.lane(home).release(rooms) {
            // The receiver may be asleep because of this very room.
            self.notify();
        }
    }

    /// Takes the oldest command of the lowest non-empty lane that `priority` may shed from. Its room stays
    /// taken.
    pub(super) fn shed_below(&self, priority: Priority) -> Option<(Victim<T>, Priority)> {
        let below = self.sheddable[priority.index()];
        let (lane, entry) = below.iter().rev().find_map(|&lane| Some((lane, self.pop(lane)?)))?;
        self.lane(lane).counters.shed.add_one();
        self.note_handed_back();
        Some((Victim { priority: lane, value: entry.value }, entry.home))
    }

    pub(super) fn waiting(&self) -> LaneSet {
        let mut waiting = LaneSet::default();
        for priority in Priority::ALL {
            if !self.lane(priority).ring.is_empty() {
                waiting.insert(priority);
            }
        }
        waiting
    }

    /// Closes the lanes, first to last, and notifies the receiver.
    pub(super) fn close(&self) {
        self.lanes.iter().for_each(Lane::close);
        self.notify();
    }

    /// Returns whether `close` has closed every lane.
    pub(super) fn is_closed(&self) -> bool {
        self.lane(Priority::Low).rooms.is_closed()
    }

    /// Returns whether the lanes are closed with no command queued, no push in progress and no permit. Once
    /// true, it stays true, because the count of a closed lane only falls.
    pub(super) fn is_drained(&self) -> bool {
        self.lanes.iter().all(|lane| lane.rooms.is_drained())
    }

    /// Called when the receiver is dropped: no command is accepted any more, and queued commands are dropped,
    /// by this thread or by a sender whose push came too late.
    pub(super) fn leave(&self) {
        self.close();
        let mut task = self.parking.leave();
        both(&mut task, |_| self.empty(), |task| task.take().into_iter().for_each(drop_waker));
    }

    pub(super) fn add_sender(&self) {
        // Relaxed: the caller has a sender, so the count is not zero and nothing depends on it.
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove_sender(&self) {
        // AcqRel: everything each sender did before its drop happens before the last one closes; pairs with
        // itself.
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }

    /// Called after the counter of the reason was raised.
    pub(super) fn note_handed_back(&self) {
        // Release: pairs with the acquire load in `handed_back`, which reads from this or from a later one in
        // its release sequence; a thread that sees this count sees that counter.
        self.handed_back.fetch_add(1, Ordering::Release);
    }

    #[cfg(feature = "manager")]
    pub(super) fn handed_back(&self) -> u64 {
        // Acquire: pairs with the release in `note_handed_back`.
        self.handed_back.load(Ordering::Acquire)
    }

    /// Returns the memory of the rings.
    #[cfg(feature = "manager")]
    pub(super) fn bytes(&self) -> usize {
        self.lanes.iter().map(Lane::bytes).sum()
    }

    pub(super) fn stats(&self) -> Stats {
        Stats { lanes: Priority::ALL.map(|priority| self.lane_stats(priority)) }
    }

    fn lane_stats(&self, priority: Priority) -> LaneStats {
        let lane = self.lane(priority);
        LaneStats {
            len: lane.ring.len(),
            capacity: lane.rooms.capacity(),
            rooms_peak: lane.rooms.peak(),
            refused: lane.counters.refused.get(),
            shed: lane.counters.shed.get(),
            timed_out: lane.counters.timed_out.get(),
        }
    }

    fn notify(&self) {
        if self.parking.notify() == Notified::Gone {
            self.empty();
        }
    }

    /// Takes and drops everything, holding no lock. The lanes are closed, so only permits can add commands.
    ///
    /// A destructor that panics leaves no other command in the mailbox, where a thread that waits for the
    /// command's end would continue to wait. The first panic resumes when everything is dropped.
    #[cold]
    fn empty(&self) {
        let mut first = None;
        for priority in Priority::ALL {
            while let Some(Entry { value, home }) = self.pop(priority) {
                // Not `self.release`, which would recurse.
                self.lane(home).release(1);
                // Unwind safety: no part of the command remains observable.
                let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) else { continue };
                match first {
                    None => first = Some(payload),
                    Some(_) => discard(payload),
                }
            }
        }
        if let Some(payload) = first {
            resume(payload);
        }
    }
}
