use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::PageMap;
use super::node::Page;
use super::node::{LEVEL_BITS, NARROW, Slot, WIDE, route};
use super::pages::Pages;
use crate::table::diff::{Change, diff};

/// A kilobyte: a page is full with 28 entries, and a test reaches deep trees with few of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Big([u64; 128]);

impl Big {
    fn new(value: u64) -> Self {
        Self([value; 128])
    }
}

/// The hash function of a test.
#[derive(Clone, Copy, Debug)]
enum Hashing {
    Good,
    Identity,
    AllEqual,
    /// Only this bit and the next differ.
    TwoBits(u32),
    /// The key in the top bits.
    Top,
    /// A few hashes, all bits of which differ.
    Few,
}

impl Hashing {
    fn hash(self, key: u64) -> u64 {
        match self {
            Self::Good => mix(key),
            Self::Identity => key,
            Self::AllEqual => 7,
            Self::TwoBits(bit) => (key & 3).rotate_left(bit),
            Self::Top => key.reverse_bits(),
            Self::Few => mix(key % 3),
        }
    }
}

/// The finalizer of splitmix64: a bijection.
fn mix(key: u64) -> u64 {
    let mut bits = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

fn hashings() -> impl Strategy<Value = Hashing> {
    prop_oneof![
        4 => Just(Hashing::Good),
        1 => Just(Hashing::Identity),
        1 => Just(Hashing::AllEqual),
        2 => (0_u32..64).prop_map(Hashing::TwoBits),
        1 => Just(Hashing::Top),
        1 => Just(Hashing::Few),
    ]
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64, u64),
    Update(u64, u64),
    Remove(u64),
    InsertRange(u64, u64),
    RemoveRange(u64, u64),
    Clear,
    Keep,
}

fn ops(keys: u64) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..keys, any::<u64>()).prop_map(|(key, value)| Op::Insert(key, value)),
        4 => (0..keys, any::<u64>()).prop_map(|(key, value)| Op::Update(key, value)),
        6 => (0..keys).prop_map(Op::Remove),
        3 => (0..keys, 0..keys / 2).prop_map(|(from, len)| Op::InsertRange(from, len)),
        2 => (0..keys, 0..keys / 2).prop_map(|(from, len)| Op::RemoveRange(from, len)),
        1 => Just(Op::Clear),
        2 => Just(Op::Keep),
    ];
    vec(op, 1..24)
}

/// A map and its model.
#[derive(Clone)]
struct Pair {
    hashing: Hashing,
    map: PageMap<u64, Big>,
    model: HashMap<u64, u64>,
}

impl Pair {
    fn new(hashing: Hashing) -> Self {
        Self { hashing, map: PageMap::new(), model: HashMap::new() }
    }

    fn insert(&mut self, key: u64, value: u64) {
        let hashing = self.hashing;
        let old = self.map.insert(hashing.hash(key), key, Big::new(value), &|&key| hashing.hash(key));
        assert_eq!(old, self.model.insert(key, value).map(Big::new));
    }

    fn remove(&mut self, key: u64) {
        let hashing = self.hashing;
        let old = self.map.remove(hashing.hash(key), &key, &|&key| hashing.hash(key));
        assert_eq!(old, self.model.remove(&key).map(|value| (key, Big::new(value))));
    }

    fn update(&mut self, key: u64, value: u64) {
        let place = self.map.get_mut(self.hashing.hash(key), &key);
        assert_eq!(place.is_some(), self.model.contains_key(&key));
        if let Some(place) = place {
            *place = Big::new(value);
            self.model.insert(key, value);
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Insert(key, value) => self.insert(key, value),
            Op::Update(key, value) => self.update(key, value),
            Op::Remove(key) => self.remove(key),
            Op::InsertRange(from, len) => (from..from + len).for_each(|key| self.insert(key, from)),
            Op::RemoveRange(from, len) => (from..from + len).for_each(|key| self.remove(key)),
            Op::Clear => {
                self.map.clear();
                self.model.clear();
            }
            Op::Keep => {}
        }
    }

    fn check(&self) {
        assert_eq!(self.map.len(), self.model.len());
        assert_eq!(self.map.iter().len(), self.model.len());
        let entries: HashMap<u64, u64> = self.map.iter().map(|(key, value)| (*key, value.0[0])).collect();
        assert_eq!(entries, self.model);
        for (key, value) in &self.model {
            assert_eq!(self.map.get(self.hashing.hash(*key), key), Some(&Big::new(*value)));
        }
        self.check_many();
        check_shape(self.map.pages(), |(key, _)| self.hashing.hash(*key));
    }
}

