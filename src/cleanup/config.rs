//! The settings of a pipeline.

mod env;
mod problem;
#[cfg(feature = "serde")]
mod serialize;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::num::NonZeroUsize;
use std::time::Duration;

pub use env::ParseWorkersError;
pub use problem::{ConfigError, Problem};

/// The settings of a cleanup pipeline.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `async_enabled` | `true` | whether there are queues and workers; otherwise each disconnect is cleaned by its caller |
/// | `workers` | `Auto` | number of workers, each with a queue of its own |
/// | `capacity` | `10000` | tasks that can wait, per worker; one in 64 is kept for apps with less than their share |
/// | `high_water_percent` | `80` | fill of a queue from which it counts as congested |
/// | `low_water_percent` | `50` | fill of a queue below which it no longer does |
/// | `batch_max` | `64` | connections that are removed, and published, together; up to 8 while others are opened |
/// | `linger` | `0ns` | wait for a batch to fill, from its first task; zero: a worker takes what is queued |
/// | `overflow` | `Inline` | path of a disconnect for which no queue has room |
/// | `inline_max` | `None` | cleanups by callers at the same time; `None`: twice the number of workers |
/// | `sweep_every` | `1s` | interval between two sweeps for connections that no queue took |
/// | `sweep_after` | `5s` | age from which a sweep takes a closed connection |
/// | `breaker_failures` | `10` | refusals within the window that open the breaker |
/// | `breaker_window` | `10s` | window in which refusals are counted |
/// | `breaker_open` | `5s` | pause until an open breaker lets a probe through |
/// | `breaker_jitter_percent` | `20` | part of that pause by which it is lengthened at random |
/// | `breaker_probes` | `1` | probes of a half-open breaker at the same time |
/// | `event_delay` | `3s` | grace after a lost connection, in which a return cancels the event |
/// | `event_delay_closed` | `0ns` | grace after a connection that was closed in order |
/// | `shutdown_events` | `false` | whether connections that a shutdown closes cause events |
/// | `events_pending` | `100000` | events that can wait for the end of their grace; further ones are due at once |
/// | `sink_capacity` | `65536` | events that can wait for the sink; a quarter of it for one app |
/// | `sink_threads` | `2` | threads that call the sink; one that is stuck holds up one app |
/// | `sink_batch` | `256` | events that are handed to the sink together |
/// | `sink_retries` | `2` | further attempts for an event that the sink did not take |
/// | `sink_backoff` | `50ms` | pause before the first of them; it doubles with each |
/// | `sink_backoff_max` | `2s` | longest such pause |
/// | `app_rate` | `None` | disconnects per app beyond which they are cleaned later than others |
/// | `prefix_rate` | `None` | the same, per IPv4 address or IPv6 /64 prefix |
/// | `rate_keys` | `65536` | apps and prefixes that are tracked, each; further ones are not limited |
/// | `rate_dry_run` | `false` | whether the limits only count |
/// | `target_age` | `1s` | age of the oldest task at which the pressure is 1 |
/// | `drain_timeout` | `10s` | time that a drain may take |
///
/// # Environment
/// [`from_env`](Self::from_env) reads these variables:
///
/// | variable | setting |
/// |---|---|
/// | `CLEANUP_ASYNC_ENABLED` | `async_enabled` |
/// | `CLEANUP_FALLBACK_TO_SYNC` | `overflow`: `true` is `Inline`, `false` is `Defer` |
/// | `CLEANUP_QUEUE_BUFFER_SIZE` | `capacity` |
/// | `CLEANUP_BATCH_SIZE` | `batch_max` |
/// | `CLEANUP_BATCH_TIMEOUT_MS` | `linger` |
/// | `CLEANUP_WORKER_THREADS` | `workers`: `auto` or a number |
/// | `CLEANUP_MAX_RETRY_ATTEMPTS` | `sink_retries` |
///
/// # Serialization
/// With the feature `serde`, settings that are missing have their defaults. Durations are whole milliseconds, and
/// their names end in `_ms`. The names `queue_buffer_size`, `batch_size`, `batch_timeout_ms`, `worker_threads`,
/// `fallback_to_sync` and `max_retry_attempts` are understood as well, as above.
///
/// # Examples
/// ```
/// use switchboard::cleanup::{Config, Problem};
///
/// let mut config = Config::default();
/// assert!(config.validate().is_ok());
/// config.batch_max = 0;
/// config.low_water_percent = 90;
/// let error = config.validate().unwrap_err();
/// assert_eq!(error.problems(), [Problem::LowWaterNotBelowHigh, Problem::BatchMaxZero]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Whether there are queues and workers.
    pub async_enabled: bool,
    /// Number of workers.
    #[cfg_attr(feature = "serde", serde(alias = "worker_threads"))]
    pub workers: Workers,
    /// Tasks that can wait, per worker.
    #[cfg_attr(feature = "serde", serde(alias = "queue_buffer_size"))]
    pub capacity: usize,
    /// Fill of a queue, in percent, from which it counts as congested.
    pub high_water_percent: u8,
    /// Fill of a queue, in percent, below which it no longer counts as congested.
    pub low_water_percent: u8,
    /// Connections that are removed together. While connections are opened or changed, up to 8: those that wait for the
    /// writer do not wait for a large one.
    #[cfg_attr(feature = "serde", serde(alias = "batch_size"))]
    pub batch_max: usize,
    /// Wait for a batch to fill, measured from its first task.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "linger_ms", alias = "batch_timeout_ms", with = "serialize::millis")
    )]
    pub linger: Duration,
    /// Path of a disconnect for which no queue has room.
    #[cfg_attr(feature = "serde", serde(alias = "fallback_to_sync"))]
    pub overflow: Overflow,
    /// Cleanups by callers at the same time; `None`: twice the number of workers.
    pub inline_max: Option<NonZeroUsize>,
    /// Interval between two sweeps.
    #[cfg_attr(feature = "serde", serde(rename = "sweep_every_ms", with = "serialize::millis"))]
    pub sweep_every: Duration,
    /// Age from which a sweep takes a closed connection.
    #[cfg_attr(feature = "serde", serde(rename = "sweep_after_ms", with = "serialize::millis"))]
    pub sweep_after: Duration,
    /// Refusals within the window that open the breaker.
    pub breaker_failures: u32,
    /// Window in which refusals are counted.
    #[cfg_attr(feature = "serde", serde(rename = "breaker_window_ms", with = "serialize::millis"))]
    pub breaker_window: Duration,
    /// Pause until an open breaker lets a probe through.
    #[cfg_attr(feature = "serde", serde(rename = "breaker_open_ms", with = "serialize::millis"))]
    pub breaker_open: Duration,
    /// Part of that pause, in percent, by which it is lengthened at random.
    pub breaker_jitter_percent: u8,
    /// Probes of a half-open breaker at the same time.
    pub breaker_probes: u8,
    /// Grace after a lost connection.
    #[cfg_attr(feature = "serde", serde(rename = "event_delay_ms", with = "serialize::millis"))]
    pub event_delay: Duration,
    /// Grace after a connection that was closed in order.
    #[cfg_attr(feature = "serde", serde(rename = "event_delay_closed_ms", with = "serialize::millis"))]
    pub event_delay_closed: Duration,
    /// Whether connections that a shutdown closes cause events.
    pub shutdown_events: bool,
    /// Events that can wait for the end of their grace.
    pub events_pending: usize,
    /// Events that can wait for the sink.
    pub sink_capacity: usize,
    /// Threads that call the sink.
    pub sink_threads: usize,
    /// Events that are handed to the sink together.
    pub sink_batch: usize,
    /// Further attempts for an event that the sink did not take.
    #[cfg_attr(feature = "serde", serde(alias = "max_retry_attempts"))]
    pub sink_retries: u32,
    /// Pause before the first of these attempts.
    #[cfg_attr(feature = "serde", serde(rename = "sink_backoff_ms", with = "serialize::millis"))]
    pub sink_backoff: Duration,
    /// Longest pause between two attempts.
    #[cfg_attr(feature = "serde", serde(rename = "sink_backoff_max_ms", with = "serialize::millis"))]
    pub sink_backoff_max: Duration,
    /// Disconnects per app beyond which they are cleaned later.
    pub app_rate: Option<Rate>,
    /// Disconnects per address prefix beyond which they are cleaned later.
    pub prefix_rate: Option<Rate>,
    /// Apps and prefixes that are tracked, each.
    pub rate_keys: usize,
    /// Whether the limits only count.
    pub rate_dry_run: bool,
    /// Age of the oldest task at which the pressure is 1.
    #[cfg_attr(feature = "serde", serde(rename = "target_age_ms", with = "serialize::millis"))]
    pub target_age: Duration,
    /// Time that a drain may take.
    #[cfg_attr(feature = "serde", serde(rename = "drain_timeout_ms", with = "serialize::millis"))]
    pub drain_timeout: Duration,
}

