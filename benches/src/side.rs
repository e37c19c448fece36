//! A filled map of any kind, and its measurements.

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

/// Number of updates per publish of a writer that publishes in batches.
pub const BATCH: usize = 64;

/// One in this many lookups is timed separately.
const SAMPLED: usize = 64;

/// Maximum number of batches before a map is measured; some maps copy everything in each batch.
const SETTLING: usize = 64;

/// Number of batches that the writer must publish while a reader is measured; see [`Overlap`].
const OVERLAP: u64 = 8;

/// A filled map.
pub trait Side<K, V> {
    fn name(&self) -> &'static str;

    /// Measures ns per lookup and thread: in processor time for one thread, by the wall clock for several.
    fn lookups(&self, threads: usize, keys: &[K], budget: Duration) -> f64;

    /// Measures ns per lookup of one reader, by the wall clock and in its processor time, while a writer
    /// publishes batches continuously. Sampled lookups are recorded in the histogram.
    fn lookups_while_writing(
        &mut self,
        data: &Data<K, V>,
        budget: Duration,
        sampled: &mut Histogram<u64>,
    ) -> (f64, f64);

    /// Measures ns per update of an existing key, with a publish every `batch` updates.
    fn updates(&mut self, batch: usize, updates: &[(K, V)], budget: Duration) -> f64;

    /// Measures the same while readers always hold the current version and the `held - 1` versions before it.
    /// Returns `None` if the map has no versions.
    fn updates_while_held(
        &mut self,
        batch: usize,
        held: usize,
        updates: &[(K, V)],
        budget: Duration,
    ) -> Option<f64>;

    /// Measures ns per entry of a visit to all entries.
    fn iterate(&self, budget: Duration) -> f64;
}

/// Creates a map of the kind `P` with these entries.
pub fn side<P: Peer<K, V>, K: Key, V: Value>(data: &Data<K, V>) -> Box<dyn Side<K, V>> {
    named::<P, K, V>(P::NAME, data)
}

/// Creates the same map under another name, as the second side of an A/A control.
pub fn named<P: Peer<K, V>, K: Key, V: Value>(name: &'static str, data: &Data<K, V>) -> Box<dyn Side<K, V>> {
    let mut peer = P::new();
    peer.fill(&data.entries);
    let (mut next, len) = (0, data.entries.len());
    // Completes work that filling may have left unfinished: a resize, a second copy that lags behind.
    for _ in 0..(len / 4 / BATCH).clamp(8, SETTLING) {
        write(&mut peer, &mut next, BATCH, &data.updates);
    }
    Box::new(Filled { name, peer, len, next })
}

struct Filled<P> {
    name: &'static str,
    peer: P,
    len: usize,
    /// The position in the updates at which the next round continues.
    next: usize,
}

/// Looks up keys, one chunk of the sequence at a time, beginning at a random position.
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
        black_box(reader.sum(self.chunk()));
    }

    /// Measures ns per lookup.
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
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
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
                // Relaxed, here and below: the flag and the counter publish no other data.
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
            reader.join().expect("the reader does not panic")
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

/// Ensures that the writer runs while the reader is measured, which a busy machine may prevent.
struct Overlap<'a>(&'a AtomicU64);

impl Overlap<'_> {
    /// Repeats `measure`, at most 50 times, until the writer has published a few batches in the meantime.
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

/// Writes one batch.
fn write<P: Peer<K, V>, K: Key, V: Value>(peer: &mut P, next: &mut usize, batch: usize, updates: &[(K, V)]) {
    if *next + batch > updates.len() {
        *next = 0;
    }
    peer.put_all(updates[*next..*next + batch].iter());
    *next += batch;
}

/// Times one lookup in many separately.
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
