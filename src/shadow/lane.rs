//! The queues of the two sides and the serving side: all decisions made under one lock.

use std::collections::VecDeque;

use super::pair::Pair;
use super::side::Side;
use crate::link::addr::Addr;
use crate::sync::StdArc;

/// One entry in the queue of a side.
pub(super) enum Job<A: Addr> {
    /// An operation, with its number in the order.
    Perform { pair: StdArc<Pair<A>>, number: u64 },
    /// One half of a resynchronization; `copy` returns `false` if it failed.
    Copy { copy: Box<dyn FnOnce() -> bool + Send>, number: u64, imports: bool },
}

impl<A: Addr> Job<A> {
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Perform { number, .. } | Self::Copy { number, .. } => *number,
        }
    }
}

/// The queue, status and counters of one side.
pub(super) struct Lane<A: Addr> {
    pub(super) queue: VecDeque<Job<A>>,
    /// Whether a job of this side is in progress.
    pub(super) busy: bool,
    /// Whether the worker waits for a job.
    pub(super) parked: bool,
    /// Whether a caller's wait for this side timed out and the queue has not been empty since.
    pub(super) lagging: bool,
    /// Whether the side missed a change; it gets no operations until it is resynchronized.
    pub(super) diverged: bool,
    /// The lowest operation number whose answers are compared.
    pub(super) void_below: u64,
    pub(super) performed: u64,
    pub(super) skipped: u64,
    pub(super) panics: u64,
    pub(super) timeouts: u64,
}

impl<A: Addr> Lane<A> {
    fn new(capacity: usize) -> Self {
        Self {
            queue: VecDeque::with_capacity(capacity.min(1_024)),
            busy: false,
            parked: false,
            lagging: false,
            diverged: false,
            void_below: 0,
            performed: 0,
            skipped: 0,
            panics: 0,
            timeouts: 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.busy
    }
}

/// The state behind the lock of a shadow. Valid after any panic: each step moves whole jobs.
pub(super) struct State<A: Addr> {
    pub(super) lanes: [Lane<A>; 2],
    pub(super) serving: Side,
    capacity: usize,
    /// The number of the next job.
    pub(super) next: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) fallbacks: u64,
    /// Number of callers that wait for room.
    pub(super) waiting_for_room: usize,
    /// Number of threads that wait for idle queues.
    pub(super) waiting_for_idle: usize,
    pub(super) closed: bool,
}

/// The result of placing an operation in the queues.
pub(super) enum Placed {
    /// The queues of these sides have the operation. The caller waits for `first` and falls back on `second`.
    Accepted {
        first: Side,
        second: Option<Side>,
    },
    /// The serving side has no room.
    Wait(Side),
    /// No side has room.
    Full,
    Closed,
}

impl<A: Addr> State<A> {
    pub(super) fn new(serving: Side, capacity: usize) -> Self {
        Self {
            lanes: [Lane::new(capacity), Lane::new(capacity)],
            serving,
            capacity,
            next: 0,
            accepted: 0,
            refused: 0,
            fallbacks: 0,
            waiting_for_room: 0,
            waiting_for_idle: 0,
            closed: false,
        }
    }

    pub(super) fn lane(&mut self, side: Side) -> &mut Lane<A> {
        &mut self.lanes[side as usize]
    }

    pub(super) fn has_room(&self, side: Side) -> bool {
        self.lanes[side as usize].queue.len() < self.capacity
    }

    fn is_well(&self, side: Side) -> bool {
        let lane = &self.lanes[side as usize];
        !lane.lagging && !lane.diverged
    }

    /// Returns the side to wait for: the serving one, unless it is unwell and the other one is well.
    fn answering(&self) -> Side {
        let other = self.serving.other();
        if !self.is_well(self.serving) && self.is_well(other) { other } else { self.serving }
    }

    fn takes(&self, side: Side) -> bool {
        self.has_room(side) && !self.lanes[side as usize].diverged
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lanes.iter().all(Lane::is_idle)
    }

    /// Gives the operation its number, and appends it to the queues of the sides that take it.
    pub(super) fn place(&mut self, pair: &StdArc<Pair<A>>) -> Placed {
        if self.closed {
            return Placed::Closed;
        }
        // A caller that waits for the answer of a well side also waits for room there.
        let first = self.answering();
        if self.is_well(first) && !self.has_room(first) {
            return Placed::Wait(first);
        }
        let taking = Side::BOTH.map(|side| self.takes(side));
        if taking == [false, false] {
            self.refused += 1;
            return Placed::Full;
        }
        let number = self.next;
        self.next += 1;
        self.accepted += 1;
        for side in Side::BOTH {
            if taking[side as usize] {
                let pair = pair.clone();
                self.lane(side).queue.push_back(Job::Perform { pair, number });
            } else {
                self.lane(side).skipped += 1;
                // A side that has missed a change answers differently from here on.
                self.lane(side).diverged |= pair.operation.is_change();
            }
        }
        let first = if taking[first as usize] { first } else { first.other() };
        Placed::Accepted { first, second: Some(first.other()).filter(|side| taking[*side as usize]) }
    }

    /// Takes the next job of a side, and marks the side as busy or, without a job, as caught up.
    pub(super) fn take(&mut self, side: Side) -> Option<Job<A>> {
        let lane = self.lane(side);
        let job = lane.queue.pop_front();
        lane.busy = job.is_some();
        lane.lagging &= job.is_some();
        job
    }

    /// Returns the side whose next job is the oldest, A if both have the same number.
    pub(super) fn oldest(&self) -> Option<Side> {
        let first = |side: Side| self.lanes[side as usize].queue.front().map(Job::number);
        let waiting = Side::BOTH.into_iter().filter_map(|side| Some((first(side)?, side)));
        waiting.min_by_key(|(number, _)| *number).map(|(_, side)| side)
    }
}
