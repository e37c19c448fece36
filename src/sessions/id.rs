//! Identities that are never reused.

use std::fmt;

use crate::claim::ClaimId;

/// The identity of one run. Never reused by the same [`Sessions`](super::Sessions), also if a session is
/// removed and created again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId {
    /// The number of the session object.
    pub(super) session: u64,
    pub(super) claim: ClaimId,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {}.{}", self.session, self.claim.as_u64())
    }
}

/// The identity of one connection. Never reused by the same [`Sessions`](super::Sessions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub(super) session: u64,
    pub(super) number: u64,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}.{}", self.session, self.number)
    }
}
