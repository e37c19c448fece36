//! Retry policies: the delay before a failed link is dialled again.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use crate::sync::StdArc;
use crate::unwind::contain;
use crate::util::defer_drop::DeferDrop;

/// The delay that replaces a delay of zero from a [custom policy](RetryPolicy::custom).
const SHORTEST: Duration = Duration::from_millis(1);

/// The delay between a failure and the next dial of the same link.
///
/// No link waits longer than the [cap](Self::cap) of its policy.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::RetryPolicy;
///
/// let policy = RetryPolicy::exponential(Duration::from_secs(1), Duration::from_secs(300));
/// assert_eq!(policy.cap(), Duration::from_secs(300));
///
/// // One more second for each failure, plus random jitter.
/// let linear = |attempts: u32, random: &mut dyn FnMut() -> u64| {
///     Duration::from_secs(attempts.into()) + Duration::from_millis(random() % 100)
/// };
/// let policy = RetryPolicy::custom(linear, Duration::from_secs(60));
/// assert_eq!(policy.cap(), Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryPolicy {
    /// A constant delay. The reference design uses 20 s.
    Fixed(Duration),
    /// Exponential growth with full jitter: after `n` consecutive failures, the delay is uniformly
    /// distributed between 1 ns and the lesser of `base * 2^(n - 1)` and `cap`. Nodes that fail at the same
    /// time therefore do not retry at the same time.
    Exponential {
        /// The longest delay after the first failure, longer than zero.
        base: Duration,
        /// The longest delay after any failure, not below `base`.
        cap: Duration,
    },
    /// A user-defined policy: see [`RetryPolicy::custom`].
    Custom(CustomRetry),
}

/// A user-defined retry policy, for [`RetryPolicy::custom`]. Implemented for closures.
pub trait Retry: Send + Sync + 'static {
    /// Returns the delay after `attempts` consecutive failures, including the present one: 1 for the first.
    ///
    /// `random` returns uniformly distributed random numbers from the source that was given to the builder. A
    /// policy that uses no other source of randomness can be replayed.
    ///
    /// Runs on the writer's thread inside a command: it must be quick, and must not wait for the manager.
    fn delay(&self, attempts: u32, random: &mut dyn FnMut() -> u64) -> Duration;
}

impl<F> Retry for F
where
    F: Fn(u32, &mut dyn FnMut() -> u64) -> Duration + Send + Sync + 'static,
{
    fn delay(&self, attempts: u32, random: &mut dyn FnMut() -> u64) -> Duration {
        self(attempts, random)
    }
}

/// A [`Retry`] and the longest delay that it may ask for. Clones share the policy. Two instances are equal if
/// they share the policy and have the same cap.
#[derive(Clone)]
pub struct CustomRetry {
    policy: StdArc<DeferDrop<StdArc<dyn Retry>>>,
    cap: Duration,
}

impl PartialEq for CustomRetry {
    fn eq(&self, other: &Self) -> bool {
        StdArc::ptr_eq(&self.policy, &other.policy) && self.cap == other.cap
    }
}

impl Eq for CustomRetry {}

impl fmt::Debug for CustomRetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomRetry").field("cap", &self.cap).finish_non_exhaustive()
    }
}

/// The result of drawing a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) delay: Duration,
    /// Whether the policy or the source of randomness panicked, or the policy returned an invalid delay.
    pub(crate) fault: bool,
}

impl RetryPolicy {
    /// Returns a policy with a constant delay.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self::Fixed(delay)
    }

    /// Returns a policy with exponential growth from `base` up to `cap`, with full jitter.
    #[must_use]
    pub const fn exponential(base: Duration, cap: Duration) -> Self {
        Self::Exponential { base, cap }
    }

    /// Returns a user-defined policy. Its faults are contained and
    /// [counted](crate::manager::Stats::retry_faults): a delay above `cap` is cut to `cap`, a delay of zero
    /// is replaced by one millisecond (or `cap`, if that is less), and a panic is treated as a delay of
    /// `cap`.
    #[must_use]
    pub fn custom(policy: impl Retry, cap: Duration) -> Self {
        let policy: StdArc<dyn Retry> = StdArc::new(policy);
        Self::Custom(CustomRetry { policy: StdArc::new(DeferDrop::new(policy)), cap })
    }

    /// The longest delay that this policy can lead to.
    #[must_use]
    pub fn cap(&self) -> Duration {
        match self {
            Self::Fixed(delay) => *delay,
            Self::Exponential { cap, .. } => *cap,
            Self::Custom(custom) => custom.cap,
        }
    }

    /// Draws the delay after `attempts` consecutive failures.
    pub(crate) fn draw(&self, attempts: u32, random: &mut dyn FnMut() -> u64) -> Drawn {
        let fallback = Drawn { delay: self.cap(), fault: true };
        // Unwind safety: a policy that panicked is called again in the state that the panic left, and so is
        // the source.
        let draw = AssertUnwindSafe(|| match self {
            Self::Fixed(delay) => Drawn { delay: *delay, fault: false },
            Self::Exponential { base, cap } => {
                Drawn { delay: jittered(ceiling(*base, *cap, attempts), random()), fault: false }
            }
            Self::Custom(custom) => custom.draw(attempts, random),
        });
        contain(draw).unwrap_or(fallback)
    }
}

