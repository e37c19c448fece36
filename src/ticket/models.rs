//! Models of the protocols between the two ends.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use super::*;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::model::{Time, model, spawn, spawn_clock};
use crate::sync::{Condvar, Mutex, StdArc, lock_order};

/// Counts its drops.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        // AcqRel: pairs with `dropped`.
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

fn dropped(drops: &AtomicUsize) -> usize {
    // Acquire: pairs with the drop of `Counted`.
    drops.load(Ordering::Acquire)
}

/// A waker that a thread can wait for.
struct Flag {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    fn new() -> StdArc<Self> {
        StdArc::new(Self { woken: Mutex::new(&lock_order::TEST_AUXILIARY, false), changed: Condvar::new() })
    }

    fn wait(&self) {
        let mut woken = self.woken.lock();
        while !*woken {
            woken = self.changed.wait(woken);
        }
    }
}

impl Wake for Flag {
    fn wake(self: StdArc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }
}

fn poll<T, E>(ticket: &mut Ticket<T, E>, flag: &StdArc<Flag>) -> Poll<Result<T, E>> {
    let waker = Waker::from(flag.clone());
    Pin::new(ticket).poll(&mut Context::from_waker(&waker))
}

#[test]
fn completing_wakes_the_waiting_thread() {
    model(|| {
        let (completion, ticket) = ticket();
        let thread = spawn(move || assert!(completion.complete(1).is_delivered()));
        assert_eq!(ticket.wait(), Ok(1));
        thread.join().unwrap();
    });
}

#[test]
fn a_dropped_completion_wakes_the_waiting_thread() {
    model(|| {
        let (completion, ticket) = ticket::<u32>();
        let thread = spawn(move || drop(completion));
        assert_eq!(ticket.wait(), Err(Closed));
        thread.join().unwrap();
    });
}

#[test]
fn a_result_that_meets_the_dropped_ticket_is_dropped_once() {
    model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (completion, ticket) = ticket();
        let value = Counted(drops.clone());
        let thread = spawn(move || completion.complete(value).into_abandoned());
        drop(ticket);
        let back = thread.join().unwrap();
        assert_eq!(dropped(&drops), usize::from(back.is_none()));
        drop(back);
        assert_eq!(dropped(&drops), 1);
    });
}

#[test]
fn a_result_that_meets_the_timeout_is_still_there() {
    model(|| {
        let time = Time::stopped();
        let (completion, ticket) = ticket();
        let thread = spawn(move || assert!(completion.complete(1).is_delivered()));
        let clock = spawn_clock(&time);
        let result = match ticket.wait_timeout(time.timeout()) {
            Ok(result) => result,
            Err(timeout) => timeout.into_ticket().wait(),
        };
        assert_eq!(result, Ok(1));
        thread.join().unwrap();
        clock.join().unwrap();
    });
}

/// The ends of a mailbox, of its command and of the command's ticket, all at once.
#[test]
fn a_command_that_dies_with_its_mailbox_closes_its_ticket() {
    use crate::mailbox::{Config, Priority, mailbox};

    model(|| {
        let (sender, mut receiver) = mailbox(Config::try_from([1; 4]).unwrap());
        let (completion, ticket) = ticket();
        let worker = spawn(move || {
            if let Ok((_, completion)) = receiver.try_recv() {
                let _: Delivery<u32> = Completion::complete(completion, 1);
            }
        });
        let sent = sender.try_send(Priority::Normal, completion);
        let refused = sent.is_err();
        drop(sent);
        let result = ticket.wait();
        assert!(result == Err(Closed) || !refused);
        worker.join().unwrap();
        drop(sender);
    });
}

#[test]
fn completing_wakes_the_last_task_that_polled() {
    model(|| {
        let (completion, mut ticket) = ticket();
        let thread = spawn(move || assert!(completion.complete(1).is_delivered()));
        let (first, second) = (Flag::new(), Flag::new());
        let result = match poll(&mut ticket, &first) {
            Poll::Ready(result) => result,
            Poll::Pending => match poll(&mut ticket, &second) {
                Poll::Ready(result) => result,
                Poll::Pending => {
                    second.wait();
                    let Poll::Ready(result) = poll(&mut ticket, &second) else { panic!("woken too early") };
                    result
                }
            },
        };
        assert_eq!(result, Ok(1));
        thread.join().unwrap();
    });
}

