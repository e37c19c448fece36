#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::future::Future;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::mailbox::{Config, Priority, mailbox};
use crate::sync::model::spawn;
use crate::sync::{Mutex, StdArc, lock_order};

/// Long enough never to pass unless a test is stuck.
const LONG: Duration = Duration::from_secs(60);

/// Counts its drops.
#[derive(Debug)]
struct Counted(StdArc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Counts its wake-ups, and runs a closure in each.
struct Wakes<F>(AtomicUsize, F);

impl<F: Fn() + Send + Sync> Wake for Wakes<F> {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        (self.1)();
    }
}

fn wakes<F: Fn() + Send + Sync + 'static>(also: F) -> (StdArc<Wakes<F>>, Waker) {
    let wakes = StdArc::new(Wakes(AtomicUsize::new(0), also));
    let waker = Waker::from(wakes.clone());
    (wakes, waker)
}

fn poll<T, E>(ticket: &mut Ticket<T, E>, waker: &Waker) -> Poll<Result<T, E>> {
    Pin::new(ticket).poll(&mut Context::from_waker(waker))
}

#[derive(Debug, PartialEq)]
enum Error {
    Refused(u8),
    Closed,
}

impl From<Closed> for Error {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

fn pool_of(capacity: usize) -> Pool<u32> {
    Pool::new(NonZeroUsize::new(capacity).unwrap())
}

#[test]
fn the_ends_are_send_and_unpin_without_static_bounds_on_use() {
    fn send<T: Send>(_: &T) {}
    fn unpin<T: Unpin>(_: &T) {}
    let (completion, ticket) = ticket_with::<std::cell::Cell<u32>, Error>();
    send(&completion);
    send(&ticket);
    unpin(&ticket);
    assert_eq!(format!("{ticket:?}"), "Ticket { complete: false, .. }");
    assert_eq!(format!("{completion:?}"), "Completion { abandoned: false, .. }");
}

#[test]
fn each_way_to_complete_arrives() {
    let (completion, ticket) = ticket_with::<u32, Error>();
    assert!(completion.complete(1).is_delivered());
    assert_eq!(ticket.wait(), Ok(1));

    let (completion, ticket) = ticket_with::<u32, Error>();
    assert!(completion.fail(Error::Refused(2)).is_delivered());
    assert_eq!(ticket.wait(), Err(Error::Refused(2)));

    let (completion, ticket) = ticket_with::<u32, Error>();
    assert!(completion.finish(Ok(3)).is_delivered());
    assert_eq!(ticket.wait_timeout(Duration::ZERO).unwrap(), Ok(3));

    let (completion, ticket) = ticket_with::<u32, Error>();
    drop(completion);
    assert_eq!(ticket.wait(), Err(Error::Closed));
}

#[test]
fn an_abandoned_result_comes_back() {
    let (completion, ticket) = ticket_with::<u32, Error>();
    assert!(!completion.is_abandoned());
    drop(ticket);
    assert!(completion.is_abandoned());
    assert_eq!(completion.complete(1).into_abandoned(), Some(1));

    let (completion, ticket) = ticket_with::<u32, Error>();
    drop(ticket);
    assert_eq!(completion.fail(Error::Refused(2)).into_abandoned(), Some(Error::Refused(2)));

    let (completion, ticket) = ticket_with::<u32, Error>();
    drop(ticket);
    let delivery = completion.finish(Ok(3));
    assert!(delivery.is_abandoned());
    assert_eq!(delivery.into_abandoned(), Some(Ok(3)));
}

#[test]
fn every_result_is_dropped_once() {
    let drops = StdArc::new(AtomicUsize::new(0));
    let counted = || Counted(drops.clone());

    let (completion, ticket) = ticket();
    drop(ticket);
    drop(completion.complete(counted()));
    assert_eq!(drops.load(Ordering::SeqCst), 1);

    let (completion, ticket) = super::ticket();
    completion.complete(counted());
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    drop(ticket);
    assert_eq!(drops.load(Ordering::SeqCst), 2);

    let (completion, ticket) = super::ticket();
    ticket.on_complete(drop);
    completion.complete(counted());
    assert_eq!(drops.load(Ordering::SeqCst), 3);

    let (completion, mut ticket) = super::ticket();
    completion.complete(counted());
    drop(ticket.try_take());
    drop(ticket);
    assert_eq!(drops.load(Ordering::SeqCst), 4);
}

#[test]
fn try_take_gives_the_result_once() {
    let (completion, mut ticket) = ticket();
    assert_eq!(ticket.try_take(), None);
    assert!(!ticket.is_complete());
    completion.complete(1);
    assert!(ticket.is_complete());
    assert_eq!(ticket.try_take(), Some(Ok(1)));
    assert_eq!(ticket.try_take(), None);
    assert!(ticket.is_complete());
}

#[test]
fn asking_for_a_taken_result_panics_and_never_hangs() {
    let taken = || {
        let (completion, mut ticket) = ticket();
        completion.complete(1);
        assert_eq!(ticket.try_take(), Some(Ok(1)));
        ticket
    };
    assert!(catch_unwind(|| taken().wait()).is_err());
    assert!(catch_unwind(|| drop(taken().wait_timeout(LONG))).is_err());
    assert!(catch_unwind(|| taken().on_complete(drop)).is_err());
    assert!(catch_unwind(|| poll(&mut taken(), Waker::noop())).is_err());
}

#[test]
fn a_timeout_hands_the_ticket_back() {
    let (completion, ticket) = ticket();
    let error = ticket.wait_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "timed out waiting for the result");
    let error = error.into_ticket().wait_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(!completion.is_abandoned());
    completion.complete(1);
    assert_eq!(error.into_ticket().wait_timeout(LONG).unwrap(), Ok(1));
}

