//! Models of the waits of tasks. In each, a sender outlives the threads, so the close by the last sender
//! cannot stand in for a wake-up that was forgotten.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use crate::mailbox::{
    Backpressure, Config, Priority, RecvError, ReserveError, SendError, Sent, TrySendError, mailbox,
};
use crate::sync::StdArc;
use crate::sync::model::{Flag, Time, block_on, model, spawn, spawn_clock};

const LANE: Priority = Priority::Low;

fn sized(capacity: usize) -> Config {
    Config::try_from([capacity; 4]).unwrap().backpressure(Backpressure::Block)
}

fn poll<F: Future>(future: Pin<&mut F>, flag: &StdArc<Flag>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(flag.clone())))
}

/// As `block_on`, with a flag that other polls may have left.
fn finish<F: Future>(mut future: Pin<&mut F>, flag: &StdArc<Flag>) -> F::Output {
    loop {
        match poll(future.as_mut(), flag) {
            Poll::Ready(output) => return output,
            Poll::Pending => flag.wait(),
        }
    }
}

#[test]
fn a_send_wakes_the_task() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let other = sender.clone();
        let thread = spawn(move || other.try_send(LANE, 1));
        assert_eq!(block_on(receiver.recv_async()), Ok((LANE, 1)));
        assert_eq!(thread.join().unwrap(), Ok(()));
        drop(sender);
    });
}

/// The second wait begins while the wake-up of the first one may still be on its way.
#[test]
fn each_of_two_sends_wakes_the_task() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let threads = [Priority::High, Priority::Low].map(|lane| {
            let sender = sender.clone();
            spawn(move || sender.try_send(lane, 0))
        });
        let flag = Flag::new();
        let mut lanes = [(); 2].map(|()| finish(pin!(receiver.recv_async()), &flag).unwrap().0);
        lanes.sort_unstable();
        assert_eq!(lanes, [Priority::High, Priority::Low]);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Ok(()));
        }
        drop(sender);
    });
}

#[test]
fn the_last_sender_wakes_the_task() {
    model(|| {
        let (sender, mut receiver) = mailbox::<u32>(sized(1));
        let thread = spawn(move || drop(sender));
        assert_eq!(block_on(receiver.recv_async()), Err(RecvError::Closed));
        thread.join().unwrap();
    });
}

#[test]
fn the_last_permit_wakes_the_task_of_a_closed_mailbox() {
    model(|| {
        let (sender, mut receiver) = mailbox::<u32>(sized(1));
        let permit = sender.try_reserve(LANE).unwrap().into_owned();
        let thread = spawn(move || drop(permit));
        receiver.close();
        assert_eq!(block_on(receiver.recv_async()), Err(RecvError::Closed));
        thread.join().unwrap();
        drop(sender);
    });
}

/// The task changes its waker while a command arrives: the new waker is woken, or the poll finds the command.
#[test]
fn a_task_that_moves_to_another_waker_is_woken() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let (first, second) = (Flag::new(), Flag::new());
        let mut receive = pin!(receiver.recv_async());
        assert!(poll(receive.as_mut(), &first).is_pending());
        let other = sender.clone();
        let thread = spawn(move || other.try_send(LANE, 1));
        assert_eq!(finish(receive, &second), Ok((LANE, 1)));
        assert_eq!(thread.join().unwrap(), Ok(()));
        drop(sender);
    });
}

/// A task gives up, and a thread waits next.
#[test]
fn a_thread_that_waits_after_a_task_is_woken() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        assert!(receiver.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending());
        let other = sender.clone();
        let thread = spawn(move || other.try_send(LANE, 1));
        assert_eq!(receiver.recv(), Ok((LANE, 1)));
        assert_eq!(thread.join().unwrap(), Ok(()));
        drop(sender);
    });
}

#[test]
fn a_receive_that_is_dropped_loses_no_command() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let mut receive = receiver.recv_async();
        assert!(poll(Pin::new(&mut receive), &Flag::new()).is_pending());
        let other = sender.clone();
        let thread = spawn(move || other.try_send(LANE, 1));
        drop(receive);
        assert_eq!(block_on(receiver.recv_async()), Ok((LANE, 1)));
        assert_eq!(thread.join().unwrap(), Ok(()));
        drop(sender);
    });
}

