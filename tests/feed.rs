//! Feeds: replayed events reproduce every version, and a slow subscriber is told that it lagged.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use switchboard::table::{Change, ChangeSet, Feed, FeedEvent, WaitError};
use switchboard::{Snapshot, Table, Version, Writer};

type Key = u16;
type Model = HashMap<Key, u32>;

fn contents(snapshot: &Snapshot<Key, u32>) -> Model {
    snapshot.iter().map(|(key, value)| (*key, *value)).collect()
}

/// Applies a change set to a copy, which each change must fit.
fn apply(copy: &mut Model, set: &ChangeSet<Key, u32>) {
    assert_eq!(set.iter().len(), set.len());
    assert_eq!(set.iter().count(), set.len());
    for change in set {
        match change {
            Change::Inserted { key, new } => assert_eq!(copy.insert(*key, *new), None),
            Change::Updated { key, old, new } => assert_eq!(copy.insert(*key, *new), Some(*old)),
            Change::Removed { key, old } => assert_eq!(copy.remove(key), Some(*old)),
        }
    }
}

/// A feed, a copy that it keeps up to date, and the number of times it lagged.
struct Subscriber {
    feed: Feed<Key, u32>,
    copy: Model,
    lagged: usize,
    kept: Vec<(ChangeSet<Key, u32>, Model)>,
}

impl Subscriber {
    fn new(feed: Feed<Key, u32>) -> Self {
        let copy = contents(feed.snapshot());
        Self { feed, copy, lagged: 0, kept: Vec::new() }
    }

    /// Takes one event and checks it against the published versions.
    fn step(&mut self, history: &[Model]) -> bool {
        let before = self.feed.version();
        let Some(event) = self.feed.try_next() else {
            assert_eq!(before.as_u64() as usize, history.len() - 1, "no event, so up to date");
            assert_eq!(contents(self.feed.snapshot()), self.copy);
            return false;
        };
        match event {
            FeedEvent::Changes(set) => {
                assert_eq!(set.version().as_u64(), before.as_u64() + 1, "no gap and no repetition");
                let old = self.copy.clone();
                apply(&mut self.copy, &set);
                if self.kept.len() < 3 {
                    self.kept.push((set, old));
                }
            }
            FeedEvent::Lagged { from, resync, .. } => {
                assert_eq!((from.version(), contents(&from)), (before, mem::take(&mut self.copy)));
                self.copy = contents(&resync);
                self.lagged += 1;
            }
            _ => unreachable!("there are only two kinds of events"),
        }
        assert_eq!(self.copy, history[self.feed.version().as_u64() as usize]);
        true
    }

