//! The limit of idle sessions.

use crate::sync::atomic::{AtomicUsize, Ordering};

/// The number of sessions at which the registry looks for idle ones.
#[derive(Debug)]
pub(super) struct Limit {
    max_idle: usize,
    next: AtomicUsize,
}

impl Limit {
    pub(super) fn new(max_idle: usize) -> Self {
        let limit = Self { max_idle, next: AtomicUsize::new(0) };
        limit.wait_from(0);
        limit
    }

    pub(super) fn max_idle(&self) -> usize {
        self.max_idle
    }

    /// Returns whether a look is due, if there are `len` sessions. Of several threads, one gets to know; it calls
    /// [`wait_from`](Self::wait_from) afterwards.
    pub(super) fn is_due(&self, len: usize) -> bool {
        // Relaxed, here and below: nothing but the number is passed on.
        let due = self.next.load(Ordering::Relaxed);
        len >= due
            && self.next.compare_exchange(due, usize::MAX, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// There are `len` sessions after a look: the next one is paid for by as many creations as an eighth of the
    /// limit.
    pub(super) fn wait_from(&self, len: usize) {
        let next = self.max_idle.max(len).saturating_add(self.max_idle / 8 + 1);
        self.next.store(next, Ordering::Relaxed);
    }
}
