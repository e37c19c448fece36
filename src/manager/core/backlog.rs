//! The backlog: how much waits for the transport.

/// What waited for the transport when the turn began, with the refused streams of this turn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    pub(super) effects: usize,
    pub(super) closing: usize,
}
