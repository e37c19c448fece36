//! A filled map of any kind, and what can be measured of it.

use std::any::Any;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::data::{CHUNK, Data, Key, Value};
use crate::measure::{Clock, median, ns_since, run_for};
use crate::peers::{Peer, Read};

/// Updates per publish of a writer that publishes in batches.
pub const BATCH: usize = 64;

/// One in so many lookups is timed by itself.
const SAMPLED: usize = 64;

/// Batches at most before a map is measured: some copy everything in each.
const SETTLING: usize = 64;

/// Batches that the writer must have published while a reader is measured; see [`Overlap`].
const OVERLAP: u64 = 8;

/// A filled map.
pub trait Side<K, V> {
    fn name(&self) -> &'static str;

    /// ns per lookup and thread. One thread is timed by its processor time, several by the wall clock.
    fn lookups(&self, threads: usize, keys: &[K], budget: Duration) -> f64;

    /// ns per lookup of one reader, by the wall clock and of its processor time, while a writer publishes batches
    /// without pause; sampled lookups go into the histogram.
    fn lookups_while_writing(
        &mut self,
        data: &Data<K, V>,
        budget: Duration,
        sampled: &mut Histogram<u64>,
    ) -> (f64, f64);

    /// ns per update of a key that is there, with a publish every `batch` updates.
    fn updates(&mut self, batch: usize, updates: &[(K, V)], budget: Duration) -> f64;

    /// The same while readers never let go of the present version and the `held - 1` versions before.
    fn updates_while_held(
        &mut self,
        batch: usize,
        held: usize,
        updates: &[(K, V)],
        budget: Duration,
    ) -> Option<f64>;

    /// ns per entry of a visit to all.
    fn iterate(&self, budget: Duration) -> f64;
}

/// A map of the kind `P` with these entries.
pub fn side<P: Peer<K, V>, K: Key, V: Value>(data: &Data<K, V>) -> Box<dyn Side<K, V>> {
    named::<P, K, V>(P::NAME, data)
}

/// The same under another name: the second side of an A/A control.
pub fn named<P: Peer<K, V>, K: Key, V: Value>(name: &'static str, data: &Data<K, V>) -> Box<dyn Side<K, V>> {
    let mut peer = P::new();
    peer.fill(&data.entries);
    let (mut next, len) = (0, data.entries.len());
    // Settles what filling has left half done: a resize, a copy that is still to be caught up.
    for _ in 0..(len / 4 / BATCH).clamp(8, SETTLING) {
        write(&mut peer, &mut next, BATCH, &data.updates);
    }
    Box::new(Filled { name, peer, len, next })
}

struct Filled<P> {
    name: &'static str,
    peer: P,
    len: usize,
    /// Where the next round of updates goes on.
    next: usize,
}

/// Looks keys up, a chunk of the sequence at a time, from a random place on.
struct Asking<'a, K> {
    keys: &'a [K],
    at: usize,
}

impl<'a, K: Key> Asking<'a, K> {
    fn new(keys: &'a [K], rng: &mut fastrand::Rng) -> Self {
        Self { keys, at: rng.usize(0..keys.len() / CHUNK) * CHUNK }
    }

    fn chunk(&mut self) -> &'a [K] {
        if self.at + CHUNK > self.keys.len() {
            self.at = 0;
        }
        self.at += CHUNK;
        &self.keys[self.at - CHUNK..self.at]
    }

    #[inline(never)]
    fn ask<V: Value>(&mut self, reader: &mut impl Read<K, V>) {
        let mut sum = 0_u64;
        for key in self.chunk() {
            sum = sum.wrapping_add(reader.with(key, |value| value.word()).unwrap_or(1));
        }
        black_box(sum);
    }

    /// ns per lookup.
    fn run<V: Value>(&mut self, clock: Clock, reader: &mut impl Read<K, V>, budget: Duration) -> f64 {
        let chunk = run_for(clock, budget, |times| (0..times).for_each(|_| self.ask(reader)));
        chunk / CHUNK as f64
    }
}

