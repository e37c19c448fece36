#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::mailbox::{Config, ReserveTimeoutError, TryRecvError, TrySendError, mailbox};
use crate::sync::StdArc;
use crate::sync::model::spawn;

/// Long enough never to pass unless a test is stuck.
const LONG: Duration = Duration::from_secs(60);
const LANE: Priority = Priority::Normal;
const SIZES: [usize; 3] = [1, 2, 64];

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl Count {
    fn new() -> StdArc<Self> {
        StdArc::new(Self::default())
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Counts its drops.
#[derive(Debug)]
struct Counted(StdArc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn sized(capacity: usize) -> Config {
    Config::try_from([capacity; 4]).unwrap()
}

fn blocking(capacity: usize) -> Config {
    sized(capacity).backpressure(Backpressure::Block)
}

fn poll<F: Future + Unpin>(future: &mut F, count: &StdArc<Count>) -> Poll<F::Output> {
    poll_by(future, &Waker::from(count.clone()))
}

fn poll_by<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Polls once, not caring about wake-ups.
fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_by(future, Waker::noop())
}

fn fill(sender: &Sender<usize>, capacity: usize) {
    (0..capacity).for_each(|value| sender.try_send(LANE, value).unwrap());
}

fn drain<T>(receiver: &mut Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| Some(receiver.try_recv().ok()?.1)).collect()
}

/// Checks that no sender waits and that all rooms are free.
fn assert_all_rooms_are_free<T>(sender: &Sender<T>, capacity: usize) {
    assert_eq!(sender.shared.lane(LANE).queued(), 0, "a sender was left in the queue");
    let permits: Vec<_> = std::iter::from_fn(|| sender.try_reserve(LANE).ok()).collect();
    assert_eq!(permits.len(), capacity);
}

#[test]
fn the_futures_are_send_and_unpin() {
    fn check<T: Send + Unpin>(_: &T) {}
    let (sender, mut receiver) = mailbox::<std::cell::Cell<u32>>(sized(1));
    check(&sender.send_async(LANE, std::cell::Cell::new(1)));
    check(&sender.reserve_async(LANE));
    check(&receiver.recv_async());
    let (sender, _receiver) = mailbox::<std::marker::PhantomPinned>(sized(1));
    check(&sender.send_async(LANE, std::marker::PhantomPinned));
}

#[test]
fn waiting_tasks_are_served_in_the_order_of_their_first_poll() {
    for capacity in SIZES {
        let (sender, mut receiver) = mailbox(blocking(capacity));
        fill(&sender, capacity);
        let counts: Vec<_> = (0..10).map(|_| Count::new()).collect();
        let mut futures: Vec<_> = (0..10).map(|value| sender.send_async(LANE, 100 + value)).collect();
        for (future, count) in futures.iter_mut().zip(&counts) {
            assert!(poll(future, count).is_pending());
        }
        let mut received = Vec::new();
        for (turn, future) in futures.iter_mut().enumerate() {
            received.push(receiver.try_recv().unwrap().1);
            let woken: Vec<_> = counts.iter().map(|count| count.get()).collect();
            let expected: Vec<_> = (0..10).map(|index| usize::from(index <= turn)).collect();
            assert_eq!(woken, expected, "one room wakes one task, the first");
            assert_eq!(once(future), Poll::Ready(Ok(Sent::Queued)));
        }
        received.extend(drain(&mut receiver));
        let expected: Vec<_> = (0..capacity).chain(100..110).collect();
        assert_eq!(received, expected);
        drop(futures);
        assert_all_rooms_are_free(&sender, capacity);
    }
}

#[test]
fn a_batch_of_rooms_wakes_as_many_tasks() {
    let (sender, mut receiver) = mailbox(blocking(4));
    fill(&sender, 4);
    let counts: Vec<_> = (0..6).map(|_| Count::new()).collect();
    let mut futures: Vec<_> = (0..6).map(|_| sender.reserve_async(LANE)).collect();
    for (future, count) in futures.iter_mut().zip(&counts) {
        assert!(poll(future, count).is_pending());
    }
    assert_eq!(receiver.try_recv_batch(&mut Vec::new(), 3), Ok(3));
    assert_eq!(counts.iter().map(|count| count.get()).collect::<Vec<_>>(), [1, 1, 1, 0, 0, 0]);
    drop(futures);
    assert_eq!(receiver.len_total(), 1);
    assert_all_rooms_are_free(&sender, 3);
}

/// A thread that waits between two tasks is served between them.
#[test]
fn threads_and_tasks_wait_in_one_order() {
    let (sender, mut receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let mut first = sender.send_async(LANE, 1);
    assert!(once(&mut first).is_pending());
    let blocked = sender.clone();
    let thread = spawn(move || blocked.send(LANE, 2));
    while sender.shared.lane(LANE).queued() < 2 {
        std::thread::yield_now();
    }
    let mut third = sender.send_async(LANE, 3);
    assert!(once(&mut third).is_pending());

    assert_eq!(receiver.recv(), Ok((LANE, 0)));
    assert!(once(&mut third).is_pending());
    assert_eq!(once(&mut first), Poll::Ready(Ok(Sent::Queued)));
    assert_eq!(receiver.recv(), Ok((LANE, 1)));
    assert!(once(&mut third).is_pending());
    assert_eq!(receiver.recv(), Ok((LANE, 2)));
    assert_eq!(thread.join().unwrap(), Ok(Sent::Queued));
    assert_eq!(once(&mut third), Poll::Ready(Ok(Sent::Queued)));
    assert_eq!(receiver.recv(), Ok((LANE, 3)));
}

#[test]
fn a_room_that_a_task_waits_for_is_not_given_to_others() {
    let (sender, mut receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let mut queued = sender.reserve_async(LANE);
    assert!(once(&mut queued).is_pending());
    assert_eq!(receiver.try_recv(), Ok((LANE, 0)));
    assert_eq!(sender.try_send(LANE, 1), Err(TrySendError::Full(1)));
    assert!(sender.try_reserve(LANE).is_err());
    let refused = sender.reserve_timeout(LANE, Duration::ZERO).map(drop);
    assert_eq!(refused, Err(ReserveTimeoutError::Timeout));
    assert!(once(&mut sender.reserve_async(LANE)).is_pending());
    let Poll::Ready(Ok(permit)) = once(&mut queued) else { panic!("the room is the first one's") };
    drop(permit);
    assert_eq!(sender.try_send(LANE, 2), Ok(()));
}

#[test]
fn the_policies_are_those_of_the_blocking_send() {
    let (sender, _receiver) = mailbox(sized(1));
    fill(&sender, 1);
    assert_eq!(once(&mut sender.send_async(LANE, 5)), Poll::Ready(Err(SendError::Full(5))));
    assert_eq!(sender.stats()[LANE].refused, 1);
    assert!(once(&mut sender.reserve_async(LANE)).is_pending(), "regardless of the policy");

    let (sender, mut receiver) = mailbox(sized(1).backpressure(Backpressure::ShedLowest));
    sender.try_send(Priority::Low, 1).unwrap();
    fill(&sender, 1);
    let Poll::Ready(Ok(Sent::Shed(victim))) = once(&mut sender.send_async(LANE, 2)) else {
        panic!("a lower lane has a command")
    };
    assert_eq!((victim.priority, victim.value), (Priority::Low, 1));
    assert_eq!(once(&mut sender.send_async(LANE, 3)), Poll::Ready(Err(SendError::Full(3))));
    assert_eq!(drain(&mut receiver), [0, 2]);
}

/// Drops the future of a send at each point of its life: before the first poll, while it waits, when it was
/// given a room, when the mailbox was closed, and after it completed.
#[test]
fn a_send_that_is_dropped_at_any_point_loses_no_room_and_one_command_at_most() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Point {
        New,
        Waiting,
        Granted,
        Closed,
        Gone,
        Done,
    }
    for capacity in SIZES {
        for point in [Point::New, Point::Waiting, Point::Granted, Point::Closed, Point::Gone, Point::Done] {
            let drops = StdArc::new(AtomicUsize::new(0));
            let (sender, receiver) = mailbox(blocking(capacity));
            let mut receiver = Some(receiver);
            for _ in 0..capacity {
                sender.try_send(LANE, None).unwrap();
            }
            let mut future = sender.send_async(LANE, Some(Counted(drops.clone())));
            let next_count = Count::new();
            let mut next = sender.reserve_async(LANE);
            if point != Point::New {
                assert!(once(&mut future).is_pending());
            }
            assert!(poll(&mut next, &next_count).is_pending());
            match point {
                Point::New | Point::Waiting => {}
                Point::Granted => drop(receiver.as_mut().unwrap().try_recv().unwrap()),
                Point::Closed => receiver.as_ref().unwrap().close(),
                Point::Gone => drop(receiver.take()),
                Point::Done => {
                    drop(receiver.as_mut().unwrap().try_recv().unwrap());
                    assert!(matches!(once(&mut future), Poll::Ready(Ok(Sent::Queued))));
                }
            }
            drop(future);
            let expected = usize::from(point != Point::Done);
            assert_eq!(drops.load(Ordering::SeqCst), expected, "{point:?}: the command");
            match point {
                Point::Granted => assert_eq!(next_count.get(), 1, "the room goes to the next one"),
                Point::Closed | Point::Gone => assert!(matches!(once(&mut next), Poll::Ready(Err(_)))),
                Point::New | Point::Waiting | Point::Done => assert_eq!(next_count.get(), 0),
            }
            drop(next);
            if matches!(point, Point::Closed | Point::Gone) {
                assert_eq!(sender.shared.lane(LANE).queued(), 0);
                continue;
            }
            drop(drain(receiver.as_mut().unwrap()));
            assert_all_rooms_are_free(&sender, capacity);
            assert_eq!(drops.load(Ordering::SeqCst), 1);
        }
    }
}

#[test]
fn a_permit_given_to_a_dropped_future_goes_through_all_that_follow() {
    let (sender, mut receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let counts: Vec<_> = (0..5).map(|_| Count::new()).collect();
    let mut futures: Vec<_> = (0..5).map(|_| sender.reserve_async(LANE)).collect();
    for (future, count) in futures.iter_mut().zip(&counts) {
        assert!(poll(future, count).is_pending());
    }
    receiver.try_recv().unwrap();
    for (gone, future) in futures.into_iter().enumerate() {
        let woken: Vec<_> = counts.iter().map(|count| count.get()).collect();
        assert_eq!(woken.iter().sum::<usize>(), gone + 1, "{woken:?}");
        drop(future);
    }
    assert_all_rooms_are_free(&sender, 1);
}

#[test]
fn a_send_that_was_given_a_room_comes_back_from_a_dropped_receiver() {
    let (sender, mut receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let mut future = sender.send_async(LANE, 7);
    assert!(once(&mut future).is_pending());
    receiver.try_recv().unwrap();
    drop(receiver);
    assert_eq!(once(&mut future), Poll::Ready(Err(SendError::Closed(7))));
}

#[test]
fn a_room_that_was_given_before_the_close_stays_valid() {
    let (sender, mut receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let mut future = sender.send_async(LANE, 7);
    assert!(once(&mut future).is_pending());
    receiver.try_recv().unwrap();
    receiver.close();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "a room is outstanding");
    assert_eq!(once(&mut future), Poll::Ready(Ok(Sent::Queued)));
    assert_eq!(receiver.try_recv(), Ok((LANE, 7)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn the_last_waker_counts() {
    let (sender, mut receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let (old, new) = (Count::new(), Count::new());
    let mut send = sender.send_async(LANE, 1);
    assert!(poll(&mut send, &old).is_pending());
    assert!(poll(&mut send, &new).is_pending());
    assert_eq!(StdArc::strong_count(&old), 1, "the old waker is released");
    receiver.try_recv().unwrap();
    assert_eq!((old.get(), new.get()), (0, 1));
    drop(send);

    let mut receive = receiver.recv_async();
    assert!(poll(&mut receive, &old).is_pending());
    assert!(poll(&mut receive, &new).is_pending());
    assert_eq!(StdArc::strong_count(&old), 1, "the old waker is released");
    sender.try_send(LANE, 2).unwrap();
    assert_eq!((old.get(), new.get()), (0, 2));
    assert_eq!(once(&mut receive), Poll::Ready(Ok((LANE, 2))));
}

#[test]
fn a_future_that_is_dropped_releases_its_waker() {
    let (sender, mut receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let count = Count::new();
    let mut send = sender.send_async(LANE, 1);
    assert!(poll(&mut send, &count).is_pending());
    drop(send);
    assert_eq!(StdArc::strong_count(&count), 1);

    receiver.try_recv().unwrap();
    let mut receive = receiver.recv_async();
    assert!(poll(&mut receive, &count).is_pending());
    drop(receive);
    assert_eq!(StdArc::strong_count(&count), 1);
    sender.try_send(LANE, 2).unwrap();
    assert_eq!(count.get(), 0);

    assert_eq!(receiver.try_recv(), Ok((LANE, 2)));
    let waker = Waker::from(count.clone());
    assert!(receiver.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(StdArc::strong_count(&count), 2);
    drop(receiver);
    assert_eq!((StdArc::strong_count(&count), count.get()), (1, 1), "told of the close, then released");
}

/// The task registered and then found work, so the drop of the receiver has no one to wake.
#[cfg(feature = "manager")]
#[test]
fn a_receiver_that_is_dropped_releases_the_waker_of_a_task_that_does_not_wait() {
    let (sender, mut receiver) = mailbox(sized(1));
    sender.try_send(LANE, 1).unwrap();
    let count = Count::new();
    let waker = Waker::from(count.clone());
    assert!(receiver.poll_ready(&mut Context::from_waker(&waker)).is_ready());
    drop(waker);
    assert_eq!(StdArc::strong_count(&count), 2);
    drop(receiver);
    assert_eq!((StdArc::strong_count(&count), count.get()), (1, 0));
}

/// The destructor of the waker finds the mailbox as it stays.
#[cfg(feature = "manager")]
#[test]
fn a_receiver_that_is_dropped_drops_its_commands_before_the_waker() {
    struct Bomb(bool);

    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "a command panics");
        }
    }

    for panics in [false, true] {
        let (sender, mut receiver) = mailbox(sized(1));
        let (dropped, found) = (StdArc::default(), StdArc::new(AtomicUsize::new(7)));
        assert!(sender.try_send(LANE, (Counted(StdArc::clone(&dropped)), Bomb(panics))).is_ok());
        let theirs = (dropped.clone(), found.clone());
        let on_drop = Box::new(move || theirs.1.store(theirs.0.load(Ordering::SeqCst), Ordering::SeqCst));
        let waker = Waker::from(StdArc::new(Acting { on_wake: Box::new(|| {}), on_drop }));
        assert!(receiver.poll_ready(&mut Context::from_waker(&waker)).is_ready());
        drop(waker);
        assert_eq!(catch_unwind(AssertUnwindSafe(|| drop(receiver))).is_err(), panics);
        assert_eq!(found.load(Ordering::SeqCst), 1);
    }
}

/// A `select!` drops the receive in each round and starts another one.
#[test]
fn a_receive_that_is_dropped_after_each_poll_loses_nothing() {
    let (sender, mut receiver) = mailbox(sized(4));
    let count = Count::new();
    let mut received = Vec::new();
    for round in 0..20 {
        if round % 3 != 0 {
            sender.try_send(LANE, round).unwrap();
        }
        for _ in 0..2 {
            if let Poll::Ready(command) = poll(&mut receiver.recv_async(), &count) {
                received.push(command.unwrap().1);
            }
        }
    }
    let expected: Vec<_> = (0..20).filter(|round| round % 3 != 0).collect();
    assert_eq!(received, expected);
    assert_eq!(StdArc::strong_count(&count), 1);
}

#[test]
fn a_command_and_the_close_wake_the_receiving_task_once() {
    let (sender, mut receiver) = mailbox(sized(4));
    let count = Count::new();
    assert!(poll(&mut receiver.recv_async(), &count).is_pending());
    let mut receive = receiver.recv_async();
    assert!(poll(&mut receive, &count).is_pending());
    for value in 0..4 {
        sender.try_send(LANE, value).unwrap();
    }
    assert_eq!(count.get(), 1, "one wake-up until the task polls");
    assert_eq!(poll(&mut receive, &count), Poll::Ready(Ok((LANE, 0))));
    drop(receive);
    assert_eq!(drain(&mut receiver), [1, 2, 3]);
    let mut receive = receiver.recv_async();
    assert!(poll(&mut receive, &count).is_pending());
    drop(sender);
    assert_eq!(count.get(), 2);
    assert_eq!(poll(&mut receive, &count), Poll::Ready(Err(RecvError::Closed)));
}

#[test]
fn a_request_to_wake_is_left_to_the_wait_that_can_report_it() {
    let (sender, mut receiver) = mailbox::<usize>(sized(1));
    sender.wake();
    assert!(once(&mut receiver.recv_async()).is_pending());
    assert!(receiver.recv_timeout(LONG).is_err_and(|error| error.is_woken()));
}

#[test]
fn a_future_that_is_polled_after_it_completed_panics() {
    fn panics(poll: impl FnOnce()) {
        let payload = catch_unwind(AssertUnwindSafe(poll)).unwrap_err();
        assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some(POLLED_AGAIN));
    }
    let (sender, mut receiver) = mailbox(blocking(2));
    let mut send = sender.send_async(LANE, 1);
    assert!(once(&mut send).is_ready());
    panics(|| _ = once(&mut send));
    let mut reserve = sender.reserve_async(LANE);
    assert!(once(&mut reserve).is_ready());
    panics(|| _ = once(&mut reserve).is_ready());
    let mut receive = receiver.recv_async();
    assert!(once(&mut receive).is_ready());
    panics(|| _ = once(&mut receive));
}

/// A waker that runs code of the test when it is woken and when it is dropped.
struct Acting {
    on_wake: Box<dyn Fn() + Send + Sync>,
    on_drop: Box<dyn Fn() + Send + Sync>,
}

impl Wake for Acting {
    fn wake(self: StdArc<Self>) {
        (self.on_wake)();
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        (self.on_drop)();
    }
}

/// Returns a waker whose actions are counted and then panic.
fn bomb(entered: &StdArc<AtomicUsize>) -> Waker {
    let action = |entered: StdArc<AtomicUsize>| {
        Box::new(move || {
            entered.fetch_add(1, Ordering::SeqCst);
            // A second panic during unwinding would abort the test.
            assert!(std::thread::panicking(), "a panic of a waker");
        })
    };
    Waker::from(StdArc::new(Acting { on_wake: action(entered.clone()), on_drop: action(entered.clone()) }))
}

#[test]
fn a_waker_that_panics_affects_neither_the_receiver_nor_the_next_sender() {
    let (sender, mut receiver) = mailbox(blocking(2));
    fill(&sender, 2);
    let entered = StdArc::new(AtomicUsize::new(0));
    let mut first = sender.send_async(LANE, 10);
    assert!(poll_by(&mut first, &bomb(&entered)).is_pending());
    let count = Count::new();
    let mut second = sender.send_async(LANE, 11);
    assert!(poll(&mut second, &count).is_pending());
    assert_eq!(entered.load(Ordering::SeqCst), 0);

    let mut batch = Vec::new();
    assert_eq!(receiver.try_recv_batch(&mut batch, 2), Ok(2));
    assert!(entered.load(Ordering::SeqCst) > 0, "the waker was not called");
    assert_eq!((batch.len(), count.get()), (2, 1));
    assert_eq!(once(&mut first), Poll::Ready(Ok(Sent::Queued)));
    assert_eq!(once(&mut second), Poll::Ready(Ok(Sent::Queued)));
    assert_eq!(drain(&mut receiver), [10, 11]);
    assert_all_rooms_are_free(&sender, 2);
}

#[test]
fn a_waker_that_panics_in_the_close_leaves_no_sender_waiting() {
    let (sender, receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let entered = StdArc::new(AtomicUsize::new(0));
    let mut futures: Vec<_> = (0..3).map(|value| sender.send_async(LANE, value)).collect();
    for future in &mut futures {
        assert!(poll_by(future, &bomb(&entered)).is_pending());
    }
    receiver.close();
    assert!(entered.load(Ordering::SeqCst) >= 3, "a waker was not called");
    for (value, future) in futures.iter_mut().enumerate() {
        assert_eq!(once(future), Poll::Ready(Err(SendError::Closed(value))));
    }
}

#[test]
fn a_waker_of_the_receiver_that_panics_does_not_reach_the_sender() {
    let (sender, mut receiver) = mailbox(sized(1));
    let entered = StdArc::new(AtomicUsize::new(0));
    let waker = bomb(&entered);
    assert!(receiver.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    std::mem::forget(waker);
    assert_eq!(sender.try_send(LANE, 1), Ok(()));
    assert!(entered.load(Ordering::SeqCst) > 0, "the waker was not called");
    assert_eq!(receiver.try_recv(), Ok((LANE, 1)));
}

#[test]
fn a_waker_whose_destructor_panics_loses_no_room_and_no_command() {
    let (sender, mut receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let entered = StdArc::new(AtomicUsize::new(0));
    let registered = |future: &mut SendFuture<'_, usize>| {
        let waker = bomb(&entered);
        assert!(poll_by(future, &waker).is_pending());
        // From now on the queue has the last reference.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(waker)));
    };
    let mut replaced = sender.send_async(LANE, 10);
    registered(&mut replaced);
    assert!(once(&mut replaced).is_pending());
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "the replaced waker");
    let mut cancelled = sender.send_async(LANE, 11);
    registered(&mut cancelled);
    drop(cancelled);
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "the waker of a dropped future");
    assert_eq!(receiver.try_recv(), Ok((LANE, 0)));
    assert_eq!(once(&mut replaced), Poll::Ready(Ok(Sent::Queued)));
    assert_eq!(receiver.try_recv(), Ok((LANE, 10)));
    assert_all_rooms_are_free(&sender, 1);

    let mut receive = receiver.recv_async();
    let waker = bomb(&entered);
    assert!(poll_by(&mut receive, &waker).is_pending());
    let _ = catch_unwind(AssertUnwindSafe(|| drop(waker)));
    drop(receive);
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "the waker of a dropped receive");
    let waker = bomb(&entered);
    assert!(receiver.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    let _ = catch_unwind(AssertUnwindSafe(|| drop(waker)));
    assert!(receiver.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(entered.load(Ordering::SeqCst), 1, "the replaced waker of the receiver");
}

/// The wakers of both ends use the mailbox, when they are woken and when they are dropped: no lock is held.
#[test]
fn wakers_may_use_the_mailbox() {
    let (sender, mut receiver) = mailbox(blocking(1));
    fill(&sender, 1);
    let entered = StdArc::new(AtomicUsize::new(0));
    let acting = || {
        let action = || {
            let (sender, entered) = (sender.clone(), entered.clone());
            Box::new(move || {
                // Each of these takes the lock of the lane or of the receiver.
                assert!(once(&mut sender.reserve_async(LANE)).is_pending());
                let refused = sender.send_timeout(LANE, 99, Duration::ZERO);
                assert!(refused.is_err_and(|error| error.is_timeout()));
                sender.wake();
                entered.fetch_add(1, Ordering::SeqCst);
            })
        };
        Waker::from(StdArc::new(Acting { on_wake: action(), on_drop: action() }))
    };
    let mut send = sender.send_async(LANE, 1);
    assert!(poll_by(&mut send, &acting()).is_pending());
    receiver.try_recv().unwrap();
    assert_eq!(entered.swap(0, Ordering::SeqCst), 2, "woken and dropped");
    let mut behind = sender.send_async(LANE, 2);
    assert!(poll_by(&mut behind, &acting()).is_pending());
    assert!(poll_by(&mut behind, &acting()).is_pending());
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "replaced");
    drop(behind);
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "dropped");

    assert!(once(&mut receiver.recv_async()).is_pending());
    let waker = acting();
    assert!(receiver.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(once(&mut send), Poll::Ready(Ok(Sent::Queued)));
    assert_eq!(entered.swap(0, Ordering::SeqCst), 2, "woken and dropped");
    assert_eq!(receiver.try_recv(), Ok((LANE, 1)));
}
