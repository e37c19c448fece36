//! Closing a mailbox, and waking its receiver, without being a sender.

use super::shared::Shared;
use crate::sync::Arc;

/// A handle of a mailbox that does not keep it open.
pub(crate) struct Control<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Control<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// Closes the mailbox, as the receiver does.
    pub(crate) fn close(&self) {
        self.shared.close();
    }

    /// Asks the receiver to return from its wait, as [`Sender::wake`](super::Sender::wake).
    pub(crate) fn wake(&self) {
        self.shared.parking.ask_to_wake();
    }

    /// Returns whether the mailbox was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }
}
