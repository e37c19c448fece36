//! The settings of a saver.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::backoff::Backoff;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The settings of a [`Saver`](super::Saver).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::sessions::saving::Config;
///
/// let config = Config::default()
///     .delay(Duration::from_millis(500))
///     .backoff(Duration::from_secs(1), Duration::from_secs(60));
/// ```
#[must_use = "settings do nothing unless they are given to a builder"]
pub struct Config {
    pub(super) delay: Duration,
    pub(super) backoff: Backoff,
    pub(super) random: Random,
}

/// A source of random numbers.
pub(super) type Random = Box<dyn Fn() -> u64 + Send + Sync>;

impl Config {
    /// Sets the time between the first change of a session that is saved and the save, in which further changes
    /// replace it. By default zero: a change is saved as soon as a thread is free to do it. Flushes do not wait for it.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Sets the delay before a failed save is repeated: after `n` failures in a row, it is uniformly distributed between
    /// half of the lesser of `base * 2^(n - 1)` and `cap`, and all of it. By default 100 ms and 30 s.
    ///
    /// `base` is at least 1 ms, and `cap` at least `base`.
    pub fn backoff(self, base: Duration, cap: Duration) -> Self {
        Self { backoff: Backoff::new(base, cap), ..self }
    }

    /// Sets the source of the random numbers that spread the retries. By default a generator that the operating system
    /// seeds.
    ///
    /// It runs with nothing held. A panic counts as zero.
    pub fn random(self, random: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { random: Box::new(random), ..self }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(30)),
            random: seeded(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("delay", &self.delay)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

/// Returns a SplitMix64 generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) with a
/// shared counter.
fn seeded() -> Random {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let state = AtomicU64::new(std::hash::RandomState::new().build_hasher().finish());
    Box::new(move || {
        // Relaxed: only distinct values are needed.
        let state = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}
