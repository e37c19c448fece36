//! Exclusive access to a value without holding a lock during the access.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use crate::sync::lock_order::Lock;
use crate::sync::{Condvar, Mutex};

/// A value that one thread at a time takes, works with, and puts back.
///
/// The lock is held only while the value is taken or put back, so user code may run while a thread has the
/// value. Code that takes it again on the same thread waits for itself until its deadline.
///
/// The place is valid after any panic: it either has the value or not.
pub(super) struct Baton<T> {
    place: Mutex<Option<T>>,
    back: Condvar,
}

impl<T> Baton<T> {
    pub(super) fn new(lock: &'static Lock, value: T) -> Self {
        Self { place: Mutex::new(lock, Some(value)), back: Condvar::new() }
    }

    /// Takes the value, waiting until `deadline` while another thread has it. Woken when the value is put
    /// back, which also happens if its holder panics.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Option<Taken<'_, T>> {
        let mut place = self.place.lock();
        let mut late = false;
        loop {
            if let Some(value) = place.take() {
                return Some(Taken { baton: self, value: Some(value) });
            }
            if late {
                return None;
            }
            (place, late) = match deadline {
                None => (self.back.wait(place), false),
                Some(deadline) => self.back.wait_until(place, deadline),
            };
        }
    }
}

impl<T> fmt::Debug for Baton<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Baton").finish_non_exhaustive()
    }
}

/// The value, until it is dropped.
pub(super) struct Taken<'a, T> {
    baton: &'a Baton<T>,
    /// `None` only in `drop`.
    value: Option<T>,
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("the value is put back when this is dropped"),
        }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.value {
            Some(value) => value,
            None => unreachable!("the value is put back when this is dropped"),
        }
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        *self.baton.place.lock() = self.value.take();
        self.baton.back.notify_one();
    }
}
