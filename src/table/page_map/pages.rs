//! The tree of pages: a persistent `hashbrown::HashTable`, in safe code.
//!
//! The caller passes hashes, equality and, where entries move, a hasher, as with `HashTable`.
//!
//! # Structure
//!
//! A *page* is one `HashTable` of up to [`Page::FULL`] entries, a *directory* an array of 8 or 64 slots.
//! [`route`] turns a hash into the string of bits that selects the slots: six per level, of which a directory
//! of 8 uses the first three. The contents of a slot grow and shrink by factors of eight, one slot at a time:
//!
//! * a full page becomes a directory of 8 pages;
//! * a directory of 8 with a full page becomes one of 64 (so that a directory of 8 has only pages below it);
//! * a full page below a directory of 64 becomes a directory of 8 on the next level, and so on.
//!
//! A lookup thus has one array access and one predictable branch per level (one level up to about 28 thousand
//! entries, two up to 1.8 million), and every page is referenced by exactly one slot of a version: a count of
//! one means that it may be written in place. Extendible hashing with steps of two would move at most one
//! page at a time, but has slots that are aliases of others, and therefore a branch in each lookup that
//! cannot be predicted.
//!
//! # Panics of the caller's code
//!
//! Equality, hashers and `Clone` run while the tree is consistent: each operation first does everything that
//! may panic (unshare the path, hash what will move, look for the entry), then moves entries without calling
//! the caller's code. Unsharing and reshaping leave the contents unchanged, so an operation that panics
//! between them has no effect.

use hashbrown::HashTable;
use std::collections::HashSet;

use super::node::{
    LEVEL_BITS, NARROW, Page, Slot, Stamp, UNKNOWN, WIDE, Width, insert_reserved, route, unshare_dir,
};
use crate::sync::SlimArc;

#[cfg(all(test, not(switchboard_model)))]
use super::Stats;
use super::iter::Iter;
use super::reshape;

/// A tree of pages; see the [module](self).
pub(crate) struct Pages<T> {
    root: Slot<T>,
    len: usize,
    /// The version in progress.
    stamp: Stamp,
}

impl<T> Clone for Pages<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), ..*self }
    }
}

impl<T> Pages<T> {
    pub(crate) fn new() -> Self {
        Self { root: Slot::Vacant, len: 0, stamp: UNKNOWN }
    }

    /// Allocates room for `capacity` entries, up to one full page; beyond that a directory, whose pages are
    /// allocated with their entries.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let root = if capacity == 0 {
            Slot::Vacant
        } else if capacity <= Page::<T>::FULL {
            Slot::Page(SlimArc::new(Page::new(HashTable::with_capacity(capacity), UNKNOWN)))
        } else {
            let width = if capacity <= Page::<T>::FULL * NARROW { Width::Narrow } else { Width::Wide };
            Slot::Dir(width, SlimArc::new([const { Slot::Vacant }; WIDE]))
        };
        Self { root, len: 0, stamp: UNKNOWN }
    }

    /// Sets the number of the version that later changes make, which must be greater than all before it.
    pub(crate) fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(in crate::table) fn root(&self) -> &Slot<T> {
        &self.root
    }

    pub(crate) fn iter(&self) -> Iter<'_, T> {
        Iter::new(&self.root, self.len)
    }

    #[cfg(all(test, not(switchboard_model)))]
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats { entries: self.len, ..Stats::default() };
        add_stats(&self.root, &mut stats);
        stats
    }

    pub(super) fn bytes_unseen(&self, seen: &mut HashSet<usize>) -> usize {
        bytes_unseen(&self.root, seen)
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        self.page(hash)?.find(hash, eq)
    }

    /// Finds the entries of up to `N` hashes: what one waits for overlaps with what the others wait for. The result
    /// has `None` in the places beyond the hashes.
    ///
    /// In steps, each of them for all: the pages, the tags, the entries. The processor looks a few hundred
    /// instructions ahead, and a step of all is less than that, while several whole lookups are more.
    #[inline]
    pub(crate) fn find_many<const N: usize>(
        &self,
        hashes: &[u64],
        mut eq: impl FnMut(usize, &T) -> bool,
    ) -> [Option<&T>; N] {
        debug_assert!(hashes.len() <= N, "the result has a place for each");
        let mut pages = [None; N];
        for (page, hash) in pages.iter_mut().zip(hashes) {
            *page = self.page(*hash);
        }
        // The first entry with the tag of the hash, whose memory is not looked at yet. It is the one that is looked
        // for, unless two tags are equal.
        let mut found = [None; N];
        for ((found, page), hash) in found.iter_mut().zip(&pages).zip(hashes) {
            *found = page.and_then(|page| page.find(*hash, |_| true));
        }
        for (index, ((found, page), hash)) in found.iter_mut().zip(&pages).zip(hashes).enumerate() {
            if found.is_some_and(|entry| !eq(index, entry)) {
                *found = page.and_then(|page| page.find(*hash, |entry| eq(index, entry)));
            }
        }
        found
    }

    #[inline]
    fn page(&self, hash: u64) -> Option<&HashTable<T>> {
        let mut route = route(hash);
        let mut slot = &self.root;
        while let Slot::Dir(width, slots) = slot {
            slot = &slots[width.index(route)];
            route >>= LEVEL_BITS;
        }
        if let Slot::Page(page) = slot { Some(page) } else { None }
    }
}

