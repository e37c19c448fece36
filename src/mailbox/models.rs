//! Models of the protocols between the ends. In each, a sender outlives the threads, so the close by the last
//! sender cannot stand in for a wake-up that was forgotten.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use super::*;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::model::{Time, model, spawn, spawn_clock};

fn sized(capacity: usize) -> Config {
    Config::try_from([capacity; 4]).unwrap()
}

fn blocking() -> Config {
    sized(1).backpressure(Backpressure::Block)
}

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

#[test]
fn a_send_wakes_the_receiver() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let other = sender.clone();
        let thread = spawn(move || other.try_send(Priority::Low, 1));
        assert_eq!(receiver.recv(), Ok((Priority::Low, 1)));
        assert_eq!(thread.join().unwrap(), Ok(()));
        drop(sender);
    });
}

#[test]
fn the_last_sender_wakes_the_receiver() {
    model(|| {
        let (sender, mut receiver) = mailbox::<u32>(sized(1));
        let thread = spawn(move || drop(sender));
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
        thread.join().unwrap();
    });
}

#[test]
fn two_blocked_senders_get_the_one_room_in_turn() {
    model(|| {
        let (sender, mut receiver) = mailbox(blocking());
        let threads = [1, 2].map(|value| {
            let sender = sender.clone();
            spawn(move || sender.send(Priority::Normal, value))
        });
        let mut received = [receiver.recv().unwrap().1, receiver.recv().unwrap().1];
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Ok(Sent::Queued));
        }
        drop(sender);
    });
}

/// A sender that takes a room sees the slot that the take emptied as empty.
#[test]
fn a_room_comes_with_a_slot() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        sender.try_send(Priority::High, 0).unwrap();
        let other = sender.clone();
        let thread = spawn(move || other.try_send(Priority::High, 1).is_ok());
        assert_eq!(receiver.try_recv(), Ok((Priority::High, 0)));
        let accepted = thread.join().unwrap();
        assert_eq!(receiver.try_recv().ok(), accepted.then_some((Priority::High, 1)));
        drop(sender);
    });
}

#[test]
fn what_was_accepted_is_received_before_closed() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let other = sender.clone();
        let thread = spawn(move || other.try_send(Priority::Critical, 1).is_ok());
        receiver.close();
        let received = receiver.recv().is_ok();
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
        assert_eq!(thread.join().unwrap(), received);
        drop(sender);
    });
}

#[test]
fn a_dropped_permit_wakes_a_blocked_sender() {
    model(|| {
        let (sender, mut receiver) = mailbox(blocking());
        let permit = sender.reserve(Priority::Low).unwrap();
        let other = sender.clone();
        let thread = spawn(move || other.send(Priority::Low, 1));
        drop(permit);
        assert_eq!(thread.join().unwrap(), Ok(Sent::Queued));
        assert_eq!(receiver.try_recv(), Ok((Priority::Low, 1)));
        drop(sender);
    });
}

/// Two senders wait for one room, one of them with a deadline that may pass at any time.
#[test]
fn a_sender_that_gives_up_leaves_the_room_to_the_other() {
    model(|| {
        let time = Time::stopped();
        let (sender, mut receiver) = mailbox(blocking());
        let room = sender.reserve(Priority::Low).unwrap();
        let (patient, hasty, timeout) = (sender.clone(), sender.clone(), time.timeout());
        let patient = spawn(move || patient.send(Priority::Low, 1));
        let hasty = spawn(move || drop(hasty.reserve_timeout(Priority::Low, timeout)));
        let clock = spawn_clock(&time);
        drop(room);
        assert_eq!(patient.join().unwrap(), Ok(Sent::Queued));
        assert_eq!(receiver.try_recv(), Ok((Priority::Low, 1)));
        hasty.join().unwrap();
        clock.join().unwrap();
        assert_eq!(sender.try_send(Priority::Low, 2), Ok(()), "a room was lost");
    });
}

