//! The nodes of the tree: pages and directories, and the route of a hash through them.

use std::ops::Deref;

use hashbrown::HashTable;

use crate::sync::SlimArc;

/// Slots of a narrow directory, and the factor by which pages and directories split.
///
/// Steps of eight keep the largest move at eight pages. A copy-on-write update copies one wide directory per
/// level, which increments and later decrements one count per slot; wider directories would save a level, and
/// were not tried because of that cost.
pub(super) const NARROW: usize = 8;

/// Slots of a wide directory.
pub(super) const WIDE: usize = NARROW * NARROW;

/// Bits of the route per level.
pub(super) const LEVEL_BITS: u32 = WIDE.ilog2();

/// Levels of directories that use up the 64 bits of a hash.
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
/// The last column, one update per version, is relative to 512 buckets. Two runs on a busy machine with two
/// cores: differences below 0.2 are not significant, and at 100k and 1M neither are those below 0.4. Small
/// pages lose because a million entries then need a third level.
const PAGE_BUCKETS_LOG2: u32 = 9;

/// Upper bound of the entries' memory in a page. Large entries get pages of fewer buckets.
const PAGE_BYTES: usize = 32 * 1024;

/// Buckets of the largest page of entries too large for the bound above.
const PAGE_BUCKETS_MIN: usize = 16;

/// The version of a page: its entries are those that the version with this number had in this position of the
/// tree. Two pages with the same stamp, in the same position of two versions, therefore have equal entries,
/// even if they are copies that were brought there independently.
///
/// Everything that may change a page stamps it with the version in progress, so a page never claims to be
/// older than it is. The number of a discarded version may be reused, but none of its pages is.
pub(in crate::table) type Stamp = u64;

/// The stamp of a page whose version is unknown: equal to no stamp.
pub(super) const UNKNOWN: Stamp = 0;

/// A page. The stamp comes last: a lookup does not read it.
#[derive(Clone)]
pub(in crate::table) struct Page<T> {
    pub(super) table: HashTable<T>,
    stamp: Stamp,
}

impl<T> Page<T> {
    /// Entries of a full page.
    pub(super) const FULL: usize = page_buckets(size_of::<T>()) / 8 * 7;
    /// A page without room splits if it has at least this many entries, and otherwise gets a larger table. A
    /// page with fewer than [`FULL`](Self::FULL) entries is without room when removals have left tombstones.
    pub(super) const SPLIT_MIN: usize = Self::FULL / 4 * 3;
    /// Maximum number of entries of a page made by merging: half of what splits it again.
    pub(super) const MERGED_MAX: usize = Self::FULL / 2;
    /// Number of entries that a page loses between two searches, by removals, for pages to merge.
    pub(super) const TIDY_STEP: usize = if Self::FULL < 112 { 1 } else { Self::FULL / 56 };

    pub(super) fn new(table: HashTable<T>, stamp: Stamp) -> Self {
        Self { table, stamp }
    }

    /// Returns the entries, to be changed in the version of this number.
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

/// A slot of the tree, found by a route. 16 bytes: the width of a directory is read together with the pointer
/// to it.
pub(in crate::table) enum Slot<T> {
    /// No entries yet.
    Vacant,
    Page(SlimArc<Page<T>>),
    /// A narrow directory uses the first slots of its array, and the others are vacant: a lookup can thus
    /// treat both widths alike. This costs at most a kilobyte for each [`Page::FULL`] entries.
    Dir(Width, SlimArc<[Slot<T>; WIDE]>),
}

/// Number of used slots of a directory, less one: the mask of the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::table) enum Width {
    Narrow = NARROW as u8 - 1,
    Wide = WIDE as u8 - 1,
}

impl Width {
    /// Returns the index that a route leads to.
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
    /// Returns the used slots of a directory.
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

    /// Whether both, in the same position of two versions, are known to be pages with equal entries.
    pub(in crate::table) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Page(one), Self::Page(other)) => one.stamp == other.stamp && one.stamp != UNKNOWN,
            _ => false,
        }
    }
}

/// Returns the bits that select slots, lowest first.
///
/// Inside a page, hashbrown uses the low bits of the hash for the bucket and the top seven as the tag. The
/// route starts above the former and ends with them, so every bit of a hash can separate two entries.
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

/// Returns the slots of a directory, copied if shared: `Arc::make_mut`, with everything but the copy inlined.
#[inline]
pub(super) fn unshare_dir<T>(slots: &mut SlimArc<[Slot<T>; WIDE]>) -> &mut [Slot<T>; WIDE] {
    if !slots.is_unique() {
        copy_dir(slots);
    }
    // No reference can have been created since: this one was the only one.
    SlimArc::make_mut(slots)
}

#[cold]
fn copy_dir<T>(slots: &mut SlimArc<[Slot<T>; WIDE]>) {
    *slots = SlimArc::new((**slots).clone());
}

/// Inserts into a page that has room.
#[inline]
pub(super) fn insert_reserved<T>(page: &mut HashTable<T>, hash: u64, entry: T) {
    debug_assert!(page.len() < page.capacity(), "no room was made");
    page.insert_unique(hash, entry, |_| unreachable!("room was made, so no entry is hashed again"));
}
