//! Loads in progress: one per session, whose result all who want it share.

use std::collections::HashMap;

use hashbrown::HashTable;

use super::super::mark::Mark;
use super::core::Change;

/// The result of [`Loads::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BeginLoad {
    /// The caller reads the store, and then calls [`Loads::end`].
    Start(u64),
    /// Another thread reads the store; [`Loads::join`] has its result.
    Join(u64),
}

/// The loads in progress, and the results that have not been picked up. Pure, like `Core`; `R` is cheap to clone.
pub(super) struct Loads<K, P, R> {
    running: HashTable<Load<K, P>>,
    /// The results, and the number of threads that still want them.
    done: HashMap<u64, (R, usize)>,
    next: u64,
    pub(super) started: u64,
    pub(super) joined: u64,
}

struct Load<K, P> {
    id: u64,
    mark: Mark<K>,
    /// The newest change since the load began: it counts, instead of what is read.
    newer: Option<Change<K, P>>,
    /// The mark of the first change since then, whose save waits for the end of the load.
    held: Option<Mark<K>>,
    waiting: usize,
}

impl<K: Eq, P: Clone, R: Clone> Loads<K, P, R> {
    pub(super) fn new() -> Self {
        Self { running: HashTable::new(), done: HashMap::new(), next: 0, started: 0, joined: 0 }
    }

    pub(super) fn begin(&mut self, mark: &Mark<K>) -> BeginLoad {
        if let Some(load) = self.running.find_mut(mark.hash(), |load| load.mark.is(mark)) {
            load.waiting += 1;
            self.joined += 1;
            return BeginLoad::Join(load.id);
        }
        let id = self.next;
        self.next += 1;
        self.started += 1;
        let load = Load { id, mark: mark.clone(), newer: None, held: None, waiting: 0 };
        self.running.insert_unique(mark.hash(), load, |load| load.mark.hash());
        BeginLoad::Start(id)
    }

    /// Notes a change of a session that may be being loaded. Returns whether it is, and a change to drop.
    pub(super) fn note(&mut self, change: &Change<K, P>) -> (bool, Option<Change<K, P>>) {
        let mark = &change.mark;
        let Some(load) = self.running.find_mut(mark.hash(), |load| load.mark.is(mark)) else {
            return (false, None);
        };
        load.held.get_or_insert_with(|| mark.clone());
        if load.newer.as_ref().is_some_and(|newer| newer.number >= change.number) {
            return (true, None);
        }
        (true, load.newer.replace(change.clone()))
    }

    /// Ends a load. `result` makes the result, from the newest change since it began, if there is one; it must not run
    /// user code. Returns it, and the mark to release.
    pub(super) fn end(
        &mut self,
        mark: &Mark<K>,
        id: u64,
        result: impl FnOnce(Option<Change<K, P>>) -> R,
    ) -> (R, Option<Mark<K>>) {
        let Ok(place) = self.running.find_entry(mark.hash(), |load| load.id == id) else {
            unreachable!("a load ends once");
        };
        // The mark is shared with the caller, so that no key is dropped here.
        let (load, _) = place.remove();
        let result = result(load.newer);
        if load.waiting > 0 {
            self.done.insert(id, (result.clone(), load.waiting));
        }
        (result, load.held)
    }

    /// Returns the number of loads in progress and of results that are waited for.
    #[cfg(all(test, not(switchboard_model)))]
    pub(super) fn len(&self) -> usize {
        self.running.len() + self.done.len()
    }

    /// Gives up the result of another thread's load, which is still reading.
    pub(super) fn leave(&mut self, mark: &Mark<K>, id: u64) {
        if let Some(load) = self.running.find_mut(mark.hash(), |load| load.id == id) {
            load.waiting -= 1;
        }
    }

    /// Picks up the result of another thread's load, or returns `None` while it is still reading.
    pub(super) fn join(&mut self, id: u64) -> Option<R> {
        let (result, waiting) = self.done.get_mut(&id)?;
        *waiting -= 1;
        if *waiting > 0 {
            return Some(result.clone());
        }
        self.done.remove(&id).map(|(result, _)| result)
    }
}
