//! What the manager counts while it runs: written by its one writer, read by anybody at any time.
//!
//! Not part of a version: these figures change with every command, also with those that change nothing, and
//! are read without asking the writer, so that they can be read while it is stuck. Each is a counter of its
//! own; read together they may be from slightly different instants, and none ever falls. One more number, the
//! [pulse](Meters::pulse), moves after each change of the others: a reader that finds it unchanged has read
//! what there is.

use std::time::Duration;

use crate::mailbox::Priority;
use crate::manager::model::command::CommandError;
use crate::manager::model::command::kind::CommandKind;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::util::count::Count;
use crate::util::histogram::Recorder;

#[cfg(test)]
mod models;

/// A number that one thread moves after it has changed something, and other threads read before they look.
#[derive(Debug)]
struct Pulse(AtomicU64);

impl Pulse {
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Called by one thread at a time, after the change.
    fn beat(&self) {
        // Relaxed: no other thread writes it.
        let next = self.0.load(Ordering::Relaxed).wrapping_add(1);
        // Release: pairs with the acquire load in `get`; the change is visible to a thread that sees the beat.
        self.0.store(next, Ordering::Release);
    }

    fn get(&self) -> u64 {
        // Acquire: pairs with the release store in `beat`.
        self.0.load(Ordering::Acquire)
    }
}

/// The counters of one manager. Only its writer records.
#[derive(Debug)]
pub(crate) struct Meters {
    lanes: [Count; 4],
    kinds: [Count; CommandKind::COUNT],
    errors: [Count; CommandError::CODES.len()],
    /// From the submission of a command to the beginning of the turn that takes it.
    pub(crate) queue_wait: Recorder,
    /// From the beginning of that turn until its version is published.
    pub(crate) processing: Recorder,
    /// Moves after each change of any of these.
    pulse: Pulse,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            lanes: std::array::from_fn(|_| Count::new()),
            kinds: std::array::from_fn(|_| Count::new()),
            errors: std::array::from_fn(|_| Count::new()),
            queue_wait: Recorder::new(),
            processing: Recorder::new(),
            pulse: Pulse::new(),
        }
    }

    /// A number that changes after everything that is counted here. A thread that reads it and then the counters
    /// has everything up to that beat; one that finds it unchanged later has missed nothing that was there.
    pub(crate) fn pulse(&self) -> u64 {
        self.pulse.get()
    }

    /// A command was taken from its lane, after it had waited.
    pub(crate) fn took(&self, lane: Priority, kind: CommandKind, waited: Duration) {
        self.lanes[lane as usize].add(1);
        self.kinds[kind.index()].add(1);
        self.queue_wait.record(waited, 1);
        self.pulse.beat();
    }

    /// So many commands that were taken together are done.
    pub(crate) fn processed_together(&self, spent: Duration, commands: u64) {
        self.processing.record(spent, commands);
        self.pulse.beat();
    }

    /// A command that was accepted ended with an error.
    pub(crate) fn failed(&self, error: &CommandError) {
        self.errors[error.code_index()].add(1);
        self.pulse.beat();
    }

    pub(crate) fn processed(&self, lane: Priority) -> u64 {
        self.lanes[lane as usize].get()
    }

    pub(crate) fn operations(&self, kind: CommandKind) -> u64 {
        self.kinds[kind.index()].get()
    }

    pub(crate) fn errors(&self) -> [u64; CommandError::CODES.len()] {
        std::array::from_fn(|index| self.errors[index].get())
    }
}
