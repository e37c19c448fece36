//! User values: when their destructors run, and what the destructors may do.
#![cfg(feature = "manager")]
#![allow(clippy::unwrap_used)] // Tests.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use switchboard::clock::{Clock, ManualClock};
use switchboard::link::UserData;
use switchboard::manager::MemberFilter;
use switchboard::{
    Command, Config, Direction, Driver, Effect, Handle, LinkManager, Links, NetConfig, NetId, NodeAddr,
    RetryPolicy, StreamId,
};

const NET: NetId = NetId(1);
const A: NodeAddr = NodeAddr(1);
const B: NodeAddr = NodeAddr(2);
const LONG: Duration = Duration::from_secs(60);

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn on_drop(act: impl FnMut() + Send + Sync + 'static) -> UserData {
    UserData::new(OnDrop(act))
}

fn counted(dropped: &Arc<AtomicU32>) -> UserData {
    let count = dropped.clone();
    on_drop(move || {
        count.fetch_add(1, Ordering::Relaxed);
    })
}

fn driver() -> (Driver, Handle, ManualClock) {
    let clock = ManualClock::new();
    let mut driver = LinkManager::builder(Config::default()).clock(clock.clone()).build().unwrap();
    let handle = driver.handle();
    handle.add_net(NET, NetConfig::new().min_links(0)).unwrap();
    handle.set_net_active(NET, true).unwrap();
    handle.create_link(A, NET).unwrap();
    let _ = driver.run_once(clock.now());
    (driver, handle, clock)
}

/// Publishes some versions, so that old ones are emptied.
fn churn(driver: &mut Driver, clock: &ManualClock) {
    for _ in 0..8 {
        driver.handle().wake_up().unwrap();
        let _ = driver.run_once(clock.now());
    }
}

fn assert_coherent(links: &Links) {
    let snapshot = links.snapshot();
    assert_eq!(snapshot.addrs(NET, MemberFilter::All).count(), snapshot.count(NET));
    assert_eq!(snapshot.links().count(), snapshot.len());
    assert!(snapshot.links().all(|link| snapshot.get(link.addr()) == Some(link)));
}

