//! Every public call from inside every callback of the transport, from two threads at once.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Real threads, and no models.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, OnceLock};

use super::*;
use crate::clock::MonotonicClock;
use crate::link::{DialId, ResolveId};
use crate::manager::MemberFilter;
use crate::metrics::collector::MetricsCollector;
use crate::metrics::handle::Metrics;

const HOST: NetId = NetId(7);

/// The values that a callback can use besides its handle.
struct Reach {
    links: Links<NodeAddr>,
    metrics: Metrics<NodeAddr>,
    collector: MetricsCollector,
}

/// Makes every public call and waits for every answer. Uses addresses of its own.
fn call_everything(handle: &Handle<NodeAddr>, reach: &Reach, thread: u64) {
    let (addr, stream, dial) = (NodeAddr(100 + thread), StreamId(100 + thread), DialId(u64::MAX));
    let tickets = [
        handle.add_net(HOST, NetConfig::new().min_links(0)),
        handle.set_net_active(HOST, true),
        handle.set_active(true),
        handle.create_link(addr, HOST),
        handle.set_endpoint(addr, endpoint()),
        handle.resolve_failed(addr, ResolveId(u64::MAX)),
        handle.add_stream(addr, stream, Direction::Downlink),
        handle.replace_stream(addr, stream, StreamId(stream.0 + 100), Direction::Downlink),
        handle.admit(HOST, addr, StreamId(stream.0 + 100)),
        handle.delete_stream(addr, StreamId(stream.0 + 100)),
        handle.dial_connected(addr, dial),
        handle.dial_failed(addr, dial, true),
        handle.check_nets(),
        handle.wake_up(),
        handle.with_deadline(LONG).submit(Command::WakeUp),
        handle.delete_link(addr),
        handle.remove_net(HOST),
    ];
    let memory = handle.measure_memory().unwrap();
    let mut last = Default::default();
    for ticket in tickets {
        // The outcome of each call depends on concurrent calls of the other thread.
        if let Ok(applied) = ticket.unwrap().wait_timeout(LONG).expect("the writer still runs") {
            last = applied.version;
        }
    }
    assert!(memory.wait().unwrap().total_bytes() > 0);
    assert!(!handle.is_closed());

    let Reach { links, metrics, collector } = reach;
    let snapshot = links.wait_for(last, LONG).unwrap();
    assert!(
        snapshot.version() >= last && links.version() >= last && links.reader().snapshot().version() >= last
    );
    assert_coherent(&snapshot);
    assert!(snapshot.published_at() <= MonotonicClock.now());
    let _ = (snapshot.needed(HOST), snapshot.ignored(HOST, snapshot.published_at()).count());
    let report = metrics.collect();
    assert!(report.version() >= last && metrics.report().version() >= last);
    assert!(metrics.queue_wait().count() > 0 && metrics.processing().count() > 0);
    collector.collect_now();
}

fn assert_coherent(snapshot: &LinksSnapshot<NodeAddr>) {
    let stats = snapshot.stats();
    assert_eq!(snapshot.len() as u64, stats.links_created() - stats.links_deleted());
    for net in snapshot.nets() {
        let members: Vec<_> = snapshot.addrs(net.id(), MemberFilter::All).collect();
        assert_eq!(members.len(), snapshot.count(net.id()));
        for addr in members {
            let link = snapshot.get(addr).unwrap();
            assert!(link.is_member(net.id()) && link.primary().is_some());
        }
    }
}

/// Provokes an effect of each kind for one node, one after the other: an effect that is still waiting for the
/// transport may be coalesced with a later one.
fn provoke(handle: &Handle<NodeAddr>, handled: &mpsc::Receiver<Effect<NodeAddr>>) {
    let until = |name: &str| loop {
        let effect = handled.recv_timeout(LONG);
        let effect = effect.unwrap_or_else(|_| panic!("no effect of the kind {name}"));
        if format!("{effect:?}").starts_with(name) && effect.addr().is_none_or(|addr| *addr == A) {
            return effect;
        }
    };
    let done = |ticket: Result<Ticket<Applied, CommandError>, SubmitError<NodeAddr>>| {
        ticket.unwrap().wait_timeout(LONG).expect("the writer still runs").unwrap().outcome
    };
    done(handle.add_net(NET, NetConfig::new().min_links(1)));
    done(handle.set_net_active(NET, true));
    until("RequestLinks");
    assert_eq!(done(handle.create_link(A, NET)), Outcome::Created);
    until("Resolve");
    let Effect::Dial { dial, .. } = until("Dial") else { unreachable!() };
    assert_eq!(done(handle.add_stream(A, StreamId(1), Direction::Uplink)), Outcome::Done);
    until("Announce");
    until("LinkCountChanged");
    assert_eq!(done(handle.dial_connected(A, dial)), Outcome::Done);
    assert_eq!(done(handle.dial_failed(A, dial, false)), Outcome::Done);
    until("LinkError");
    // The peer's stream replaces the stream of this node as the primary one.
    assert_eq!(done(handle.add_stream(A, StreamId(2), Direction::Downlink)), Outcome::Done);
    assert_eq!(done(handle.add_stream(A, StreamId(3), Direction::Uplink)), Outcome::Spare);
    assert_eq!(done(handle.replace_stream(A, StreamId(2), StreamId(3), Direction::Uplink)), Outcome::Done);
    assert_eq!(done(handle.replace_stream(A, StreamId(3), StreamId(4), Direction::Downlink)), Outcome::Done);
    until("CancelDial");
    assert_eq!(done(handle.refuse(NET, A, StreamId(4))), Outcome::Done);
    until("Released");
    until("CloseDialer");
    assert_eq!(done(handle.delete_link(A)), Outcome::Done);
    until("CloseStreams");
}

