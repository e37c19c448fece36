//! One run per session, as it is written without this crate: a map of the runs that live now.
//!
//! A run is a cancel flag in the map. A begin checks and creates the entry in one step; the end removes the entry if
//! it still is that of this run, which the address of the flag tells. The rivals have no age of a run, no data, no
//! connection, no clear and no waiting: they do less.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use foldhash::fast::RandomState;

use super::Registry;
use crate::data::Key;

/// The cancel flag of a run, and its identity.
type Flag = Arc<AtomicBool>;

/// A map from sessions to the runs that live now.
pub trait Runs<K>: Sync {
    /// Returns the flag of the new run, or `None` if the session has one.
    fn create(&self, key: &K) -> Option<Flag>;

    /// Removes the run of the session if it is this one.
    fn remove(&self, key: &K, run: &Flag);
}

/// The guard of a run. `H` is a reference to the map, or an `Arc` if the run can be moved to a task, as that of this
/// crate can.
struct Run<K, M: Runs<K>, H: Deref<Target = M>> {
    runs: H,
    key: K,
    flag: Flag,
}

impl<K: Key, M: Runs<K>, H: Deref<Target = M>> Run<K, M, H> {
    fn try_begin(runs: H, key: &K) -> Option<Self> {
        let flag = runs.create(key)?;
        Some(Self { runs, key: key.clone(), flag })
    }

    fn is_cancelled(&self) -> bool {
        // Acquire: as a user would write it, so that the run sees what came before the request.
        self.flag.load(Ordering::Acquire)
    }
}

impl<K, M: Runs<K>, H: Deref<Target = M>> Drop for Run<K, M, H> {
    fn drop(&mut self) {
        self.runs.remove(&self.key, &self.flag);
    }
}

/// Runs that borrow the map.
pub struct Borrowed<M>(pub M);

/// Runs that own the map together, and can be moved to threads and tasks.
pub struct Owned<M>(pub Arc<M>);

impl<K: Key, M: Runs<K>> Registry<K> for Borrowed<M> {
    fn run(&self, key: &K) -> bool {
        Run::try_begin(&self.0, key).is_some_and(|run| !run.is_cancelled())
    }

    fn hold(&self, key: &K) {
        std::mem::forget(Run::try_begin(&self.0, key));
    }
}

impl<K: Key, M: Runs<K> + Send> Registry<K> for Owned<M> {
    fn run(&self, key: &K) -> bool {
        Run::try_begin(self.0.clone(), key).is_some_and(|run| !run.is_cancelled())
    }

    fn hold(&self, key: &K) {
        std::mem::forget(Run::try_begin(self.0.clone(), key));
    }
}

/// The lock of the standard library.
#[derive(Default)]
pub struct StdLock<K>(std::sync::Mutex<HashMap<K, Flag, RandomState>>);

impl<K: Key> Runs<K> for StdLock<K> {
    fn create(&self, key: &K) -> Option<Flag> {
        create(&mut self.0.lock().expect("no thread panics"), key)
    }

    fn remove(&self, key: &K, run: &Flag) {
        remove(&mut self.0.lock().expect("no thread panics"), key, run);
    }
}

#[derive(Default)]
pub struct ParkingLot<K>(parking_lot::Mutex<HashMap<K, Flag, RandomState>>);

impl<K: Key> Runs<K> for ParkingLot<K> {
    fn create(&self, key: &K) -> Option<Flag> {
        create(&mut self.0.lock(), key)
    }

    fn remove(&self, key: &K, run: &Flag) {
        remove(&mut self.0.lock(), key, run);
    }
}

fn create<K: Key>(runs: &mut HashMap<K, Flag, RandomState>, key: &K) -> Option<Flag> {
    match runs.entry(key.clone()) {
        Entry::Occupied(_) => None,
        Entry::Vacant(vacant) => Some(vacant.insert(Flag::default()).clone()),
    }
}

fn remove<K: Key>(runs: &mut HashMap<K, Flag, RandomState>, key: &K, run: &Flag) {
    if runs.get(key).is_some_and(|current| Arc::ptr_eq(current, run)) {
        runs.remove(key);
    }
}

impl<K: Key> Runs<K> for DashMap<K, Flag, RandomState> {
    fn create(&self, key: &K) -> Option<Flag> {
        match self.entry(key.clone()) {
            dashmap::Entry::Occupied(_) => None,
            dashmap::Entry::Vacant(vacant) => Some(vacant.insert(Flag::default()).clone()),
        }
    }

    fn remove(&self, key: &K, run: &Flag) {
        self.remove_if(key, |_, current| Arc::ptr_eq(current, run));
    }
}

impl<K: Key> Runs<K> for papaya::HashMap<K, Flag, RandomState> {
    /// Looks first, so that a session that is busy costs no allocation.
    fn create(&self, key: &K) -> Option<Flag> {
        let runs = self.pin();
        if runs.contains_key(key) {
            return None;
        }
        let flag = Flag::default();
        runs.try_insert(key.clone(), flag.clone()).is_ok().then_some(flag)
    }

    fn remove(&self, key: &K, run: &Flag) {
        let _removed = self.pin().remove_if(key, |_, current| Arc::ptr_eq(current, run));
    }
}
