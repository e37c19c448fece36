//! The tree of pages: a persistent `hashbrown::HashTable`, in safe code.
//!
//! The caller passes hashes, equality and, where entries move, a hasher, as with `HashTable`.
//!
//! # Structure
//!
//! A *page* is one `HashTable` of up to [`Pages::FULL`] entries, a *directory* an array of 8 or of 64 slots.
//! [`route`] turns a hash into the string of bits that picks the slots: six per level, of which a directory
//! of 8 uses the first three. What a slot holds grows and shrinks by factors of eight, one slot at a time:
//!
//! * a full page becomes a directory of 8 pages;
//! * a directory of 8 with a full page becomes one of 64 (so that below a directory of 8 there are only
//!   pages);
//! * a full page below a directory of 64 becomes a directory of 8 on the next level, and so on.
//!
//! So a lookup has one array access and one predictable branch per level (one level up to about 28 thousand
//! entries, two up to 1.8 million), and every page is referenced by exactly one slot of a version: a count of
//! one means that it may be written in place. Extendible hashing with steps of two would move at most one
//! page at a time, but has slots that stand for others, and so a branch in each lookup that cannot be
//! predicted.
//!
//! # Panics of the caller's code
//!
//! Equality, hashers and `Clone` run while the tree is whole: each operation first does what may panic
//! (unshare the path, hash what will move, look for the entry), then moves entries without calling out.
//! Unsharing and reshaping leave the contents as they were, so an operation that panics between them has no
//! effect.

use std::collections::HashSet;
use std::ops::Deref;

use hashbrown::HashTable;

use crate::sync::SlimArc;

#[cfg(all(test, not(switchboard_model)))]
use super::Stats;
use super::iter::Iter;
use super::reshape;

/// Slots of a narrow directory, and the factor by which everything grows.
///
/// Steps of eight keep the largest move at eight pages. A copy-on-write update copies one wide directory per
/// level, an increment and later a decrement of one count per slot; wider directories would save a level, and
/// were not tried because of that cost.
pub(super) const NARROW: usize = 8;
/// Slots of a wide directory.
pub(super) const WIDE: usize = NARROW * NARROW;

/// Bits of the route per level.
pub(super) const LEVEL_BITS: u32 = WIDE.ilog2();

/// Levels of directories it takes to use up the 64 bits of a hash.
pub(in crate::table) const LEVELS: usize = 64_usize.div_ceil(LEVEL_BITS as usize);

/// Buckets of the largest page, as a power of two: 448 entries.
///
/// Measured with 64-bit keys and 32-byte values against one flat `hashbrown::HashMap`, uniform random hits,
/// as the ratio of the times per lookup at 1k, 10k, 100k and 1M entries:
///
/// | buckets | independent lookups | behind a cached `Arc` | chained lookups | copying update |
/// |---|---|---|---|---|
/// | 64 | 1.6, 2.6, 2.0, 3.2 | 1.8, 2.5, 1.9, 3.9 | 1.3, 1.8, 1.6, 2.0 | 2.0, 1.0, 1.2, 0.6 |
/// | 128 | 1.6, 2.6, 2.0, 3.3 | 1.7, 2.5, 1.8, 3.5 | 1.3, 1.5, 1.6, 2.0 | 2.5, 1.4, 1.2, 0.5 |
/// | 256 | 1.6, 1.8, 1.7, 3.0 | 1.7, 1.8, 1.6, 2.9 | 1.3, 1.3, 1.5, 2.0 | 1.0, 1.0, 1.0, 0.5 |
/// | **512** | 1.6, 1.8, 1.7, 2.1 | 1.7, 1.7, 1.5, 1.9 | 1.3, 1.3, 1.5, 1.5 | 1, 1, 1, 1 |
///
/// The last column, one update per version, is relative to 512 buckets. Two runs on a busy machine of two
/// cores: differences below 0.2 mean nothing, and at 100k and 1M not even those below 0.4. Small pages lose
/// by the third level that a million entries then need.
const PAGE_BUCKETS_LOG2: u32 = 9;

/// Upper bound of the entries' memory in a page. Large entries get pages of fewer buckets.
const PAGE_BYTES: usize = 32 * 1024;

/// Buckets of the largest page of entries too large for the bound above.
const PAGE_BUCKETS_MIN: usize = 16;

/// Says which version a page is of: its entries are those that the version with this number had in this place
/// of the tree. So two pages with one stamp, in one place of two versions, have equal entries, even if they
/// are copies that were brought there one after the other.
///
/// Everything that may change a page stamps it with the version that is being made: it never claims to be
/// older than it is. The number of a version that is given up may come again, but no page of it does.
pub(in crate::table) type Stamp = u64;