/// The settings that can change while the pipeline runs: [`Cleanup::tune`](super::Cleanup::tune).
///
/// They are described at [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Connections that are removed together.
    pub batch_max: usize,
    /// Wait for a batch to fill.
    pub linger: Duration,
    /// Disconnects per app beyond which they are cleaned later.
    pub app_rate: Option<Rate>,
    /// Disconnects per address prefix beyond which they are cleaned later.
    pub prefix_rate: Option<Rate>,
    /// Whether the limits only count.
    pub rate_dry_run: bool,
}

/// Number of workers of a pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// A quarter of the processors: at least one and at most four.
    #[default]
    Auto,
    /// This many, up to [`Workers::MAX`].
    Fixed(NonZeroUsize),
}

/// Path of a disconnect for which no queue has room, or which the breaker keeps from trying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Overflow {
    /// The caller cleans this one connection itself, as a worker would. Beyond
    /// [`inline_max`](Config::inline_max) such callers, as [`Defer`](Self::Defer).
    #[default]
    Inline,
    /// The connection stays closed, and a sweep cleans it.
    Defer,
    /// The connection stays open, and the caller gets it back.
    Reject,
}

/// A number of disconnects per second, on average, and in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rate {
    /// Disconnects per second, on average.
    pub per_second: std::num::NonZeroU32,
    /// Disconnects in a row.
    pub burst: std::num::NonZeroU32,
}

