//! Errors, one per operation.

use std::fmt;
use std::time::Duration;

use super::id::RunId;

/// The error of [`Sessions::try_begin`](super::Sessions::try_begin): the run did not begin, and nothing has
/// changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryBeginError {
    /// The session has a run.
    Busy {
        /// The run of the session.
        run: RunId,
        /// The time since [`Run::start`](super::Run::start) was called, or since the run was first found busy,
        /// whichever came first: a begin that succeeds at once reads no clock. In steps of a microsecond.
        age: Duration,
    },
    /// The session is being cleared, which takes a few steps of the thread that clears it.
    Clearing,
    /// The connection through which the run was to begin has ended, or a newer connection has displaced it.
    /// Only [`Connection::try_begin`](super::Connection::try_begin) returns it.
    Disconnected,
}

impl TryBeginError {
    /// Returns whether the session has a run.
    #[must_use]
    pub fn is_busy(self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// Returns whether the session is being cleared.
    #[must_use]
    pub fn is_clearing(self) -> bool {
        self == Self::Clearing
    }

    /// Returns whether the connection is no longer that of the session.
    #[must_use]
    pub fn is_disconnected(self) -> bool {
        self == Self::Disconnected
    }
}

impl fmt::Display for TryBeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { run, age } => write!(f, "the session is busy with {run}, since {age:?}"),
            Self::Clearing => f.write_str("the session is being cleared"),
            Self::Disconnected => f.write_str("the connection is no longer that of the session"),
        }
    }
}

impl std::error::Error for TryBeginError {}

/// The error of those who wait for a run, such as [`Sessions::begin_timeout`](super::Sessions::begin_timeout):
/// the run did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeginError {
    /// The timeout expired before the run could begin. Futures have no timeout, and never return it.
    Timeout,
    /// The session was cleared while the caller waited.
    Cleared,
    /// As many callers wait for the session as
    /// [`SessionsBuilder::max_waiting`](super::SessionsBuilder::max_waiting) allows.
    Full,
}

impl BeginError {
    /// Returns whether the timeout expired.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        self == Self::Timeout
    }

    /// Returns whether the session was cleared.
    #[must_use]
    pub fn is_cleared(self) -> bool {
        self == Self::Cleared
    }

    /// Returns whether too many callers wait.
    #[must_use]
    pub fn is_full(self) -> bool {
        self == Self::Full
    }
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timed out before the run could begin",
            Self::Cleared => "the session was cleared before the run could begin",
            Self::Full => "too many callers wait for the session",
        })
    }
}

impl std::error::Error for BeginError {}

/// The error of [`Sessions::clear`](super::Sessions::clear): the data is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClearError {
    /// The session has a run, and the policy is [`RefuseIfBusy`](super::ClearPolicy::RefuseIfBusy).
    Busy(RunId),
    /// The timeout of [`CancelAndWait`](super::ClearPolicy::CancelAndWait) expired before the run ended. The
    /// run remains cancelled.
    Timeout,
}

impl ClearError {
    /// Returns whether the session has a run.
    #[must_use]
    pub fn is_busy(self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// Returns whether the timeout expired.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        self == Self::Timeout
    }
}

impl fmt::Display for ClearError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(run) => write!(f, "the session is busy with {run}"),
            Self::Timeout => f.write_str("timed out before the cancelled run ended"),
        }
    }
}

impl std::error::Error for ClearError {}

/// The error of [`Sessions::remove`](super::Sessions::remove): the session is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoveError {
    /// The session has a run.
    Busy(RunId),
    /// The session is being cleared.
    Clearing,
    /// The session has a connection.
    Connected,
}

impl fmt::Display for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(run) => write!(f, "the session is busy with {run}"),
            Self::Clearing => f.write_str("the session is being cleared"),
            Self::Connected => f.write_str("the session has a connection"),
        }
    }
}

impl std::error::Error for RemoveError {}

/// The error of a run that is no longer that of its session: the session was cleared by
/// [`CancelAndDetach`](super::ClearPolicy::CancelAndDetach), and rejects what the run writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session was cleared without waiting for this run")
    }
}

impl std::error::Error for Stale {}
