#![allow(clippy::unwrap_used)] // These tests fail by panicking.

mod drain;
mod fairness;
mod faults;
mod figures;
mod reference;
mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use super::close::Closed;
use super::run::Progress;
use super::*;
use crate::cleanup::config::{Overflow, Workers};
use crate::cleanup::sink::{DeadLetter, DeadReason, Outcome};
use crate::cleanup::transitions::Change;
use crate::cleanup::worker::CALM;
use crate::clock::ManualClock;
use crate::sync::atomic::AtomicBool;
use crate::sync::lock_order::TEST_AUXILIARY;
use crate::table::shared;

/// A tenant; a clone of a poisoned one panics while the flag is set.
#[derive(Debug, PartialEq, Eq, Hash)]
struct App(u8);

static POISON: AtomicBool = AtomicBool::new(false);

impl Clone for App {
    fn clone(&self) -> Self {
        // Relaxed: set by the same thread.
        assert!(self.0 != 255 || !POISON.load(Ordering::Relaxed), "a poisoned app");
        Self(self.0)
    }
}

#[derive(Clone, Debug)]
struct Peer {
    app: StdArc<App>,
    channels: BTreeSet<u8>,
}

impl Entry for Peer {
    type App = App;
    type Group = (u8, u8);

    fn app(&self) -> &App {
        &self.app
    }

    fn groups(&self, visit: &mut dyn FnMut((u8, u8))) {
        self.channels.iter().for_each(|channel| visit((self.app.0, *channel)));
    }
}

fn peer(app: u8, channels: &[u8]) -> Peer {
    Peer { app: StdArc::new(App(app)), channels: channels.iter().copied().collect() }
}

type Seen = StdArc<Mutex<Vec<(u8, Change)>>>;

struct Recorder(Seen);

impl EventSink<App, Event<(u8, u8)>> for Recorder {
    fn deliver(&self, app: &App, events: &[Event<(u8, u8)>]) -> Vec<Outcome> {
        assert!(events.iter().all(|event| event.group.0 == app.0), "grouped by app");
        self.0.lock().extend(events.iter().map(|event| (event.group.1, event.change)));
        vec![Outcome::Delivered; events.len()]
    }

    fn dead_letter(&self, letter: DeadLetter<App, Event<(u8, u8)>>) {
        assert_eq!(letter.reason, DeadReason::Closed, "lost: {letter:?}");
    }
}

/// Counts the resources that were told of their end.
#[derive(Clone)]
struct Counted(StdArc<AtomicU64>);

impl Resources for Counted {
    fn closed(&mut self, _: Cause) {
        // Relaxed: a counter.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Rig {
    cleanup: Cleanup<Peer, Counted>,
    driver: shared::Driver<ConnectionId, Peer, Groups<Peer>>,
    table: Table<ConnectionId, Peer, Groups<Peer>>,
    clock: ManualClock,
    seen: Seen,
    ended: StdArc<AtomicU64>,
}

impl Rig {
    fn new(config: Config) -> Self {
        let (writer, table) = Cleanup::<Peer, Counted>::table_builder().build();
        let (writer, driver) = SharedWriter::new(writer, shared::Config::new());
        let (clock, seen) = (ManualClock::new(), StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new())));
        let sink = Recorder(seen.clone());
        let cleanup = Cleanup::builder()
            .config(config)
            .max_connections(512)
            .clock(clock.clone())
            .build(writer, sink)
            .unwrap();
        Self { cleanup, driver, table, clock, seen, ended: StdArc::new(AtomicU64::new(0)) }
    }

    fn turn(&mut self) {
        while self.driver.turn() == shared::Turn::More {}
    }

    fn open(&mut self, peer: Peer) -> ConnectionId {
        let ticket = self.cleanup.open(peer, None, Counted(self.ended.clone())).unwrap();
        self.turn();
        ticket.wait().unwrap().detach()
    }

    fn update(&mut self, id: ConnectionId, change: impl FnOnce(&mut Peer) + Send + 'static) -> bool {
        let ticket = self.cleanup.update(id, change).unwrap();
        self.turn();
        ticket.wait().unwrap().is_some()
    }

    /// Takes steps in which no connection is opened, until batches are large.
    fn calm(&mut self) {
        for worker in 0..self.cleanup.workers() {
            for _ in 0..=CALM {
                assert_eq!(self.cleanup.run_batch(worker), Progress::Idle);
            }
        }
    }

    /// Runs everything that is due.
    fn run(&mut self) {
        loop {
            let mut is_idle = true;
            for worker in 0..self.cleanup.workers() {
                is_idle &= !matches!(self.cleanup.run_batch(worker), Progress::Cleaned(_));
            }
            self.turn();
            while self.cleanup.run_sink() {
                is_idle = false;
            }
            if is_idle {
                return;
            }
        }
    }

    fn seen(&self) -> Vec<(u8, Change)> {
        std::mem::take(&mut *self.seen.lock())
    }

    fn check_empty(&self) {
        let stats = self.cleanup.stats();
        assert!(stats.adds_up(), "{stats:?}");
        assert_eq!((stats.queued, stats.deferred), (0, 0), "{stats:?}");
        // Relaxed: all have been counted by this thread.
        assert_eq!(self.ended.load(Ordering::Relaxed), stats.submitted, "told once");
        assert_eq!(StdArc::strong_count(&self.ended), 1, "all resources were dropped");
        assert_eq!((self.table.snapshot().len(), self.cleanup.connections()), (0, 0));
        assert_eq!(self.table.snapshot().index().groups().count(), 0);
    }
}

