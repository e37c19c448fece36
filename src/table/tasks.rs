//! The tasks that wait for a version: their wakers, in the order of the versions.
//!
//! An entry belongs to one future, which inserts it, replaces it if it is polled by another task, and removes
//! it if it is dropped. The writer takes all entries that are due out of the list at once, and wakes them when
//! the lock of the list is released. The list is therefore never longer than the number of futures that wait,
//! and it is freed when the last of them has left.
//!
//! A waker is user code: it is not cloned, woken or dropped in here, except in [`Due::wake`] and [`dispose`],
//! which are called without the lock.

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;

use crate::table::version::Version;
use crate::unwind;

/// The place of a task in the list. Never given to another task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    wanted: Version,
    number: u64,
}

/// The wakers of the waiting tasks.
///
/// Valid after a panic: no code that can panic runs in its methods.
#[derive(Debug)]
pub(super) struct Tasks {
    wakers: BTreeMap<Place, Waker>,
    /// Number of insertions.
    inserted: u64,
}

impl Tasks {
    pub(super) const fn new() -> Self {
        Self { wakers: BTreeMap::new(), inserted: 0 }
    }

    /// Whether the task at `place` waits for `wanted` and is woken by `waker` or a clone of it.
    pub(super) fn has(&self, place: Place, wanted: Version, waker: &Waker) -> bool {
        place.wanted == wanted && self.wakers.get(&place).is_some_and(|known| known.will_wake(waker))
    }

    /// Adds a task that waits for `wanted`. O(log n).
    pub(super) fn insert(&mut self, wanted: Version, waker: Waker) -> Place {
        self.inserted += 1;
        let place = Place { wanted, number: self.inserted };
        let _none = self.wakers.insert(place, waker);
        place
    }

    /// Removes the task at `place`, if the writer has not taken it yet. The waker is to be
    /// [disposed of](dispose) without the lock. O(log n).
    pub(super) fn remove(&mut self, place: Place) -> Option<Waker> {
        self.wakers.remove(&place)
    }

    /// Returns the smallest version that a task waits for.
    pub(super) fn first_wanted(&self) -> Option<Version> {
        self.wakers.first_key_value().map(|(place, _)| place.wanted)
    }

    /// Takes the tasks that wait for `version` or an earlier one. O(1) if these are all or none.
    pub(super) fn take_due(&mut self, version: Version) -> Due {
        let is_due =
            |entry: Option<(&Place, &Waker)>| entry.is_some_and(|(place, _)| place.wanted <= version);
        if !is_due(self.wakers.first_key_value()) {
            return Due(BTreeMap::new());
        }
        if is_due(self.wakers.last_key_value()) {
            return Due(mem::take(&mut self.wakers));
        }
        // A task waits for a later version, so there is one.
        let later = self.wakers.split_off(&Place { wanted: version.next(), number: 0 });
        Due(mem::replace(&mut self.wakers, later))
    }

    /// Returns the number of waiting tasks.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.wakers.len()
    }
}

/// Tasks that are to be woken.
#[must_use = "these tasks are no longer in the list, and would never be woken"]
pub(super) struct Due(BTreeMap<Place, Waker>);

impl Due {
    /// Wakes the tasks, the one that waits for the smallest version first. Called without a lock.
    ///
    /// A panic of a waker is contained: it belongs neither to the writer, which only publishes, nor to the
    /// other tasks. The panic hook has reported it.
    pub(super) fn wake(self) {
        for waker in self.0.into_values() {
            unwind::wake(waker);
        }
    }
}

/// Drops a waker that is not needed any longer. Called without a lock; a panic is contained, as in
/// [`Due::wake`].
pub(super) fn dispose(waker: Option<Waker>) {
    if let Some(waker) = waker {
        unwind::drop_waker(waker);
    }
}
