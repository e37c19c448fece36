//! Errors of flushes.

use std::error::Error;
use std::fmt;

use super::super::store::StoreError;

/// The error of [`Saver::flush`](super::Saver::flush). The session remains dirty, and is saved later.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FlushError {
    /// The timeout expired while another thread was saving the session.
    Timeout,
    /// The store failed.
    Failed(StoreError),
}

impl FlushError {
    /// Returns whether the timeout expired.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timed out before the session was saved"),
            Self::Failed(_) => f.write_str("the session was not saved"),
        }
    }
}

impl Error for FlushError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Timeout => None,
            Self::Failed(error) => Some(error),
        }
    }
}

/// The error of [`Saver::flush_all`](super::Saver::flush_all): some sessions were not saved, and remain dirty.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlushAllError {
    /// Number of sessions whose changes are not stored.
    pub unsaved: usize,
    /// The first failure of the store, or `None` if the time was over before.
    pub failure: Option<StoreError>,
}

impl fmt::Display for FlushAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sessions were not saved", self.unsaved)
    }
}

impl Error for FlushAllError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.failure {
            Some(failure) => Some(failure),
            None => None,
        }
    }
}

/// The error of [`SaverThread::shutdown`](super::SaverThread::shutdown).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Some sessions were not saved. The thread has ended.
    Unsaved(FlushAllError),
    /// The thread was still in a call of the store when the time was over. It ends after this call. With the sessions that
    /// were not saved by then, if there are any.
    Timeout(Option<FlushAllError>),
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaved(error) => write!(f, "{error}"),
            Self::Timeout(_) => f.write_str("timed out while the thread was in a call of the store"),
        }
    }
}

impl Error for ShutdownError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unsaved(error) | Self::Timeout(Some(error)) => error.source(),
            Self::Timeout(None) => None,
        }
    }
}
