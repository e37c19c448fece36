//! The manager with its threads, and the driver: the properties that the core alone does not have.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic is how these fail.

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::link::addr::NodeAddr;
use crate::link::net::{NetConfig, NetId};
use crate::link::record::Link;
use crate::link::retry::RetryPolicy;
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialState, ResolveId};
use crate::mailbox::{self, Backpressure, Priority};
use crate::manager::link_manager::LinkManager;
use crate::manager::model::command::{Applied, Command, CommandError, Outcome, SubmitError};
use crate::manager::model::config::Config;
use crate::manager::model::effect::Effect;
use crate::manager::read::snapshot::{Links, LinksSnapshot};
use crate::manager::run::driver::Driver;
use crate::manager::run::handle::Handle;
use crate::manager::run::message::Envelope;
use crate::manager::run::message::Message;
use crate::manager::run::outbox::shared::SharedOutbox;
use crate::manager::run::transport_worker::Transport;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::lock_order::TEST_AUXILIARY;
use crate::sync::{self, StdArc};
use crate::ticket::Ticket;

mod callbacks;
mod lists;
mod pressure;
mod waking;

const NET: NetId = NetId(1);
const A: NodeAddr = NodeAddr(1);
const B: NodeAddr = NodeAddr(2);
const LONG: Duration = Duration::from_secs(60);

fn ignore(_: Effect<NodeAddr>, _: &Handle<NodeAddr>) {}

fn spawn(config: Config, transport: impl Transport<NodeAddr>) -> LinkManager<NodeAddr> {
    LinkManager::builder(config).own_addr(NodeAddr(999)).transport(transport).spawn().unwrap()
}

fn open(handle: &Handle<NodeAddr>) {
    handle.add_net(NET, NetConfig::new().min_links(0)).unwrap().wait().unwrap();
    handle.set_net_active(NET, true).unwrap().wait().unwrap();
}

fn endpoint() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([192, 0, 2, 1], 7))
}

/// Blocks the writer in the middle of a command until the gate is opened.
struct Gate {
    entered: StdArc<AtomicBool>,
    released: StdArc<AtomicBool>,
}

impl Gate {
    fn open(&self) {
        self.released.store(true, Ordering::Release);
    }
}

/// A manager whose writer is blocked in its source of randomness. It has the net `NET` and the link `A`.
fn held_up(config: Config) -> (LinkManager<NodeAddr>, Gate) {
    let gate = Gate { entered: StdArc::default(), released: StdArc::default() };
    let (entered, released) = (gate.entered.clone(), gate.released.clone());
    let hold_up = move || {
        entered.store(true, Ordering::Release);
        while !released.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        0
    };
    let config = config.retry(RetryPolicy::exponential(Duration::from_secs(1), LONG));
    let manager = LinkManager::builder(config).random(hold_up).transport(ignore).spawn().unwrap();
    let handle = manager.handle();
    open(&handle);
    handle.create_link(A, NET).unwrap().wait().unwrap();
    handle.resolve_failed(A, ResolveId(1)).unwrap();
    while !gate.entered.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    (manager, gate)
}

mod driver {
    use super::*;

    fn driver(capacities: [usize; 4], policy: Backpressure) -> (Driver<NodeAddr>, ManualClock) {
        let clock = ManualClock::new();
        let capacities = mailbox::Config::try_from(capacities).unwrap().backpressure(policy);
        let config = Config::default().mailbox(capacities);
        let driver =
            LinkManager::builder(config).own_addr(NodeAddr(999)).clock(clock.clone()).build().unwrap();
        (driver, clock)
    }

    #[test]
    fn a_ticket_completes_with_the_version_that_contains_its_change() {
        let (mut driver, clock) = driver([4; 4], Backpressure::Reject);
        let (handle, links) = (driver.handle(), driver.links());
        let mut added = handle.add_net(NET, NetConfig::new()).unwrap();
        assert!(added.try_take().is_none());
        assert!(links.snapshot().nets().is_empty());
        let _ = driver.run_once(clock.now());
        let applied = added.wait().unwrap();
        assert_eq!(applied.outcome, Outcome::Done);
        let snapshot = links.snapshot();
        assert!(snapshot.version() >= applied.version && snapshot.net(NET).is_some());
        assert_eq!(snapshot.published_at(), clock.now());
    }

