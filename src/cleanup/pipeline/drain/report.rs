//! The progress and the result of a drain.

use std::fmt;
use std::time::{Duration, Instant};

/// The treatment of events whose grace has not ended when all connections are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PendingEvents {
    /// They are due at once.
    #[default]
    Fire,
    /// They are dropped, and counted as suppressed.
    Drop,
}

/// The phase of a [`Drain`](super::Drain).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DrainPhase {
    /// Connections are being closed.
    Closing,
    /// All are closed, and are being removed.
    Removing,
    /// All are removed, and the events are being delivered.
    Delivering,
    /// The drain is done, or its time was up.
    Done,
}

/// The progress of a [`Drain`](super::Drain).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainProgress {
    /// The phase.
    pub phase: DrainPhase,
    /// Connections that are open.
    pub open: u64,
    /// Connections that are closed and not removed yet.
    pub closing: u64,
    /// Connections that the drain has closed.
    pub closed: u64,
    /// Events whose grace has not ended.
    pub pending: usize,
    /// Events that wait for the sink.
    pub undelivered: usize,
    /// The time since the drain began.
    pub elapsed: Duration,
}

/// The result of a [`Drain`](super::Drain).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that the drain has closed.
    pub closed: u64,
    /// Connections that were removed meanwhile.
    pub done: u64,
    /// Connections whose removal has panicked, and which were removed without their events.
    pub failed: u64,
    /// Connections that are closed and still in the table.
    pub deferred: u64,
    /// Connections that were closed, and are neither removed nor known to the pipeline. Zero.
    pub lost: u64,
    /// Events that the sink has taken meanwhile.
    pub delivered: u64,
    /// Events that became dead letters meanwhile.
    pub dead_letters: u64,
    /// Pending events that were [dropped](PendingEvents::Drop).
    pub dropped: u64,
    /// Whether all connections were removed and all events delivered before the time was up.
    pub is_complete: bool,
    /// The time that the drain took.
    pub elapsed: Duration,
}

/// The result of one step of a [`Drain`](super::Drain).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says when the next step is due"]
#[non_exhaustive]
pub enum DrainStep {
    /// The next step is due at this moment, on the clock of the pipeline, or when something was removed or delivered.
    WaitUntil(Instant),
    /// The drain is done.
    Done(DrainReport),
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { closed, done, failed, deferred, lost, .. } = self;
        write!(f, "{closed} closed, {done} removed, {failed} failed, {deferred} left, {lost} lost; ")?;
        let Self { delivered, dead_letters, dropped, elapsed, .. } = self;
        write!(f, "{delivered} events delivered, {dead_letters} dead letters, {dropped} dropped; {elapsed:?}")
    }
}