    /// Checks that change sets that were kept have not changed.
    fn check_kept(mut self, history: &[Model]) {
        for (set, mut copy) in mem::take(&mut self.kept) {
            apply(&mut copy, &set);
            assert_eq!(copy, history[set.version().as_u64() as usize]);
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Key, u32),
    Update(Key, u32),
    Remove(Key),
    Fill(Key),
    Discard,
    Publish,
    Subscribe,
    Resume(usize),
    Drop(usize),
    Hold,
    Release,
    Read(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..24_u16;
    prop_oneof![
        6 => (key.clone(), 0..4_u32).prop_map(|(key, value)| Op::Insert(key, value)),
        4 => (key.clone(), 0..4_u32).prop_map(|(key, value)| Op::Update(key, value)),
        5 => key.prop_map(Op::Remove),
        1 => (0..700_u16).prop_map(Op::Fill),
        1 => Just(Op::Discard),
        8 => Just(Op::Publish),
        2 => Just(Op::Subscribe),
        1 => any::<usize>().prop_map(Op::Resume),
        1 => any::<usize>().prop_map(Op::Drop),
        1 => Just(Op::Hold),
        1 => Just(Op::Release),
        6 => (any::<usize>(), 1..5_usize).prop_map(|(which, count)| Op::Read(which, count)),
    ]
}

fn run(ops: Vec<Op>, recycles: bool, versions: usize) {
    let builder = Table::<Key, u32>::builder().recycle(recycles).history(versions, 60);
    let (mut writer, table) = builder.build();
    let (mut staged, mut history) = (Model::new(), vec![Model::new()]);
    let mut subscribers = vec![Subscriber::new(table.subscribe())];
    let mut held = Vec::new();
    for op in ops {
        match op {
            Op::Insert(key, value) => {
                writer.insert(key, value);
                staged.insert(key, value);
            }
            Op::Update(key, value) => {
                writer.update(&key, |old| *old = value);
                staged.get_mut(&key).into_iter().for_each(|old| *old = value);
            }
            Op::Remove(key) => {
                writer.remove(&key);
                staged.remove(&key);
            }
            Op::Fill(count) => (100..100 + count).for_each(|key| {
                writer.insert(key, 1);
                staged.insert(key, 1);
            }),
            Op::Discard => {
                writer.discard();
                staged.clone_from(&history[history.len() - 1]);
            }
            Op::Publish if writer.has_staged() => {
                assert_eq!(writer.publish().as_u64() as usize, history.len());
                history.push(staged.clone());
            }
            Op::Publish => {}
            Op::Subscribe => subscribers.push(Subscriber::new(table.subscribe())),
            Op::Resume(which) => {
                let from = subscribers.get(which % subscribers.len().max(1));
                let from = from.map_or_else(|| table.snapshot(), |from| from.feed.snapshot().clone());
                subscribers.push(Subscriber::new(table.subscribe_from(from)));
            }
            Op::Drop(which) if !subscribers.is_empty() => {
                subscribers.swap_remove(which % subscribers.len()).check_kept(&history);
            }
            Op::Drop(_) => {}
            Op::Hold => held.push((table.snapshot(), history.len() - 1)),
            Op::Release => drop(held.pop()),
            Op::Read(which, count) => {
                let index = which % subscribers.len().max(1);
                let Some(subscriber) = subscribers.get_mut(index) else { continue };
                for _ in 0..count {
                    subscriber.step(&history);
                }
            }
        }
    }
    drop(writer);
    for mut subscriber in subscribers {
        while subscriber.step(&history) {}
        assert!(subscriber.feed.is_closed());
        assert_eq!(subscriber.copy, history[history.len() - 1]);
        subscriber.check_kept(&history);
    }
    for (snapshot, version) in held {
        assert_eq!(contents(&snapshot), history[version]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_replayed_feed_is_every_version(
        ops in vec(op(), 1..120),
        recycles in any::<bool>(),
        versions in 1..8_usize,
    ) {
        run(ops, recycles, versions);
    }
}

fn publish(writer: &mut Writer<Key, u32>, value: u32) -> Version {
    writer.insert(1, value);
    writer.publish()
}

fn versions_of(feed: &mut Feed<Key, u32>) -> Vec<u64> {
    let mut versions = Vec::new();
    while let Some(event) = feed.try_next() {
        match event {
            FeedEvent::Changes(set) => versions.push(set.version().as_u64()),
            other => panic!("{other:?}"),
        }
    }
    versions
}

#[test]
fn a_feed_that_keeps_within_the_bound_never_lags() {
    for recycles in [true, false] {
        let (mut writer, table) = Table::builder().recycle(recycles).history(10, 1_000).build();
        let mut feed = table.subscribe();
        let mut expected = 0;
        for step in 0..200 {
            let count = step % 11;
            (0..count).for_each(|value| _ = publish(&mut writer, value));
            let versions = versions_of(&mut feed);
            assert_eq!(versions, (expected + 1..=expected + u64::from(count)).collect::<Vec<_>>());
            expected += u64::from(count);
        }
    }
}

#[test]
fn a_feed_behind_the_bound_lags_once_and_goes_on() {
    let (mut writer, table) = Table::builder().history(4, 1_000).build();
    let mut feed = table.subscribe();
    (0..20).for_each(|value| _ = publish(&mut writer, value));
    match feed.try_next() {
        Some(FeedEvent::Lagged { from, resync, .. }) => {
            assert_eq!((from.version().as_u64(), resync.version().as_u64()), (0, 20));
            let changes: Vec<_> = resync.diff(&from).collect();
            assert_eq!(changes, [Change::Inserted { key: &1, new: &19 }], "only the steps between are lost");
        }
        other => panic!("{other:?}"),
    }
    assert!(feed.try_next().is_none());
    publish(&mut writer, 5);
    assert_eq!(versions_of(&mut feed), [21]);
}

#[test]
fn a_batch_beyond_the_bound_is_not_recorded_and_the_next_one_is() {
    let (mut writer, table) = Table::<Key, u32>::builder().history(100, 10).build();
    let mut feed = table.subscribe();
    publish(&mut writer, 0);
    (0..11).for_each(|key| _ = writer.insert(key, 1));
    writer.publish();
    assert!(matches!(feed.try_next(), Some(FeedEvent::Lagged { .. })));
    publish(&mut writer, 1);
    publish(&mut writer, 2);
    assert_eq!(versions_of(&mut feed), [3, 4]);
}

/// A table that recycles records staged operations even without a feed, so the first feed may come late.
#[test]
fn what_was_staged_before_the_first_feed_is_delivered() {
    for staged in [1, 1_024, 1_025, 1_500, 4_096, 4_097] {
        let (mut writer, table) = Table::<Key, u32>::new();
        (0..staged).for_each(|key| _ = writer.insert(key, 1));
        let mut feed = table.subscribe();
        let version = writer.publish();
        match feed.try_next() {
            Some(FeedEvent::Changes(set)) => {
                assert_eq!((set.version(), set.len()), (version, staged as usize));
                let mut copy = Model::new();
                apply(&mut copy, &set);
                assert_eq!(copy, contents(&table.snapshot()));
            }
            _ => assert!(staged > 4_096, "{staged} operations were lost"),
        }
        assert!(feed.try_next().is_none());
        publish(&mut writer, 2);
        assert_eq!(versions_of(&mut feed), [2]);
    }
}

#[test]
fn changes_of_one_batch_are_taken_together() {
    let (mut writer, table) = Table::<Key, u32>::new();
    (1..4).for_each(|key| _ = writer.insert(key, 0));
    writer.publish();
    let mut feed = table.subscribe();
    writer.update(&1, |value| *value = 1);
    writer.update(&1, |value| *value = 2);
    writer.remove(&2);
    writer.insert(2, 5);
    writer.insert(9, 9);
    writer.remove(&9);
    writer.insert(8, 7);
    writer.update(&8, |value| *value = 8);
    writer.insert(3, 1);
    writer.remove(&3);
    writer.publish();
    let Some(FeedEvent::Changes(set)) = feed.try_next() else { panic!() };
    let changes: Vec<_> = set.iter().collect();
    let expected = [
        Change::Updated { key: &1, old: &0, new: &2 },
        Change::Updated { key: &2, old: &0, new: &5 },
        Change::Inserted { key: &8, new: &8 },
        Change::Removed { key: &3, old: &0 },
    ];
    assert_eq!(changes, expected);
    assert_eq!(set.newest().version(), set.version());
}

#[test]
fn a_batch_that_undoes_itself_is_an_empty_change_set() {
    let (mut writer, table) = Table::<Key, u32>::new();
    let mut feed = table.subscribe();
    writer.insert(1, 1);
    writer.remove(&1);
    let version = writer.publish();
    let Some(FeedEvent::Changes(set)) = feed.try_next() else { panic!() };
    assert_eq!((set.version(), set.is_empty(), set.iter().count()), (version, true, 0));
}

#[test]
fn a_feed_resumes_where_another_stopped() {
    let (mut writer, table) = Table::<Key, u32>::new();
    let mut first = table.subscribe();
    (0..3).for_each(|value| _ = publish(&mut writer, value));
    assert_eq!(versions_of(&mut first), [1, 2, 3]);
    let second = table.subscribe_from(first.snapshot().clone());
    drop(first);
    (0..2).for_each(|value| _ = publish(&mut writer, value));
    let mut resumed = table.subscribe_from(second.snapshot().clone());
    drop(second);
    assert_eq!(versions_of(&mut resumed), [4, 5]);
}

#[test]
fn what_nobody_followed_is_not_there_to_resume_from() {
    let (mut writer, table) = Table::<Key, u32>::new();
    let held = table.snapshot();
    publish(&mut writer, 1);
    let mut feed = table.subscribe_from(held);
    assert!(matches!(feed.try_next(), Some(FeedEvent::Lagged { .. })));
    publish(&mut writer, 2);
    assert_eq!(versions_of(&mut feed), [2]);
}

#[test]
#[should_panic(expected = "a snapshot of its table")]
fn a_feed_does_not_resume_from_another_table() {
    let (_writer, table) = Table::<Key, u32>::new();
    let (_other_writer, other) = Table::<Key, u32>::new();
    drop(table.subscribe_from(other.snapshot()));
}

#[test]
fn a_feed_is_closed_when_the_writer_is_gone_and_all_is_delivered() {
    let (mut writer, table) = Table::<Key, u32>::new();
    let mut feed = table.subscribe();
    assert_eq!(feed.next_timeout(Duration::ZERO).unwrap_err(), WaitError::Timeout);
    publish(&mut writer, 1);
    publish(&mut writer, 2);
    drop(writer);
    assert!(!feed.is_closed());
    assert!(feed.next_timeout(Duration::ZERO).is_ok());
    assert!(!feed.is_closed());
    assert!(feed.next_timeout(Duration::ZERO).is_ok());
    assert!(feed.is_closed());
    assert_eq!(feed.next_timeout(Duration::MAX).unwrap_err(), WaitError::WriterClosed);
    assert!(feed.events().next().is_none());
}

/// Any kind of operation may be the first one that is recorded.
#[test]
fn the_first_operation_of_the_first_batch_is_recorded() {
    for recycles in [true, false] {
        let operations: [fn(&mut Writer<Key, u32>); 3] = [
            |writer| _ = writer.insert(1, 2),
            |writer| _ = writer.update(&1, |value| *value = 2),
            |writer| _ = writer.remove(&1),
        ];
        for operation in operations {
            let (mut writer, table) = Table::<Key, u32>::builder().recycle(recycles).build();
            publish(&mut writer, 1);
            let mut feed = table.subscribe();
            operation(&mut writer);
            writer.publish();
            let Some(FeedEvent::Changes(set)) = feed.try_next() else { panic!() };
            assert_eq!(set.len(), 1);
        }
    }
}

/// A value that counts its live copies.
#[derive(Clone)]
struct Counted {
    _alive: Arc<()>,
}

#[test]
fn a_subscriber_that_never_reads_costs_bounded_memory() {
    for (recycles, leaked) in [(true, false), (false, false), (true, true), (false, true)] {
        let alive = Arc::new(());
        let (mut writer, table) = Table::builder().recycle(recycles).history(8, 100).build();
        let value = || Counted { _alive: alive.clone() };
        let feed = table.subscribe();
        if leaked {
            mem::forget(table.subscribe());
        }
        // The table has 50 entries: at most six copies of it (two held, the published one, three to work
        // with), twice the history, and the 1024 operations kept to bring retired versions up to date.
        let bound = 6 * 50 + 2 * 100 + 1024;
        for batch in 0..2_000_u32 {
            for key in 0..10 {
                writer.insert((batch * 7 + key) % 50, value());
            }
            writer.publish();
            let count = Arc::strong_count(&alive) - 1;
            assert!(count <= bound, "{count} values after {batch} batches");
        }
        drop(feed);
    }
}

#[test]
fn nothing_is_recorded_when_nobody_follows() {
    let alive = Arc::new(());
    let (mut writer, table) = Table::builder().recycle(false).build();
    drop(table.subscribe());
    for _ in 0..100 {
        writer.insert(1, Counted { _alive: alive.clone() });
        writer.publish();
    }
    writer.reclaim();
    assert_eq!(Arc::strong_count(&alive) - 1, 1);
}

/// Two subscribers on their own threads, and one writer: in the end each copy equals the last version.
#[test]
#[allow(clippy::disallowed_methods)] // Real threads, on purpose.
fn subscribers_on_threads_keep_up_or_recover() {
    for recycles in [true, false] {
        let (mut writer, table) = Table::<Key, u32>::builder().recycle(recycles).history(4, 64).build();
        let threads = [(); 2].map(|()| {
            let mut subscriber = Subscriber::new(table.subscribe());
            std::thread::spawn(move || {
                let mut events = 0;
                for event in &mut subscriber.feed {
                    events += 1;
                    match event {
                        FeedEvent::Changes(set) => apply(&mut subscriber.copy, &set),
                        FeedEvent::Lagged { resync, .. } => subscriber.copy = contents(&resync),
                        _ => unreachable!(),
                    }
                }
                assert!(events > 0);
                (subscriber.copy, subscriber.feed.version())
            })
        });
        for number in 0..20_000_u32 {
            writer.insert((number * 7 % 101) as Key, number);
            writer.remove(&((number * 3 % 97) as Key));
            writer.publish();
        }
        let version = writer.version();
        drop(writer);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), (contents(&table.snapshot()), version));
        }
    }
}
