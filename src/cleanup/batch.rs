//! The moment at which a worker takes a batch.

use std::time::Duration;

use super::moment::Moment;

/// The settings that can change while the pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuning {
    pub(crate) batch_max: usize,
    pub(crate) linger: Duration,
}

/// The tasks that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) len: usize,
    /// The moment at which the first of them was queued. `None` if there are none.
    pub(crate) first: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Take so many tasks.
    Take(usize),
    /// Look again at this moment, or when the batch is full.
    WaitUntil(Moment),
    /// Look again when there is a task.
    Idle,
}

/// Decides when the batch of one worker is taken.
///
/// Without a linger, at once: the batch is everything that was queued during the one before, so it grows with the load
/// and needs no timer. With a linger, when it is full or its first task has waited that long; the wait is measured from
/// that task, so no task waits longer. A first task that was queued when nothing had been taken for a whole linger is
/// taken at once, because there is no load that makes it worth waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Batcher {
    last: Option<Moment>,
}

impl Batcher {
    pub(crate) fn plan(&self, waiting: Waiting, now: Moment, tuning: Tuning, is_draining: bool) -> Plan {
        let Some(first) = waiting.first else { return Plan::Idle };
        let due = first.after(tuning.linger);
        let is_low_load = self.last.is_none_or(|last| last.after(tuning.linger) <= first);
        if is_draining || is_low_load || now >= due || waiting.len >= tuning.batch_max {
            Plan::Take(waiting.len.min(tuning.batch_max))
        } else {
            Plan::WaitUntil(due)
        }
    }

    /// Notes that a batch was taken.
    pub(crate) fn taken(&mut self, now: Moment) {
        self.last = Some(now);
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_micros(ms * 1000)
    }

    fn lingering(ms: u64) -> Tuning {
        Tuning { batch_max: 4, linger: Duration::from_millis(ms) }
    }

    fn waiting(len: usize, first_ms: u64) -> Waiting {
        Waiting { len, first: Some(at(first_ms)) }
    }

    #[test]
    fn r7_an_idle_worker_takes_what_is_queued_at_once() {
        let batcher = Batcher::default();
        assert_eq!(batcher.plan(Waiting { len: 0, first: None }, at(0), lingering(0), false), Plan::Idle);
        assert_eq!(batcher.plan(waiting(3, 0), at(0), lingering(0), false), Plan::Take(3));
        assert_eq!(batcher.plan(waiting(9, 0), at(0), lingering(0), false), Plan::Take(4));
    }

    #[test]
    fn r7_the_linger_is_measured_from_the_first_task() {
        let mut batcher = Batcher::default();
        batcher.taken(at(1000));
        // The arrivals for which a timer per arrival would wait for 98 ms.
        assert_eq!(batcher.plan(waiting(1, 1001), at(1001), lingering(50), false), Plan::WaitUntil(at(1051)));
        assert_eq!(batcher.plan(waiting(2, 1001), at(1049), lingering(50), false), Plan::WaitUntil(at(1051)));
        assert_eq!(batcher.plan(waiting(2, 1001), at(1051), lingering(50), false), Plan::Take(2));
    }

    #[test]
    fn r7_a_full_batch_a_drain_and_low_load_end_the_linger() {
        let mut batcher = Batcher::default();
        assert_eq!(batcher.plan(waiting(1, 5), at(5), lingering(50), false), Plan::Take(1), "the first task");
        batcher.taken(at(5));
        assert_eq!(batcher.plan(waiting(4, 6), at(6), lingering(50), false), Plan::Take(4), "full");
        assert_eq!(batcher.plan(waiting(1, 6), at(6), lingering(50), true), Plan::Take(1), "drain");
        assert_eq!(batcher.plan(waiting(1, 55), at(55), lingering(50), false), Plan::Take(1), "low load");
        assert_eq!(batcher.plan(waiting(1, 54), at(54), lingering(50), false), Plan::WaitUntil(at(104)));
    }

    proptest! {
        /// A worker that does as it is told, on a list of arrivals: each task waits for at most the linger, and a
        /// batch is smaller than possible only if its linger is over or there was no load.
        #[test]
        fn r7_no_task_waits_longer_than_the_linger(gaps in prop::collection::vec(0..40_u64, 1..60), linger in 0..60_u64) {
            let tuning = lingering(linger);
            let mut batcher = Batcher::default();
            let mut arrivals: Vec<u64> = Vec::new();
            gaps.iter().for_each(|gap| arrivals.push(arrivals.last().unwrap_or(&0) + gap));
            let (mut now, mut taken) = (0, 0);
            while taken < arrivals.len() {
                let queued = arrivals.iter().filter(|arrival| **arrival <= now).count() - taken;
                let first = (queued > 0).then(|| at(arrivals[taken]));
                match batcher.plan(Waiting { len: queued, first }, at(now), tuning, false) {
                    Plan::Take(number) => {
                        prop_assert!(number > 0 && number <= queued.min(4));
                        prop_assert!(now - arrivals[taken] <= linger, "a wait of {} ms", now - arrivals[taken]);
                        taken += number;
                        batcher.taken(at(now));
                    }
                    Plan::WaitUntil(due) => {
                        prop_assert!(due > at(now), "a worker would spin");
                        now += 1;
                    }
                    Plan::Idle => {
                        prop_assert_eq!(queued, 0);
                        now = arrivals[taken];
                    }
                }
            }
        }
    }
}
