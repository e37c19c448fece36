//! The adversary of `tests/adversary.rs` over the bare cell: without a map in between, it publishes and loads
//! ten times as many versions, and headers have the same size as the values of the plain cells beside them.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)] // Real time and figures.

use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::*;
use crate::sync::StdArc;
use crate::sync::atomic::AtomicBool;
use crate::sync::model::spawn;

/// Number of cells of each kind.
const CELLS: usize = 4;

/// A state that names its cell and version, and shows whether it is whole.
struct Tagged {
    cell: usize,
    number: u64,
    again: u64,
}

impl Tagged {
    fn new(cell: usize, number: u64) -> Self {
        Self { cell, number, again: !number }
    }

    fn is_whole(&self, cell: usize) -> bool {
        self.cell == cell && self.number == !self.again
    }
}

/// The value of a plain cell: as large as a header.
struct Plain(#[allow(dead_code)] [u64; size_of::<Header<Tagged>>() / 8]);

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    wrong: AtomicU64,
    backwards: AtomicU64,
    loads: AtomicU64,
}

impl Shared {
    fn goes_on(&self) -> bool {
        // Relaxed: the flag carries no data.
        !self.stop.load(Ordering::Relaxed)
    }
}

fn read(cells: &[Arc<SnapshotCell<Tagged>>], plain: &[ArcSwap<Plain>], guards: usize, shared: &Shared) {
    let fillers: Vec<_> = (0..guards).map(ArcSwap::from_pointee).collect();
    // Guards that occupy the fast slots of this thread, so that its loads take the slow path.
    let _guards: Vec<_> = fillers.iter().map(ArcSwap::load).collect();
    let mut newest = [0; CELLS];
    let mut kept: VecDeque<(usize, Arc<Header<Tagged>>)> = VecDeque::new();
    let mut loads = 0;
    while shared.goes_on() {
        for (index, cell) in cells.iter().enumerate() {
            let counted = cell.version().as_u64();
            let header = cell.load();
            let number = header.version().as_u64();
            let is_whole = |cell: usize, header: &Header<Tagged>| {
                header.state().is_whole(cell) && header.state().number == header.version().as_u64()
            };
            if !is_whole(index, &header) {
                shared.wrong.fetch_add(1, Ordering::Relaxed);
            }
            if number < newest[index].max(counted) {
                shared.backwards.fetch_add(1, Ordering::Relaxed);
            }
            newest[index] = number;
            drop(plain[index].load());
            loads += 1;
            if loads % 7 == 0 {
                kept.push_back((index, header));
            }
            if kept.len() > 12
                && let Some((index, header)) = kept.pop_front()
                && !is_whole(index, &header)
            {
                shared.wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    shared.loads.fetch_add(loads, Ordering::Relaxed);
}

fn attack(duration: Duration) {
    let shared = StdArc::new(Shared::default());
    let mut publishers: Vec<_> = (0..CELLS).map(|cell| Publisher::new(Tagged::new(cell, 0))).collect();
    let cells: Vec<_> = publishers.iter().map(|publisher| publisher.cell().clone()).collect();
    let plain: StdArc<Vec<_>> =
        StdArc::new((0..CELLS).map(|_| ArcSwap::from_pointee(Plain([0; _]))).collect());
    let mut threads: Vec<_> = [0, 9, 0, 0]
        .into_iter()
        .map(|guards| {
            let (cells, plain, shared) = (cells.clone(), plain.clone(), shared.clone());
            spawn(move || read(&cells, &plain, guards, &shared))
        })
        .collect();
    let churned = shared.clone();
    threads.push(spawn(move || {
        let mut boxes = Vec::new();
        while churned.goes_on() {
            boxes.push(Box::new(Plain([1; _])));
            if boxes.len() > 64 {
                boxes.clear();
            }
        }
    }));
    let end = Instant::now() + duration;
    let mut number = 0;
    while Instant::now() < end {
        for _ in 0..256 {
            number += 1;
            for (cell, publisher) in publishers.iter_mut().enumerate() {
                // Every other publish recycles, so that headers are reused in both ways.
                let recycled = if number % 2 == 0 { publisher.recycle().0 } else { None };
                let mut state = recycled.map_or_else(|| Tagged::new(cell, 0), |recycled| recycled.state);
                (state.number, state.again) = (number, !number);
                drop(publisher.publish_next(state, Version::ZERO));
                publisher.tidy(|_| true);
                plain[cell].store(StdArc::new(Plain([number; _])));
            }
        }
    }
    shared.stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    let [loads, wrong, backwards] =
        [&shared.loads, &shared.wrong, &shared.backwards].map(|counter| counter.load(Ordering::Relaxed));
    let headers: Vec<_> = publishers.iter().map(Publisher::headers).collect();
    println!("{duration:?}: loads {loads}, versions {number} x {CELLS}, headers {headers:?}, wrong {wrong}");
    assert!(loads > 0 && number > 0);
    assert_eq!((wrong, backwards), (0, 0));
    // Four readers with 12 kept versions each, one that each reader is loading, and retired versions that
    // have not been checked yet.
    assert!(headers.iter().all(|headers| *headers < 200), "{headers:?}");
}

#[test]
fn a_cell_never_returns_a_foreign_version() {
    attack(Duration::from_secs(1));
}

#[test]
#[ignore = "slow: SWITCHBOARD_ADVERSARY_SECONDS, 60 by default"]
fn a_cell_never_returns_a_foreign_version_for_long() {
    let text = std::env::var("SWITCHBOARD_ADVERSARY_SECONDS").ok();
    attack(Duration::from_secs(text.and_then(|text| text.parse().ok()).unwrap_or(60)));
}
