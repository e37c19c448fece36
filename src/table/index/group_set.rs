//! Persistent sets of keys by group.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem;

use foldhash::fast::RandomState;

use crate::table::page_map::PageMap;
use crate::table::page_map::pages::{Entry, Pages, Vacancy};

use super::chunks::{ChunkVec, Chunks, Items};

/// Groups of up to this many keys are searched linearly; larger ones have a table of positions.
const SMALL: usize = 16;

/// Upper bound of the parts, as [`GroupSet::dismantle`] counts them, that one change copies: a page of
/// groups, two chunks of keys and a page of positions; its share of the pages that splits and merges replace;
/// and one more directory or branch, where a version has nothing else of its own below it.
const COPIED: usize = 8;

/// A set of `(group, key)` pairs with O(1) counts and contiguous listing. Seeded, so that keys cannot be
/// chosen to collide.
///
/// A clone is O(1) and shares everything. `insert` and `remove` are O(1) amortized; they copy at most a page
/// of groups, a page of positions, one or two chunks of keys, and the directories above them, as far as they
/// are shared. If the code of a key or group panics, the operation has no effect; if a destructor panics, the
/// operation is complete.
pub(crate) struct GroupSet<G, K> {
    groups: PageMap<G, Group<K>>,
    hash_builder: RandomState,
    /// Number of insertions and removals since the last [`take_copied`](Self::take_copied).
    changes: usize,
}

impl<G, K> Clone for GroupSet<G, K> {
    fn clone(&self) -> Self {
        Self { groups: self.groups.clone(), hash_builder: self.hash_builder.clone(), changes: self.changes }
    }
}

impl<G, K> GroupSet<G, K> {
    pub(crate) fn new() -> Self {
        Self { groups: PageMap::new(), hash_builder: RandomState::default(), changes: 0 }
    }

    /// Drops up to `budget` chunks and pages that no other version shares; returns `true` when nothing is
    /// left. Until then, the remains are not a valid set.
    pub(crate) fn dismantle(&mut self, budget: &mut usize) -> bool {
        self.groups.dismantle_with(budget, &mut |(_, group), budget| group.dismantle(budget))
    }

    /// Returns the number of chunks and pages that the changes since the last call have copied, at most.
    pub(crate) fn take_copied(&mut self) -> usize {
        mem::take(&mut self.changes).saturating_mul(COPIED)
    }

    /// Iterates over the groups that have keys, with their numbers of keys.
    pub(crate) fn groups(&self) -> impl ExactSizeIterator<Item = (&G, usize)> {
        self.groups.iter().map(|(group, members)| (group, members.len()))
    }

    #[cfg(all(test, not(switchboard_model)))]
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
    }
}

impl<G: Hash + Eq, K> GroupSet<G, K> {
    fn group<Q>(&self, group: &Q) -> Option<&Group<K>>
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.groups.get(self.hash_builder.hash_one(group), group)
    }

    /// Returns the number of keys in the group.
    pub(crate) fn count<Q>(&self, group: &Q) -> usize
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.group(group).map_or(0, Group::len)
    }

    /// Iterates over the keys of the group in an arbitrary order.
    pub(crate) fn keys<Q>(&self, group: &Q) -> impl ExactSizeIterator<Item = &K> + use<'_, G, K, Q>
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Items::new(self.group(group).map(|group| &group.keys))
    }

    /// Iterates over the keys of the group in an arbitrary order, as slices, none of them empty.
    pub(crate) fn chunks<Q>(&self, group: &Q) -> impl Iterator<Item = &[K]> + use<'_, G, K, Q>
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Chunks::new(self.group(group).map(|group| &group.keys))
    }

    /// Whether the key is in the group.
    pub(crate) fn contains<Q>(&self, group: &Q, key: &K) -> bool
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        K: Hash + Eq,
    {
        self.group(group).is_some_and(|group| group.position(key, self.hash_builder.hash_one(key)).is_some())
    }
}

impl<G: Hash + Eq + Clone, K: Hash + Eq + Clone> GroupSet<G, K> {
    /// Adds the key to the group; returns `false` if it was already in it.
    pub(crate) fn insert(&mut self, group: G, key: &K) -> bool {
        let Self { groups, hash_builder, changes } = self;
        let hash = hash_builder.hash_one(&group);
        *changes += 1;
        match groups.get(hash, &group) {
            Some(members) if members.position(key, hash_builder.hash_one(key)).is_some() => return false,
            Some(_) => {}
            None => {
                let members = Group { keys: ChunkVec::from_one(key.clone()), positions: None };
                groups.insert(hash, group, members, &|group| hash_builder.hash_one(group));
                return true;
            }
        }
        if let Some(members) = groups.get_mut(hash, &group) {
            members.insert_new(key.clone(), hash_builder);
        }
        true
    }

