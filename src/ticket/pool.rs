//! Tickets without allocation.

use std::fmt;
use std::num::NonZeroUsize;

use super::closed::Closed;
use super::slot::Slot;
use super::{Completion, Ticket, ends};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::ring::Ring;

/// Makes tickets whose memory is used again once both ends are gone.
///
/// The pool keeps up to `capacity` slots and goes round them, oldest first. A slot is used again only when
/// neither end holds it. When a few in a row are still in use, the ticket is allocated, and kept if there is
/// a place; so a pool as large as the number of tickets in flight allocates only while it warms up. A ticket
/// from a pool is like any other and may outlive the pool. Clones share one pool. No lock is taken; the bound
/// on the tries is a constant.
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

/// Figures of a [`Pool`], since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Tickets made from memory that was there.
    pub reused: u64,
    /// Tickets that were allocated.
    pub allocated: u64,
    /// Slots that the pool has now, in use or free.
    pub kept: usize,
    /// Slots that the pool keeps at most.
    pub capacity: usize,
}

/// How many slots in use are passed over before a ticket is allocated.
const TRIES: usize = if cfg!(switchboard_model) { 1 } else { 4 };

impl<T, E> Pool<T, E>
where
    T: Send + 'static,
    E: From<Closed> + Send + 'static,
{
    /// The largest capacity: 1 048 576 slots.
    pub const MAX: usize = 1 << 20;

    /// A pool that keeps up to `capacity` slots, or [`Pool::MAX`] if that is less.
    ///
    /// Allocates one pointer per slot now, the slots when they are needed.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        let inner = Inner {
            slots: Ring::new(capacity.get().min(Self::MAX)),
            reused: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes a ticket, from memory that is free if there is some.
    pub fn ticket(&self) -> (Completion<T, E>, Ticket<T, E>) {
        let slot = self.inner.reuse().unwrap_or_else(|| self.inner.allocate());
        self.inner.keep(slot.clone());
        ends(slot)
    }

    /// Heap memory of the slots that are kept and of the places for them, without what results own.
    #[cfg(feature = "manager")]
    pub(crate) fn bytes(&self) -> usize {
        let slots = &self.inner.slots;
        slots.capacity() * 2 * size_of::<usize>()
            + slots.len() * (size_of::<Slot<T, E>>() + 2 * size_of::<usize>())
    }

    /// How many tickets were made.
    #[cfg(feature = "manager")]
    pub(crate) fn issued(&self) -> u64 {
        // Relaxed: statistics.
        self.inner.reused.load(Ordering::Relaxed) + self.inner.allocated.load(Ordering::Relaxed)
    }

    /// What the pool did so far.
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
        // With no place for it, it is an ordinary ticket.
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