#[test]
fn a_waiting_thread_is_woken_by_each_end_of_the_completion() {
    for dropped in [false, true] {
        let (completion, ticket) = ticket();
        let thread = spawn(move || ticket.wait());
        let expected = if dropped {
            drop(completion);
            Err(Closed)
        } else {
            completion.complete(1);
            Ok(1)
        };
        assert_eq!(thread.join().unwrap(), expected);
    }
    let (completion, ticket) = ticket();
    let thread = spawn(move || ticket.wait_timeout(Duration::MAX).unwrap());
    completion.complete(2);
    assert_eq!(thread.join().unwrap(), Ok(2));
}

#[test]
fn the_last_waker_is_woken() {
    let (first, first_waker) = wakes(|| {});
    let (second, second_waker) = wakes(|| {});
    let (completion, mut ticket) = ticket();
    assert!(poll(&mut ticket, &first_waker).is_pending());
    assert!(poll(&mut ticket, &first_waker).is_pending());
    assert!(poll(&mut ticket, &second_waker).is_pending());
    drop(first_waker);
    assert_eq!(StdArc::strong_count(&first), 1, "a replaced waker is not kept");
    completion.complete(1);
    assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
    assert_eq!(poll(&mut ticket, &second_waker), Poll::Ready(Ok(1)));
}

#[test]
fn a_completed_ticket_is_ready_at_the_first_poll() {
    let (completion, mut ticket) = ticket();
    completion.complete(1);
    let (counted, waker) = wakes(|| {});
    assert_eq!(poll(&mut ticket, &waker), Poll::Ready(Ok(1)));
    drop(ticket);
    drop(waker);
    assert_eq!(StdArc::strong_count(&counted), 1);
}

#[test]
fn a_polled_ticket_may_be_waited_for_or_dropped() {
    let (counted, waker) = wakes(|| {});
    let (completion, mut ticket) = ticket();
    assert!(poll(&mut ticket, &waker).is_pending());
    let ticket = ticket.wait_timeout(Duration::ZERO).unwrap_err().into_ticket();
    completion.complete(1);
    assert_eq!(ticket.wait(), Ok(1));

    let (completion, mut ticket) = super::ticket::<u32>();
    assert!(poll(&mut ticket, &waker).is_pending());
    drop(ticket);
    assert!(completion.is_abandoned());
    drop(waker);
    assert_eq!(counted.0.load(Ordering::SeqCst), 0);
    assert_eq!(StdArc::strong_count(&counted), 1);
}

