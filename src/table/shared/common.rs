//! The state that handles, driver and thread share.

use super::stats::Counters;
use super::turns::InTurn;
use crate::sync::StdArc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::table::handle::Table;

/// The state that handles, driver and thread share beside the queue.
pub(super) struct Common<K, V, I, S> {
    pub(super) table: Table<K, V, I, S>,
    pub(super) counters: Counters,
    aborted: AtomicBool,
}

impl<K, V, I, S> Common<K, V, I, S> {
    pub(super) fn new(table: Table<K, V, I, S>) -> Self {
        Self { table, counters: Counters::new(), aborted: AtomicBool::new(false) }
    }

    /// Begins a turn on this thread.
    pub(super) fn begin_turn(self: &StdArc<Self>) -> InTurn {
        InTurn::begin(self.identity())
    }

    /// Whether this thread is in a turn.
    pub(super) fn is_in_turn(self: &StdArc<Self>) -> bool {
        InTurn::is_of(self.identity())
    }

    fn identity(self: &StdArc<Self>) -> usize {
        StdArc::as_ptr(self).addr()
    }

    /// Gives up all operations that are not applied yet. The caller then wakes the driver.
    pub(super) fn abort(&self) {
        // Release: pairs with `is_aborted`.
        self.aborted.store(true, Ordering::Release);
    }

    pub(super) fn is_aborted(&self) -> bool {
        // Acquire: pairs with `abort`. The wake-up that follows it orders the flag for a driver that sleeps.
        self.aborted.load(Ordering::Acquire)
    }
}
