//! The parts that all sessions of a registry share.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use super::id::RunId;
use super::on_disconnect::OnDisconnect;
use super::stats::Counters;
use super::watch::Watch;
use crate::claim::ClaimId;
use crate::clock::Clock;
use crate::sync::StdArc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::unwind::contain;

/// Called at the end of each run.
pub(super) type OnRelease<K> = Box<dyn Fn(&K, RunId) + Send + Sync>;

/// The settings of a registry, which do not change.
pub(super) struct Settings<K> {
    pub(super) clock: StdArc<dyn Clock>,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) on_release: Option<OnRelease<K>>,
    pub(super) max_waiting: usize,
}

/// `S` is the type of a session.
pub(super) struct Common<K, S> {
    pub(super) settings: Settings<K>,
    pub(super) watch: Option<Box<dyn Watch<S>>>,
    pub(super) counters: Counters,
    origin: Instant,
    /// The next number of a session object.
    next: AtomicU64,
    /// Above all versions and epochs of the sessions that were removed.
    floor: AtomicU64,
}

impl<K, S> Common<K, S> {
    pub(super) fn new(settings: Settings<K>, watch: Option<Box<dyn Watch<S>>>) -> Self {
        let origin = settings.clock.now();
        let counters = Counters::default();
        Self { settings, watch, counters, origin, next: AtomicU64::new(0), floor: AtomicU64::new(0) }
    }

    /// Returns the first version, or epoch, of a session that has none.
    pub(super) fn floor(&self) -> u64 {
        // Relaxed: a session reads it after it was inserted into the map, which comes after the removal of the
        // one before, whose thread raised it.
        self.floor.load(Ordering::Relaxed)
    }

    /// Raises the floor above `last`. Called before the session that had it leaves the map.
    pub(super) fn raise_floor(&self, last: u64) {
        // Relaxed: as in `floor`.
        self.floor.fetch_max(last + 1, Ordering::Relaxed);
    }

    /// Tells the owner that a run has ended. Called with nothing held; a panic is contained, since the end of a
    /// run must not panic.
    pub(super) fn released(&self, key: &K, run: RunId) {
        if let Some(on_release) = &self.settings.on_release {
            // Unwind safety: the registry is not in the middle of anything.
            let _panicked = contain(AssertUnwindSafe(|| on_release(key, run)));
        }
    }

    pub(super) fn next_session(&self) -> u64 {
        // Relaxed: only distinct numbers are needed.
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the milliseconds since the registry was created. A clock that panics shows zero: the end of a
    /// run must not panic.
    pub(super) fn now_ms(&self) -> u64 {
        // Unwind safety: the clock is only asked.
        let now = contain(AssertUnwindSafe(|| self.settings.clock.now())).unwrap_or(self.origin);
        u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }
}

/// The time at which the current run began: 40 bits of milliseconds, and 24 bits of its number.
///
/// It is stored after the claim, so it may be that of another run: then the number differs, unless the two are
/// a multiple of 2^24 runs apart.
#[derive(Debug)]
pub(super) struct Started(AtomicU64);

const TIME_BITS: u32 = 40;

impl Started {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn set(&self, claim: ClaimId, now_ms: u64) {
        let time = now_ms & ((1 << TIME_BITS) - 1);
        // Relaxed: the value carries its own identity, and is only reported.
        self.0.store((claim.as_u64() << TIME_BITS) | time, Ordering::Relaxed);
    }

    /// Returns the age of the run, or zero if its start is not known yet.
    pub(super) fn age(&self, claim: ClaimId, now_ms: u64) -> Duration {
        // Relaxed: as in `set`.
        let word = self.0.load(Ordering::Relaxed);
        if word >> TIME_BITS != (claim.as_u64() << TIME_BITS) >> TIME_BITS {
            return Duration::ZERO;
        }
        let started = word & ((1 << TIME_BITS) - 1);
        Duration::from_millis(now_ms.saturating_sub(started))
    }
}