#[test]
fn a_callback_runs_once_on_the_thread_that_is_second() {
    let (sender, results) = mpsc::channel();
    for completed_first in [false, true] {
        let (completion, ticket) = ticket();
        let sender = sender.clone();
        let callback = move |result: Result<u32, Closed>| {
            sender.send((result, std::thread::current().id())).unwrap();
        };
        if completed_first {
            completion.complete(1);
            ticket.on_complete(callback);
            assert_eq!(results.recv().unwrap(), (Ok(1), std::thread::current().id()));
        } else {
            ticket.on_complete(callback);
            assert!(!completion.is_abandoned());
            let thread = spawn(move || drop(completion.complete(1)));
            let id = thread.thread().id();
            thread.join().unwrap();
            assert_eq!(results.recv().unwrap(), (Ok(1), id));
        }
    }
    drop(sender);
    assert!(results.recv().is_err(), "called twice");
}

#[test]
fn a_dropped_completion_calls_back_with_closed() {
    let (sender, results) = mpsc::channel();
    let (completion, ticket) = ticket::<u32>();
    ticket.on_complete(move |result| sender.send(result).unwrap());
    drop(completion);
    assert_eq!(results.recv(), Ok(Err(Closed)));
}

#[test]
fn a_panic_of_a_callback_or_waker_stays_away_from_the_completer() {
    let (completion, ticket) = ticket();
    ticket.on_complete(|_| panic!("in the callback"));
    let Delivery::Panicked(payload) = completion.complete(1) else { panic!("not contained") };
    assert_eq!(payload.downcast_ref(), Some(&"in the callback"));

    let (completion, ticket) = super::ticket::<u32>();
    ticket.on_complete(|_| panic!("in the callback"));
    drop(completion);

    let (completion, mut ticket) = super::ticket();
    let (_counted, waker) = wakes(|| panic!("in the waker"));
    assert!(poll(&mut ticket, &waker).is_pending());
    assert!(completion.complete(1).is_panicked());
    assert_eq!(ticket.try_take(), Some(Ok(1)));

    let (completion, ticket) = super::ticket();
    completion.complete(1);
    let unwound = catch_unwind(AssertUnwindSafe(|| ticket.on_complete(|_| panic!("on this thread"))));
    assert!(unwound.is_err());
}

#[test]
fn a_callback_may_use_the_mailbox_and_other_tickets() {
    let (sender, mut receiver) = mailbox(Config::try_from([1; 4]).unwrap());
    let (inner_completion, inner_ticket) = ticket();
    let (completion, ticket) = ticket::<u32>();
    ticket.on_complete(move |result| {
        sender.try_send(Priority::High, result).unwrap();
        inner_completion.complete(2);
    });
    assert!(completion.complete(1).is_delivered());
    assert_eq!(receiver.try_recv().unwrap(), (Priority::High, Ok(1)), "the callback was not entered");
    assert_eq!(inner_ticket.wait(), Ok(2));
}

#[test]
fn a_waker_and_a_destructor_may_use_other_tickets() {
    struct Reenters(Option<Completion<u32>>);
    impl Drop for Reenters {
        fn drop(&mut self) {
            if let Some(completion) = self.0.take() {
                completion.complete(3);
            }
        }
    }

    let (inner_completion, inner_ticket) = ticket();
    let inner = Mutex::new(&lock_order::TEST_AUXILIARY, Some(inner_completion));
    let (counted, waker) = wakes(move || {
        let completion = inner.lock().take();
        completion.unwrap().complete(2);
    });
    let (completion, mut ticket) = ticket();
    assert!(poll(&mut ticket, &waker).is_pending());
    completion.complete(1);
    assert_eq!(counted.0.load(Ordering::SeqCst), 1, "the waker was not entered");
    assert_eq!(inner_ticket.wait(), Ok(2));

    for complete_first in [false, true] {
        let (inner_completion, inner_ticket) = super::ticket();
        let value = Reenters(Some(inner_completion));
        let (completion, ticket) = super::ticket();
        if complete_first {
            completion.complete(value);
            drop(ticket);
        } else {
            drop(ticket);
            completion.complete(value);
        }
        assert_eq!(inner_ticket.wait(), Ok(3));
    }
}

