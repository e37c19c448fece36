//! `SlimCell`: a cell for a value of which there are millions, such as the data of a session.
//!
//! It follows the discipline of the [cell](super) of tables (D1 to D4), and the same argument holds: a header
//! belongs to one cell until that cell is dropped, so a debt that a reader leaves on its address is never paid
//! by the writer of another one. The holder of the lock is the one writer. A cell has no version counter, no
//! waiters and no padding, and readers keep no header: they copy what they need, so a header is free again as
//! soon as those who are in the middle of that have left.

use std::ops::{Deref, DerefMut};

use crate::sync::lock_order::Lock;
use crate::sync::{Arc, Mutex, MutexGuard};

#[cfg(not(switchboard_model))]
type Current<T> = arc_swap::ArcSwap<Header<T>>;
#[cfg(switchboard_model)]
type Current<T> = crate::sync::twin::ArcCell<Header<T>>;

/// Retired headers that one publish checks for remaining readers. Each publish retires one. A value that was being read
/// when it was replaced is handed out by one of the next publishes, n / `SWEEP` for n retired headers; if none follows, it
/// goes with the cell.
const SWEEP: usize = 4;

/// Never freed while its cell lives (D1). `None` once the value was taken out, by the writer, in a header that
/// only the cell holds (D2).
struct Header<T>(Option<T>);

/// A value that readers load without a lock, and a state `S` that only the lock gives access to.
pub(crate) struct SlimCell<T, S> {
    current: Current<T>,
    inner: Mutex<Inner<T, S>>,
}

/// Valid after a panic: no code that can panic runs between two statements that move a header, and the values
/// that are replaced are handed to the caller.
struct Inner<T, S> {
    /// The headers that are not current.
    retired: Vec<Arc<Header<T>>>,
    /// The position in `retired` at which the next publish looks. Any number is valid.
    cursor: u32,
    state: S,
}

/// The right to publish, and access to the state.
pub(crate) struct SlimGuard<'a, T, S> {
    current: &'a Current<T>,
    inner: MutexGuard<'a, Inner<T, S>>,
}

/// The values that a publish has replaced and that no one reads, to be dropped with no lock held.
#[must_use = "to be dropped once no lock is held"]
pub(crate) struct Replaced<T> {
    _last: Option<T>,
    _older: Vec<T>,
}

impl<T, S> SlimCell<T, S> {
    pub(crate) fn new(lock: &'static Lock, value: T, state: S) -> Self {
        let inner = Inner { retired: Vec::new(), cursor: 0, state };
        Self { current: Current::new(Arc::new(Header(Some(value)))), inner: Mutex::new(lock, inner) }
    }

    /// Returns what `read` copies from the newest value. Wait-free as `arc_swap` words it; never drops a value.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        match &self.current.load_full().0 {
            Some(value) => read(value),
            None => unreachable!("a header that is held has a value"),
        }
    }

    pub(crate) fn lock(&self) -> SlimGuard<'_, T, S> {
        SlimGuard { current: &self.current, inner: self.inner.lock() }
    }
}

impl<T, S> SlimGuard<'_, T, S> {
    /// Makes `value` the newest one. O(1), and O(n) in the number of readers that were in the middle of a read
    /// for the last n publishes.
    pub(crate) fn publish(&mut self, value: T) -> Replaced<T> {
        let mut older = Vec::new();
        let Inner { retired, cursor, .. } = &mut *self.inner;
        // Never grows between the exchange and the push.
        retired.reserve(1);
        let next = match Self::take_spare(retired, cursor, &mut older) {
            Some(mut spare) => match Arc::get_mut(&mut spare) {
                Some(unshared) => {
                    unshared.0 = Some(value);
                    spare
                }
                // Excluded, as it was unshared a moment ago and only the cell holds it.
                None => Arc::new(Header(Some(value))),
            },
            None => Arc::new(Header(Some(value))),
        };
        let mut old = self.current.swap(next);
        let last = Arc::get_mut(&mut old).and_then(|unshared| unshared.0.take());
        retired.push(old);
        Replaced { _last: last, _older: older }
    }

    /// Empties some retired headers that no one reads, and removes one of them. Each one is looked at in turn.
    fn take_spare(
        retired: &mut Vec<Arc<Header<T>>>,
        cursor: &mut u32,
        older: &mut Vec<T>,
    ) -> Option<Arc<Header<T>>> {
        let mut spare = None;
        for _ in 0..SWEEP.min(retired.len()) {
            let index = *cursor as usize % retired.len();
            *cursor = u32::try_from(index + 1).unwrap_or(0);
            if let Some(unshared) = retired.get_mut(index).and_then(Arc::get_mut) {
                older.extend(unshared.0.take());
                spare = Some(index);
            }
        }
        spare.map(|index| retired.swap_remove(index))
    }
}

