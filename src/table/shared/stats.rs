//! Figures of a shared writer.

use crate::mailbox::LaneStats;
use crate::util::count::Count;

/// Figures of a [`SharedWriter`](crate::SharedWriter), since its creation:
/// [`SharedWriter::stats`](crate::SharedWriter::stats).
///
/// `operations / publishes` is the number of operations that a publish carries on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Operations that were applied; a transaction counts as one, also if it panicked.
    pub operations: u64,
    /// Turns that applied operations.
    pub turns: u64,
    /// Versions that were published.
    pub publishes: u64,
    /// Publishes that were refused, because as many older versions were held as the table allows.
    pub refused: u64,
    /// The largest number of operations in one turn.
    pub batch_max: u64,
    /// Panics of user code that were contained: in operations, callbacks, wakers and destructors.
    pub panics: u64,
    /// The queue of operations.
    pub queue: LaneStats,
}

/// The counters behind [`Stats`], written by the driver.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) operations: Count,
    pub(super) turns: Count,
    pub(super) publishes: Count,
    pub(super) refused: Count,
    pub(super) batch_max: Count,
    pub(super) panics: Count,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            operations: Count::new(),
            turns: Count::new(),
            publishes: Count::new(),
            refused: Count::new(),
            batch_max: Count::new(),
            panics: Count::new(),
        }
    }

    pub(super) fn stats(&self, queue: LaneStats) -> Stats {
        Stats {
            operations: self.operations.get(),
            turns: self.turns.get(),
            publishes: self.publishes.get(),
            refused: self.refused.get(),
            batch_max: self.batch_max.get(),
            panics: self.panics.get(),
            queue,
        }
    }
}
