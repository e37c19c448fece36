//! After any sequence of operations, the staged state and every held version equal a `HashMap`, and each
//! index equals a recount.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};

use proptest::collection::vec;
use proptest::prelude::*;
use switchboard::table::{Change, GroupIndex, Index};
use switchboard::{Reader, Snapshot, Table, TableBuilder, Version, Writer};

/// Few distinct keys, so that operations hit the same ones.
type Key = u16;

#[derive(Clone, Debug)]
enum Op {
    Insert(Key, u32),
    Update(Key, u32),
    Upsert(Key, u32),
    InsertIfAbsent(Key, u32),
    Remove(Key),
    Extend(Vec<(Key, u32)>),
    Retain(u16, u16),
    Clear,
    Touch(u32),
    Publish,
    Discard,
    Hold,
    Release(usize),
    /// A reader revalidates.
    Read(usize),
    Reclaim,
    Fill(Key),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..48_u16;
    prop_oneof![
        6 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Op::Insert(key, value)),
        4 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Op::Update(key, value)),
        2 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Op::Upsert(key, value)),
        2 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Op::InsertIfAbsent(key, value)),
        3 => key.clone().prop_map(Op::Remove),
        1 => vec((key, any::<u32>()), 0..20).prop_map(Op::Extend),
        1 => (1..5_u16, 0..5_u16).prop_map(|(divisor, rest)| Op::Retain(divisor, rest)),
        1 => Just(Op::Clear),
        1 => any::<u32>().prop_map(Op::Touch),
        7 => Just(Op::Publish),
        1 => Just(Op::Discard),
        3 => Just(Op::Hold),
        3 => any::<usize>().prop_map(Op::Release),
        3 => any::<usize>().prop_map(Op::Read),
        1 => Just(Op::Reclaim),
        1 => (0..2000_u16).prop_map(Op::Fill),
    ]
}

/// The number of entries, the sum of all values, and a word that does not derive from entries.
#[derive(Clone, Debug, Default, PartialEq)]
struct Totals {
    entries: usize,
    sum: u64,
    word: u32,
}

impl Index<Key, u32> for Totals {
    fn insert(&mut self, _: &Key, value: &u32) {
        self.entries += 1;
        self.sum += u64::from(*value);
    }

    fn remove(&mut self, _: &Key, old: &u32) {
        self.entries -= 1;
        self.sum -= u64::from(*old);
    }

    fn refresh(&mut self, newest: &Self) {
        self.word = newest.word;
    }
}

/// Zero, one or two groups.
fn groups(key: Key, value: u32) -> BTreeSet<u32> {
    let first = (!key.is_multiple_of(4)).then_some(u32::from(key) % 4);
    first.into_iter().chain((!value.is_multiple_of(3)).then_some(10 + value % 7)).collect()
}

fn groups_of(key: &Key, value: &u32, group: &mut dyn FnMut(u32)) {
    groups(*key, *value).into_iter().for_each(group);
}

type Indexes = (GroupIndex<Key, u32, u32>, Totals);

/// A hasher that sets all bits of all hashes.
#[derive(Clone, Debug)]
struct Same;

impl BuildHasher for Same {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self
    }
}

impl Hasher for Same {
    fn finish(&self) -> u64 {
        u64::MAX
    }

    fn write(&mut self, _: &[u8]) {}
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: HashMap<Key, u32>,
    word: u32,
}

type Held<S> = (Snapshot<Key, u32, Indexes, S>, Model, Version);

fn check_indexes((by_group, totals): &Indexes, model: &Model) {
    let mut recount: BTreeMap<u32, HashSet<Key>> = BTreeMap::new();
    for (key, value) in &model.entries {
        for group in groups(*key, *value) {
            recount.entry(group).or_default().insert(*key);
        }
    }
    assert_eq!(by_group.groups().len(), recount.len());
    for (group, keys) in &recount {
        assert_eq!(by_group.count(group), keys.len());
        assert_eq!(by_group.keys(group).copied().collect::<HashSet<_>>(), *keys);
        assert_eq!(by_group.chunks(group).map(<[_]>::len).sum::<usize>(), keys.len(), "each key once");
        assert!(keys.iter().all(|key| by_group.contains(group, key)));
    }
    assert_eq!(totals.entries, model.entries.len());
    assert_eq!(totals.sum, model.entries.values().map(|value| u64::from(*value)).sum::<u64>());
    assert_eq!(totals.word, model.word);
}

fn check_held<S: BuildHasher>((snapshot, model, version): &Held<S>) {
    assert_eq!(snapshot.version(), *version);
    assert_eq!(snapshot.len(), model.entries.len());
    let entries: HashMap<Key, u32> = snapshot.iter().map(|(key, value)| (*key, *value)).collect();
    assert_eq!(entries, model.entries);
    assert_eq!(snapshot.keys().copied().zip(snapshot.values().copied()).collect::<HashMap<_, _>>(), entries);
    for (key, value) in &model.entries {
        assert_eq!(snapshot.get(key), Some(value));
    }
    check_indexes(snapshot.index(), model);
}

