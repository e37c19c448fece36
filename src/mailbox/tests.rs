#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::sync::StdArc;
use crate::sync::model::spawn;

/// Long enough never to pass unless a test is stuck.
const LONG: Duration = Duration::from_secs(60);
const SIZES: [usize; 3] = [1, 2, 1024];

fn sized(capacity: usize) -> Config {
    Config::try_from([capacity; 4]).unwrap()
}

fn shedding(lanes: [usize; 4]) -> Config {
    Config::try_from(lanes).unwrap().backpressure(Backpressure::ShedLowest)
}

/// Counts its drops.
#[derive(Debug)]
struct Counted(StdArc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn drain<T>(receiver: &mut Receiver<T>) -> Vec<(Priority, T)> {
    std::iter::from_fn(|| receiver.try_recv().ok()).collect()
}

#[test]
fn capacities_are_checked_when_they_are_set() {
    for priority in Priority::ALL {
        assert_eq!(Config::new().lane(priority, 0), Err(CapacityError::Zero { priority }));
        for capacity in [Config::MAX + 1, usize::MAX] {
            assert_eq!(
                Config::new().lane(priority, capacity),
                Err(CapacityError::TooLarge { priority, capacity })
            );
        }
        let largest = Config::new().lane(priority, Config::MAX).unwrap();
        assert_eq!(largest.capacity(priority), Config::MAX);
    }
    assert_eq!(Config::try_from([1, 1, 0, 1]), Err(CapacityError::Zero { priority: Priority::Normal }));
    let error = Config::new().low(0).unwrap_err();
    assert_eq!(error.to_string(), "the capacity of the low lane is zero");
}

#[test]
fn the_ends_are_send_and_the_sender_is_sync() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let (sender, receiver) = mailbox::<std::cell::Cell<u32>>(sized(1));
    send(&sender);
    sync(&sender);
    send(&receiver);
}

#[test]
fn a_lane_is_fifo_across_laps() {
    for capacity in SIZES {
        let (sender, mut receiver) = mailbox(sized(capacity));
        let (mut sent, mut received) = (0, 0);
        for _ in 0..5 {
            while sender.try_send(Priority::Normal, sent).is_ok() {
                sent += 1;
            }
            assert_eq!(sender.len(Priority::Normal), capacity);
            while let Ok(value) = receiver.try_recv() {
                assert_eq!(value, (Priority::Normal, received));
                received += 1;
            }
        }
        assert_eq!((sent, received), (5 * capacity, 5 * capacity));
    }
}

#[test]
fn the_most_important_lane_is_first() {
    let (sender, mut receiver) = mailbox(sized(2));
    for priority in [Priority::Low, Priority::High, Priority::Critical, Priority::Normal] {
        sender.try_send(priority, priority).unwrap();
    }
    assert_eq!(drain(&mut receiver), Priority::ALL.map(|priority| (priority, priority)));
}

#[test]
fn a_full_lane_hands_the_command_back_and_leaves_the_others_alone() {
    for capacity in SIZES {
        let (sender, mut receiver) = mailbox(sized(capacity));
        for value in 0..capacity {
            assert_eq!(sender.send(Priority::High, value), Ok(Sent::Queued));
        }
        assert_eq!(sender.try_send(Priority::High, 77), Err(TrySendError::Full(77)));
        assert_eq!(sender.send(Priority::High, 78), Err(SendError::Full(78)));
        assert_eq!(
            sender.send_timeout(Priority::High, 79, Duration::ZERO),
            Err(SendTimeoutError::Timeout(79))
        );
        assert!(sender.try_reserve(Priority::High).is_err_and(|error| error.is_full()));
        assert!(
            sender.reserve_timeout(Priority::High, Duration::ZERO).is_err_and(|error| error.is_timeout())
        );
        assert_eq!(sender.try_send(Priority::Low, 80), Ok(()));

        let figures = sender.stats()[Priority::High];
        assert_eq!((figures.len, figures.capacity, figures.rooms_peak), (capacity, capacity, capacity));
        assert_eq!((figures.refused, figures.shed, figures.timed_out), (3, 0, 2));
        assert_eq!(receiver.len_total(), capacity + 1);
        assert_eq!(drain(&mut receiver).len(), capacity + 1);
        assert!(receiver.is_empty());
    }
}

