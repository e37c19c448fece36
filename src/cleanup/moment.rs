//! Time, as the parts of a pipeline see it.

use std::time::Duration;

/// Nanoseconds since the start of a pipeline. Monotonic: only the pipeline makes one, from its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) const START: Self = Self(0);

    pub(crate) const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    pub(crate) const fn as_ns(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1000))
    }

    pub(crate) const fn as_micros(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the moment `delay` later; the last one that can be represented if that is later.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Returns the time since `earlier`; zero if that is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
