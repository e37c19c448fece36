//! The memory of a cleanup pipeline: connections that have come and gone leave nothing behind, and tasks are small.
//!
//! With 20,000 connections; with a million: `cargo test --release --test cleanup_memory -- --ignored`.
#![allow(clippy::unwrap_used)] // A panic fails the test.

use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use switchboard::SharedWriter;
use switchboard::cleanup::{
    Cause, Cleanup, Closed, Config, ConnectionId, Entry, Event, EventSink, Groups, Outcome, Progress, Workers,
};
use switchboard::table::shared::{self, Driver, Turn};

const SOME: u32 = 20_000;
const MILLION: u32 = 1_000_000;
const ALIVE: u32 = 64;

#[derive(Clone)]
struct Peer([u32; 3]);

impl Entry for Peer {
    type App = u32;
    type Group = u32;

    fn app(&self) -> &u32 {
        &self.0[0]
    }

    fn groups(&self, visit: &mut dyn FnMut(u32)) {
        self.0[1..].iter().for_each(|group| visit(*group));
    }
}

struct Null;

impl EventSink<u32, Event<u32>> for Null {
    fn deliver(&self, _: &u32, events: &[Event<u32>]) -> Vec<Outcome> {
        vec![Outcome::Delivered; events.len()]
    }
}

struct Rig {
    cleanup: Cleanup<Peer>,
    driver: Driver<ConnectionId, Peer, Groups<Peer>>,
}

fn rig(max: u32, capacity: usize) -> Rig {
    let mut config = Config::default();
    config.workers = Workers::Fixed(std::num::NonZeroUsize::MIN);
    config.capacity = capacity;
    config.event_delay = Duration::ZERO;
    let (writer, _) = Cleanup::<Peer>::table_builder().build();
    let (writer, driver) = SharedWriter::new(writer, shared::Config::new());
    let cleanup = Cleanup::builder().config(config).max_connections(max).build(writer, Null).unwrap();
    Rig { cleanup, driver }
}

impl Rig {
    fn turn(&mut self) {
        while self.driver.turn() == Turn::More {}
    }

    /// Opens some connections, in channels of their own and in one that all share, and closes them.
    fn round(&mut self, first: u32) {
        let peers = (first..first + ALIVE).map(|number| Peer([number % 7, 0, number + 1]));
        let opening: Vec<_> = peers.map(|peer| self.cleanup.open(peer, None, ()).unwrap()).collect();
        self.turn();
        for ticket in opening {
            assert_eq!(ticket.wait().unwrap().close(Cause::Lost), Closed::Queued);
        }
        while let Progress::Cleaned(_) = self.cleanup.run_batch(0) {
            self.turn();
        }
        while self.cleanup.run_sink() {}
        // Older versions, and what they held.
        self.turn();
    }
}

/// Returns what is in use after `len` connections have come and gone, and at most while they did.
fn come_and_go(len: u32) -> (AllocationInfo, AllocationInfo) {
    let mut rig = rig(ALIVE, 1024);
    // Queues, maps and pages have reached their sizes.
    (0..20).for_each(|round| rig.round(round * ALIVE));
    let all = measure(|| (0..len / ALIVE).for_each(|round| rig.round(round * ALIVE)));
    let snapshot = rig.cleanup.table().snapshot();
    assert_eq!((snapshot.len(), snapshot.index().groups().count(), rig.cleanup.connections()), (0, 0, 0));
    assert_eq!(rig.cleanup.pending_events(), (0, 0));
    let stats = rig.cleanup.stats();
    assert_eq!((stats.open, stats.queued, stats.deferred), (0, 0, 0), "{stats:?}");
    let one = measure(|| rig.round(7));
    drop(snapshot);
    let dropped = measure(|| drop(rig));
    assert!(dropped.bytes_current < 0);
    (all, one)
}

fn nothing_is_left_of(len: u32) {
    let (all, one) = come_and_go(len);
    assert!(one.bytes_max < 1024 * 1024, "{one:?}");
    // Maps and pages that grow with their use, but not with the number of connections that have gone.
    assert!(all.bytes_current.unsigned_abs() < 64 * 1024, "{all:?}");
    assert!(all.bytes_max < 1024 * 1024, "{all:?}");
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    nothing_is_left_of(SOME);
}

#[test]
#[ignore = "a million connections"]
fn a_million_connections_that_come_and_go_leave_nothing_behind() {
    nothing_is_left_of(MILLION);
}

#[test]
fn d2_fifty_thousand_tasks_take_less_than_two_megabytes() {
    const TASKS: u32 = 50_000;
    // One in 64 is kept for other apps.
    let mut rig = rig(TASKS, (TASKS + TASKS / 50) as usize);
    let mut ids = Vec::with_capacity(TASKS as usize);
    for first in (0..TASKS).step_by(512) {
        let peers = (first..TASKS.min(first + 512)).map(|number| Peer([number % 100, number, number]));
        let opening: Vec<_> = peers.map(|peer| rig.cleanup.open(peer, None, ()).unwrap()).collect();
        rig.turn();
        ids.extend(opening.into_iter().map(|ticket| ticket.wait().unwrap().detach()));
    }
    let info = measure(|| {
        for id in &ids {
            assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued);
        }
    });
    eprintln!("{TASKS} queued: {} bytes, at most {}", info.bytes_current, info.bytes_max);
    assert!(info.bytes_current < 2_000_000, "{info:?}");
    let cleared = (0..).take_while(|_| {
        let progress = rig.cleanup.run_batch(0);
        while rig.driver.turn() == Turn::More {}
        matches!(progress, Progress::Cleaned(_))
    });
    assert!(cleared.count() >= 700, "64 at a time");
    assert_eq!(rig.cleanup.table().snapshot().len(), 0);
}
