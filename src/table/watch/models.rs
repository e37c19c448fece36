//! Tasks that wait, with concurrent publishes, the end of the writer, and futures that are dropped, under loom
//! and shuttle.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::time::Duration;

use super::*;
use crate::sync::StdArc;
use crate::sync::model::{Flag, model_each, spawn};
use crate::table::cell::Publisher;

fn publish(publisher: &mut Publisher<u64>) -> Version {
    let number = publisher.cell().version().next();
    let published = publisher.publish_next(number.as_u64(), number);
    publisher.tidy(|_| true);
    published.version()
}

fn watch(publisher: &Publisher<u64>) -> Watch<u64> {
    Watch::new(publisher.cell().clone())
}

fn version(number: u64) -> Version {
    Version::from_u64(number)
}

/// Polls until the wait is over, asleep in between: a lost wake-up is a deadlock.
fn block_on(watch: &mut Watch<u64>, wanted: Version) -> Result<Version, WriterClosed> {
    let flag = Flag::new();
    let waker = Waker::from(flag.clone());
    loop {
        if let Poll::Ready(result) = watch.poll_reached(wanted, &waker) {
            if result.is_ok() {
                assert!(*watch.cell().load().state() >= wanted.as_u64());
            }
            return result;
        }
        flag.wait();
    }
}

#[test]
fn a_task_is_woken_by_the_version_it_waits_for() {
    model_each(|| {
        let mut publisher = Publisher::new(0);
        let mut watch = watch(&publisher);
        let task = spawn(move || {
            assert!(block_on(&mut watch, version(1)).unwrap() >= version(1));
        });
        publish(&mut publisher);
        task.join().unwrap();
        assert_eq!(publisher.cell().waiting().0, 0);
    });
}

/// The writer resets the target to the version that the remaining task waits for.
#[test]
fn a_task_for_a_later_version_sleeps_through_an_earlier_publish() {
    model_each(|| {
        let mut publisher = Publisher::new(0);
        let tasks = [1, 2].map(|wanted| {
            let mut watch = watch(&publisher);
            spawn(move || block_on(&mut watch, version(wanted)).unwrap())
        });
        for task in tasks {
            let version = publish(&mut publisher);
            assert_eq!(task.join().unwrap(), version);
        }
        assert_eq!(publisher.cell().waiting().0, 0);
    });
}

/// A thread and a task share one target.
#[test]
fn a_thread_and_a_task_are_both_woken() {
    for (of_thread, of_task) in [(1, 2), (2, 1)] {
        model_each(move || {
            let mut publisher = Publisher::new(0);
            let cell = publisher.cell().clone();
            let thread = spawn(move || cell.wait_for(version(of_thread), Duration::MAX).unwrap());
            let mut watch = watch(&publisher);
            let task = spawn(move || block_on(&mut watch, version(of_task)).unwrap());
            publish(&mut publisher);
            if of_thread == 1 {
                assert_eq!(thread.join().unwrap(), version(1));
                publish(&mut publisher);
                assert_eq!(task.join().unwrap(), version(2));
            } else {
                assert_eq!(task.join().unwrap(), version(1));
                publish(&mut publisher);
                assert_eq!(thread.join().unwrap(), version(2));
            }
        });
    }
}

/// The end of the writer wakes all tasks, and none is told of the end if its version was published.
#[test]
fn a_task_is_woken_by_the_end_of_the_writer() {
    model_each(|| {
        let mut publisher = Publisher::new(0);
        let tasks = [1, 2].map(|wanted| {
            let mut watch = watch(&publisher);
            spawn(move || {
                let result = block_on(&mut watch, version(wanted));
                drop(watch);
                result
            })
        });
        publish(&mut publisher);
        let cell = publisher.cell().clone();
        drop(publisher);
        let results = tasks.map(|task| task.join().unwrap());
        assert_eq!(results, [Ok(version(1)), Err(WriterClosed)]);
        assert_eq!(cell.waiting().0, 0);
    });
}

/// Drops a future that waits for `wanted`, at any moment of the publish of version 1, for which another one
/// waits.
fn drop_a_future(wanted: u64) {
    model_each(move || {
        let mut publisher = Publisher::new(0);
        let (mut hasty, mut patient) = (watch(&publisher), watch(&publisher));
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        let dropped = spawn(move || {
            let result = hasty.poll_reached(version(wanted), &waker);
            assert!(result.is_pending() || result == Poll::Ready(Ok(version(wanted))));
            drop((hasty, waker));
        });
        let task = spawn(move || block_on(&mut patient, version(1)).unwrap());
        publish(&mut publisher);
        assert_eq!(task.join().unwrap(), version(1));
        dropped.join().unwrap();
        assert_eq!(publisher.cell().waiting().0, 0);
        assert_eq!(StdArc::strong_count(&flag), 1);
    });
}

/// A future that is dropped, at any moment, takes no wake-up from another one, and leaves no waker behind.
#[test]
fn a_dropped_future_leaves_its_waker_nowhere() {
    drop_a_future(1);
}

/// No publish takes the waker out: only the future does.
#[test]
fn a_dropped_future_for_a_later_version_leaves_its_waker_nowhere() {
    drop_a_future(2);
}

/// As above, against the end of the writer.
#[test]
fn a_future_dropped_at_the_end_leaves_its_waker_nowhere() {
    model_each(|| {
        let publisher = Publisher::new(0);
        let cell = publisher.cell().clone();
        let mut watch = watch(&publisher);
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        let dropped = spawn(move || {
            let result = watch.poll_reached(version(1), &waker);
            assert!(result.is_pending() || result == Poll::Ready(Err(WriterClosed)));
            drop((watch, waker));
        });
        drop(publisher);
        dropped.join().unwrap();
        assert_eq!(cell.waiting().0, 0);
        assert_eq!(StdArc::strong_count(&flag), 1);
    });
}

/// Only the waker of the last poll counts, and it is not lost when it replaces another one.
#[test]
fn the_task_that_polled_last_is_woken() {
    model_each(|| {
        let mut publisher = Publisher::new(0);
        let mut watch = watch(&publisher);
        let (first, second) = (Flag::new(), Flag::new());
        let unused = StdArc::downgrade(&first);
        let task = spawn(move || {
            let _ = watch.poll_reached(version(1), &Waker::from(first));
            let waker = Waker::from(second.clone());
            while watch.poll_reached(version(1), &waker).is_pending() {
                second.wait();
            }
        });
        publish(&mut publisher);
        task.join().unwrap();
        assert_eq!(publisher.cell().waiting().0, 0);
        assert_eq!(unused.strong_count(), 0, "the replaced waker was kept");
    });
}

/// Waits one after the other on one watch, as a feed does: each of them is for a later version.
#[test]
fn a_task_that_waits_for_one_version_after_the_other_misses_none() {
    model_each(|| {
        let mut publisher = Publisher::new(0);
        let mut watch = watch(&publisher);
        let task = spawn(move || {
            let mut seen = Version::ZERO;
            while let Ok(newest) = block_on(&mut watch, seen.next()) {
                assert!(newest > seen);
                seen = newest;
            }
            seen
        });
        publish(&mut publisher);
        publish(&mut publisher);
        let cell = publisher.cell().clone();
        drop(publisher);
        assert_eq!(task.join().unwrap(), version(2));
        assert_eq!(cell.waiting().0, 0);
    });
}