/// The receive is dropped, ended or not, while the command arrives: its waker is left nowhere.
#[test]
fn a_receive_leaves_its_waker_nowhere() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let other = sender.clone();
        let thread = spawn(move || other.try_send(LANE, 1));
        let flag = Flag::new();
        let mut receive = receiver.recv_async();
        let first = poll(Pin::new(&mut receive), &flag);
        let second = first.is_pending().then(|| poll(Pin::new(&mut receive), &flag));
        drop(receive);
        assert_eq!(thread.join().unwrap(), Ok(()));
        assert_eq!(StdArc::strong_count(&flag), 1);
        if first.is_pending() && second.is_none_or(|second| second.is_pending()) {
            assert_eq!(receiver.try_recv(), Ok((LANE, 1)));
        }
        drop(sender);
    });
}

#[test]
fn a_room_wakes_the_task_that_waits_for_it() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        sender.try_send(LANE, 0).unwrap();
        let other = sender.clone();
        let thread = spawn(move || block_on(other.send_async(LANE, 1)));
        assert_eq!(receiver.try_recv(), Ok((LANE, 0)));
        assert_eq!(thread.join().unwrap(), Ok(Sent::Queued));
        assert_eq!(receiver.try_recv(), Ok((LANE, 1)));
        drop(sender);
    });
}

#[test]
fn a_task_and_a_thread_get_the_one_room_in_turn() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let (task, thread) = (sender.clone(), sender.clone());
        let task = spawn(move || block_on(task.send_async(LANE, 1)));
        let thread = spawn(move || thread.send(LANE, 2));
        let mut received = [receiver.recv().unwrap().1, receiver.recv().unwrap().1];
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        assert_eq!(task.join().unwrap(), Ok(Sent::Queued));
        assert_eq!(thread.join().unwrap(), Ok(Sent::Queued));
        drop(sender);
    });
}

/// A sender that does not wait finds no room while the room goes to one that does.
#[test]
fn no_sender_overtakes_the_queue() {
    model(|| {
        let (sender, receiver) = mailbox(sized(1));
        let room = sender.try_reserve(LANE).unwrap().into_owned();
        let flag = Flag::new();
        let mut queued = pin!(sender.reserve_async(LANE));
        assert!(poll(queued.as_mut(), &flag).is_pending());
        let thread = spawn(move || drop(room));
        assert_eq!(sender.try_send(LANE, 1), Err(TrySendError::Full(1)));
        assert!(finish(queued, &flag).is_ok());
        thread.join().unwrap();
        drop(receiver);
    });
}

/// The first of two waiting senders gives up while the room is handed over: the second one receives it.
#[test]
fn a_room_of_a_task_that_gives_up_goes_to_the_next_one() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let room = sender.try_reserve(LANE).unwrap().into_owned();
        let mut first = sender.send_async(LANE, 1);
        assert!(poll(Pin::new(&mut first), &Flag::new()).is_pending());
        let flag = Flag::new();
        let mut second = pin!(sender.send_async(LANE, 2));
        assert!(poll(second.as_mut(), &flag).is_pending());
        let thread = spawn(move || drop(room));
        drop(first);
        assert_eq!(finish(second, &flag), Ok(Sent::Queued));
        thread.join().unwrap();
        assert_eq!(receiver.try_recv(), Ok((LANE, 2)));
        assert_eq!(sender.try_send(LANE, 3), Ok(()), "a room was lost");
    });
}

/// As above, with a thread behind the task, and without one: the room is free afterwards.
#[test]
fn the_last_task_that_gives_up_leaves_the_room_free() {
    model(|| {
        let (sender, receiver) = mailbox(sized(1));
        let room = sender.try_reserve(LANE).unwrap().into_owned();
        let mut only = sender.send_async(LANE, 1);
        assert!(poll(Pin::new(&mut only), &Flag::new()).is_pending());
        let thread = spawn(move || drop(room));
        drop(only);
        thread.join().unwrap();
        assert_eq!(sender.try_send(LANE, 2), Ok(()), "a room was lost");
        drop(receiver);
    });
}

