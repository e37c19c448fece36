//! What waits for the transport, as far as commands depend on it.

use super::Core;
use crate::link::{Addr, StreamId};
use crate::manager::command::CommandError;
use crate::manager::effect::Effect;

/// What waited for the transport when the turn began, with the refused streams of this turn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    effects: usize,
    closing: usize,
}

impl<A: Addr> Core<A> {
    /// Tells how many effects wait for the transport, and how many streams they close. Before each turn; what
    /// is not told is nothing.
    pub(crate) fn note_backlog(&mut self, effects: usize, closing: usize) {
        self.backlog = Backlog { effects, closing };
    }

    /// Has a stream closed that no link accepts: no one else ever would. While too many wait to be closed, it
    /// is the caller's to close.
    pub(super) fn refuse_stream(&mut self, addr: A, stream: StreamId) -> Result<(), CommandError> {
        let limit = self.config.refused;
        if self.backlog.closing >= limit {
            self.tally.unclosed_streams += 1;
            return Err(CommandError::TooManyRefused { limit });
        }
        self.backlog.closing += 1;
        self.effects.push(Effect::CloseStreams { addr, streams: vec![stream] });
        Ok(())
    }

    /// While very much waits for the transport, there is nothing new that effects could be about: what is there
    /// bounds what can be said of it, and what has gone is not replaced.
    pub(super) fn check_backlog(&self) -> Result<(), CommandError> {
        let limit = self.config.outbox.saturating_add(self.settings().max_links);
        if self.backlog.effects + self.backlog.closing >= limit {
            return Err(CommandError::LimitReached { of: "effects", limit });
        }
        Ok(())
    }
}