fn config() -> Config {
    Config { workers: Workers::Fixed(NonZeroUsize::MIN), event_delay: Duration::ZERO, ..Config::default() }
}

#[test]
fn d3_n5_a_batch_is_one_version_and_each_emptied_group_one_event() {
    let mut rig = Rig::new(config());
    let ids: Vec<_> = (0..50).map(|_| rig.open(peer(1, &[1, 2]))).collect();
    rig.run();
    rig.calm();
    assert_eq!(rig.seen(), [(1, Change::Occupied), (2, Change::Occupied)]);
    let before = rig.table.version().as_u64();
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    assert_eq!(rig.cleanup.stats().queued, 50);
    rig.run();
    assert_eq!(rig.table.version().as_u64(), before + 1);
    assert_eq!(rig.seen(), [(1, Change::Vacated), (2, Change::Vacated)]);
    rig.check_empty();
}

#[test]
fn r1_each_outcome_of_a_close_has_a_name() {
    let mut rig =
        Rig::new(Config { capacity: 1, batch_max: 1, inline_max: NonZeroUsize::new(1), ..config() });
    let ids = [(); 4].map(|()| rig.open(peer(1, &[1])));
    assert_eq!(rig.cleanup.try_close(ids[0], Cause::Closed), Closed::Queued);
    assert_eq!(rig.cleanup.close(ids[0], Cause::Closed), Closed::AlreadyClosing);
    assert_eq!(rig.cleanup.try_close(ids[1], Cause::Closed), Closed::Full);
    assert!(rig.cleanup.shared.slots.is_open(ids[1]), "a refusal changes nothing");
    assert_eq!(rig.cleanup.close(ids[1], Cause::Closed), Closed::RanInline);
    assert_eq!(
        rig.cleanup.close(ids[2], Cause::Closed),
        Closed::Deferred,
        "the one permit is in use until the turn"
    );
    assert_eq!(rig.cleanup.stats().deferred, 1);
}

#[test]
fn d1_what_no_queue_takes_is_swept() {
    let mut rig = Rig::new(Config { capacity: 1, batch_max: 1, overflow: Overflow::Defer, ..config() });
    let ids = [(); 3].map(|()| rig.open(peer(1, &[1])));
    let closed = ids.map(|id| rig.cleanup.close(id, Cause::Lost));
    assert_eq!(closed, [Closed::Queued, Closed::Deferred, Closed::Deferred]);
    rig.run();
    assert_eq!((rig.cleanup.stats().done, rig.cleanup.sweep()), (1, 0), "not old enough");
    rig.clock.advance(Duration::from_secs(5));
    let swept: usize = (0..128).map(|_| rig.cleanup.sweep()).sum();
    let stats = rig.cleanup.stats();
    assert_eq!((swept, stats.queued, stats.deferred), (2, 2, 0));
    rig.run();
    rig.check_empty();
    assert_eq!(rig.cleanup.stats().swept, 2);
}

#[test]
fn r15_a_late_subscribe_leaves_no_trace() {
    let mut rig = Rig::new(config());
    let id = rig.open(peer(1, &[]));
    assert!(rig.update(id, |peer| {
        peer.channels.insert(3);
    }));
    assert_eq!(rig.cleanup.close(id, Cause::Lost), Closed::Queued);
    // Before and after the removal.
    assert!(!rig.update(id, |peer| {
        peer.channels.insert(4);
    }));
    rig.run();
    assert!(!rig.update(id, |peer| {
        peer.channels.insert(5);
    }));
    assert_eq!(rig.cleanup.close(id, Cause::Lost), Closed::NotFound);
    rig.run();
    rig.check_empty();
    assert_eq!(rig.seen(), [(3, Change::Occupied), (3, Change::Vacated)]);
}

