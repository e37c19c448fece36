//! A stress test for arc-swap issue 210: a reader of one cell gets a value that was stored in another one.
//!
//! Plain `ArcSwap` cells are written alongside the tables in one process, while one thread reuses freed
//! addresses at once. Every value contains its table, its type and the version in which it was published, and
//! every read checks all three. `plain_cells_return_foreign_values` shows that the test can detect the
//! defect: the same readers do find foreign values in plain cells. Sanitizers hide the effect (they delay the
//! reuse of addresses), so this test runs without them, in release mode:
//!
//! ```text
//! cargo test --release --test adversary
//! SWITCHBOARD_ADVERSARY_SECONDS=600 cargo test --release --test adversary -- --ignored --nocapture --test-threads 1
//! ```

#![allow(clippy::disallowed_methods, clippy::print_stdout)] // Measures real time and prints figures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use switchboard::{Reader, Snapshot, Table, Version, Writer};

/// Number of tables, and of plain cells, per type.
const CELLS: u64 = 3;
/// Number of entries of a table. All of them carry its version.
const KEYS: u64 = 2;
/// Number of guards that fill the fast slots of a thread, so each load takes the slow path.
const GUARDS: usize = 9;

/// A stored value that identifies its cell.
trait Tagged: Clone + Send + Sync + 'static {
    fn new(cell: u64, version: u64) -> Self;
    /// Returns the version if this is an intact value of this type and cell.
    fn check(&self, cell: u64) -> Option<u64>;
}

#[derive(Clone)]
struct Early {
    tag: u64,
    cell: u64,
    version: u64,
    again: u64,
}

impl Tagged for Early {
    fn new(cell: u64, version: u64) -> Self {
        Self { tag: 0xEA, cell, version, again: version }
    }

    fn check(&self, cell: u64) -> Option<u64> {
        (self.tag == 0xEA && self.cell == cell && self.version == self.again).then_some(self.version)
    }
}

/// As large as the header of a version, so the allocator uses the same addresses for both.
#[derive(Clone)]
struct Late {
    version: u64,
    cell: u64,
    filler: [u64; 10],
    again: u64,
    tag: u64,
}

impl Tagged for Late {
    fn new(cell: u64, version: u64) -> Self {
        Self { version, cell, filler: [version; 10], again: version, tag: 0x1A }
    }

    fn check(&self, cell: u64) -> Option<u64> {
        let whole = self.version == self.again && self.filler[(self.version % 10) as usize] == self.version;
        (self.tag == 0x1A && self.cell == cell && whole).then_some(self.version)
    }
}

/// The results of the readers.
#[derive(Debug, Default)]
struct Findings {
    reads: AtomicU64,
    foreign: AtomicU64,
    backwards: AtomicU64,
    plain_foreign: AtomicU64,
    published: AtomicU64,
}

fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Writes only when something is wrong, so that the readers do not slow each other down.
fn note(counter: &AtomicU64, found: bool) {
    if found {
        count(counter, 1);
    }
}

