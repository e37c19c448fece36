//! The queue of one worker: bounded, fair, with water marks, and with the decision when a batch is due.
//!
//! A plain structure; the pipeline puts a lock around it, under which no user code runs. Admission is in two steps, so
//! that a refused task changes nothing: see [`admit`].

use super::batch::{Batcher, Plan, Tuning, Waiting};
use super::config::Overflow;
use super::fair::{FairQueue, Queued};
use super::marks::{Crossing, WaterMarks};
use super::moment::Moment;

/// The last part of the room, one in so many, is kept for apps that have less than their share of it: an app that fills
/// the queue leaves some to the others.
const KEPT: usize = 64;

#[derive(Debug)]
pub(crate) struct WorkQueue<T> {
    tasks: FairQueue<T>,
    marks: WaterMarks,
    batcher: Batcher,
    /// Rooms that were reserved and are not used yet.
    reserved: usize,
    is_closed: bool,
    peak: usize,
}

/// The reason why a queue has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    /// The app has its share of a queue that is nearly full.
    Share,
    Closed,
    /// The breaker is open: the queue was not asked.
    Breaker,
}

/// The tasks that a worker has taken, or the next moment to look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<T> {
    Batch(Vec<Queued<T>>, Option<Crossing>),
    WaitUntil(Moment),
    Idle,
    /// The queue is closed and empty.
    Ended,
}

/// The way of a disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// There is room in the queue.
    Queue,
    /// The caller cleans it.
    Inline,
    /// The sweep cleans it.
    Defer,
    /// Nothing changes, and the caller gets it back.
    Reject(Refused),
}

/// Returns the way of a disconnect, by the answer of its queue and the policy. `can_run_inline` is asked only if it
/// matters, and takes a permit.
pub(crate) fn admit(
    room: Result<(), Refused>,
    overflow: Overflow,
    can_run_inline: impl FnOnce() -> bool,
) -> Admission {
    match (room, overflow) {
        (Ok(()), _) => Admission::Queue,
        (Err(_), Overflow::Inline) if can_run_inline() => Admission::Inline,
        (Err(_), Overflow::Inline | Overflow::Defer) => Admission::Defer,
        (Err(reason), Overflow::Reject) => Admission::Reject(reason),
    }
}

impl<T: Copy> WorkQueue<T> {
    pub(crate) fn new(capacity: usize, high_percent: u8, low_percent: u8) -> Self {
        Self {
            tasks: FairQueue::new(capacity),
            marks: WaterMarks::new(capacity, high_percent, low_percent),
            batcher: Batcher::default(),
            reserved: 0,
            is_closed: false,
            peak: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.tasks.capacity()
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.marks.is_high()
    }

    /// Returns the largest number of tasks that have waited.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    pub(crate) fn oldest(&self) -> Option<Moment> {
        self.tasks.oldest()
    }

    /// Reserves room for one task of the app, to be used by [`push`](Self::push) or given back by
    /// [`unreserve`](Self::unreserve).
    pub(crate) fn reserve(&mut self, app: u64) -> Result<(), Refused> {
        if self.is_closed {
            return Err(Refused::Closed);
        }
        let (taken, capacity) = (self.tasks.len() + self.reserved, self.tasks.capacity());
        let is_scarce = taken >= capacity - capacity / KEPT;
        if taken >= capacity {
            return Err(Refused::Full);
        }
        if is_scarce && self.has_its_share(app) {
            return Err(Refused::Share);
        }
        self.reserved += 1;
        Ok(())
    }

    /// Whether the app has as many tasks as each could have if one more came.
    fn has_its_share(&self, app: u64) -> bool {
        self.tasks.len_of(app) >= self.tasks.capacity() / (self.tasks.apps() + 1)
    }

