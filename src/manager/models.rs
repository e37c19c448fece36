//! Models of the whole manager: producers, a reader, a transport, a shutdown.
//!
//! They run under shuttle and on plain threads. They are too large for loom, which explores the mailbox, the
//! tickets and the cell separately.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic is how these fail.
#![cfg(not(switchboard_loom))]

use std::future::{Future, poll_fn};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{Clock, ManualClock};
use crate::link::addr::NodeAddr;
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::mailbox::{self, Backpressure};
use crate::manager::link_manager::LinkManager;
use crate::manager::model::command::{Command, CommandError, Outcome};
use crate::manager::model::config::Config;
use crate::manager::model::effect::Effect;
use crate::manager::read::feed::{LinksEvent, LinksFeed};
use crate::manager::read::snapshot::{LinksSnapshot, MemberFilter};
use crate::manager::run::driver::Driver;
use crate::manager::run::handle::Handle;
use crate::sync::StdArc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::model::{Flag, block_on, model, spawn};
use crate::table::Change;
use crate::ticket::{Ticket, ticket};

const NET: NetId = NetId(1);
const LONG: Duration = Duration::from_secs(3_600);

/// A driver that has nothing to do unless it is told.
fn driver() -> (Driver<NodeAddr>, ManualClock) {
    let clock = ManualClock::new();
    let builder = LinkManager::builder(Config::default().tick(LONG)).clock(clock.clone());
    (builder.build().unwrap(), clock)
}

fn config() -> Config {
    // A capacity of 1: every send may have to wait for the writer.
    let capacities = mailbox::Config::try_from([1; 4]).unwrap().backpressure(Backpressure::Block);
    Config::default().tick(LONG).mailbox(capacities)
}

fn open(handle: &Handle<NodeAddr>) {
    let added = handle.add_net(NET, NetConfig::new().min_links(0)).unwrap();
    assert!(added.wait().is_ok());
    assert!(handle.set_net_active(NET, true).unwrap().wait().is_ok());
}

/// Checks that the count of a net is the number of addresses listed for it, and that the record of each
/// address agrees.
fn assert_coherent(snapshot: &LinksSnapshot<NodeAddr>) {
    let listed: Vec<_> = snapshot.addrs(NET, MemberFilter::All).collect();
    assert_eq!(listed.len(), snapshot.count(NET));
    for addr in listed {
        let link = snapshot.get(addr).unwrap();
        assert!(link.is_member(NET) && link.primary().is_some());
    }
}

/// A thread that saw a ticket complete finds the change in every snapshot taken afterwards, until the manager
/// is closed. Every accepted command ends.
#[test]
fn two_producers_a_reader_and_a_shutdown() {
    model(|| {
        let transport = |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| {};
        let builder = LinkManager::builder(config()).clock(ManualClock::new()).transport(transport);
        let manager = builder.spawn().unwrap();
        let handle = manager.handle();
        open(&handle);

        let producers: Vec<_> = (1..=2)
            .map(|node| {
                let (handle, links) = (manager.handle(), manager.links());
                spawn(move || {
                    let (addr, stream) = (NodeAddr(node), StreamId(node));
                    let Ok(added) = handle.add_stream(addr, stream, Direction::Downlink) else { return };
                    let Ok(added) = added.wait() else { return };
                    assert_eq!(added.outcome, Outcome::Done);
                    let snapshot = links.snapshot();
                    assert!(snapshot.version() >= added.version);
                    assert!(snapshot.nets().is_empty() || snapshot.get(&addr).is_some());

                    let Ok(joined) = handle.admit(NET, addr, stream) else { return };
                    let Ok(joined) = joined.wait() else { return };
                    assert_eq!(joined.outcome, Outcome::Done);
                    let snapshot = links.snapshot();
                    assert!(
                        snapshot.nets().is_empty()
                            || snapshot.get(&addr).is_some_and(|link| link.is_member(NET))
                    );
                })
            })
            .collect();

        let links = manager.links();
        let reader = spawn(move || {
            let mut reader = links.reader();
            let mut last = reader.snapshot().version();
            for _ in 0..4 {
                let snapshot = reader.snapshot();
                assert!(snapshot.version() >= last);
                last = snapshot.version();
                assert_coherent(snapshot);
            }
        });

        // The deadline of a model passes at once, so the report may lack an answer; the outcome is the same.
        let _ = manager.shutdown(LONG);
        assert!(producers.into_iter().all(|producer| producer.join().is_ok()));
        assert!(reader.join().is_ok());
    });
}