/// A thread gives up at its deadline while the room is handed over: the task behind it receives the room.
#[test]
fn a_room_of_a_thread_that_gives_up_goes_to_the_task() {
    model(|| {
        let time = Time::stopped();
        let (sender, receiver) = mailbox(sized(1));
        let room = sender.try_reserve(LANE).unwrap();
        let (task, hasty, timeout) = (sender.clone(), sender.clone(), time.timeout());
        let task = spawn(move || block_on(task.send_async(LANE, 1)));
        let hasty = spawn(move || drop(hasty.reserve_timeout(LANE, timeout)));
        let clock = spawn_clock(&time);
        drop(room);
        assert_eq!(task.join().unwrap(), Ok(Sent::Queued));
        hasty.join().unwrap();
        clock.join().unwrap();
        assert_eq!(receiver.len(LANE), 1);
    });
}

#[test]
fn closing_wakes_the_tasks_that_wait_for_room() {
    model(|| {
        let (sender, receiver) = mailbox(sized(1));
        sender.try_send(LANE, 0).unwrap();
        let other = sender.clone();
        let thread = spawn(move || block_on(other.send_async(LANE, 1)));
        receiver.close();
        assert_eq!(thread.join().unwrap(), Err(SendError::Closed(1)));
        drop(receiver);
        drop(sender);
    });
}

#[test]
fn the_end_of_the_receiver_wakes_the_tasks_that_wait_for_room() {
    model(|| {
        let (sender, receiver) = mailbox(sized(1));
        sender.try_send(LANE, 0).unwrap();
        let other = sender.clone();
        let thread = spawn(move || block_on(other.send_async(LANE, 1)));
        drop(receiver);
        // The place of a dropped command may come before or after the close.
        assert!(matches!(thread.join().unwrap(), Ok(Sent::Queued) | Err(SendError::Closed(1))));
        drop(sender);
    });
}

/// A room is given back while the lane is closed: the waiting task ends with or without it, and the mailbox
/// is drained in both cases.
#[test]
fn a_room_against_the_close_ends_the_wait() {
    model(|| {
        let (sender, mut receiver) = mailbox::<u32>(sized(1));
        let room = sender.try_reserve(LANE).unwrap().into_owned();
        let flag = Flag::new();
        let mut queued = pin!(sender.reserve_async(LANE));
        assert!(poll(queued.as_mut(), &flag).is_pending());
        let thread = spawn(move || drop(room));
        receiver.close();
        match finish(queued, &flag) {
            Ok(permit) => drop(permit),
            Err(error) => assert_eq!(error, ReserveError::Closed),
        }
        assert_eq!(block_on(receiver.recv_async()), Err(RecvError::Closed));
        thread.join().unwrap();
    });
}

/// The wait of a driver: it is told of work without taking it.
#[cfg(feature = "manager")]
mod ready {
    use std::future::poll_fn;

    use super::*;
    use crate::sync::Arc;
    use crate::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_send_makes_the_receiver_ready() {
        model(|| {
            let (sender, mut receiver) = mailbox(sized(1));
            let other = sender.clone();
            let thread = spawn(move || other.try_send(LANE, 1));
            block_on(poll_fn(|context| receiver.poll_ready(context)));
            assert_eq!(receiver.try_recv(), Ok((LANE, 1)));
            assert_eq!(thread.join().unwrap(), Ok(()));
            drop(sender);
        });
    }

    #[test]
    fn a_request_to_wake_makes_the_receiver_ready_and_carries_what_came_before_it() {
        model(|| {
            let (sender, mut receiver) = mailbox::<u32>(sized(1));
            let written = Arc::new(AtomicUsize::new(0));
            let (other, theirs) = (sender.clone(), written.clone());
            let thread = spawn(move || {
                // Relaxed: ordered by the wake.
                theirs.store(1, Ordering::Relaxed);
                other.wake();
            });
            block_on(poll_fn(|context| receiver.poll_ready(context)));
            // Relaxed: as above.
            assert_eq!(written.load(Ordering::Relaxed), 1);
            thread.join().unwrap();
            drop(sender);
        });
    }

    #[test]
    fn the_last_sender_makes_the_receiver_ready() {
        model(|| {
            let (sender, mut receiver) = mailbox::<u32>(sized(1));
            let thread = spawn(move || drop(sender));
            block_on(poll_fn(|context| receiver.poll_ready(context)));
            assert!(receiver.is_closed());
            thread.join().unwrap();
        });
    }
}
