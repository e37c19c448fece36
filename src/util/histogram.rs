//! Durations, counted in buckets.
//!
//! The buckets are log-linear, as in HDR histograms: each power of two is divided into equal buckets, so the
//! width of a bucket is a fixed fraction of its value. Existing crates are not used, for these reasons:
//!
//! * `hdrhistogram` records through `&mut`, which the writer has, but a reader needs a copy that the writer
//!   hands over: an allocation or a lock per reading, and nothing to read while the writer is stuck. Its
//!   synchronized form sends the recorded values through a channel.
//! * `histogram::AtomicHistogram` can be read at any time, but uses an atomic exchange per bucket, as needed
//!   for several recording threads; here there is one. It keeps no sum and no maximum, and the checkers
//!   cannot see into it.

use std::time::Duration;

use super::count::Count;

/// Binary logarithm of the number of buckets per power of two: a bucket is at most an eighth of its value
/// wide.
const PARTS_LOG2: u32 = 3;

const PARTS: usize = 1 << PARTS_LOG2;

/// Durations from this power of two on (68.7 s) share the last bucket.
#[cfg(not(switchboard_model))]
const TOP_LOG2: u32 = 36;

#[cfg(switchboard_model)]
const TOP_LOG2: u32 = 5;

const BUCKETS: usize = PARTS * (TOP_LOG2 - PARTS_LOG2 + 1) as usize + 1;

/// Returns the bucket of a number of nanoseconds.
fn bucket_of(ns: u64) -> usize {
    if ns < PARTS as u64 {
        return ns as usize;
    }
    if ns >= 1 << TOP_LOG2 {
        return BUCKETS - 1;
    }
    let power = ns.ilog2();
    let part = (ns >> (power - PARTS_LOG2)) as usize & (PARTS - 1);
    PARTS * (power - PARTS_LOG2 + 1) as usize + part
}

/// Returns the largest number of nanoseconds in a bucket.
fn top_of(bucket: usize) -> u64 {
    if bucket >= BUCKETS - 1 {
        return u64::MAX;
    }
    if bucket < PARTS {
        return bucket as u64;
    }
    let (octave, part) = ((bucket / PARTS - 1) as u32, (bucket % PARTS) as u64);
    ((PARTS as u64 + part + 1) << octave) - 1
}

/// A histogram that one thread records in and any thread reads: never locked, allocated once.
#[derive(Debug)]
pub(crate) struct Recorder {
    buckets: [Count; BUCKETS],
    count: Count,
    sum_ns: Count,
    max_ns: Count,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            buckets: std::array::from_fn(|_| Count::new()),
            count: Count::new(),
            sum_ns: Count::new(),
            max_ns: Count::new(),
        }
    }

    /// Records a duration `times` times. Called by one thread at a time. O(1).
    pub(crate) fn record(&self, duration: Duration, times: u64) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(ns)].add(times);
        self.count.add(times);
        self.sum_ns.add(ns.saturating_mul(times));
        self.max_ns.raise(ns);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    pub(crate) fn sum_ns(&self) -> u64 {
        self.sum_ns.get()
    }

    pub(crate) fn max_ns(&self) -> u64 {
        self.max_ns.get()
    }

    /// Returns a copy. It may contain part of a concurrent recording.
    pub(crate) fn read(&self) -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|index| self.buckets[index].get()),
            sum_ns: self.sum_ns(),
            max_ns: self.max_ns(),
        }
    }
}

/// A histogram of durations, with no bucket wider than an eighth of its value.
///
/// [`Metrics`](crate::Metrics) reads it from a running manager. It takes 2.2 KB on the stack.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
    max_ns: u64,
}

/// One bucket of a [`Histogram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// The longest duration counted here; `None` if there is no bound.
    pub up_to: Option<Duration>,
    /// Number of durations in the bucket.
    pub count: u64,
}

impl Histogram {
    /// Returns the number of recorded durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the sum of the recorded durations.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// Returns the longest recorded duration, exactly.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// Returns the mean; zero if nothing was recorded.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.checked_div(self.count()).unwrap_or(0))
    }

    /// Returns a duration that a fraction `quantile` of the recorded ones does not exceed: the upper end of a
    /// bucket, at most an eighth too long, and never above the maximum. Zero if nothing was recorded.
    /// O(buckets).
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let count = self.count();
        let rank = ((count as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        for (bucket, recorded) in self.buckets.iter().enumerate() {
            below += recorded;
            if below >= rank {
                return Duration::from_nanos(top_of(bucket).min(self.max_ns));
            }
        }
        Duration::ZERO
    }

    /// Returns the non-empty buckets, the shortest durations first.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bucket, count)| Bucket {
            up_to: (bucket + 1 < BUCKETS).then(|| Duration::from_nanos(top_of(bucket))),
            count: *count,
        })
    }

    /// Returns the number of durations up to `bound`, to the precision of a bucket: only buckets entirely
    /// within `bound` count.
    #[must_use]
    pub fn count_up_to(&self, bound: Duration) -> u64 {
        let bound = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        self.buckets.iter().enumerate().filter(|(bucket, _)| top_of(*bucket) <= bound).map(|(_, n)| n).sum()
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("mean", &self.mean())
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_a_bucket_that_is_narrow_enough() {
        let mut last = 0;
        for ns in
            (0..5_000).chain((12..40).flat_map(|power| [(1 << power) - 1, 1 << power, 3 << (power - 1)]))
        {
            let bucket = bucket_of(ns);
            assert!(bucket < BUCKETS && top_of(bucket) >= ns, "{ns} in {bucket}");
            assert!(bucket == 0 || top_of(bucket - 1) < ns, "{ns} in {bucket}");
            if ns < 1 << TOP_LOG2 {
                assert!(top_of(bucket) - ns <= ns / 8, "{ns} in {bucket} up to {}", top_of(bucket));
            }
            last = last.max(bucket);
        }
        assert_eq!(last, BUCKETS - 1);
    }

    #[test]
    fn figures_agree_with_what_was_recorded() {
        let recorder = Recorder::new();
        assert_eq!((recorder.read().quantile(0.5), recorder.read().mean()), (Duration::ZERO, Duration::ZERO));
        for us in 1..=1_000 {
            recorder.record(Duration::from_micros(us), 2);
        }
        let read = recorder.read();
        assert_eq!((read.count(), recorder.count()), (2_000, 2_000));
        assert_eq!(read.sum(), Duration::from_micros(1_001_000));
        assert_eq!(read.mean(), Duration::from_nanos(500_500));
        assert_eq!((read.max(), read.quantile(1.0)), (Duration::from_millis(1), Duration::from_millis(1)));
        for quantile in [0.1, 0.5, 0.9, 0.99] {
            let (exact, read) = (quantile * 1e6, read.quantile(quantile).as_nanos() as f64);
            assert!(read >= exact && read <= exact * 1.126, "p{quantile}: {read} for {exact}");
        }
        assert_eq!(read.buckets().map(|bucket| bucket.count).sum::<u64>(), 2_000);
        assert_eq!(read.count_up_to(Duration::MAX), 2_000);
        assert_eq!(read.count_up_to(Duration::ZERO), 0);
    }

    #[test]
    fn what_is_too_long_is_counted_all_the_same() {
        let recorder = Recorder::new();
        recorder.record(Duration::from_secs(100), 1);
        recorder.record(Duration::MAX, 1);
        let read = recorder.read();
        assert_eq!(read.count(), 2);
        assert_eq!(read.buckets().next().map(|bucket| bucket.up_to), Some(None));
        assert_eq!(read.max(), Duration::from_nanos(u64::MAX));
    }
}
