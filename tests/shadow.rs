//! Two managers side by side: the locked one is the oracle for the new one and for the shadow's findings.
#![allow(clippy::unwrap_used)] // A panic fails the test.
#![allow(clippy::disallowed_types)] // Stores like those of users, on real threads.

use std::time::Duration;

use switchboard::clock::{Clock, ManualClock};
use switchboard::shadow::{DriverStore, LinkStore, ManagerStore, Operation, Reply, Shadow, Value};
use switchboard::{Effect, Handle, LinkManager, NodeAddr};

#[path = "shadow/faults.rs"]
mod faults;
#[path = "shadow/world.rs"]
mod world;

use world::{World, config, driver, locked};

const LONG: Duration = Duration::from_secs(60);

/// Counts the operations that had an effect, by kind: a run in which all are refused proves nothing.
#[derive(Debug, Default)]
struct Seen {
    created: usize,
    joined: usize,
    members: usize,
    established: usize,
    refused: usize,
}

impl Seen {
    fn note(&mut self, operation: &Operation<NodeAddr>, reply: &Reply<Value<NodeAddr>>) {
        match (operation, reply) {
            (_, Err(_)) => self.refused += 1,
            (Operation::CreateLink { .. }, Ok(_)) => self.created += 1,
            (Operation::AccountLink { .. }, Ok(_)) => self.joined += 1,
            (Operation::DialConnected { .. }, Ok(_)) => self.established += 1,
            (Operation::Count { .. }, Ok(answer)) => {
                self.members += usize::from(answer.value != Value::Count(0));
            }
            _ => {}
        }
    }

    fn check(&self) {
        let all = [self.created, self.joined, self.members, self.established, self.refused];
        assert!(all.iter().all(|times| *times > 20), "{self:?}");
    }
}

/// Sends random operations, and compares the whole state from time to time.
fn run<A, B>(shadow: &Shadow<A, B>, clock: &ManualClock, operations: usize, seed: u64)
where
    A: LinkStore<Addr = NodeAddr>,
    B: LinkStore<Addr = NodeAddr>,
{
    let (mut world, mut seen) = (World::new(seed), Seen::default());
    for number in 0..operations {
        if let Some(pause) = world.pause() {
            // A side that is behind must not perform its operations at a later time than the other one.
            assert!(shadow.wait_idle(LONG));
            clock.advance(pause);
            shadow.tick(clock.now()).unwrap();
        }
        let operation = world.operation(clock.now(), shadow.a());
        let reply = shadow.perform(operation.clone());
        seen.note(&operation, &reply);
        if operation.is_change() {
            for addr in 1..=12 {
                if number % 8 == 0 {
                    let _ = shadow.get(&NodeAddr(addr));
                }
            }
        }
        if shadow.stats().mismatches > 0 {
            assert!(shadow.wait_idle(LONG));
            let first = shadow.take_mismatches().remove(0);
            panic!("seed {seed}, operation {number}: {first}");
        }
    }
    assert!(shadow.wait_idle(LONG));
    let stats = shadow.stats();
    assert_eq!((stats.mismatches, stats.compared), (0, stats.accepted), "{stats:?}");
    assert_eq!((stats.a.performed, stats.b.performed), (stats.accepted, stats.accepted));
    assert!(stats.accepted as usize > operations);
    seen.check();
}

#[test]
fn the_core_does_what_the_oracle_does() {
    for seed in 0..5 {
        let clock = ManualClock::new();
        let new = DriverStore::new(driver(&clock), clock.clone(), LONG);
        let shadow = Shadow::builder(locked(&clock), new).inline();
        run(&shadow, &clock, 10_000, seed);
    }
}

#[test]
fn the_effects_of_the_core_are_those_of_the_oracle() {
    for seed in 100..104 {
        let clock = ManualClock::new();
        let (old, new) = (locked(&clock), DriverStore::new(driver(&clock), clock.clone(), LONG));
        let mut world = World::new(seed);
        world.stale_dials = true;
        let mut effects = 0;
        for number in 0..5_000 {
            let mut operations = Vec::new();
            if let Some(pause) = world.pause() {
                clock.advance(pause);
                operations.push(Operation::Tick { now: clock.now() });
            }
            operations.push(world.operation(clock.now(), &old));
            for operation in operations {
                let (_, theirs) = old.change(&operation);
                let _ = operation.perform_on(&new);
                let (theirs, ours) = (comparable(theirs), comparable(new.take_effects()));
                effects += ours.len();
                assert_eq!(theirs, ours, "seed {seed}, operation {number}: {operation:?}");
            }
        }
        assert!(effects > 1_000, "only {effects} effects");
    }
}

/// Renders effects without the parts that may differ: the order between links, the identities of dials and
/// resolutions, which each store assigns itself, and the cancellations that an outbox merges into the end of
/// the dialer.
fn comparable(effects: Vec<Effect<NodeAddr>>) -> Vec<String> {
    let ended = |effect: &Effect<NodeAddr>| match effect {
        Effect::CloseDialer { addr } => Some(*addr),
        _ => None,
    };
    let ended: Vec<_> = effects.iter().filter_map(ended).collect();
    let text = |effect: Effect<NodeAddr>| match effect {
        Effect::Dial { addr, endpoint, attempt, .. } => Some(format!("dial {addr} {endpoint} {attempt}")),
        Effect::Resolve { addr, .. } => Some(format!("resolve {addr}")),
        Effect::CancelDial { addr, .. } => (!ended.contains(&addr)).then(|| format!("cancel {addr}")),
        other => Some(format!("{other:?}")),
    };
    let mut all: Vec<_> = effects.into_iter().filter_map(text).collect();
    all.sort_unstable();
    all
}

fn run_threads(operations: usize, seed: u64) {
    let clock = ManualClock::new();
    let transport = |_: Effect<NodeAddr>, _: &Handle| {};
    let builder = LinkManager::builder(config()).own_addr(world::OWN).clock(clock.clone());
    let manager = builder.transport(transport).spawn().unwrap();
    let new = ManagerStore::new(manager.handle(), manager.links(), LONG);
    let shadow = Shadow::builder(locked(&clock), new).deadline(LONG).spawn().unwrap();
    run(&shadow, &clock, operations, seed);
    assert!(shadow.stop(LONG).is_clean());
    drop(shadow);
    assert!(manager.shutdown(LONG).is_clean());
}

#[test]
fn the_manager_on_its_threads_does_what_the_oracle_does() {
    run_threads(10_000, 7);
}

/// `cargo test --release --test shadow -- --ignored`
#[test]
#[ignore = "slow: a million operations; use --release"]
fn a_million_operations_without_a_difference() {
    for seed in 1_000..1_020 {
        let clock = ManualClock::new();
        let new = DriverStore::new(driver(&clock), clock.clone(), LONG);
        let shadow = Shadow::builder(locked(&clock), new).inline();
        run(&shadow, &clock, 50_000, seed);
    }
    run_threads(1_000_000, 2_000);
}