#[test]
fn every_call_from_every_callback_from_two_threads() {
    const KINDS: usize = 10;
    let entered: Arc<Mutex<HashSet<Discriminant<Effect<NodeAddr>>>>> = Arc::default();
    let reach: Arc<OnceLock<Reach>> = Arc::default();
    let (sender, handled) = mpsc::channel();
    let (seen, within) = (entered.clone(), reach.clone());
    let manager = spawn(Config::default(), move |effect: Effect<NodeAddr>, handle: &Handle<NodeAddr>| {
        if seen.lock().unwrap().insert(discriminant(&effect)) {
            let reach = within.wait();
            std::thread::scope(|scope| {
                let other = scope.spawn(|| call_everything(handle, reach, 1));
                call_everything(handle, reach, 2);
                other.join().unwrap();
            });
        }
        match effect {
            Effect::Resolve { addr, .. } if addr == A => _ = handle.set_endpoint(addr, endpoint()).unwrap(),
            Effect::Announce { addr, net, stream } if addr == A => {
                _ = handle.admit(net, addr, stream).unwrap();
            }
            _ => {}
        }
        // No receiver listens once every kind of effect has been provoked.
        let _ = sender.send(effect);
    });
    let metrics = Metrics::new(&manager);
    let collector = MetricsCollector::start("metrics", metrics.clone(), Duration::MAX, |_| {}).unwrap();
    assert!(reach.set(Reach { links: manager.links(), metrics, collector }).is_ok());
    let (handle, links) = (manager.handle(), manager.links());
    provoke(&handle, &handled);
    assert_eq!(entered.lock().unwrap().len(), KINDS);
    let snapshot = links.snapshot();
    assert_coherent(&snapshot);
    assert!(snapshot.get(&A).is_none_or(|link| link.nets().is_empty()));
    let report = manager.shutdown(LONG);
    assert!(report.is_clean() && report.transport_panics == 0, "{report:?}");
}

/// A callback may even shut the manager down: it does not wait for its own thread, as the report shows.
#[test]
fn a_callback_may_shut_its_manager_down() {
    let own: Arc<Mutex<Option<LinkManager<NodeAddr>>>> = Arc::default();
    let (sender, reports) = mpsc::channel();
    let taken = own.clone();
    let manager = spawn(Config::default(), move |effect: Effect<NodeAddr>, _: &Handle<NodeAddr>| {
        if matches!(effect, Effect::RequestLinks { .. }) {
            let manager = taken.lock().unwrap().take().unwrap();
            sender.send(manager.shutdown(LONG)).unwrap();
        }
    });
    let handle = manager.handle();
    *own.lock().unwrap() = Some(manager);
    handle.add_net(NET, NetConfig::new().min_links(1)).unwrap();
    handle.set_net_active(NET, true).unwrap();
    let report = reports.recv_timeout(LONG).unwrap();
    assert!(report.writer_joined && !report.transport_joined, "{report:?}");
    assert!(handle.is_closed());
}

/// On the writer's thread the shutdown waits for no thread: the writer ends after the callback has returned.
#[test]
fn a_callback_of_a_ticket_may_shut_its_manager_down() {
    let (manager, gate) = held_up(Config::default());
    let (handle, links) = (manager.handle(), manager.links());
    let (sender, reports) = mpsc::channel();
    handle.wake_up().unwrap().on_complete(move |_| sender.send(manager.shutdown(LONG)).unwrap());
    gate.open();
    let report = reports.recv_timeout(LONG).expect("the shutdown does not wait for its own thread");
    assert!(report.drain.is_none() && !report.writer_joined && !report.transport_joined, "{report:?}");
    while !links.snapshot().is_empty() || !handle.is_closed() {
        std::thread::yield_now();
    }
}

/// The request does not pass through the mailbox, so a full lane cannot lose it.
#[test]
fn a_callback_may_shut_its_manager_down_while_a_lane_is_full() {
    let capacities = mailbox::Config::try_from([1, 16, 16, 16]).unwrap();
    let (manager, gate) = held_up(Config::default().mailbox(capacities));
    let (handle, links) = (manager.handle(), manager.links());
    let (sender, reports) = mpsc::channel();
    let own = handle.clone();
    handle.wake_up().unwrap().on_complete(move |_| {
        own.set_active(true).unwrap();
        assert!(own.set_active(true).is_err(), "the lane is full");
        sender.send(manager.shutdown(LONG)).unwrap();
    });
    gate.open();
    assert!(reports.recv_timeout(LONG).unwrap().drain.is_none());
    while !links.snapshot().is_empty() || !handle.is_closed() {
        std::thread::yield_now();
    }
}
