//! Arithmetic of instants.

use std::time::{Duration, Instant};

/// `delay` after `now`. An instant that the clock cannot represent becomes one so far away that it never
/// comes: a delay without end must not turn into none.
pub(crate) fn later(now: Instant, delay: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    now.checked_add(delay).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}