#[test]
fn close_then_drain_returns_every_command() {
    for capacity in SIZES {
        let (sender, mut receiver) = mailbox(sized(capacity));
        for priority in Priority::ALL {
            (0..capacity).for_each(|value| sender.try_send(priority, value).unwrap());
        }
        receiver.close();
        assert!(receiver.is_closed() && sender.is_closed());
        assert_eq!(sender.try_send(Priority::Low, 9), Err(TrySendError::Closed(9)));
        assert_eq!(sender.send(Priority::Low, 9), Err(SendError::Closed(9)));
        assert_eq!(sender.send_timeout(Priority::Low, 9, LONG), Err(SendTimeoutError::Closed(9)));
        assert!(sender.reserve(Priority::Low).is_err_and(|error| error.is_closed()));
        assert!(sender.try_reserve(Priority::Low).is_err_and(|error| error.is_closed()));
        assert!(sender.reserve_timeout(Priority::Low, LONG).is_err_and(|error| error.is_closed()));

        assert_eq!(drain(&mut receiver).len(), 4 * capacity);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
        assert_eq!(receiver.recv_timeout(LONG), Err(RecvTimeoutError::Closed));
        assert_eq!(receiver.try_recv_batch(&mut Vec::new(), 1), Err(TryRecvError::Closed));
    }
}

#[test]
fn the_last_sender_closes() {
    let (sender, mut receiver) = mailbox(sized(1));
    let other = sender.clone();
    sender.try_send(Priority::Low, 1).unwrap();
    drop(sender);
    assert!(!receiver.is_closed());
    drop(other);
    assert!(receiver.is_closed());
    assert_eq!(receiver.recv(), Ok((Priority::Low, 1)));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
}

#[test]
fn a_permit_takes_a_room_until_it_is_dropped() {
    for capacity in SIZES {
        let (sender, mut receiver) = mailbox(sized(capacity));
        let mut permits: Vec<_> =
            (0..capacity).map(|_| sender.try_reserve(Priority::Normal).unwrap()).collect();
        assert_eq!(sender.try_send(Priority::Normal, 1), Err(TrySendError::Full(1)));
        assert!(receiver.is_empty());
        drop(permits.pop());
        assert_eq!(sender.try_send(Priority::Normal, 2), Ok(()));
        assert_eq!(receiver.try_recv(), Ok((Priority::Normal, 2)));
        permits.into_iter().for_each(|permit| permit.send(3).unwrap());
        assert_eq!(drain(&mut receiver).len(), capacity - 1);
    }
}

#[test]
fn a_permit_outlives_the_close() {
    let (sender, mut receiver) = mailbox(sized(2));
    let used = sender.reserve(Priority::High).unwrap();
    let dropped = sender.reserve_timeout(Priority::Low, Duration::ZERO).unwrap();
    assert_eq!((used.priority(), dropped.priority()), (Priority::High, Priority::Low));
    receiver.close();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    used.send(1).unwrap();
    assert_eq!(receiver.recv(), Ok((Priority::High, 1)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    drop(dropped);
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
}

#[test]
fn an_owned_permit_keeps_the_mailbox_open_and_one_room() {
    let (sender, mut receiver) = mailbox(sized(1));
    let permit = sender.reserve(Priority::Low).unwrap().into_owned();
    assert_eq!(sender.try_send(Priority::Low, 1), Err(TrySendError::Full(1)));
    drop(sender);
    assert!(!receiver.is_closed());
    assert_eq!(permit.priority(), Priority::Low);
    permit.send(2).unwrap();
    assert_eq!(receiver.recv(), Ok((Priority::Low, 2)));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));

    let (sender, mut receiver) = mailbox(sized(1));
    drop(sender.reserve(Priority::Low).unwrap().into_owned());
    assert_eq!(sender.try_send(Priority::Low, 1), Ok(()));
    assert_eq!(receiver.try_recv(), Ok((Priority::Low, 1)));
    let permit = sender.reserve(Priority::Low).unwrap().into_owned();
    drop(receiver);
    assert_eq!(permit.send(3), Err(SendError::Closed(3)));
}

#[test]
fn dropping_the_receiver_drops_what_is_queued_once() {
    for capacity in SIZES {
        let drops = StdArc::new(AtomicUsize::new(0));
        let (sender, receiver) = mailbox(sized(capacity));
        for priority in Priority::ALL {
            (0..capacity).for_each(|_| sender.try_send(priority, Counted(drops.clone())).unwrap());
        }
        let permit_lane = Priority::Low;
        assert!(sender.try_reserve(permit_lane).is_err());
        drop(receiver);
        assert_eq!(drops.load(Ordering::SeqCst), 4 * capacity);
        assert!(sender.is_closed());
        let back = sender.send(Priority::Low, Counted(drops.clone())).unwrap_err();
        assert!(back.is_closed());
        assert_eq!(drops.load(Ordering::SeqCst), 4 * capacity);
        drop(back.into_inner());
        assert_eq!(drops.load(Ordering::SeqCst), 4 * capacity + 1);
    }
}

