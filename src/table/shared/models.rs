//! Models of submit, turn, close and drop against each other. Where a wake-up is the question, a handle outlives
//! the threads, so the close by the last handle cannot stand in for a wake-up that was forgotten.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::num::NonZeroUsize;
#[cfg(not(switchboard_loom))]
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::sync::model::{model, spawn};
#[cfg(not(switchboard_loom))]
use crate::sync::{Condvar, Mutex, StdArc, lock_order};
use crate::{SharedWriter, Table};

type Pair = (SharedWriter<u64, u64>, Driver<u64, u64>);

/// `recycle` and the record of batches belong to other models.
fn shared(capacity: usize, batch: usize) -> Pair {
    let (writer, _) = Table::builder().recycle(false).build();
    let config = Config::new().capacity(capacity).unwrap().batch(NonZeroUsize::new(batch).unwrap());
    SharedWriter::new(writer, config)
}

/// Returns the keys of the published table.
fn keys(writer: &crate::Writer<u64, u64>) -> Vec<u64> {
    let mut keys: Vec<_> = writer.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    keys
}

/// The writer sleeps when the queue is empty, and two threads wait for room in a queue of one.
#[test]
#[cfg(not(switchboard_loom))] // Too large: `mailbox::models` explores the waits for room.
fn every_accepted_operation_is_applied_before_the_last_handle_ends_the_writer() {
    model(|| {
        let (shared, driver) = shared(1, 1);
        let threads = [1, 2].map(|key| {
            let shared = shared.clone();
            spawn(move || assert!(shared.insert(key, key).is_ok()))
        });
        drop(shared);
        let writer = driver.run();
        assert_eq!((keys(&writer), writer.has_staged()), (vec![1, 2], false));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// The ticket is completed after the publish, and its thread reads its own write.
#[test]
fn a_ticket_shows_its_version_to_the_thread_that_waits() {
    model(|| {
        let (shared, driver) = shared(1, 1);
        let thread = {
            let shared = shared.clone();
            spawn(move || {
                let committed = shared.transaction(|table| table.insert(1, 1)).unwrap().wait().unwrap();
                assert!(shared.table().version() >= committed.version);
                assert!(shared.table().snapshot().contains_key(&1));
                shared.close();
            })
        };
        assert_eq!(keys(&driver.run()), [1]);
        thread.join().unwrap();
        drop(shared);
    });
}

/// An operation is accepted and applied, or refused and returned.
#[test]
fn a_close_loses_nothing_that_was_accepted() {
    model(|| {
        let (shared, driver) = shared(1, 1);
        let other = shared.clone();
        let thread = spawn(move || match other.transaction(|table| table.insert(1, 1)) {
            Ok(ticket) => {
                ticket.wait().unwrap();
                true
            }
            Err(refused) => {
                assert!(refused.is_closed());
                false
            }
        });
        driver.close();
        let writer = driver.run();
        assert_eq!(writer.len() == 1, thread.join().unwrap());
        drop(shared);
    });
}

/// A ticket ends in every case, and says whether the change was published.
#[test]
fn a_driver_that_is_dropped_ends_the_ticket_of_an_operation_that_arrives() {
    model(|| {
        let (shared, mut driver) = shared(1, 1);
        let table = shared.table().clone();
        let thread = spawn(move || match shared.try_transaction(|table| table.insert(1, 1)) {
            Ok(ticket) => match ticket.wait() {
                Ok(_) => true,
                Err(error) => {
                    assert!(error.is_closed());
                    false
                }
            },
            Err(refused) => {
                assert!(refused.is_closed());
                false
            }
        });
        let _ = driver.turn();
        drop(driver);
        let committed = thread.join().unwrap();
        assert_eq!(table.snapshot().len() == 1, committed);
    });
}

/// A thread that waits for room is not left behind by the end of the writer.
#[test]
fn a_driver_that_is_dropped_refuses_a_thread_that_waits_for_room() {
    model(|| {
        let (shared, driver) = shared(1, 1);
        shared.try_insert(1, 1).unwrap();
        let other = shared.clone();
        let thread = spawn(move || other.insert(2, 2));
        drop(driver);
        assert!(thread.join().unwrap().is_err_and(|error| error.is_closed()));
        drop(shared);
    });
}

/// The abort finds a writer that sleeps, that is in a turn, or that has not begun.
#[test]
fn an_abort_ends_a_writer_and_every_ticket() {
    model(|| {
        let (writer, table) = Table::builder().recycle(false).build();
        let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
        let ticket = shared.transaction(|table: &mut Transaction<'_, u64, u64, _, _>| table.insert(1, 1));
        thread.abort();
        let committed = match ticket.unwrap().wait() {
            Ok(_) => true,
            Err(error) => {
                assert!(error.is_closed());
                false
            }
        };
        let writer = thread.join().unwrap();
        assert_eq!((writer.len() == 1, table.snapshot().len() == 1), (committed, committed));
        assert!(shared.insert(2, 2).is_err_and(|error| error.is_closed()));
    });
}

/// A closed writer waits for a permit, and the abort does not.
#[test]
fn an_abort_does_not_wait_for_a_permit() {
    model(|| {
        let (writer, _) = Table::<u64, u64>::builder().recycle(false).build();
        let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
        let permit = shared.reserve().unwrap();
        shared.close();
        thread.abort();
        assert!(thread.join().is_ok());
        let sent = permit.insert(1, 1);
        // The receiver marks itself as gone before its thread ends. loom does not know that an exchange directly
        // follows what it has read in the order of changes, and lets this thread see its own exchange instead.
        assert!(cfg!(switchboard_loom) || sent.is_err_and(|error| error.is_closed()));
    });
}

/// A turn refuses to wait for itself only: a transaction waits for room of another writer.
#[test]
#[cfg(not(switchboard_loom))] // The order of two threads is at stake, and no memory order.
fn a_transaction_waits_for_room_of_another_writer() {
    model(|| {
        let (outer, mut driver) = shared(1, 1);
        let (inner, mut other) = shared(1, 1);
        inner.insert(1, 1).unwrap();
        let thread = spawn(move || {
            let _ = other.turn();
            other
        });
        let ticket = outer.transaction(move |_| inner.insert(2, 2).is_ok()).unwrap();
        let _ = driver.turn();
        assert!(ticket.wait().unwrap().value);
        drop(thread.join().unwrap());
    });
}

/// The thread that is asked to end sleeps, or is about to.
#[test]
fn a_close_wakes_a_writer_that_sleeps() {
    model(|| {
        let (writer, _) = Table::<u64, u64>::builder().recycle(false).build();
        let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
        assert!(thread.shutdown(Duration::MAX).is_ok());
        drop(shared);
    });
}

/// A waker that a thread can wait for.
#[cfg(not(switchboard_loom))]
struct Flag {
    woken: Mutex<bool>,
    changed: Condvar,
}

#[cfg(not(switchboard_loom))]
impl Flag {
    fn wait(&self) {
        let mut woken = self.woken.lock();
        while !std::mem::take(&mut *woken) {
            woken = self.changed.wait(woken);
        }
    }
}

#[cfg(not(switchboard_loom))]
impl Wake for Flag {
    fn wake(self: StdArc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }
}

/// Runs a driver as a task does: it is polled again only when it was woken.
#[cfg(not(switchboard_loom))]
fn run_as_task(mut driver: Driver<u64, u64>) -> crate::Writer<u64, u64> {
    let flag =
        StdArc::new(Flag { woken: Mutex::new(&lock_order::TEST_AUXILIARY, false), changed: Condvar::new() });
    let waker = Waker::from(flag.clone());
    loop {
        match driver.poll_turn(&mut Context::from_waker(&waker)) {
            Turn::More => {}
            Turn::Idle | Turn::Later(_) => flag.wait(),
            Turn::Ended => return driver.into_writer(),
        }
    }
}

#[test]
#[cfg(not(switchboard_loom))] // Too large: `mailbox::future::models` explores the wait.
fn a_task_is_woken_by_each_operation() {
    model(|| {
        let (shared, driver) = shared(2, 2);
        let threads = [1, 2].map(|key| {
            let shared = shared.clone();
            spawn(move || {
                let committed = shared.transaction(move |table| table.insert(key, key)).unwrap().wait();
                assert!(committed.is_ok());
                // The one that is second closes.
                if shared.table().snapshot().len() == 2 {
                    shared.close();
                }
            })
        });
        assert_eq!(keys(&run_as_task(driver)), [1, 2]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(shared);
    });
}

#[test]
#[cfg(not(switchboard_loom))] // Too large: `mailbox::future::models` explores the wait.
fn a_task_is_woken_by_the_drop_of_the_last_handle_and_of_the_last_permit() {
    model(|| {
        let (shared, driver) = shared(1, 1);
        let thread = spawn(move || {
            let permit = shared.reserve().unwrap();
            shared.close();
            permit.insert(1, 1).unwrap();
        });
        assert_eq!(keys(&run_as_task(driver)), [1]);
        thread.join().unwrap();
    });
}
