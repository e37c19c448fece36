//! The differences between two versions of a map.

use std::iter::FusedIterator;
use std::{slice, vec};

use hashbrown::HashTable;
use hashbrown::hash_table::{self, Entry};

use super::op::Op;
use super::page_map::node::{LEVELS, Slot};
use super::page_map::pages::Pages;
use super::page_map::{PageMap, TOGETHER};

/// One difference between an old and a new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a, K, V> {
    /// The key is only in the new state.
    Inserted {
        /// The key.
        key: &'a K,
        /// Its value in the new state.
        new: &'a V,
    },
    /// The key is in both states, with different values.
    Updated {
        /// The key.
        key: &'a K,
        /// Its value in the old state.
        old: &'a V,
        /// Its value in the new state.
        new: &'a V,
    },
    /// The key is only in the old state.
    Removed {
        /// The key.
        key: &'a K,
        /// Its value in the old state.
        old: &'a V,
    },
}

/// Returns the changes from `old` to `new`, in an arbitrary order, each key at most once.
///
/// Skips shared pages by comparing pointers, and unshared pages if both have the same
/// [stamp](super::page_map::node::Stamp): O(unshared pages + entries of those that differ), each entry
/// looked up once in the other version. `hasher` is the one that both maps were filled with, and they must be
/// versions of one table. Does not allocate.
pub(crate) fn diff<'a, K, V, H>(
    old: &'a PageMap<K, V>,
    new: &'a PageMap<K, V>,
    hasher: H,
) -> Diff<'a, K, V, H>
where
    K: Eq,
    V: PartialEq,
    H: Fn(&K) -> u64,
{
    Diff {
        old,
        new,
        hasher,
        left: Walk::new(old.pages(), new.pages()),
        left_page: hash_table::Iter::default(),
        joined: Walk::new(new.pages(), old.pages()),
        joined_page: hash_table::Iter::default(),
    }
}

/// The iterator of [`diff`].
pub(crate) struct Diff<'a, K, V, H> {
    old: &'a PageMap<K, V>,
    new: &'a PageMap<K, V>,
    hasher: H,
    /// The pages of `old` that `new` does not have: removed or updated entries.
    left: Walk<'a, (K, V)>,
    left_page: hash_table::Iter<'a, (K, V)>,
    /// The pages of `new` that `old` does not have: inserted entries.
    joined: Walk<'a, (K, V)>,
    joined_page: hash_table::Iter<'a, (K, V)>,
}

impl<'a, K, V, H> Iterator for Diff<'a, K, V, H>
where
    K: Eq,
    V: PartialEq,
    H: Fn(&K) -> u64,
{
    type Item = Change<'a, K, V>;

    fn next(&mut self) -> Option<Change<'a, K, V>> {
        loop {
            for (key, old) in self.left_page.by_ref() {
                match self.new.get((self.hasher)(key), key) {
                    None => return Some(Change::Removed { key, old }),
                    Some(new) if new != old => return Some(Change::Updated { key, old, new }),
                    Some(_) => {}
                }
            }
            let Some(page) = self.left.next() else { break };
            self.left_page = page.iter();
        }
        loop {
            for (key, new) in self.joined_page.by_ref() {
                if self.old.get((self.hasher)(key), key).is_none() {
                    return Some(Change::Inserted { key, new });
                }
            }
            self.joined_page = self.joined.next()?.iter();
        }
    }
}

impl<K, V, H> FusedIterator for Diff<'_, K, V, H>
where
    K: Eq,
    V: PartialEq,
    H: Fn(&K) -> u64,
{
}

/// Returns the changes from `old` to `new`, given the operations that lead from one to the other: each key
/// that an operation touched is looked up in both. O(operations).
pub(crate) fn diff_by_ops<'a, K: Eq, V>(
    old: &'a PageMap<K, V>,
    new: &'a PageMap<K, V>,
    batches: &[&'a [Op<K, V>]],
) -> DiffByOps<'a, K, V> {
    let len = batches.iter().map(|ops| ops.len()).sum();
    let mut touched = Vec::with_capacity(len);
    let mut seen = HashTable::<&Op<K, V>>::with_capacity(len);
    for op in batches.iter().copied().flatten() {
        if let Entry::Vacant(place) = seen.entry(op.hash, |other| other.key == op.key, |other| other.hash) {
            place.insert(op);
            touched.push(op);
        }
    }
    DiffByOps { old, new, touched: touched.into_iter(), values: [(None, None); TOGETHER], next: 0, len: 0 }
}

