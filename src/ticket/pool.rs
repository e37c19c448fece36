//! Tickets without allocation.

use std::fmt;
use std::num::NonZeroUsize;

use super::closed::Closed;
use super::slot::Slot;
use super::{Completion, Ticket, ends};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::ring::Ring;

/// A pool of tickets, which reuses their memory once both ends are gone.
///
/// The pool keeps up to `capacity` slots and cycles through them, oldest first. A slot is reused only when
/// neither end holds it. If a few slots in a row are still in use, the ticket is allocated, and its slot is
/// kept if the pool has a free place; a pool as large as the number of tickets in flight usually allocates
/// only while it warms up (not if more than four long-lived tickets lie side by side in it). A ticket from a
/// pool is like any other and may outlive the pool. Clones share one pool. No lock is taken, and the number
/// of slots tried is bounded by a constant.
///
/// # Examples
/// ```
/// use std::num::NonZeroUsize;
/// use switchboard::ticket::{Closed, Pool};
///
/// let pool: Pool<u32> = Pool::new(NonZeroUsize::new(16).unwrap());
/// for answer in 0..100 {
///     let (completion, ticket) = pool.ticket();
///     completion.complete(answer);
///     assert_eq!(ticket.wait(), Ok(answer));
/// }
/// assert_eq!(pool.stats().allocated, 1);
/// assert_eq!(pool.stats().reused, 99);
/// ```
pub struct Pool<T, E = Closed> {
    inner: Arc<Inner<T, E>>,
}

struct Inner<T, E> {
    slots: Ring<Arc<Slot<T, E>>>,
    reused: AtomicU64,
    allocated: AtomicU64,
}

/// Statistics of a [`Pool`], since its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Number of tickets created in reused memory.
    pub reused: u64,
    /// Number of tickets that were allocated.
    pub allocated: u64,
    /// Number of slots that the pool has now, in use or free.
    pub kept: usize,
    /// The maximum number of slots that the pool keeps.
    pub capacity: usize,
}

/// Number of slots in use that are passed over before a ticket is allocated.
const TRIES: usize = if cfg!(switchboard_model) { 1 } else { 4 };

impl<T, E> Pool<T, E>
where
    T: Send + 'static,
    E: From<Closed> + Send + 'static,
{
    /// The largest capacity: 1 048 576 slots.
    pub const MAX: usize = 1 << 20;

    /// Creates a pool that keeps up to `capacity` slots, or [`Pool::MAX`] if that is less.
    ///
    /// Allocates one pointer per slot now, and the slots when they are needed.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        let inner = Inner {
            slots: Ring::new(capacity.get().min(Self::MAX)),
            reused: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Creates a ticket, in free memory of the pool if there is any.
    pub fn ticket(&self) -> (Completion<T, E>, Ticket<T, E>) {
        let slot = self.inner.reuse().unwrap_or_else(|| self.inner.allocate());
        self.inner.keep(slot.clone());
        ends(slot)
    }

    /// Returns the heap memory of the kept slots and of the places for them, without memory that results own.
    #[cfg(feature = "manager")]
    pub(crate) fn bytes(&self) -> usize {
        let slots = &self.inner.slots;
        slots.capacity() * 2 * size_of::<usize>()
            + slots.len() * (size_of::<Slot<T, E>>() + 2 * size_of::<usize>())
    }

    /// Returns the number of tickets created.
    #[cfg(feature = "manager")]
    pub(crate) fn issued(&self) -> u64 {
        // Relaxed: statistics.
        self.inner.reused.load(Ordering::Relaxed) + self.inner.allocated.load(Ordering::Relaxed)
    }

    /// Returns the statistics of the pool.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        // Relaxed: statistics.
        PoolStats {
            reused: self.inner.reused.load(Ordering::Relaxed),
            allocated: self.inner.allocated.load(Ordering::Relaxed),
            kept: self.inner.slots.len(),
            capacity: self.inner.slots.capacity(),
        }
    }
}

impl<T, E> Inner<T, E> {
    fn reuse(&self) -> Option<Arc<Slot<T, E>>> {
        for _ in 0..TRIES {
            let mut slot = self.slots.pop()?;
            if let Some(unused) = Arc::get_mut(&mut slot) {
                unused.renew();
                // Relaxed: a statistic.
                self.reused.fetch_add(1, Ordering::Relaxed);
                return Some(slot);
            }
            self.keep(slot);
        }
        None
    }

    fn allocate(&self) -> Arc<Slot<T, E>> {
        // Relaxed: a statistic.
        self.allocated.fetch_add(1, Ordering::Relaxed);
        Arc::new(Slot::new())
    }

    fn keep(&self, slot: Arc<Slot<T, E>>) {
        // If there is no place for the slot, the pool does not keep it.
        drop(self.slots.push(slot));
    }
}

impl<T, E> Clone for Pool<T, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T, E> fmt::Debug for Pool<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("slots", &self.inner.slots.len()).finish_non_exhaustive()
    }
}
