//! Threads that wait for a version: an event count in front of a condition variable.
//!
//! A publish must not take a lock when no thread waits, and must not miss a thread that has just begun to.
//! Each side writes, fences, and then reads what the other one writes:
//!
//! ```text
//! waiter (holds the lock)               writer
//! target.store(wanted)                  version.store(v)
//! fence(SeqCst)                         fence(SeqCst)
//! version.load() >= wanted? done        target.load() <= v? lock, reset the target, unlock, notify all
//! wait (releases the lock)
//! ```
//!
//! The two fences are totally ordered. If the waiter's is first, the writer sees the target and takes the
//! lock; it gets the lock only once the waiter is inside `wait`, so the notification reaches it. If the
//! writer's is first, the waiter sees the version and does not wait.
//!
//! The target is the smallest version that any thread waits for: a publish below it wakes no thread. Waiters
//! only lower it, the writer only resets it, both under the lock. A reset is followed by waking all waiters,
//! and a waiter for a later version sets the target again before it reads the version.
//!
//! A waiter is woken by `notify` after each publish, by `close` when the writer is dropped, and by its own
//! deadline. If the writer's thread dies, unwinding drops the writer.

use std::fmt;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::{Condvar, Mutex, Spin, deadline_after, lock_order};
use crate::table::version::Version;

/// The target while no thread waits.
const NOBODY: u64 = u64::MAX;

/// The error returned by [`Table::wait_for`](crate::Table::wait_for).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The timeout expired before the version was published.
    Timeout,
    /// The writer was dropped without publishing the version.
    WriterClosed,
}

impl WaitError {
    /// Whether the timeout expired; the version may still be published.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        self == Self::Timeout
    }

    /// Whether the writer was dropped; the version will never be published.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self == Self::WriterClosed
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timed out before the version was published",
            Self::WriterClosed => "the writer was dropped before it published the version",
        })
    }
}

impl std::error::Error for WaitError {}

#[derive(Debug)]
pub(super) struct Waiters {
    /// The smallest version that any thread waits for. Written under the lock only.
    target: AtomicU64,
    closed: AtomicBool,
    // Guards the target. Valid after a panic: a target that is too small costs one needless wake-up.
    lock: Mutex<()>,
    condvar: Condvar,
}

impl Waiters {
    pub(super) fn new() -> Self {
        Self {
            target: AtomicU64::new(NOBODY),
            closed: AtomicBool::new(false),
            lock: Mutex::new(&lock_order::VERSION_WAITERS, ()),
            condvar: Condvar::new(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire: pairs with the release store in `close`; a thread that sees the flag also sees the last
        // version.
        self.closed.load(Ordering::Acquire)
    }

    /// Waits in three steps: try, spin, park.
    pub(super) fn wait(
        &self,
        wanted: Version,
        timeout: Duration,
        version: impl Fn() -> Version,
    ) -> Result<Version, WaitError> {
        let poll = || {
            // The flag before the version: a version that was published before the end is never missed.
            let closed = self.is_closed();
            let version = version();
            if version >= wanted { Some(Ok(version)) } else { closed.then_some(Err(WaitError::WriterClosed)) }
        };
        if let Some(result) = poll() {
            return result;
        }
        if timeout.is_zero() {
            return Err(WaitError::Timeout);
        }
        let deadline = deadline_after(timeout);
        let mut spin = Spin::new();
        while spin.spin() {
            if let Some(result) = poll() {
                return result;
            }
        }
        let mut guard = self.lock.lock();
        loop {
            self.lower_target(wanted);
            // SeqCst: pairs with the fence in `notify`; see the head of this file.
            fence(Ordering::SeqCst);
            if let Some(result) = poll() {
                return result;
            }
            let Some(deadline) = deadline else {
                guard = self.condvar.wait(guard);
                continue;
            };
            let (again, timed_out) = self.condvar.wait_until(guard, deadline);
            guard = again;
            if timed_out {
                return poll().unwrap_or(Err(WaitError::Timeout));
            }
        }
    }

    /// Lowers the target to `wanted`. The caller holds the lock.
    fn lower_target(&self, wanted: Version) {
        // Relaxed, both: all writers hold the lock, and the fences order the target against the version.
        if self.target.load(Ordering::Relaxed) > wanted.as_u64() {
            self.target.store(wanted.as_u64(), Ordering::Relaxed);
        }
    }

    /// Wakes the waiters if one of them waits for `version` or less. Called after the store that published
    /// it.
    pub(super) fn notify(&self, version: Version) {
        // SeqCst: pairs with the fence in `wait`; see the head of this file.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        if self.target.load(Ordering::Relaxed) <= version.as_u64() {
            self.wake();
        }
    }

    /// Wakes all waiters. Called after the last version.
    pub(super) fn close(&self) {
        // Release: pairs with the acquire load in `is_closed`. (The fence of the last `notify` would suffice;
        // this does not rely on it.)
        self.closed.store(true, Ordering::Release);
        // No fence: the lock is taken in any case. A waiter that held it before is inside `wait`, and one
        // that takes it later sees the flag.
        self.wake();
    }

    fn wake(&self) {
        let guard = self.lock.lock();
        // Relaxed: as in `lower_target`.
        self.target.store(NOBODY, Ordering::Relaxed);
        drop(guard);
        self.condvar.notify_all();
    }
}