/// A task that runs a driver is polled only when it was woken, and applies every command of two threads.
#[test]
fn the_commands_of_two_threads_wake_a_driver() {
    model(|| {
        let (mut driver, clock) = driver();
        let producers: Vec<_> = (1..=2)
            .map(|node| {
                let handle = driver.handle();
                spawn(move || {
                    for net in [NetId(10 * node), NetId(10 * node + 1)] {
                        let ticket = handle.add_net(net, NetConfig::new()).unwrap();
                        assert!(ticket.wait().is_ok_and(|applied| applied.outcome == Outcome::Done));
                    }
                })
            })
            .collect();
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        let mut context = Context::from_waker(&waker);
        let links = driver.links();
        loop {
            let next = driver.poll_turn(&mut context, clock.now()).expect("the driver was shut down");
            if links.snapshot().nets().len() == 4 {
                break;
            }
            if next == clock.now() {
                continue;
            }
            flag.wait();
        }
        assert!(producers.into_iter().all(|producer| producer.join().is_ok()));
    });
}

/// A feed waits for publishes and for the end of the manager, as a thread or as a task, and misses neither: its
/// events join up to the last version.
fn follow_a_manager(next: fn(&mut LinksFeed<NodeAddr>) -> Option<LinksEvent<NodeAddr>>) {
    model(move || {
        let (mut driver, clock) = driver();
        let mut feed = driver.links().subscribe();
        let follower = spawn(move || {
            let (mut at, mut links) = (feed.version(), 0);
            while let Some(event) = next(&mut feed) {
                let diff = event.into_diff();
                assert_eq!(diff.from().version(), at);
                at = diff.to().version();
                for change in diff.links() {
                    match change {
                        Change::Inserted { .. } => links += 1,
                        Change::Removed { .. } => links -= 1,
                        Change::Updated { .. } => {}
                    }
                }
                assert_eq!(links, diff.to().len());
            }
            assert!(feed.is_closed());
            at
        });
        let handle = driver.handle();
        drop(handle.add_net(NET, NetConfig::new().min_links(0)).unwrap());
        for node in 1..=2 {
            drop(handle.create_link(NodeAddr(node), NET).unwrap());
            let _ = driver.run_once(clock.now());
        }
        let last = driver.shutdown(clock.now()).version;
        drop(driver);
        assert_eq!(follower.join().unwrap(), last);
    });
}

#[test]
fn a_links_feed_misses_no_version_and_ends_with_the_manager() {
    follow_a_manager(|feed| feed.events().next());
}

#[test]
fn a_links_feed_in_a_task_misses_no_version_and_ends_with_the_manager() {
    follow_a_manager(|feed| block_on(feed.next()));
}

/// Two tasks send reports to a driver whose lane has room for one, and one of them gives up a wait first. No
/// wake-up is lost: each report is applied.
#[test]
fn reports_of_tasks_wait_for_room() {
    model(|| {
        let clock = ManualClock::new();
        let lanes = mailbox::Config::try_from([1; 4]).unwrap();
        let config = Config::default().tick(LONG).mailbox(lanes);
        let mut driver = LinkManager::<NodeAddr>::builder(config).clock(clock.clone()).build().unwrap();
        let report = |node| Command::AddStream {
            addr: NodeAddr(node),
            stream: StreamId(node),
            direction: Direction::Downlink,
        };
        let tasks: Vec<_> = (1..=2)
            .map(|node| {
                let handle = driver.handle();
                spawn(move || {
                    let mut dropped = Box::pin(handle.submit_async(report(10 * node)));
                    let first = dropped.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    drop(dropped);
                    let ticket = block_on(handle.submit_async(report(node))).unwrap();
                    assert!(block_on(ticket).is_ok());
                    usize::from(first.is_ready())
                })
            })
            .collect();
        block_on(poll_fn(|context| {
            let links = driver.links();
            loop {
                let next = driver.poll_turn(context, clock.now()).expect("the driver was shut down");
                if [1, 2].iter().all(|node| links.snapshot().get(&NodeAddr(*node)).is_some()) {
                    return Poll::Ready(());
                }
                if next > clock.now() {
                    return Poll::Pending;
                }
            }
        }));
        let sent: usize = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        let _ = driver.run_once(clock.now());
        assert_eq!(driver.links().snapshot().len(), 2 + sent);
    });
}

