#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // A panic fails the test; threads of std.

use std::num::NonZeroUsize;
use std::task::{Context, Waker};

use super::*;
use crate::sync::StdArc;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::{SharedWriter, Table};

type Shared = SharedWriter<u64, u64>;

fn shared(config: Config) -> (Shared, Driver<u64, u64>, Table<u64, u64>) {
    let (writer, table) = Table::new();
    let (shared, driver) = SharedWriter::new(writer, config);
    (shared, driver, table)
}

fn batch(operations: usize) -> Config {
    Config::new().batch(NonZeroUsize::new(operations).unwrap())
}

#[test]
fn a_turn_publishes_once_and_takes_no_more_than_its_batch() {
    for limit in [1, 2, 1024] {
        let (shared, mut driver, table) = shared(batch(limit));
        (0..10).for_each(|key| shared.insert(key, key).unwrap());
        let mut turns = 0;
        while driver.turn() == Turn::More {
            turns += 1;
            assert_eq!(table.snapshot().len(), (turns * limit).min(10));
        }
        assert_eq!(turns, 10_usize.div_ceil(limit));
        let stats = shared.stats();
        assert_eq!((stats.operations, stats.publishes, stats.turns), (10, turns as u64, turns as u64));
        assert_eq!(stats.batch_max, limit.min(10) as u64);
    }
}

/// A small operation waits for one that is large at most, and one that is large for the small ones of one turn.
#[test]
#[cfg(feature = "cleanup")]
fn a_large_operation_has_a_turn_of_its_own_and_takes_turns_with_small_ones() {
    let (shared, mut driver, table) = shared(Config::new());
    let send = |large: std::ops::Range<u64>, small: std::ops::Range<u64>| {
        for key in large {
            let _ = shared.try_reserve_large().unwrap().insert(key, key);
        }
        small.for_each(|key| shared.insert(key, key).unwrap());
    };
    let keys = |table: &Table<u64, u64>| {
        let mut keys: Vec<_> = table.snapshot().iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    };
    send(10..13, 0..2);
    assert_eq!((driver.turn(), keys(&table)), (Turn::More, vec![0, 1]));
    send(0..0, 2..4);
    assert_eq!((driver.turn(), keys(&table)), (Turn::More, vec![0, 1, 10]));
    assert_eq!((driver.turn(), keys(&table)), (Turn::More, vec![0, 1, 2, 3, 10]));
    assert_eq!((driver.turn(), keys(&table).len()), (Turn::More, 6));
    assert_eq!((driver.turn(), keys(&table).len()), (Turn::More, 7), "nothing small waits");
    // One that wakes the driver is in the next turn: alone if it is large.
    send(13..14, 0..0);
    driver.park(std::time::Duration::ZERO);
    send(0..0, 4..5);
    assert_eq!((driver.turn(), keys(&table).contains(&4)), (Turn::More, false));
    send(14..15, 0..0);
    driver.park(std::time::Duration::ZERO);
    assert_eq!((driver.turn(), keys(&table).contains(&4), table.snapshot().len()), (Turn::More, true, 9));
    shared.close();
    assert_eq!((driver.turn(), driver.turn()), (Turn::More, Turn::Ended), "what was accepted is applied");
    assert_eq!(table.snapshot().len(), 10);
}

#[test]
fn a_turn_without_a_change_publishes_nothing() {
    let (shared, mut driver, table) = shared(Config::new());
    shared.remove(7).unwrap();
    let mut ticket = shared.transaction(|table| table.len()).unwrap();
    assert_eq!(driver.turn(), Turn::More);
    let committed = ticket.try_take().unwrap().unwrap();
    assert_eq!((committed.value, committed.version, table.version().as_u64()), (0, table.version(), 0));
    assert_eq!((shared.stats().operations, shared.stats().publishes), (2, 0));
}

