//! A counter that one thread writes and any thread reads.

use crate::sync::atomic::{AtomicU64, Ordering};

/// A number of events that one thread counts and any thread reads.
#[derive(Debug)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Called by one thread at a time: a load and a store, no exchange.
    pub(crate) fn add(&self, more: u64) {
        // Relaxed: a statistic, and no other thread writes it.
        self.0.store(self.0.load(Ordering::Relaxed).saturating_add(more), Ordering::Relaxed);
    }

    /// Called by one thread at a time.
    pub(crate) fn raise(&self, value: u64) {
        // Relaxed: as in `add`.
        if value > self.0.load(Ordering::Relaxed) {
            self.0.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        // Relaxed: a statistic.
        self.0.load(Ordering::Relaxed)
    }
}
