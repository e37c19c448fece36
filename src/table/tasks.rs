//! The tasks that wait for a version: their wakers, in the order of the versions.
//!
//! An entry belongs to one future, which inserts it, replaces it if it is polled by another task, and removes
//! it if it is dropped. The writer takes all entries that are due out of the list at once, and wakes them when
//! the lock of the list is released. The list is therefore never longer than the number of futures that wait,
//! and its memory is freed when the last of them has left. One task at a time waits in the list itself, so a
//! task that waits alone allocates nothing.
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
    /// One of the tasks, any of them: the map may have earlier and later ones.
    one: Option<(Place, Waker)>,
    wakers: BTreeMap<Place, Waker>,
    /// Number of insertions.
    inserted: u64,
}

impl Tasks {
    pub(super) const fn new() -> Self {
        Self { one: None, wakers: BTreeMap::new(), inserted: 0 }
    }

    /// Whether the task at `place` waits for `wanted` and is woken by `waker` or a clone of it.
    pub(super) fn has(&self, place: Place, wanted: Version, waker: &Waker) -> bool {
        place.wanted == wanted && self.get(place).is_some_and(|known| known.will_wake(waker))
    }

    fn get(&self, place: Place) -> Option<&Waker> {
        match &self.one {
            Some((one, waker)) if *one == place => Some(waker),
            _ => self.wakers.get(&place),
        }
    }

    /// Adds a task that waits for `wanted`. O(log n); allocates only if another task waits.
    pub(super) fn insert(&mut self, wanted: Version, waker: Waker) -> Place {
        self.inserted += 1;
        let place = Place { wanted, number: self.inserted };
        if self.one.is_none() {
            self.one = Some((place, waker));
        } else {
            let _none = self.wakers.insert(place, waker);
        }
        place
    }

    /// Removes the task at `place`, if the writer has not taken it yet. The waker is to be
    /// [disposed of](dispose) without the lock. O(log n).
    pub(super) fn remove(&mut self, place: Place) -> Option<Waker> {
        if let Some((_, waker)) = self.one.take_if(|(one, _)| *one == place) {
            return Some(waker);
        }
        let waker = self.wakers.remove(&place);
        if self.wakers.is_empty() {
            // An empty map may still have its root.
            self.wakers = BTreeMap::new();
        }
        waker
    }

    /// Returns the smallest version that a task waits for.
    pub(super) fn first_wanted(&self) -> Option<Version> {
        let one = self.one.as_ref().map(|(place, _)| place.wanted);
        let first = self.wakers.first_key_value().map(|(place, _)| place.wanted);
        one.into_iter().chain(first).min()
    }

    /// Takes the tasks that wait for `version` or an earlier one. O(1) if these are all or none.
    pub(super) fn take_due(&mut self, version: Version) -> Due {
        let one = self.one.take_if(|(place, _)| place.wanted <= version);
        Due { one, wakers: self.take_due_of_map(version) }
    }

    fn take_due_of_map(&mut self, version: Version) -> BTreeMap<Place, Waker> {
        let is_due =
            |entry: Option<(&Place, &Waker)>| entry.is_some_and(|(place, _)| place.wanted <= version);
        if !is_due(self.wakers.first_key_value()) {
            return BTreeMap::new();
        }
        if is_due(self.wakers.last_key_value()) {
            return mem::take(&mut self.wakers);
        }
        // A task waits for a later version, so there is one.
        let later = self.wakers.split_off(&Place { wanted: version.next(), number: 0 });
        mem::replace(&mut self.wakers, later)
    }

    /// Returns the number of waiting tasks.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        usize::from(self.one.is_some()) + self.wakers.len()
    }
}

/// Tasks that are to be woken.
#[must_use = "these tasks are no longer in the list, and would never be woken"]
pub(super) struct Due {
    one: Option<(Place, Waker)>,
    wakers: BTreeMap<Place, Waker>,
}

impl Due {
    /// Wakes the tasks, the one that waits for the smallest version first. Called without a lock.
    ///
    /// A panic of a waker is contained: it belongs neither to the writer, which only publishes, nor to the
    /// other tasks. The panic hook has reported it.
    pub(super) fn wake(self) {
        let Self { mut one, mut wakers } = self;
        if !wakers.is_empty() {
            // Where it belongs in the order.
            wakers.extend(one.take());
        }
        let one = one.map(|(_, waker)| waker);
        one.into_iter().chain(wakers.into_values()).for_each(unwind::wake);
    }
}

/// Drops a waker that is not needed any longer. Called without a lock; a panic is contained, as in
/// [`Due::wake`].
pub(super) fn dispose(waker: Option<Waker>) {
    if let Some(waker) = waker {
        unwind::drop_waker(waker);
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use std::task::Wake;

    use super::*;
    use crate::sync::lock_order::TEST_AUXILIARY;
    use crate::sync::{Mutex, StdArc};

    /// Notes its number when it is woken.
    struct Note {
        number: u64,
        notes: StdArc<Mutex<Vec<u64>>>,
    }

    impl Wake for Note {
        fn wake(self: StdArc<Self>) {
            self.notes.lock().push(self.number);
        }
    }

    /// Any sequence of insertions, removals and publishes, against a sorted list.
    #[test]
    fn tasks_are_woken_by_their_version_in_its_order() {
        let mut random = fastrand::Rng::with_seed(5);
        for tasks_max in [1, 2, 3, 40] {
            let (mut tasks, notes) = (Tasks::new(), StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new())));
            let mut model: Vec<(Place, u64)> = Vec::new();
            for number in 0..2_000 {
                let wanted = Version::from_u64(random.u64(1..6));
                if model.len() < tasks_max && random.bool() {
                    let waker = Waker::from(StdArc::new(Note { number, notes: notes.clone() }));
                    let place = tasks.insert(wanted, waker.clone());
                    assert!(tasks.has(place, wanted, &waker) && !tasks.has(place, wanted, Waker::noop()));
                    model.push((place, number));
                    model.sort_unstable();
                } else if !model.is_empty() && random.bool() {
                    let (place, _) = model.remove(random.usize(..model.len()));
                    assert!(tasks.remove(place).is_some() && tasks.remove(place).is_none());
                } else {
                    tasks.take_due(wanted).wake();
                    let later = model.split_off(model.partition_point(|(place, _)| place.wanted <= wanted));
                    let due: Vec<_> = model.drain(..).map(|(_, number)| number).collect();
                    model = later;
                    assert_eq!(mem::take(&mut *notes.lock()), due);
                }
                assert_eq!(tasks.len(), model.len());
                assert_eq!(tasks.first_wanted(), model.first().map(|(place, _)| place.wanted));
            }
        }
    }

    /// An empty map keeps its root otherwise.
    #[test]
    fn tasks_that_have_left_leave_no_memory() {
        let mut tasks = Tasks::new();
        let counted = allocation_counter::measure(|| {
            let places = [(); 3].map(|()| tasks.insert(Version::from_u64(1), Waker::noop().clone()));
            for place in places {
                drop(tasks.remove(place));
            }
        });
        assert!(counted.count_total > 0);
        assert_eq!(counted.bytes_current, 0);
    }
}
