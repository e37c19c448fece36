//! A panic in user code, wherever it is called, loses nothing and corrupts nothing.
#![allow(clippy::unwrap_used)] // Tests.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::collection::vec;
use proptest::prelude::*;
use switchboard::table::{GroupIndex, Index};
use switchboard::{Snapshot, Table, Writer};

thread_local! {
    /// Number of calls of user code until one panics; `None` for no panic.
    static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
    /// Whether only one call panics.
    static ONCE: Cell<bool> = const { Cell::new(true) };
}

fn burn() {
    let Some(left) = FUSE.get() else { return };
    if left > 0 {
        return FUSE.set(Some(left - 1));
    }
    if ONCE.get() {
        FUSE.set(None);
    }
    // Does not call the panic hook, so nothing is printed.
    resume_unwind(Box::new("user code that panics"));
}

/// Runs `act` with a fuse, and returns whether it panicked.
fn panics<R>(fuse: u32, act: impl FnOnce() -> R) -> bool {
    FUSE.set(Some(fuse));
    let result = catch_unwind(AssertUnwindSafe(act));
    FUSE.set(None);
    result.is_err()
}

#[derive(Debug)]
struct Touchy(u64);

impl Clone for Touchy {
    fn clone(&self) -> Self {
        burn();
        Self(self.0)
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

/// Hashes to the number itself, or everything to the same hash.
#[derive(Clone, Copy, Debug)]
enum Hashing {
    Plain,
    Same,
}

struct Number(Hashing, u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        match self.0 {
            Hashing::Plain => self.1.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            Hashing::Same => u64::MAX,
        }
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        self.1 = number;
    }
}

impl BuildHasher for Hashing {
    type Hasher = Number;

    fn build_hasher(&self) -> Number {
        Number(*self, 0)
    }
}

/// Two sums that belong together, with user code called between their changes, and a word that does not
/// derive from entries.
#[derive(Clone, Debug, Default)]
struct Sums {
    keys: u64,
    values: u64,
    word: u64,
}

impl Index<Touchy, Touchy> for Sums {
    fn insert(&mut self, key: &Touchy, value: &Touchy) {
        burn();
        self.keys += key.0;
        burn();
        self.values += value.0;
        burn();
    }

    fn remove(&mut self, key: &Touchy, old: &Touchy) {
        burn();
        self.keys -= key.0;
        burn();
        self.values -= old.0;
        burn();
    }

    fn refresh(&mut self, newest: &Self) {
        burn();
        self.word = newest.word;
        burn();
    }
}

fn groups_of(key: &Touchy, value: &Touchy, group: &mut dyn FnMut(u8)) {
    for of in groups(key.0, value.0) {
        burn();
        group(of);
    }
}

/// One to three groups.
fn groups(key: u64, value: u64) -> BTreeSet<u8> {
    [key % 3, 3 + value % 2, 3 + value % 5].map(|group| group as u8).into()
}

type Groups = GroupIndex<Touchy, Touchy, u8>;
type Indexes = (Groups, Sums);
type Entries = BTreeMap<u64, u64>;

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: Entries,
    word: u64,
}

fn entries<'a>(of: impl Iterator<Item = (&'a Touchy, &'a Touchy)>) -> Entries {
    of.map(|(key, value)| (key.0, value.0)).collect()
}

/// Checks that each index equals a recount.
fn check_indexes((by_group, sums): &Indexes, model: &Model) {
    let mut recount: BTreeMap<u8, BTreeSet<u64>> = BTreeMap::new();
    for (key, value) in &model.entries {
        for group in groups(*key, *value) {
            recount.entry(group).or_default().insert(*key);
        }
    }
    let listed: BTreeMap<u8, BTreeSet<u64>> = by_group
        .groups()
        .map(|(group, _)| (*group, by_group.keys(group).map(|key| key.0).collect()))
        .collect();
    assert_eq!(listed, recount);
    for (group, count) in by_group.groups() {
        assert_eq!(count, recount[group].len());
        assert!(recount[group].iter().all(|key| by_group.contains(group, &Touchy(*key))));
    }
    assert_eq!(sums.keys, model.entries.keys().sum::<u64>());
    assert_eq!(sums.values, model.entries.values().sum::<u64>());
    assert_eq!(sums.word, model.word);
}

type TouchyWriter = Writer<Touchy, Touchy, Indexes, Hashing>;

fn check_staged(writer: &TouchyWriter, model: &Model) {
    assert_eq!(entries(writer.iter()), model.entries);
    assert_eq!(writer.len(), model.entries.len());
    assert!(model.entries.iter().all(|(key, value)| writer.get(&Touchy(*key)).unwrap().0 == *value));
    check_indexes(writer.index(), model);
}

type Held = (Snapshot<Touchy, Touchy, Indexes, Hashing>, Model);