    #[test]
    fn a_batch_is_published_once() {
        let (mut driver, clock) = driver([16; 4], Backpressure::Reject);
        let handle = driver.handle();
        handle.add_net(NET, NetConfig::new()).unwrap();
        for node in 1..10 {
            handle.add_stream(NodeAddr(node), StreamId(node), Direction::Downlink).unwrap();
        }
        let before = driver.links().version();
        let _ = driver.run_once(clock.now());
        assert_eq!(driver.links().version().as_u64(), before.as_u64() + 1);
        // A turn without work publishes no version.
        let after = driver.links().version();
        let _ = driver.run_once(clock.now());
        assert_eq!(driver.links().version(), after);
    }

    #[test]
    fn an_expired_command_is_not_applied_and_says_so() {
        let (mut driver, clock) = driver([4; 4], Backpressure::Reject);
        let handle = driver.handle();
        let hasty = handle.with_deadline(Duration::from_secs(1));
        let late = hasty.add_net(NET, NetConfig::new()).unwrap();
        let patient = handle.add_net(NetId(2), NetConfig::new()).unwrap();
        clock.advance(Duration::from_secs(1));
        let in_time = hasty.add_net(NetId(3), NetConfig::new()).unwrap();
        let _ = driver.run_once(clock.now());
        assert_eq!(late.wait(), Err(CommandError::Expired));
        assert!(patient.wait().is_ok() && in_time.wait().is_ok());
        let snapshot = driver.links().snapshot();
        assert!(snapshot.net(NET).is_none());
        assert_eq!(snapshot.stats().expired(), 1);
    }

    #[test]
    fn what_a_transport_reports_never_expires() {
        let (mut driver, clock) = driver([4; 4], Backpressure::Reject);
        let hasty = driver.handle().with_deadline(Duration::from_secs(1));
        let stream = hasty.add_stream(A, StreamId(1), Direction::Downlink).unwrap();
        clock.advance(Duration::from_secs(2));
        let _ = driver.run_once(clock.now());
        assert!(stream.wait().is_ok());
    }

    #[test]
    fn a_full_lane_hands_the_command_back_whatever_the_policy() {
        for policy in [Backpressure::Reject, Backpressure::Block] {
            let (mut driver, clock) = driver([1, 1, 1, 1], policy);
            let handle = driver.handle();
            let first = handle.add_net(NET, NetConfig::new()).unwrap();
            let error = handle.create_link(A, NET).unwrap_err();
            assert!(error.is_full() && !error.is_closed());
            assert_eq!(error.into_inner(), Command::CreateLink { addr: A, net: NET });
            // Reports are refused as well: the calling thread may be the one that runs the driver.
            handle.add_stream(A, StreamId(1), Direction::Downlink).unwrap();
            assert!(
                handle.add_stream(B, StreamId(2), Direction::Downlink).is_err_and(|error| error.is_full())
            );
            let _ = driver.run_once(clock.now());
            assert!(first.wait().is_ok());
            assert!(handle.create_link(A, NET).is_ok());
        }
    }

    #[test]
    fn a_shed_command_learns_of_it() {
        let (mut driver, clock) = driver([1, 1, 1, 1], Backpressure::ShedLowest);
        let handle = driver.handle();
        let shed = handle.wake_up().unwrap();
        let kept = handle.add_net(NET, NetConfig::new()).unwrap();
        let urgent = handle.add_net(NetId(2), NetConfig::new()).unwrap();
        assert_eq!(shed.wait(), Err(CommandError::Shed));
        assert!(handle.add_net(NetId(3), NetConfig::new()).is_err_and(|error| error.is_full()));
        let _ = driver.run_once(clock.now());
        assert!(kept.wait().is_ok() && urgent.wait().is_ok());
    }

