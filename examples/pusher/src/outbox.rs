//! The way to a socket: a queue of frames that is bounded by their size, and the request to end.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Notify, mpsc};

use crate::protocol::{Code, Frame};

/// The sending side, which the table holds. A clone is the same.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    batches: mpsc::UnboundedSender<Batch>,
    /// Bytes that wait, and how many may.
    waiting: AtomicUsize,
    capacity: usize,
    end: OnceLock<End>,
    ending: Notify,
    answered: Notify,
}

/// Bytes by which a frame counts more than its text, so that empty ones are bounded, too.
const OVERHEAD: usize = 64;

/// Frames that are queued together. Those of one announcement are shared by all its receivers.
#[derive(Clone, Debug)]
pub enum Batch {
    One(Frame),
    Many(Arc<[Frame]>),
}

/// The receiving side, which the task of the socket holds.
pub struct Inbox {
    pub frames: Frames,
    pub signals: Signals,
}

/// The frames that wait. Their space is free once they are taken.
pub struct Frames {
    batches: mpsc::UnboundedReceiver<Batch>,
    /// A batch that was taken in part, and the position in it.
    rest: Option<(Arc<[Frame]>, usize)>,
    outbox: Outbox,
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

impl Batch {
    fn frames(&self) -> &[Frame] {
        match self {
            Self::One(frame) => std::slice::from_ref(frame),
            Self::Many(frames) => frames,
        }
    }
}

impl From<Frame> for Batch {
    fn from(frame: Frame) -> Self {
        Self::One(frame)
    }
}

/// Returns the bytes that a frame counts.
pub fn size(frame: &Frame) -> usize {
    frame.len() + OVERHEAD
}

impl Outbox {
    /// At most `capacity` bytes wait.
    pub fn new(capacity: usize) -> (Self, Inbox) {
        let (batches, receiver) = mpsc::unbounded_channel();
        let inner = Inner {
            batches,
            waiting: AtomicUsize::new(0),
            capacity,
            end: OnceLock::new(),
            ending: Notify::new(),
            answered: Notify::new(),
        };
        let outbox = Self(Arc::new(inner));
        let frames = Frames { batches: receiver, rest: None, outbox: outbox.clone() };
        (outbox.clone(), Inbox { frames, signals: Signals(outbox) })
    }

    /// Queues frames. Never waits: a client for which too much waits is too slow, and its connection is ended. A batch that
    /// finds the queue empty is taken, however long it is. Returns whether the frames were queued.
    pub fn send(&self, batch: impl Into<Batch>) -> bool {
        let batch = batch.into();
        let size = batch.frames().iter().map(size).sum();
        let before = self.0.waiting.fetch_add(size, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(size) <= self.0.capacity;
        let is_queued = fits && self.0.batches.send(batch).is_ok();
        if !is_queued {
            self.0.waiting.fetch_sub(size, Ordering::Relaxed);
        }
        if !fits {
            self.end(End::Slow);
        }
        is_queued
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

impl Frames {
    /// Returns the next frame. `None` does not occur: this holds a sender as well.
    pub async fn recv(&mut self) -> Option<Frame> {
        if self.rest.is_none() {
            let batch = self.batches.recv().await?;
            return self.begin(batch);
        }
        self.go_on()
    }

    /// Returns the next frame, if one waits.
    pub fn try_recv(&mut self) -> Option<Frame> {
        if self.rest.is_none() {
            let batch = self.batches.try_recv().ok()?;
            return self.begin(batch);
        }
        self.go_on()
    }

    /// Returns the bytes that wait.
    pub fn bytes(&self) -> usize {
        self.outbox.0.waiting.load(Ordering::Relaxed)
    }

    /// Returns the number of batches that wait, with the one that was taken in part.
    #[cfg(test)]
    pub fn batches(&self) -> usize {
        self.batches.len() + usize::from(self.rest.is_some())
    }

    fn begin(&mut self, batch: Batch) -> Option<Frame> {
        match batch {
            Batch::One(frame) => Some(self.release(frame)),
            Batch::Many(frames) => {
                self.rest = Some((frames, 0));
                self.go_on()
            }
        }
    }

    fn go_on(&mut self) -> Option<Frame> {
        let (frames, position) = self.rest.as_mut()?;
        let frame = frames.get(*position).cloned();
        *position += 1;
        if *position >= frames.len() {
            self.rest = None;
        }
        frame.map(|frame| self.release(frame))
    }

    fn release(&self, frame: Frame) -> Frame {
        self.outbox.0.waiting.fetch_sub(size(&frame), Ordering::Relaxed);
        frame
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
        let (outbox, mut inbox) = Outbox::new(2 * size(&ping()));
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

    #[tokio::test]
    async fn a_burst_of_small_frames_is_not_a_slow_client() {
        let (outbox, mut inbox) = Outbox::new(1 << 20);
        let burst: Arc<[Frame]> = (0..300).map(|number| Frame::from(number.to_string())).collect();
        assert!(outbox.send(Batch::Many(burst)));
        assert!((300..1000).all(|number| outbox.send(Frame::from(number.to_string()))));
        assert_eq!(inbox.frames.batches(), 701);
        for number in 0..1000 {
            let frame = if number % 2 == 0 { inbox.frames.recv().await } else { inbox.frames.try_recv() };
            assert_eq!(frame.unwrap().as_str(), number.to_string());
        }
        assert!(inbox.frames.try_recv().is_none());
        assert_eq!((inbox.frames.bytes(), inbox.frames.batches()), (0, 0));
        assert!(outbox.0.end.get().is_none());
    }

    #[test]
    fn one_large_batch_is_taken_and_the_next_must_fit() {
        let (outbox, mut inbox) = Outbox::new(1);
        assert!(outbox.send(ping()) && inbox.frames.try_recv().is_some());
        assert!(outbox.send(ping()) && !outbox.send(ping()));
    }
}