/// Shutdown applies every command that was accepted and refuses every other one: no command is lost in
/// between.
#[test]
fn a_shutdown_applies_exactly_what_was_accepted() {
    model(|| {
        let (mut driver, clock) = driver();
        let producers: Vec<_> = (1..=2)
            .map(|node| {
                let handle = driver.handle();
                spawn(move || {
                    let mut accepted = 0;
                    for round in 0..2 {
                        let net = NetId(10 * node + round);
                        match handle.add_net(net, NetConfig::new()) {
                            Ok(ticket) => {
                                assert!(ticket.wait().is_ok_and(|applied| applied.outcome == Outcome::Done));
                                accepted += 1;
                            }
                            Err(error) => assert!(error.is_closed() || error.is_full()),
                        }
                    }
                    accepted
                })
            })
            .collect();
        let _ = driver.run_once(clock.now());
        let report = driver.shutdown(clock.now());
        let links = driver.links();
        drop(driver);
        let accepted: u64 = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
        assert_eq!(report.refused, 0);
        assert_eq!(links.snapshot().stats().commands(), accepted);
        assert!(links.snapshot().nets().is_empty());
    });
}

/// The effect wakes the transport, the callback of the transport uses the handle, and no threads wait for
/// each other in a cycle.
#[test]
fn a_callback_that_calls_back_into_the_handle_never_deadlocks() {
    model(|| {
        let (answered, answer) = ticket();
        let mut answered = Some(answered);
        let transport = move |effect: Effect<NodeAddr>, handle: &Handle<NodeAddr>| {
            if let Effect::Announce { addr, net, stream } = effect {
                let joined = handle.admit(net, addr, stream).unwrap();
                // A callback may wait for the writer, because the writer never waits for the transport.
                let joined = joined.wait();
                assert!(joined.is_ok_and(|applied| applied.outcome == Outcome::Done));
                if let Some(answered) = answered.take() {
                    let _ = answered.complete(());
                }
            }
        };
        let builder = LinkManager::builder(config()).clock(ManualClock::new()).transport(transport);
        let manager = builder.spawn().unwrap();
        let handle = manager.handle();
        open(&handle);
        let other = {
            let handle = manager.handle();
            spawn(move || {
                let _ = handle.add_stream(NodeAddr(2), StreamId(2), Direction::Downlink);
                let _ = handle.delete_stream(NodeAddr(2), StreamId(2));
            })
        };
        let _ = handle.add_stream(NodeAddr(1), StreamId(1), Direction::Downlink);
        handle.create_link(NodeAddr(1), NET).unwrap();
        assert_eq!(answer.wait(), Ok(()));
        assert!(other.join().is_ok());
        let snapshot = manager.links().snapshot();
        assert!(snapshot.count(NET) == 1);
        assert_coherent(&snapshot);
        let _ = manager.shutdown(LONG);
    });
}

/// Callbacks call the manager from two threads at once: the transport's thread and one of their own. Every
/// call is answered in every order of events, and the shutdown is clean.
#[test]
fn callbacks_call_from_two_threads_and_nobody_waits_for_ever() {
    model(|| {
        let (called, calling) = ticket();
        let mut called = Some(called);
        let transport = move |_: Effect<NodeAddr>, handle: &Handle<NodeAddr>| {
            let Some(called) = called.take() else { return };
            let own = handle.clone();
            let other = spawn(move || {
                let (addr, stream) = (NodeAddr(3), StreamId(3));
                let added = own.add_stream(addr, stream, Direction::Downlink).unwrap();
                let joined = own.admit(NET, addr, stream).unwrap();
                assert!(added.wait().is_ok() && joined.wait().is_ok());
                assert!(own.delete_link(addr).unwrap().wait().is_ok());
            });
            let created = handle.create_link(NodeAddr(4), NET).unwrap();
            let ticked = handle.wake_up().unwrap();
            assert!(handle.set_active(true).unwrap().wait().is_ok());
            assert!(created.wait().is_ok() && ticked.wait().is_ok());
            assert!(other.join().is_ok());
            let _ = called.complete(());
        };
        let builder = LinkManager::builder(config()).clock(ManualClock::new()).transport(transport);
        let manager = builder.spawn().unwrap();
        let (handle, links) = (manager.handle(), manager.links());
        open(&handle);
        handle.create_link(NodeAddr(1), NET).unwrap();
        // Its effects may arrive while the callback above is still running.
        let deleted = handle.delete_link(NodeAddr(1)).unwrap();
        assert!(deleted.wait().is_ok());
        assert_eq!(calling.wait(), Ok(()));
        assert_coherent(&links.snapshot());
        let _ = manager.shutdown(LONG);
    });
}