fn total(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn seconds(default: u64) -> Duration {
    let text = std::env::var("SWITCHBOARD_ADVERSARY_SECONDS").ok();
    Duration::from_secs(text.and_then(|text| text.parse().ok()).unwrap_or(default))
}

/// The targets of one type.
struct Targets<V: Tagged> {
    tables: Vec<Table<u64, V>>,
    /// The newest version of each table that any thread has seen.
    seen: Vec<AtomicU64>,
    plain: Vec<ArcSwap<V>>,
}

fn targets<V: Tagged>() -> (Vec<Writer<u64, V>>, Arc<Targets<V>>) {
    let (writers, tables) = (0..CELLS).map(|cell| table(cell)).unzip();
    let seen = (0..CELLS).map(|_| AtomicU64::new(0)).collect();
    let plain = (0..CELLS).map(|cell| ArcSwap::from_pointee(V::new(cell, 0))).collect();
    (writers, Arc::new(Targets { tables, seen, plain }))
}

fn table<V: Tagged>(cell: u64) -> (Writer<u64, V>, Table<u64, V>) {
    let (mut writer, table) = Table::new();
    publish(&mut writer, cell);
    (writer, table)
}

fn publish<V: Tagged>(writer: &mut Writer<u64, V>, cell: u64) -> Version {
    let version = writer.version().as_u64() + 1;
    for key in 0..KEYS {
        writer.insert(key, V::new(cell, version));
    }
    let published = writer.publish();
    assert_eq!(published.as_u64(), version);
    published
}

/// Whether all of a snapshot belongs to its table and its version.
fn is_whole<V: Tagged>(snapshot: &Snapshot<u64, V>, cell: u64) -> bool {
    let version = snapshot.version().as_u64();
    snapshot.len() == KEYS as usize
        && (0..KEYS).all(|key| snapshot.get(&key).and_then(|value| value.check(cell)) == Some(version))
}

#[derive(Clone, Copy)]
enum Way {
    /// `Table::snapshot`, kept for a while.
    Snapshot,
    /// `Reader::snapshot`.
    Reader,
    /// `Table::snapshot` while the fast slots of the thread are occupied.
    SlowPath,
}

/// Reads all tables of a type, one after the other.
struct Probe<V: Tagged> {
    targets: Arc<Targets<V>>,
    readers: Vec<Reader<u64, V>>,
    newest: Vec<u64>,
    kept: VecDeque<(u64, Snapshot<u64, V>)>,
    next: u64,
}

impl<V: Tagged> Probe<V> {
    fn new(targets: Arc<Targets<V>>) -> Self {
        let readers = targets.tables.iter().map(Table::reader).collect();
        Self { targets, readers, newest: vec![0; CELLS as usize], kept: VecDeque::new(), next: 0 }
    }

    fn read(&mut self, way: Way, findings: &Findings) {
        self.next += 1;
        let cell = self.next % CELLS;
        let index = cell as usize;
        let told = self.targets.seen[index].load(Ordering::Acquire);
        let version = match way {
            Way::Reader => {
                let snapshot = self.readers[index].snapshot();
                note(&findings.foreign, !is_whole(snapshot, cell));
                snapshot.version().as_u64()
            }
            Way::Snapshot | Way::SlowPath => {
                let snapshot = self.targets.tables[index].snapshot();
                note(&findings.foreign, !is_whole(&snapshot, cell));
                let version = snapshot.version().as_u64();
                if self.next.is_multiple_of(4) {
                    self.keep(cell, snapshot, findings);
                }
                version
            }
        };
        // The version is older neither than the last one of this reader, nor than any that was seen before
        // the read began.
        note(&findings.backwards, version < self.newest[index].max(told));
        self.newest[index] = version;
        if self.next.is_multiple_of(8) {
            self.targets.seen[index].fetch_max(version, Ordering::Release);
        }
        // The plain cells are read too: their debts are the danger for the tables.
        let plain = self.targets.plain[index].load().check(cell);
        note(&findings.plain_foreign, plain.is_none());
    }

    /// Holds a snapshot for a while, and checks that it has not changed.
    fn keep(&mut self, cell: u64, snapshot: Snapshot<u64, V>, findings: &Findings) {
        self.kept.push_back((cell, snapshot));
        if self.kept.len() > 12
            && let Some((cell, oldest)) = self.kept.pop_front()
        {
            note(&findings.foreign, !is_whole(&oldest, cell));
        }
    }
}

/// Runs `others` until `duration` has passed.
fn attack(
    duration: Duration,
    findings: &Findings,
    stop: &AtomicBool,
    others: Vec<Box<dyn FnOnce() + Send + '_>>,
) {
    thread::scope(|scope| {
        for other in others {
            scope.spawn(other);
        }
        let end = Instant::now() + duration;
        while Instant::now() < end {
            thread::park_timeout(end - Instant::now());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(total(&findings.reads) > 0, "no reads");
}

/// Reuses addresses that were just freed.
fn churn(stop: &AtomicBool) {
    let mut boxes: VecDeque<Box<[u64; 6]>> = VecDeque::new();
    let mut large: VecDeque<Box<[u64; 16]>> = VecDeque::new();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        boxes.push_back(Box::new([n; 6]));
        large.push_back(Box::new([n; 16]));
        if boxes.len() > 64 {
            boxes.clear();
            large.clear();
        }
    }
}

/// Writes everything from one thread: the tables and the plain cells.
fn write<V: Tagged, W: Tagged>(
    (mut first, first_targets): (Vec<Writer<u64, V>>, Arc<Targets<V>>),
    (mut second, second_targets): (Vec<Writer<u64, W>>, Arc<Targets<W>>),
    findings: &Findings,
    stop: &AtomicBool,
) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        for (cell, writer) in (0..).zip(&mut first) {
            publish(writer, cell);
            first_targets.plain[cell as usize].store(Arc::new(V::new(cell, n)));
        }
        for (cell, writer) in (0..).zip(&mut second) {
            publish(writer, cell);
            second_targets.plain[cell as usize].store(Arc::new(W::new(cell, n)));
        }
        count(&findings.published, 2 * CELLS);
    }
}

/// Creates tables that live only briefly, and free their addresses.
fn mayflies(findings: &Findings, stop: &AtomicBool) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let (mut writer, table) = table::<Early>(n);
        let mut reader = table.reader();
        for _ in 0..4 {
            publish(&mut writer, n);
            let whole = is_whole(&table.snapshot(), n) && is_whole(reader.snapshot(), n);
            note(&findings.foreign, !whole);
        }
        let last = table.snapshot();
        drop((writer, table, reader));
        note(&findings.foreign, !is_whole(&last, n));
    }
}

