//! The parts that all sessions of a registry share.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use super::id::RunId;
use super::on_disconnect::OnDisconnect;
use super::stats::Counters;
use super::watch::Watch;
use crate::claim::ClaimId;
use crate::clock::{Clock, MonotonicClock};
use crate::sync::StdArc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::unwind::contain;

/// Called at the end of each run.
pub(super) type OnRelease<K> = Box<dyn Fn(&K, RunId) + Send + Sync>;

/// The settings of a registry, which do not change.
pub(super) struct Settings<K> {
    /// `None`: that of the operating system.
    pub(super) clock: Option<StdArc<dyn Clock>>,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) on_release: Option<OnRelease<K>>,
    pub(super) max_waiting: usize,
    pub(super) max_blank: usize,
    pub(super) max_idle: usize,
}

/// `S` is the type of a session.
pub(super) struct Common<K, S> {
    pub(super) settings: Settings<K>,
    pub(super) watch: Option<Box<dyn Watch<K, S>>>,
    /// Apart from the settings, which every run reads.
    pub(super) counters: CachePadded<Counters>,
    origin: Instant,
    /// The next number of a session object. Changes as often as the counters.
    next: CachePadded<AtomicU64>,
    /// Above all versions and epochs of the sessions that were removed.
    floor: AtomicU64,
}

impl<K, S> Common<K, S> {
    pub(super) fn new(settings: Settings<K>, watch: Option<Box<dyn Watch<K, S>>>) -> Self {
        let origin = settings.clock.as_ref().map_or_else(|| MonotonicClock.now(), |clock| clock.now());
        let counters = CachePadded::default();
        Self {
            settings,
            watch,
            counters,
            origin,
            next: CachePadded::new(AtomicU64::new(0)),
            floor: AtomicU64::new(0),
        }
    }

    /// Returns the first version, or epoch, of a session that has none.
    pub(super) fn floor(&self) -> u64 {
        // Relaxed: a session reads it after it was inserted into the map, which comes after the removal of the
        // one before, whose thread raised it.
        self.floor.load(Ordering::Relaxed)
    }

    /// Raises the floor above `last`. Called before the session that had it is retired: then another thread may
    /// remove it from the map.
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

    /// Returns the microseconds since the registry was created.
    ///
    /// A clock of the user that panics shows zero: the end of a run must not panic.
    pub(super) fn now_us(&self) -> u64 {
        let now = match &self.settings.clock {
            None => MonotonicClock.now(),
            // Unwind safety: the clock is only asked.
            Some(clock) => contain(AssertUnwindSafe(|| clock.now())).unwrap_or(self.origin),
        };
        let since = now.saturating_duration_since(self.origin);
        since.as_secs().saturating_mul(1_000_000) + u64::from(since.subsec_micros())
    }
}

/// The time of something that concerns one claim: 44 bits of microseconds, and 20 bits of its number.
///
/// It is stored after the fact, so it may be that of another claim: then the number differs, unless the two are
/// a multiple of 2^20 claims apart. Times are compared modulo 2^44, which is half a year.
#[derive(Debug)]
pub(super) struct Stamp(AtomicU64);

const TIME_BITS: u32 = 44;
const TIME: u64 = (1 << TIME_BITS) - 1;

impl Stamp {
    pub(super) fn new(claim: ClaimId, now_us: u64) -> Self {
        Self(AtomicU64::new(Self::word(claim, now_us)))
    }

    /// Returns a stamp of no claim that is `claim` or a later one.
    pub(super) fn none(claim: ClaimId) -> Self {
        Self::new(Self::before(claim), 0)
    }

    pub(super) fn set(&self, claim: ClaimId, now_us: u64) {
        // Relaxed, here and below: the value carries its own identity, and is only reported.
        self.0.store(Self::word(claim, now_us), Ordering::Relaxed);
    }

    /// Removes the stamp of a claim.
    pub(super) fn forget(&self, claim: ClaimId) {
        self.set(Self::before(claim), 0);
    }

    fn before(claim: ClaimId) -> ClaimId {
        ClaimId::from_u64(claim.as_u64().wrapping_sub(1))
    }

    /// Returns the time since the claim was stamped; stamps it if it is not.
    pub(super) fn since_or_set(&self, claim: ClaimId, now_us: u64) -> Duration {
        self.since(claim, now_us).unwrap_or_else(|| {
            self.set(claim, now_us);
            Duration::ZERO
        })
    }

    /// Returns the time since the claim was stamped.
    pub(super) fn since(&self, claim: ClaimId, now_us: u64) -> Option<Duration> {
        let word = self.0.load(Ordering::Relaxed);
        if word & !TIME != Self::word(claim, 0) {
            return None;
        }
        let since = now_us.wrapping_sub(word) & TIME;
        // The stamp may be a little later than `now_us`, which was read by another thread.
        Some(Duration::from_micros(if since > TIME / 2 { 0 } else { since }))
    }

    fn word(claim: ClaimId, now_us: u64) -> u64 {
        (claim.as_u64() << TIME_BITS) | (now_us & TIME)
    }
}