fn check_held((snapshot, model): &Held) {
    assert_eq!(entries(snapshot.iter()), model.entries);
    assert!(model.entries.iter().all(|(key, value)| snapshot.get(&Touchy(*key)).unwrap().0 == *value));
    check_indexes(snapshot.index(), model);
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64, u64),
    Update(u64, u64),
    Remove(u64),
    Upsert(u64, u64),
    InsertIfAbsent(u64, u64),
    Clear,
    Touch(u64),
    Publish,
    Hold,
    Release,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..24_u64;
    prop_oneof![
        6 => (key.clone(), 0..100_u64).prop_map(|(key, value)| Op::Insert(key, value)),
        4 => (key.clone(), 0..100_u64).prop_map(|(key, value)| Op::Update(key, value)),
        4 => key.clone().prop_map(Op::Remove),
        2 => (key.clone(), 0..100_u64).prop_map(|(key, value)| Op::Upsert(key, value)),
        2 => (key.clone(), 0..100_u64).prop_map(|(key, value)| Op::InsertIfAbsent(key, value)),
        1 => Just(Op::Clear),
        1 => any::<u64>().prop_map(Op::Touch),
        3 => Just(Op::Publish),
        1 => Just(Op::Hold),
        1 => Just(Op::Release),
    ]
}

fn apply(writer: &mut TouchyWriter, op: &Op) {
    match op {
        Op::Insert(key, value) => drop(writer.insert(Touchy(*key), Touchy(*value))),
        Op::Update(key, value) => drop(writer.update(&Touchy(*key), |old| old.0 = *value)),
        Op::Remove(key) => drop(writer.remove(&Touchy(*key))),
        Op::Upsert(key, value) => {
            writer.upsert(Touchy(*key), |old| Touchy(old.map_or(0, |old| old.0) + value));
        }
        Op::InsertIfAbsent(key, value) => drop(writer.insert_if_absent(Touchy(*key), || Touchy(*value))),
        Op::Clear => writer.clear(),
        Op::Touch(word) => writer.index_mut().1.word = *word,
        Op::Publish => drop(writer.publish()),
        Op::Hold | Op::Release => {}
    }
}

fn apply_to_model(model: &mut Model, op: &Op) {
    match op {
        Op::Insert(key, value) => drop(model.entries.insert(*key, *value)),
        Op::Update(key, value) => drop(model.entries.get_mut(key).map(|old| *old = *value)),
        Op::Remove(key) => drop(model.entries.remove(key)),
        Op::Upsert(key, value) => *model.entries.entry(*key).or_default() += value,
        Op::InsertIfAbsent(key, value) => drop(model.entries.entry(*key).or_insert(*value)),
        Op::Clear => model.entries.clear(),
        Op::Touch(word) => model.word = *word,
        Op::Publish | Op::Hold | Op::Release => {}
    }
}

/// Runs each operation with a fuse. The model skips operations that panicked.
fn run(ops: Vec<(Op, u32)>, hashing: Hashing, recycles: bool, filled: u64) {
    let (mut writer, table) = Table::<Touchy, Touchy>::builder()
        .hasher(hashing)
        .index((Groups::new(groups_of), Sums::default()))
        .recycle(recycles)
        .build();
    let (mut model, mut published) = (Model::default(), Model::default());
    for key in 100..100 + filled {
        apply(&mut writer, &Op::Insert(key, key));
        apply_to_model(&mut model, &Op::Insert(key, key));
    }
    let mut held: Vec<Held> = Vec::new();
    for (op, fuse) in ops {
        match op {
            Op::Hold => held.push((table.snapshot(), published.clone())),
            Op::Release => drop(held.pop().as_ref().map(check_held)),
            _ => {}
        }
        let had_staged = writer.has_staged();
        if panics(fuse, || apply(&mut writer, &op)) {
            assert_eq!(writer.has_staged(), had_staged);
        } else {
            apply_to_model(&mut model, &op);
            if let Op::Publish = op {
                published = model.clone();
            }
        }
        check_staged(&writer, &model);
        check_held(&(table.snapshot(), published.clone()));
    }
    writer.publish();
    held.push((table.snapshot(), model));
    held.iter().for_each(check_held);
}

