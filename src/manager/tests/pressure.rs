//! Overload of the writer: accepted commands are not lost, refused ones are handed back and counted.
#![allow(clippy::disallowed_methods)] // Real threads, and no models.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;

use super::*;
use crate::link::addr::Addr;
use crate::mailbox::Priority;
use crate::mailbox::RecvTimeoutError;
use crate::mailbox::mailbox;
use crate::manager::run::meters::Meters;
use crate::manager::run::transport_worker::TransportWorker;
use crate::metrics::handle::Metrics;
use crate::ticket::Pool;

/// An address that is slow to hash on the writer's thread, but not on those of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slow(u64);

impl Hash for Slow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if std::thread::current().name() == Some("slow writer") {
            (0..2_000).for_each(|_| std::hint::spin_loop());
        }
        self.0.hash(state);
    }
}

impl Addr for Slow {
    fn is_blank(&self) -> bool {
        self.0 == 0
    }
}

const LANES: [usize; 4] = [2, 4, 4, 2];
const COMMANDS: u64 = 600;

/// The number of commands of one producer by their fate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fates {
    accepted: u64,
    refused: u64,
    applied: u64,
    shed: u64,
}

fn command(producer: u64, number: u64) -> Command<Slow> {
    let addr = Slow(producer * COMMANDS + number / 8 + 1);
    let stream = StreamId(addr.0);
    match number % 8 {
        0 => Command::AddStream { addr, stream, direction: Direction::Downlink },
        1 => Command::AccountLink { net: NET, addr, stream, accepted: true },
        2 => Command::CreateLink { addr, net: NET },
        3 => Command::WakeUp,
        4 => Command::SetEndpoint { addr, endpoint: endpoint() },
        5 => Command::CheckNets,
        6 => Command::DeleteStream { addr, stream },
        _ => Command::SetActive { active: true },
    }
}

/// Sends without pause, then waits for every ticket.
fn produce(handle: &Handle<Slow>, producer: u64) -> Fates {
    let (mut fates, mut tickets) = (Fates::default(), Vec::new());
    for command in (0..COMMANDS).map(|number| command(producer, number)) {
        match handle.submit(command.clone()) {
            Ok(ticket) => tickets.push((command.is_report(), ticket)),
            Err(error) => {
                assert!(error.is_full() && !command.is_report(), "{error:?}");
                assert_eq!(error.into_inner(), command);
                fates.refused += 1;
            }
        }
    }
    fates.accepted = tickets.len() as u64;
    for (is_report, ticket) in tickets {
        match ticket.wait_timeout(LONG).expect("an accepted command ends") {
            Err(CommandError::Shed) => {
                assert!(!is_report, "a report was shed");
                fates.shed += 1;
            }
            Err(CommandError::Closed) => panic!("an accepted command was lost"),
            Ok(_) | Err(_) => fates.applied += 1,
        }
    }
    fates
}

