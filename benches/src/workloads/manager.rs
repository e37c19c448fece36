//! The link manager against an actor behind a channel, one lock, and two locks with the same operations.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use self::locked::TwoLocks;
use self::rivals::{Actor, Locked};
use super::Settings;
use crate::data::Key;
use crate::measure::{Clock, histogram, interleave, ns_since, run_for};
use crate::report::{CONTROL, OURS, Report, Section};

mod locked;
mod ours;
mod rivals;

use ours::Ours;

/// Number of links before the measurement, distributed over `NETS` nets.
const LINKS: u64 = 10_000;
const NETS: u64 = 8;

/// Number of commands that a producer has in flight.
const WINDOW: usize = 256;

/// Number of commands that are sent together.
const LIST: usize = 16;

/// A link manager that adds and deletes streams and counts the members of a net.
trait Manager: Sync {
    type Pending;

    fn name(&self) -> &'static str;

    /// Adds a stream of a peer (a new link), or deletes it together with its link.
    fn send(&self, addr: u64, comes: bool) -> Self::Pending;

    /// Waits until readers see the change.
    fn wait(&self, pending: Self::Pending);

    /// Returns the number of members of a net.
    fn count(&self, net: u64) -> usize;

    /// Looks up links repeatedly until `stop` is set.
    fn read(&self, stop: &AtomicBool);
}

pub fn manager(settings: &Settings, report: &mut Report) {
    eprintln!("link manager");
    let (ours, control) = (Ours::new(OURS), Ours::new(CONTROL));
    let (actor, locked, two) = (Actor::new(), Locked::new(), TwoLocks::new());
    round_trips(settings, report, (&ours, &control, &actor, &locked, &two));
    throughput(settings, report, (&ours, &control, &actor, &locked, &two));
    counts(settings, report, (&ours, &control, &actor, &locked, &two));
}

type Managers<'a> = (&'a Ours, &'a Ours, &'a Actor, &'a Locked, &'a TwoLocks);

/// Measures ns from the submission of a command to its visibility, one at a time.
fn trip<M: Manager>(manager: &M, budget: Duration, all: &mut Histogram<u64>) -> f64 {
    let mut own = histogram();
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < budget {
        let addr = u64::from_number(LINKS + number / 2);
        let before = Instant::now();
        manager.wait(manager.send(addr, number % 2 == 0));
        own.saturating_record(ns_since(before));
        number += 1;
    }
    if number % 2 == 1 {
        manager.wait(manager.send(u64::from_number(LINKS + number / 2), false));
    }
    let _ = all.add(&own);
    own.value_at_quantile(0.5) as f64
}

fn round_trips(settings: &Settings, report: &mut Report, (ours, control, actor, locked, two): Managers<'_>) {
    let names = [ours.name(), control.name(), actor.name(), locked.name(), two.name()];
    let mut all = names.map(|_| histogram());
    let budget = settings.plan.budget * 6;
    let medians = interleave(names.len(), settings.plan.rounds, |side| match side {
        0 => trip(ours, budget, &mut all[0]),
        1 => trip(control, budget, &mut all[1]),
        2 => trip(actor, budget, &mut all[2]),
        3 => trip(locked, budget, &mut all[3]),
        _ => trip(two, budget, &mut all[4]),
    });
    let mut section = Section::new(
        "Command to visible, idle",
        "ns from the submission of a command until its change is visible to readers and confirmed to its sender, one \
         at a time (wall clock); 10k links. The locks need no other thread. In brackets: ours / theirs.",
    );
    section.case("p50", names.into_iter().zip(medians));
    for quantile in [0.99, 0.999] {
        let values = all.iter().map(|all| all.value_at_quantile(quantile) as f64);
        section.case(format!("p{}", quantile * 100.0), names.into_iter().zip(values));
    }
    if let Some(figures) = section.figure(OURS, 0).zip(section.figure(actor.name(), 0)) {
        report.goal("Command to visible, idle, p50", actor.name(), figures, 1.0, "ns");
    }
    report.sections.push(section);
}

/// Measures ns per command of all producers together, each with a window of commands in flight, beside one
/// reader. `produce` sends commands with addresses from a base on, and returns their number.
fn flood<M: Manager>(
    manager: &M,
    producers: u64,
    budget: Duration,
    produce: impl Fn(&M, u64, Duration) -> u64 + Sync,
) -> f64 {
    let stop = AtomicBool::new(false);
    let (sent, elapsed) = thread::scope(|scope| {
        let (stop, produce) = (&stop, &produce);
        scope.spawn(move || manager.read(stop));
        let start = Instant::now();
        let threads: Vec<_> = (0..producers)
            .map(|producer| scope.spawn(move || produce(manager, (producer + 1) << 40, budget)))
            .collect();
        let sent: u64 = threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum();
        let elapsed = start.elapsed();
        // Relaxed: the flag publishes no other data.
        stop.store(true, Ordering::Relaxed);
        (sent, elapsed)
    });
    elapsed.as_nanos() as f64 / sent as f64
}

fn produce<M: Manager>(manager: &M, base: u64, budget: Duration) -> u64 {
    let mut pending = VecDeque::with_capacity(WINDOW);
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < budget {
        for _ in 0..64 {
            for comes in [true, false] {
                if pending.len() == WINDOW {
                    pending.pop_front().into_iter().for_each(|oldest| manager.wait(oldest));
                }
                pending.push_back(manager.send(base + sent / 2, comes));
                sent += 1;
            }
        }
    }
    pending.into_iter().for_each(|left| manager.wait(left));
    sent
}

