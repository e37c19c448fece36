//! The delay before a failed save is repeated.

use std::time::Duration;

/// The shortest first delay: a store that fails at once must not keep a thread busy.
const SHORTEST: Duration = Duration::from_millis(1);

/// Exponential delays with jitter.
///
/// The usual crates for this are iterators that count the attempts and own a random number generator. Here both are
/// part of a state machine that can be replayed, so the delay is a function of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    pub(super) fn new(base: Duration, cap: Duration) -> Self {
        let base = base.max(SHORTEST);
        Self { base, cap: cap.max(base) }
    }

    /// Returns the delay after `attempts` failures in a row: between half of the lesser of `base * 2^(attempts - 1)` and
    /// `cap`, and all of it, as `random` says.
    pub(super) fn delay(&self, attempts: u32, random: u64) -> Duration {
        let factor = 2_u32.checked_pow(attempts.saturating_sub(1));
        let longest =
            factor.and_then(|factor| self.base.checked_mul(factor)).map_or(self.cap, |d| d.min(self.cap));
        let half = longest / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        let part = (u128::from(nanos) * u128::from(random)) >> 64;
        longest - Duration::from_nanos(u64::try_from(part).unwrap_or(nanos))
    }
}
