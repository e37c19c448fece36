//! The way to a socket: a bounded queue of frames, and the request to end.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Notify, mpsc};

use crate::protocol::{Code, Frame};

/// The sending side, which the table holds. A clone is the same.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    frames: mpsc::Sender<Frame>,
    end: OnceLock<End>,
    ending: Notify,
    answered: Notify,
}

/// The receiving side, which the task of the socket holds.
pub struct Inbox {
    pub frames: mpsc::Receiver<Frame>,
    pub signals: Signals,
}

/// The events that the task of the socket waits for, besides frames.
pub struct Signals(Outbox);

/// The reason why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client does not take its frames.
    Slow,
    /// The server shuts down.
    Shutdown,
}

impl End {
    pub fn code(self) -> Code {
        match self {
            Self::Slow => Code::OverCapacity,
            Self::Shutdown => Code::Restart,
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::Slow => "the client does not take its events",
            Self::Shutdown => "the server restarts",
        }
    }
}

impl Outbox {
    /// At most `capacity` frames wait.
    pub fn new(capacity: usize) -> (Self, Inbox) {
        let (sender, frames) = mpsc::channel(capacity);
        let inner =
            Inner { frames: sender, end: OnceLock::new(), ending: Notify::new(), answered: Notify::new() };
        let outbox = Self(Arc::new(inner));
        (outbox.clone(), Inbox { frames, signals: Signals(outbox) })
    }

    /// Queues a frame. Never waits: a client with a full queue is too slow, and its connection is ended. Returns whether
    /// the frame was queued.
    pub fn send(&self, frame: Frame) -> bool {
        match self.0.frames.try_send(frame) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.end(End::Slow);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Asks the socket to end. Only the first reason counts. Returns whether this is it.
    pub fn end(&self, end: End) -> bool {
        let is_first = self.0.end.set(end).is_ok();
        if is_first {
            self.0.ending.notify_one();
        }
        is_first
    }

    /// Tells the task of the socket that a subscription was answered.
    pub fn answered(&self) {
        self.0.answered.notify_one();
    }
}

impl Signals {
    /// Waits until the server ends the connection.
    pub async fn ended(&self) -> End {
        loop {
            let ending = self.0.0.ending.notified();
            if let Some(end) = self.0.0.end.get() {
                return *end;
            }
            ending.await;
        }
    }

    /// Waits for the answer to a subscription. Used by one task, for one subscription at a time.
    pub async fn answered(&self) {
        self.0.0.answered.notified().await;
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("end", &self.0.end.get()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ping;

    #[tokio::test]
    async fn a_full_outbox_ends_its_connection_and_delays_no_sender() {
        let (outbox, mut inbox) = Outbox::new(2);
        assert!(outbox.send(ping()) && outbox.send(ping()));
        assert!(!outbox.send(ping()));
        assert_eq!(inbox.signals.ended().await, End::Slow);
        // The first reason counts, for any number of askers.
        assert!(!outbox.end(End::Shutdown));
        assert_eq!(inbox.signals.ended().await, End::Slow);
        assert!(inbox.frames.recv().await.is_some());
    }

    #[tokio::test]
    async fn an_answer_that_comes_first_is_not_missed() {
        let (outbox, inbox) = Outbox::new(1);
        outbox.answered();
        inbox.signals.answered().await;
        drop(inbox);
        assert!(!outbox.send(ping()));
    }
}