/// Sends lists of [`LIST`] commands; as [`produce`].
fn produce_lists(manager: &Ours, base: u64, budget: Duration) -> u64 {
    let mut pending = VecDeque::with_capacity(WINDOW / LIST);
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < budget {
        for _ in 0..128 / LIST {
            if pending.len() == WINDOW / LIST {
                pending.pop_front().into_iter().for_each(Ours::wait_for_list);
            }
            pending.push_back(manager.send_list(base + sent / 2, LIST));
            sent += LIST as u64;
        }
    }
    pending.into_iter().for_each(Ours::wait_for_list);
    sent
}

fn throughput(settings: &Settings, report: &mut Report, (ours, control, actor, locked, two): Managers<'_>) {
    let lists = "switchboard, 16 per list";
    let names = [ours.name(), control.name(), actor.name(), locked.name(), two.name(), lists];
    let mut section = Section::new(
        "Command throughput",
        "ns per command of all producers together (wall clock), each with up to 256 commands in flight, beside one \
         reader that looks up links continuously; 10k links. In brackets: ours / theirs. Lists: `submit_all`.",
    );
    let budget = settings.plan.budget * 6;
    for producers in [1, 2] {
        let figures = interleave(names.len(), settings.plan.rounds, |side| match side {
            0 => flood(ours, producers, budget, produce),
            1 => flood(control, producers, budget, produce),
            2 => flood(actor, producers, budget, produce),
            3 => flood(locked, producers, budget, produce),
            4 => flood(two, producers, budget, produce),
            _ => flood(ours, producers, budget, produce_lists),
        });
        let case = format!("{producers} producer{}", if producers == 1 { "" } else { "s" });
        section.case(case.clone(), names.into_iter().zip(figures));
        let index = section.cases.len() - 1;
        let goals = [
            (OURS, "", locked.name(), 0.5),
            (OURS, "", two.name(), 0.85),
            (OURS, "", actor.name(), 0.5),
            (lists, " in lists of 16", two.name(), 0.5),
        ];
        for (own, how, name, limit) in goals {
            if let Some(figures) = section.figure(own, index).zip(section.figure(name, index)) {
                report.goal(format!("Command throughput{how}, {case}"), name, figures, limit, "ns");
            }
        }
    }
    if let Some(ns) = section.figure(OURS, 0) {
        let loaded = under_load(ours, Duration::from_nanos((ns / 0.8) as u64), budget * 4);
        report.goal("Command to visible at 80 % load, p99", "1 ms", (loaded / 1e3, 1000.0), 1.0, "µs");
    }
    report.sections.push(section);
}

/// Measures the p99 in ns from the scheduled time of a command, one every `interval`, until it is visible.
fn under_load(ours: &Ours, interval: Duration, budget: Duration) -> f64 {
    let latencies = Arc::new(Mutex::new(histogram()));
    let (start, mut due, mut number) = (Instant::now(), Duration::ZERO, 0_u64);
    let mut last = None;
    while due < budget {
        while start.elapsed() < due {
            std::hint::spin_loop();
        }
        let (latencies, at) = (latencies.clone(), start + due);
        let ticket = ours.send((9 << 40) + number / 2, number % 2 == 0);
        let record = move |_| {
            latencies.lock().expect("the lock is not poisoned").saturating_record(ns_since(at));
        };
        ticket.on_complete(record);
        number += 1;
        due += interval;
        last = Some((9 << 40) + number / 2);
    }
    // The lane is a queue: when this command is done, so are all earlier ones.
    last.into_iter().for_each(|addr| ours.wait(ours.send(addr, true)));
    let p99 = latencies.lock().expect("the lock is not poisoned").value_at_quantile(0.99);
    p99 as f64
}

fn counts(settings: &Settings, report: &mut Report, (ours, control, actor, locked, two): Managers<'_>) {
    let names = [ours.name(), control.name(), actor.name(), locked.name(), two.name()];
    let figures = interleave(names.len(), settings.plan.rounds, |side| {
        let mut net = 0;
        let mut count = |ask: &dyn Fn(u64) -> usize| {
            run_for(Clock::Wall, settings.plan.budget, |times| {
                for _ in 0..times {
                    net = net % NETS + 1;
                    black_box(ask(net));
                }
            })
        };
        match side {
            0 => count(&|net| ours.count(net)),
            1 => count(&|net| control.count(net)),
            2 => count(&|net| actor.count(net)),
            3 => count(&|net| locked.count(net)),
            _ => count(&|net| two.count(net)),
        }
    });
    let mut section = Section::new(
        "Counting the members of a net",
        "ns per query (wall clock), 10k links in 8 nets: from a fresh snapshot, by a round trip to the actor, by a \
         scan under the lock, from sets under two locks. In brackets: ours / theirs.",
    );
    section.case("10k links", names.into_iter().zip(figures));
    for name in [actor.name(), locked.name()] {
        if let Some(figures) = section.figure(OURS, 0).zip(section.figure(name, 0)) {
            report.goal("Counting the members of a net", name, figures, 0.01, "ns");
        }
    }
    report.sections.push(section);
}