impl Pair {
    /// Several keys at a time, some of them absent or the same, and their tags equal with some hashings: equal to one
    /// by one.
    fn check_many(&self) {
        let mut keys: Vec<u64> = self.model.keys().copied().take(200).collect();
        keys.extend((0..40).map(|key| key * 3001));
        keys.extend_from_within(..keys.len().min(3));
        for (len, keys) in (0..=16).cycle().zip(keys.chunks(16)) {
            let keys: Vec<&u64> = keys.iter().take(len).collect();
            let hashes: Vec<u64> = keys.iter().map(|key| self.hashing.hash(**key)).collect();
            let many: [_; 16] = self.map.get_many(&hashes, &keys);
            let single = hashes.iter().zip(&keys).map(|(hash, key)| self.map.get(*hash, *key));
            assert!(many.into_iter().take(keys.len()).eq(single));
            assert!(many[keys.len()..].iter().all(Option::is_none));
        }
    }
}

/// Asserts the invariants of the tree.
fn check_shape<T>(pages: &Pages<T>, hasher: impl Fn(&T) -> u64) {
    let len = check_slot(pages.root(), &mut Vec::new(), &hasher);
    assert_eq!(len, pages.len());
}

/// Checks the subtree of a slot. `path` has the index and the width of each directory above.
fn check_slot<T>(slot: &Slot<T>, path: &mut Vec<(usize, usize)>, hasher: &impl Fn(&T) -> u64) -> usize {
    if let Slot::Page(page) = slot {
        let hashes: Vec<_> = page.iter().map(hasher).collect();
        for &hash in &hashes {
            for (level, &(index, width)) in path.iter().enumerate() {
                let bits = (route(hash) >> (level as u32 * LEVEL_BITS)) as usize % width;
                assert_eq!(bits, index, "an entry out of place");
            }
        }
        if page.len() > Page::<T>::FULL {
            assert!(hashes.iter().all(|&hash| hash == hashes[0]), "a page that should have been split");
        }
        return page.len();
    }
    let Some(slots) = slot.slots() else { return 0 };
    let width = slots.len();
    assert!(path.last().is_none_or(|&(_, above)| above == WIDE), "a directory below a narrow one");
    let sizes: Vec<_> = (0..width)
        .map(|index| {
            path.push((index, width));
            let size = check_slot(&slots[index], path, hasher);
            path.pop();
            size
        })
        .collect();
    if slots.iter().all(|slot| slot.slots().is_none()) {
        let merged = |part| -> usize { sizes[part..].iter().step_by(width / NARROW).sum() };
        let largest = (0..width / NARROW).map(merged).max().unwrap_or(0);
        let slack = NARROW * (Page::<T>::TIDY_STEP - 1);
        assert!(largest + slack >= Page::<T>::MERGED_MAX, "pages that should have been merged");
    }
    sizes.iter().sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// After any operations, a map equals the `HashMap` of the same operations, and earlier clones are
    /// unchanged.
    #[test]
    fn a_map_is_its_model_and_clones_never_change(hashing in hashings(), ops in ops(3000)) {
        let mut pair = Pair::new(hashing);
        let mut kept = Vec::new();
        for op in &ops {
            if matches!(op, Op::Keep) {
                kept.push(pair.clone());
            }
            pair.apply(op);
            pair.check();
        }
        kept.iter().for_each(Pair::check);
    }

    /// The old state plus the changes is the new state, each key changes at most once, and no unchanged key
    /// is reported.
    #[test]
    fn a_diff_is_the_difference_of_the_states(
        hashing in hashings(),
        before in ops(3000),
        after in ops(3000),
        detached in any::<bool>(),
    ) {
        let mut pair = Pair::new(hashing);
        before.iter().for_each(|op| pair.apply(op));
        let old = pair.clone();
        if detached {
            let entries: Vec<_> = old.model.iter().map(|(key, value)| (*key, *value)).collect();
            pair = Pair::new(hashing);
            entries.iter().for_each(|&(key, value)| pair.insert(key, value));
        }
        after.iter().for_each(|op| pair.apply(op));
        check_diff(&old, &pair);
        check_diff(&pair, &old);
        check_diff(&pair, &pair);
        check_diff(&pair, &Pair::new(hashing));
        check_diff(&Pair::new(hashing), &pair);
    }

    /// Two copies make alternate versions, and each first repeats what the other one did: they share no page,
    /// and stamps must not claim more than is true.
    #[test]
    fn a_diff_of_copies_that_take_turns_is_the_difference(
        hashing in hashings(),
        batches in vec((ops(1500), proptest::option::weighted(0.2, ops(1500))), 1..7),
    ) {
        let mut copies = [Pair::new(hashing), Pair::new(hashing)];
        let mut versions = vec![Pair::new(hashing)];
        for (number, (batch, given_up)) in batches.iter().enumerate() {
            let copy = &mut copies[number % 2];
            for (earlier, (batch, _)) in batches.iter().enumerate().take(number).skip(number.saturating_sub(1)) {
                copy.map.set_stamp(earlier as u64 + 1);
                batch.iter().for_each(|op| copy.apply(op));
            }
            let stamp = number as u64 + 1;
            if let Some(given_up) = given_up {
                let mut staged = copy.clone();
                staged.map.set_stamp(stamp);
                given_up.iter().for_each(|op| staged.apply(op));
            }
            copy.map.set_stamp(stamp);
            batch.iter().for_each(|op| copy.apply(op));
            versions.push(copy.clone());
        }
        for old in &versions {
            versions.iter().for_each(|new| check_diff(old, new));
        }
    }
}

