//! Messages: the items of the mailbox.

use std::time::Instant;

use crate::manager::model::command::{Applied, Command, CommandError, SubmitError, SubmitErrorKind};
use crate::manager::model::report::MemoryReport;
use crate::ticket::Completion;

/// An item of the mailbox.
pub(crate) enum Message<A> {
    Command(Envelope<A>),
    /// Measures the memory. O(links + pages of all live versions).
    Measure(Completion<MemoryReport>),
}

impl<A> Message<A> {
    /// Ends an accepted command without applying it.
    pub(crate) fn refuse(self, error: CommandError) {
        if let Self::Command(envelope) = self {
            // A panic in a callback of the ticket is contained in `fail`, and not counted.
            let _ = envelope.completion.fail(error).contained_panic();
        }
    }

    /// Returns the error for a command that was not accepted. Its ticket has not been handed out.
    pub(crate) fn into_refusal(self, kind: SubmitErrorKind) -> SubmitError<A> {
        match self {
            Self::Command(envelope) => SubmitError { command: Box::new(envelope.command), kind },
            Self::Measure(_) => unreachable!("only commands are submitted"),
        }
    }
}

/// A command in the mailbox, with the completion of its ticket.
pub(crate) struct Envelope<A> {
    pub(crate) command: Command<A>,
    pub(crate) completion: Completion<Applied, CommandError>,
    pub(crate) created: Instant,
    pub(crate) deadline: Option<Instant>,
}
