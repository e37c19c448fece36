//! The request to shut a manager down. It does not pass through the mailbox, so no full lane delays it.

use std::time::Instant;

use crate::manager::model::report::DrainReport;
use crate::sync::{Mutex, lock_order};
use crate::ticket::Completion;

/// The request to shut down.
pub(in crate::manager) struct Shutdown {
    /// The instant until which accepted commands are applied.
    pub(in crate::manager) deadline: Option<Instant>,
    pub(in crate::manager) completion: Completion<DrainReport>,
}

/// The place of the request, shared by the manager and its writer's thread. At most one request is made.
pub(in crate::manager) struct Request(Mutex<State>);

enum State {
    Open,
    Made(Shutdown),
    /// The writer has taken the request, or has ended without one.
    Ended,
}

impl Request {
    pub(in crate::manager) fn new() -> Self {
        Self(Mutex::new(&lock_order::SHUTDOWN_REQUEST, State::Open))
    }

    /// Makes the request; the caller then wakes the writer. Returns `false` if the writer has ended.
    pub(in crate::manager) fn make(&self, order: Shutdown) -> bool {
        let mut state = self.0.lock();
        let is_open = matches!(*state, State::Open);
        let rest =
            if is_open { std::mem::replace(&mut *state, State::Made(order)) } else { State::Made(order) };
        // Without the lock, and last: a completion may wake a task.
        drop(state);
        drop(rest);
        is_open
    }

    /// Takes the request, if it was made.
    pub(in crate::manager) fn take(&self) -> Option<Shutdown> {
        let mut state = self.0.lock();
        if !matches!(*state, State::Made(_)) {
            return None;
        }
        match std::mem::replace(&mut *state, State::Ended) {
            State::Made(order) => Some(order),
            State::Open | State::Ended => None,
        }
    }

    /// Ends the request with the writer: its ticket says `Closed` if it was not taken.
    fn end(&self) {
        let rest = std::mem::replace(&mut *self.0.lock(), State::Ended);
        // Without the lock: a completion may wake a task.
        drop(rest);
    }
}

/// Ends a [`Request`] when the writer's thread ends, also in a panic.
pub(super) struct EndOnDrop<'a>(pub(super) &'a Request);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
