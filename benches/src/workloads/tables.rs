//! Lookups, updates and iteration, on maps of every kind side by side.

use std::time::Duration;

use super::Settings;
use crate::data::{Data, Key, Value};
use crate::measure::{Plan, histogram, interleave, median};
use crate::peers::{
    Dashmap, Evmap, Flat, Imbl, LeftRight, Many, Papaya, ParkingLot, Plain, Rpds, SccIndex, SccMap, StdLock,
    Switchboard,
};
use crate::report::{CONTROL, OURS, Report, Section, size};
use crate::side::{BATCH, Side, named, side};

type Sides<K, V> = Vec<Box<dyn Side<K, V>>>;

/// The rivals for lookups, of which the best in each case counts.
const RIVALS: [&str; 4] = ["papaya (pinned once)", "scc::HashIndex", "dashmap", "evmap"];
const MANY: &str = "switchboard, get_many of 16";
const LIMIT: &str = "ArcSwap + hashbrown (the limit)";
const IMBL: &str = "ArcSwap + imbl";
const LOCK: &str = "RwLock<HashMap> (std)";

/// One section per workload, with one case per size.
struct Sections {
    plan: Plan,
    /// The sections per number of threads, for hits and for misses.
    lookups: Vec<(usize, bool, Section)>,
    iteration: Section,
    writing: Section,
    /// The lookups while a writer publishes, in processor time.
    busy: Section,
    tails: Vec<(f64, Section)>,
    /// The sections per length of a batch.
    updates: Vec<(usize, Section)>,
    /// The sections per length of a batch and number of versions held.
    held: Vec<(usize, usize, Section)>,
}

/// Runs all table workloads, size by size; the maps of one size are created once and measured alternately.
pub fn tables(settings: &Settings, report: &mut Report) {
    if !["lookup", "writing", "update", "iterate"].iter().any(|workload| settings.wants(workload)) {
        return;
    }
    let mut sections = Sections::new(settings);
    for len in settings.sizes.iter().copied() {
        eprintln!("tables of {} entries", size(len));
        let data = Data::<u64, [u64; 4]>::new(len);
        let mut sides = sides(&data);
        if settings.wants("lookup") {
            sides.push(side::<Many<_, _>, _, _>(&data));
            sections.look_up(len, &data, &mut sides, report);
            sides.pop();
        }
        if settings.wants("iterate") {
            sections.iterate(len, &mut sides);
        }
        sides.push(side::<Plain<_, _>, _, _>(&data));
        if settings.wants("update") {
            sections.update(len, &data, &mut sides, report);
        }
        sides.pop();
        if settings.wants("writing") {
            sections.look_up_while_writing(len, &data, &mut sides, report);
        }
    }
    sections.hand_over(report);
}

/// Measures lookups with other keys and values.
pub fn types(settings: &Settings, report: &mut Report) {
    let sizes = settings.sizes.iter().copied().filter(|len| (10_000..=100_000).contains(len));
    for len in sizes {
        eprintln!("other keys and values, {} entries", size(len));
        let question = "ns per lookup (hits) with 1 thread, processor time. In brackets: ours / theirs.";
        let mut section = Section::new(format!("Other keys and values, {}", size(len)), question);
        type_case::<u64, u64>(settings.plan, len, &mut section);
        type_case::<u64, [u64; 16]>(settings.plan, len, &mut section);
        type_case::<[u8; 16], [u64; 4]>(settings.plan, len, &mut section);
        type_case::<String, [u64; 4]>(settings.plan, len, &mut section);
        type_case::<String, [u64; 16]>(settings.plan, len, &mut section);
        report.sections.push(section);
    }
}

fn type_case<K: Key, V: Value>(plan: Plan, len: usize, section: &mut Section) {
    let data = Data::<K, V>::new(len);
    let figures = measured(&mut sides(&data), plan, |side, budget| side.lookups(1, &data.hits, budget));
    section.case(format!("{} → {}", K::NAME, V::NAME), figures);
}

fn sides<K: Key, V: Value>(data: &Data<K, V>) -> Sides<K, V> {
    vec![
        side::<Switchboard<K, V>, K, V>(data),
        named::<Switchboard<K, V>, K, V>(CONTROL, data),
        side::<Flat<K, V>, K, V>(data),
        side::<Papaya<K, V>, K, V>(data),
        side::<SccIndex<K, V>, K, V>(data),
        side::<SccMap<K, V>, K, V>(data),
        side::<Dashmap<K, V>, K, V>(data),
        side::<Evmap<K, V>, K, V>(data),
        side::<LeftRight<K, V>, K, V>(data),
        side::<StdLock<K, V>, K, V>(data),
        side::<ParkingLot<K, V>, K, V>(data),
        side::<Imbl<K, V>, K, V>(data),
        side::<Rpds<K, V>, K, V>(data),
    ]
}