/// Two producers against a slow writer.
fn saturate(policy: Backpressure) -> Fates {
    let capacities = mailbox::Config::try_from(LANES).unwrap().backpressure(policy);
    let config = Config::default().name("slow writer").mailbox(capacities).batch(NonZeroUsize::MIN);
    let transport = |_: Effect<Slow>, _: &Handle<Slow>| {};
    let manager = LinkManager::builder(config).transport(transport).spawn().unwrap();
    let (metrics, handle) = (Metrics::new(&manager), manager.handle());
    handle.add_net(NET, NetConfig::new().min_links(0)).unwrap().wait().unwrap();
    handle.set_net_active(NET, true).unwrap().wait().unwrap();
    let before = metrics.collect();

    let producers = [0, 1].map(|producer| {
        let handle = handle.clone();
        sync::spawn(format!("producer {producer}"), move || produce(&handle, producer)).unwrap()
    });
    let mut fates = Fates::default();
    for producer in producers {
        let own = producer.join().unwrap();
        fates.accepted += own.accepted;
        fates.refused += own.refused;
        fates.applied += own.applied;
        fates.shed += own.shed;
    }
    assert_eq!(fates.accepted + fates.refused, 2 * COMMANDS);
    assert_eq!(fates.applied + fates.shed, fates.accepted);

    let after = metrics.collect();
    let lanes = Priority::ALL.map(|lane| after.lane(lane));
    assert_eq!(after.processed() - before.processed(), fates.applied);
    assert_eq!(lanes.iter().map(|lane| lane.refused).sum::<u64>(), fates.refused);
    assert_eq!(lanes.iter().map(|lane| lane.shed).sum::<u64>(), fates.shed);
    assert_eq!(after.error_count("shed"), fates.shed);
    // The queued commands, and with them the pending tickets, are bounded regardless of the load.
    for (lane, capacity) in lanes.iter().zip(LANES) {
        assert!(lane.queued_peak <= capacity as u64 && lane.queued == 0);
    }

    // A few more commands, of which the shutdown applies those that are still queued.
    let last: Vec<_> = (0..4).map(|net| handle.remove_net(NetId(100 + net))).collect();
    let accepted = last.iter().filter(|ticket| ticket.is_ok()).count() as u64;
    let report = manager.shutdown(LONG);
    assert!(report.is_clean(), "{report:?}");
    assert!(report.drain.unwrap().drained <= accepted);
    for ticket in last.into_iter().flatten() {
        assert!(matches!(ticket.wait(), Err(CommandError::UnknownNet(_))));
    }
    assert_eq!(metrics.collect().processed() - after.processed(), accepted);
    fates
}

#[test]
fn under_reject_everything_is_applied_or_handed_back() {
    let fates = saturate(Backpressure::Reject);
    assert!(fates.refused > 0 && fates.shed == 0, "{fates:?}");
}

#[test]
fn under_block_everything_is_applied() {
    let fates = saturate(Backpressure::Block);
    assert_eq!(fates.applied, 2 * COMMANDS);
}

#[test]
fn under_shed_lowest_everything_is_applied_shed_or_handed_back() {
    let fates = saturate(Backpressure::ShedLowest);
    assert!(fates.shed > 0 && fates.refused > 0, "{fates:?}");
}

fn driver(capacities: mailbox::Config, batch: usize) -> (Driver<NodeAddr>, ManualClock) {
    let clock = ManualClock::new();
    let config = Config::default().mailbox(capacities).batch(NonZeroUsize::new(batch).unwrap());
    (LinkManager::builder(config).clock(clock.clone()).build().unwrap(), clock)
}

/// Reports of the transport travel above the lane that is shed from, so a critical command never displaces a
/// report or a command of the host, only a tick.
#[test]
fn a_critical_command_sheds_ticks_and_nothing_else() {
    let capacities = mailbox::Config::try_from([1; 4]).unwrap().backpressure(Backpressure::ShedLowest);
    let (mut driver, clock) = driver(capacities.shed_from(Priority::High), 16);
    let handle = driver.handle();
    let stream = StreamId(1);
    let event = handle.add_stream(A, stream, Direction::Downlink).unwrap();
    let accounting = handle.admit(NET, A, stream).unwrap();
    let tick = handle.wake_up().unwrap();
    for _ in 0..2 {
        handle.set_active(true).unwrap();
    }
    assert_eq!(tick.wait(), Err(CommandError::Shed));
    assert!(handle.set_active(true).is_err_and(|error| error.is_full()));
    let _ = driver.run_once(clock.now());
    assert!(event.wait().is_ok());
    assert_eq!(accounting.wait(), Err(CommandError::UnknownNet(NET)));
}

