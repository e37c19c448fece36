//! The source of time: a parameter, never a global.

use std::fmt;
use std::time::{Duration, Instant};

use crate::sync::StdArc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A source of monotonic time.
///
/// The state machines of this crate take `now` as an argument; the code that drives them asks a `Clock` once
/// per turn. Implementations must never go backwards, and must be cheap: no lock, no I/O.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current instant. It is never earlier than an instant that a call on any thread returned
    /// before this call started.
    fn now(&self) -> Instant;
}

/// The monotonic clock of the operating system.
///
/// # Examples
/// ```
/// use switchboard::clock::{Clock, MonotonicClock};
///
/// let clock = MonotonicClock;
/// let first = clock.now();
/// assert!(clock.now() >= first);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    #[allow(clippy::disallowed_methods)] // The only place where the crate reads the real clock for its users.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until it is advanced: for tests and simulations.
///
/// Clones share one time. Reading is wait-free.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let shared = clock.clone();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(20));
/// assert_eq!(shared.now() - start, Duration::from_secs(20));
/// ```
#[derive(Clone)]
pub struct ManualClock {
    origin: Instant,
    elapsed_ns: StdArc<AtomicU64>,
}

impl ManualClock {
    /// Creates a clock that shows an arbitrary instant and stands still.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // An `Instant` cannot be created from a number.
    pub fn new() -> Self {
        Self { origin: Instant::now(), elapsed_ns: StdArc::new(AtomicU64::new(0)) }
    }

    /// Moves the clock forward by `step`, for all its clones.
    ///
    /// Saturates after about 584 years.
    pub fn advance(&self, step: Duration) {
        let step = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: a plain counter; read-modify-write operations on one location never go backwards.
        let _ = self
            .elapsed_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |elapsed| Some(elapsed.saturating_add(step)));
    }

    /// Returns the total time by which the clock has been advanced.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        // Relaxed: a plain counter.
        Duration::from_nanos(self.elapsed_ns.load(Ordering::Relaxed))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        let elapsed = self.elapsed();
        self.origin.checked_add(elapsed).unwrap_or(self.origin)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("elapsed", &self.elapsed()).finish()
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now() - start, Duration::from_millis(1500));
        assert_eq!(clock.elapsed(), Duration::from_millis(1500));
    }

    #[test]
    fn advancing_saturates() {
        let clock = ManualClock::new();
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.elapsed(), Duration::from_nanos(u64::MAX));
        assert!(clock.now() >= clock.origin);
    }
}