    /// Gives a reserved room back.
    pub(crate) fn unreserve(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Appends a task for which room was reserved; also to a queue that was closed since. Returns the mark that the
    /// queue has crossed, and the task if no room was reserved.
    pub(crate) fn push(&mut self, task: Queued<T>) -> Result<Option<Crossing>, Queued<T>> {
        let Some(reserved) = self.reserved.checked_sub(1) else { return Err(task) };
        self.tasks.push(task)?;
        self.reserved = reserved;
        self.peak = self.peak.max(self.tasks.len());
        Ok(self.marks.update(self.tasks.len()))
    }

    /// Takes a batch if one is due.
    pub(crate) fn take(&mut self, now: Moment, tuning: Tuning) -> Taken<T> {
        let waiting = Waiting { len: self.tasks.len(), first: self.tasks.oldest() };
        match self.batcher.plan(waiting, now, tuning, self.is_closed) {
            Plan::Idle if self.is_closed && self.reserved == 0 => Taken::Ended,
            Plan::Idle => Taken::Idle,
            Plan::WaitUntil(due) => Taken::WaitUntil(due),
            Plan::Take(number) => {
                let batch = (0..number).map_while(|_| self.tasks.pop()).collect();
                self.batcher.taken(now);
                Taken::Batch(batch, self.marks.update(self.tasks.len()))
            }
        }
    }

    /// Closes the queue: no more room is reserved, and what waits is due at once.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    #![allow(clippy::unwrap_used)] // These tests fail by panicking.

    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::cleanup::fair::Lane;

    const TUNING: Tuning = Tuning { batch_max: 3, linger: Duration::ZERO };

    fn task(task: u32) -> Queued<u32> {
        Queued { task, app: u64::from(task % 3), lane: Lane::Prompt, at: Moment::START, cost: 1 }
    }

    fn queue(capacity: usize) -> WorkQueue<u32> {
        WorkQueue::new(capacity, 80, 50)
    }

    #[test]
    fn r1_a_full_and_a_closed_queue_are_two_answers() {
        for capacity in [1, 2, 10] {
            let mut queue = queue(capacity);
            (0..capacity).for_each(|_| queue.reserve(0).unwrap());
            assert_eq!(queue.reserve(0), Err(Refused::Full));
            queue.unreserve();
            assert_eq!(queue.reserve(0), Ok(()));
            queue.close();
            queue.unreserve();
            assert_eq!(queue.reserve(0), Err(Refused::Closed));
        }
    }

    #[test]
    fn r17a_an_app_that_fills_the_queue_leaves_room_to_the_others() {
        let mut queue = queue(128);
        let task = |number| Queued { app: 0, ..task(number) };
        for number in 0..126 {
            queue.reserve(0).unwrap();
            queue.push(task(number)).unwrap();
        }
        assert_eq!(queue.reserve(0), Err(Refused::Share));
        (0..2).for_each(|_| queue.reserve(1).unwrap());
        assert_eq!(queue.reserve(1), Err(Refused::Full), "a queue is bounded, whoever comes");
    }

    #[test]
    fn r5_the_policy_decides_about_what_the_queue_refuses() {
        let full = Err(Refused::Full);
        assert_eq!(admit(Ok(()), Overflow::Inline, || panic!("asked")), Admission::Queue);
        assert_eq!(admit(full, Overflow::Inline, || true), Admission::Inline);
        assert_eq!(admit(full, Overflow::Inline, || false), Admission::Defer);
        assert_eq!(admit(full, Overflow::Defer, || panic!("asked")), Admission::Defer);
        assert_eq!(admit(full, Overflow::Reject, || panic!("asked")), Admission::Reject(Refused::Full));
    }

    #[test]
    fn r16_an_open_breaker_never_refuses_to_clean() {
        let open = Err(Refused::Breaker);
        assert_eq!(admit(open, Overflow::Inline, || true), Admission::Inline);
        assert_eq!(admit(open, Overflow::Defer, || true), Admission::Defer);
    }

    #[test]
    fn r18_a_closed_queue_hands_out_what_was_accepted_and_then_ends() {
        let mut queue = queue(4);
        queue.reserve(0).unwrap();
        queue.reserve(0).unwrap();
        queue.push(task(1)).unwrap();
        queue.close();
        let lingering = Tuning { linger: Duration::from_secs(1), ..TUNING };
        assert_eq!(queue.take(Moment::START, lingering), Taken::Batch(vec![task(1)], None));
        assert_eq!(queue.take(Moment::START, lingering), Taken::Idle, "a task is under way");
        queue.push(task(2)).unwrap();
        assert_eq!(queue.take(Moment::START, lingering), Taken::Batch(vec![task(2)], None));
        assert_eq!(queue.take(Moment::START, lingering), Taken::Ended);
        assert_eq!(queue.push(task(3)), Err(task(3)), "without room");
    }

    #[test]
    fn r4_crossings_are_reported_where_they_happen() {
        let mut queue = queue(10);
        (0..7).for_each(|number| {
            queue.reserve(0).unwrap();
            assert_eq!(queue.push(task(number)), Ok(None));
        });
        queue.reserve(0).unwrap();
        assert_eq!(queue.push(task(7)), Ok(Some(Crossing::High)));
        assert!(queue.is_congested());
        let crossing = |taken| match taken {
            Taken::Batch(batch, crossing) => (batch.len(), crossing),
            other => panic!("{other:?}"),
        };
        assert_eq!(crossing(queue.take(Moment::START, TUNING)), (3, Some(Crossing::Low)));
        assert_eq!((queue.len(), queue.peak()), (5, 8));
    }

    proptest! {
        /// Rooms that are reserved, used and given back: never more tasks than the capacity, and none is lost.
        #[test]
        fn r4_reserved_room_is_never_missing(steps in prop::collection::vec(0..5_u8, 1..200), capacity in 1..6_usize) {
            let mut queue = queue(capacity);
            let (mut rooms, mut pushed, mut taken) = (0, 0, 0);
            for step in steps {
                match step {
                    0 | 1 => {
                        let is_free = rooms + (pushed - taken) < capacity as u32 as usize;
                        prop_assert_eq!(queue.reserve(0).is_ok(), is_free);
                        rooms += usize::from(is_free);
                    }
                    2 if rooms > 0 => {
                        prop_assert!(queue.push(task(pushed as u32)).is_ok());
                        (rooms, pushed) = (rooms - 1, pushed + 1);
                    }
                    3 if rooms > 0 => {
                        queue.unreserve();
                        rooms -= 1;
                    }
                    _ => match queue.take(Moment::START, TUNING) {
                        Taken::Batch(batch, _) => {
                            prop_assert!(!batch.is_empty() && batch.len() <= 3);
                            taken += batch.len();
                        }
                        other => prop_assert!(other == Taken::Idle && taken == pushed),
                    },
                }
                prop_assert_eq!(queue.len(), pushed - taken);
            }
        }
    }
}
