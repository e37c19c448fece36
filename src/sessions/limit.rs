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

    /// Returns the look that is due, if there are `len` sessions. Of several threads, one gets it.
    pub(super) fn look(&self, len: usize) -> Option<Look<'_>> {
        // Relaxed, here and below: nothing but the number is passed on.
        let due = self.next.load(Ordering::Relaxed);
        let is_mine = len >= due
            && self.next.compare_exchange(due, usize::MAX, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_mine.then(|| Look { limit: self, len })
    }

    /// There are `len` sessions: the next look is due when there are an eighth more, so its cost, which is that of `len`
    /// sessions, is paid by as many creations.
    fn wait_from(&self, len: usize) {
        let len = self.max_idle.max(len);
        // Relaxed: as in `look`.
        self.next.store(len.saturating_add(len / 8 + 1), Ordering::Relaxed);
    }
}

/// The look for idle sessions by one thread; meanwhile no other one looks. It ends when it is dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Look<'a> {
    limit: &'a Limit,
    len: usize,
}

impl Look<'_> {
    /// Ends the look, after which there are `len` sessions.
    pub(super) fn end(mut self, len: usize) {
        self.len = len;
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.limit.wait_from(self.len);
    }
}
