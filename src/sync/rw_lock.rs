//! A read-write lock with a rank, without poisoning.
#![allow(clippy::disallowed_types)]

use std::ops::{Deref, DerefMut};

use super::imp;
use super::lock_order::{self, Held, Lock};

/// A read-write lock with a rank, without poisoning.
///
/// Created from an entry of the [`lock_order`] table. A thread that holds it, for reading or writing, may not
/// acquire it again: a writer waiting between two acquisitions of one thread would deadlock both threads.
pub(crate) struct RwLock<T> {
    lock: &'static Lock,
    inner: imp::RwLock<T>,
}

impl<T> RwLock<T> {
    pub(crate) fn new(lock: &'static Lock, value: T) -> Self {
        Self { lock, inner: imp::RwLock::new(value) }
    }

    /// Blocks while another thread has the lock for writing. A panic of an earlier holder is ignored.
    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        // The rank is checked before the wait, so an inversion panics instead of deadlocking.
        let held = lock_order::acquire(self.lock);
        let inner = match self.inner.read() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        };
        ReadGuard { inner, _held: held }
    }

    /// Blocks while another thread has the lock. A panic of an earlier holder is ignored.
    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        let held = lock_order::acquire(self.lock);
        let inner = match self.inner.write() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        };
        WriteGuard { inner, _held: held }
    }
}

impl<T> std::fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RwLock").field("lock", &self.lock.name()).finish_non_exhaustive()
    }
}

/// Shared access to the value of a [`RwLock`]. Fields are dropped in order: the lock before its rank.
pub(crate) struct ReadGuard<'a, T> {
    inner: imp::RwLockReadGuard<'a, T>,
    _held: Held,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

/// Exclusive access to the value of a [`RwLock`]. Fields are dropped in order: the lock before its rank.
pub(crate) struct WriteGuard<'a, T> {
    inner: imp::RwLockWriteGuard<'a, T>,
    _held: Held,
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::sync::Mutex;

    #[test]
    fn a_panic_under_the_lock_does_not_poison_it() {
        let lock = RwLock::new(&lock_order::LOCKED_NETS, 1);
        let result = catch_unwind(AssertUnwindSafe(|| {
            *lock.write() = 2;
            let _guard = lock.write();
            panic!("while holding the lock");
        }));
        assert!(result.is_err());
        assert_eq!(*lock.read(), 2);
        *lock.write() += 1;
        assert_eq!(*lock.read(), 3);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn links_before_nets_panics_and_so_does_reading_twice() {
        let nets = RwLock::new(&lock_order::LOCKED_NETS, ());
        let links = RwLock::new(&lock_order::LOCKED_LINKS, ());
        let leaf = Mutex::new(&lock_order::TEST_AUXILIARY, ());
        drop((nets.read(), links.write(), leaf.lock()));
        let held = links.read();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(nets.read()))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(links.read()))).is_err());
        drop(held);
        drop(nets.write());
    }
}