/// Of a page that no version is known for: equal to none.
const UNKNOWN: Stamp = 0;

/// A page. The stamp comes last: a lookup does not read it.
#[derive(Clone)]
pub(in crate::table) struct Page<T> {
    table: HashTable<T>,
    stamp: Stamp,
}

impl<T> Page<T> {
    pub(super) fn new(table: HashTable<T>, stamp: Stamp) -> Self {
        Self { table, stamp }
    }

    /// The entries, to be changed in the version of this number.
    #[inline]
    pub(super) fn table_mut(&mut self, stamp: Stamp) -> &mut HashTable<T> {
        self.stamp = stamp;
        &mut self.table
    }
}

impl<T> Deref for Page<T> {
    type Target = HashTable<T>;

    #[inline]
    fn deref(&self) -> &HashTable<T> {
        &self.table
    }
}

/// What a route leads to. 16 bytes: the width of a directory is read together with the pointer to it.
pub(in crate::table) enum Slot<T> {
    /// No entries yet.
    Vacant,
    Page(SlimArc<Page<T>>),
    /// A narrow directory uses the first slots of its array, and the others are vacant: that way both widths
    /// are one case of a lookup. It costs at most a kilobyte for each [`Pages::FULL`] entries.
    Dir(Width, SlimArc<[Slot<T>; WIDE]>),
}

/// How many slots of a directory are used, less one: the mask of the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::table) enum Width {
    Narrow = NARROW as u8 - 1,
    Wide = WIDE as u8 - 1,
}

impl Width {
    /// The index that a route leads to.
    #[inline]
    pub(super) fn index(self, route: u64) -> usize {
        route as usize & self as usize
    }
}

impl<T> Clone for Slot<T> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Self::Vacant => Self::Vacant,
            Self::Page(page) => Self::Page(SlimArc::clone(page)),
            Self::Dir(width, slots) => Self::Dir(*width, SlimArc::clone(slots)),
        }
    }
}

impl<T> Slot<T> {
    /// The used slots of a directory.
    pub(in crate::table) fn slots(&self) -> Option<&[Slot<T>]> {
        match self {
            Self::Dir(width, slots) => Some(&slots[..=*width as usize]),
            Self::Vacant | Self::Page(_) => None,
        }
    }

    /// Whether both are the same page or the same directory.
    pub(in crate::table) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Page(one), Self::Page(other)) => SlimArc::ptr_eq(one, other),
            (Self::Dir(_, one), Self::Dir(_, other)) => SlimArc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Whether both, in one place of two versions, are pages with equal entries for all that is known.
    pub(in crate::table) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Page(one), Self::Page(other)) => one.stamp == other.stamp && one.stamp != UNKNOWN,
            _ => false,
        }
    }
}

/// See the [module](self).
pub(crate) struct Pages<T> {
    root: Slot<T>,
    len: usize,
    /// The version that is being made.
    stamp: Stamp,
}

impl<T> Clone for Pages<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), ..*self }
    }
}

impl<T> Pages<T> {
    /// Entries of a full page.
    pub(super) const FULL: usize = page_buckets(size_of::<T>()) / 8 * 7;
    /// A page without room splits if it has at least this many entries, and otherwise gets a larger table.
    /// Fewer than [`FULL`](Self::FULL) are without room when removals have left tombstones.
    pub(super) const SPLIT_MIN: usize = Self::FULL / 4 * 3;
    /// Entries of a page made by merging, at most: half of what splits it again.
    pub(super) const MERGED_MAX: usize = Self::FULL / 2;
    /// Removals look for something to merge each time a page has lost this many entries.
    pub(super) const TIDY_STEP: usize = if Self::FULL < 112 { 1 } else { Self::FULL / 56 };

    pub(crate) fn new() -> Self {
        Self { root: Slot::Vacant, len: 0, stamp: UNKNOWN }
    }

    /// Room for `capacity` entries, up to one full page; beyond that a directory, whose pages come with their
    /// entries.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let root = if capacity == 0 {
            Slot::Vacant
        } else if capacity <= Self::FULL {
            Slot::Page(SlimArc::new(Page::new(HashTable::with_capacity(capacity), UNKNOWN)))
        } else {
            let width = if capacity <= Self::FULL * NARROW { Width::Narrow } else { Width::Wide };
            Slot::Dir(width, SlimArc::new([const { Slot::Vacant }; WIDE]))
        };
        Self { root, len: 0, stamp: UNKNOWN }
    }

    /// What is changed from here on makes the version of this number, which comes after all before it.
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
        Iter::new(self)
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
    /// Drops up to `budget` pages that are shared with nobody, and what is shared on the way; `true` when
    /// nothing is left. In between, what is left is not a map.
    pub(crate) fn dismantle(&mut self, budget: &mut usize) -> bool {
        dismantle(&mut self.root, budget, None)
    }

    /// [`dismantle`](Self::dismantle), for entries that are to be dismantled themselves before their page is
    /// dropped.
    pub(crate) fn dismantle_with(&mut self, budget: &mut usize, entry: &mut Dismantle<'_, T>) -> bool {
        dismantle(&mut self.root, budget, Some(entry))
    }
}