impl<T> Pages<T> {
    /// Drops up to `budget` unshared pages, and all references to shared ones on the way; returns `true` when
    /// nothing is left. Until then, the remains are not a valid map.
    pub(crate) fn dismantle(&mut self, budget: &mut usize) -> bool {
        dismantle(&mut self.root, budget, None)
    }

    /// Like [`dismantle`](Self::dismantle), for entries that have to be dismantled themselves before their
    /// page is dropped.
    pub(crate) fn dismantle_with(&mut self, budget: &mut usize, entry: &mut Dismantle<'_, T>) -> bool {
        dismantle(&mut self.root, budget, Some(entry))
    }
}

/// A function that drops what an entry owns in steps, like [`Pages::dismantle`]; once done, it returns `true`
/// and takes no more of the budget.
pub(crate) type Dismantle<'a, T> = dyn FnMut(&mut T, &mut usize) -> bool + 'a;

/// Takes one from the budget; returns `false` if it is used up.
pub(crate) fn spend(budget: &mut usize) -> bool {
    let left = budget.checked_sub(1);
    *budget = left.unwrap_or(0);
    left.is_some()
}

impl<T: Clone> Pages<T> {
    /// Returns a mutable reference to the entry. Copies no page if there is no such entry.
    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, mut eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        match unshare_path(&mut self.root, hash) {
            Slot::Page(page) if !page.is_unique() && page.find(hash, &mut eq).is_none() => None,
            Slot::Page(page) => reshape::unshare(page, self.stamp).find_mut(hash, eq),
            _ => None,
        }
    }

    /// Returns a mutable reference to the entry, or the vacancy for it.
    #[inline]
    pub(crate) fn entry(
        &mut self,
        hash: u64,
        eq: impl Fn(&T) -> bool,
        hasher: impl Fn(&T) -> u64,
    ) -> Entry<'_, T> {
        let page = reshape::page_with_room(&mut self.root, hash, &eq, &hasher, self.stamp);
        match page.find_entry(hash, eq) {
            Ok(entry) => Entry::Occupied(entry.into_mut()),
            Err(absent) => Entry::Vacant(Vacancy { hash, page: absent.into_table(), len: &mut self.len }),
        }
    }

    /// Like [`remove_with`](Self::remove_with), without `before`.
    #[inline]
    pub(crate) fn remove(
        &mut self,
        hash: u64,
        eq: impl Fn(&T) -> bool,
        hasher: impl Fn(&T) -> u64,
    ) -> Option<T> {
        self.remove_with(hash, eq, hasher, |_| ())
    }

    /// Removes the entry and returns it. Copies no page if there is no such entry.
    ///
    /// `before` gets the entry when nothing else can panic any longer: if it panics, the entry stays.
    #[inline]
    pub(crate) fn remove_with(
        &mut self,
        hash: u64,
        eq: impl Fn(&T) -> bool,
        hasher: impl Fn(&T) -> u64,
        before: impl FnOnce(&T),
    ) -> Option<T> {
        let Slot::Page(page) = unshare_path(&mut self.root, hash) else { return None };
        let left = page.len().checked_sub(1)?;
        let is_due = left <= Page::<T>::MERGED_MAX && left.is_multiple_of(Page::<T>::TIDY_STEP);
        if is_due || !page.is_unique() {
            page.find(hash, &eq)?;
        }
        let page = if is_due {
            // Before the removal, because it calls the hasher.
            reshape::tidy(&mut self.root, route(hash), &hasher, self.stamp);
            let Slot::Page(page) = unshare_path(&mut self.root, hash) else { return None };
            page
        } else {
            page
        };
        let entry = reshape::unshare(page, self.stamp).find_entry(hash, eq).ok()?;
        before(entry.get());
        let (entry, _) = entry.remove();
        self.len -= 1;
        Some(entry)
    }
}