    #[test]
    fn shutdown_applies_what_was_accepted_and_refuses_the_rest() {
        let (mut driver, clock) = driver([4; 4], Backpressure::Reject);
        let handle = driver.handle();
        let accepted = handle.add_net(NET, NetConfig::new()).unwrap();
        let stream = handle.add_stream(A, StreamId(1), Direction::Downlink).unwrap();
        let report = driver.shutdown(clock.now());
        assert_eq!((report.drained, report.refused, report.links_closed), (2, 0, 1));
        assert!(accepted.wait().is_ok() && stream.wait().is_ok());
        assert!(handle.add_net(NET, NetConfig::new()).is_err_and(|error| error.is_closed()));
        assert_eq!(driver.run_once(clock.now()), None, "no further deadline is due");
        let effects: Vec<_> = driver.effects().collect();
        assert_eq!(effects, [Effect::CloseStreams { addr: A, streams: vec![StreamId(1)] }]);
        let snapshot = driver.links().snapshot();
        assert!(snapshot.is_empty() && snapshot.version() == report.version);
    }

    #[test]
    fn only_commands_are_counted_as_refused() {
        let (mut driver, clock) = driver([4; 4], Backpressure::Reject);
        let handle = driver.handle();
        let command = handle.add_net(NET, NetConfig::new()).unwrap();
        let measure = handle.measure_memory().unwrap();
        let report = driver.close(clock.now(), sync::deadline_after(Duration::ZERO));
        assert_eq!((report.drained, report.refused), (0, 1));
        assert_eq!(command.wait(), Err(CommandError::Closed));
        assert!(measure.wait().is_err());
        let closed = CommandError::Closed.code_index();
        assert_eq!(handle.meters().errors()[closed], 1);
    }

    #[test]
    fn a_wake_up_does_not_cut_the_drain_short() {
        let (mut driver, clock) = driver([4; 4], Backpressure::Reject);
        let handle = driver.handle();
        // A sender that has reserved its room but not sent yet, and a transport worker that wakes the writer.
        let permit = handle.sender().reserve(Priority::Normal).unwrap();
        handle.wake_writer();
        let (completion, ticket) = crate::ticket::ticket_with();
        let command = Command::AddNet { net: NET, config: NetConfig::new() };
        let deadline = sync::deadline_after(LONG);
        let created = clock.now();
        let closing = sync::spawn(String::from("closing"), move || driver.close(clock.now(), deadline));
        while !handle.is_closed() {
            std::hint::spin_loop();
        }
        // Long enough for a drain that gives up to end; a correct drain waits for the permit.
        for _ in 0..1_000 {
            std::hint::spin_loop();
        }
        let envelope = Envelope { command, completion, created, deadline: None };
        permit.send(Message::Command(envelope)).unwrap();
        assert!(ticket.wait().is_ok_and(|applied| applied.outcome == Outcome::Done));
        assert_eq!(closing.unwrap().join().unwrap().drained, 1);
    }

    #[test]
    fn a_dropped_driver_ends_every_ticket() {
        let (driver, _clock) = driver([4; 4], Backpressure::Reject);
        let (handle, links) = (driver.handle(), driver.links());
        let pending = handle.add_net(NET, NetConfig::new()).unwrap();
        drop(driver);
        assert_eq!(pending.wait(), Err(CommandError::Closed));
        assert!(handle.is_closed());
        assert!(handle.add_net(NET, NetConfig::new()).is_err_and(|error| error.is_closed()));
        assert!(links.snapshot().is_empty());
    }

    #[test]
    fn a_congested_outbox_holds_back_the_host_and_never_the_transport() {
        let clock = ManualClock::new();
        let config = Config::default().outbox(NonZeroUsize::MIN);
        let mut driver = LinkManager::builder(config).clock(clock.clone()).build().unwrap();
        let handle = driver.handle();
        handle.add_net(NET, NetConfig::new().min_links(1)).unwrap();
        handle.set_net_active(NET, true).unwrap();
        let _ = driver.run_once(clock.now());
        // One effect waits, which fills the outbox.
        let mut host = handle.create_link(A, NET).unwrap();
        let transport = handle.add_stream(B, StreamId(1), Direction::Downlink).unwrap();
        let next = driver.run_once(clock.now()).unwrap();
        assert!(next > clock.now(), "the writer waits until the outbox drains");
        assert!(transport.wait().is_ok());
        assert!(host.try_take().is_none());
        assert_eq!(driver.effects().count(), 1);
        let _ = driver.run_once(clock.now());
        assert!(host.wait().is_ok());
    }

