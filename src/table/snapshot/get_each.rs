//! Lookups of many keys, several at a time.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use crate::table::hash::DefaultHashBuilder;
use crate::table::page_map::TOGETHER;
use crate::table::state::State;

/// The iterator of [`Snapshot::get_each`](crate::Snapshot::get_each).
#[must_use = "iterators are lazy"]
pub struct GetEach<'a, K, V, I = (), S = DefaultHashBuilder, T = std::slice::Iter<'a, K>> {
    state: &'a State<K, V, I, S>,
    keys: T,
    values: [Option<&'a V>; TOGETHER],
    /// The values that were looked up and not returned.
    next: usize,
    len: usize,
}

impl<'a, K, V, I, S, T> GetEach<'a, K, V, I, S, T> {
    pub(in crate::table) fn new(state: &'a State<K, V, I, S>, keys: T) -> Self {
        Self { state, keys, values: [None; TOGETHER], next: 0, len: 0 }
    }
}

impl<'a, K, V, I, S, Q, T> Iterator for GetEach<'a, K, V, I, S, T>
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ?Sized + 'a,
    S: BuildHasher,
    T: Iterator<Item = &'a Q>,
{
    type Item = Option<&'a V>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.len {
            self.look_up();
        }
        let value = self.values[..self.len].get(self.next).copied()?;
        self.next += 1;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ready = self.len - self.next;
        let (least, most) = self.keys.size_hint();
        (least.saturating_add(ready), most.and_then(|most| most.checked_add(ready)))
    }
}

impl<'a, K, V, I, S, T> GetEach<'a, K, V, I, S, T> {
    /// Looks up the next keys. If user code panics, those that were taken are lost.
    fn look_up<Q>(&mut self)
    where
        K: Hash + Eq + Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'a,
        S: BuildHasher,
        T: Iterator<Item = &'a Q>,
    {
        (self.next, self.len) = (0, 0);
        let Some(first) = self.keys.next() else { return };
        let mut keys = [first; TOGETHER];
        let mut hashes = [self.state.hash(first); TOGETHER];
        let mut len = 1;
        while len < TOGETHER
            && let Some(key) = self.keys.next()
        {
            (keys[len], hashes[len]) = (key, self.state.hash(key));
            len += 1;
        }
        self.values = self.state.map.get_many(&hashes[..len], &keys[..len]);
        self.len = len;
    }
}

impl<'a, K, V, I, S, Q, T> FusedIterator for GetEach<'a, K, V, I, S, T>
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ?Sized + 'a,
    S: BuildHasher,
    T: FusedIterator<Item = &'a Q>,
{
}

impl<'a, K, V, I, S, Q, T> ExactSizeIterator for GetEach<'a, K, V, I, S, T>
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ?Sized + 'a,
    S: BuildHasher,
    T: ExactSizeIterator<Item = &'a Q>,
{
}

impl<K, V, I, S, T> fmt::Debug for GetEach<'_, K, V, I, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetEach").field("ready", &(self.len - self.next)).finish_non_exhaustive()
    }
}