#[test]
fn a_value_is_dropped_once_and_not_while_a_snapshot_shows_it() {
    let (mut driver, handle, clock) = driver();
    let dropped = Arc::new(AtomicU32::new(0));
    handle.set_user_data(A, counted(&dropped)).unwrap();
    let _ = driver.run_once(clock.now());
    let held = driver.links().snapshot();
    handle.set_user_data(A, None).unwrap();
    churn(&mut driver, &clock);
    assert_eq!(dropped.load(Ordering::Relaxed), 0, "a snapshot shows it");
    drop(held);
    assert_eq!(dropped.load(Ordering::Relaxed), 0, "a reader runs no destructor");
    churn(&mut driver, &clock);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    drop(driver);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_destructor_runs_after_its_turn_and_may_send_commands() {
    let (mut driver, handle, clock) = driver();
    let turn = Arc::new(AtomicU32::new(0));
    let (sender, entered) = mpsc::channel();
    for _ in 0..10 {
        let (links, inside, now, sender) = (driver.links(), handle.clone(), turn.clone(), sender.clone());
        let act = move || {
            assert_coherent(&links);
            let ticket = inside.add_stream(B, StreamId(7), Direction::Downlink).unwrap();
            // The changes that the turn has published are visible.
            let turn = NodeAddr(1_000 + u64::from(now.load(Ordering::Relaxed)));
            sender.send((links.snapshot().contains(&turn, NET), ticket)).unwrap();
        };
        handle.set_user_data(A, on_drop(act)).unwrap();
        let number = turn.fetch_add(1, Ordering::Relaxed) + 1;
        handle.create_link(NodeAddr(1_000 + u64::from(number)), NET).unwrap();
        let _ = driver.run_once(clock.now());
    }
    let ends: Vec<_> = entered.try_iter().collect();
    // The commands that the last destructors sent are applied in the next turn.
    let _ = driver.run_once(clock.now());
    assert!(ends.len() >= 5, "{}", ends.len());
    for (published, ticket) in ends {
        assert!(published && ticket.wait().is_ok());
    }
    assert!(driver.links().snapshot().get(&B).is_some());
    assert_coherent(&driver.links());
    assert_eq!(driver.links().snapshot().stats().panics(), 0);
}

#[test]
fn destructors_that_panic_are_contained_and_counted() {
    let (mut driver, handle, clock) = driver();
    // Set and replaced within one turn, and published for a while.
    for _ in 0..3 {
        handle.set_user_data(A, on_drop(|| panic!("a destructor that panics"))).unwrap();
        handle.set_user_data(A, on_drop(|| panic!("a destructor that panics"))).unwrap();
        let _ = driver.run_once(clock.now());
    }
    handle.set_user_data(A, None).unwrap();
    churn(&mut driver, &clock);
    assert_eq!(driver.links().snapshot().stats().panics(), 6);
    assert!(handle.create_link(B, NET).is_ok());
    churn(&mut driver, &clock);
    assert_eq!(driver.links().snapshot().len(), 2);
    assert_coherent(&driver.links());
    // Two panics when the state itself is dropped.
    for addr in [A, B] {
        handle.set_user_data(addr, on_drop(|| panic!("a destructor that panics"))).unwrap();
    }
    let _ = driver.run_once(clock.now());
    drop(driver);
}

#[test]
fn a_value_that_is_never_attached_is_dropped_with_its_command() {
    let (mut driver, handle, clock) = driver();
    let dropped = Arc::new(AtomicU32::new(0));
    let data = || counted(&dropped);
    // Refused.
    handle.set_user_data(B, data()).unwrap();
    let _ = driver.run_once(clock.now());
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    // Never applied.
    handle.set_user_data(A, data()).unwrap();
    drop(driver);
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
    // Not accepted.
    let error = handle.set_user_data(A, data()).unwrap_err();
    assert!(matches!(error.into_inner(), Command::SetUserData { data: Some(_), .. }));
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[test]
fn a_retry_policy_is_dropped_after_the_turn_as_well() {
    let (mut driver, handle, clock) = driver();
    let (sender, entered) = mpsc::channel();
    let (links, inside) = (driver.links(), handle.clone());
    let token = OnDrop(move || {
        assert_coherent(&links);
        inside.wake_up().unwrap();
        let _ = sender.send(());
        panic!("a destructor that panics");
    });
    let policy = move |_: u32, _: &mut dyn FnMut() -> u64| {
        let _ = &token;
        LONG
    };
    let settings = Config::default().settings().clone();
    handle.reconfigure(settings.clone().retry(RetryPolicy::custom(policy, LONG))).unwrap();
    let _ = driver.run_once(clock.now());
    handle.reconfigure(settings).unwrap();
    churn(&mut driver, &clock);
    assert!(entered.try_recv().is_ok());
    assert_eq!(driver.links().snapshot().stats().panics(), 1);
}

#[test]
fn destructors_on_the_writers_thread_neither_block_nor_end_it() {
    let transport = |_: Effect<NodeAddr>, _: &Handle| {};
    let manager = LinkManager::builder(Config::default()).transport(transport).spawn().unwrap();
    let (handle, links) = (manager.handle(), manager.links());
    handle.add_net(NET, NetConfig::new().min_links(0)).unwrap();
    handle.create_link(A, NET).unwrap().wait().unwrap();
    let (sender, receiver) = mpsc::channel();
    for number in 0..10_u64 {
        let (inside, links, sender) = (handle.clone(), links.clone(), sender.clone());
        let act = move || {
            assert_coherent(&links);
            let ticket = inside.add_stream(NodeAddr(100 + number), StreamId(number), Direction::Downlink);
            sender.send(ticket.unwrap()).unwrap();
            panic!("a destructor that panics");
        };
        handle.set_user_data(A, on_drop(act)).unwrap().wait().unwrap();
    }
    handle.delete_link(A).unwrap();
    for _ in 0..10 {
        handle.wake_up().unwrap().wait().unwrap();
    }
    for _ in 0..10 {
        assert!(receiver.recv_timeout(LONG).unwrap().wait().is_ok());
    }
    handle.wake_up().unwrap().wait().unwrap();
    let snapshot = links.snapshot();
    assert_eq!((snapshot.len(), snapshot.stats().panics()), (10, 10));
    assert!(manager.shutdown(LONG).is_clean());
}

/// The turn that removes the link is the last one with work to do.
#[test]
fn what_was_removed_is_dropped_in_the_turn_after_which_nothing_is_to_be_done() {
    let (mut driver, handle, clock) = driver();
    for round in 1..=20 {
        let dropped = Arc::new(AtomicU32::new(0));
        handle.create_link(B, NET).unwrap();
        handle.set_user_data(B, counted(&dropped)).unwrap();
        let _ = driver.run_once(clock.now());
        driver.effects().for_each(drop);
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        handle.delete_link(B).unwrap();
        let _ = driver.run_once(clock.now());
        driver.effects().for_each(drop);
        assert_eq!(dropped.load(Ordering::Relaxed), 1, "round {round}");
    }
}

#[test]
fn a_value_that_a_reader_held_is_dropped_in_an_idle_turn_after_it_let_go() {
    let (mut driver, handle, clock) = driver();
    let dropped = Arc::new(AtomicU32::new(0));
    handle.create_link(B, NET).unwrap();
    handle.set_user_data(B, counted(&dropped)).unwrap();
    let _ = driver.run_once(clock.now());
    let held = driver.links().snapshot();
    handle.delete_link(B).unwrap();
    for _ in 0..3 {
        let _ = driver.run_once(clock.now());
        driver.effects().for_each(drop);
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 0, "held");
    drop(held);
    let _ = driver.run_once(clock.now());
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}
