//! The events. `docs::logging` lists them by name and field.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use tracing::{Level, enabled, event};

use crate::clock::Clock;
use crate::mailbox::Priority;
use crate::manager::model::command::kind::CommandKind;
use crate::manager::model::command::{Applying, Command, CommandError, SubmitError, SubmitErrorKind};
use crate::manager::model::effect::Effect;
use crate::manager::run::message::Message;
use crate::table::version::Version;
use crate::unwind::contain;

const COMMAND: &str = "switchboard::command";

const MESSAGE: &str = "switchboard::message";

/// What is said of one command once it has ended.
pub(in crate::manager) struct Entry {
    details: Option<Details>,
}

struct Details {
    kind: CommandKind,
    lane: Priority,
    waited: Duration,
    began: Instant,
    took: Duration,
}

/// The same, with how it ended.
pub(in crate::manager) struct Report {
    ended: Option<(Details, Applying, Version, usize)>,
}

impl Entry {
    /// The clock is read only when somebody listens.
    pub(in crate::manager) fn new(
        kind: CommandKind,
        lane: Priority,
        waited: Duration,
        clock: &dyn Clock,
    ) -> Self {
        // Errors are told at a higher level, so whoever hears nothing of them hears nothing.
        if !enabled!(target: COMMAND, Level::WARN) {
            return Self { details: None };
        }
        let began = clock.now();
        Self { details: Some(Details { kind, lane, waited, began, took: Duration::ZERO }) }
    }

    pub(in crate::manager) fn applied(&mut self, clock: &dyn Clock) {
        if let Some(details) = &mut self.details {
            details.took = clock.now().saturating_duration_since(details.began);
        }
    }

    pub(in crate::manager) fn report(
        self,
        result: &Applying,
        version: Version,
        queue_len: impl FnOnce() -> usize,
    ) -> Report {
        Report { ended: self.details.map(|details| (details, result.clone(), version, queue_len())) }
    }
}

impl Report {
    /// False when the subscriber panicked.
    pub(in crate::manager) fn emit(self) -> bool {
        let Some((details, result, version, queue_len)) = self.ended else { return true };
        contained(|| tell(&details, &result, version, queue_len))
    }
}

fn tell(details: &Details, result: &Applying, version: Version, queue_len: usize) {
    let Details { kind, lane, waited, took, .. } = details;
    let (kind, lane, version) = (kind.as_str(), *lane as usize, version.as_u64());
    let (duration_ns, wait_ns) = (nanos(*took), nanos(*waited));
    let outcome: &dyn Debug = match result {
        Ok(outcome) => outcome,
        Err(error) => error,
    };
    event!(
        name: "command", target: COMMAND, Level::DEBUG,
        kind, lane, duration_ns, wait_ns, result = ?outcome, queue_len, version,
        "command applied"
    );
    if let Err(error) = result {
        event!(
            name: "command_error", target: COMMAND, Level::WARN,
            kind, code = error.code(), %error,
            "command failed"
        );
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// On the thread that submits.
pub(in crate::manager) fn submitted<A: Debug>(command: &Command<A>) {
    event!(
        name: "submit", target: MESSAGE, Level::TRACE,
        kind = command.kind().as_str(), lane = command.priority() as usize, ?command,
        "command submitted"
    );
}

/// On the thread that submits.
pub(in crate::manager) fn refused<A>(error: &SubmitError<A>) {
    let code = match error.kind {
        SubmitErrorKind::Full => "full",
        SubmitErrorKind::Closed => "closed",
    };
    event!(
        name: "refused", target: COMMAND, Level::WARN,
        kind = error.command.kind().as_str(), code, %error,
        "command not accepted"
    );
}

/// On the thread that sent the more urgent command.
pub(in crate::manager) fn shed<A>(victim: &Message<A>) {
    if let Message::Command(envelope) = victim {
        let error = CommandError::Shed;
        event!(
            name: "command_error", target: COMMAND, Level::WARN,
            kind = envelope.command.kind().as_str(), code = error.code(), %error,
            "command failed"
        );
    }
}

/// On the transport's thread, before the transport is called.
pub(in crate::manager) fn delivered<A: Debug>(effect: &Effect<A>) {
    contained(|| event!(name: "effect", target: MESSAGE, Level::TRACE, ?effect, "effect delivered"));
}

/// On the transport's thread.
pub(in crate::manager) fn transport_panicked() {
    contained(|| {
        event!(
            name: "transport_panic", target: COMMAND, Level::WARN,
            code = "transport_panic",
            "the transport panicked"
        );
    });
}

/// On a thread of the manager a subscriber may panic, and the thread goes on. False if it did.
fn contained(tell: impl FnOnce()) -> bool {
    // Unwind safety: everything that is said is a copy, or is not touched again.
    contain(AssertUnwindSafe(tell)).is_some()
}