fn check_diff(old: &Pair, new: &Pair) {
    let hashing = old.hashing;
    let mut expected = new.model.clone();
    let mut state = old.model.clone();
    for change in diff(&old.map, &new.map, |key| hashing.hash(*key)) {
        let (key, before, after) = match change {
            Change::Inserted { key, new } => (key, None, Some(new.0[0])),
            Change::Updated { key, old, new } => (key, Some(old.0[0]), Some(new.0[0])),
            Change::Removed { key, old } => (key, Some(old.0[0]), None),
        };
        assert_ne!(before, after);
        assert_eq!(before, old.model.get(key).copied());
        assert_eq!(after, new.model.get(key).copied());
        // A key that is reported twice would not have its old value.
        assert_eq!(before, state.remove(key));
        if let Some(after) = after {
            assert_eq!(expected.remove(key), Some(after));
        }
    }
    assert_eq!(state, expected, "a change was not reported");
}

/// Equal stamps say nothing about two pages that are not for the same hashes.
#[test]
fn a_diff_of_copies_of_two_shapes_is_the_difference() {
    let shapes = [1, 8, 100].map(|pages| pages * Page::<(u64, Big)>::FULL - 1);
    let copies = shapes.map(|capacity| {
        let mut copy = Pair::new(Hashing::Good);
        copy.map = PageMap::with_capacity(capacity);
        copy.map.set_stamp(1);
        (0..25).for_each(|key| copy.insert(key, key));
        copy
    });
    for old in &copies {
        for (copy, key) in copies.iter().flat_map(|copy| (0..25).map(move |key| (copy, key))) {
            let mut new = copy.clone();
            new.map.set_stamp(2);
            new.update(key, 100);
            check_diff(old, &new);
            check_diff(&new, old);
        }
    }
}

#[test]
fn growth_and_shrinking_keep_the_shape() {
    let hasher = |key: &u32| mix(u64::from(*key));
    let mut map = PageMap::new();
    for key in 0..100_000_u32 {
        assert_eq!(map.insert(hasher(&key), key, key, &hasher), None);
        if key % 9_973 == 0 {
            check_shape(map.pages(), |(key, _)| hasher(key));
        }
    }
    let full = map.clone();
    assert!(map.stats().pages >= 100_000 / Page::<(u32, u32)>::FULL);
    for key in 0..100_000 {
        assert_eq!(map.remove(hasher(&key), &key, &hasher), Some((key, key)));
        if key % 9_973 == 0 {
            check_shape(map.pages(), |(key, _)| hasher(key));
        }
    }
    assert!(map.is_empty());
    assert_eq!(map.stats().pages, 1, "an empty map keeps one page at most");
    assert!((0..100_000).all(|key| full.get(hasher(&key), &key) == Some(&key)));
    check_shape(full.pages(), |(key, _)| hasher(key));
}

