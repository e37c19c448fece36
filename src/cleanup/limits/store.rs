//! The states of the buckets: a bounded table, and the time.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;

use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::state::StateStore;

use crate::cleanup::moment::Moment;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, StdArc, lock_order};

/// Number of keys that one question for a new key looks at, when the table is full.
const LOOKS: usize = 8;

/// A table of at most so many keys. A key whose bucket is full again differs in nothing from a new
/// one, and is replaced. If there is no such key among those that are looked at, the new one is not
/// tracked, and not limited: an attacker who uses many sources must not be able to slow down the
/// others.
pub(super) struct Store<K>(StdArc<Shared<K>>);

struct Shared<K> {
    /// The time of the newest question, in nanoseconds.
    now: AtomicU64,
    untracked: AtomicU64,
    table: Mutex<Table<K>>,
}

/// Valid after a panic: only code of this crate and of the keys, which are numbers, runs under the lock.
struct Table<K> {
    states: HashMap<K, Nanos>,
    /// All keys, from the one that was looked at first.
    order: VecDeque<K>,
    capacity: usize,
}

impl<K: Hash + Eq + Clone> Store<K> {
    pub(super) fn new(capacity: usize) -> Self {
        let table = Table { states: HashMap::new(), order: VecDeque::new(), capacity };
        Self(StdArc::new(Shared {
            now: AtomicU64::new(0),
            untracked: AtomicU64::new(0),
            table: Mutex::new(&lock_order::CLEANUP_LIMITS, table),
        }))
    }

    /// Sets the time of the next questions, unless a later one was set.
    pub(super) fn advance(&self, now: Moment) {
        // Relaxed: a maximum, so time goes back for no thread; it orders nothing else.
        self.0.now.fetch_max(now.as_ns(), Ordering::Relaxed);
    }

    pub(super) fn untracked(&self) -> u64 {
        // Relaxed: a statistic.
        self.0.untracked.load(Ordering::Relaxed)
    }

    #[cfg(all(test, not(switchboard_model)))]
    pub(super) fn len(&self) -> usize {
        let table = self.0.table.lock();
        assert_eq!(table.states.len(), table.order.len());
        table.states.len()
    }
}

impl<K: Hash + Eq + Clone> Table<K> {
    /// Makes room for a new key, if there is any. O(1).
    fn make_room(&mut self, now: Nanos) -> bool {
        if self.states.len() < self.capacity {
            return true;
        }
        for _ in 0..LOOKS.min(self.order.len()) {
            let Some(key) = self.order.pop_front() else { return false };
            if self.states.get(&key).is_none_or(|state| *state <= now) {
                self.states.remove(&key);
                return true;
            }
            self.order.push_back(key);
        }
        false
    }
}

impl<K: Hash + Eq + Clone> StateStore for Store<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut table = self.0.table.lock();
        if let Some(state) = table.states.get_mut(key) {
            let (result, next) = measure(Some(*state))?;
            *state = next;
            return Ok(result);
        }
        let (result, next) = measure(None)?;
        if table.make_room(self.now()) {
            table.states.insert(key.clone(), next);
            table.order.push_back(key.clone());
        } else {
            // Relaxed: a statistic.
            self.0.untracked.fetch_add(1, Ordering::Relaxed);
        }
        Ok(result)
    }
}

impl<K> Clock for Store<K> {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        // Relaxed: as in `advance`.
        Nanos::new(self.0.now.load(Ordering::Relaxed))
    }
}

impl<K> Clone for Store<K> {
    /// Returns another handle of the same table.
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> fmt::Debug for Store<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