#[test]
fn a_callback_is_called_once_whoever_is_first() {
    model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let calls = Arc::new(AtomicUsize::new(0));
        let (completion, ticket) = ticket();
        let value = Counted(drops.clone());
        let thread = spawn(move || assert!(completion.complete(value).is_delivered()));
        let counted = calls.clone();
        ticket.on_complete(move |result| {
            assert!(result.is_ok());
            // AcqRel: pairs with the load below.
            counted.fetch_add(1, Ordering::AcqRel);
        });
        thread.join().unwrap();
        // Acquire: pairs with the callback.
        assert_eq!(calls.load(Ordering::Acquire), 1);
        assert_eq!(dropped(&drops), 1);
    });
}

#[test]
fn is_complete_shows_what_came_before_the_completion() {
    model(|| {
        let written = Arc::new(AtomicUsize::new(0));
        let theirs = written.clone();
        let (completion, mut ticket) = ticket();
        let thread = spawn(move || {
            // Relaxed: ordered by the completion.
            theirs.store(1, Ordering::Relaxed);
            completion.complete(1);
        });
        if ticket.is_complete() {
            // Relaxed: ordered by the completion.
            assert_eq!(written.load(Ordering::Relaxed), 1);
            assert_eq!(ticket.try_take(), Some(Ok(1)));
        }
        thread.join().unwrap();
    });
}

/// The second ticket is a new one, whether or not the first slot is free again in time.
#[test]
fn a_pooled_slot_is_renewed_after_both_ends() {
    model(|| {
        let pool: Pool<u32> = Pool::new(NonZeroUsize::MIN);
        let (completion, ticket) = pool.ticket();
        let thread = spawn(move || assert!(completion.complete(1).is_delivered()));
        assert_eq!(ticket.wait(), Ok(1));
        let (completion, mut ticket) = pool.ticket();
        assert_eq!(ticket.try_take(), None);
        thread.join().unwrap();
        completion.complete(2);
        assert_eq!(ticket.wait(), Ok(2));
    });
}

/// A reused slot shows nothing of its previous ticket.
#[test]
fn a_renewed_ticket_is_not_complete() {
    model(|| {
        let pool: Pool<u32> = Pool::new(NonZeroUsize::MIN);
        let (completion, ticket) = pool.ticket();
        assert!(completion.complete(1).is_delivered());
        assert_eq!(ticket.wait(), Ok(1));
        let (completion, mut ticket) = pool.ticket();
        assert_eq!(pool.stats().reused, 1);
        assert!(!ticket.is_complete());
        assert_eq!(ticket.try_take(), None);
        let thread = spawn(move || assert!(completion.complete(2).is_delivered()));
        assert_eq!(ticket.wait(), Ok(2));
        thread.join().unwrap();
    });
}

/// A thread that waits for settled tickets in order gets each of them, also if the last one is told first.
#[test]
fn tickets_that_are_settled_together_wake_their_threads() {
    model(|| {
        let (first, first_ticket) = ticket();
        let (second, second_ticket) = ticket();
        let thread = spawn(move || {
            let settled = [second.settle(Ok(2)), first.settle(Ok(1))];
            for settled in settled {
                assert!(settled.tell().is_delivered());
            }
        });
        assert_eq!(first_ticket.wait(), Ok(1));
        assert_eq!(second_ticket.wait(), Ok(2));
        thread.join().unwrap();
    });
}

/// A pooled slot is not used again before the thread that waited for it was notified.
#[test]
fn a_settled_slot_is_renewed_after_its_thread_was_notified() {
    model(|| {
        let pool: Pool<u32> = Pool::new(NonZeroUsize::MIN);
        let (completion, ticket) = pool.ticket();
        let thread = spawn(move || drop(completion.settle(Ok(1))));
        assert_eq!(ticket.wait(), Ok(1));
        let (completion, ticket) = pool.ticket();
        let other = spawn(move || drop(completion.settle(Ok(2))));
        assert_eq!(ticket.wait(), Ok(2));
        thread.join().unwrap();
        other.join().unwrap();
    });
}
