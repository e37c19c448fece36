//! The compared maps, behind one interface for the write side and one for the read side.

use std::any::Any;

use crate::data::{Key, Value};

mod arc_swapped;
mod concurrent;
mod left_right;
mod locked;
mod switchboard;

pub use arc_swapped::{Flat, Imbl, Rpds};
pub use concurrent::{Dashmap, Papaya, SccIndex, SccMap};
pub use left_right::{Evmap, LeftRight};
pub use locked::{ParkingLot, StdLock};
pub use switchboard::{Many, Plain, Switchboard};

/// The hasher of all maps.
pub type Hasher = foldhash::fast::RandomState;

/// The write side of a map.
pub trait Peer<K: Key, V: Value>: Send + Sized + 'static {
    const NAME: &'static str;

    /// The type from which readers are created.
    type Source: Clone + Send + 'static;
    type Reader<'a>: Read<K, V>;

    fn new() -> Self;

    fn source(&self) -> Self::Source;

    /// Creates a reader for one thread and one round, the cheapest way of the map to do many lookups.
    fn reader(source: &Self::Source) -> Self::Reader<'_>;

    fn put(&mut self, key: K, value: V);

    fn publish(&mut self) {}

    /// Makes several writes visible together, as far as the map supports it.
    fn put_all<'a>(&mut self, batch: impl Iterator<Item = &'a (K, V)>) {
        for (key, value) in batch {
            self.put(key.clone(), value.clone());
        }
        self.publish();
    }

    /// Returns a value that keeps the current version alive, if the map has versions.
    fn hold(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn fill(&mut self, entries: &[(K, V)]) {
        for batch in entries.chunks(64) {
            self.put_all(batch.iter());
        }
    }
}

/// The read side of a map.
pub trait Read<K, V> {
    /// Applies `look` to the value of `key`, if there is one.
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R>;

    /// Looks up keys, and adds up what they have: one for a key without a value.
    #[inline]
    fn sum(&mut self, keys: &[K]) -> u64
    where
        V: Value,
    {
        keys.iter().fold(0, |sum, key| sum.wrapping_add(self.with(key, Value::word).unwrap_or(1)))
    }

    /// Visits all entries.
    fn for_each(&mut self, visit: impl FnMut(&K, &V));
}
