//! Numbers, counted by powers of two.

use crate::sync::atomic::{AtomicU64, Ordering};

/// Number of buckets. Under the checkers fewer, because each is an object that they explore.
#[cfg(not(switchboard_model))]
const BUCKETS: usize = 32;
#[cfg(switchboard_model)]
const BUCKETS: usize = 2;

/// Numbers, counted by powers of two: sizes of batches, or times in microseconds.
///
/// The last bucket has no bound; in microseconds it begins at 35 minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Histogram {
    /// The first bucket counts zeros and ones, and each further one the numbers up to twice as large as the one before.
    pub buckets: [u64; BUCKETS],
    /// Sum of all numbers.
    pub sum: u64,
    /// The largest number.
    pub max: u64,
}

impl Histogram {
    /// Returns how many numbers were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the mean; zero if nothing was counted.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.count() == 0 { 0.0 } else { self.sum as f64 / self.count() as f64 }
    }

    /// Returns the largest number of each bucket, and its count. The last one has no bound.
    pub fn bounds(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bound = |bucket: usize| (bucket + 1 < BUCKETS).then(|| 1 << bucket);
        self.buckets.iter().enumerate().map(move |(bucket, count)| (bound(bucket), *count))
    }

    /// Returns a number that a fraction `quantile` of those that were counted does not exceed: at
    /// most twice as large as necessary, and never above the largest one. Zero if nothing was
    /// counted.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> u64 {
        let count = self.count();
        let rank = ((count as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut below = 0;
        for (bound, number) in self.bounds() {
            below += number;
            if below >= rank {
                return bound.unwrap_or(u64::MAX).min(self.max);
            }
        }
        0
    }
}

/// A histogram that many threads record in. Never locked.
#[derive(Debug)]
pub(crate) struct Recorder {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Recorder {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self { buckets: std::array::from_fn(zero), sum: AtomicU64::new(0), max: AtomicU64::new(0) }
    }
}

impl Recorder {
    pub(crate) fn record(&self, number: u64) {
        let bucket = (u64::BITS - number.saturating_sub(1).leading_zeros()) as usize;
        // Relaxed, here and below: statistics.
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(number, Ordering::Relaxed);
        self.max.fetch_max(number, Ordering::Relaxed);
    }

    pub(crate) fn record_time(&self, time: std::time::Duration) {
        self.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Wait-free. May contain a part of a recording in progress.
    pub(crate) fn read(&self) -> Histogram {
        // Relaxed, here and below: statistics, which may be of different moments.
        Histogram {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed)),
            sum: self.sum.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    #[test]
    fn r21_each_number_is_in_the_bucket_of_its_bound() {
        let recorder = Recorder::default();
        [0, 1, 2, 3, 4, 5, 64, 65, u64::MAX].into_iter().for_each(|number| recorder.record(number));
        let read = recorder.read();
        let filled: Vec<_> = read.bounds().filter(|(_, count)| *count > 0).collect();
        let expected = [
            (Some(1), 2),
            (Some(2), 1),
            (Some(4), 2),
            (Some(8), 1),
            (Some(64), 1),
            (Some(128), 1),
            (None, 1),
        ];
        assert_eq!(filled, expected);
        assert_eq!((read.count(), read.max), (9, u64::MAX));
        assert_eq!((read.quantile(0.0), read.quantile(0.5), read.quantile(1.0)), (1, 4, u64::MAX));
        assert_eq!((Histogram::default().quantile(0.5), Histogram::default().mean()), (0, 0.0));
    }
}