impl<P: Peer<K, V>, K: Key, V: Value> Side<K, V> for Filled<P> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn lookups(&self, threads: usize, keys: &[K], budget: Duration) -> f64 {
        let source = self.peer.source();
        if threads == 1 {
            let mut reader = P::reader(&source);
            let mut asking = Asking::new(keys, &mut fastrand::Rng::new());
            asking.run(Clock::Cpu, &mut reader, budget / 5);
            return asking.run(Clock::Cpu, &mut reader, budget);
        }
        let barrier = Barrier::new(threads);
        let total: f64 = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|_| {
                    let (source, barrier) = (source.clone(), &barrier);
                    scope.spawn(move || {
                        let mut reader = P::reader(&source);
                        let mut asking = Asking::new(keys, &mut fastrand::Rng::new());
                        barrier.wait();
                        asking.run(Clock::Wall, &mut reader, budget / 5);
                        barrier.wait();
                        asking.run(Clock::Wall, &mut reader, budget)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("nobody panics")).sum()
        });
        total / threads as f64
    }

    fn lookups_while_writing(
        &mut self,
        data: &Data<K, V>,
        budget: Duration,
        sampled: &mut Histogram<u64>,
    ) -> (f64, f64) {
        let source = self.peer.source();
        let (stop, published) = (AtomicBool::new(false), AtomicU64::new(0));
        let (peer, next) = (&mut self.peer, &mut self.next);
        thread::scope(|scope| {
            let (stop, published) = (&stop, &published);
            scope.spawn(move || {
                // Relaxed, here and below: nothing is handed over with the flag and the counter.
                while !stop.load(Ordering::Relaxed) {
                    write(peer, next, BATCH, &data.updates);
                    published.fetch_add(1, Ordering::Relaxed);
                }
            });
            let reader = scope.spawn(move || {
                let mut reader = P::reader(&source);
                let mut asking = Asking::new(&data.hits, &mut fastrand::Rng::new());
                let overlap = Overlap(published);
                let _ = overlap.during(|| asking.run(Clock::Wall, &mut reader, budget / 5));
                let figures = overlap.during(|| {
                    let (wall, cpu) = (Clock::Wall.start(), Clock::Cpu.start());
                    let ns = asking.run(Clock::Wall, &mut reader, budget);
                    (ns, ns * cpu.elapsed().as_secs_f64() / wall.elapsed().as_secs_f64())
                });
                overlap.during(|| sample(&mut asking, &mut reader, budget, sampled));
                stop.store(true, Ordering::Relaxed);
                let (wall, cpu): (Vec<_>, Vec<_>) = figures.into_iter().unzip();
                (median(&wall), median(&cpu))
            });
            reader.join().expect("nobody panics")
        })
    }

    fn updates(&mut self, batch: usize, updates: &[(K, V)], budget: Duration) -> f64 {
        let (peer, next) = (&mut self.peer, &mut self.next);
        let ns = run_for(Clock::Cpu, budget, |times| {
            (0..times).for_each(|_| write(peer, next, batch, updates));
        });
        ns / batch as f64
    }

    fn updates_while_held(
        &mut self,
        batch: usize,
        held: usize,
        updates: &[(K, V)],
        budget: Duration,
    ) -> Option<f64> {
        self.peer.hold()?;
        let (peer, next) = (&mut self.peer, &mut self.next);
        let mut holders: Vec<Option<Box<dyn Any>>> = (0..held).map(|_| peer.hold()).collect();
        let mut oldest = 0;
        let ns = run_for(Clock::Cpu, budget, |times| {
            for _ in 0..times {
                write(peer, next, batch, updates);
                if held > 1 {
                    holders[oldest] = peer.hold();
                    oldest = (oldest + 1) % held;
                }
            }
        });
        Some(ns / batch as f64)
    }

    fn iterate(&self, budget: Duration) -> f64 {
        let source = self.peer.source();
        let mut reader = P::reader(&source);
        let ns = run_for(Clock::Cpu, budget, |times| {
            for _ in 0..times {
                let mut sum = 0_u64;
                reader.for_each(|_, value| sum = sum.wrapping_add(value.word()));
                black_box(sum);
            }
        });
        ns / self.len as f64
    }
}

/// A machine that is busy with other things may not let the writer run while the reader is measured, and then
/// nothing is measured.
struct Overlap<'a>(&'a AtomicU64);

impl Overlap<'_> {
    /// Repeats `measure` until the writer has published a few batches meanwhile; 50 times at most.
    fn during<R>(&self, mut measure: impl FnMut() -> R) -> Vec<R> {
        let mut results = Vec::new();
        let before = self.0.load(Ordering::Relaxed);
        while results.len() < 50 {
            results.push(measure());
            if self.0.load(Ordering::Relaxed) >= before + OVERLAP {
                break;
            }
        }
        results
    }
}

/// One batch.
fn write<P: Peer<K, V>, K: Key, V: Value>(peer: &mut P, next: &mut usize, batch: usize, updates: &[(K, V)]) {
    if *next + batch > updates.len() {
        *next = 0;
    }
    peer.put_all(updates[*next..*next + batch].iter());
    *next += batch;
}

/// Times one lookup in many, by itself.
fn sample<K: Key, V: Value>(
    asking: &mut Asking<'_, K>,
    reader: &mut impl Read<K, V>,
    budget: Duration,
    sampled: &mut Histogram<u64>,
) {
    let start = Instant::now();
    while start.elapsed() < budget {
        for keys in asking.chunk().chunks(SAMPLED) {
            for key in keys {
                black_box(reader.with(key, |value| value.word()));
            }
            let before = Instant::now();
            black_box(reader.with(black_box(&keys[0]), |value| value.word()));
            sampled.saturating_record(ns_since(before));
        }
    }
}