/// The result of [`Pages::entry`].
pub(crate) enum Entry<'a, T> {
    Occupied(&'a mut T),
    Vacant(Vacancy<'a, T>),
}

/// The vacancy for a new entry: its page is not shared and has room.
pub(crate) struct Vacancy<'a, T> {
    hash: u64,
    page: &'a mut HashTable<T>,
    len: &'a mut usize,
}

impl<T> Vacancy<'_, T> {
    /// Inserts the entry. Calls no code of the caller.
    #[inline]
    pub(crate) fn insert(self, entry: T) {
        insert_reserved(self.page, self.hash, entry);
        *self.len += 1;
    }
}

/// Returns the slot that the hash leads to, a page or vacant; unshares the directories above it.
#[inline]
fn unshare_path<T>(mut slot: &mut Slot<T>, hash: u64) -> &mut Slot<T> {
    let mut route = route(hash);
    loop {
        slot = match slot {
            Slot::Dir(width, slots) => &mut unshare_dir(slots)[width.index(route)],
            leaf => return leaf,
        };
        route >>= LEVEL_BITS;
    }
}

/// Takes one from the budget for an unshared page, and for an unshared directory that has only shared ones.
fn dismantle<T>(slot: &mut Slot<T>, budget: &mut usize, mut entry: Option<&mut Dismantle<'_, T>>) -> bool {
    match slot {
        Slot::Vacant => return true,
        Slot::Page(page) => {
            if let Some(page) = SlimArc::get_mut(page) {
                let is_done = entry.is_none_or(|entry| page.table.iter_mut().all(|each| entry(each, budget)));
                if !is_done || !spend(budget) {
                    return false;
                }
            }
        }
        Slot::Dir(_, slots) => {
            if let Some(slots) = SlimArc::get_mut(slots) {
                let before = *budget;
                let is_done = slots.iter_mut().all(|slot| dismantle(slot, budget, entry.as_deref_mut()));
                if !is_done || (*budget == before && !spend(budget)) {
                    return false;
                }
            }
        }
    }
    *slot = Slot::Vacant;
    true
}

/// The two reference counts in front of the value in an `Arc`.
const COUNTERS: usize = 2 * size_of::<usize>();

fn page_bytes<T>(page: &Page<T>) -> usize {
    COUNTERS + size_of::<Page<T>>() + page.allocation_size()
}

const fn dir_bytes<T>() -> usize {
    COUNTERS + size_of::<[Slot<T>; WIDE]>()
}

fn bytes_unseen<T>(slot: &Slot<T>, seen: &mut HashSet<usize>) -> usize {
    match slot {
        Slot::Page(page) if seen.insert(SlimArc::as_ptr(page).addr()) => page_bytes(page),
        Slot::Dir(_, slots) if seen.insert(SlimArc::as_ptr(slots).addr()) => {
            dir_bytes::<T>() + slots.iter().map(|slot| bytes_unseen(slot, seen)).sum::<usize>()
        }
        _ => 0,
    }
}

#[cfg(all(test, not(switchboard_model)))]
fn add_stats<T>(slot: &Slot<T>, stats: &mut Stats) {
    if let Slot::Page(page) = slot {
        stats.pages += 1;
        stats.bytes += page_bytes(page);
    }
    if let Some(slots) = slot.slots() {
        stats.directories += 1;
        stats.bytes += dir_bytes::<T>();
        slots.iter().for_each(|slot| add_stats(slot, stats));
    }
}
