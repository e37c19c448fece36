//! Collecting and reading metrics: a report per version against two locks.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::RwLock;
use switchboard::{Config, Effect, Handle, LinkManager, Metrics, NetConfig, NetId, NodeAddr};

use super::Settings;
use crate::measure::{Clock, interleave, run_for};
use crate::memory;
use crate::report::{CONTROL, OURS, Report, Section};

const NETS: u64 = 8;
/// Number of words of a report: as many of each kind as in this crate.
const WORDS: usize = 114;
const STATS: usize = 16;
const COUNTERS: usize = WORDS - STATS - 7;

/// The state as kept by a manager with locks, which maintains counts instead of counting during a collection.
struct State {
    version: u64,
    active: bool,
    links: u64,
    nets: Vec<NetState>,
    stats: [u64; STATS],
}

struct NetState {
    active: bool,
    uplinks: u64,
    downlinks: u64,
}

/// The old design done well: the lock of the state is acquired before that of the metrics and released before
/// it is acquired, and nothing is allocated. The counters are atomics, as in this crate.
struct Locks {
    state: RwLock<State>,
    counters: [AtomicU64; COUNTERS],
    metrics: RwLock<[u64; WORDS]>,
}

impl Locks {
    fn new() -> Self {
        let nets = (0..NETS).map(|_| NetState { active: true, uplinks: 1, downlinks: 2 }).collect();
        let state = State { version: 1, active: true, links: 24, nets, stats: [1; STATS] };
        Self {
            state: RwLock::new(state),
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
            metrics: RwLock::new([0; WORDS]),
        }
    }

    fn collect(&self) {
        let state = self.state.read();
        let (version, active, links, nets) = (state.version, state.active, state.links, state.nets.len());
        let (mut nets_active, mut uplinks, mut downlinks) = (0, 0, 0);
        for net in &state.nets {
            nets_active += u64::from(net.active);
            uplinks += net.uplinks;
            downlinks += net.downlinks;
        }
        let stats = state.stats;
        drop(state);
        let mut metrics = self.metrics.write();
        metrics[..7].copy_from_slice(&[
            version,
            u64::from(active),
            links,
            nets as u64,
            nets_active,
            uplinks,
            downlinks,
        ]);
        metrics[7..7 + STATS].copy_from_slice(&stats);
        for (word, counter) in metrics[7 + STATS..].iter_mut().zip(&self.counters) {
            // Relaxed: a statistic.
            *word = counter.load(Ordering::Relaxed);
        }
    }

    /// Changes the state under its lock.
    fn change(&self) {
        let mut state = self.state.write();
        state.version += 1;
        state.links += 1;
        state.nets[0].active = !state.nets[0].active;
        state.stats[0] += 1;
    }

    fn read(&self) -> [u64; WORDS] {
        *self.metrics.read()
    }
}

fn manager() -> LinkManager<NodeAddr> {
    let transport = |_: Effect<NodeAddr>, _: &Handle| {};
    let manager = LinkManager::builder(Config::default()).transport(transport).spawn().expect("valid config");
    let handle = manager.handle();
    for net in (1..=NETS).map(NetId) {
        handle.add_net(net, NetConfig::new().min_links(0)).expect("there is room");
        handle.set_net_active(net, true).expect("there is room").wait().expect("the net exists");
    }
    manager
}