impl Workers {
    /// Largest number of workers.
    pub const MAX: usize = 64;

    /// Returns the number of workers on a machine with this number of processors.
    #[must_use]
    pub fn count(self, processors: usize) -> usize {
        match self {
            Self::Auto => (processors / 4).clamp(1, 4),
            Self::Fixed(number) => number.get(),
        }
    }
}

impl Config {
    /// Longest [`linger`](Self::linger).
    pub const LINGER_MAX: Duration = Duration::from_secs(60);

    /// Largest number of [`sink_threads`](Self::sink_threads).
    pub const SINK_THREADS_MAX: usize = 64;

    /// Largest number of tasks, events or keys that a setting can allow.
    pub const CAPACITY_MAX: usize = 1 << 30;

    /// Returns the number of cleanups by callers at the same time, with this number of workers.
    #[must_use]
    pub fn inline_limit(&self, workers: usize) -> usize {
        self.inline_max.map_or(workers.saturating_mul(2), NonZeroUsize::get)
    }

    /// Returns the settings that can change while the pipeline runs.
    #[must_use]
    pub fn tuning(&self) -> Tuning {
        let Self { batch_max, linger, app_rate, prefix_rate, rate_dry_run, .. } = *self;
        Tuning { batch_max, linger, app_rate, prefix_rate, rate_dry_run }
    }

    /// Replaces the settings that can change while the pipeline runs.
    #[must_use]
    pub fn with_tuning(self, tuning: Tuning) -> Self {
        let Tuning { batch_max, linger, app_rate, prefix_rate, rate_dry_run } = tuning;
        Self { batch_max, linger, app_rate, prefix_rate, rate_dry_run, ..self }
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem, in the order of the settings.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let problems: Vec<_> =
            self.checks().filter_map(|(is_bad, problem)| is_bad.then_some(problem)).collect();
        ConfigError::check(problems)
    }

