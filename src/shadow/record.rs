//! The findings of a shadow: mismatches, counters, latencies.

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

/// The counters of a [`Shadow`](super::Shadow).
///
/// Each counter is exact, but counters read while operations are in progress need not be consistent with each
/// other. When both sides are idle, each side has performed or skipped every accepted operation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Number of operations that got a place in the order.
    pub accepted: u64,
    /// Number of operations for which no side had room. They changed nothing.
    pub refused: u64,
    /// Number of pairs of answers that were compared.
    pub compared: u64,
    /// Number of pairs that differed.
    pub mismatches: u64,
    /// Number of mismatches discarded to make room for newer ones before they were taken.
    pub mismatches_dropped: u64,
    /// Number of callers that got the answer of the side that did not serve, as the serving side had none.
    pub fallbacks: u64,
    /// Number of contained panics in callbacks.
    pub callback_panics: u64,
    /// The first side.
    pub a: SideStats,
    /// The second side.
    pub b: SideStats,
}

/// The counters and status of one side of a shadow.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SideStats {
    /// Number of operations performed, including those that panicked.
    pub performed: u64,
    /// Number of accepted operations that this side will never perform.
    pub skipped: u64,
    /// Number of contained panics in the store.
    pub panics: u64,
    /// Number of callers that waited for this side until their deadline.
    pub timeouts: u64,
    /// Number of operations in its queue.
    pub queue_len: usize,
    /// Whether a caller's wait timed out and the side has not caught up since.
    pub lagging: bool,
    /// Whether the side has missed a change. It gets no operations until it is resynchronized.
    pub diverged: bool,
    /// The latency of the calls of the store.
    pub latency: CallLatency,
}

/// The latency of the calls of one store, in nanoseconds, with a relative error below 1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallLatency {
    /// Number of calls measured.
    pub count: u64,
    /// The mean.
    pub ns_mean: f64,
    /// The median: half of the calls took no longer.
    pub ns_p50: u64,
    /// The 99th percentile: 99 of 100 calls took no longer.
    pub ns_p99: u64,
    /// The 99.9th percentile: 999 of 1000 calls took no longer.
    pub ns_p999: u64,
    /// The maximum; a call that took longer than a minute counts as a minute.
    pub ns_max: u64,
}

/// Compares answers, counts, and keeps mismatches.
///
/// Latencies are recorded under a separate lock for each side. Only the worker of that side records, so it
/// waits only for a thread that reads the statistics. A histogram for each thread would have to be merged,
/// and would not be cheaper: an uncontended lock costs little compared with the hand-over between two threads
/// that every operation needs.
pub(super) struct Recorder<A: Addr> {
    settings: Settings<A>,
    compared: AtomicU64,
    callback_panics: AtomicU64,
    ring: Mutex<Ring<A>>,
    latencies: [Mutex<Histogram<u64>>; 2],
}

/// The most recent mismatches. Valid after any panic: a mismatch is in the ring as a whole or not at all.
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

    /// Compares the answers of both sides. No lock is held while user code runs.
    pub(super) fn compare(&self, operation: &Operation<A>, [a, b]: [Shared<A>; 2]) {
        // Unwind safety: the answers are only read.
        let agreed = contain(AssertUnwindSafe(|| match &self.settings.agree {
            Some(rule) => rule(operation, &a, &b),
            None => a == b,
        }));
        if !agreed.unwrap_or_else(|| self.count_panic()) {
            self.report(operation, &a, &b);
        }
        // Relaxed: a plain counter. Increased last, when the mismatch has been counted.
        self.compared.fetch_add(1, Ordering::Relaxed);
    }

    /// Reports a mismatch to the callback and keeps it. Every mismatch passes through here, which makes it
    /// the place for structured logs.
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

    /// Fills in the counters and latencies that this recorder keeps.
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

/// Creates a histogram from 1 ns to one minute in steps below 1 %, of about 30 KiB.
fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 60_000_000_000, 2) {
        Ok(histogram) => histogram,
        Err(_) => unreachable!("the histogram accepts these constants"),
    }
}