/// Drops what an entry owns in steps, as [`Pages::dismantle`] does; once done, `true` for no more of the
/// budget.
pub(crate) type Dismantle<'a, T> = dyn FnMut(&mut T, &mut usize) -> bool + 'a;

/// Takes one from the budget; `false` when it is used up.
pub(crate) fn spend(budget: &mut usize) -> bool {
    let left = budget.checked_sub(1);
    *budget = left.unwrap_or(0);
    left.is_some()
}

impl<T: Clone> Pages<T> {
    /// The entry, writable. Copies no page if there is no such entry.
    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, mut eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        match unshare_path(&mut self.root, hash) {
            Slot::Page(page) if !page.is_unique() && page.find(hash, &mut eq).is_none() => None,
            Slot::Page(page) => reshape::unshare(page, self.stamp).find_mut(hash, eq),
            _ => None,
        }
    }

    /// The entry, writable, or the place for it.
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

    /// [`remove_with`](Self::remove_with), without a word before.
    #[inline]
    pub(crate) fn remove(
        &mut self,
        hash: u64,
        eq: impl Fn(&T) -> bool,
        hasher: impl Fn(&T) -> u64,
    ) -> Option<T> {
        self.remove_with(hash, eq, hasher, |_| ())
    }

    /// Takes the entry out. Copies no page if there is no such entry.
    ///
    /// `before` sees the entry when nothing else can panic any more: if it does, the entry stays.
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
        let is_due = left <= Self::MERGED_MAX && left.is_multiple_of(Self::TIDY_STEP);
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

/// What [`Pages::entry`] found.
pub(crate) enum Entry<'a, T> {
    Occupied(&'a mut T),
    Vacant(Vacancy<'a, T>),
}

/// The place for a new entry: its page is not shared and has room.
pub(crate) struct Vacancy<'a, T> {
    hash: u64,
    page: &'a mut HashTable<T>,
    len: &'a mut usize,
}

impl<T> Vacancy<'_, T> {
    /// Calls no code of the caller.
    #[inline]
    pub(crate) fn insert(self, entry: T) {
        insert_reserved(self.page, self.hash, entry);
        *self.len += 1;
    }
}

/// The bits that pick slots, lowest first.
///
/// Inside a page hashbrown uses the low bits of the hash for the bucket and the top seven as the tag. The
/// route starts above the former and ends with them, so that every bit of a hash can separate two entries.
#[inline]
pub(super) fn route(hash: u64) -> u64 {
    hash.rotate_right(PAGE_BUCKETS_LOG2)
}

const fn page_buckets(entry_bytes: usize) -> usize {
    let mut buckets = 1 << PAGE_BUCKETS_LOG2;
    while buckets > PAGE_BUCKETS_MIN && buckets * entry_bytes > PAGE_BYTES {
        buckets /= 2;
    }
    buckets
}

/// The slots of a directory, copied if shared: `Arc::make_mut`, inlined but for the copy.
#[inline]
pub(super) fn unshare_dir<T>(slots: &mut SlimArc<[Slot<T>; WIDE]>) -> &mut [Slot<T>; WIDE] {
    if !slots.is_unique() {
        copy_dir(slots);
    }
    // No reference can have come up since: this one was the only one.
    SlimArc::make_mut(slots)
}

#[cold]
fn copy_dir<T>(slots: &mut SlimArc<[Slot<T>; WIDE]>) {
    *slots = SlimArc::new((**slots).clone());
}

/// The slot that the hash leads to, a page or vacant; the directories above it are unshared.
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

/// A page is one of the budget, and so is a directory that has only shared ones.
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

/// Inserts into a page that has room.
#[inline]
pub(super) fn insert_reserved<T>(page: &mut HashTable<T>, hash: u64, entry: T) {
    debug_assert!(page.len() < page.capacity(), "no room was made");
    page.insert_unique(hash, entry, |_| unreachable!("room was made, so no entry is hashed again"));
}

/// The two counters in front of what an `Arc` holds.
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