    fn checks(&self) -> impl Iterator<Item = (bool, Problem)> {
        let is_none = |duration: Duration| duration < Duration::from_micros(1);
        let is_excessive = |number: usize| number > Self::CAPACITY_MAX;
        let workers = matches!(self.workers, Workers::Fixed(number) if number.get() > Workers::MAX);
        let percent = |percent: u8| percent == 0 || percent > 100;
        [
            (!self.async_enabled && self.overflow != Overflow::Inline, Problem::NeitherAsyncNorInline),
            (workers, Problem::WorkersAboveMax),
            (self.capacity == 0, Problem::CapacityZero),
            (is_excessive(self.capacity), Problem::CapacityAboveMax),
            (percent(self.high_water_percent), Problem::HighWaterOutOfRange),
            (self.low_water_percent >= self.high_water_percent, Problem::LowWaterNotBelowHigh),
            (self.batch_max == 0, Problem::BatchMaxZero),
            (self.capacity < self.batch_max, Problem::CapacityBelowBatch),
            (self.linger > Self::LINGER_MAX, Problem::LingerTooLong),
            (is_none(self.sweep_every), Problem::SweepEveryZero),
            (is_none(self.sweep_after), Problem::SweepAfterZero),
            (self.breaker_failures == 0, Problem::BreakerFailuresZero),
            (self.breaker_failures > 1 << 16, Problem::BreakerFailuresAboveMax),
            (is_none(self.breaker_window), Problem::BreakerWindowZero),
            (is_none(self.breaker_open), Problem::BreakerOpenZero),
            (self.breaker_jitter_percent > 100, Problem::BreakerJitterOutOfRange),
            (self.breaker_probes == 0, Problem::BreakerProbesZero),
            (self.events_pending == 0, Problem::EventsPendingZero),
            (is_excessive(self.events_pending), Problem::EventsPendingAboveMax),
            (self.sink_capacity == 0, Problem::SinkCapacityZero),
            (is_excessive(self.sink_capacity), Problem::SinkCapacityAboveMax),
            (self.sink_threads == 0, Problem::SinkThreadsZero),
            (self.sink_threads > Self::SINK_THREADS_MAX, Problem::SinkThreadsAboveMax),
            (self.sink_batch == 0, Problem::SinkBatchZero),
            (is_none(self.sink_backoff), Problem::SinkBackoffZero),
            (self.sink_backoff_max < self.sink_backoff, Problem::SinkBackoffMaxBelowFirst),
            (self.rate_keys == 0, Problem::RateKeysZero),
            (is_excessive(self.rate_keys), Problem::RateKeysAboveMax),
            (is_none(self.target_age), Problem::TargetAgeZero),
            (is_none(self.drain_timeout), Problem::DrainTimeoutZero),
        ]
        .into_iter()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            async_enabled: true,
            workers: Workers::Auto,
            capacity: 10_000,
            high_water_percent: 80,
            low_water_percent: 50,
            batch_max: 64,
            linger: Duration::ZERO,
            overflow: Overflow::Inline,
            inline_max: None,
            sweep_every: Duration::from_secs(1),
            sweep_after: Duration::from_secs(5),
            breaker_failures: 10,
            breaker_window: Duration::from_secs(10),
            breaker_open: Duration::from_secs(5),
            breaker_jitter_percent: 20,
            breaker_probes: 1,
            event_delay: Duration::from_secs(3),
            event_delay_closed: Duration::ZERO,
            shutdown_events: false,
            events_pending: 100_000,
            sink_capacity: 65_536,
            sink_threads: 2,
            sink_batch: 256,
            sink_retries: 2,
            sink_backoff: Duration::from_millis(50),
            sink_backoff_max: Duration::from_secs(2),
            app_rate: None,
            prefix_rate: None,
            rate_keys: 65_536,
            rate_dry_run: false,
            target_age: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
