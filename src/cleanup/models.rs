//! Models of the parts that several threads share.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::time::Duration;

use super::batch::Tuning;
use super::breaker::{Breaker, Phase, Terms};
use super::fair::{Lane, Queued};
use super::moment::Moment;
use super::queue::{Taken, WorkQueue};
use super::slots::{Cause, Cleaning, ConnectionId, End, Reservation, Slots, Source};
use super::stats::Counters;
use super::worker::{Next, Worker};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::model::{model, spawn};
use crate::sync::{Arc, StdArc};

/// A breaker that is due for its first probe at the returned moment.
fn due_breaker() -> (Arc<Breaker>, Moment) {
    let second = Duration::from_secs(1);
    let breaker =
        Breaker::new(Terms { failures: 1, window: second, open: second, jitter_percent: 0, probes: 1 });
    breaker.enter(Moment::START).unwrap().fail(Moment::START, 0);
    assert_eq!(breaker.phase(), Phase::Open);
    (Arc::new(breaker), Moment::START.after(second))
}

#[test]
fn r16_of_two_callers_of_a_half_open_breaker_one_probes() {
    model(|| {
        let (breaker, now) = due_breaker();
        let other = breaker.clone();
        // The pass is leaked, so that it is still in flight when the other one asks.
        let enter = move |breaker: &Breaker| breaker.enter(now).map(std::mem::forget).is_some();
        let thread = spawn(move || enter(&other));
        let here = enter(&breaker);
        assert!(here ^ thread.join().unwrap(), "one probe in flight");
        assert_eq!((breaker.phase(), breaker.probes()), (Phase::HalfOpen, 1));
    });
}

#[test]
fn r16_a_probe_that_is_dropped_is_free_for_the_next_caller() {
    model(|| {
        let (breaker, now) = due_breaker();
        let other = breaker.clone();
        let thread = spawn(move || drop(other.enter(now)));
        drop(breaker.enter(now));
        thread.join().unwrap();
        assert_eq!(breaker.phase(), Phase::HalfOpen);
        breaker.enter(now).unwrap().succeed(now);
        assert_eq!(breaker.phase(), Phase::Closed);
    });
}

/// The period ends while another probe is in flight: its report does not touch the next period.
#[test]
fn r16_a_failed_probe_and_a_dropped_one_leave_the_breaker_open() {
    model(|| {
        let (breaker, now) = due_breaker();
        let other = breaker.clone();
        let thread = spawn(move || other.enter(now).map(|pass| pass.fail(now, 0)).is_some());
        let entered = breaker.enter(now);
        let was_entered = entered.is_some();
        drop(entered);
        let failed = thread.join().unwrap();
        assert!(failed || was_entered, "a probe was let through");
        let expected = if failed { Phase::Open } else { Phase::HalfOpen };
        assert_eq!((breaker.phase(), breaker.opens()), (expected, 1 + u64::from(failed)));
    });
}

/// Two connections move while a third thread reads: each reading adds up, shows no end without its
/// beginning, and is not behind the one before.
#[test]
fn r21_every_reading_adds_up() {
    model(|| {
        let counters = Arc::new(Counters::default());
        let (deferring, reading) = (counters.clone(), counters.clone());
        let moving = spawn(move || {
            deferring.submitted();
            deferring.parked();
            deferring.unparked(1);
            deferring.done(1);
        });
        let reader = spawn(move || {
            let (first, second) = (reading.snapshot(), reading.snapshot());
            for stats in [first, second] {
                assert!(stats.adds_up(), "{stats:?}");
                assert!(stats.submitted <= 2 && stats.queued <= 2 && stats.deferred <= 1, "{stats:?}");
            }
            assert!(first.submitted <= second.submitted && first.done <= second.done, "a figure went back");
        });
        counters.submitted();
        counters.failed(1);
        moving.join().unwrap();
        reader.join().unwrap();
        let stats = counters.snapshot();
        assert_eq!(
            (stats.submitted, stats.done, stats.queued, stats.deferred, stats.failed),
            (2, 1, 0, 0, 1)
        );
    });
}

const LOST: End = End { cause: Cause::Lost, at: Moment::START, is_parked: false };