impl<T, S> Deref for SlimGuard<'_, T, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.inner.state
    }
}

impl<T, S> DerefMut for SlimGuard<'_, T, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.inner.state
    }
}

#[cfg(test)]
mod models {
    use super::*;
    use crate::sync::StdArc;
    use crate::sync::lock_order::RETIRED;
    use crate::sync::model::{model_each, spawn};

    /// Values hold two halves that always agree; each is replaced by a newer one.
    #[test]
    fn a_slim_cell_shows_whole_values_in_order() {
        model_each(|| {
            let cell = StdArc::new(SlimCell::new(&RETIRED, (StdArc::new(0), 0), ()));
            let reader = {
                let cell = cell.clone();
                spawn(move || {
                    let read = || cell.read(|(value, check)| (**value, *check));
                    let (first, second) = (read(), read());
                    assert!(first.0 == first.1 && second.0 == second.1, "{first:?} {second:?}");
                    assert!(first.0 <= second.0, "{first:?} {second:?}");
                })
            };
            for number in 1..=3 {
                drop(cell.lock().publish((StdArc::new(number), number)));
            }
            assert!(reader.join().is_ok());
            assert_eq!(cell.read(|(value, _)| **value), 3);
        });
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;
    use crate::sync::StdArc;
    use crate::sync::lock_order::RETIRED;

    #[test]
    fn a_replaced_value_is_handed_out_and_its_header_is_used_again() {
        let cell = SlimCell::new(&RETIRED, StdArc::new(0), ());
        let first = cell.read(StdArc::clone);
        for number in 1..10 {
            let replaced = cell.lock().publish(StdArc::new(number));
            assert!(replaced._last.is_some() && replaced._older.is_empty());
            assert_eq!(cell.inner.lock().retired.len(), 1, "two headers in turn");
        }
        assert_eq!((*first, StdArc::strong_count(&first)), (0, 1));
    }

    /// A reader is in the middle of a read: its value is kept, and goes with a later publish.
    #[test]
    fn a_value_that_is_being_read_is_kept() {
        let cell = SlimCell::new(&RETIRED, StdArc::new(0), ());
        let first = cell.read(StdArc::clone);
        cell.read(|value| {
            let replaced = cell.lock().publish(StdArc::new(1));
            assert!(replaced._last.is_none());
            assert_eq!(**value, 0);
        });
        assert_eq!(StdArc::strong_count(&first), 2);
        drop(cell.lock().publish(StdArc::new(2)));
        assert_eq!(StdArc::strong_count(&first), 1);
    }

    /// Many newer values are being read: the old one goes after some more publishes all the same.
    #[test]
    fn an_old_value_goes_although_newer_ones_are_being_read() {
        let cell = SlimCell::new(&RETIRED, StdArc::new(0), ());
        let first = cell.read(StdArc::clone);
        let mut readers = Vec::new();
        for number in 1..=3 * SWEEP {
            // A reader in the middle of its copy.
            readers.push(cell.current.load_full());
            drop(cell.lock().publish(StdArc::new(number)));
        }
        assert_eq!(StdArc::strong_count(&first), 2);
        drop(readers.remove(0));
        for number in 0..4 {
            drop(cell.lock().publish(StdArc::new(100 + number)));
        }
        assert_eq!(StdArc::strong_count(&first), 1);
        drop(readers);
        for number in 0..8 {
            drop(cell.lock().publish(StdArc::new(200 + number)));
        }
        let kept = cell.inner.lock().retired.iter().filter(|header| header.0.is_some()).count();
        assert_eq!(kept, 0);
    }
}
