//! A table compared with a `HashMap` for each held version.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use switchboard::table::{Change, GroupIndex, Index};
use switchboard::{Reader, Snapshot, Table, Writer};

use super::bytes::Bytes;

type Key = u16;

/// Maximum number of snapshots held at the same time.
const HELD: usize = 8;

/// A number, and a token that counts: each clone must be dropped exactly once.
#[derive(Clone, Debug)]
struct Value {
    number: u32,
    token: Arc<()>,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

/// The distribution of hash bits. Not random, so a case is the same in every run.
#[derive(Clone, Copy, Debug, Default)]
enum Hashing {
    #[default]
    Good,
    /// All hashes are equal.
    Constant,
    /// Only the low bits differ, which choose the slot within a page.
    Low,
    /// Only the high bits differ.
    High,
    /// Only bits in the middle differ, which choose the page.
    Middle,
    /// The key itself.
    Identity,
}

impl Hashing {
    fn from_byte(byte: u8) -> Self {
        match byte % 8 {
            0 => Self::Constant,
            1 => Self::Low,
            2 => Self::High,
            3 => Self::Middle,
            4 => Self::Identity,
            _ => Self::Good,
        }
    }

    /// The number of keys; fewer where more would make a case slow.
    fn keys(self) -> u16 {
        match self {
            Self::Constant => 256,
            Self::Low | Self::High | Self::Middle => 1024,
            Self::Good | Self::Identity => 8192,
        }
    }
}

impl BuildHasher for Hashing {
    type Hasher = Hashed;

    fn build_hasher(&self) -> Hashed {
        Hashed { hashing: *self, state: 0 }
    }
}

struct Hashed {
    hashing: Hashing,
    state: u64,
}

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state = self.state << 8 | u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        let mixed = (self.state ^ self.state >> 7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match self.hashing {
            Hashing::Good => mixed ^ mixed >> 32,
            Hashing::Constant => 0xABCD,
            Hashing::Low => mixed >> 58,
            Hashing::High => mixed & 0xFE00_0000_0000_0000,
            Hashing::Middle => mixed & 0x0000_0FFF_F000_0000,
            Hashing::Identity => self.state,
        }
    }
}

/// A sum over all entries, and a word that does not derive from entries.
#[derive(Clone, Debug, Default)]
struct Totals {
    entries: usize,
    sum: u64,
    word: u32,
}

impl Index<Key, Value> for Totals {
    fn insert(&mut self, _: &Key, value: &Value) {
        self.entries += 1;
        self.sum += u64::from(value.number);
    }

    fn remove(&mut self, _: &Key, old: &Value) {
        self.entries -= 1;
        self.sum -= u64::from(old.number);
    }

    fn refresh(&mut self, newest: &Self) {
        self.word = newest.word;
    }
}

/// Adds the value to zero, one or two groups, in some cases to the same group twice.
fn groups_of(_: &Key, value: &Value, group: &mut dyn FnMut(u32)) {
    let number = value.number;
    if number % 4 != 3 {
        group(number % 4);
    }
    if number.is_multiple_of(5) {
        group(100);
        group(number % 4);
    }
}

type Indexes = (GroupIndex<Key, Value, u32>, Totals);
type TestSnapshot = Snapshot<Key, Value, Indexes, Hashing>;

type Entries = HashMap<Key, u32, Hashing>;

/// The expected contents of one version.
#[derive(Clone, Debug, Default)]
struct Model {
    entries: Entries,
    word: u32,
}

struct Held {
    snapshot: TestSnapshot,
    model: Rc<Model>,
}

impl Held {
    fn check(&self) {
        let Self { snapshot, model } = self;
        assert_eq!(snapshot.len(), model.entries.len());
        assert_eq!(snapshot.is_empty(), model.entries.is_empty());
        let mut visited = 0;
        for (key, value) in snapshot {
            assert_eq!(model.entries.get(key), Some(&value.number));
            visited += 1;
        }
        assert_eq!(visited, model.entries.len());
        for (key, number) in &model.entries {
            assert_eq!(snapshot.get(key).map(|value| value.number), Some(*number));
        }
        let (groups, totals) = snapshot.index();
        assert_eq!((totals.entries, totals.word), (model.entries.len(), model.word));
        assert_eq!(totals.sum, model.entries.values().map(|number| u64::from(*number)).sum::<u64>());
        check_groups(groups, &model.entries, &Arc::new(()));
    }

