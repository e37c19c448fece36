//! Messages: what travels in the mailbox.

use std::time::Instant;

use crate::manager::model::command::{Applied, Command, CommandError, SubmitError, SubmitErrorKind};
use crate::manager::model::report::{DrainReport, MemoryReport};
use crate::ticket::Completion;

/// What travels in the mailbox.
pub(crate) enum Message<A> {
    Command(Envelope<A>),
    Shutdown(Shutdown),
    /// Count the memory: O(what there is).
    Measure(Completion<MemoryReport>),
}

impl<A> Message<A> {
    /// Ends an accepted command without applying it.
    pub(crate) fn refuse(self, error: CommandError) {
        if let Self::Command(envelope) = self {
            // A callback of the ticket that panics is contained there, and counted by no one.
            let _ = envelope.completion.fail(error).contained_panic();
        }
    }

    /// The error for a command that was not accepted. Its ticket has not been handed out.
    pub(crate) fn into_refusal(self, kind: SubmitErrorKind) -> SubmitError<A> {
        match self {
            Self::Command(envelope) => SubmitError { command: Box::new(envelope.command), kind },
            Self::Shutdown(_) | Self::Measure(_) => unreachable!("only commands are submitted"),
        }
    }
}

/// A command on its way, with the end of its ticket.
pub(crate) struct Envelope<A> {
    pub(crate) command: Command<A>,
    pub(crate) completion: Completion<Applied, CommandError>,
    pub(crate) created: Instant,
    pub(crate) deadline: Option<Instant>,
}

/// The order to end.
pub(crate) struct Shutdown {
    /// Accepted commands are applied until then.
    pub(crate) deadline: Option<Instant>,
    pub(crate) completion: Completion<DrainReport>,
}
