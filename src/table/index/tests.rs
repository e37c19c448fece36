use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::collection::vec;
use proptest::prelude::*;

use super::chunks::{CHUNK, ChunkVec, Chunks, Items};
use super::{GroupIndex, GroupSet, Index};

/// The groups of a value are the bits set in a byte; some are passed twice.
fn bits(key: &u16, value: &u8, group: &mut dyn FnMut(u8)) {
    for bit in (0..8).filter(|bit| value >> bit & 1 == 1) {
        group(bit);
        if key.is_multiple_of(3) {
            group(bit);
        }
    }
}

type Bits = GroupIndex<u16, u8, u8>;

fn check(index: &Bits, model: &HashMap<u16, u8>) {
    let mut sizes = HashMap::new();
    for bit in 0..8 {
        let expected: HashSet<_> =
            model.iter().filter(|(_, value)| **value >> bit & 1 == 1).map(|(k, _)| *k).collect();
        assert_eq!(index.count(&bit), expected.len());
        assert_eq!(index.keys(&bit).len(), expected.len());
        assert_eq!(index.keys(&bit).copied().collect::<HashSet<_>>(), expected);
        let listed: Vec<_> =
            index.chunks(&bit).inspect(|chunk| assert!(!chunk.is_empty())).flatten().collect();
        assert_eq!(listed, index.keys(&bit).collect::<Vec<_>>());
        assert!(expected.iter().all(|key| index.contains(&bit, key)));
        assert!(model.keys().all(|key| index.contains(&bit, key) == expected.contains(key)));
        if !expected.is_empty() {
            sizes.insert(bit, expected.len());
        }
    }
    assert_eq!(index.groups().map(|(group, count)| (*group, count)).collect::<HashMap<_, _>>(), sizes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The groups equal a recount, including in clones taken before later changes.
    #[test]
    fn groups_are_those_of_a_recount(
        ops in vec((0_u16..1000, 0_u16..400, any::<u8>(), any::<bool>()), 1..20),
    ) {
        let mut index = Bits::new(bits);
        let mut model = HashMap::new();
        let mut kept = Vec::new();
        for (from, len, value, removes) in ops {
            kept.push((index.clone(), model.clone()));
            for key in from..from + len {
                let value = value.rotate_left(u32::from(key % 2));
                match (model.get(&key).copied(), removes) {
                    (None, true) => {}
                    (Some(old), true) => index.remove(&key, &old),
                    (None, false) => index.insert(&key, &value),
                    (Some(old), false) => index.update(&key, &old, &value),
                }
                if removes {
                    model.remove(&key);
                } else {
                    model.insert(key, value);
                }
            }
            check(&index, &model);
        }
        for (index, model) in &kept {
            check(index, model);
        }
    }

    /// A persistent vector equals the `Vec` of the same operations.
    #[test]
    fn a_chunked_vector_is_its_model(ops in vec((any::<u32>(), 0_usize..20_000), 1..8)) {
        let mut items = ChunkVec::from_one(0);
        let mut model = vec![0];
        let mut kept = Vec::new();
        for (seed, target) in ops {
            kept.push((items.clone(), model.clone()));
            let mut random = fastrand::Rng::with_seed(u64::from(seed));
            while model.len() < target {
                let item = random.u32(..);
                items.push(item);
                model.push(item);
            }
            while model.len() > target {
                let index = random.usize(..model.len());
                prop_assert_eq!(items.swap_remove(index), Some(model.swap_remove(index)));
            }
            kept.push((items.clone(), model.clone()));
        }
        for (items, model) in &kept {
            prop_assert_eq!(items.len(), model.len());
            prop_assert!(Items::new(Some(items)).eq(model));
            let mut chunks = Chunks::new(Some(items)).peekable();
            while let Some(chunk) = chunks.next() {
                let is_last = chunks.peek().is_none() && (!chunk.is_empty() || model.is_empty());
                prop_assert!(chunk.len() == CHUNK || is_last);
            }
        }
    }
}

#[test]
fn a_chunked_vector_that_was_emptied_grows_again() {
    let mut items = ChunkVec::from_one(0);
    for last in 0..300 {
        assert_eq!(items.swap_remove(0), Some(last));
        assert_eq!((items.len(), items.swap_remove(0), items.get(0)), (0, None, None));
        items.push(last + 1);
        assert_eq!((items.len(), items.get(0)), (1, Some(&(last + 1))));
    }
    (0..1_000).for_each(|item| items.push(item));
    assert_eq!((items.len(), items.get(1_000)), (1_001, Some(&999)));
}

#[test]
fn a_large_group_lists_each_key_once() {
    let mut set = GroupSet::new();
    for key in 0..40_000_u32 {
        assert!(set.insert("all", &key));
        assert!(!set.insert("all", &key));
    }
    let full = set.clone();
    for key in (0..40_000).step_by(2) {
        assert!(set.remove("all", &key));
        assert!(!set.remove("all", &key));
    }
    let listed: HashSet<_> = set.keys("all").copied().collect();
    assert_eq!((listed.len(), set.count("all")), (20_000, 20_000));
    assert!(listed.iter().all(|key| key % 2 == 1));
    assert_eq!(full.keys("all").copied().collect::<HashSet<_>>().len(), 40_000);
    set.clear();
    assert_eq!((set.count("all"), set.groups().len()), (0, 0));
}

#[test]
fn a_tuple_keeps_each_of_its_indexes() {
    let mut indexes = (Bits::new(bits), (), Bits::new(|_, value, group| group(value / 100)));
    indexes.insert(&1, &130);
    indexes.update(&1, &130, &220);
    indexes.insert(&2, &1);
    Index::<u16, u8>::remove(&mut indexes, &2, &1);
    assert_eq!((indexes.0.count(&1), indexes.0.count(&2), indexes.0.count(&0)), (0, 1, 0));
    assert_eq!((indexes.2.count(&1), indexes.2.count(&2)), (0, 1));
    let retired = indexes.clone();
    indexes.refresh(&retired);
}

thread_local! {
    static UNTIL_PANIC: Cell<u64> = const { Cell::new(u64::MAX) };
}

fn may_panic() {
    let left = UNTIL_PANIC.get();
    UNTIL_PANIC.set(left.saturating_sub(1));
    if left == 0 {
        UNTIL_PANIC.set(u64::MAX);
        std::panic::resume_unwind(Box::new("armed"));
    }
}

/// A key whose code panics when the countdown reaches zero.
#[derive(Debug)]
struct Touchy(u32);

impl Clone for Touchy {
    fn clone(&self) -> Self {
        may_panic();
        Self(self.0)
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        may_panic();
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        may_panic();
        self.0.hash(state);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_panic_in_a_keys_code_has_no_effect(
        ops in vec((any::<bool>(), 0_u32..3, 0_u32..300, proptest::option::of(0_u64..100)), 1..600),
        sizes in (0_u32..300, 0_u32..20),
    ) {
        let mut set = GroupSet::new();
        let mut model = HashSet::new();
        let mut kept = None;
        for (group, size) in [(0, sizes.0), (1, sizes.1)] {
            for key in 0..size {
                set.insert(Touchy(group), &Touchy(key));
                model.insert((group, key));
            }
        }
        for (step, (inserts, group, key, fuse)) in ops.into_iter().enumerate() {
            if step % 64 == 0 {
                kept = Some((set.clone(), model.clone()));
            }
            UNTIL_PANIC.set(fuse.unwrap_or(u64::MAX));
            let done = catch_unwind(AssertUnwindSafe(|| {
                let (group, key) = (Touchy(group), Touchy(key));
                if inserts { set.insert(group, &key) } else { set.remove(&group, &key) }
            }));
            UNTIL_PANIC.set(u64::MAX);
            if let Ok(changed) = done {
                let expected = if inserts { model.insert((group, key)) } else { model.remove(&(group, key)) };
                prop_assert_eq!(changed, expected);
            }
            same(&set, &model);
        }
        if let Some((set, model)) = &kept {
            same(set, model);
        }
    }
}

fn same(set: &GroupSet<Touchy, Touchy>, model: &HashSet<(u32, u32)>) {
    let mut listed = HashSet::new();
    for (group, count) in set.groups() {
        assert_eq!(set.keys(group).count(), count);
        for key in set.keys(group) {
            assert!(set.contains(group, key));
            assert!(listed.insert((group.0, key.0)));
        }
    }
    assert_eq!(listed, *model);
}