/// A command that is sent while the receiver gives up is received by its next call.
#[test]
fn a_receiver_that_gives_up_loses_no_command() {
    model(|| {
        let time = Time::stopped();
        let (sender, mut receiver) = mailbox(sized(1));
        let other = sender.clone();
        let thread = spawn(move || other.try_send(Priority::Low, 1));
        let clock = spawn_clock(&time);
        let received = match receiver.recv_timeout(time.timeout()) {
            Err(RecvTimeoutError::Timeout) => receiver.recv(),
            outcome => Ok(outcome.unwrap()),
        };
        assert_eq!(received, Ok((Priority::Low, 1)));
        assert_eq!(thread.join().unwrap(), Ok(()));
        clock.join().unwrap();
        drop(sender);
    });
}

#[test]
fn closing_wakes_a_blocked_sender() {
    model(|| {
        let (sender, receiver) = mailbox(blocking());
        sender.try_send(Priority::Low, 0).unwrap();
        let other = sender.clone();
        let thread = spawn(move || other.send(Priority::Low, 1));
        receiver.close();
        assert_eq!(thread.join().unwrap(), Err(SendError::Closed(1)));
        drop(receiver);
        drop(sender);
    });
}

#[test]
fn the_last_permit_wakes_the_receiver_of_a_closed_mailbox() {
    model(|| {
        let (sender, mut receiver) = mailbox::<u32>(sized(1));
        let permit = sender.try_reserve(Priority::High).unwrap().into_owned();
        let thread = spawn(move || drop(permit));
        receiver.close();
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
        thread.join().unwrap();
        drop(sender);
    });
}

/// No command stays in a queue that no thread reads.
#[test]
fn a_command_that_meets_the_dropped_receiver_is_dropped_or_comes_back() {
    model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = mailbox(sized(1));
        let permit = sender.try_reserve(Priority::Low).unwrap().into_owned();
        let value = Counted(drops.clone());
        let thread = spawn(move || permit.send(value).err().map(SendError::into_inner));
        drop(receiver);
        let back = thread.join().unwrap();
        assert_eq!(dropped(&drops), usize::from(back.is_none()));
        drop(back);
        drop(sender);
        assert_eq!(dropped(&drops), 1);
    });
}

#[test]
fn shedding_against_the_receiver_loses_and_repeats_nothing() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1).backpressure(Backpressure::ShedLowest));
        sender.try_send(Priority::Low, 0).unwrap();
        sender.try_send(Priority::Normal, 1).unwrap();
        let other = sender.clone();
        let thread = spawn(move || match other.send(Priority::Normal, 2) {
            Ok(sent) => sent.into_victim().map(|victim| victim.value),
            Err(error) => Some(error.into_inner()),
        });
        let mut seen: Vec<u32> = receiver.try_recv().ok().map(|(_, value)| value).into_iter().collect();
        seen.extend(thread.join().unwrap());
        seen.extend(std::iter::from_fn(|| Some(receiver.try_recv().ok()?.1)));
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
        for priority in Priority::ALL {
            assert_eq!(sender.try_send(priority, 9), Ok(()), "{priority}: a room was lost");
        }
        receiver.close();
    });
}

/// Between the pop of the victim and the push, the room keeps the mailbox from being drained.
#[test]
fn shedding_against_the_close_is_drained() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1).backpressure(Backpressure::ShedLowest));
        sender.try_send(Priority::Low, 0).unwrap();
        sender.try_send(Priority::Normal, 1).unwrap();
        let other = sender.clone();
        let thread = spawn(move || other.send(Priority::Normal, 2).is_ok());
        receiver.close();
        let mut received = Vec::new();
        while let Ok((_, value)) = receiver.recv() {
            received.push(value);
        }
        assert_eq!(received.contains(&2), thread.join().unwrap());
        drop(sender);
    });
}

#[test]
fn a_wake_carries_what_came_before_it() {
    model(|| {
        let (sender, mut receiver) = mailbox::<u32>(sized(1));
        let written = Arc::new(AtomicUsize::new(0));
        let (other, theirs) = (sender.clone(), written.clone());
        let thread = spawn(move || {
            // Relaxed: ordered by the wake.
            theirs.store(1, Ordering::Relaxed);
            other.wake();
        });
        let outcome = receiver.recv_timeout(std::time::Duration::from_secs(60));
        match outcome {
            // Relaxed: ordered by the wake.
            Err(RecvTimeoutError::Woken) => assert_eq!(written.load(Ordering::Relaxed), 1),
            // Only under the checkers, where a deadline passes at once.
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("{other:?}"),
        }
        thread.join().unwrap();
        drop(sender);
    });
}