/// A hasher that contradicts itself makes entries impossible to find, and does no other harm.
#[test]
fn a_wrong_hasher_loses_no_entry_and_always_ends() {
    let calls = Cell::new(0);
    let random = |_: &u64| {
        calls.set(calls.get() + 1);
        mix(calls.get())
    };
    let hashers: [&dyn Fn(&u64) -> u64; 3] = [&random, &|_| 8, &|key| key % 2];
    for hasher in hashers {
        for hash in [7, u64::MAX] {
            let mut map = PageMap::new();
            let mut removed = 0;
            for key in 0..3000_u64 {
                assert_eq!(map.insert(hash, key, Big::new(key), &hasher), None);
                if key % 3 == 0 {
                    removed += usize::from(map.remove(hash, &key, &hasher).is_some());
                }
            }
            assert_eq!(map.len(), 3000 - removed);
            assert_eq!(map.iter().count(), map.len());
        }
    }
}

#[test]
fn a_capacity_is_only_a_hint() {
    for capacity in [0, 1, 20, 28, 29, 200, 5000] {
        let mut pair = Pair::new(Hashing::Good);
        pair.map = PageMap::with_capacity(capacity);
        assert!(pair.map.is_empty());
        (0..300).for_each(|key| pair.insert(key, key));
        assert_eq!(pair.map.iter().len(), 300);
        (0..300).for_each(|key| pair.remove(key));
        pair.check();
    }
}

#[test]
fn a_write_copies_one_path_if_shared_and_nothing_if_not() {
    let hasher = |key: &u32| mix(u64::from(*key));
    let mut map = PageMap::new();
    for key in 0..50_000_u32 {
        map.insert(hasher(&key), key, 0, &hasher);
    }
    let pages = |map: &PageMap<u32, u32>| {
        let mut addresses = Vec::new();
        let mut todo = vec![map.pages().root().clone()];
        while let Some(slot) = todo.pop() {
            todo.extend(slot.slots().into_iter().flatten().cloned());
            if let Slot::Page(page) = slot {
                addresses.push(&raw const *page as usize);
            }
        }
        addresses
    };
    let before = pages(&map);
    *map.get_mut(hasher(&7), &7).unwrap() += 1;
    assert_eq!(pages(&map), before);
    let clone = map.clone();
    assert_eq!(map.get_mut(hasher(&70_000), &70_000), None);
    assert_eq!(map.remove(hasher(&70_000), &70_000, &hasher), None);
    assert_eq!(pages(&map), before, "a miss copied something");
    *map.get_mut(hasher(&7), &7).unwrap() += 1;
    let copied = pages(&map).iter().zip(&before).filter(|(new, old)| new != old).count();
    assert_eq!(copied, 1);
    assert_eq!((clone.get(hasher(&7), &7), map.get(hasher(&7), &7)), (Some(&1), Some(&2)));
    assert_eq!(diff(&clone, &map, hasher).count(), 1);
}

thread_local! {
    static UNTIL_PANIC: Cell<u64> = const { Cell::new(u64::MAX) };
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

fn may_panic() {
    let left = UNTIL_PANIC.get();
    if left == 0 {
        UNTIL_PANIC.set(u64::MAX);
        PANICS.set(PANICS.get() + 1);
        std::panic::resume_unwind(Box::new("armed"));
    }
    if left != u64::MAX {
        UNTIL_PANIC.set(left - 1);
    }
}

/// A key or value whose code panics when the countdown reaches zero, and whose instances are counted.
#[derive(Debug)]
struct Touchy {
    value: u64,
    alive: Rc<Cell<usize>>,
    /// Makes 28 entries a full page.
    _padding: [u64; 60],
}

impl Touchy {
    fn new(value: u64, alive: &Rc<Cell<usize>>) -> Self {
        alive.set(alive.get() + 1);
        Self { value, alive: Rc::clone(alive), _padding: [0; 60] }
    }
}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        may_panic();
        Self::new(self.value, &self.alive)
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        may_panic();
        self.value == other.value
    }
}

impl Eq for Touchy {}