/// B11: different threads report the end of a stream and the accounting for it, in any order.
#[test]
fn accounting_for_a_stream_never_outlives_it() {
    model(|| {
        let transport = |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| {};
        let builder = LinkManager::builder(config()).clock(ManualClock::new()).transport(transport);
        let manager = builder.spawn().unwrap();
        let (handle, links) = (manager.handle(), manager.links());
        open(&handle);
        let (addr, old, new) = (NodeAddr(1), StreamId(1), StreamId(2));
        assert!(handle.add_stream(addr, old, Direction::Downlink).unwrap().wait().is_ok());
        let accounting = {
            let handle = handle.clone();
            spawn(move || handle.admit(NET, addr, old).unwrap().wait().unwrap())
        };
        // The stream ends and the node connects again with another one, for which there is no accounting.
        let deleted = handle.delete_stream(addr, old).unwrap();
        let added = handle.add_stream(addr, new, Direction::Downlink).unwrap();
        assert!(deleted.wait().is_ok() && added.wait().is_ok());
        let outcome = accounting.join().unwrap().outcome;
        assert!(matches!(outcome, Outcome::Done | Outcome::Stale));
        let snapshot = links.snapshot();
        assert_eq!(snapshot.count(NET), 0);
        assert_coherent(&snapshot);
        let _ = manager.shutdown(LONG);
    });
}

/// Dropping the manager is visible to its clients: every ticket ends, every call is refused, and no thread
/// hangs.
#[test]
fn a_dropped_manager_ends_every_ticket() {
    model(|| {
        let transport = |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| {};
        let builder = LinkManager::builder(config()).clock(ManualClock::new()).transport(transport);
        let manager = builder.spawn().unwrap();
        let stop = StdArc::new(AtomicBool::new(false));
        let producer = {
            let (handle, stop) = (manager.handle(), stop.clone());
            spawn(move || {
                let mut nets = 0;
                // Relaxed: the flag publishes no other data.
                while !stop.load(Ordering::Relaxed) && nets < 3 {
                    nets += 1;
                    match handle.add_net(NetId(nets), NetConfig::new()).map(Ticket::wait) {
                        Ok(Ok(_) | Err(CommandError::Closed)) | Err(_) => {}
                        Ok(Err(error)) => panic!("{error}"),
                    }
                }
            })
        };
        drop(manager);
        // Relaxed: the flag publishes no other data.
        stop.store(true, Ordering::Relaxed);
        assert!(producer.join().is_ok());
    });
}

/// A list is visible as a whole or not at all, and its ticket completes after its version.
#[test]
fn readers_see_all_of_a_list_or_nothing() {
    model(|| {
        let transport = |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| {};
        let builder = LinkManager::builder(config()).clock(ManualClock::new()).transport(transport);
        let manager = builder.spawn().unwrap();
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let (handle, links) = (manager.handle(), manager.links());
                spawn(move || {
                    let pair = [2 * producer + 1, 2 * producer + 2];
                    let list = pair.map(|node| Command::AddStream {
                        addr: NodeAddr(node),
                        stream: StreamId(node),
                        direction: Direction::Downlink,
                    });
                    let Ok(ticket) = handle.submit_all(list.to_vec()) else { return };
                    let Ok(applied) = ticket.wait() else { return };
                    assert_eq!(applied.into_outcomes(), Ok(vec![Outcome::Done; 2]));
                    let snapshot = links.snapshot();
                    assert!(
                        snapshot.is_empty()
                            || pair.iter().all(|node| snapshot.get(&NodeAddr(*node)).is_some())
                    );
                })
            })
            .collect();
        let links = manager.links();
        let reader = spawn(move || {
            for _ in 0..4 {
                let snapshot = links.snapshot();
                let has = |node| snapshot.get(&NodeAddr(node)).is_some();
                assert!(has(1) == has(2) && has(3) == has(4));
            }
        });
        let _ = manager.shutdown(LONG);
        assert!(producers.into_iter().all(|producer| producer.join().is_ok()));
        assert!(reader.join().is_ok());
    });
}