impl CustomRetry {
    fn draw(&self, attempts: u32, random: &mut dyn FnMut() -> u64) -> Drawn {
        let asked = self.policy.get().delay(attempts, random);
        let shortest = if asked.is_zero() { SHORTEST } else { asked };
        let delay = shortest.min(self.cap);
        Drawn { delay, fault: delay != asked }
    }
}

// The usual crates for this (`backon`, `exponential-backoff`, `backoff`) provide iterators that count the
// attempts and own a random number generator. Here a function of both is needed, because the count is part of
// a version and the randomness is injected.

/// The longest delay after `attempts` failures.
fn ceiling(base: Duration, cap: Duration, attempts: u32) -> Duration {
    let factor = 2_u32.checked_pow(attempts.saturating_sub(1));
    factor.and_then(|factor| base.checked_mul(factor)).map_or(cap, |delay| delay.min(cap))
}

/// Scales `ceiling` by `random / 2^64`. Never returns zero, unless `ceiling` is zero.
fn jittered(ceiling: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
    let part = (u128::from(nanos) * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(part).unwrap_or(nanos).saturating_add(1)).min(ceiling)
}

impl Default for RetryPolicy {
    /// 20 s, as in the reference design.
    fn default() -> Self {
        Self::Fixed(Duration::from_secs(20))
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    use crate::util::random::Random;

    const SECOND: Duration = Duration::from_secs(1);

    fn draw(policy: &RetryPolicy, attempts: u32, random: u64) -> Drawn {
        policy.draw(attempts, &mut || random)
    }

    #[test]
    fn a_fixed_delay_needs_no_chance() {
        let policy = RetryPolicy::fixed(SECOND);
        let drawn = policy.draw(7, &mut || panic!("a fixed delay needs no random number"));
        assert_eq!(drawn, Drawn { delay: SECOND, fault: false });
    }

    #[test]
    fn full_jitter_reaches_from_nothing_to_a_ceiling_that_doubles() {
        let policy = RetryPolicy::exponential(SECOND, 300 * SECOND);
        for (attempts, longest) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (33, 300), (u32::MAX, 300)] {
            assert_eq!(draw(&policy, attempts, u64::MAX).delay, longest * SECOND, "{attempts}");
            let half = draw(&policy, attempts, u64::MAX / 2).delay;
            assert!(half.abs_diff(longest * SECOND / 2) <= Duration::from_nanos(2), "{half:?}");
            assert_eq!(draw(&policy, attempts, 0).delay, Duration::from_nanos(1));
        }
        assert_eq!(draw(&policy, 0, u64::MAX).delay, SECOND, "zero failures count as one");
    }

    #[test]
    fn no_numbers_make_a_delay_of_zero_or_above_the_cap() {
        let mut random = Random::default();
        let caps = [Duration::from_nanos(1), SECOND, Duration::from_secs(u64::MAX), Duration::MAX];
        for cap in caps {
            let policy = RetryPolicy::exponential(cap.min(SECOND), cap);
            for attempts in (0..200).chain([u32::MAX]) {
                let drawn = policy.draw(attempts, random.source());
                assert!(!drawn.delay.is_zero() && drawn.delay <= cap && !drawn.fault);
            }
        }
    }

    #[test]
    fn a_custom_policy_is_asked_and_its_faults_are_contained() {
        let policy = RetryPolicy::custom(
            |attempts: u32, random: &mut dyn FnMut() -> u64| match attempts {
                1 => Duration::from_millis(random()),
                2 => Duration::ZERO,
                3 => Duration::MAX,
                _ => panic!("a policy that panics"),
            },
            SECOND,
        );
        assert_eq!(draw(&policy, 1, 7), Drawn { delay: Duration::from_millis(7), fault: false });
        assert_eq!(draw(&policy, 2, 7), Drawn { delay: SHORTEST, fault: true });
        assert_eq!(draw(&policy, 3, 7), Drawn { delay: SECOND, fault: true });
        assert_eq!(draw(&policy, 4, 7), Drawn { delay: SECOND, fault: true });
        let short = RetryPolicy::custom(|_: u32, _: &mut dyn FnMut() -> u64| Duration::ZERO, SHORTEST / 2);
        assert_eq!(draw(&short, 1, 0), Drawn { delay: SHORTEST / 2, fault: true });
    }

    #[test]
    fn a_source_of_chance_that_panics_is_contained() {
        let policy = RetryPolicy::exponential(SECOND, 8 * SECOND);
        let drawn = policy.draw(1, &mut || panic!("a source that panics"));
        assert_eq!(drawn, Drawn { delay: 8 * SECOND, fault: true });
    }

    #[test]
    fn custom_policies_are_equal_when_they_are_the_same_one() {
        let make = || RetryPolicy::custom(|_: u32, _: &mut dyn FnMut() -> u64| SECOND, SECOND);
        let policy = make();
        assert_eq!(policy, policy.clone());
        assert_ne!(policy, make());
    }

    #[test]
    fn two_sources_differ_and_numbers_spread() {
        let (mut one, mut other) = (Random::default(), Random::default());
        let take = |random: &mut Random| (0..64).map(|_| random.source()()).collect::<Vec<_>>();
        let (first, second) = (take(&mut one), take(&mut other));
        assert_ne!(first, second);
        let ones: u32 = first.iter().map(|number| number.count_ones()).sum();
        // 4096 fair bits: the range extends 12 standard deviations to each side.
        assert!((1_664..=2_432).contains(&ones), "{ones}");
    }
}