    /// Applying the diff to one model gives the other.
    fn check_diff(&self, older: &Self) {
        let mut entries = older.model.entries.clone();
        for change in self.snapshot.diff(&older.snapshot) {
            match change {
                Change::Inserted { key, new } => assert_eq!(entries.insert(*key, new.number), None),
                Change::Updated { key, old, new } => {
                    assert_ne!(old.number, new.number);
                    assert_eq!(entries.insert(*key, new.number), Some(old.number));
                }
                Change::Removed { key, old } => assert_eq!(entries.remove(key), Some(old.number)),
            }
        }
        assert_eq!(entries, self.model.entries);
    }
}

fn check_groups(groups: &GroupIndex<Key, Value, u32>, entries: &Entries, token: &Arc<()>) {
    let (mut counts, mut of_one): (HashMap<u32, usize>, _) = (HashMap::new(), Vec::new());
    for (key, number) in entries {
        of_one.clear();
        groups_of(key, &Value { number: *number, token: token.clone() }, &mut |group| of_one.push(group));
        of_one.sort_unstable();
        of_one.dedup();
        for group in of_one.iter().copied() {
            assert!(groups.contains(&group, key));
            *counts.entry(group).or_default() += 1;
        }
    }
    assert_eq!(groups.groups().map(|(group, count)| (*group, count)).collect::<HashMap<_, _>>(), counts);
    for (group, count) in counts {
        assert_eq!(groups.count(&group), count);
        assert_eq!(groups.keys(&group).len(), count);
        assert_eq!(groups.chunks(&group).map(<[Key]>::len).sum::<usize>(), count);
    }
}

struct Case {
    writer: Writer<Key, Value, Indexes, Hashing>,
    table: Table<Key, Value, Indexes, Hashing>,
    readers: [Reader<Key, Value, Indexes, Hashing>; 2],
    staged: Model,
    published: Rc<Model>,
    held: Vec<Held>,
    keys: u16,
    /// Number of entries that may still be filled in.
    room: u16,
    token: Arc<()>,
}

/// Runs a case. The first two bytes choose the hasher and the mode, the others the operations.
pub fn run(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let hashing = Hashing::from_byte(bytes.byte());
    let mode = bytes.byte();
    let (writer, table) = Table::builder()
        .hasher(hashing)
        .index((GroupIndex::new(groups_of as fn(&Key, &Value, &mut dyn FnMut(u32))), Totals::default()))
        .recycle(mode & 1 == 0)
        .expected_len(if mode & 2 == 0 { 0 } else { 4096 })
        .build();
    let token = Arc::new(());
    let mut case = Case {
        readers: [table.reader(), table.reader()],
        writer,
        table,
        staged: Model::default(),
        published: Rc::default(),
        held: Vec::new(),
        keys: hashing.keys(),
        room: 4_500,
        token: token.clone(),
    };
    while let Some(op) = bytes.next() {
        case.apply(op, &mut bytes);
    }
    case.end(mode & 4 == 0);
    assert_eq!(Arc::strong_count(&token), 1, "a clone was not dropped");
}

impl Case {
    fn key(&self, bytes: &mut Bytes<'_>) -> Key {
        // Mostly few distinct keys, so that operations hit the same ones.
        match bytes.byte() {
            byte @ 0..128 => Key::from(byte) % 24,
            byte => (Key::from(byte) << 8 | Key::from(bytes.byte())) % self.keys,
        }
    }

    fn value(&self, number: u32) -> Value {
        Value { number, token: self.token.clone() }
    }

    fn apply(&mut self, op: u8, bytes: &mut Bytes<'_>) {
        match op % 32 {
            0..6 => {
                let (key, number) = (self.key(bytes), u32::from(bytes.byte()));
                self.insert(key, number);
            }
            6..9 => self.update(bytes),
            9..12 => {
                let key = self.key(bytes);
                self.remove(key);
            }
            12..17 => self.publish(),
            17..20 => self.hold(),
            20..22 => self.release(bytes),
            22 => self.diff(bytes),
            23..25 => self.read(bytes),
            25 => self.fill(bytes),
            26 => self.thin(bytes),
            27 => {
                self.writer.discard();
                self.staged = Model::clone(&self.published);
            }
            28 => assert!(self.writer.reclaim() <= self.held.len() + 2),
            29 => {
                let word = u32::from(bytes.byte());
                self.writer.index_mut().1.word = word;
                self.staged.word = word;
            }
            30 => self.check_staged(),
            _ => self.readers[1] = self.readers[0].clone(),
        }
        assert_eq!(self.writer.len(), self.staged.entries.len());
    }

