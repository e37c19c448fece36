//! When a failed link is dialled again.

use std::time::{Duration, Instant};

/// The delay between a failure and the next dial of the same link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryPolicy {
    /// Always the same delay. The reference uses 20 s.
    Fixed(Duration),
}

impl RetryPolicy {
    /// The earliest instant for the next dial after a failure at `now`.
    pub(crate) fn next_attempt(&self, now: Instant) -> Instant {
        match self {
            Self::Fixed(delay) => later(now, *delay),
        }
    }

    /// Without a delay, what fails at once is tried again at once, for ever.
    pub(crate) fn is_immediate(&self) -> bool {
        match self {
            Self::Fixed(delay) => delay.is_zero(),
        }
    }
}

/// `delay` after `now`. An instant that the clock cannot represent becomes one so far away that it never
/// comes: a delay without end must not turn into none.
pub(crate) fn later(now: Instant, delay: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    now.checked_add(delay).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::Fixed(Duration::from_secs(20))
    }
}
