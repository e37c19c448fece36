//! User values of every kind, with destructors that may panic; a table of them; and its model.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use switchboard::table::{Change, ChangeSet, Feed, FeedEvent, GroupIndex, Index};
use switchboard::{Reader, Snapshot, Table, Writer};

thread_local! {
    /// Number of destructors that run before one panics; `None` if none panics.
    static FUSE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Runs `act` with a fuse, and returns whether it burnt down.
pub(crate) fn burns(fuse: usize, act: impl FnOnce()) -> bool {
    FUSE.set(Some(fuse));
    let result = catch_unwind(AssertUnwindSafe(act));
    let is_burnt = FUSE.replace(None).is_none();
    match result {
        Ok(()) => assert!(!is_burnt, "a panic was swallowed"),
        Err(panic) if !is_burnt || !panic.is::<Burnt>() => resume_unwind(panic),
        Err(_) => {}
    }
    is_burnt
}

/// The payload of a fuse's panic.
struct Burnt;

/// A part of every user value here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fused(());

impl Drop for Fused {
    fn drop(&mut self) {
        match FUSE.get() {
            None => {}
            Some(0) => {
                FUSE.set(None);
                // Does not call the panic hook, so nothing is printed.
                resume_unwind(Box::new(Burnt));
            }
            Some(left) => FUSE.set(Some(left - 1)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub u64, Fused);

pub(crate) fn key(number: u64) -> Key {
    Key(number, Fused::default())
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Large, so that a page has few entries and a small table several pages.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Value(pub u64, Fused, [u8; 2048]);

pub(crate) fn value(number: u64) -> Value {
    Value(number, Fused::default(), [number as u8; 2048])
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Group(u64, Token);

/// A [`Fused`] that implements `Hash`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token(Fused);

impl Hash for Token {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

pub(crate) fn group(number: u64) -> Group {
    Group(number, Token::default())
}

/// A hasher that is not random, so every run is the same.
#[derive(Clone, Default)]
pub(crate) struct Seed {
    _fused: Fused,
}

pub(crate) struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl BuildHasher for Seed {
    type Hasher = Number;

    fn build_hasher(&self) -> Number {
        Number(0)
    }
}

/// An index that drops a value in the middle of each change, with a number that does not derive from entries.
#[derive(Clone, Default)]
pub(crate) struct Sums {
    keys: u64,
    values: u64,
    part: Fused,
    word: (u64, Fused),
}

impl Index<Key, Value> for Sums {
    fn insert(&mut self, key: &Key, value: &Value) {
        self.keys += key.0;
        self.part = Fused::default();
        self.values += value.0;
    }

    fn remove(&mut self, key: &Key, old: &Value) {
        self.keys -= key.0;
        self.part = Fused::default();
        self.values -= old.0;
    }

    fn refresh(&mut self, newest: &Self) {
        self.word = newest.word.clone();
    }
}

/// The groups of an entry: a large one with all entries, and one of two others.
fn groups(key: u64, value: u64) -> [u64; 2] {
    [0, 1 + (key + value) % 2]
}

/// An index that can be compared with the entries.
pub(crate) trait Parts: Index<Key, Value> {
    fn check(&self, model: &Model);
    fn set_word(&mut self, word: u64);
    fn word(&self) -> Option<u64>;
}

impl Parts for () {
    fn check(&self, _: &Model) {}

    fn set_word(&mut self, _: u64) {}

    fn word(&self) -> Option<u64> {
        None
    }
}

impl<F> Parts for (GroupIndex<Key, Value, Group, F>, Sums)
where
    F: Fn(&Key, &Value, &mut dyn FnMut(Group)) + Clone + Send + Sync + 'static,
{
    fn check(&self, model: &Model) {
        let (by_group, sums) = self;
        let mut memberships = 0;
        for (group, count) in by_group.groups() {
            let is_in = |number: u64, to: &u64| groups(number, *to).contains(&group.0);
            assert!(by_group.keys(group).all(|key| is_in(key.0, &model.entries[&key.0])));
            assert_eq!(by_group.keys(group).count(), count);
            memberships += count;
        }
        assert_eq!(memberships, 2 * model.entries.len());
        for (number, to) in &model.entries {
            let key = key(*number);
            assert!(groups(*number, *to).into_iter().all(|of| by_group.contains(&group(of), &key)));
        }
        assert_eq!(sums.keys, model.entries.keys().sum::<u64>());
        assert_eq!(sums.values, model.entries.values().sum::<u64>());
        assert_eq!(sums.word.0, model.word);
    }

    fn set_word(&mut self, word: u64) {
        self.1.word = (word, Fused::default());
    }

    fn word(&self) -> Option<u64> {
        Some(self.1.word.0)
    }
}

pub(crate) fn indexed() -> impl Parts {
    let captured = Fused::default();
    let groups_of = move |key: &Key, value: &Value, add: &mut dyn FnMut(Group)| {
        let _ = &captured;
        groups(key.0, value.0).into_iter().for_each(|number| add(group(number)));
    };
    (GroupIndex::new(groups_of), Sums::default())
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub entries: BTreeMap<u64, u64>,
    pub word: u64,
}

/// The observer of the table during the call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Watch {
    Nobody,
    /// A reader that is one version behind.
    Reader,
    /// A snapshot that is held throughout.
    Held,
    Feed,
}

/// The changes staged before the call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Staged {
    Nothing,
    Some,
    /// The table was cleared: the batch is not recorded, and no earlier batch can be replayed.
    Cleared,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub recycles: bool,
    pub watch: Watch,
    pub(crate) staged: Staged,
}

pub(crate) type AWriter<I> = Writer<Key, Value, I, Seed>;
pub(crate) type ATable<I> = Table<Key, Value, I, Seed>;
pub(crate) type ASnapshot<I> = Snapshot<Key, Value, I, Seed>;
pub(crate) type AReader<I> = Reader<Key, Value, I, Seed>;
pub(crate) type AFeed<I> = Feed<Key, Value, I, Seed>;

pub(crate) struct World<I> {
    /// The events that the call took from the feed.
    pub events: Vec<FeedEvent<Key, Value, I, Seed>>,
    pub writer: Option<AWriter<I>>,
    pub table: Option<ATable<I>>,
    pub reader: Option<AReader<I>>,
    /// The version that the reader held before the last publish.
    behind: Option<ASnapshot<I>>,
    pub held: Option<ASnapshot<I>>,
    pub feed: Option<AFeed<I>>,
    /// The models of the staged state and of each version.
    pub staged: Model,
    pub versions: Vec<Model>,
    /// The last version that the feed has delivered, and a copy with its changes applied.
    copy: (u64, BTreeMap<u64, u64>),
    /// The versions that no change set leads to.
    unrecorded: BTreeSet<u64>,
    /// Whether the staged batch has cleared the table, and so is not recorded.
    pub(crate) has_cleared: bool,
    /// Whether the initial versions are published; the feed has delivered none of them yet.
    is_set_up: bool,
}

fn entries<'a>(of: impl Iterator<Item = (&'a Key, &'a Value)>) -> BTreeMap<u64, u64> {
    of.map(|(key, value)| (key.0, value.0)).collect()
}

/// Checks that the entries equal the model, both when listed and when looked up by key.
fn check_entries<'a>(
    listed: impl Iterator<Item = (&'a Key, &'a Value)>,
    get: impl Fn(&Key) -> Option<u64>,
    model: &Model,
) {
    let mut len = 0;
    for (key, value) in listed {
        assert_eq!(model.entries.get(&key.0), Some(&value.0), "of {}", key.0);
        len += 1;
    }
    assert_eq!(len, model.entries.len());
    assert!(model.entries.iter().all(|(number, value)| get(&key(*number)) == Some(*value)));
}

fn check_snapshot<I: Parts>(snapshot: &ASnapshot<I>, model: &Model) {
    check_entries(snapshot.iter(), |key| snapshot.get(key).map(|value| value.0), model);
    assert_eq!(snapshot.len(), model.entries.len());
    snapshot.index().check(model);
}

fn check_diff<I: Parts>(newer: &ASnapshot<I>, older: &ASnapshot<I>, to: &Model, from: &Model) {
    let mut copy = from.entries.clone();
    let mut len = 0;
    for change in newer.diff(older) {
        apply(&mut copy, change);
        len += 1;
    }
    assert_eq!(copy, to.entries);
    let is_equal = |key: &&u64| to.entries.get(key) == from.entries.get(key);
    let keys: BTreeSet<_> = to.entries.keys().chain(from.entries.keys()).collect();
    assert_eq!(len, keys.iter().filter(|key| !is_equal(key)).count());
}

fn apply(copy: &mut BTreeMap<u64, u64>, change: Change<'_, Key, Value>) {
    match change {
        Change::Inserted { key, new } => assert_eq!(copy.insert(key.0, new.0), None),
        Change::Updated { key, old, new } => assert_eq!(copy.insert(key.0, new.0), Some(old.0)),
        Change::Removed { key, old } => assert_eq!(copy.remove(&key.0), Some(old.0)),
    }
}

impl<I: Parts> World<I> {
    /// Creates a table with some versions, of which two copies exist if it recycles.
    pub(crate) fn new(index: I, setting: Setting) -> Self {
        let builder = Table::<Key, Value>::builder().hasher(Seed::default()).index(index);
        let (writer, table) = builder.recycle(setting.recycles).build();
        let mut world = Self {
            events: vec![],
            writer: Some(writer),
            reader: (setting.watch == Watch::Reader).then(|| table.reader()),
            feed: (setting.watch == Watch::Feed).then(|| table.subscribe()),
            behind: None,
            held: None,
            table: Some(table),
            staged: Model::default(),
            versions: vec![Model::default()],
            copy: (0, BTreeMap::new()),
            unrecorded: BTreeSet::new(),
            has_cleared: false,
            is_set_up: false,
        };
        (0..20).for_each(|number| world.insert(number, number));
        world.publish();
        for round in 0..3 {
            world.step(round);
            world.publish();
        }
        if setting.watch == Watch::Held {
            world.held = world.table.as_ref().map(Table::snapshot);
        }
        if setting.staged == Staged::Cleared {
            world.writer().clear();
            world.staged.entries.clear();
            world.has_cleared = true;
        }
        if setting.staged != Staged::Nothing {
            world.step(7);
        }
        world.is_set_up = true;
        world
    }

    pub(crate) fn forget_behind(&mut self) {
        self.behind = None;
    }

    pub(crate) fn writer(&mut self) -> &mut AWriter<I> {
        self.writer.as_mut().unwrap()
    }

    pub(crate) fn table(&self) -> &ATable<I> {
        self.table.as_ref().unwrap()
    }

    pub(crate) fn published(&self) -> &Model {
        self.versions.last().unwrap()
    }

    fn insert(&mut self, number: u64, to: u64) {
        self.writer().insert(key(number), value(to));
        self.staged.entries.insert(number, to);
    }

    fn remove(&mut self, number: u64) {
        self.writer().remove(&key(number));
        self.staged.entries.remove(&number);
    }

    /// Stages operations of each kind. The calls under test change other keys, so this does not hide their
    /// effect.
    fn step(&mut self, round: u64) {
        self.insert(100 + round, round);
        self.insert(round, 50 + round);
        self.insert(round, 60 + round);
        self.insert(1_000, 1);
        self.remove(1_000);
        self.remove(8 + round);
        self.insert(18, 70 + round);
        let writer = self.writer.as_mut().unwrap();
        writer.index_mut().set_word(round);
        if writer.index().word().is_some() {
            self.staged.word = round;
        }
    }

    fn publish(&mut self) {
        self.behind = self.reader.as_mut().map(|reader| reader.snapshot().clone());
        if self.writer().has_staged() {
            self.writer().publish();
            self.note_publish();
        }
        if self.is_set_up {
            self.check_published();
        }
    }

    /// Records that the staged model is now a version.
    pub(crate) fn note_publish(&mut self) {
        if mem::take(&mut self.has_cleared) {
            self.unrecorded.insert(self.versions.len() as u64);
        }
        self.versions.push(self.staged.clone());
    }

    /// Returns the staged state of the writer.
    pub(crate) fn actual(&self) -> Model {
        let writer = self.writer.as_ref().unwrap();
        Model { entries: entries(writer.iter()), word: writer.index().word().unwrap_or_default() }
    }

    /// Checks that all visible state equals the model.
    pub(crate) fn check(&mut self) {
        if let Some(writer) = &self.writer {
            check_entries(writer.iter(), |key| writer.get(key).map(|value| value.0), &self.staged);
            assert_eq!(writer.len(), self.staged.entries.len());
            writer.index().check(&self.staged);
            assert!(writer.has_staged() || self.staged == *self.published());
        }
        self.check_published();
    }

    fn check_published(&mut self) {
        if let Some(writer) = &self.writer {
            assert_eq!(writer.version().as_u64(), self.versions.len() as u64 - 1);
            assert_eq!(writer.published().version(), writer.version());
        }
        if let Some(table) = &self.table {
            let newest = table.snapshot();
            assert_eq!(newest.version().as_u64(), self.versions.len() as u64 - 1);
            check_snapshot(&newest, self.published());
            assert_eq!(table.is_closed(), self.writer.is_none());
            for older in self.held.iter().chain(&self.behind) {
                let model = &self.versions[older.version().as_u64() as usize];
                check_snapshot(older, model);
                check_diff(&newest, older, self.published(), model);
                check_diff(older, &newest, model, self.published());
            }
        }
        self.check_feed();
    }

    fn check_feed(&mut self) {
        let Some(feed) = &mut self.feed else { return };
        let events: Vec<_> = mem::take(&mut self.events).into_iter().chain(feed_events(feed)).collect();
        for event in events {
            let next = self.copy.0 + 1;
            match event {
                FeedEvent::Changes(set) => {
                    assert_eq!(set.version().as_u64(), next);
                    apply_all(&mut self.copy.1, &set);
                    self.copy.0 = next;
                }
                FeedEvent::Lagged { from, resync, .. } => {
                    assert_eq!(from.version().as_u64() + 1, next);
                    let missed = next..=resync.version().as_u64();
                    assert!(self.unrecorded.range(missed).next().is_some(), "version {next} is missing");
                    self.copy = (resync.version().as_u64(), entries(resync.iter()));
                }
                _ => unreachable!("there are only two kinds of events"),
            }
            assert_eq!(self.copy.1, self.versions[self.copy.0 as usize].entries);
        }
        assert_eq!(self.copy.0, self.versions.len() as u64 - 1, "a version was not delivered");
        assert_eq!(feed.is_closed(), self.writer.is_none());
    }

    /// Publishes and checks some more versions, so that every copy is used.
    pub(crate) fn go_on(&mut self) {
        for round in 30..34 {
            if self.writer.is_none() {
                return;
            }
            self.publish();
            self.step(round);
        }
        self.publish();
        self.check();
    }
}

fn feed_events<I: Parts>(feed: &mut AFeed<I>) -> Vec<FeedEvent<Key, Value, I, Seed>> {
    std::iter::from_fn(|| feed.try_next()).collect()
}

fn apply_all<I: Parts>(copy: &mut BTreeMap<u64, u64>, set: &ChangeSet<Key, Value, I, Seed>) {
    assert_eq!(set.iter().count(), set.len());
    set.iter().for_each(|change| apply(copy, change));
}
