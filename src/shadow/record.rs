//! What a shadow finds out: mismatches, counters, latencies.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::answer::Reply;
use super::mismatch::Mismatch;
use super::operation::{Operation, Value};
use super::pair::Shared;
use super::settings::Settings;
use super::side::Side;
use crate::link::addr::Addr;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock_order};
use crate::unwind::contain;

/// What a [`Shadow`](super::Shadow) has done so far.
///
/// Each counter is exact; read while operations are under way, they need not belong together. When both sides
/// are idle, each side has performed or skipped every accepted operation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Operations that got a place in the order.
    pub accepted: u64,
    /// Operations that no side had room for: they changed nothing.
    pub refused: u64,
    /// Pairs of answers that were compared.
    pub compared: u64,
    /// Pairs that differed.
    pub mismatches: u64,
    /// Mismatches that made room for newer ones before anybody took them.
    pub mismatches_dropped: u64,
    /// Callers that got the answer of the side that did not serve, because the other one had none.
    pub fallbacks: u64,
    /// Panics of the callbacks, contained.
    pub callback_panics: u64,
    /// The first side.
    pub a: SideStats,
    /// The second side.
    pub b: SideStats,
}

/// One side of a shadow.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SideStats {
    /// Operations performed, those that panicked included.
    pub performed: u64,
    /// Operations that were accepted and that this side never performs.
    pub skipped: u64,
    /// Panics of the store, contained.
    pub panics: u64,
    /// Callers that waited for this side until their deadline.
    pub timeouts: u64,
    /// Operations that wait in its queue.
    pub queue_len: usize,
    /// A caller has waited in vain, and the side has not caught up since.
    pub lagging: bool,
    /// The side has missed a change and is left out until it is resynchronized.
    pub diverged: bool,
    /// How long the store took.
    pub latency: CallLatency,
}

/// How long the calls of one store took, in nanoseconds, with a relative error below 1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallLatency {
    /// Calls measured.
    pub count: u64,
    /// The mean.
    pub ns_mean: f64,
    /// Half of the calls took no longer.
    pub ns_p50: u64,
    /// 99 of 100 calls took no longer.
    pub ns_p99: u64,
    /// 999 of 1000 calls took no longer.
    pub ns_p999: u64,
    /// The longest; what took longer than a minute counts as a minute.
    pub ns_max: u64,
}

/// Compares, counts, keeps.
///
/// Latencies are recorded under a lock of their own for each side. Its worker is the only one that records,
/// so it waits only for somebody who reads the statistics; a histogram for each thread would need to be
/// collected, and would not be cheaper: an uncontended lock is small beside the hand-over between two threads
/// that every operation costs.
pub(super) struct Recorder<A: Addr> {
    settings: Settings<A>,
    compared: AtomicU64,
    callback_panics: AtomicU64,
    ring: Mutex<Ring<A>>,
    latencies: [Mutex<Histogram<u64>>; 2],
}

/// Valid after any panic: a mismatch is in it as a whole or not at all.
struct Ring<A: Addr> {
    mismatches: VecDeque<Mismatch<A>>,
    found: u64,
    dropped: u64,
}

impl<A: Addr> Recorder<A> {
    pub(super) fn new(settings: Settings<A>) -> Self {
        let ring = Ring { mismatches: VecDeque::new(), found: 0, dropped: 0 };
        Self {
            settings,
            compared: AtomicU64::new(0),
            callback_panics: AtomicU64::new(0),
            ring: Mutex::new(&lock_order::SHADOW_RING, ring),
            latencies: [(); 2].map(|()| Mutex::new(&lock_order::SHADOW_LATENCY, histogram())),
        }
    }

    pub(super) fn settings(&self) -> &Settings<A> {
        &self.settings
    }

    pub(super) fn took(&self, side: Side, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.latencies[side as usize].lock().saturating_record(ns);
    }

    /// Compares the answers of both sides. No lock is held while foreign code runs.
    pub(super) fn compare(&self, operation: &Operation<A>, [a, b]: [Shared<A>; 2]) {
        // Unwind safety: answers are read only.
        let agreed = contain(AssertUnwindSafe(|| match &self.settings.agree {
            Some(rule) => rule(operation, &a, &b),
            None => a == b,
        }));
        if !agreed.unwrap_or_else(|| self.count_panic()) {
            self.report(operation, &a, &b);
        }
        // Relaxed: a plain counter. After the mismatch, so that nobody sees more compared than counted.
        self.compared.fetch_add(1, Ordering::Relaxed);
    }

    /// Every mismatch goes through here, whatever it is then told to: the place for structured logs.
    fn report(&self, operation: &Operation<A>, a: &Reply<Value<A>>, b: &Reply<Value<A>>) {
        let version = |reply: &Reply<Value<A>>| reply.as_ref().ok().and_then(|answer| answer.version);
        let mismatch = Mismatch {
            operation: operation.clone(),
            answer_a: a.clone(),
            answer_b: b.clone(),
            versions: (version(a), version(b)),
            at: self.settings.clock.now(),
        };
        if let Some(sink) = &self.settings.sink
            && contain(AssertUnwindSafe(|| sink(&mismatch))).is_none()
        {
            self.count_panic();
        }
        let mut ring = self.ring.lock();
        ring.found += 1;
        let full = ring.mismatches.len() >= self.settings.keep;
        ring.dropped += u64::from(full);
        let oldest = if full { ring.mismatches.pop_front() } else { None };
        ring.mismatches.push_back(mismatch);
        drop(ring);
        drop(oldest);
    }

    fn count_panic(&self) -> bool {
        // Relaxed: a plain counter.
        self.callback_panics.fetch_add(1, Ordering::Relaxed);
        false
    }

    pub(super) fn take_mismatches(&self) -> Vec<Mismatch<A>> {
        let taken = std::mem::take(&mut self.ring.lock().mismatches);
        taken.into()
    }

    pub(super) fn latency(&self, side: Side) -> CallLatency {
        let histogram = self.latencies[side as usize].lock();
        CallLatency {
            count: histogram.len(),
            ns_mean: histogram.mean(),
            ns_p50: histogram.value_at_quantile(0.5),
            ns_p99: histogram.value_at_quantile(0.99),
            ns_p999: histogram.value_at_quantile(0.999),
            ns_max: histogram.max(),
        }
    }

    /// Adds its own counters to those of the queues.
    pub(super) fn complete(&self, stats: &mut Stats) {
        let ring = self.ring.lock();
        stats.mismatches = ring.found;
        stats.mismatches_dropped = ring.dropped;
        drop(ring);
        // Relaxed: plain counters.
        stats.compared = self.compared.load(Ordering::Relaxed);
        stats.callback_panics = self.callback_panics.load(Ordering::Relaxed);
        stats.a.latency = self.latency(Side::A);
        stats.b.latency = self.latency(Side::B);
    }
}

/// From 1 ns to a minute in steps below 1 %: about 30 KiB.
fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 60_000_000_000, 2) {
        Ok(histogram) => histogram,
        Err(_) => unreachable!("constants that the histogram accepts"),
    }
}
