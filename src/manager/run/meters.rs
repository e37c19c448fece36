//! Counters of a running manager: written by its writer only, readable from any thread at any time.
//!
//! They are not part of a version: they change with every command, including those that change nothing, and
//! reading them does not involve the writer, which may be stuck. The counters are independent: values that
//! are read together may stem from slightly different instants, and no counter ever decreases. One more
//! number, the [pulse](Meters::pulse), changes after each change of the others: a reader that finds it
//! unchanged has already read the latest values.

use std::time::Duration;

use crate::mailbox::Priority;
use crate::manager::model::command::CommandError;
use crate::manager::model::command::kind::CommandKind;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::util::count::Count;
use crate::util::histogram::Recorder;

#[cfg(test)]
mod models;

/// A number that one thread increments after each change, and that other threads read before they read the
/// changed data.
#[derive(Debug)]
struct Pulse(AtomicU64);

impl Pulse {
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Increments the number. Called by one thread at a time, after the change.
    fn beat(&self) {
        // Relaxed: no other thread writes it.
        let next = self.0.load(Ordering::Relaxed).wrapping_add(1);
        // Release: pairs with the acquire load in `get`; a thread that sees the beat also sees the change.
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
    /// Time from the submission of a command to the start of the turn that takes it.
    pub(crate) queue_wait: Recorder,
    /// Time from the start of that turn until its version is published.
    pub(crate) processing: Recorder,
    /// Changes after each change of any of the above.
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

    /// A number that changes after each change of a counter. A thread that reads it and then the counters
    /// sees every change up to that beat; if it finds the number unchanged later, it has missed no change
    /// that preceded a beat.
    pub(crate) fn pulse(&self) -> u64 {
        self.pulse.get()
    }

    /// Counts a command that was taken from its lane, and the time it waited.
    pub(crate) fn took(&self, lane: Priority, kind: CommandKind, waited: Duration) {
        self.lanes[lane as usize].add(1);
        self.kinds[kind.index()].add(1);
        self.queue_wait.record(waited, 1);
        self.pulse.beat();
    }

    /// Counts the commands of a list, which was taken from one lane.
    pub(crate) fn took_list(
        &self,
        lane: Priority,
        kinds: impl Iterator<Item = CommandKind>,
        waited: Duration,
    ) {
        let mut commands = 0;
        for kind in kinds {
            self.kinds[kind.index()].add(1);
            commands += 1;
        }
        self.lanes[lane as usize].add(commands);
        self.queue_wait.record(waited, commands);
        self.pulse.beat();
    }

    /// Notes that a message that is no command was taken from its lane, whose length the reports show.
    pub(crate) fn took_request(&self) {
        self.pulse.beat();
    }

    /// Counts commands that were taken together and are done.
    pub(crate) fn processed_together(&self, spent: Duration, commands: u64) {
        self.processing.record(spent, commands);
        self.pulse.beat();
    }

    /// Counts an accepted command that ended with an error.
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