fn fused() -> impl Strategy<Value = Vec<(Op, u32)>> {
    // Most operations make fewer calls than this.
    vec((op(), 0..40_u32), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_panic_anywhere_skips_one_operation(ops in fused(), recycles: bool) {
        run(ops, Hashing::Plain, recycles, 0);
    }

    #[test]
    fn a_panic_anywhere_skips_one_operation_when_all_hashes_are_one(ops in fused(), recycles: bool) {
        run(ops, Hashing::Same, recycles, 0);
    }
}

/// Runs the operations of one batch with a panic at each call of user code.
#[test]
fn every_call_of_foreign_code_may_panic() {
    // A page splits at 448 entries; a batch of 1100 exceeds the record.
    for (recycles, filled) in [(true, 3), (false, 3), (true, 448), (false, 448), (true, 1_100)] {
        let mut panicked = 0;
        let (mut writer, table) = Table::<Touchy, Touchy>::builder()
            .hasher(Hashing::Plain)
            .index((Groups::new(groups_of), Sums::default()))
            .recycle(recycles)
            .build();
        let mut model = Model::default();
        for key in 100..100 + filled {
            apply(&mut writer, &Op::Insert(key, key));
            apply_to_model(&mut model, &Op::Insert(key, key));
        }
        for round in 0..3 {
            // A held snapshot makes the pages shared.
            let held = (round == 1).then(|| table.snapshot());
            let batch = [
                Op::Insert(round, 1),
                Op::Update(round, 2),
                Op::Touch(round),
                Op::Insert(round, 3),
                Op::Insert(50 + round, 4),
                Op::Remove(round),
                Op::Update(50 + round, 9),
                Op::Upsert(60 + round, 1),
                Op::Upsert(60 + round, 2),
                Op::InsertIfAbsent(70 + round, 5),
            ];
            for op in &batch {
                let mut fuse = 0;
                while panics(fuse, || apply(&mut writer, op)) {
                    check_staged(&writer, &model);
                    // An operation that copies or splits pages has thousands of such calls.
                    fuse += 1 + fuse / 64;
                    panicked += 1;
                }
                apply_to_model(&mut model, op);
                check_staged(&writer, &model);
            }
            let mut fuse = 0;
            while panics(fuse, || writer.publish()) {
                check_staged(&writer, &model);
                fuse += 1;
            }
            check_held(&(table.snapshot(), model.clone()));
            drop(held);
        }
        assert!(panicked > 100, "{panicked}");
    }
}

/// An operation on many entries may stop between two of them.
#[test]
fn bulk_changes_stop_between_two_entries() {
    for recycles in [true, false] {
        let indexes = (Groups::new(groups_of), Sums::default());
        let builder = Table::<Touchy, Touchy>::builder().hasher(Hashing::Plain).index(indexes);
        let (mut writer, table) = builder.recycle(recycles).build();
        let mut model = Model::default();
        let mut stops = BTreeSet::new();
        for fuse in 0.. {
            apply(&mut writer, &Op::Clear);
            model.entries.clear();
            writer.publish();
            let extended = panics(fuse, || writer.extend((0..8).map(|key| (Touchy(key), Touchy(key * key)))));
            let len = writer.len() as u64;
            model.entries = (0..len).map(|key| (key, key * key)).collect();
            check_staged(&writer, &model);
            writer.extend((len..8).map(|key| (Touchy(key), Touchy(key * key))));

            let retained = panics(fuse, || writer.retain(|key, _| key.0.is_multiple_of(2)));
            model.entries = entries(writer.iter());
            check_staged(&writer, &model);
            assert!((0..8).step_by(2).all(|key| model.entries.contains_key(&key)));
            stops.insert((len, model.entries.len()));
            if !extended && !retained {
                break;
            }
        }
        assert!(stops.contains(&(8, 4)) && stops.len() > 8, "{stops:?}");
        check_held(&(table.snapshot(), Model::default()));

        // A clear that panics leaves the table as it was.
        let mut fuse = 0;
        while panics(fuse, || apply(&mut writer, &Op::Clear)) {
            check_staged(&writer, &model);
            fuse += 1;
        }
        assert!(fuse > 0 && writer.is_empty());
        check_staged(&writer, &Model::default());
    }
}

/// The index panics again and again, also while it is rebuilt: the entries are kept, and no version is
/// published with an index that does not match them.
#[test]
fn an_index_that_goes_on_panicking_costs_no_entry() {
    let (mut writer, table) = Table::<Touchy, Touchy>::builder()
        .hasher(Hashing::Plain)
        .index((Groups::new(groups_of), Sums::default()))
        .build();
    let mut model = Model::default();
    apply(&mut writer, &Op::Insert(1, 1));
    apply_to_model(&mut model, &Op::Insert(1, 1));
    let (mut torn, mut published) = (0, Model::default());
    for fuse in 0..60 {
        ONCE.set(false);
        let panicked = panics(fuse, || apply(&mut writer, &Op::Update(1, 2)));
        let is_torn = panicked && panics(0, || writer.publish());
        ONCE.set(true);
        if !panicked {
            apply_to_model(&mut model, &Op::Update(1, 2));
            break;
        }
        assert_eq!(entries(writer.iter()), model.entries);
        if is_torn {
            torn += 1;
            check_indexes(writer.index(), &published);
            assert!(writer.has_staged());
        } else {
            published = model.clone();
        }
        check_held(&(table.snapshot(), published.clone()));
        // The next call that needs the index rebuilds it, and then does its own work.
        apply(&mut writer, &Op::Insert(2, 7));
        apply_to_model(&mut model, &Op::Insert(2, 7));
        check_staged(&writer, &model);
        apply(&mut writer, &Op::Remove(2));
        apply_to_model(&mut model, &Op::Remove(2));
    }
    assert!(torn > 0);
    writer.publish();
    check_held(&(table.snapshot(), model));
}

/// An index that never panics, with a number that does not derive from entries.
#[derive(Clone, Debug, Default, PartialEq)]
struct Quiet {
    calls: u64,
    word: u64,
}

impl Index<Touchy, Touchy> for Quiet {
    fn insert(&mut self, _: &Touchy, _: &Touchy) {
        self.calls += 1;
    }

    fn remove(&mut self, _: &Touchy, _: &Touchy) {
        self.calls += 1;
    }
}

/// A panic of a key or a value does not rebuild the index, which would cost O(entries) and lose the word.
#[test]
fn a_panic_of_a_key_leaves_the_index_as_it_is() {
    let builder = Table::<Touchy, Touchy>::builder().hasher(Hashing::Plain).index(Quiet::default());
    let (mut writer, table) = builder.recycle(false).build();
    writer.extend((0..100).map(|key| (Touchy(key), Touchy(key))));
    writer.publish();
    let _held = table.snapshot();
    writer.index_mut().word = 7;
    let before = writer.index().clone();
    let mut fuse = 0;
    while panics(fuse, || writer.insert(Touchy(5), Touchy(1))) {
        assert_eq!(writer.index(), &before);
        fuse += 1;
    }
    assert!(fuse > 100, "the page was copied");
    assert_eq!(*writer.index(), Quiet { calls: before.calls + 2, word: 7 });
}

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// Counts those that are alive.
#[derive(Debug)]
struct Alive;

impl Alive {
    fn new() -> Self {
        LIVE.set(LIVE.get() + 1);
        Self
    }
}

impl Clone for Alive {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
    }
}

