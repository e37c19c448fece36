//! Dials, and the state of the dialer of a link.

use std::fmt;
use std::time::Instant;

/// The progress of the dialer of a link. Describes the dialling side only: a link that consists only of
/// downlinks stays [`Disconnected`](DialState::Disconnected).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DialState {
    /// No dial is in progress.
    Disconnected,
    /// A dial is in progress, or the dialer is repairing a connection that broke.
    Connecting,
    /// The dialer has a working connection.
    Established,
}

/// The identity of one dial: from the effect that starts it to the failure or cancellation that ends it.
/// Chosen by the manager, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialId(pub u64);

impl fmt::Display for DialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dial {}", self.0)
    }
}

/// A dial that is in progress or holds a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) id: DialId,
    /// The instant at which the current attempt to connect began or ended; bounds the wait for the answers.
    pub(crate) since: Instant,
}
