//! The events; `docs::logging` lists them by name and field.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use tracing::{Level, enabled, event, field};

use crate::clock::Clock;
use crate::mailbox::Priority;
use crate::manager::model::command::kind::CommandKind;
use crate::manager::model::command::{Applying, Command, CommandError, SubmitErrorKind};
use crate::manager::model::effect::Effect;
use crate::manager::run::message::Message;
use crate::table::version::Version;
use crate::unwind::contain;

const COMMAND: &str = "switchboard::command";

const MESSAGE: &str = "switchboard::message";

/// The data of one command for its event.
pub(in crate::manager) struct Entry<A> {
    details: Option<Details<A>>,
}

struct Details<A> {
    kind: CommandKind,
    /// The remote node, for an error.
    addr: Option<A>,
    lane: Priority,
    waited: Duration,
    began: Instant,
    took: Duration,
}

/// The data of one command, with its result.
pub(in crate::manager) struct Report<A> {
    ended: Option<(Details<A>, Applying, Version, usize)>,
}

impl<A: Clone + Debug> Entry<A> {
    /// Reads the clock, and copies the address, only if a subscriber is interested.
    pub(in crate::manager) fn new(
        command: &Command<A>,
        lane: Priority,
        waited: Duration,
        clock: &dyn Clock,
    ) -> Self {
        // Errors are emitted at WARN: a subscriber that does not enable WARN does not enable the other events
        // either.
        if !enabled!(target: COMMAND, Level::WARN) {
            return Self { details: None };
        }
        let (kind, began) = (command.kind(), clock.now());
        // The address is user code. If its copy panics, the event goes without it; the command itself copies
        // it again.
        let addr = contain(AssertUnwindSafe(|| command.addr().cloned())).flatten();
        Self { details: Some(Details { kind, addr, lane, waited, began, took: Duration::ZERO }) }
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
    ) -> Report<A> {
        Report { ended: self.details.map(|details| (details, result.clone(), version, queue_len())) }
    }
}

impl<A: Debug> Report<A> {
    /// Returns whether a subscriber is interested.
    pub(in crate::manager) fn is_due(&self) -> bool {
        self.ended.is_some()
    }

    /// Emits the events. Returns `false` if the subscriber panicked.
    pub(in crate::manager) fn emit(self) -> bool {
        let Some((details, result, version, queue_len)) = self.ended else { return true };
        // Moved into the closure: the destructor of the address is user code as well.
        contained(move || tell(details, &result, version, queue_len))
    }
}

fn tell<A: Debug>(details: Details<A>, result: &Applying, version: Version, queue_len: usize) {
    let Details { kind, addr, lane, waited, took, .. } = details;
    let (kind, lane, version) = (kind.as_str(), lane as usize, version.as_u64());
    let (duration_ns, wait_ns) = (nanos(took), nanos(waited));
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
            kind, code = error.code(), addr = addr.as_ref().map(field::debug), %error,
            "command failed"
        );
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Emitted on the submitting thread.
pub(in crate::manager) fn submitted<A: Debug>(command: &Command<A>) {
    event!(
        name: "submit", target: MESSAGE, Level::TRACE,
        kind = command.kind().as_str(), lane = command.priority() as usize, ?command,
        "command submitted"
    );
}

/// Emitted on the submitting thread.
pub(in crate::manager) fn refused<A: Debug>(command: &Command<A>, error: SubmitErrorKind) {
    let code = match error {
        SubmitErrorKind::Full => "full",
        SubmitErrorKind::Closed => "closed",
    };
    event!(
        name: "refused", target: COMMAND, Level::WARN,
        kind = command.kind().as_str(), code, addr = command.addr().map(field::debug), %error,
        "command not accepted"
    );
}

/// Emitted on the thread that sent the more urgent command. Lists are never shed.
pub(in crate::manager) fn shed<A: Debug>(victim: &Message<A>) {
    if let Message::Command(envelope) = victim {
        let (error, addr) = (CommandError::Shed, envelope.command.addr());
        event!(
            name: "command_error", target: COMMAND, Level::WARN,
            kind = envelope.command.kind().as_str(), code = error.code(), addr = addr.map(field::debug), %error,
            "command failed"
        );
    }
}

/// Emitted on the transport's thread, before the transport is called.
pub(in crate::manager) fn delivered<A: Debug>(effect: &Effect<A>) {
    contained(|| event!(name: "effect", target: MESSAGE, Level::TRACE, ?effect, "effect delivered"));
}

/// Emitted on the transport's thread.
pub(in crate::manager) fn transport_panicked() {
    contained(|| {
        event!(
            name: "transport_panic", target: COMMAND, Level::WARN,
            code = "transport_panic",
            "the transport panicked"
        );
    });
}

/// Contains a panic of a subscriber on a thread of the manager, which continues. Returns `false` if it
/// panicked.
fn contained(tell: impl FnOnce()) -> bool {
    // Unwind safety: all data of an event is a copy, or is not used again.
    contain(AssertUnwindSafe(tell)).is_some()
}