#[test]
fn a_permit_used_after_the_receiver_is_gone_hands_the_command_back() {
    let drops = StdArc::new(AtomicUsize::new(0));
    let (sender, receiver) = mailbox(sized(1));
    let permit = sender.reserve(Priority::Critical).unwrap();
    drop(receiver);
    let error = permit.send(Counted(drops.clone())).unwrap_err();
    assert!(error.is_closed());
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(error);
    drop(sender);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

/// The victim is the oldest command of the lowest lane below that is not empty.
#[test]
fn shedding_takes_the_oldest_of_the_lowest_lane() {
    let (sender, mut receiver) = mailbox(shedding([1, 1, 2, 2]));
    for (priority, value) in
        [(Priority::Low, 0), (Priority::Low, 1), (Priority::Normal, 2), (Priority::Normal, 3)]
    {
        assert_eq!(sender.send(priority, value), Ok(Sent::Queued));
    }
    assert_eq!(sender.send(Priority::High, 10), Ok(Sent::Queued));
    let mut victims = Vec::new();
    for value in 11..15 {
        let victim = sender.send(Priority::High, value).unwrap().into_victim().unwrap();
        victims.push((victim.priority, victim.value));
    }
    let expected = [(Priority::Low, 0), (Priority::Low, 1), (Priority::Normal, 2), (Priority::Normal, 3)];
    assert_eq!(victims, expected);
    assert_eq!(sender.send(Priority::High, 15), Err(SendError::Full(15)));
    assert_eq!(sender.len(Priority::High), 5, "its own room and those of the shed commands");

    assert_eq!(sender.send(Priority::Critical, 20), Ok(Sent::Queued));
    let Ok(Sent::Shed(victim)) = sender.send(Priority::Critical, 21) else { panic!("nothing shed") };
    assert_eq!((victim.priority, victim.value), (Priority::High, 10));

    let stats = sender.stats();
    assert_eq!(Priority::ALL.map(|priority| stats[priority].shed), [0, 1, 2, 2]);
    assert_eq!(stats[Priority::High].refused, 1);
    let received: Vec<_> = drain(&mut receiver).into_iter().map(|(_, value)| value).collect();
    assert_eq!(received, [20, 21, 11, 12, 13, 14]);
}

#[test]
fn rooms_are_conserved_by_shedding() {
    let mut random = fastrand::Rng::with_seed(3);
    for lanes in [[1, 1, 1, 1], [2, 1, 2, 3], [8, 8, 8, 8]] {
        let total: usize = lanes.iter().sum();
        let (sender, mut receiver) = mailbox(shedding(lanes));
        let (mut queued, mut accounted) = (0usize, 0usize);
        let sends = 20_000;
        for value in 0..sends {
            let priority = Priority::ALL[random.usize(0..4)];
            match sender.send(priority, value) {
                Ok(Sent::Queued) => queued += 1,
                Ok(Sent::Shed(_)) | Err(SendError::Full(_)) => accounted += 1,
                Err(SendError::Closed(_)) => panic!("closed"),
            }
            if random.u8(0..4) == 0 && receiver.try_recv().is_ok() {
                queued -= 1;
                accounted += 1;
            }
            assert_eq!(receiver.len_total(), queued);
            assert!(queued <= total);
            for (priority, capacity) in Priority::ALL.into_iter().zip(lanes) {
                assert!(sender.stats()[priority].rooms_peak <= capacity);
            }
        }
        assert_eq!(queued + accounted, sends, "every command is accounted for");
        drain(&mut receiver);
        for (priority, capacity) in Priority::ALL.into_iter().zip(lanes) {
            for value in 0..capacity {
                assert_eq!(sender.send(priority, value), Ok(Sent::Queued), "{priority}: a room was lost");
            }
        }
        assert!(sender.send(Priority::Low, 0).is_err(), "a room was created");
    }
}

#[test]
fn low_is_served_once_in_limit_plus_three_takes() {
    let (sender, mut receiver) = mailbox(Config::new());
    for priority in [Priority::High, Priority::Normal, Priority::Low] {
        (0..500).for_each(|value| sender.try_send(priority, value).unwrap());
    }
    let mut since = [0; 4];
    let mut served = [0; 4];
    for _ in 0..400 {
        sender.try_send(Priority::Critical, 0).unwrap();
        let (taken, _) = receiver.try_recv().unwrap();
        for priority in Priority::ALL {
            let since = &mut since[priority.index()];
            *since = if priority == taken { 0 } else { *since + 1 };
            assert!(*since < 35, "{priority} passed over {since} times");
        }
        served[taken.index()] += 1;
    }
    assert!(served[1..].iter().all(|served| *served >= 400 / 35), "{served:?}");
}

#[test]
fn a_batch_is_what_as_many_takes_would_be() {
    for capacity in SIZES {
        let (one, mut single) = mailbox(sized(capacity));
        let (two, mut batched) = mailbox(sized(capacity));
        for priority in Priority::ALL.into_iter().rev() {
            for value in 0..capacity {
                one.try_send(priority, value).unwrap();
                two.try_send(priority, value).unwrap();
            }
        }
        let mut batch = Vec::new();
        assert_eq!(batched.try_recv_batch(&mut batch, 0), Ok(0));
        assert_eq!(batched.try_recv_batch(&mut batch, 3), Ok(3));
        assert_eq!(batched.try_recv_batch(&mut batch, usize::MAX), Ok(4 * capacity - 3));
        assert_eq!(batched.try_recv_batch(&mut batch, 1), Err(TryRecvError::Empty));
        assert_eq!(batch, drain(&mut single));
        for priority in Priority::ALL {
            (0..capacity).for_each(|value| two.try_send(priority, value).unwrap());
        }
    }
}

#[test]
fn a_blocked_sender_gets_the_room_that_a_take_frees() {
    let (sender, mut receiver) = mailbox(sized(1).backpressure(Backpressure::Block));
    sender.try_send(Priority::Normal, 0).unwrap();
    let count = 200;
    let other = sender.clone();
    let thread = spawn(move || {
        for value in 1..=count {
            if value % 2 == 0 {
                assert_eq!(other.send(Priority::Normal, value), Ok(Sent::Queued));
            } else {
                assert_eq!(other.send_timeout(Priority::Normal, value, LONG), Ok(()));
            }
        }
    });
    for value in 0..=count {
        assert_eq!(receiver.recv_timeout(LONG), Ok((Priority::Normal, value)));
    }
    thread.join().unwrap();
}

#[test]
#[allow(clippy::disallowed_types)] // The barrier belongs to the test, which no model checker runs.
fn closing_releases_every_blocked_sender() {
    for dropped in [false, true] {
        let (sender, receiver) = mailbox(sized(1).backpressure(Backpressure::Block));
        sender.try_send(Priority::Normal, 0).unwrap();
        let started = StdArc::new(std::sync::Barrier::new(3));
        let threads = [1, 2].map(|value| {
            let (sender, started) = (sender.clone(), started.clone());
            spawn(move || {
                started.wait();
                sender.send(Priority::Normal, value)
            })
        });
        started.wait();
        receiver.close();
        let kept = (!dropped).then_some(receiver);
        for (thread, value) in threads.into_iter().zip([1, 2]) {
            assert_eq!(thread.join().unwrap(), Err(SendError::Closed(value)));
        }
        drop(kept);
    }
}

#[test]
fn a_wake_is_answered_once_and_after_the_commands() {
    let (sender, mut receiver) = mailbox(sized(2));
    sender.wake();
    sender.wake();
    sender.try_send(Priority::Low, 1).unwrap();
    assert_eq!(receiver.recv_timeout(LONG), Ok((Priority::Low, 1)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(receiver.recv_timeout(LONG), Err(RecvTimeoutError::Woken));
    assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
    let thread = spawn(move || receiver.recv_timeout(LONG));
    sender.wake();
    assert_eq!(thread.join().unwrap(), Err(RecvTimeoutError::Woken));
}

#[test]
fn a_timeout_beyond_the_clock_is_none() {
    let (sender, mut receiver) = mailbox(sized(1));
    let thread = spawn(move || receiver.recv_timeout(Duration::MAX));
    sender.send_timeout(Priority::Low, 1, Duration::MAX).unwrap();
    assert_eq!(thread.join().unwrap(), Ok((Priority::Low, 1)));
}

/// The destructor of a command that is dropped with the receiver calls into the mailbox, from every place
/// where it can run.
#[test]
fn the_destructor_of_a_command_may_use_the_mailbox() {
    struct Reenters {
        sender: Option<Sender<Reenters>>,
        entered: StdArc<AtomicUsize>,
    }
    impl Drop for Reenters {
        fn drop(&mut self) {
            let Some(sender) = self.sender.take() else { return };
            let command = Reenters { sender: None, entered: self.entered.clone() };
            assert!(sender.try_send(Priority::Low, command).is_err_and(|error| error.is_closed()));
            sender.wake();
            self.entered.fetch_add(1, Ordering::SeqCst);
        }
    }
    let entered = StdArc::new(AtomicUsize::new(0));
    let (sender, receiver) = mailbox(sized(2));
    for priority in [Priority::High, Priority::Low] {
        let command = Reenters { sender: Some(sender.clone()), entered: entered.clone() };
        assert!(sender.try_send(priority, command).is_ok());
    }
    drop(sender);
    drop(receiver);
    assert_eq!(entered.load(Ordering::SeqCst), 2);
}

#[test]
fn many_senders_lose_nothing_and_keep_their_order() {
    const SENDERS: usize = 3;
    let each = 3_000;
    for (capacity, policy) in
        [(1, Backpressure::Block), (2, Backpressure::Block), (64, Backpressure::ShedLowest)]
    {
        let (sender, mut receiver) = mailbox::<(usize, usize)>(sized(capacity).backpressure(policy));
        let threads: Vec<_> = (0..SENDERS)
            .map(|id| {
                let sender = sender.clone();
                spawn(move || {
                    let mut lost = 0;
                    for number in 0..each {
                        let priority = Priority::ALL[1 + number % 3];
                        match sender.send(priority, (id, number)) {
                            Ok(Sent::Queued) => {}
                            Ok(Sent::Shed(_)) | Err(SendError::Full(_)) => lost += 1,
                            Err(SendError::Closed(_)) => panic!("closed"),
                        }
                    }
                    lost
                })
            })
            .collect();
        drop(sender);
        let mut last = [[None; 4]; SENDERS];
        let mut received = 0;
        while let Ok((priority, (id, number))) = receiver.recv() {
            let last = &mut last[id][priority.index()];
            assert!(last.is_none_or(|last| last < number), "sender {id} was reordered");
            *last = Some(number);
            received += 1;
        }
        let lost: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(received + lost, SENDERS * each);
        assert!(policy != Backpressure::Block || lost == 0);
    }
}

#[test]
fn errors_hand_the_command_back_and_read_in_lower_case() {
    assert_eq!(SendError::Full(1).into_inner(), 1);
    assert_eq!(TrySendError::Closed(2).into_inner(), 2);
    assert_eq!(SendTimeoutError::Timeout(3).into_inner(), 3);
    assert!(SendError::from(TrySendError::Closed(())).is_closed());
    let texts = [
        SendError::Full(()).to_string(),
        TrySendError::Closed(()).to_string(),
        SendTimeoutError::Timeout(()).to_string(),
        ReserveError::Closed.to_string(),
        TryReserveError::Full.to_string(),
        ReserveTimeoutError::Timeout.to_string(),
        RecvError::Closed.to_string(),
        TryRecvError::Empty.to_string(),
        RecvTimeoutError::Woken.to_string(),
    ];
    for text in texts {
        assert!(!text.is_empty() && text == text.to_lowercase());
    }
    assert_eq!(format!("{:?}", SendError::Full(std::cell::Cell::new(1))), "SendError::Full(..)");
}

#[test]
fn lanes_that_are_not_listened_to_wait_and_lose_nothing() {
    for size in SIZES {
        let (sender, mut receiver) = mailbox(sized(size));
        for priority in Priority::ALL {
            sender.try_send(priority, priority).unwrap();
        }
        receiver.listen_down_to(Priority::High);
        assert!(!receiver.is_empty());
        let urgent: Vec<_> = drain(&mut receiver).into_iter().map(|(_, value)| value).collect();
        assert_eq!(urgent, [Priority::Critical, Priority::High]);
        assert!(receiver.is_empty());
        assert_eq!(receiver.len_total(), 2);
        // Closed, but not drained.
        receiver.close();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        receiver.listen_down_to(Priority::Low);
        assert_eq!(drain(&mut receiver).len(), 2);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    }
}