#[test]
fn a_ticket_is_completed_only_after_the_publish_with_its_version() {
    let (shared, mut driver, table) = shared(Config::new());
    shared.insert(1, 1).unwrap();
    let ticket = shared.transaction(|table| table.insert(1, 2)).unwrap();
    let seen = StdArc::new(AtomicUsize::new(0));
    let (sight, reader) = (seen.clone(), table.clone());
    ticket.on_complete(move |committed| {
        let committed = committed.unwrap();
        assert_eq!((committed.value, reader.version()), (Some(1), committed.version));
        assert_eq!(reader.snapshot()[&1], 2);
        // Relaxed: one thread.
        sight.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(driver.turn(), Turn::More);
    // Relaxed: one thread.
    assert_eq!((seen.load(Ordering::Relaxed), shared.stats().panics), (1, 0));
}

/// In the first, a middle and the last place of a turn, in tables with and without a record.
#[test]
fn a_transaction_that_panics_has_changed_nothing_and_the_others_go_on() {
    for (recycles, place) in
        [true, false].into_iter().flat_map(|recycles| (0..3).map(move |at| (recycles, at)))
    {
        let (writer, table) = Table::<u64, u64>::builder().recycle(recycles).build_with([(0, 0)]);
        let (shared, mut driver) = SharedWriter::new(writer, Config::new());
        let mut tickets = Vec::new();
        for at in 0..3 {
            shared.insert(10 + at, at).unwrap();
            tickets.push(
                shared
                    .transaction(move |table| {
                        table.insert(20 + at, at);
                        table.remove(&0);
                        table.insert(0, at);
                        table.update(&10, |value| *value += 100);
                        assert_ne!(at, place, "in the middle of the transaction");
                        table.len()
                    })
                    .unwrap(),
            );
        }
        assert_eq!(driver.turn(), Turn::More);
        for (at, ticket) in tickets.iter_mut().enumerate() {
            let outcome = ticket.try_take().unwrap();
            assert_eq!(outcome.is_err_and(|error| error.is_panicked()), at as u64 == place, "{outcome:?}");
        }
        let snapshot = table.snapshot();
        assert_eq!(snapshot.version().as_u64(), 1);
        assert!((0..3).all(|at| snapshot[&(10 + at)] == if at == 0 { 200 } else { at }));
        assert!((0..3).all(|at| snapshot.contains_key(&(20 + at)) == (at != place)));
        assert_eq!(snapshot[&0], if place == 2 { 1 } else { 2 });
        assert_eq!(shared.stats().panics, 1);
    }
}

#[test]
fn user_code_in_a_turn_is_refused_instead_of_waiting_for_its_own_turn() {
    let (shared, mut driver, table) = shared(batch(1).capacity(2).unwrap());
    let inner = shared.clone();
    let ticket = shared.transaction(move |_| {
        assert!(inner.insert(2, 2).is_ok(), "there is room for one more");
        let full = inner.insert(3, 3).unwrap_err();
        assert!(full.is_full());
        assert_eq!(full.into_inner(), (3, 3));
        assert!(inner.remove(3).is_err_and(|error| error.is_full()));
        assert!(inner.transaction(|_| ()).is_err_and(|error| error.is_full()));
        assert!(inner.reserve().is_err_and(|error| error.is_full()));
        assert!(inner.reserve_timeout(std::time::Duration::MAX).is_err_and(|error| error.is_timeout()));
    });
    shared.insert(1, 1).unwrap();
    while driver.turn() == Turn::More {}
    assert!(ticket.unwrap().wait().is_ok());
    assert_eq!(table.snapshot().len(), 2);
}

/// Callbacks of tickets and destructors run in the turn, too.
#[test]
fn callbacks_and_destructors_in_a_turn_are_refused_instead_of_waiting() {
    #[derive(Clone)]
    struct Sends(Option<(SharedWriter<u64, Sends>, StdArc<AtomicUsize>)>);
    impl Drop for Sends {
        fn drop(&mut self) {
            if let Some((shared, refused)) = self.0.take() {
                assert!(shared.remove(7).is_err_and(|error| error.is_full()));
                refused.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    let (writer, table) = Table::builder().recycle(false).build();
    let (shared, mut driver) = SharedWriter::new(writer, batch(2).capacity(2).unwrap());
    let refused = StdArc::new(AtomicUsize::new(0));
    let sends = || Sends(Some((shared.clone(), refused.clone())));
    shared.insert(1, sends()).unwrap();
    assert_eq!(driver.turn(), Turn::More);
    let (value, again, counted) = (sends(), shared.clone(), refused.clone());
    shared.insert(1, Sends(None)).unwrap();
    let ticket = shared.transaction(move |_| {
        // The queue is full when the callback runs, and when the values are dropped.
        (2..4).for_each(|key| again.insert(key, Sends(None)).unwrap());
        value
    });
    let inner = shared.clone();
    ticket.unwrap().on_complete(move |result| {
        assert!(inner.remove(7).is_err_and(|error| error.is_full()));
        counted.fetch_add(1, Ordering::SeqCst);
        drop(result);
    });
    assert_eq!(driver.turn(), Turn::More);
    assert!(refused.load(Ordering::SeqCst) >= 3, "the callback, the result and the replaced value");
    assert_eq!((driver.turn(), table.snapshot().len(), shared.stats().panics), (Turn::More, 3, 0));
}

/// The queue is full, and nothing takes from it any more.
#[test]
fn a_destructor_that_sends_while_a_driver_is_dropped_is_refused() {
    #[derive(Clone)]
    struct Parting(Option<(SharedWriter<u64, Parting>, StdArc<AtomicUsize>)>);
    impl Drop for Parting {
        fn drop(&mut self) {
            if let Some((shared, refused)) = self.0.take() {
                assert!(shared.remove(7).is_err_and(|error| error.is_closed()));
                refused.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    for recycles in [true, false] {
        let builder = Table::<u64, Parting>::builder().recycle(recycles).max_versions(NonZeroUsize::MIN);
        let (writer, table) = builder.build();
        let (shared, mut driver) = SharedWriter::new(writer, Config::new().capacity(1).unwrap());
        let held = table.snapshot();
        shared.insert(1, Parting(None)).unwrap();
        assert_eq!(driver.turn(), Turn::More);
        let refused = StdArc::new(AtomicUsize::new(0));
        shared.insert(2, Parting(Some((shared.clone(), refused.clone())))).unwrap();
        assert!(matches!(driver.turn(), Turn::Later(_)));
        shared.insert(3, Parting(Some((shared.clone(), refused.clone())))).unwrap();
        assert!(shared.try_remove(4).is_err_and(|error| error.is_full()));
        drop((driver, held));
        assert!(refused.load(Ordering::SeqCst) >= 2);
    }
}

/// The publish is refused, and the destructor of a value of an older version panics in it: nothing is lost.
#[test]
fn a_destructor_that_panics_in_a_refused_publish_loses_nothing() {
    struct Bomb(StdArc<AtomicUsize>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            let left = self.0.load(Ordering::SeqCst);
            self.0.store(left.wrapping_sub(1), Ordering::SeqCst);
            assert!(left != 0, "a destructor panics");
        }
    }
    for nth in [0, 1, 20] {
        let fuse = StdArc::new(AtomicUsize::new(usize::MAX));
        let bomb = || StdArc::new(Bomb(fuse.clone()));
        let builder = Table::<u64, StdArc<Bomb>>::builder().recycle(false).max_versions(NonZeroUsize::MIN);
        let (writer, table) = builder.build_with((0..25_000).map(|key| (key, bomb())));
        let (shared, mut driver) = SharedWriter::new(writer, Config::new());
        let large = table.snapshot();
        drop(
            shared
                .transaction(|table| {
                    table.clear();
                })
                .unwrap(),
        );
        assert_eq!(driver.turn(), Turn::More);
        drop(large);
        let held = table.snapshot();
        shared.insert(1, bomb()).unwrap();
        assert_eq!(driver.turn(), Turn::More);
        shared.insert(2, bomb()).unwrap();
        let value = bomb();
        let ticket = shared.transaction(move |table| table.insert(3, value).is_none()).unwrap();
        fuse.store(nth, Ordering::SeqCst);
        assert!(matches!(driver.turn(), Turn::Later(_)));
        fuse.store(usize::MAX, Ordering::SeqCst);
        assert_eq!((shared.stats().panics, shared.stats().refused), (1, 1), "a destructor has panicked");
        drop(held);
        while driver.turn() == Turn::More {}
        assert_eq!((ticket.wait().map(|done| done.value), table.snapshot().len()), (Ok(true), 3));
    }
}

/// After [`Turn::More`], the task is not registered: it runs the next turn before it waits.
#[test]
fn a_task_that_drops_its_wait_leaves_no_waker() {
    let (shared, mut driver, _) = shared(batch(1));
    let waker = StdArc::new(Flag(AtomicUsize::new(0)));
    let task = Waker::from(waker.clone());
    for _ in 0..3 {
        let mut wait = Box::pin(driver.wait_for_work());
        assert!(wait.as_mut().poll(&mut Context::from_waker(&task)).is_pending());
        assert_eq!(StdArc::strong_count(&waker), 3);
        drop(wait);
        assert_eq!(StdArc::strong_count(&waker), 2);
    }
    (0..2).for_each(|key| shared.insert(key, key).unwrap());
    assert_eq!(driver.poll_turn(&mut Context::from_waker(&task)), Turn::More);
    assert_eq!((StdArc::strong_count(&waker), waker.0.load(Ordering::SeqCst)), (2, 0));
}

/// After a turn, the thread that ran it is like any other.
#[test]
fn a_thread_waits_for_room_after_a_turn() {
    let (shared, mut driver, table) = shared(batch(1).capacity(1).unwrap());
    shared.insert(1, 1).unwrap();
    assert_eq!(driver.turn(), Turn::More);
    shared.insert(2, 2).unwrap();
    let thread = std::thread::spawn(move || driver.run());
    // Waits while the queue is full.
    shared.insert(3, 3).unwrap();
    shared.insert(4, 4).unwrap();
    shared.insert(5, 5).unwrap();
    drop(shared);
    assert_eq!(thread.join().unwrap().len(), 5);
    assert_eq!(table.snapshot().len(), 5);
}

#[test]
fn a_transaction_may_drive_another_writer() {
    let (outer, mut driver, _) = shared(Config::new());
    let (inner, mut other, table) = shared(batch(1).capacity(1).unwrap());
    let ticket = outer.transaction(move |_| {
        inner.insert(1, 1).unwrap();
        assert_eq!(other.turn(), Turn::More);
        inner.insert(2, 2).unwrap();
        // This thread is not in a turn of that writer: it waits until another thread makes room.
        let thread = std::thread::spawn(move || {
            assert_eq!(other.turn(), Turn::More);
            other
        });
        inner.insert(3, 3).unwrap();
        thread.join().unwrap()
    });
    assert_eq!(driver.turn(), Turn::More);
    let mut other = ticket.unwrap().wait().unwrap().value;
    assert_eq!(other.turn(), Turn::More);
    assert_eq!(table.snapshot().len(), 3);
}

#[test]
fn what_is_refused_is_returned() {
    let (shared, driver, _) = shared(Config::new().capacity(1).unwrap());
    shared.try_insert(1, 1).unwrap();
    let full = shared.try_insert(2, 3).unwrap_err();
    assert!(full.is_full());
    assert_eq!(full.into_inner(), (2, 3));
    assert_eq!(shared.try_remove(4).unwrap_err().into_inner(), 4);
    let full = shared.try_transaction(|_| 5).unwrap_err();
    assert!(full.is_full());
    assert!(shared.reserve_timeout(std::time::Duration::ZERO).is_err_and(|error| error.is_timeout()));
    drop(driver);
    assert!(shared.is_closed());
    for outcome in [
        shared.insert(6, 7).map_err(Some),
        shared.try_insert(6, 7).map_err(|error| {
            assert!(error.is_closed());
            None
        }),
    ] {
        match outcome {
            Err(Some(closed)) => assert_eq!((closed.is_closed(), closed.into_inner()), (true, (6, 7))),
            outcome => assert_eq!(outcome, Err(None)),
        }
    }
    assert_eq!(shared.remove(8).unwrap_err().into_inner(), 8);
    assert!(shared.transaction(|_| ()).is_err_and(|error| error.is_closed()));
}

/// A permit that is used after the driver has gone returns the operation.
#[test]
fn a_permit_outlives_its_writer_and_says_so() {
    let (shared, driver, _) = shared(Config::new());
    let permits = (shared.reserve().unwrap(), shared.reserve().unwrap(), shared.reserve().unwrap());
    drop(driver);
    assert_eq!(permits.0.insert(1, 2).unwrap_err().into_inner(), (1, 2));
    assert_eq!(permits.1.remove(3).unwrap_err().into_inner(), 3);
    assert!(permits.2.transaction(|_| ()).is_err_and(|error| error.is_closed()));
}

#[test]
fn a_closed_writer_applies_what_was_accepted_and_ends() {
    let (shared, mut driver, table) = shared(batch(2));
    (0..5).for_each(|key| shared.insert(key, key).unwrap());
    let permit = shared.reserve().unwrap();
    shared.close();
    assert!(shared.insert(9, 9).is_err_and(|error| error.is_closed()));
    for _ in 0..3 {
        assert_eq!(driver.turn(), Turn::More);
    }
    assert_eq!(driver.turn(), Turn::Idle, "a permit is outstanding");
    assert!(!driver.has_work());
    permit.insert(5, 5).unwrap();
    assert!(driver.has_work());
    assert_eq!((driver.turn(), driver.turn(), driver.turn()), (Turn::More, Turn::Ended, Turn::Ended));
    assert_eq!(table.snapshot().len(), 6);
    assert_eq!(driver.into_writer().len(), 6);
}

#[test]
fn the_drop_of_the_last_handle_ends_the_writer() {
    let (shared, mut driver, table) = shared(Config::new());
    let other = shared.clone();
    shared.insert(1, 1).unwrap();
    drop(shared);
    assert_eq!((driver.turn(), driver.turn()), (Turn::More, Turn::Idle));
    drop(other);
    assert_eq!(driver.turn(), Turn::Ended);
    assert_eq!(table.snapshot().len(), 1);
    drop(driver);
    assert!(table.is_closed());
}

#[test]
fn a_driver_that_is_dropped_or_taken_apart_ends_its_tickets() {
    for takes_writer in [false, true] {
        let (shared, driver, table) = shared(Config::new());
        let ticket = shared.transaction(|table| table.insert(1, 1)).unwrap();
        let writer = takes_writer.then(|| driver.into_writer());
        assert_eq!(ticket.wait(), Err(CommitError::Closed));
        assert_eq!(table.is_closed(), writer.is_none());
        assert!(table.snapshot().is_empty());
    }
}

type Parts = (SharedWriter<u64, u64>, Driver<u64, u64>, Table<u64, u64>, crate::Snapshot<u64, u64>);

/// A shared writer whose table refuses to publish: one version is held, and a newer one was published.
fn refusing() -> Parts {
    let (writer, table) = Table::builder().max_versions(NonZeroUsize::MIN).build();
    let (shared, mut driver) = SharedWriter::new(writer, Config::new());
    let held = table.snapshot();
    shared.insert(1, 1).unwrap();
    assert_eq!(driver.turn(), Turn::More);
    (shared, driver, table, held)
}

/// Nothing is taken from the queue while the table refuses, and everything is published later.
#[test]
fn a_refused_publish_holds_the_tickets_and_the_queue() {
    let (shared, mut driver, table, held) = refusing();
    let mut ticket = shared.transaction(|table| table.insert(2, 2)).unwrap();
    let Turn::Later(first) = driver.turn() else { unreachable!("a version is held") };
    shared.insert(3, 3).unwrap();
    assert!(!driver.has_work(), "the operation waits in the queue");
    let Turn::Later(second) = driver.turn() else { unreachable!("a version is held") };
    assert!(second > first);
    // A thread that waits takes nothing either.
    driver.park(std::time::Duration::ZERO);
    assert_eq!((ticket.try_take(), table.version().as_u64(), shared.stats().queue.len), (None, 1, 1));
    assert_eq!(shared.stats().refused, 2);
    drop(held);
    assert_eq!(driver.turn(), Turn::More);
    assert_eq!(ticket.try_take().unwrap().unwrap().version.as_u64(), 2);
    while driver.turn() == Turn::More {}
    assert_eq!(table.snapshot().len(), 3);
}

/// A writer that is closed while the table refuses waits for the readers, and not in a busy loop.
#[test]
fn a_writer_that_is_closed_while_the_table_refuses_waits_for_the_readers() {
    let (shared, mut driver, _table, held) = refusing();
    let ticket = shared.transaction(|table| table.insert(2, 2)).unwrap();
    drop(shared);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(matches!(driver.poll_turn(&mut context), Turn::Later(_)));
        assert!(!driver.has_work());
    }
    let thread = std::thread::spawn(move || driver.run());
    drop(held);
    assert_eq!((ticket.wait().unwrap().version.as_u64(), thread.join().unwrap().len()), (2, 2));
}

#[test]
fn what_could_not_be_published_has_not_happened() {
    let (shared, mut driver, _table, held) = refusing();
    let ticket = shared.transaction(|table| table.insert(2, 2)).unwrap();
    assert!(matches!(driver.turn(), Turn::Later(_)));
    let writer = driver.into_writer();
    assert_eq!((ticket.wait(), writer.len(), writer.has_staged()), (Err(CommitError::Closed), 1, false));
    drop(held);
}

#[test]
fn an_abort_gives_up_what_could_not_be_published() {
    let (writer, table) = Table::<u64, u64>::builder().max_versions(NonZeroUsize::MIN).build();
    let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
    let held = table.snapshot();
    shared.transaction(|table| table.insert(1, 1)).unwrap().wait().unwrap();
    let applied = shared.transaction(|table| table.insert(2, 2)).unwrap();
    let queued = shared.transaction(|table| table.insert(3, 3)).unwrap();
    let thread = thread.shutdown(std::time::Duration::ZERO).unwrap_err().into_inner().unwrap();
    assert_eq!((applied.wait(), queued.wait()), (Err(CommitError::Closed), Err(CommitError::Closed)));
    let writer = thread.join().unwrap();
    assert_eq!((writer.len(), writer.has_staged()), (1, false));
    drop(held);
}

#[test]
fn staged_changes_of_the_writer_are_published_with_the_first_turn() {
    let (mut writer, table) = Table::<u64, u64>::new();
    writer.insert(1, 1);
    let (shared, mut driver) = SharedWriter::new(writer, Config::new());
    assert!(shared.table().snapshot().is_empty());
    let _ = driver.turn();
    assert_eq!(table.snapshot().len(), 1);
}

/// A thread that cannot be started changes nothing, and the writer can be used again.
#[test]
fn a_thread_that_cannot_be_started_returns_the_writer() {
    let (mut writer, table) = Table::<u64, u64>::new();
    writer.insert(1, 1);
    let refuse = |body| {
        drop::<Box<dyn FnOnce() + Send>>(body);
        Err(std::io::Error::from(std::io::ErrorKind::OutOfMemory))
    };
    let error = SharedWriter::spawn_with(refuse, writer, Config::new()).unwrap_err();
    assert!(error.to_string().contains("could not create a thread: "), "{error}");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::OutOfMemory);
    let writer = error.into_writer();
    assert_eq!((table.is_closed(), table.version().as_u64()), (false, 0));
    let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
    drop(shared);
    assert_eq!(thread.join().unwrap().len(), 1);
}

#[test]
fn a_thread_whose_name_is_invalid_is_not_started() {
    let (writer, _table) = Table::<u64, u64>::new();
    let error = SharedWriter::spawn(writer, Config::new().thread_name("a\0b")).unwrap_err();
    assert!(error.to_string().contains("null character"), "{error}");
    assert!(!error.into_writer().table().is_closed());
}

#[test]
fn a_thread_cannot_join_itself() {
    let (writer, _table) = Table::<u64, u64>::new();
    let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
    let joined = shared.transaction(move |_| {
        let thread = thread.join().unwrap_err();
        assert!(thread.is_own_thread());
        let thread = thread.into_inner().unwrap().shutdown(std::time::Duration::MAX).unwrap_err();
        thread.into_inner()
    });
    let thread = joined.unwrap().wait().unwrap().value.unwrap();
    assert!(shared.is_closed());
    assert!(thread.join().is_ok());
}

/// Counts its wake-ups.
struct Flag(AtomicUsize);

impl std::task::Wake for Flag {
    fn wake(self: std::sync::Arc<Self>) {
        // Relaxed: one thread.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_task_is_woken_by_a_send_and_by_the_end() {
    let flag = std::sync::Arc::new(Flag(AtomicUsize::new(0)));
    let waker = Waker::from(flag.clone());
    let mut context = Context::from_waker(&waker);
    // Relaxed: one thread.
    let woken = || flag.0.swap(0, Ordering::Relaxed);
    let (shared, mut driver, table) = shared(Config::new());
    assert_eq!((driver.poll_turn(&mut context), woken()), (Turn::Idle, 0));
    shared.insert(1, 1).unwrap();
    assert_eq!(woken(), 1);
    assert_eq!(driver.poll_turn(&mut context), Turn::More);
    assert_eq!(driver.poll_turn(&mut context), Turn::Idle);
    woken();
    drop(shared);
    assert_eq!(woken(), 1);
    assert_eq!(driver.poll_turn(&mut context), Turn::Ended);
    assert_eq!(table.snapshot().len(), 1);
}

/// Every waker and callback finds the results of the whole turn, even if a callback before it panicked.
#[test]
fn the_results_of_a_turn_are_in_place_before_the_first_ticket_is_told() {
    let (shared, mut driver, _table) = shared(Config::new());
    let submit = || shared.transaction(|table| table.insert(1, 1)).unwrap();
    submit().on_complete(|_| panic!("in a callback"));
    let (second, third) = (submit(), submit());
    let seen = StdArc::new(AtomicUsize::new(0));
    let sight = seen.clone();
    // Relaxed: one thread.
    second.on_complete(move |_| _ = sight.fetch_add(1 + usize::from(third.is_complete()), Ordering::Relaxed));
    assert_eq!(driver.turn(), Turn::More);
    // Relaxed: one thread.
    assert_eq!((seen.load(Ordering::Relaxed), shared.stats().panics), (2, 1));
}

/// A value that a callback panics with, and the callback itself, end nothing.
#[test]
fn panics_of_callbacks_are_contained_and_counted() {
    let (shared, mut driver, table) = shared(Config::new());
    shared.transaction(|table| table.insert(1, 1)).unwrap().on_complete(|_| panic!("in a callback"));
    let ticket = shared.transaction(|table| table.len()).unwrap();
    assert_eq!(driver.turn(), Turn::More);
    assert_eq!((ticket.wait().unwrap().value, shared.stats().panics), (1, 1));
    assert_eq!(table.snapshot().len(), 1);
}

/// `Clone` of the key panics in the replay, so the whole turn is discarded.
#[test]
fn a_panic_while_a_transaction_is_taken_back_discards_the_turn() {
    #[derive(Debug)]
    struct Value(StdArc<AtomicUsize>);

    impl Clone for Value {
        fn clone(&self) -> Self {
            // Relaxed: one thread.
            assert_eq!(self.0.load(Ordering::Relaxed), 0, "the clone of a value");
            Self(self.0.clone())
        }
    }

    let bomb = StdArc::new(AtomicUsize::new(0));
    let (writer, table) = Table::<u64, Value>::new();
    let (shared, mut driver) = SharedWriter::new(writer, Config::new());
    shared.insert(1, Value(bomb.clone())).unwrap();
    assert_eq!(driver.turn(), Turn::More);
    shared.insert(2, Value(bomb.clone())).unwrap();
    let before = shared.transaction(|_| ()).unwrap();
    let lit = bomb.clone();
    let panicked = shared.transaction(move |_| -> () {
        // Relaxed: one thread.
        lit.store(1, Ordering::Relaxed);
        panic!("and then the replay panics, too")
    });
    let after = shared.transaction(|table| table.len()).unwrap();
    assert_eq!(driver.turn(), Turn::More);
    assert_eq!(before.wait(), Err(CommitError::Panicked));
    assert_eq!(panicked.unwrap().wait(), Err(CommitError::Panicked));
    assert_eq!(after.wait().unwrap().value, 1, "the turn was discarded");
    assert_eq!(table.snapshot().len(), 1);
    // Relaxed: one thread.
    bomb.store(0, Ordering::Relaxed);
    shared.insert(3, Value(bomb)).unwrap();
    assert_eq!(driver.turn(), Turn::More);
    assert_eq!(table.snapshot().len(), 2);
}
