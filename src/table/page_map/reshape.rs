//! Splitting, merging and resizing of pages.
//!
//! Each function leaves the contents of the tree as they are, and calls the caller's code (`Clone`, the
//! hasher) before it moves anything.

use std::{array, mem};

use hashbrown::HashTable;

use crate::sync::SlimArc;

use super::node::{LEVEL_BITS, NARROW, Page, Slot, Stamp, WIDE, Width, insert_reserved, route, unshare_dir};
/// Returns the page for the entry, unshared together with its path; if there is no such entry, the page has
/// room for it.
///
/// Unless all its entries have the same hash, no page gets more than [`Page::FULL`] entries.
#[inline]
pub(super) fn page_with_room<'a, T: Clone>(
    mut slot: &'a mut Slot<T>,
    hash: u64,
    eq: &impl Fn(&T) -> bool,
    hasher: &impl Fn(&T) -> u64,
    stamp: Stamp,
) -> &'a mut HashTable<T> {
    let mut route_left = route(hash);
    let mut bits_used = 0;
    loop {
        let leaf = match &*slot {
            Slot::Dir(Width::Narrow, slots) => &slots[Width::Narrow.index(route_left)],
            other => other,
        };
        // Two different hashes differ before the bits run out: the check only stops a hasher that contradicts
        // itself.
        if let Slot::Page(page) = leaf
            && is_full(page)
            && bits_used < u64::BITS
            && must_split(page, hash, eq, hasher)
        {
            split(slot, bits_used, hasher, stamp);
            continue;
        }
        slot = match slot {
            Slot::Dir(width, slots) => &mut unshare_dir(slots)[width.index(route_left)],
            Slot::Vacant | Slot::Page(_) => break,
        };
        route_left >>= LEVEL_BITS;
        bits_used += LEVEL_BITS;
    }
    if let Slot::Vacant = slot {
        *slot = Slot::Page(new_page(0, stamp));
    }
    let Slot::Page(page) = slot else { unreachable!("the walk ends at a page") };
    if page.len() == page.capacity() && page.find(hash, eq).is_none() {
        resize(page, page.len() + page.len() / 4 + 1, hasher, stamp);
    }
    unshare(page, stamp)
}

#[inline]
fn is_full<T>(page: &HashTable<T>) -> bool {
    page.len() >= page.capacity().min(Page::<T>::FULL)
}

/// Whether a full page has to be split for a new entry with this hash, and can be.
#[cold]
fn must_split<T>(
    page: &HashTable<T>,
    hash: u64,
    eq: &impl Fn(&T) -> bool,
    hasher: &impl Fn(&T) -> u64,
) -> bool {
    if page.len() < Page::<T>::SPLIT_MIN || page.find(hash, eq).is_some() {
        return false;
    }
    // A page beyond the bound has entries with one hash only, so checking one of them is enough.
    let looked_at = if page.len() > Page::<T>::FULL { 1 } else { page.len() };
    page.iter().take(looked_at).any(|entry| hasher(entry) != hash)
}

/// Splits a page into eight, or eight pages into sixty-four. `bits_used` is the start of the slot's level in
/// the route.
fn split<T: Clone>(slot: &mut Slot<T>, bits_used: u32, hasher: &impl Fn(&T) -> u64, stamp: Stamp) {
    match slot {
        Slot::Page(page) => {
            let hashes = hashes(unshare(page, stamp), hasher);
            let mut slots = [const { Slot::Vacant }; WIDE];
            for (slot, part) in slots.iter_mut().zip(scatter(page, &hashes, bits_used, stamp)) {
                *slot = part;
            }
            *slot = Slot::Dir(Width::Narrow, SlimArc::new(slots));
        }
        Slot::Dir(width @ Width::Narrow, slots) => {
            let slots = SlimArc::make_mut(slots);
            let hashes: [_; NARROW] = array::from_fn(|low| unshare_and_hash(&mut slots[low], hasher, stamp));
            for (low, hashes) in hashes.iter().enumerate() {
                let Slot::Page(page) = &mut slots[low] else { continue };
                let parts = scatter(page, hashes, bits_used + NARROW.ilog2(), stamp);
                for (high, part) in parts.into_iter().enumerate() {
                    slots[low + high * NARROW] = part;
                }
            }
            *width = Width::Wide;
        }
        Slot::Vacant | Slot::Dir(Width::Wide, _) => {}
    }
}

/// Moves the entries of an unshared page to eight pages, by the three bits of the route starting at `shift`.
fn scatter<T: Clone>(
    page: &mut SlimArc<Page<T>>,
    hashes: &[u64],
    shift: u32,
    stamp: Stamp,
) -> [Slot<T>; NARROW] {
    let part_of = |hash| (route(hash) >> shift) as usize % NARROW;
    let mut counts = [0; NARROW];
    hashes.iter().for_each(|&hash| counts[part_of(hash)] += 1);
    let mut parts = counts.map(|count| new_page(count, stamp));
    let tables = parts.each_mut().map(|part| unshare(part, stamp));
    for (entry, &hash) in unshare(page, stamp).drain().zip(hashes) {
        insert_reserved(tables[part_of(hash)], hash, entry);
    }
    parts.map(|part| if part.is_empty() { Slot::Vacant } else { Slot::Page(part) })
}