    fn insert(&mut self, key: Key, number: u32) {
        let old = self.writer.insert(key, self.value(number));
        assert_eq!(old.map(|old| old.number), self.staged.entries.insert(key, number));
    }

    fn remove(&mut self, key: Key) {
        let old = self.writer.remove(&key);
        assert_eq!(old.map(|old| old.number), self.staged.entries.remove(&key));
        assert!(!self.writer.contains_key(&key));
    }

    fn update(&mut self, bytes: &mut Bytes<'_>) {
        let (key, by) = (self.key(bytes), u32::from(bytes.byte()));
        let updated = self.writer.update(&key, |value| value.number += by);
        let entry = self.staged.entries.get_mut(&key);
        assert_eq!(updated, entry.map(|number| *number += by).is_some());
    }

    /// Inserts many keys, so that pages split.
    fn fill(&mut self, bytes: &mut Bytes<'_>) {
        let (first, count) = (bytes.word(), u16::from(bytes.byte()) * 8);
        // The number of entries is limited, so that a long case is not slow.
        let count = count.min(self.room);
        self.room -= count;
        for key in 0..count {
            let key = first.wrapping_add(key) % self.keys;
            self.insert(key, u32::from(key));
        }
    }

    /// Removes a part of the keys, so that pages merge.
    fn thin(&mut self, bytes: &mut Bytes<'_>) {
        let (one_in, which) = (bytes.below(4) + 1, bytes.byte());
        let keys = self.staged.entries.keys().copied();
        let mut keys: Vec<_> = keys.filter(|key| usize::from(*key) % one_in == 0).collect();
        // The order of a `HashMap` differs from run to run.
        keys.sort_unstable();
        keys.truncate(usize::from(which) * 16);
        keys.into_iter().for_each(|key| self.remove(key));
    }

    fn publish(&mut self) {
        let before = self.writer.version();
        let changes = self.writer.has_staged();
        let version = self.writer.publish();
        assert_eq!(version.as_u64(), before.as_u64() + u64::from(changes));
        self.published = Rc::new(self.staged.clone());
        assert_eq!(self.table.version(), version);
        assert_eq!(self.table.wait_for(version, Duration::ZERO), Ok(version));
    }

    fn hold(&mut self) {
        if self.held.len() == HELD {
            self.held.remove(0).check();
        }
        let snapshot = self.table.snapshot();
        assert_eq!(snapshot.version(), self.writer.version());
        self.held.push(Held { snapshot, model: self.published.clone() });
    }

    fn release(&mut self, bytes: &mut Bytes<'_>) {
        if !self.held.is_empty() {
            let index = bytes.below(self.held.len());
            self.held.swap_remove(index).check();
        }
    }

    fn diff(&self, bytes: &mut Bytes<'_>) {
        if !self.held.is_empty() {
            let (one, other) = (bytes.below(self.held.len()), bytes.below(self.held.len()));
            self.held[one].check_diff(&self.held[other]);
        }
    }

    fn read(&mut self, bytes: &mut Bytes<'_>) {
        let (which, key) = (bytes.below(2), self.key(bytes));
        let reader = &mut self.readers[which];
        assert_eq!(reader.get(&key).map(|value| value.number), self.published.entries.get(&key).copied());
        assert_eq!(reader.version(), self.writer.version());
    }

    fn check_staged(&self) {
        assert_eq!(self.writer.iter().len(), self.staged.entries.len());
        for (key, value) in self.writer.iter() {
            assert_eq!(self.staged.entries.get(key), Some(&value.number));
        }
        let (groups, totals) = self.writer.index();
        assert_eq!(totals.word, self.staged.word);
        check_groups(groups, &self.staged.entries, &self.token);
    }

    /// Drops the ends in one order or the other; held snapshots do not change.
    fn end(mut self, writer_first: bool) {
        self.check_staged();
        self.hold();
        let Self { writer, table, readers, held, published, .. } = self;
        let last = writer.version();
        if writer_first {
            drop(writer);
            assert!(table.is_closed());
            assert_eq!(table.wait_for(last, Duration::ZERO), Ok(last));
            drop((table, readers));
        } else {
            drop((table, readers));
            assert_eq!(writer.published().len(), published.entries.len());
            drop(writer);
        }
        held.iter().for_each(Held::check);
        for pair in held.windows(2) {
            pair[1].check_diff(&pair[0]);
            pair[0].check_diff(&pair[1]);
        }
    }
}