#[test]
fn r11_a_return_within_the_grace_is_no_event() {
    let mut rig = Rig::new(Config { event_delay: Duration::from_secs(3), ..config() });
    let id = rig.open(peer(1, &[1]));
    rig.run();
    assert_eq!(rig.seen(), [(1, Change::Occupied)]);
    rig.cleanup.close(id, Cause::Lost);
    rig.run();
    assert_eq!(rig.cleanup.pending_events(), (1, 0));
    rig.clock.advance(Duration::from_millis(2999));
    let id = rig.open(peer(1, &[1]));
    rig.clock.advance(Duration::from_secs(9));
    rig.run();
    assert_eq!((rig.seen(), rig.cleanup.next_event()), (vec![], None));
    rig.cleanup.close(id, Cause::Killed);
    rig.run();
    assert_eq!(rig.seen(), [(1, Change::Vacated)]);
    rig.check_empty();
}

#[test]
fn r13_a_connection_whose_removal_panics_is_isolated() {
    let mut rig = Rig::new(config());
    let ids = [1, 255, 2].map(|app| rig.open(peer(app, &[app])));
    rig.run();
    rig.seen();
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    // Relaxed, here and below: read by this thread.
    POISON.store(true, Ordering::Relaxed);
    for _ in 0..9 {
        let _ = rig.cleanup.run_batch(0);
        rig.turn();
    }
    POISON.store(false, Ordering::Relaxed);
    rig.run();
    let stats = rig.cleanup.stats();
    assert_eq!((stats.done, stats.failed), (2, 1));
    let mut seen = rig.seen();
    seen.sort_unstable_by_key(|(channel, _)| *channel);
    assert_eq!(seen, [(1, Change::Vacated), (2, Change::Vacated)]);
    rig.check_empty();
}

#[test]
fn r16_n2_refusals_open_the_breaker_and_nothing_is_lost() {
    let mut rig = Rig::new(Config {
        capacity: 1,
        batch_max: 1,
        breaker_failures: 2,
        inline_max: NonZeroUsize::new(9),
        ..config()
    });
    let ids: Vec<_> = (0..8).map(|_| rig.open(peer(1, &[1]))).collect();
    let closed: Vec<_> = ids.iter().map(|id| rig.cleanup.close(*id, Cause::Lost)).collect();
    assert_eq!(closed[0], Closed::Queued);
    assert!(closed[1..].iter().all(|closed| *closed == Closed::RanInline), "{closed:?}");
    assert_eq!(rig.cleanup.stats().breaker_opens, 1);
    assert_eq!(rig.cleanup.stats().breaker_refused, 5, "the queue was not asked");
    rig.run();
    rig.check_empty();
}

#[test]
fn r17d_the_pressure_follows_the_queue() {
    let mut rig = Rig::new(Config { capacity: 10, batch_max: 10, ..config() });
    let ids: Vec<_> = (0..5).map(|_| rig.open(peer(1, &[1]))).collect();
    assert!(rig.cleanup.pressure() < 1e-9);
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    assert!((rig.cleanup.pressure() - 0.5).abs() < 1e-9);
    rig.clock.advance(Duration::from_millis(900));
    assert!((rig.cleanup.pressure() - 0.9).abs() < 1e-9);
    rig.run();
    assert!(rig.cleanup.pressure() < 1e-9);
}

/// The events of each group of one app alternate, from Occupied to Vacated.
#[test]
fn r10_the_events_of_the_sink_alternate() {
    let mut rig = Rig::new(config());
    for round in 0..20_u8 {
        let ids = [(); 3].map(|()| rig.open(peer(1, &[round % 3, 7])));
        ids.iter().for_each(|id| {
            rig.cleanup.close(*id, Cause::Killed);
        });
        rig.run();
    }
    let mut last: BTreeMap<u8, Change> = BTreeMap::new();
    let seen = rig.seen();
    assert_eq!(seen.len(), 80);
    for (channel, change) in seen {
        let before = last.insert(channel, change).unwrap_or(Change::Vacated);
        assert_ne!(before, change, "channel {channel}");
    }
    assert!(last.into_values().all(|change| change == Change::Vacated));
    rig.check_empty();
}
