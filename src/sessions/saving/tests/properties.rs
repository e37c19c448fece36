//! Random interleavings of the core against a simple model.
//!
//! The model has a store that behaves as the contract says, the changes that were made, and those of them that are late.
//! A job is begun, takes effect in the store, and ends, in steps of their own; one that fails may have taken effect. A
//! crash drops everything but the store.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::super::mark::Mark;
use super::super::backoff::Backoff;
use super::super::core::{Begin, BeginNow, Change, Core, Job, Outcome};
use super::super::loads::{BeginLoad, Loads};
use crate::clock::{Clock, ManualClock};

const KEYS: u8 = 3;
const DELAY: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug)]
enum Op {
    /// An update or a clear: from the saver's point of view they are the same.
    Change(u8),
    /// A change that reaches the saver later.
    LateChange(u8),
    /// Some late change reaches the saver.
    Arrive(usize),
    Delete(u8),
    Begin,
    Flush(u8),
    /// Some job takes effect in the store.
    Apply(usize),
    End(usize),
    Fail(usize),
    Pass(u16),
    BeginLoad(u8),
    /// Some load reads the store.
    Read(usize),
    EndLoad(usize),
    /// In-flight jobs take effect or not, by the bits.
    Crash(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..KEYS;
    let some = any::<usize>();
    prop_oneof![
        5 => key.clone().prop_map(Op::Change),
        4 => key.clone().prop_map(Op::LateChange),
        4 => some.prop_map(Op::Arrive),
        2 => key.clone().prop_map(Op::Delete),
        6 => Just(Op::Begin),
        2 => key.clone().prop_map(Op::Flush),
        5 => some.prop_map(Op::Apply),
        5 => some.prop_map(Op::End),
        2 => some.prop_map(Op::Fail),
        3 => any::<u16>().prop_map(Op::Pass),
        3 => key.prop_map(Op::BeginLoad),
        3 => some.prop_map(Op::Read),
        3 => some.prop_map(Op::EndLoad),
        1 => any::<u8>().prop_map(Op::Crash),
    ]
}

/// The number of the change, which is also its data, and whether the session exists then.
type State = (u64, bool);

#[derive(Default)]
struct Store {
    opening: u64,
    /// The version and the data.
    live: HashMap<u8, (u64, u64)>,
    /// The number of the newest write that took effect in this opening.
    applied: HashMap<u8, u64>,
}

impl Store {
    fn apply(&mut self, change: &Change<u8, u64>) -> Outcome {
        let key = *change.mark.key();
        let number = change.number;
        let stored = self.live.get(&key).copied().filter(|(opening, _)| *opening == self.opening);
        let applied = self.applied.entry(key).or_default();
        match change.payload {
            Some(_) if stored.is_some_and(|(_, stored)| stored >= number) => return Outcome::Discarded,
            None if stored.is_some_and(|(_, stored)| stored > number) => return Outcome::Discarded,
            Some(data) => {
                // Nothing that is newer was ever stored or deleted: nothing goes back, nothing comes back.
                assert!(number > *applied, "change {number} of {key} after {applied}");
                self.live.insert(key, (self.opening, data));
            }
            None => drop(self.live.remove(&key)),
        }
        *applied = number.max(*applied);
        Outcome::Stored
    }
}

struct Session {
    mark: Mark<u8>,
    number: u64,
}

struct Flight {
    job: Job<u8, u64>,
    outcome: Option<Outcome>,
}

struct Loading {
    mark: Mark<u8>,
    id: u64,
    /// The newest state that was noted when it began.
    floor: State,
    read: Option<State>,
}

struct World {
    clock: ManualClock,
    core: Core<u8, u64>,
    loads: Loads<u8, u64, State>,
    sessions: Vec<Session>,
    late: Vec<Change<u8, u64>>,
    flights: Vec<Flight>,
    loading: Vec<Loading>,
    store: Store,
    /// The newest state that was noted.
    noted: HashMap<u8, State>,
    /// The newest state whose save or deletion was acknowledged.
    acknowledged: HashMap<u8, State>,
}

fn core() -> Core<u8, u64> {
    Core::new(DELAY, Backoff::new(Duration::from_millis(2), Duration::from_millis(40)))
}

fn mark(key: u8) -> Mark<u8> {
    // Two keys have one hash.
    Mark::new(u64::from(key / 2), key)
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            clock: ManualClock::new(),
            core: core(),
            loads: Loads::new(),
            sessions: Vec::new(),
            late: Vec::new(),
            flights: Vec::new(),
            loading: Vec::new(),
            store: Store::default(),
            noted: HashMap::new(),
            acknowledged: HashMap::new(),
        };
        world.start();
        world
    }

    /// Starts the process: what the saver and the registry know begins anew.
    fn start(&mut self) {
        self.store.opening += 1;
        self.store.applied.clear();
        (self.core, self.loads) = (core(), Loads::new());
        self.sessions = (0..KEYS).map(|key| Session { mark: mark(key), number: 0 }).collect();
        self.late.clear();
        self.flights.clear();
        self.loading.clear();
        self.noted.clear();
        self.acknowledged.clear();
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn change(&mut self, key: u8, exists: bool) -> Change<u8, u64> {
        let session = &mut self.sessions[usize::from(key)];
        session.number += 1;
        let number = session.number;
        Change { mark: session.mark.clone(), number, payload: exists.then_some(number) }
    }

    fn note(&mut self, change: Change<u8, u64>) {
        let (key, state) = (*change.mark.key(), (change.number, change.payload.is_some()));
        let noted = self.noted.entry(key).or_default();
        *noted = state.max(*noted);
        let mut is_loading = false;
        if change.mark.is_new(change.number) {
            is_loading = self.loads.note(&change).0;
        }
        drop(self.core.note(change, is_loading, self.clock.now()));
    }

    /// The session object is gone, and its late changes may still arrive. What comes later has another object.
    fn delete(&mut self, key: u8) {
        let change = self.change(key, false);
        self.sessions[usize::from(key)].mark = mark(key);
        self.note(change);
    }

    fn push(&mut self, job: Job<u8, u64>) {
        let key = job.change.mark.key();
        assert!(self.flights.iter().all(|other| other.job.change.mark.key() != key), "two jobs of one key");
        assert!(self.loading.iter().all(|load| load.mark.key() != key), "a save during a load");
        self.flights.push(Flight { job, outcome: None });
    }

    fn begin(&mut self) -> bool {
        let now = self.now();
        match self.core.begin(now) {
            Begin::Job(job) => self.push(job),
            Begin::Idle(due) => {
                assert!(due.is_none_or(|due| due > now));
                return false;
            }
        }
        true
    }

    fn flush(&mut self, key: u8) {
        let mark = mark(key);
        let Some(dirty) = self.core.dirty(&mark) else { return };
        match self.core.begin_now(&mark, dirty.number) {
            BeginNow::Job(job) => self.push(job),
            BeginNow::InFlight => {
                let is_saving = self.flights.iter().any(|other| *other.job.change.mark.key() == key);
                assert!(is_saving || self.loading.iter().any(|load| *load.mark.key() == key));
            }
            BeginNow::Reached => panic!("a dirty session is not saved"),
        }
    }

    fn apply(&mut self, at: usize) {
        let flight = &mut self.flights[at];
        if flight.outcome.is_none() {
            flight.outcome = Some(self.store.apply(&flight.job.change));
        }
    }

    fn end(&mut self, at: usize, fails: bool) {
        if !fails {
            self.apply(at);
        }
        let Flight { job, outcome } = self.flights.swap_remove(at);
        let outcome = outcome.filter(|_| !fails).unwrap_or(Outcome::Failed);
        drop(self.core.end(&job, outcome, self.clock.now(), 7 << 60));
        if outcome != Outcome::Failed {
            let state = (job.change.number, job.change.payload.is_some());
            let acknowledged = self.acknowledged.entry(*job.change.mark.key()).or_default();
            *acknowledged = state.max(*acknowledged);
        }
    }

    fn stored(&self, key: u8) -> Option<State> {
        self.store
            .live
            .get(&key)
            .map(|(opening, data)| (if *opening == self.store.opening { *data } else { 0 }, true))
    }

    fn begin_load(&mut self, key: u8) {
        let mark = mark(key);
        let floor = self.noted.get(&key).copied().unwrap_or_default();
        if let Some(dirty) = self.core.dirty(&mark) {
            assert!((dirty.number, dirty.payload.is_some()) >= floor, "a load goes back");
            return;
        }
        match self.loads.begin(&mark) {
            BeginLoad::Start(id) => self.loading.push(Loading { mark, id, floor, read: None }),
            BeginLoad::Join(id) => {
                // Joined and picked up at the end: see `end_load`.
                assert!(self.loading.iter().any(|loading| loading.id == id));
            }
        }
    }

    fn read(&mut self, at: usize) {
        let key = *self.loading[at].mark.key();
        self.loading[at].read = Some(self.stored(key).unwrap_or((0, false)));
    }

    fn end_load(&mut self, at: usize) {
        if self.loading[at].read.is_none() {
            self.read(at);
        }
        let Loading { mark, id, floor, read } = self.loading.swap_remove(at);
        let read = read.unwrap();
        let (result, held) = self
            .loads
            .end(&mark, id, |newer| newer.map_or(read, |change| (change.number, change.payload.is_some())));
        if let Some(held) = held {
            self.core.release(&held);
        }
        while let Some(shared) = self.loads.join(id) {
            assert_eq!(shared, result);
        }
        // Nothing is older than what was noted when the load began. An absent session is right if it was deleted then,
        // and also if it was deleted later.
        if result.1 {
            assert!(result.0 >= floor.0, "loaded {result:?}, noted before {floor:?}");
        } else {
            let newest = self.noted.get(mark.key()).copied().unwrap_or_default();
            assert!(!floor.1 || newest.0 > floor.0, "loaded nothing, noted before {floor:?}");
        }
    }

    fn crash(&mut self, bits: u8) {
        for at in 0..self.flights.len() {
            if bits >> (at % 8) & 1 == 1 {
                self.apply(at);
            }
        }
        for (key, acknowledged) in self.acknowledged.clone() {
            match self.stored(key) {
                Some((number, _)) => assert!(number >= acknowledged.0, "an acknowledged change is lost"),
                None => assert!(!acknowledged.1 || self.store.applied[&key] > acknowledged.0),
            }
        }
        self.start();
    }

    fn step(&mut self, op: Op) {
        let pick = |any: usize, len: usize| (len > 0).then(|| any % len);
        match op {
            Op::Change(key) => {
                let change = self.change(key, true);
                self.note(change);
            }
            Op::LateChange(key) => {
                let change = self.change(key, true);
                self.late.push(change);
            }
            Op::Arrive(any) => {
                if let Some(at) = pick(any, self.late.len()) {
                    let change = self.late.swap_remove(at);
                    self.note(change);
                }
            }
            Op::Delete(key) => self.delete(key),
            Op::Begin => _ = self.begin(),
            Op::Flush(key) => self.flush(key),
            Op::Apply(any) => pick(any, self.flights.len()).into_iter().for_each(|at| self.apply(at)),
            Op::End(any) => pick(any, self.flights.len()).into_iter().for_each(|at| self.end(at, false)),
            Op::Fail(any) => pick(any, self.flights.len()).into_iter().for_each(|at| self.end(at, true)),
            Op::Pass(millis) => self.clock.advance(Duration::from_millis(u64::from(millis % 16))),
            Op::BeginLoad(key) => self.begin_load(key),
            Op::Read(any) => pick(any, self.loading.len()).into_iter().for_each(|at| self.read(at)),
            Op::EndLoad(any) => pick(any, self.loading.len()).into_iter().for_each(|at| self.end_load(at)),
            Op::Crash(bits) => self.crash(bits),
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.core.counts.in_flight, self.flights.len());
        assert!(self.core.len() <= usize::from(KEYS), "one entry per key");
        assert_eq!(self.core.dirty_since().is_some(), self.core.len() > 0);
        let held = self.loading.iter().filter(|loading| self.core.dirty(&loading.mark).is_some()).count();
        let waiting = self.core.len() - self.flights.len() - held;
        assert_eq!(self.core.next_due().is_some(), waiting > 0, "an entry is in flight or waits");
    }

    /// Everything arrives and is saved.
    fn settle(&mut self) {
        while let Some(change) = self.late.pop() {
            self.note(change);
        }
        while !self.loading.is_empty() {
            self.end_load(0);
        }
        for _ in 0..1000 {
            while !self.flights.is_empty() {
                self.end(0, false);
            }
            self.clock.advance(Duration::from_millis(50));
            if !self.begin() {
                break;
            }
        }
        assert_eq!(self.core.len(), 0, "nothing is dirty for ever");
        let expected: BTreeMap<u8, u64> =
            self.noted.iter().filter(|(_, state)| state.1).map(|(key, state)| (*key, state.0)).collect();
        let found: BTreeMap<u8, u64> = (0..KEYS)
            .filter(|key| self.noted.contains_key(key))
            .filter_map(|key| Some((key, self.stored(key)?.0)))
            .collect();
        assert_eq!(found, expected, "the store has the newest state of each session");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_store_never_goes_back_and_ends_with_the_newest_state(ops in vec(op(), 1..120)) {
        let mut world = World::new();
        for op in ops {
            world.step(op);
        }
        world.settle();
    }
}
