//! The backlog: the effects and streams that wait for the transport.
//!
//! The core does not see the outbox. It receives the numbers once per turn, and refuses new links, nets,
//! clusters and streams by them: without that limit, a slow transport would make the outbox grow without
//! bound.

/// The load of the transport when the turn began, plus the streams refused in this turn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    /// Number of effects in the outbox.
    pub(super) effects: usize,
    /// Number of streams that wait to be closed.
    pub(super) closing: usize,
}
