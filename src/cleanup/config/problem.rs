//! Invalid settings.

use std::error::Error;
use std::fmt;

/// One invalid setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// `async_enabled` is off, and `overflow` is not `Inline`: no one would clean.
    NeitherAsyncNorInline,
    /// `workers` is above [`Workers::MAX`](super::Workers::MAX).
    WorkersAboveMax,
    /// `capacity` is zero.
    CapacityZero,
    /// `capacity` is above [`Config::CAPACITY_MAX`](super::Config::CAPACITY_MAX).
    CapacityAboveMax,
    /// `high_water_percent` is not between 1 and 100.
    HighWaterOutOfRange,
    /// `low_water_percent` is not below `high_water_percent`.
    LowWaterNotBelowHigh,
    /// `batch_max` is zero.
    BatchMaxZero,
    /// `capacity` is below `batch_max`.
    CapacityBelowBatch,
    /// `linger` is longer than [`Config::LINGER_MAX`](super::Config::LINGER_MAX).
    LingerTooLong,
    /// `sweep_every` is shorter than a microsecond.
    SweepEveryZero,
    /// `sweep_after` is shorter than a microsecond.
    SweepAfterZero,
    /// `breaker_failures` is zero.
    BreakerFailuresZero,
    /// `breaker_failures` is above 65536.
    BreakerFailuresAboveMax,
    /// `breaker_window` is shorter than a microsecond.
    BreakerWindowZero,
    /// `breaker_open` is shorter than a microsecond.
    BreakerOpenZero,
    /// `breaker_jitter_percent` is above 100.
    BreakerJitterOutOfRange,
    /// `breaker_probes` is zero.
    BreakerProbesZero,
    /// `events_pending` is zero.
    EventsPendingZero,
    /// `events_pending` is above [`Config::CAPACITY_MAX`](super::Config::CAPACITY_MAX).
    EventsPendingAboveMax,
    /// `sink_capacity` is zero.
    SinkCapacityZero,
    /// `sink_capacity` is above [`Config::CAPACITY_MAX`](super::Config::CAPACITY_MAX).
    SinkCapacityAboveMax,
    /// `sink_threads` is zero.
    SinkThreadsZero,
    /// `sink_threads` is above [`Config::SINK_THREADS_MAX`](super::Config::SINK_THREADS_MAX).
    SinkThreadsAboveMax,
    /// `sink_batch` is zero.
    SinkBatchZero,
    /// `sink_backoff` is shorter than a microsecond.
    SinkBackoffZero,
    /// `sink_backoff_max` is shorter than `sink_backoff`.
    SinkBackoffMaxBelowFirst,
    /// `rate_keys` is zero.
    RateKeysZero,
    /// `rate_keys` is above [`Config::CAPACITY_MAX`](super::Config::CAPACITY_MAX).
    RateKeysAboveMax,
    /// `target_age` is shorter than a microsecond.
    TargetAgeZero,
    /// `drain_timeout` is shorter than a microsecond.
    DrainTimeoutZero,
    /// The environment variable of this name cannot be read as a value of its setting.
    Variable(&'static str),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeitherAsyncNorInline => "async_enabled: without workers, overflow must be inline",
            Self::WorkersAboveMax => "workers: must be at most 64",
            Self::CapacityZero => "capacity: must be at least 1",
            Self::CapacityAboveMax => "capacity: must be at most 2^30",
            Self::HighWaterOutOfRange => "high_water_percent: must be between 1 and 100",
            Self::LowWaterNotBelowHigh => "low_water_percent: must be below high_water_percent",
            Self::BatchMaxZero => "batch_max: must be at least 1",
            Self::CapacityBelowBatch => "capacity: must not be below batch_max",
            Self::LingerTooLong => "linger: must be at most 60 seconds",
            Self::SweepEveryZero => "sweep_every: must be at least a microsecond",
            Self::SweepAfterZero => "sweep_after: must be at least a microsecond",
            Self::BreakerFailuresZero => "breaker_failures: must be at least 1",
            Self::BreakerFailuresAboveMax => "breaker_failures: must be at most 65536",
            Self::BreakerWindowZero => "breaker_window: must be at least a microsecond",
            Self::BreakerOpenZero => "breaker_open: must be at least a microsecond",
            Self::BreakerJitterOutOfRange => "breaker_jitter_percent: must be at most 100",
            Self::BreakerProbesZero => "breaker_probes: must be at least 1",
            Self::EventsPendingZero => "events_pending: must be at least 1",
            Self::EventsPendingAboveMax => "events_pending: must be at most 2^30",
            Self::SinkCapacityZero => "sink_capacity: must be at least 1",
            Self::SinkCapacityAboveMax => "sink_capacity: must be at most 2^30",
            Self::SinkThreadsZero => "sink_threads: must be at least 1",
            Self::SinkThreadsAboveMax => "sink_threads: must be at most 64",
            Self::SinkBatchZero => "sink_batch: must be at least 1",
            Self::SinkBackoffZero => "sink_backoff: must be at least a microsecond",
            Self::SinkBackoffMaxBelowFirst => "sink_backoff_max: must not be below sink_backoff",
            Self::RateKeysZero => "rate_keys: must be at least 1",
            Self::RateKeysAboveMax => "rate_keys: must be at most 2^30",
            Self::TargetAgeZero => "target_age: must be at least a microsecond",
            Self::DrainTimeoutZero => "drain_timeout: must be at least a microsecond",
            Self::Variable(name) => return write!(f, "{name}: the value cannot be read"),
        })
    }
}

/// The error of a configuration with invalid settings: all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// Returns every problem. There is at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid settings: ")?;
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl Error for ConfigError {}