/// Applying the diff to one model gives the other.
fn check_diff<S: BuildHasher>((older, older_model, _): &Held<S>, (newer, newer_model, _): &Held<S>) {
    let mut entries = older_model.entries.clone();
    for change in newer.diff(older) {
        match change {
            Change::Inserted { key, new } => assert_eq!(entries.insert(*key, *new), None),
            Change::Updated { key, old, new } => assert_eq!(entries.insert(*key, *new), Some(*old)),
            Change::Removed { key, old } => assert_eq!(entries.remove(key), Some(*old)),
        }
    }
    assert_eq!(entries, newer_model.entries);
    assert_eq!(newer == older, newer_model.entries == older_model.entries);
}

fn check_staged<S: BuildHasher>(writer: &Writer<Key, u32, Indexes, S>, model: &Model) {
    assert_eq!(writer.len(), model.entries.len());
    let entries: HashMap<Key, u32> = writer.iter().map(|(key, value)| (*key, *value)).collect();
    assert_eq!(entries, model.entries);
    check_indexes(writer.index(), model);
}

/// Applies an operation to the staged state and to its model.
fn apply<S>(writer: &mut Writer<Key, u32, Indexes, S>, staged: &mut Model, op: Op, fill: Key)
where
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    match op {
        Op::Insert(key, value) => {
            assert_eq!(writer.insert(key, value), staged.entries.insert(key, value));
        }
        Op::Update(key, value) => {
            let found = staged.entries.get_mut(&key).map(|old| *old = value).is_some();
            assert_eq!(writer.update(&key, |old| *old = value), found);
        }
        Op::Upsert(key, value) => {
            let sum = |old: Option<&u32>| old.map_or(value, |old| old.wrapping_add(value));
            let new = sum(staged.entries.get(&key));
            assert_eq!(writer.upsert(key, sum), staged.entries.insert(key, new));
        }
        Op::InsertIfAbsent(key, value) => {
            assert_eq!(writer.insert_if_absent(key, || value), !staged.entries.contains_key(&key));
            staged.entries.entry(key).or_insert(value);
        }
        Op::Remove(key) => {
            assert_eq!(writer.remove(&key), staged.entries.remove(&key));
        }
        Op::Extend(entries) => {
            writer.extend(entries.iter().copied());
            staged.entries.extend(entries);
        }
        Op::Retain(divisor, rest) => {
            let before = staged.entries.len();
            staged.entries.retain(|key, _| *key % divisor != rest);
            assert_eq!(writer.retain(|key, _| *key % divisor != rest), before - staged.entries.len());
        }
        Op::Clear => {
            writer.clear();
            staged.entries.clear();
        }
        Op::Touch(word) => {
            writer.index_mut().1.word = word;
            staged.word = word;
        }
        Op::Fill(from) => {
            for key in from..from + fill {
                writer.insert(key, u32::from(key));
                staged.entries.insert(key, u32::from(key));
            }
        }
        _ => {}
    }
}

fn run<S>(ops: Vec<Op>, builder: TableBuilder<Key, u32, (), S>, fill: Key)
where
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    let initial = [(1, 10), (2, 20), (1, 11)];
    let indexes = (GroupIndex::new(groups_of as fn(&Key, &u32, &mut dyn FnMut(u32))), Totals::default());
    let (mut writer, table) = builder.index(indexes).build_with(initial);
    let mut published = Model { entries: HashMap::from(initial), word: 0 };
    let mut staged = published.clone();
    let mut held: Vec<Held<S>> = vec![(table.snapshot(), published.clone(), Version::ZERO)];
    let mut readers: [Reader<Key, u32, Indexes, S>; 3] = std::array::from_fn(|_| table.reader());
    for op in ops {
        match op {
            Op::Publish => {
                let version = writer.publish();
                published = staged.clone();
                assert_eq!(table.version(), version);
            }
            Op::Discard => {
                writer.discard();
                staged = published.clone();
            }
            Op::Hold => held.push((table.snapshot(), published.clone(), table.version())),
            Op::Release(index) if !held.is_empty() => {
                let one = held.swap_remove(index % held.len());
                check_held(&one);
                if let Some(other) = held.first() {
                    check_diff(&one, other);
                    check_diff(other, &one);
                }
            }
            Op::Read(index) => {
                let snapshot = readers[index % readers.len()].snapshot();
                assert_eq!(snapshot.version(), table.version());
                check_held(&(snapshot.clone(), published.clone(), table.version()));
            }
            Op::Reclaim => assert!(writer.reclaim() <= held.len() + readers.len() + 1),
            op => apply(&mut writer, &mut staged, op, fill),
        }
        check_staged(&writer, &staged);
    }
    held.push((table.snapshot(), published.clone(), table.version()));
    held.iter().for_each(check_held);

    // Without its writer, the table keeps its last version.
    let table = writer.into_table();
    assert!(table.is_closed());
    check_held(&(table.snapshot(), published, table.version()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_table_equals_its_model_at_every_version(ops in vec(op(), 1..120)) {
        run(ops, Table::builder().recycle(false), 600);
    }

    #[test]
    fn a_table_that_recycles_equals_its_model_at_every_version(ops in vec(op(), 1..120)) {
        run(ops, Table::builder(), 600);
    }

    #[test]
    fn a_table_of_one_hash_equals_its_model_at_every_version(ops in vec(op(), 1..120), recycles: bool) {
        run(ops, Table::builder().hasher(Same).recycle(recycles), 60);
    }
}