    #[test]
    fn the_host_gets_a_batch_through_a_congested_outbox_now_and_then() {
        let clock = ManualClock::new();
        let config = Config::default().outbox(NonZeroUsize::MIN);
        let mut driver = LinkManager::builder(config).clock(clock.clone()).build().unwrap();
        let handle = driver.handle();
        handle.add_net(NET, NetConfig::new().min_links(1)).unwrap();
        handle.set_net_active(NET, true).unwrap();
        let _ = driver.run_once(clock.now());
        for node in 10..13 {
            let mut host = handle.create_link(NodeAddr(node), NET).unwrap();
            let next = driver.run_once(clock.now()).unwrap();
            assert!(next > clock.now() && next <= clock.now() + Duration::from_millis(100));
            assert!(host.try_take().is_none());
            clock.advance(next - clock.now());
            let _ = driver.run_once(clock.now());
            assert!(host.wait().is_ok());
        }
    }

    #[test]
    fn the_priority_of_reports_is_one_lane() {
        let stream = StreamId(1);
        for command in [
            Command::AddStream { addr: A, stream, direction: Direction::Uplink },
            Command::DeleteStream { addr: A, stream },
            Command::ResolveFailed { addr: A, resolve: ResolveId(1) },
        ] {
            assert_eq!(command.priority(), Priority::High);
        }
    }
}

mod threads {
    use super::*;

    #[test]
    fn a_shutdown_is_clean_and_reported() {
        let manager = spawn(Config::default(), ignore);
        let (handle, links) = (manager.handle(), manager.links());
        open(&handle);
        let ticket = handle.add_stream(A, StreamId(1), Direction::Downlink).unwrap();
        let report = manager.shutdown(LONG);
        assert!(report.is_clean(), "{report:?}");
        assert!(ticket.wait().is_ok());
        assert_eq!(report.drain.unwrap().links_closed, 1);
        assert!(links.snapshot().is_empty());
        assert!(handle.wake_up().is_err_and(|error| error.is_closed()));
    }

    #[test]
    fn a_dropped_manager_ends_and_its_links_stay_readable() {
        let manager = spawn(Config::default(), ignore);
        let (handle, links) = (manager.handle(), manager.links());
        open(&handle);
        let version = links.version();
        drop(manager);
        // The writer ends by itself; a command sent in the meantime is applied or refused, and never hangs.
        while !handle.is_closed() {
            let _ = handle.wake_up().map(Ticket::wait);
        }
        assert!(links.snapshot().version() >= version);
    }

    #[test]
    fn a_shutdown_that_gave_up_waiting_keeps_its_deadline() {
        let (manager, gate) = held_up(Config::default().batch(NonZeroUsize::new(2).unwrap()));
        let handle = manager.handle();
        let late: Vec<_> = (0..3).map(|_| handle.set_endpoint(A, endpoint()).unwrap()).collect();
        let report = manager.shutdown(Duration::from_millis(1));
        assert!(report.drain.is_none() && !report.writer_joined);
        gate.open();
        // The writer takes the request after the batch that held it up, and its deadline has passed.
        let closed = late.into_iter().map(Ticket::wait).filter(|end| *end == Err(CommandError::Closed));
        assert_eq!(closed.count(), 3);
    }