fn tables_under_attack(duration: Duration) {
    let (findings, stop) = (Findings::default(), AtomicBool::new(false));
    let (early_writers, early) = targets::<Early>();
    let (late_writers, late) = targets::<Late>();
    let fillers: Vec<ArcSwap<u64>> = (0..GUARDS as u64).map(ArcSwap::from_pointee).collect();
    let mut threads: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for way in [Way::Snapshot, Way::Reader, Way::SlowPath, Way::Snapshot] {
        let (mut early, mut late) = (Probe::new(early.clone()), Probe::new(late.clone()));
        let (findings, stop, fillers) = (&findings, &stop, &fillers);
        threads.push(Box::new(move || {
            let guards: Vec<_> = match way {
                Way::SlowPath => fillers.iter().map(ArcSwap::load).collect(),
                Way::Snapshot | Way::Reader => Vec::new(),
            };
            let mut reads = 0;
            while !stop.load(Ordering::Relaxed) {
                early.read(way, findings);
                late.read(way, findings);
                reads += 2;
            }
            count(&findings.reads, reads);
            drop(guards);
        }));
    }
    threads.push(Box::new(|| {
        write((early_writers, early.clone()), (late_writers, late.clone()), &findings, &stop);
    }));
    threads.push(Box::new(|| mayflies(&findings, &stop)));
    threads.push(Box::new(|| churn(&stop)));
    attack(duration, &findings, &stop, threads);
    println!("{duration:?}: {findings:?}");
    assert!(total(&findings.published) > 0, "no publishes");
    assert_eq!(total(&findings.foreign), 0, "a table returned a foreign or torn version");
    assert_eq!(total(&findings.backwards), 0, "a reader went backwards");
}

#[test]
fn tables_never_return_foreign_values() {
    tables_under_attack(seconds(2));
}

#[test]
#[ignore = "slow: SWITCHBOARD_ADVERSARY_SECONDS, 60 by default"]
fn tables_never_return_foreign_values_for_long() {
    tables_under_attack(seconds(60));
}

/// Not a test of this crate: shows that such readers find the defect where it exists. The result depends on
/// chance: it takes some seconds on two idle cores, a minute or more on busy ones.
#[test]
#[ignore = "demonstrates a defect of plain `ArcSwap` cells: undefined behaviour on purpose"]
fn plain_cells_return_foreign_values() {
    let (findings, stop) = (Findings::default(), AtomicBool::new(false));
    let early: Vec<_> = (0..CELLS).map(|cell| ArcSwap::from_pointee(Early::new(cell, 0))).collect();
    let other: Vec<_> = (0..CELLS).map(|cell| ArcSwap::from_pointee(Early::new(100 + cell, 0))).collect();
    let mut threads: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    let by_way: [AtomicU64; 2] = Default::default();
    for way in [0, 1] {
        let (early, other, findings, stop, by_way) = (&early, &other, &findings, &stop, &by_way);
        threads.push(Box::new(move || {
            let mut reads = 0;
            while !stop.load(Ordering::Relaxed) {
                for (index, cell) in early.iter().chain(other).enumerate() {
                    let number =
                        if index < CELLS as usize { index as u64 } else { 100 + index as u64 - CELLS };
                    let found = match way {
                        0 => cell.load().check(number),
                        _ => cell.load_full().check(number),
                    };
                    note(&by_way[way], found.is_none());
                    reads += 1;
                }
            }
            count(&findings.reads, reads);
        }));
    }
    threads.push(Box::new(|| {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            n += 1;
            for (cell, (early, other)) in (0..).zip(early.iter().zip(&other)) {
                early.store(Arc::new(Early::new(cell, n)));
                other.store(Arc::new(Early::new(100 + cell, n)));
            }
            count(&findings.published, 2 * CELLS);
        }
    }));
    let duration = seconds(60);
    attack(duration, &findings, &stop, threads);
    println!("{duration:?}: reads {:?}, foreign by load, load_full: {by_way:?}", findings.reads);
    assert!(by_way.iter().map(total).sum::<u64>() > 0, "no foreign value was found: run for longer");
}
