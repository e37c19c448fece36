//! The parts that all sessions of a registry share.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use super::on_disconnect::OnDisconnect;
use super::stats::Counters;
use crate::claim::ClaimId;
use crate::clock::Clock;
use crate::sync::StdArc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::unwind::contain;

pub(super) struct Common {
    clock: StdArc<dyn Clock>,
    origin: Instant,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) counters: Counters,
    /// The next number of a session object.
    next: AtomicU64,
}

impl Common {
    pub(super) fn new(clock: StdArc<dyn Clock>, on_disconnect: OnDisconnect) -> Self {
        let origin = clock.now();
        Self { clock, origin, on_disconnect, counters: Counters::default(), next: AtomicU64::new(0) }
    }

    pub(super) fn next_session(&self) -> u64 {
        // Relaxed: only distinct numbers are needed.
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the milliseconds since the registry was created. A clock that panics shows zero: the end of a
    /// run must not panic.
    pub(super) fn now_ms(&self) -> u64 {
        // Unwind safety: the clock is only asked.
        let now = contain(AssertUnwindSafe(|| self.clock.now())).unwrap_or(self.origin);
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