#[test]
fn no_report_travels_in_the_lane_that_is_shed_from() {
    let (addr, net, stream, dial) = (A, NET, StreamId(1), crate::link::DialId(1));
    let reports = [
        Command::AddStream { addr, stream, direction: Direction::Uplink },
        Command::ReplaceStream { addr, old: stream, new: stream, direction: Direction::Uplink },
        Command::DeleteStream { addr, stream },
        Command::AccountLink { net, addr, stream, accepted: true },
        Command::SetEndpoint { addr, endpoint: endpoint() },
        Command::DialConnected { addr, dial },
        Command::DialFailed { addr, dial, last: true },
        Command::ResolveFailed { addr, resolve: ResolveId(1) },
    ];
    for report in reports {
        assert!(report.is_report() && report.priority() < Priority::Low, "{report:?}");
    }
    assert!(!Command::<NodeAddr>::WakeUp.is_report() && !Command::<NodeAddr>::CheckNets.is_report());
}

/// With the default limit of 32, one of any 35 consecutive commands comes from the low lane while one waits
/// there.
#[test]
fn the_low_lane_is_served_once_in_35_commands_under_a_flood_of_all_others() {
    let (mut driver, clock) = driver(mailbox::Config::new(), 1);
    let handle = driver.handle();
    let flood = || {
        handle.set_active(true).unwrap();
        handle.add_stream(A, StreamId(1), Direction::Downlink).unwrap();
        handle.remove_net(NET).unwrap();
    };
    (0..8).for_each(|_| flood());
    for round in 0..5 {
        let mut tick = handle.wake_up().unwrap();
        let mut commands = 0;
        while tick.try_take().is_none() {
            // Every other lane has a command whenever the writer takes one.
            flood();
            let _ = driver.run_once(clock.now());
            driver.effects().for_each(drop);
            commands += 1;
            assert!(commands <= 35, "the low lane was passed over {commands} times");
        }
        // In the first round the command waits for the longest possible time.
        assert!(round > 0 || commands == 35, "{commands}");
    }
}

#[test]
fn a_turn_applies_no_more_than_its_batch() {
    for batch in [1, 3, 16] {
        let (mut driver, clock) = driver(mailbox::Config::new(), batch);
        let (handle, metrics) = (driver.handle(), Metrics::for_driver(&driver));
        let commands = 3 * batch as u64 + 1;
        for node in 1..=commands {
            handle.add_stream(NodeAddr(node), StreamId(node), Direction::Downlink).unwrap();
        }
        let mut turns = 0;
        loop {
            let before = metrics.collect().processed();
            let next = driver.run_once(clock.now());
            turns += 1;
            let taken = metrics.collect().processed() - before;
            assert!(taken <= batch as u64, "{taken} in one turn");
            if metrics.report().processed() == commands {
                break;
            }
            // Commands are left, so the next turn is due at once.
            assert_eq!((taken, next), (batch as u64, Some(clock.now())));
        }
        assert_eq!(turns, 4);
    }
}

/// The transport wakes the writer once, when the outbox falls below its limit, and not while it is fuller.
#[test]
fn the_transport_wakes_the_writer_when_the_outbox_has_room_again() {
    let (sender, mut receiver) = mailbox(mailbox::Config::new());
    let tickets = Pool::new(NonZeroUsize::MIN);
    let (clock, meters) = (StdArc::new(ManualClock::new()), StdArc::new(Meters::new()));
    let handle = Handle::new(sender, clock, tickets, meters, false, Backpressure::Reject);
    let outbox = StdArc::new(SharedOutbox::new());
    outbox.push((1..=5).map(|node| Effect::Resolve { addr: NodeAddr(node), resolve: ResolveId(1) }));
    // The worker delivers the queued effects on this thread and then ends.
    outbox.end(None);
    let (waiting, woken) = (outbox.clone(), StdArc::new(sync::Mutex::new(&TEST_AUXILIARY, Vec::new())));
    let seen = woken.clone();
    let transport = move |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| {
        let is_woken = matches!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Woken));
        let left = waiting.len();
        seen.lock().push((left, is_woken));
    };
    TransportWorker { transport: Box::new(transport), handle, outbox, resume_below: 3 }.run();
    assert_eq!(*woken.lock(), [(4, false), (3, false), (2, true), (1, false), (0, false)]);
}
