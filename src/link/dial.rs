//! Dials, and the state of the dialer of a link.

use std::fmt;
use std::time::Instant;

/// How far the dialer of a link has come. Describes the dialling side only: a link that consists of a
/// downlink alone stays [`Disconnected`](DialState::Disconnected).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DialState {
    /// No dial is under way.
    Disconnected,
    /// A dial is under way, or the dialer is repairing a connection that broke.
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

/// A dial that is under way or holds a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) id: DialId,
    /// When the present attempt to connect began, or ended: bounds how long its answers may take.
    pub(crate) since: Instant,
}