pub fn metrics(settings: &Settings, report: &mut Report) {
    eprintln!("metrics");
    let manager = manager();
    let (ours, control) = (Metrics::new(&manager), Metrics::new(&manager));
    let (locks, locks_control) = (Locks::new(), Locks::new());
    let links = manager.links();
    const LOCKS: &str = "two RwLocks";
    const LOCKS_CONTROL: &str = "two RwLocks (A/A control)";
    let sides = [OURS, CONTROL, LOCKS, LOCKS_CONTROL];
    let mut section = Section::new(
        "Metrics",
        "ns per step: collecting a report, and reading the newest one (114 figures, 8 nets). *Read*: ours accesses it \
         through a reader of the thread, theirs copies it out under the lock. *Collect*: nothing has changed since \
         the previous report, which ours detects and theirs does not check. *New version*: each report is of a version \
         not reported before, so ours counts the members of all nets; theirs are kept counted by the writer. One \
         thread alone is measured in processor time; two threads, each collecting and reading alternately, or one \
         reading while one collects, by the wall clock; *state changing*: while another thread makes changes \
         continuously (ours by commands, one at a time; theirs under the state's lock, held for some 5 ns). For scale, \
         from another language and machine: 145.2 ns per collection, 1933 ns and 2 allocations per concurrent access. \
         In brackets: ours / theirs.",
    );
    let alone = |step: &mut dyn FnMut()| {
        run_for(Clock::Cpu, settings.plan.budget, |times| (0..times).for_each(|_| step()))
    };
    let rounds = settings.plan.rounds;
    let old = [&locks, &locks_control];
    let new = [&ours, &control];
    let mut case = |name: &str, figures: Vec<f64>| section.case(name, sides.into_iter().zip(figures));
    case(
        "read",
        interleave(4, rounds, |side| match side {
            0 | 1 => {
                let mut reader = new[side].reader();
                alone(&mut || _ = black_box(black_box(reader.report()).links()))
            }
            _ => alone(&mut || _ = black_box(old[side - 2].read())),
        }),
    );
    case(
        "read, copied out",
        interleave(4, rounds, |side| match side {
            0 | 1 => alone(&mut || _ = black_box(new[side].report())),
            _ => alone(&mut || _ = black_box(old[side - 2].read())),
        }),
    );
    case(
        "collect",
        interleave(4, rounds, |side| match side {
            0 | 1 => alone(&mut || _ = black_box(new[side].refresh())),
            _ => alone(&mut || old[side - 2].collect()),
        }),
    );
    case(
        "collect, new version",
        interleave(4, rounds, |side| match side {
            0 | 1 => alone(&mut || _ = black_box(new[side].collect_from(&links.snapshot()))),
            _ => alone(&mut || old[side - 2].collect()),
        }),
    );
    case(
        "collect and read",
        interleave(4, rounds, |side| match side {
            0 | 1 => alone(&mut *collect_and_read(new[side])),
            _ => alone(&mut *collect_and_read_old(old[side - 2])),
        }),
    );
    case(
        "collect and read, 2 threads",
        interleave(4, rounds, |side| match side {
            0 | 1 => together(settings.plan.budget, &|| collect_and_read(new[side])),
            _ => together(settings.plan.budget, &|| collect_and_read_old(old[side - 2])),
        }),
    );
    case(
        "read, beside one that collects",
        interleave(4, rounds, |side| match side {
            0 | 1 => beside(settings.plan.budget, &|| _ = black_box(new[side].refresh()), &|| {
                _ = black_box(new[side].report())
            }),
            _ => beside(settings.plan.budget, &|| old[side - 2].collect(), &|| {
                _ = black_box(old[side - 2].read())
            }),
        }),
    );
    case(
        "collect and read, state changing",
        interleave(4, rounds, |side| match side {
            0 | 1 => {
                let handle = manager.handle();
                let change = AtomicU64::new(0);
                beside(
                    settings.plan.budget,
                    &|| {
                        // Relaxed: only one thread counts.
                        let on = change.fetch_add(1, Ordering::Relaxed) % 2 == 0;
                        handle
                            .set_net_active(NetId(1), on)
                            .expect("there is room")
                            .wait()
                            .expect("the net exists");
                    },
                    &|| _ = black_box(new[side].collect()),
                )
            }
            _ => beside(settings.plan.budget, &|| old[side - 2].change(), &|| {
                old[side - 2].collect();
                black_box(old[side - 2].read());
            }),
        }),
    );
    for index in [2, 4, 5] {
        if let Some(figures) = section.figure(OURS, index).zip(section.figure(LOCKS, index)) {
            report.goal(format!("Metrics, {}", section.cases[index]), LOCKS, figures, 0.5, "ns");
        }
    }
    let allocations =
        memory::allocations(|| (0..1_000).for_each(|_| _ = black_box((ours.collect(), ours.report()))));
    section.question.push_str(&format!(" Allocations of 1000 collections and reads of ours: {allocations}."));
    report.sections.push(section);
}

/// Returns a step of one thread: a collection, and an access to the newest report.
fn collect_and_read(metrics: &Metrics<NodeAddr>) -> Box<dyn FnMut() + '_> {
    let mut reader = metrics.reader();
    Box::new(move || {
        metrics.refresh();
        black_box(black_box(reader.report()).links());
    })
}

fn collect_and_read_old(locks: &Locks) -> Box<dyn FnMut() + '_> {
    Box::new(|| {
        locks.collect();
        black_box(locks.read());
    })
}

/// Measures ns per step of each of two threads that do the same.
fn together<'a>(budget: Duration, step: &(dyn Fn() -> Box<dyn FnMut() + 'a> + Sync)) -> f64 {
    thread::scope(|scope| {
        let run = || {
            let mut step = step();
            run_for(Clock::Wall, budget, |times| (0..times).for_each(|_| step()))
        };
        let other = scope.spawn(run);
        let mine = run();
        (mine + other.join().expect("no thread panics")) / 2.0
    })
}

/// Measures ns per step of one thread while another runs `other` continuously.
fn beside(budget: Duration, other: &(dyn Fn() + Sync), step: &dyn Fn()) -> f64 {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Relaxed: the flag publishes no other data.
            while !stop.load(Ordering::Relaxed) {
                other();
            }
        });
        let ns = run_for(Clock::Wall, budget, |times| (0..times).for_each(|_| step()));
        stop.store(true, Ordering::Relaxed);
        ns
    })
}