/// The number of commands handed back rises after the counter of the reason.
#[cfg(feature = "manager")]
#[test]
fn a_refusal_is_counted_before_it_is_returned() {
    model(|| {
        let (sender, receiver) = mailbox(sized(1));
        sender.try_send(Priority::Low, 0).unwrap();
        let other = sender.clone();
        let thread = spawn(move || {
            for value in [1, 2] {
                assert_eq!(other.try_send(Priority::Low, value), Err(TrySendError::Full(value)));
            }
        });
        let handed_back = sender.handed_back();
        assert!(sender.stats().lane(Priority::Low).refused >= handed_back);
        thread.join().unwrap();
        assert_eq!(sender.handed_back(), 2);
        drop(receiver);
    });
}

/// A notice wakes once: a receiver that has consumed it sleeps until its deadline.
#[test]
fn a_notice_is_used_up_by_the_wake() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1));
        let other = sender.clone();
        let thread = spawn(move || other.try_send(Priority::Low, 1));
        assert_eq!(receiver.recv(), Ok((Priority::Low, 1)));
        assert_eq!(thread.join().unwrap(), Ok(()));
        let outcome = receiver.recv_timeout(std::time::Duration::from_micros(20));
        assert_eq!(outcome, Err(RecvTimeoutError::Timeout));
        drop(sender);
    });
}

/// Merged requests to wake are all answered by one wake.
#[test]
fn merged_wakes_carry_what_came_before_each() {
    model(|| {
        let (sender, mut receiver) = mailbox::<u32>(sized(1));
        let written = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let asked = Arc::new(AtomicUsize::new(0));
        let threads = [0, 1].map(|index| {
            let (sender, written, asked) = (sender.clone(), written.clone(), asked.clone());
            spawn(move || {
                // Relaxed: ordered by the wake.
                written[index].store(1, Ordering::Relaxed);
                sender.wake();
                // Relaxed: says that the event happened, and carries no data.
                asked.fetch_add(1, Ordering::Relaxed);
            })
        });
        // Relaxed: as above.
        if asked.load(Ordering::Relaxed) == 2 {
            let outcome = receiver.recv_timeout(std::time::Duration::from_secs(60));
            assert_eq!(outcome, Err(RecvTimeoutError::Woken));
            // Relaxed: ordered by the wakes.
            assert!(written.iter().all(|word| word.load(Ordering::Relaxed) == 1));
        }
        for thread in threads {
            thread.join().unwrap();
        }
        drop(sender);
    });
}

/// The receiver that sees `Closed` sees everything each sender did before it was dropped, regardless of the
/// order.
#[test]
fn closed_shows_what_every_sender_did() {
    model(|| {
        let (sender, mut receiver) = mailbox::<u32>(sized(1));
        let written = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let threads = [sender.clone(), sender].into_iter().enumerate().map(|(index, sender)| {
            let written = written.clone();
            spawn(move || {
                // Relaxed: ordered by the end of the sender.
                written[index].store(1, Ordering::Relaxed);
                drop(sender);
            })
        });
        let threads: Vec<_> = threads.collect();
        if receiver.try_recv() == Err(TryRecvError::Closed) {
            // Relaxed: ordered by the ends of the senders.
            assert!(written.iter().all(|word| word.load(Ordering::Relaxed) == 1));
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// A command that sheds another one while the mailbox is closed: both end somewhere, exactly once.
#[test]
fn shedding_against_the_close_loses_nothing() {
    model(|| {
        let (sender, mut receiver) = mailbox(sized(1).backpressure(Backpressure::ShedLowest));
        sender.try_send(Priority::Low, 0).unwrap();
        sender.try_send(Priority::Normal, 1).unwrap();
        let other = sender.clone();
        let thread = spawn(move || match other.send(Priority::Normal, 2) {
            Ok(sent) => sent.into_victim().map(|victim| victim.value),
            Err(error) => Some(error.into_inner()),
        });
        receiver.close();
        let mut seen: Vec<u32> = std::iter::from_fn(|| Some(receiver.recv().ok()?.1)).collect();
        seen.extend(thread.join().unwrap());
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
        drop(sender);
    });
}
