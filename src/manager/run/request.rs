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

    /// Makes the request and calls `wake`, which wakes the writer. Returns `false` if the writer has taken an
    /// earlier one, or has ended.
    pub(in crate::manager) fn make(&self, order: Shutdown, wake: impl FnOnce()) -> bool {
        let mut state = self.0.lock();
        let is_open = matches!(*state, State::Open);
        let rest =
            if is_open { std::mem::replace(&mut *state, State::Made(order)) } else { State::Made(order) };
        drop(state);
        // After the request: the writer looks for it when it has been woken.
        wake();
        // Without the lock, and last: a completion may wake a task.
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

/// Ends a [`Request`] when the writer's thread ends, including by a panic.
pub(super) struct EndOnDrop<'a>(pub(super) &'a Request);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod models {
    #![allow(clippy::unwrap_used)] // These tests fail by panicking.

    use std::time::Duration;

    use super::*;
    use crate::mailbox::{Config, Priority, RecvTimeoutError, mailbox};
    use crate::sync::StdArc;
    use crate::sync::model::{model, spawn};
    use crate::ticket::ticket;

    /// The writer waits in a mailbox whose lane is full, or may be, and finds the request all the same.
    #[test]
    fn a_request_reaches_a_writer_that_waits() {
        model(|| {
            let (sender, mut receiver) = mailbox::<u32>(Config::try_from([1; 4]).unwrap());
            let request = StdArc::new(Request::new());
            let (manager, waker) = (request.clone(), sender.clone());
            let thread = spawn(move || {
                let (completion, ended) = ticket::<DrainReport>();
                assert!(manager.make(Shutdown { deadline: None, completion }, || waker.wake()));
                ended.wait().is_ok()
            });
            assert!(sender.try_send(Priority::Low, 1).is_ok());
            let order = loop {
                if let Some(order) = request.take() {
                    break order;
                }
                let received = receiver.recv_timeout(Duration::MAX);
                assert!(matches!(received, Ok(_) | Err(RecvTimeoutError::Woken)), "{received:?}");
            };
            assert!(request.take().is_none());
            let _ = order.completion.complete(DrainReport::default());
            assert!(thread.join().unwrap());
        });
    }

    /// A writer that ends without taking the request leaves no one waiting.
    #[test]
    fn a_writer_that_ends_answers_the_request() {
        model(|| {
            let request = StdArc::new(Request::new());
            let manager = request.clone();
            let thread = spawn(move || {
                let (completion, ended) = ticket::<DrainReport>();
                let is_made = manager.make(Shutdown { deadline: None, completion }, || {});
                (is_made, ended.wait().is_err())
            });
            drop(EndOnDrop(&request));
            assert!(thread.join().unwrap().1);
        });
    }
}