/// A connection that has a counted resource.
fn open_slot() -> (StdArc<Slots<StdArc<()>>>, ConnectionId, StdArc<()>) {
    let (slots, counted) = (Slots::new(1), StdArc::new(()));
    let id = slots.reserve(Source::default(), counted.clone()).unwrap().open();
    (slots, id, counted)
}

#[test]
fn r2_of_two_reports_one_wins_and_releases_once() {
    model(|| {
        let (slots, id, _counted) = open_slot();
        let released = Arc::new(AtomicU64::new(0));
        let close = move |slots: &Slots<StdArc<()>>, released: &AtomicU64| {
            let won = slots.close(id).is_ok();
            if won {
                // Relaxed: a counter.
                slots.end(id, LOST, |_| {
                    released.fetch_add(1, Ordering::Relaxed);
                });
            }
            won
        };
        let (other, counter) = (slots.clone(), released.clone());
        let thread = spawn(move || close(&other, &counter));
        let here = close(&slots, &released);
        assert!(here ^ thread.join().unwrap());
        // Relaxed: the threads have ended.
        assert_eq!(released.load(Ordering::Relaxed), 1);
    });
}

/// A worker that has the connection from a queue, and a sweep that finds it.
#[test]
fn d1_a_worker_and_a_sweep_clean_once() {
    model(|| {
        let (slots, id, counted) = open_slot();
        let other = slots.clone();
        let sweep = spawn(move || {
            let found = other.closed_before(Moment::START, 0, 1, 1);
            let cleanings = found.ids.into_iter().filter_map(|id| other.begin_cleaning(id));
            cleanings.map(|cleaning| assert!(cleaning.finish().is_some(), "without resources")).count()
        });
        slots.close(id).unwrap();
        slots.end(id, LOST, |_| {});
        let cleaning = slots.begin_cleaning(id);
        let here =
            cleaning.map(|cleaning| assert!(cleaning.finish().is_some(), "without resources")).iter().count();
        assert_eq!(here + sweep.join().unwrap(), 1, "cleaned by one");
        assert_eq!((slots.len(), StdArc::strong_count(&counted)), (0, 1));
    });
}

/// A late report about a connection, whose slot is reused meanwhile.
#[test]
fn r14_a_stale_report_does_not_touch_the_successor() {
    model(|| {
        let (slots, id, _counted) = open_slot();
        slots.close(id).unwrap();
        slots.end(id, LOST, |_| {});
        let other = slots.clone();
        let late = spawn(move || (other.close(id).is_ok(), other.begin_cleaning(id).is_some()));
        let cleaned = slots.begin_cleaning(id).and_then(Cleaning::finish);
        let next = slots.reserve(Source::default(), StdArc::new(())).ok().map(Reservation::open);
        let (closed, _) = late.join().unwrap();
        assert!(!closed, "it was closed before");
        assert!(cleaned.is_none() || next.is_some_and(|next| slots.is_open(next)));
    });
}

/// A worker that parks when there is nothing to do, a thread that reserves room and pushes, and one
/// that closes: no wake-up is lost, and what was accepted is handed out before the end.
#[test]
fn r19_a_parked_worker_misses_no_task_and_no_close() {
    model(|| {
        let (_slots, id, _counted) = open_slot();
        let worker = Arc::new(Worker::<()>::new(WorkQueue::new(2, 80, 50)));
        let (pushing, closing) = (worker.clone(), worker.clone());
        let pushing = spawn(move || {
            let is_accepted = pushing.reserve(0).is_ok();
            if is_accepted {
                let task = Queued { task: id, app: 1, lane: Lane::Prompt, at: Moment::START, cost: 1 };
                assert_eq!(pushing.push(task), None);
            }
            usize::from(is_accepted)
        });
        let closing = spawn(move || closing.close());
        let mut taken = 0;
        loop {
            match worker.next(Moment::START, Tuning { batch_max: 2, linger: Duration::ZERO }, 0) {
                Next::Queue(Taken::Batch(batch, _)) => {
                    taken += batch.len();
                    worker.landed();
                }
                Next::Queue(Taken::Ended) => break,
                _ => worker.park(None),
            }
        }
        assert_eq!(taken, pushing.join().unwrap());
        closing.join().unwrap();
    });
}
