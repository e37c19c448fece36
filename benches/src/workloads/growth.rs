//! Growth from empty: the worst single publish.

use std::hint::black_box;
use std::time::Instant;

use super::Settings;
use crate::data::{Key, Value};
use crate::measure::{Clock, histogram, interleave, median};
use crate::peers::{Dashmap, Flat, Imbl, Papaya, Peer, Plain, SccIndex, StdLock, Switchboard};
use crate::report::{CONTROL, OURS, Report, Section, size};

type K = u64;
type V = [u64; 4];

/// The figures of one growth.
struct Growth {
    worst_us: f64,
    tail_us: f64,
    total_ms: f64,
}

type Side = (&'static str, fn(usize) -> Growth);

/// Grows a map, with each insertion published and timed separately.
fn grow<P: Peer<K, V>>(len: usize) -> Growth {
    let mut peer = P::new();
    let mut publishes = histogram();
    let start = Clock::Cpu.start();
    for number in 0..len as u64 {
        let entry = [(K::from_number(number), V::with_word(number))];
        let before = Clock::Cpu.start();
        peer.put_all(entry.iter());
        publishes.saturating_record(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let total_ms = start.elapsed().as_secs_f64() * 1e3;
    let us = |ns: u64| ns as f64 / 1e3;
    Growth { worst_us: us(publishes.max()), tail_us: us(publishes.value_at_percentile(99.9)), total_ms }
}

/// Measures the clone that a flat map of this size makes for every publish.
fn rebuild_us(len: usize) -> f64 {
    let mut flat = Flat::<K, V>::new();
    let entries: Vec<_> =
        (0..len as u64).map(|number| (K::from_number(number), V::with_word(number))).collect();
    flat.fill(&entries);
    let start = Instant::now();
    black_box(&mut flat).put_all(entries[..1].iter());
    start.elapsed().as_secs_f64() * 1e6
}

pub fn growth(settings: &Settings, report: &mut Report) {
    let Some(len) = settings.sizes.iter().copied().max() else { return };
    eprintln!("growth to {}", size(len));
    let sides: [Side; 8] = [
        (OURS, grow::<Switchboard<K, V>>),
        (CONTROL, grow::<Switchboard<K, V>>),
        ("switchboard, recycle(false)", grow::<Plain<K, V>>),
        ("ArcSwap + imbl", grow::<Imbl<K, V>>),
        ("papaya", grow::<Papaya<K, V>>),
        ("scc::HashIndex", grow::<SccIndex<K, V>>),
        ("dashmap", grow::<Dashmap<K, V>>),
        ("RwLock<HashMap> (std)", grow::<StdLock<K, V>>),
    ];
    let rounds = settings.plan.rounds.min(5);
    let mut all: Vec<Vec<Growth>> = sides.iter().map(|_| Vec::new()).collect();
    let worst = interleave(sides.len(), rounds, |side| {
        let growth = (sides[side].1)(len);
        let worst_us = growth.worst_us;
        all[side].push(growth);
        worst_us
    });
    let rebuilds: Vec<_> = (0..rounds).map(|_| rebuild_us(len)).collect();
    let mut section = Section::new(
        format!("Growth from empty to {}, every insertion published", size(len)),
        "µs of a single insertion with its publish (processor time, including two clock reads), and ms of all \
         insertions. In brackets: ours / theirs. `least` is the best of all rounds, with the least disturbance by \
         other work.",
    );
    let named = |figure: &dyn Fn(&Vec<Growth>) -> f64| {
        sides.iter().zip(&all).map(|((name, _), growths)| (*name, figure(growths))).collect::<Vec<_>>()
    };
    let least =
        |growths: &Vec<Growth>| growths.iter().map(|growth| growth.worst_us).fold(f64::INFINITY, f64::min);
    let middle = |growths: &Vec<Growth>, figure: fn(&Growth) -> f64| {
        median(&growths.iter().map(figure).collect::<Vec<_>>())
    };
    section.case("worst, median", sides.iter().map(|(name, _)| *name).zip(worst));
    section.case("worst, least", named(&least));
    section.case("p99.9", named(&|growths| middle(growths, |growth| growth.tail_us)));
    section.case("all, ms", named(&|growths| middle(growths, |growth| growth.total_ms)));
    let rebuild = median(&rebuilds);
    for (case, name) in [(0, "median"), (1, "least")] {
        if let Some(ours) = section.figure(OURS, case) {
            let what = format!("worst single publish during growth to {} ({name} of the rounds)", size(len));
            report.goal(what.clone(), "1 ms", (ours, 1000.0), 1.0, "µs");
            report.goal(what, "rebuild of a flat map", (ours, rebuild), 1.0, "µs");
        }
    }
    report.sections.push(section);
}
