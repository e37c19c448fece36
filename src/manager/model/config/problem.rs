//! Invalid settings.

use std::fmt;

/// One invalid setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// `tick` is zero.
    TickZero,
    /// `max_attempts` is zero.
    MaxAttemptsZero,
    /// `dial_timeout` is zero.
    DialTimeoutZero,
    /// The delay of [`RetryPolicy::Fixed`](crate::RetryPolicy::Fixed) is zero.
    RetryDelayZero,
    /// The base of [`RetryPolicy::Exponential`](crate::RetryPolicy::Exponential) is zero.
    RetryBaseZero,
    /// The cap of a custom retry policy is zero.
    RetryCapZero,
    /// The cap of [`RetryPolicy::Exponential`](crate::RetryPolicy::Exponential) is below its base.
    RetryCapBelowBase,
    /// `max_links` is zero.
    MaxLinksZero,
    /// `max_nets` is zero.
    MaxNetsZero,
    /// `max_streams` is zero.
    MaxStreamsZero,
    /// `max_ignored` is zero.
    MaxIgnoredZero,
    /// `max_clusters` is zero.
    MaxClustersZero,
    /// `max_roles` is zero.
    MaxRolesZero,
    /// `max_permanent` is zero.
    MaxPermanentZero,
    /// The threshold of the [`FlapPolicy`](crate::link::FlapPolicy) is zero.
    FlapThresholdZero,
    /// The limit of the [`FlapPolicy`](crate::link::FlapPolicy) is zero.
    FlapLimitZero,
    /// The delay of the [`FlapPolicy`](crate::link::FlapPolicy) is zero.
    FlapDelayZero,
    /// The [`FlapPolicy`](crate::link::FlapPolicy) remembers no node: its number of entries is zero.
    FlapEntriesZero,
    /// `name` contains a NUL byte.
    NameNul,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TickZero => "tick: must be longer than zero",
            Self::MaxAttemptsZero => "max_attempts: must be at least 1",
            Self::DialTimeoutZero => "dial_timeout: must be longer than zero",
            Self::RetryDelayZero => "retry: the delay must be longer than zero",
            Self::RetryBaseZero => "retry: the base must be longer than zero",
            Self::RetryCapZero => "retry: the cap must be longer than zero",
            Self::RetryCapBelowBase => "retry: the cap must not be below the base",
            Self::MaxLinksZero => "max_links: must be at least 1",
            Self::MaxNetsZero => "max_nets: must be at least 1",
            Self::MaxStreamsZero => "max_streams: must be at least 1",
            Self::MaxIgnoredZero => "max_ignored: must be at least 1",
            Self::MaxClustersZero => "max_clusters: must be at least 1",
            Self::MaxRolesZero => "max_roles: must be at least 1",
            Self::MaxPermanentZero => "max_permanent: must be at least 1",
            Self::FlapThresholdZero => "flaps: the threshold must be longer than zero",
            Self::FlapLimitZero => "flaps: the limit must be at least 1",
            Self::FlapDelayZero => "flaps: the delay must be longer than zero",
            Self::FlapEntriesZero => "flaps: the entries must be at least 1",
            Self::NameNul => "name: a thread name cannot contain a NUL byte",
        })
    }
}

/// The error of a configuration with invalid settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// All invalid settings, at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid configuration: ")?;
        for (index, problem) in self.problems.iter().enumerate() {
            let comma = if index == 0 { "" } else { "; " };
            write!(f, "{comma}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
