//! Messages: the items of the mailbox.

use std::time::Instant;

use crate::manager::model::command::{
    Applied, AppliedAll, Command, CommandError, SubmitAllError, SubmitError, SubmitErrorKind,
};
use crate::manager::model::report::MemoryReport;
use crate::ticket::Completion;

/// An item of the mailbox.
pub(crate) enum Message<A> {
    Command(Envelope<A>),
    List(List<A>),
    /// Measures the memory. O(links + pages of all live versions).
    Measure(Completion<MemoryReport>),
}

impl<A> Message<A> {
    /// Ends an accepted command without applying it.
    pub(crate) fn refuse(self, error: CommandError) {
        // A panic in a callback of the ticket is contained in `fail`, and not counted.
        let _ = match self {
            Self::Command(envelope) => envelope.completion.fail(error).contained_panic(),
            Self::List(list) => list.completion.fail(error).contained_panic(),
            Self::Measure(_) => false,
        };
    }

    /// Number of commands in the message.
    pub(crate) fn commands(&self) -> usize {
        match self {
            Self::Command(_) => 1,
            Self::List(list) => list.commands.len(),
            Self::Measure(_) => 0,
        }
    }

    /// Returns the error for a command that was not accepted. Its ticket has not been handed out.
    pub(crate) fn into_refusal(self, kind: SubmitErrorKind) -> SubmitError<A> {
        match self {
            Self::Command(envelope) => SubmitError { command: Box::new(envelope.command), kind },
            Self::List(_) | Self::Measure(_) => unreachable!("only commands are submitted"),
        }
    }

    /// Returns the error for a list that was not accepted. Its ticket has not been handed out.
    pub(crate) fn into_refused_list(self, kind: SubmitErrorKind) -> SubmitAllError<A> {
        match self {
            Self::List(list) => SubmitAllError { commands: list.commands, kind },
            Self::Command(_) | Self::Measure(_) => unreachable!("only lists are submitted"),
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

/// Commands that share a room in the mailbox, a turn and a ticket.
pub(crate) struct List<A> {
    pub(crate) commands: Vec<Command<A>>,
    pub(crate) completion: Completion<AppliedAll, CommandError>,
    pub(crate) created: Instant,
    /// Concerns requests only: reports do not expire.
    pub(crate) deadline: Option<Instant>,
}
