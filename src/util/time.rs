//! Arithmetic of instants.

use std::time::{Duration, Instant};

/// Returns the instant `delay` after `now`. An instant that the clock cannot represent is replaced by one
/// about 30 years away: an endless delay must not become none.
pub(crate) fn later(now: Instant, delay: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    now.checked_add(delay).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}