impl Drop for Touchy {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// An operation in which `Eq`, `Clone` or the hasher panics has no effect; nothing leaks and nothing is
    /// dropped twice.
    #[test]
    fn a_panic_in_the_callers_code_loses_nothing(
        hashing in hashings(),
        len in 0_u64..500,
        ops in vec((0_u8..8, 0_u64..700, proptest::option::of(0_u64..200)), 1..400),
    ) {
        let alive = Rc::new(Cell::new(0));
        {
            let mut map = PageMap::<Touchy, Touchy>::new();
            let mut model = HashMap::new();
            let mut kept: Option<(PageMap<Touchy, Touchy>, HashMap<u64, u64>)> = None;
            let hasher = |key: &Touchy| {
                may_panic();
                hashing.hash(key.value)
            };
            for key in 0..len {
                map.insert(hashing.hash(key), Touchy::new(key, &alive), Touchy::new(key, &alive), &hasher);
                model.insert(key, key);
            }
            for (kind, key, fuse) in ops {
                let hash = hashing.hash(key);
                let touchy = Touchy::new(key, &alive);
                UNTIL_PANIC.set(fuse.unwrap_or(u64::MAX));
                let done = catch_unwind(AssertUnwindSafe(|| match kind {
                    0..3 => drop(map.insert(hash, touchy.clone(), Touchy::new(key + 1, &alive), &hasher)),
                    3..6 => drop(map.remove(hash, &touchy, &hasher)),
                    6 => {
                        if let Some(value) = map.get_mut(hash, &touchy) {
                            value.value = key + 2;
                        }
                    }
                    _ => {}
                }));
                UNTIL_PANIC.set(u64::MAX);
                match (done.is_ok(), kind) {
                    (false, _) => {}
                    (true, 0..3) => drop(model.insert(key, key + 1)),
                    (true, 3..6) => drop(model.remove(&key)),
                    (true, 6) => drop(model.get_mut(&key).map(|value| *value = key + 2)),
                    _ => kept = Some((map.clone(), model.clone())),
                }
                same(&map, &model);
            }
            if let Some((map, model)) = &kept {
                same(map, model);
            }
        }
        prop_assert_eq!(alive.get(), 0);
    }
}

fn same(map: &PageMap<Touchy, Touchy>, model: &HashMap<u64, u64>) {
    assert_eq!(map.len(), model.len());
    let mut count = 0;
    for (key, value) in map.iter() {
        assert_eq!(model.get(&key.value), Some(&value.value));
        count += 1;
    }
    assert_eq!(count, model.len());
}

/// Runs the operation with every fuse, from the shortest one until it succeeds; before that it must have no
/// effect.
fn until_it_survives<R>(
    map: &mut PageMap<Touchy, Touchy>,
    model: &HashMap<u64, u64>,
    held: bool,
    mut operation: impl FnMut(&mut PageMap<Touchy, Touchy>) -> R,
) -> R {
    for fuse in 0.. {
        let clone = held.then(|| map.clone());
        UNTIL_PANIC.set(fuse);
        let done = catch_unwind(AssertUnwindSafe(|| operation(map)));
        UNTIL_PANIC.set(u64::MAX);
        clone.iter().for_each(|clone| same(clone, model));
        if let Ok(result) = done {
            return result;
        }
        same(map, model);
    }
    unreachable!("a fuse longer than the operation")
}

/// At every point where the caller's code runs in an insertion or a removal, including those that split and
/// merge pages, a panic has no effect.
#[test]
fn every_step_of_a_split_and_of_a_merge_may_panic() {
    let alive = Rc::new(Cell::new(0));
    let full = Page::<(Touchy, Touchy)>::FULL as u64;
    assert_eq!(full, 28);
    let keys = full * NARROW as u64 + 20;
    let hasher = |key: &Touchy| {
        may_panic();
        mix(key.value)
    };
    for held in [false, true] {
        let mut map = PageMap::new();
        let mut model = HashMap::new();
        let mut pages_max = 0;
        let before = PANICS.get();
        for key in 0..keys {
            let old = until_it_survives(&mut map, &model, held, |map| {
                map.insert(mix(key), Touchy::new(key, &alive), Touchy::new(key, &alive), &hasher)
            });
            assert!(old.is_none());
            model.insert(key, key);
            pages_max = pages_max.max(map.stats().pages);
        }
        assert!(pages_max > NARROW, "both kinds of split");
        for key in 0..keys {
            let wanted = Touchy::new(key, &alive);
            let old = until_it_survives(&mut map, &model, held, |map| map.remove(mix(key), &wanted, &hasher));
            assert!(old.is_some());
            model.remove(&key);
        }
        assert_eq!(map.stats().pages, 1, "both kinds of merge");
        assert!(PANICS.get() - before > keys);
    }
    assert_eq!(alive.get(), 0);
}