#[test]
fn a_pool_goes_round_its_slots() {
    for capacity in [1, 2, 64] {
        let pool = pool_of(capacity);
        for round in 0..10 {
            let ends: Vec<_> = (0..capacity).map(|_| pool.ticket()).collect();
            for (number, (completion, mut ticket)) in (0u32..).zip(ends) {
                assert_eq!(ticket.try_take(), None, "round {round}: a slot was not renewed");
                assert!(!ticket.is_complete() && !completion.is_abandoned());
                completion.complete(number);
                assert_eq!(ticket.wait(), Ok(number));
            }
        }
        let stats = pool.stats();
        assert_eq!((stats.allocated, stats.reused), (capacity as u64, 9 * capacity as u64));
    }
}

#[test]
fn a_slot_is_not_used_again_while_an_end_lives() {
    let pool = pool_of(1);
    let (completion, ticket) = pool.clone().ticket();
    let (other, other_ticket) = pool.ticket();
    other.complete(2);
    assert_eq!(other_ticket.wait(), Ok(2));
    completion.complete(1);
    let (third, third_ticket) = pool.ticket();
    drop(third);
    assert_eq!(third_ticket.wait(), Err(Closed));
    assert_eq!(ticket.wait(), Ok(1));
    assert_eq!(pool.stats().allocated, 3);
    drop(pool.ticket());
    assert_eq!(pool.stats().reused, 1);
}

#[test]
fn a_pooled_ticket_outlives_its_pool_and_keeps_no_value_in_it() {
    let drops = StdArc::new(AtomicUsize::new(0));
    let pool: Pool<Counted> = Pool::new(NonZeroUsize::MIN);
    let (completion, ticket) = pool.ticket();
    completion.complete(Counted(drops.clone()));
    drop(ticket);
    assert_eq!(drops.load(Ordering::SeqCst), 1, "the pool kept a value");
    let (completion, ticket) = pool.ticket();
    assert_eq!(pool.stats().reused, 1);
    drop(pool);
    completion.complete(Counted(drops.clone()));
    drop(ticket.wait());
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

/// A thread, a task and a callback all learn of their settled tickets, and a panic of one keeps no other
/// waiting.
#[test]
fn settled_tickets_are_told_and_a_panic_stops_none() {
    for explicitly in [true, false] {
        let (completions, tickets): (Vec<_>, Vec<_>) = (0..4).map(|_| ticket::<u32>()).unzip();
        let mut tickets = tickets.into_iter();
        let (Some(first), Some(mut second), Some(third), Some(fourth)) =
            (tickets.next(), tickets.next(), tickets.next(), tickets.next())
        else {
            unreachable!()
        };
        first.on_complete(|_| panic!("in a callback"));
        let (bombs, bomb) = wakes(|| panic!("in a waker"));
        assert!(poll(&mut second, &bomb).is_pending());
        let (called, calls) = mpsc::channel();
        third.on_complete(move |result| called.send(result).unwrap());
        let thread = spawn(move || fourth.wait());

        let settled: Vec<_> = completions.into_iter().map(|completion| completion.settle(Ok(7))).collect();
        assert!(second.is_complete());
        assert_eq!((bombs.0.load(Ordering::SeqCst), calls.try_recv().is_err()), (0, true));
        if explicitly {
            let panicked = settled.into_iter().map(|settled| settled.tell().is_panicked());
            assert_eq!(panicked.collect::<Vec<_>>(), [true, true, false, false]);
        } else {
            drop(settled);
        }
        assert_eq!(bombs.0.load(Ordering::SeqCst), 1);
        assert_eq!(second.try_take(), Some(Ok(7)));
        assert_eq!(calls.recv_timeout(LONG), Ok(Ok(7)));
        assert_eq!(thread.join().unwrap(), Ok(7));
    }
}

#[test]
fn a_settled_ticket_without_a_listener_frees_its_slot() {
    let pool = pool_of(1);
    let (completion, ticket) = pool.ticket();
    let settled = completion.settle(Ok(1));
    assert_eq!(ticket.wait(), Ok(1));
    drop(pool.ticket());
    assert_eq!(pool.stats().reused, 1);
    drop(settled);
}