/// Merges sparse pages along the route, from the bottom up, and shrinks the page if it is mostly empty.
#[cold]
pub(super) fn tidy<T: Clone>(slot: &mut Slot<T>, route: u64, hasher: &impl Fn(&T) -> u64, stamp: Stamp) {
    if let Slot::Dir(width @ Width::Wide, slots) = slot {
        let child = &mut SlimArc::make_mut(slots)[width.index(route)];
        tidy(child, route >> LEVEL_BITS, hasher, stamp);
    }
    while merge(slot, hasher, stamp) {}
    if let Slot::Page(page) = slot
        && page.len() * 8 <= page.num_buckets()
        && page.num_buckets() > 16
    {
        resize(page, page.len() * 2, hasher, stamp);
    }
}

/// Merges sixty-four pages into eight, or eight pages into one, if none of the new ones gets more than
/// [`Page::MERGED_MAX`] entries.
fn merge<T: Clone>(slot: &mut Slot<T>, hasher: &impl Fn(&T) -> u64, stamp: Stamp) -> bool {
    let Slot::Dir(width, slots) = slot else { return false };
    let parts = if *width == Width::Wide { NARROW } else { 1 };
    if !is_sparse(&slots[..], parts) {
        return false;
    }
    let slots = SlimArc::make_mut(slots);
    let hashes: Vec<_> = slots.iter_mut().map(|slot| unshare_and_hash(slot, hasher, stamp)).collect();
    (0..parts).for_each(|part| gather(slots, &hashes, part, parts, stamp));
    if *width == Width::Wide {
        *width = Width::Narrow;
    } else {
        *slot = mem::replace(&mut slots[0], Slot::Vacant);
    }
    true
}

/// Whether the slots of each part hold few enough entries for one page.
fn is_sparse<T>(slots: &[Slot<T>], parts: usize) -> bool {
    (0..parts).all(|part| {
        let mut sum = 0;
        slots[part..].iter().step_by(parts).all(|slot| {
            sum += match slot {
                Slot::Vacant => 0,
                Slot::Page(page) => page.len(),
                Slot::Dir(..) => return false,
            };
            sum <= Page::<T>::MERGED_MAX
        })
    })
}

/// Moves the entries of a part, slots `part`, `part + parts` and so on, to a page in the first of them.
fn gather<T: Clone>(
    slots: &mut [Slot<T>; WIDE],
    hashes: &[Vec<u64>],
    part: usize,
    parts: usize,
    stamp: Stamp,
) {
    let count = hashes[part..].iter().step_by(parts).map(Vec::len).sum();
    let mut merged = new_page(count, stamp);
    let table = unshare(&mut merged, stamp);
    for index in (part..WIDE).step_by(parts) {
        if let Slot::Page(mut page) = mem::replace(&mut slots[index], Slot::Vacant) {
            for (entry, &hash) in unshare(&mut page, stamp).drain().zip(&hashes[index]) {
                insert_reserved(table, hash, entry);
            }
        }
    }
    if count > 0 {
        slots[part] = Slot::Page(merged);
    }
}

/// Prepares a page to be moved from: after this, taking its entries calls no code of the caller.
fn unshare_and_hash<T: Clone>(slot: &mut Slot<T>, hasher: &impl Fn(&T) -> u64, stamp: Stamp) -> Vec<u64> {
    match slot {
        Slot::Page(page) => hashes(unshare(page, stamp), hasher),
        _ => Vec::new(),
    }
}

/// Returns the hashes of the entries, in the order of `iter` and of `drain`, which is that of the buckets.
fn hashes<T>(page: &HashTable<T>, hasher: &impl Fn(&T) -> u64) -> Vec<u64> {
    page.iter().map(hasher).collect()
}

/// Moves the entries to a page of the given capacity.
///
/// Used instead of `HashTable::reserve`, which loses entries when the hasher panics during a rehash in place.
#[cold]
fn resize<T: Clone>(page: &mut SlimArc<Page<T>>, capacity: usize, hasher: &impl Fn(&T) -> u64, stamp: Stamp) {
    let hashes = hashes(unshare(page, stamp), hasher);
    let mut resized = new_page(capacity, stamp);
    let table = unshare(&mut resized, stamp);
    for (entry, hash) in unshare(page, stamp).drain().zip(hashes) {
        insert_reserved(table, hash, entry);
    }
    *page = resized;
}

/// Creates an empty page. It is allocated right after its table, so that an allocator may place it behind the
/// control bytes, which a lookup reads next. No effect of this has been shown.
fn new_page<T>(capacity: usize, stamp: Stamp) -> SlimArc<Page<T>> {
    let table = HashTable::with_capacity(capacity);
    SlimArc::new(Page::new(table, stamp))
}

/// Returns the table of a page, copied if shared, and stamped because it will be changed: `Arc::make_mut`,
/// except that the page is allocated after its table.
#[inline]
pub(super) fn unshare<T: Clone>(page: &mut SlimArc<Page<T>>, stamp: Stamp) -> &mut HashTable<T> {
    if !page.is_unique() {
        copy(page);
    }
    // No reference can have been created since: this one was the only one.
    SlimArc::make_mut(page).table_mut(stamp)
}

#[cold]
fn copy<T: Clone>(page: &mut SlimArc<Page<T>>) {
    let copy = Page::clone(page);
    *page = SlimArc::new(copy);
}
