//! Figures of a registry.

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
    /// Sessions that were removed or pruned.
    pub removed: u64,
}

/// The counters behind [`Stats`]. None is on the path of a begin that succeeds at once.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) refused: Counter,
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
        }
    }
}