    /// Removes the key from the group; returns `false` if it was not in it.
    pub(crate) fn remove<Q>(&mut self, group: &Q, key: &K) -> bool
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Self { groups, hash_builder, changes } = self;
        let hash = hash_builder.hash_one(group);
        *changes += 1;
        // Unshared even if it has not got the key, which is the exception.
        let Some(members) = groups.get_mut(hash, group) else { return false };
        let hash_of_key = hash_builder.hash_one(key);
        let Some(position) = members.position(key, hash_of_key) else { return false };
        if members.len() == 1 {
            groups.remove(hash, group, &|group| hash_builder.hash_one(group));
        } else {
            members.remove_at(position, hash_of_key, hash_builder);
        }
        true
    }
}

/// The keys of one group, at least one.
struct Group<K> {
    keys: ChunkVec<K>,
    /// The position of each key; `None` for a small group. The keys themselves are only in `keys`.
    positions: Option<Pages<u32>>,
}

impl<K> Clone for Group<K> {
    fn clone(&self) -> Self {
        Self { keys: self.keys.clone(), positions: self.positions.clone() }
    }
}

impl<K> Group<K> {
    fn len(&self) -> usize {
        self.keys.len()
    }

    fn dismantle(&mut self, budget: &mut usize) -> bool {
        self.keys.dismantle(budget)
            && self.positions.as_mut().is_none_or(|positions| positions.dismantle(budget))
    }

    fn key_at(&self, position: u32) -> Option<&K> {
        self.keys.get(position as usize)
    }
}

impl<K: Hash + Eq> Group<K> {
    fn position(&self, key: &K, hash: u64) -> Option<u32> {
        let is_at = |&position: &u32| self.key_at(position) == Some(key);
        match &self.positions {
            None => (0..self.len() as u32).find(is_at),
            Some(positions) => positions.find(hash, is_at).copied(),
        }
    }
}

impl<K: Hash + Eq + Clone> Group<K> {
    /// Adds a key that is not in the group.
    fn insert_new(&mut self, key: K, hash_builder: &RandomState) {
        let Ok(position) = u32::try_from(self.len()) else { panic!("a group holds at most 2^32 keys") };
        if self.positions.is_none() && self.len() >= SMALL {
            self.positions = Some(positions_of(&self.keys, hash_builder));
        }
        self.keys.unshare(self.len() - 1);
        if let Some(positions) = &mut self.positions {
            let place = place_for(positions, &self.keys, hash_builder.hash_one(&key), hash_builder);
            place.insert(position);
        }
        // No code of the key runs after the first change of the positions.
        self.keys.push(key);
    }

    /// Removes the key at the position, which is not the only one and has this hash; the last key takes its position.
    fn remove_at(&mut self, position: u32, hash: u64, hash_builder: &RandomState) {
        let last = self.len() as u32 - 1;
        self.keys.unshare(last as usize);
        self.keys.unshare(position as usize);
        let hash_at =
            |position: &u32| self.keys.get(*position as usize).map_or(0, |key| hash_builder.hash_one(key));
        if let Some(positions) = &mut self.positions {
            let hash_of_last = if position == last { hash } else { hash_at(&last) };
            positions.remove(hash, |&other| other == position, hash_at);
            // No code of the key runs after this removal.
            if position != last
                && let Some(place) = positions.find_mut(hash_of_last, |&other| other == last)
            {
                *place = position;
            }
        }
        // Dropped last: its destructor is user code.
        let _removed = self.keys.swap_remove(position as usize);
        if self.len() <= SMALL / 2 {
            self.positions = None;
        }
    }
}

/// Builds the table of positions of a group that is no longer small.
fn positions_of<K: Hash>(keys: &ChunkVec<K>, hash_builder: &RandomState) -> Pages<u32> {
    let mut positions = Pages::new();
    for (position, key) in (0..).zip(Items::new(Some(keys))) {
        place_for(&mut positions, keys, hash_builder.hash_one(key), hash_builder).insert(position);
    }
    positions
}

/// Returns the vacancy for the position of a key that has none.
fn place_for<'a, K: Hash>(
    positions: &'a mut Pages<u32>,
    keys: &ChunkVec<K>,
    hash: u64,
    hash_builder: &RandomState,
) -> Vacancy<'a, u32> {
    let hash_at = |position: &u32| keys.get(*position as usize).map_or(0, |key| hash_builder.hash_one(key));
    match positions.entry(hash, |_| false, hash_at) {
        Entry::Vacant(place) => place,
        Entry::Occupied(_) => unreachable!("no existing position matches"),
    }
}