fn measured<K, V>(
    sides: &mut Sides<K, V>,
    plan: Plan,
    mut measure: impl FnMut(&mut dyn Side<K, V>, Duration) -> f64,
) -> Vec<(&'static str, f64)> {
    let figures = interleave(sides.len(), plan.rounds, |index| measure(&mut *sides[index], plan.budget));
    sides.iter().map(|side| side.name()).zip(figures).filter(|(_, figure)| !figure.is_nan()).collect()
}

impl Sections {
    fn new(settings: &Settings) -> Self {
        let lookup = |threads: usize, hits: bool| {
            let what = if hits { "hits" } else { "misses" };
            let clock = if threads == 1 { "processor time" } else { "wall clock" };
            let title = format!("Lookup: {what}, {threads} thread{}", if threads == 1 { "" } else { "s" });
            let question = format!(
                "ns per lookup and thread ({clock}), without a writer; u64 keys, 32-byte values, uniformly random. \
                 In brackets: ours / theirs."
            );
            (threads, hits, Section::new(title, question))
        };
        let update = |batch: usize| {
            let often = if batch == 1 { "each".into() } else { format!("every {batch}") };
            let question = "ns per update of an existing key (processor time), including the publish if there is \
                            one. In brackets: ours / theirs.";
            (batch, Section::new(format!("Update, publish {often}"), question))
        };
        let held = |batch: usize, held: usize| {
            let often = if batch == 1 { "each".into() } else { format!("every {batch}") };
            let what = if held == 1 {
                "one version held permanently".into()
            } else {
                format!("the last {held} versions held")
            };
            let question = "ns per update (processor time). One version held permanently: taken at the start of each \
                            round, which includes the copies that it causes. The last versions held: no version can \
                            be recycled. In brackets: ours / theirs.";
            (batch, held, Section::new(format!("Update, publish {often}, {what}"), question))
        };
        let combinations = settings.threads.iter().flat_map(|threads| [(*threads, true), (*threads, false)]);
        Self {
            plan: settings.plan,
            lookups: combinations.map(|(threads, hits)| lookup(threads, hits)).collect(),
            iteration: Section::new(
                "Iteration over all entries",
                "ns per entry (processor time). In brackets: ours / theirs.",
            ),
            writing: Section::new(
                "Lookup while a writer publishes",
                "ns per lookup of one reader (wall clock) while one writer updates continuously in batches of 64 \
                 (a lock is taken once per batch, which makes a batch as atomic as elsewhere). \
                 In brackets: ours / theirs.",
            ),
            busy: Section::new(
                "Lookup while a writer publishes, processor time",
                "The same rounds, ns of the reader's processor time per lookup: the effect of the writer on the \
                 reader's caches. Waiting for a lock and interruptions do not count. In brackets: ours / theirs.",
            ),
            tails: TAILS.iter().map(|percentile| (*percentile, tail(*percentile))).collect(),
            updates: vec![update(1), update(BATCH)],
            held: vec![held(1, 1), held(BATCH, 1), held(1, 4), held(BATCH, 4)],
        }
    }

    fn look_up(
        &mut self,
        len: usize,
        data: &Data<u64, [u64; 4]>,
        sides: &mut Sides<u64, [u64; 4]>,
        report: &mut Report,
    ) {
        for (threads, hits, section) in &mut self.lookups {
            let keys = if *hits { &data.hits } else { &data.misses };
            let figures = measured(sides, self.plan, |side, budget| side.lookups(*threads, keys, budget));
            section.case(size(len), figures);
            let case = section.cases.len() - 1;
            let Some(ours) = section.figure(OURS, case) else { continue };
            let what = format!("{}, {}", section.title, size(len));
            if let Some((rival, theirs)) = section.best(&RIVALS, case) {
                report.goal(what.clone(), rival, (ours, theirs), at_size(len, [0.7, 0.75, 0.9, 0.7]), "ns");
            }
            if let Some((rival, theirs)) = section.best(&RIVALS, case)
                && let Some(many) = section.figure(MANY, case)
            {
                let what = format!("{what}, get_many of 16");
                report.goal(what, rival, (many, theirs), at_size(len, [0.6, 0.6, 0.5, 0.4]), "ns");
            }
            if let Some(theirs) = section.figure(LIMIT, case) {
                report.goal(what, "the limit", (ours, theirs), 1.6, "ns");
            }
        }
    }

    fn iterate(&mut self, len: usize, sides: &mut Sides<u64, [u64; 4]>) {
        let figures = measured(sides, self.plan, |side, budget| side.iterate(budget));
        self.iteration.case(size(len), figures);
    }