/// The iterator of [`diff_by_ops`].
pub(crate) struct DiffByOps<'a, K, V> {
    old: &'a PageMap<K, V>,
    new: &'a PageMap<K, V>,
    /// The newest operation of each key.
    touched: vec::IntoIter<&'a Op<K, V>>,
    /// The values of the next keys, from `next` to `len`, in both versions.
    values: [(Option<&'a V>, Option<&'a V>); TOGETHER],
    next: usize,
    len: usize,
}

impl<K: Eq, V> DiffByOps<'_, K, V> {
    /// Looks up the next keys.
    fn look_up(&mut self) {
        // `Eq` may panic: the next call looks them up again.
        (self.next, self.len) = (0, 0);
        let touched = self.touched.as_slice();
        let len = touched.len().min(TOGETHER);
        let Some(first) = touched.first() else { return };
        let (mut keys, mut hashes) = ([&first.key; TOGETHER], [0; TOGETHER]);
        for ((key, hash), op) in keys.iter_mut().zip(&mut hashes).zip(touched) {
            (*key, *hash) = (&op.key, op.hash);
        }
        let (keys, hashes) = (&keys[..len], &hashes[..len]);
        let old: [_; TOGETHER] = self.old.get_many(hashes, keys);
        let new: [_; TOGETHER] = self.new.get_many(hashes, keys);
        self.values = std::array::from_fn(|index| (old[index], new[index]));
        self.len = len;
    }
}

impl<'a, K: Eq, V: PartialEq> Iterator for DiffByOps<'a, K, V> {
    type Item = Change<'a, K, V>;

    fn next(&mut self) -> Option<Change<'a, K, V>> {
        loop {
            if self.next == self.len {
                self.look_up();
            }
            let Op { key, .. } = self.touched.next()?;
            let values = self.values[self.next];
            self.next += 1;
            match values {
                (None, Some(new)) => return Some(Change::Inserted { key, new }),
                (Some(old), None) => return Some(Change::Removed { key, old }),
                (Some(old), Some(new)) if old != new => return Some(Change::Updated { key, old, new }),
                _ => {}
            }
        }
    }
}

/// Either of the two ways to find the changes.
#[allow(clippy::large_enum_variant)] // Lives on the caller's stack; a box would allocate.
pub(crate) enum EitherDiff<'a, K, V, H> {
    Ops(DiffByOps<'a, K, V>),
    Pages(Diff<'a, K, V, H>),
}

impl<'a, K, V, H> Iterator for EitherDiff<'a, K, V, H>
where
    K: Eq,
    V: PartialEq,
    H: Fn(&K) -> u64,
{
    type Item = Change<'a, K, V>;

    fn next(&mut self) -> Option<Change<'a, K, V>> {
        match self {
            Self::Ops(diff) => diff.next(),
            Self::Pages(diff) => diff.next(),
        }
    }
}

impl<K, V, H> FusedIterator for EitherDiff<'_, K, V, H>
where
    K: Eq,
    V: PartialEq,
    H: Fn(&K) -> u64,
{
}

/// The pages of one version that another version does not have in the same position.
struct Walk<'a, T> {
    stack: [Frame<'a, T>; LEVELS + 1],
    level: usize,
}

/// A directory being visited, and its counterpart in the other version: a directory or one slot.
struct Frame<'a, T> {
    slots: &'a [Slot<T>],
    others: &'a [Slot<T>],
    index: usize,
    /// Whether the slots of both are for the same hashes, one by one.
    is_aligned: bool,
}

impl<'a, T> Walk<'a, T> {
    fn new(version: &'a Pages<T>, other: &'a Pages<T>) -> Self {
        let mut stack = [const { Frame { slots: &[], others: &[], index: 0, is_aligned: true } }; LEVELS + 1];
        stack[0].slots = slice::from_ref(version.root());
        stack[0].others = slice::from_ref(other.root());
        Self { stack, level: 0 }
    }
}

impl<'a, T> Iterator for Walk<'a, T> {
    type Item = &'a HashTable<T>;

    fn next(&mut self) -> Option<&'a HashTable<T>> {
        loop {
            let frame = &mut self.stack[self.level];
            let Some(slot) = frame.slots.get(frame.index) else {
                self.level = self.level.checked_sub(1)?;
                continue;
            };
            let other = &frame.others[frame.index % frame.others.len()];
            frame.index += 1;
            let is_aligned = frame.is_aligned;
            if slot.is_same(other) || (is_aligned && slot.is_like(other)) {
                continue;
            }
            if let Slot::Page(page) = slot {
                return Some(page);
            }
            let Some(slots) = slot.slots() else { continue };
            let others = other.slots().unwrap_or(slice::from_ref(other));
            self.level += 1;
            let is_aligned = is_aligned && slots.len() == others.len();
            self.stack[self.level] = Frame { slots, others, index: 0, is_aligned };
        }
    }
}
