//! The pipeline, and what users write instead.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use switchboard::SharedWriter;
use switchboard::cleanup::{
    Cause, Change, Cleanup, CleanupThreads, Config, ConnectionId, Entry, Event, EventSink, Outcome,
};
use switchboard::table::shared::{self, WriterThread};

use super::{Channels, Server};

#[derive(Clone)]
struct Peer(Channels);

impl Entry for Peer {
    type App = ();
    type Group = u32;

    fn app(&self) -> &() {
        &()
    }

    fn groups(&self, visit: &mut dyn FnMut(u32)) {
        self.0.iter().copied().for_each(visit);
    }
}

/// Counts the vacated channels.
struct Counter(&'static AtomicU64);

impl EventSink<(), Event<u32>> for Counter {
    fn deliver(&self, (): &(), events: &[Event<u32>]) -> Vec<Outcome> {
        let vacated = events.iter().filter(|event| event.change == Change::Vacated).count();
        self.0.fetch_add(vacated as u64, Ordering::Relaxed);
        vec![Outcome::Delivered; events.len()]
    }
}

type Index = switchboard::cleanup::Groups<Peer>;

pub struct Ours {
    cleanup: Cleanup<Peer>,
    vacated: &'static AtomicU64,
    _threads: CleanupThreads<Peer>,
    _writer: WriterThread<ConnectionId, Peer, Index>,
}

impl Ours {
    pub fn new(batch: usize) -> Self {
        let mut config = Config::default();
        config.batch_max = batch;
        config.capacity = 100_000;
        // All events are due at once, and none is suppressed.
        config.event_delay = std::time::Duration::ZERO;
        config.sink_capacity = 1 << 20;
        let vacated = Box::leak(Box::new(AtomicU64::new(0)));
        let (writer, _) = Cleanup::<Peer>::table_builder().build();
        let (writer, thread) =
            SharedWriter::spawn(writer, shared::Config::new()).expect("the system has threads");
        let builder = Cleanup::builder().config(config).max_connections(200_000);
        let (cleanup, threads) =
            builder.spawn(writer, Counter(vacated)).ok().expect("the settings are valid");
        Self { cleanup, vacated, _threads: threads, _writer: thread }
    }
}

impl Server for Ours {
    type Connection = ConnectionId;

    fn open(&self, _: u64, channels: Channels) -> ConnectionId {
        let ticket = self.cleanup.open(Peer(channels), None, ()).ok().expect("there is room");
        ticket.wait().expect("it is applied").detach()
    }

    fn open_all(&self, connections: Vec<(u64, Channels)>) -> Vec<ConnectionId> {
        let mut ids = Vec::new();
        for some in connections.chunks(1_000) {
            let open = |(_, channels): &(u64, Channels)| self.cleanup.open(Peer(*channels), None, ());
            let tickets: Vec<_> = some.iter().map(open).collect();
            let opened = tickets.into_iter().map(|ticket| ticket.ok().expect("there is room").wait());
            ids.extend(opened.map(|id| id.expect("it is applied").detach()));
        }
        ids
    }

    fn close(&self, connections: &[ConnectionId]) {
        for id in connections {
            let closed = self.cleanup.close(*id, Cause::Lost);
            assert!(!closed.is_lost() && !closed.is_refused());
        }
    }

    fn settle(&self) {
        // As far as this thread is concerned, which has closed them: what was submitted is done.
        while self.cleanup.stats().submitted > self.cleanup.stats().done {
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        while self.cleanup.pending_events() != (0, 0) {
            std::thread::yield_now();
        }
    }

    fn len(&self) -> (u64, u64) {
        let snapshot = self.cleanup.table().snapshot();
        (snapshot.len() as u64, snapshot.index().groups().count() as u64)
    }

    fn vacated(&self) -> u64 {
        self.vacated.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct State {
    connections: HashMap<u64, Channels, RandomState>,
    channels: HashMap<u32, HashSet<u64, RandomState>, RandomState>,
    vacated: u64,
}

impl State {
    fn open(&mut self, number: u64, channels: Channels) {
        self.connections.insert(number, channels);
        for channel in channels {
            self.channels.entry(channel).or_default().insert(number);
        }
    }

    fn close(&mut self, number: u64) {
        for channel in self.connections.remove(&number).into_iter().flatten() {
            if let Slot::Occupied(mut members) = self.channels.entry(channel) {
                members.get_mut().remove(&number);
                if members.get().is_empty() {
                    members.remove();
                    self.vacated += 1;
                }
            }
        }
    }

    fn len(&self) -> (u64, u64) {
        (self.connections.len() as u64, self.channels.len() as u64)
    }
}

/// One lock, taken for each connection.
#[derive(Default)]
pub struct Locked(Mutex<State>);

/// One lock, which the removal of all connections holds.
#[derive(Default)]
pub struct Held(Locked);

impl Locked {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server for Locked {
    type Connection = u64;

    fn open(&self, number: u64, channels: Channels) -> u64 {
        self.lock().open(number, channels);
        number
    }

    fn close(&self, connections: &[u64]) {
        connections.iter().for_each(|number| self.lock().close(*number));
    }

    fn settle(&self) {}

    fn len(&self) -> (u64, u64) {
        self.lock().len()
    }

    fn vacated(&self) -> u64 {
        self.lock().vacated
    }
}

impl Server for Held {
    type Connection = u64;

    fn open(&self, number: u64, channels: Channels) -> u64 {
        self.0.open(number, channels)
    }

    fn close(&self, connections: &[u64]) {
        let mut state = self.0.lock();
        connections.iter().for_each(|number| state.close(*number));
    }

    fn settle(&self) {}

    fn len(&self) -> (u64, u64) {
        self.0.len()
    }

    fn vacated(&self) -> u64 {
        self.0.vacated()
    }
}

/// Two sharded maps.
#[derive(Default)]
pub struct Sharded {
    connections: DashMap<u64, Channels, RandomState>,
    channels: DashMap<u32, HashSet<u64, RandomState>, RandomState>,
    vacated: AtomicU64,
}

impl Server for Sharded {
    type Connection = u64;

    fn open(&self, number: u64, channels: Channels) -> u64 {
        self.connections.insert(number, channels);
        for channel in channels {
            self.channels.entry(channel).or_default().insert(number);
        }
        number
    }

    fn close(&self, connections: &[u64]) {
        for number in connections {
            for channel in self.connections.remove(number).into_iter().flat_map(|(_, channels)| channels) {
                if let dashmap::Entry::Occupied(mut members) = self.channels.entry(channel) {
                    members.get_mut().remove(number);
                    if members.get().is_empty() {
                        members.remove();
                        self.vacated.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    fn settle(&self) {}

    fn len(&self) -> (u64, u64) {
        (self.connections.len() as u64, self.channels.len() as u64)
    }

    fn vacated(&self) -> u64 {
        self.vacated.load(Ordering::Relaxed)
    }
}