    fn update(
        &mut self,
        len: usize,
        data: &Data<u64, [u64; 4]>,
        sides: &mut Sides<u64, [u64; 4]>,
        report: &mut Report,
    ) {
        let updates = &data.updates;
        for (batch, section) in &mut self.updates {
            let figures = measured(sides, self.plan, |side, budget| side.updates(*batch, updates, budget));
            section.case(size(len), figures);
            let case = section.cases.len() - 1;
            let (rival, limit) =
                if *batch == 1 { (IMBL, 0.35) } else { (PAPAYA, at_size(len, [0.5, 0.5, 1.0, 0.3])) };
            if let Some(figures) = section.figure(OURS, case).zip(section.figure(rival, case)) {
                report.goal(format!("{}, {}", section.title, size(len)), rival, figures, limit, "ns");
            }
        }
        for (batch, held, section) in &mut self.held {
            let figures = measured(sides, self.plan, |side, budget| {
                side.updates_while_held(*batch, *held, updates, budget).unwrap_or(f64::NAN)
            });
            section.case(size(len), figures);
            let case = section.cases.len() - 1;
            if let Some(figures) = section.figure(OURS, case).zip(section.figure(IMBL, case)) {
                report.goal(format!("{}, {}", section.title, size(len)), IMBL, figures, 1.2, "ns");
            }
        }
    }

    fn look_up_while_writing(
        &mut self,
        len: usize,
        data: &Data<u64, [u64; 4]>,
        sides: &mut Sides<u64, [u64; 4]>,
        report: &mut Report,
    ) {
        // Not measured in the rounds with a writer, but immediately before them, on the same maps.
        let idle = measured(sides, self.plan, |side, budget| side.lookups(1, &data.hits, budget));
        let mut sampled: Vec<_> = sides.iter().map(|side| (side.name(), histogram())).collect();
        let mut busy: Vec<(&str, Vec<f64>)> = sides.iter().map(|side| (side.name(), Vec::new())).collect();
        let figures = measured(sides, self.plan, |side, budget| {
            let own = sampled.iter_mut().find(|(name, _)| *name == side.name());
            let (_, sampled) = own.expect("every side has one");
            let (wall, cpu) = side.lookups_while_writing(data, budget * 3, sampled);
            busy.iter_mut().filter(|(name, _)| *name == side.name()).for_each(|(_, all)| all.push(cpu));
            wall
        });
        // The first round is the warm-up.
        self.busy.case(
            size(len),
            busy.iter().map(|(name, all)| (*name, median(all.get(1..).unwrap_or_default()))),
        );
        self.writing.case(size(len), figures);
        for (percentile, section) in &mut self.tails {
            let values =
                sampled.iter().map(|(name, all)| (*name, all.value_at_percentile(*percentile) as f64));
            section.case(size(len), values);
        }
        let case = self.writing.cases.len() - 1;
        let Some(ours) = self.writing.figure(OURS, case) else { return };
        let what = format!("Lookup while a writer publishes, {}", size(len));
        let idle = idle.iter().find(|(name, _)| *name == OURS);
        if let Some(((_, idle), busy)) = idle.zip(self.busy.figure(OURS, case)) {
            report.goal(format!("{what} (processor time)"), "itself, idle", (busy, *idle), 1.5, "ns");
        }
        if let Some((rival, theirs)) = self.writing.best(&RIVALS, case) {
            report.goal(what.clone(), rival, (ours, theirs), 1.0, "ns");
        }
        if let Some((_, section)) = self.tails.last()
            && let Some(figures) = section.figure(OURS, case).zip(section.figure(LOCK, case))
        {
            report.goal(format!("{what}: p99.9"), LOCK, figures, 0.1, "ns");
        }
    }

    fn hand_over(self, report: &mut Report) {
        let lookups = self.lookups.into_iter().map(|(_, _, section)| section);
        let tails = self.tails.into_iter().map(|(_, section)| section);
        let updates = self.updates.into_iter().map(|(_, section)| section);
        let held = self.held.into_iter().map(|(_, _, section)| section);
        let sections = lookups.chain([self.writing, self.busy]).chain(tails).chain(updates).chain(held);
        let sections = sections.chain([self.iteration]);
        report.sections.extend(sections.filter(|section| !section.cases.is_empty()));
    }
}

const TAILS: [f64; 3] = [50.0, 99.0, 99.9];
const PAPAYA: &str = RIVALS[0];

fn tail(percentile: f64) -> Section {
    let question = "ns of one lookup in 64, each timed separately (wall clock, including two clock reads, see the \
                    README). In brackets: ours / theirs.";
    Section::new(format!("Lookup while a writer publishes: p{percentile}"), question)
}

/// Returns the goal for the nearest of the sizes 1k, 10k, 100k and 1M.
fn at_size(len: usize, goals: [f64; 4]) -> f64 {
    let index = [3_000, 30_000, 300_000].iter().filter(|bound| len > **bound).count();
    goals[index]
}
