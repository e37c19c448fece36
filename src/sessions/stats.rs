//! Figures of a registry.

use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Figures of a registry since its creation: [`Sessions::stats`](super::Sessions::stats).
///
/// Each is read on its own, so two of them may differ by what happens meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions in the registry now.
    pub sessions: usize,
    /// Begins that were refused because the session had a run or was being cleared.
    pub refused: u64,
    /// Begins that had to wait, whether or not they succeeded.
    pub contended: u64,
    /// Waits for a begin that were refused because too many waited.
    pub full: u64,
    /// Waits for a begin that a clear ended.
    pub dropped: u64,
    /// Waits for a begin that ended with their timeout.
    pub timeouts: u64,
    /// Runs that were asked to stop: by a cancellation, a replacement, a clear or a disconnect.
    pub cancelled: u64,
    /// Clears that took effect, and did not join another one.
    pub cleared: u64,
    /// Runs that a clear detached.
    pub detached: u64,
    /// Runs that ended when they were no longer those of their sessions.
    pub stale_releases: u64,
    /// Connections that were displaced by newer ones.
    pub displaced: u64,
    /// Sessions that were removed, pruned or evicted.
    pub removed: u64,
    /// Sessions that were removed by the registry itself; see
    /// [`SessionsBuilder::max_blank`](super::SessionsBuilder::max_blank) and
    /// [`SessionsBuilder::max_idle`](super::SessionsBuilder::max_idle).
    pub evicted: u64,
    /// Runs that were asked to stop because no connection resumed them in time.
    pub expired: u64,
    /// The time from a request to stop to the end of the run.
    pub cancel_latency: Timing,
    /// The time for which runs held their sessions while others waited: measured when such a run ends.
    pub hold_time: Timing,
}

/// The total of one kind of measured time, in steps of a microsecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// Number of measurements.
    pub count: u64,
    /// Sum of the times.
    pub sum: Duration,
    /// The longest time.
    pub max: Duration,
}

impl Timing {
    /// Returns the mean; zero if nothing was measured.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let mean_us = self.sum.as_micros().checked_div(u128::from(self.count));
        Duration::from_micros(mean_us.and_then(|mean| u64::try_from(mean).ok()).unwrap_or(0))
    }
}

/// The counters behind [`Stats`]. None is on the path of a begin that succeeds at once.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) refused: Striped,
    pub(super) contended: Counter,
    pub(super) full: Counter,
    pub(super) dropped: Counter,
    pub(super) timeouts: Counter,
    pub(super) cancelled: Counter,
    pub(super) cleared: Counter,
    pub(super) detached: Counter,
    pub(super) stale_releases: Counter,
    pub(super) displaced: Counter,
    pub(super) removed: Counter,
    pub(super) evicted: Counter,
    pub(super) expired: Counter,
    pub(super) cancel_latency: Timer,
    pub(super) hold_time: Timer,
}

/// A number of events that are counted often, by the threads of different sessions.
#[derive(Debug, Default)]
pub(super) struct Striped([CachePadded<Counter>; STRIPES]);

const STRIPES: usize = 8;

impl Striped {
    /// Counts an event of the session with this number.
    pub(super) fn add(&self, session: u64) {
        self.0[session as usize % STRIPES].add();
    }

    fn get(&self) -> u64 {
        self.0.iter().map(|counter| counter.get()).sum()
    }
}

/// The sum and the maximum of times that many threads measure.
#[derive(Debug, Default)]
pub(super) struct Timer {
    count: Counter,
    sum_us: Counter,
    max_us: Counter,
}

impl Timer {
    pub(super) fn record(&self, time: Duration) {
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.count.add();
        // Relaxed, here and below: statistics.
        self.sum_us.0.fetch_add(time_us, Ordering::Relaxed);
        self.max_us.0.fetch_max(time_us, Ordering::Relaxed);
    }

    fn get(&self) -> Timing {
        let [sum, max] = [&self.sum_us, &self.max_us].map(|counter| Duration::from_micros(counter.get()));
        Timing { count: self.count.get(), sum, max }
    }
}

/// A number of events that many threads count.
#[derive(Debug)]
pub(super) struct Counter(AtomicU64);

impl Default for Counter {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Counter {
    pub(super) fn add(&self) {
        self.add_all(1);
    }

    pub(super) fn add_all(&self, number: usize) {
        // Relaxed: a statistic.
        self.0.fetch_add(number as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        // Relaxed: a statistic.
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn stats(&self, sessions: usize) -> Stats {
        Stats {
            sessions,
            refused: self.refused.get(),
            contended: self.contended.get(),
            full: self.full.get(),
            dropped: self.dropped.get(),
            timeouts: self.timeouts.get(),
            cancelled: self.cancelled.get(),
            cleared: self.cleared.get(),
            detached: self.detached.get(),
            stale_releases: self.stale_releases.get(),
            displaced: self.displaced.get(),
            removed: self.removed.get(),
            evicted: self.evicted.get(),
            expired: self.expired.get(),
            cancel_latency: self.cancel_latency.get(),
            hold_time: self.hold_time.get(),
        }
    }
}