/// An index that cannot be dismantled.
#[derive(Clone, Default)]
struct Stubborn;

impl Index<u64, Alive> for Stubborn {
    fn insert(&mut self, _: &u64, _: &Alive) {}

    fn remove(&mut self, _: &u64, _: &Alive) {}

    fn dismantle(&mut self, _: &mut usize) -> bool {
        resume_unwind(Box::new("an index that cannot be dismantled"))
    }
}

/// An index that cannot be dismantled is dropped as a whole, and blocks nothing behind it.
#[test]
fn an_index_that_panics_when_it_is_dismantled_costs_bounded_memory() {
    for recycles in [true, false] {
        let (mut writer, _table) = Table::<u64, Alive>::builder().index(Stubborn).recycle(recycles).build();
        let mut panicked = 0;
        for round in 0..60 {
            for key in 0..4_000 {
                let insert = AssertUnwindSafe(|| drop(writer.insert(key, Alive::new())));
                panicked += u32::from(catch_unwind(insert).is_err());
            }
            panicked += u32::from(catch_unwind(AssertUnwindSafe(|| writer.publish())).is_err());
            assert_eq!(writer.version().as_u64(), round + 1, "published");
            assert!(!writer.has_staged());
            assert_eq!(writer.len(), 4_000);
            // The versions that wait, the operations that lead from one to the next, and a batch.
            assert!(LIVE.get() < 60_000, "{recycles}: {} alive after {round}", LIVE.get());
        }
        assert!(recycles || panicked > 0);
        let discarded = catch_unwind(AssertUnwindSafe(|| {
            writer.insert(7_000, Alive::new());
            writer.discard();
        }));
        assert_eq!(writer.len(), 4_000, "{discarded:?}");
    }
}

/// The payload of a panic, whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("the payload panics"));
    }
}

#[derive(Clone, Default)]
struct Bombs;

impl Index<u64, u64> for Bombs {
    fn insert(&mut self, key: &u64, _: &u64) {
        if *key == 7 {
            resume_unwind(Box::new(Bomb));
        }
    }

    fn remove(&mut self, _: &u64, _: &u64) {}

    fn refresh(&mut self, _: &Self) {
        resume_unwind(Box::new(Bomb));
    }
}

/// The second panic, of the rebuild, is dropped while the first one waits: together they would end the process.
#[test]
fn payloads_that_panic_do_not_end_the_process() {
    let (mut writer, table) = Table::<u64, u64>::builder().index(Bombs).build();
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| writer.insert(7, 7))) else {
        panic!("the index panics")
    };
    assert!(payload.is::<Bomb>(), "the first panic reaches the caller");
    std::mem::forget(payload);
    writer.discard();
    writer.insert(8, 8);
    writer.publish();
    assert_eq!(table.snapshot().get(&8), Some(&8));
}