    #[test]
    fn effects_arrive_after_the_version_that_explains_them() {
        let (sender, receiver) = mpsc::channel();
        let manager = spawn(Config::default(), move |effect, _: &Handle<NodeAddr>| {
            let _ = sender.send(effect);
        });
        let (handle, links) = (manager.handle(), manager.links());
        open(&handle);
        handle.create_link(A, NET).unwrap();
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), Effect::Resolve { addr: A, resolve: ResolveId(1) });
        assert!(links.snapshot().get(&A).is_some_and(Link::is_resolving));
        assert!(manager.shutdown(LONG).is_clean());
    }

    #[test]
    fn a_panic_in_the_transport_is_answered_with_a_failure() {
        let (sender, receiver) = mpsc::channel();
        let config = Config::default().max_attempts(1);
        let manager = spawn(config, move |effect: Effect<NodeAddr>, _: &Handle<NodeAddr>| {
            let fatal =
                matches!(effect, Effect::Resolve { .. } | Effect::Dial { .. } | Effect::Announce { .. });
            let _ = sender.send(effect);
            assert!(!fatal, "the transport panics");
        });
        let (handle, links) = (manager.handle(), manager.links());
        open(&handle);
        let wait_for = |expected: &str| loop {
            let effect = receiver.recv_timeout(LONG).unwrap();
            if format!("{effect:?}").starts_with(expected) {
                return effect;
            }
        };
        // Resolve: the attempt is given up.
        handle.create_link(A, NET).unwrap();
        wait_for("Resolve");
        wait_for("CloseDialer");
        // Dial: the attempt is given up.
        handle.create_link(A, NET).unwrap();
        handle.set_endpoint(A, endpoint()).unwrap();
        wait_for("CloseDialer");
        // Announce: the net is refused, and the peer's stream stays open.
        handle.add_stream(B, StreamId(1), Direction::Downlink).unwrap().wait().unwrap();
        handle.create_link(B, NET).unwrap().wait().unwrap();
        wait_for("Announce");
        wait_for("Released");
        handle.wake_up().unwrap().wait().unwrap();
        let snapshot = links.snapshot();
        assert!(snapshot.get(&A).is_none());
        assert!(snapshot.get(&B).is_some_and(|link| link.nets().is_empty() && link.primary().is_some()));
        let report = manager.shutdown(LONG);
        assert!(report.is_clean(), "{report:?}");
        assert!(report.transport_panics >= 3);
    }

    #[test]
    fn a_transport_that_blocks_does_not_stall_the_writer() {
        let (release, blocked) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel();
        let manager = spawn(Config::default(), move |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| {
            let _ = entered.send(());
            let _ = blocked.recv();
        });
        let (handle, links) = (manager.handle(), manager.links());
        open(&handle);
        handle.create_link(A, NET).unwrap().wait().unwrap();
        inside.recv_timeout(LONG).unwrap();
        let add = |node| handle.add_stream(NodeAddr(node), StreamId(node), Direction::Downlink).unwrap();
        for ticket in (100..290).map(add).collect::<Vec<_>>() {
            ticket.wait().unwrap();
        }
        handle.create_link(B, NET).unwrap().wait().unwrap();
        assert_eq!(links.snapshot().len(), 192);
        // The writer ends while the transport is blocked; the remaining effects are delivered once it
        // continues.
        let closing = sync::spawn(String::from("closing"), move || manager.shutdown(LONG)).unwrap();
        while !links.snapshot().is_empty() {
            std::thread::yield_now();
        }
        drop(release);
        let report = closing.join().unwrap();
        assert!(report.is_clean(), "{report:?}");
    }

    #[test]
    fn a_transport_that_blocks_is_left_behind_by_the_shutdown() {
        let (release, blocked) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel();
        let manager = spawn(Config::default(), move |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| {
            let _ = entered.send(());
            let _ = blocked.recv();
        });
        let handle = manager.handle();
        open(&handle);
        for addr in [A, B] {
            handle.create_link(addr, NET).unwrap().wait().unwrap();
        }
        inside.recv_timeout(LONG).unwrap();
        let report = manager.shutdown(Duration::ZERO);
        assert!(!report.transport_joined && !report.is_clean(), "{report:?}");
        drop(release);
    }

    #[test]
    fn a_callback_may_use_everything() {
        let (sender, receiver) = mpsc::channel();
        let (links_in, links_out) = mpsc::channel::<Links<NodeAddr>>();
        let mut links = None;
        let manager = spawn(Config::default(), move |effect: Effect<NodeAddr>, handle: &Handle<NodeAddr>| {
            let links = links.get_or_insert_with(|| links_out.recv().unwrap());
            if let Effect::Resolve { addr, .. } = effect {
                assert!(links.snapshot().contains(&addr, NET));
                // A callback may wait for the writer, because the writer never waits for the transport.
                let applied = handle.set_endpoint(addr, endpoint()).unwrap().wait().unwrap();
                assert!(links.snapshot().version() >= applied.version);
                handle.create_link(B, NET).unwrap().wait().unwrap();
                sender.send(links.snapshot().get(&addr).map(Link::state)).unwrap();
            }
        });
        links_in.send(manager.links()).unwrap();
        open(&manager.handle());
        manager.handle().create_link(A, NET).unwrap();
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), Some(DialState::Connecting));
        let _ = manager.shutdown(LONG);
    }

    #[test]
    fn a_callback_that_waits_for_the_writer_gets_through_a_congested_outbox() {
        let (sender, receiver) = mpsc::channel();
        let config = Config::default().outbox(NonZeroUsize::MIN);
        let manager = spawn(config, move |effect: Effect<NodeAddr>, handle: &Handle<NodeAddr>| {
            if matches!(effect, Effect::Resolve { addr: A, .. }) {
                // The outbox fills up while this effect is being delivered.
                for node in 100..110 {
                    handle.add_stream(NodeAddr(node), StreamId(node), Direction::Uplink).unwrap();
                }
                let urgent = handle.add_stream(B, StreamId(1), Direction::Uplink).unwrap();
                assert_eq!(urgent.wait(), Err(CommandError::UnknownLink));
                sender.send(handle.create_link(B, NET).unwrap().wait()).unwrap();
            }
        });
        let handle = manager.handle();
        open(&handle);
        handle.create_link(A, NET).unwrap();
        assert!(receiver.recv_timeout(LONG).unwrap().is_ok());
        assert!(manager.shutdown(LONG).is_clean());
    }

    #[test]
    fn a_panic_in_a_ticket_callback_leaves_the_writer_alive() {
        let (manager, gate) = held_up(Config::default());
        let (handle, links) = (manager.handle(), manager.links());
        let (sender, receiver) = mpsc::channel();
        // The writer is blocked, so the callback is registered before the ticket completes: a callback that
        // is registered later runs, and panics, on the registering thread.
        handle.add_net(NetId(2), NetConfig::new()).unwrap().on_complete(move |applied| {
            sender.send(applied.is_ok()).unwrap();
            panic!("panic in a ticket callback");
        });
        gate.open();
        assert!(receiver.recv_timeout(LONG).unwrap());
        assert!(handle.set_net_active(NetId(2), true).unwrap().wait().is_ok());
        assert_eq!(links.snapshot().stats().panics(), 1);
        assert!(manager.shutdown(LONG).is_clean());
    }

    #[test]
    fn a_manager_needs_a_transport_and_a_valid_configuration() {
        let error = LinkManager::<NodeAddr>::builder(Config::default()).spawn().unwrap_err();
        assert!(matches!(error, SpawnError::NoTransport));
        assert!(error.to_string().contains("transport"));
        let error =
            LinkManager::builder(Config::default().max_links(0)).transport(ignore).spawn().unwrap_err();
        assert!(matches!(error, SpawnError::Config(_)));
        assert!(error.to_string().contains("max_links"));
    }

    #[test]
    fn handles_and_links_cross_threads() {
        fn crosses<T: Send + Sync + Clone + 'static>() {}
        fn moves<T: Send + 'static>() {}
        crosses::<Handle<NodeAddr>>();
        crosses::<Links<NodeAddr>>();
        crosses::<LinksSnapshot<NodeAddr>>();
        moves::<LinksReader<NodeAddr>>();
        moves::<LinkManager<NodeAddr>>();
        moves::<Driver<NodeAddr>>();
    }
}
