//! The contract of the table, tested through its public API.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // Tests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use switchboard::table::{Change, Index, WaitError};
use switchboard::{Reader, Snapshot, Table, TableBuilder, Version, Writer};

const LONG: Duration = Duration::from_secs(60);

fn filled(entries: std::ops::Range<u64>) -> (Writer<u64, u64>, Table<u64, u64>) {
    let (mut writer, table) = Table::new();
    for key in entries {
        writer.insert(key, key * 10);
    }
    writer.publish();
    (writer, table)
}

fn sorted<I, S>(snapshot: &Snapshot<u64, u64, I, S>) -> Vec<(u64, u64)> {
    let mut entries: Vec<_> = snapshot.iter().map(|(key, value)| (*key, *value)).collect();
    entries.sort_unstable();
    entries
}

#[test]
fn staged_changes_are_visible_to_the_writer_only() {
    let (mut writer, table) = filled(0..3);
    let mut reader = table.reader();
    assert_eq!(writer.insert(3, 30), None);
    assert_eq!(writer.insert(0, 1), Some(0));
    assert!(writer.update(&1, |value| *value += 1));
    assert!(!writer.update(&9, |_| unreachable!("no such entry")));
    assert_eq!(writer.remove(&2), Some(20));
    assert_eq!(writer.remove(&2), None);

    assert_eq!(
        (writer.get(&0), writer.get(&1), writer.get(&2), writer.get(&3)),
        (Some(&1), Some(&11), None, Some(&30))
    );
    assert_eq!((writer.len(), writer.contains_key(&3), writer.contains_key(&2)), (3, true, false));
    assert_eq!(writer.iter().map(|(_, value)| value).sum::<u64>(), 42);
    assert_eq!(sorted(&table.snapshot()), [(0, 0), (1, 10), (2, 20)]);
    assert_eq!(reader.get(&3), None);

    let version = writer.publish();
    assert_eq!((version, table.version(), reader.version()), (writer.version(), version, version));
    assert_eq!(sorted(&table.snapshot()), [(0, 1), (1, 11), (3, 30)]);
    assert_eq!(reader.get(&3), Some(&30));
    assert!(reader.contains_key(&1) && !reader.contains_key(&2));
}

#[test]
fn a_held_snapshot_never_changes() {
    let (mut writer, table) = filled(0..500);
    let mut held = Vec::new();
    for round in 1..=50 {
        held.push((table.snapshot(), round - 1));
        for key in 0..500 {
            writer.insert(key, round);
        }
        writer.publish();
    }
    for (snapshot, round) in &held[1..] {
        assert_eq!(snapshot.version().as_u64(), round + 1);
        assert_eq!(snapshot.len(), 500);
        assert!(snapshot.iter().all(|(_, value)| value == round));
        assert!((0..500).all(|key| snapshot.get(&key) == Some(round)));
    }
    assert_eq!(writer.reclaim(), held.len());
    held.truncate(1);
    assert_eq!(writer.reclaim(), 1);
    assert_eq!(sorted(&held[0].0), (0..500).map(|key| (key, key * 10)).collect::<Vec<_>>());
}

#[test]
fn a_publish_of_nothing_is_no_version() {
    let (mut writer, table) = Table::<u64, u64>::new();
    assert_eq!(table.version(), Version::ZERO);
    assert_eq!(writer.publish(), Version::ZERO);
    assert_eq!(writer.remove(&1), None);
    assert!(!writer.update(&1, |_| ()));
    assert!(!writer.has_staged());
    assert_eq!(writer.publish(), Version::ZERO);
    writer.insert(1, 1);
    assert!(writer.has_staged());
    assert_eq!(writer.publish().as_u64(), 1);
    assert_eq!(writer.publish().as_u64(), 1);
    assert!(writer.update(&1, |_| ()), "an update to an equal value is a change");
    assert_eq!(writer.publish().as_u64(), 2);
}

#[test]
fn discard_goes_back_to_what_is_published() {
    let (mut writer, table) = filled(0..3);
    writer.insert(7, 7);
    writer.remove(&0);
    writer.discard();
    assert_eq!((writer.len(), writer.get(&7), writer.get(&0)), (3, None, Some(&0)));
    assert_eq!(writer.publish(), table.version());
    writer.insert(8, 80);
    writer.publish();
    assert_eq!(sorted(&table.snapshot()), [(0, 0), (1, 10), (2, 20), (8, 80)]);
}

#[test]
fn a_panic_in_update_changes_nothing() {
    let (mut writer, table) = filled(0..3);
    writer.insert(5, 50);
    let result = catch_unwind(AssertUnwindSafe(|| {
        writer.update(&5, |value| {
            *value = 99;
            panic!("in the middle of the change");
        })
    }));
    assert!(result.is_err());
    assert_eq!((writer.get(&5), writer.len()), (Some(&50), 4), "other staged changes are kept");
    writer.publish();
    assert_eq!(table.snapshot().get(&5), Some(&50));
}

/// An index that panics on demand, between two steps that belong together.
#[derive(Clone, Debug, Default)]
struct Sum {
    total: u64,
    fails: bool,
}

impl Index<u64, u64> for Sum {
    fn insert(&mut self, _: &u64, value: &u64) {
        self.total += value;
        assert!(!self.fails, "the index fails");
    }

    fn remove(&mut self, _: &u64, old: &u64) {
        self.total -= old;
        assert!(!self.fails, "the index fails");
    }

    fn refresh(&mut self, newest: &Self) {
        self.fails = newest.fails;
    }
}

#[test]
fn an_index_is_published_with_its_entries() {
    let (mut writer, table) = Table::<u64, u64>::builder().index(Sum::default()).build();
    let total = |table: &Table<u64, u64, Sum>| table.snapshot().index().total;
    for round in 1..=20 {
        writer.insert(1, round);
        writer.insert(2, 2);
        assert!(writer.update(&2, |value| *value += round));
        assert_eq!(writer.index().total, 2 + 2 * round);
        assert_ne!(total(&table), 2 + 2 * round);
        writer.publish();
        assert_eq!(total(&table), 2 + 2 * round);
    }
    writer.remove(&1);
    writer.publish();
    assert_eq!(total(&table), 22);
}

#[test]
fn a_panic_in_the_index_loses_nothing() {
    let (mut writer, table) = Table::<u64, u64>::builder().index(Sum::default()).build();
    for round in 0..6 {
        writer.insert(1, 1);
        writer.insert(100 + round, 0);
        writer.publish();
        let before = table.snapshot();
        writer.insert(2, 2);
        writer.index_mut().fails = true;
        assert!(catch_unwind(AssertUnwindSafe(|| writer.insert(3, 3))).is_err());
        assert_eq!((writer.get(&2), writer.get(&3), writer.index().total), (Some(&2), None, 3));
        assert!(writer.index().fails, "state that does not derive from entries is kept");
        writer.index_mut().fails = false;
        assert!(writer.publish() > before.version());
        assert_eq!(table.snapshot().index().total, 3);
        writer.remove(&2);
        assert_eq!(writer.index().total, 1);
    }
}

#[test]
fn index_mut_is_a_change() {
    let (mut writer, table) = Table::<u64, u64>::builder().index(Sum::default()).build();
    for round in 1..=10 {
        writer.index_mut().fails = round % 2 == 1;
        assert_eq!(writer.publish().as_u64(), round);
        assert_eq!(table.snapshot().index().fails, round % 2 == 1);
    }
}

#[test]
fn a_diff_has_what_changed_and_nothing_else() {
    let (mut writer, table) = filled(0..1000);
    let older = table.snapshot();
    writer.insert(2000, 1);
    writer.insert(5, 5);
    writer.insert(6, 60);
    writer.remove(&7);
    writer.publish();
    writer.insert(2000, 2);
    writer.publish();
    let newer = table.snapshot();
    let mut changes: Vec<_> = newer.diff(&older).collect();
    changes.sort_by_key(|change| match change {
        Change::Inserted { key, .. } | Change::Updated { key, .. } | Change::Removed { key, .. } => **key,
    });
    assert_eq!(
        changes,
        [
            Change::Updated { key: &5, old: &50, new: &5 },
            Change::Removed { key: &7, old: &70 },
            Change::Inserted { key: &2000, new: &2 },
        ]
    );
    assert_eq!(newer.diff(&newer).count(), 0);
    assert_eq!(older.diff(&newer).count(), 3, "in the other direction");
}

#[test]
#[should_panic(expected = "two versions of one table")]
fn a_diff_over_two_tables_is_refused() {
    let (one, other) = (filled(0..3).1.snapshot(), filled(0..3).1.snapshot());
    let _ = one.diff(&other).count();
}

#[test]
fn a_table_without_a_writer_stays_readable() {
    let (mut writer, table) = filled(0..3);
    writer.insert(9, 9);
    assert!(!table.is_closed());
    drop(writer);
    assert!(table.is_closed());
    assert_eq!(table.snapshot().len(), 3, "staged changes are lost");
    assert_eq!(table.reader().get(&1), Some(&10));
    assert_eq!(table.wait_for(table.version(), Duration::ZERO), Ok(table.version()));
}

#[test]
fn a_snapshot_outlives_its_table() {
    let (writer, table) = filled(0..3);
    let (snapshot, mut reader) = (table.snapshot(), table.reader());
    drop((writer, table));
    assert_eq!(reader.get(&2), Some(&20));
    drop(reader);
    assert_eq!(sorted(&snapshot.clone()), [(0, 0), (1, 10), (2, 20)]);
}

#[test]
fn a_wait_ends_with_its_version() {
    let (mut writer, table) = filled(0..3);
    let next = table.version().as_u64() + 1;
    let (send, receive) = mpsc::channel();
    let waiter = thread::spawn({
        let table = table.clone();
        move || {
            let version: Version = receive.recv().unwrap();
            let newest = table.wait_for(version, LONG).unwrap();
            assert!(newest >= version);
            assert_eq!(table.reader().get(&7), Some(&7), "read your writes");
            newest
        }
    });
    writer.insert(7, 7);
    let version = writer.publish();
    assert_eq!(version.as_u64(), next);
    send.send(version).unwrap();
    assert_eq!(waiter.join().unwrap(), version);
}

#[test]
fn a_wait_for_a_version_that_is_not_there_yet() {
    for _ in 0..200 {
        let (mut writer, table) = filled(0..3);
        let wanted = writer.publish();
        let waiter = thread::spawn({
            let table = table.clone();
            move || {
                let mut version = wanted;
                while version.as_u64() < 5 {
                    // One version at a time: each wait begins while the writer continues.
                    version = table.wait_for(version, LONG).unwrap();
                    if table.snapshot().get(&4) == Some(&4) {
                        break;
                    }
                }
            }
        });
        for key in 0..5 {
            writer.insert(key, key);
            writer.publish();
        }
        waiter.join().unwrap();
    }
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let (mut writer, table) = filled(0..3);
    let before = table.version();
    writer.insert(1, 1);
    let never = {
        let mut other = filled(0..3).0;
        other.insert(7, 7);
        other.publish()
    };
    assert!(never > before);
    assert_eq!(table.wait_for(never, Duration::from_millis(5)), Err(WaitError::Timeout));
    assert_eq!(table.wait_for(never, Duration::ZERO), Err(WaitError::Timeout));
    assert_eq!(table.wait_changed(before, Duration::ZERO), Err(WaitError::Timeout));
    writer.publish();
    assert_eq!(table.wait_for(never, Duration::ZERO), Ok(never));
    assert_eq!(table.wait_changed(before, Duration::ZERO), Ok(never));
    assert_eq!(table.wait_changed(never, Duration::from_millis(5)), Err(WaitError::Timeout));
    drop(writer);
    assert_eq!(table.wait_changed(never, Duration::MAX), Err(WaitError::WriterClosed));
}

#[test]
fn a_wait_ends_with_the_writer() {
    let (writer, table) = filled(0..3);
    let never = {
        let mut other = filled(0..3).0;
        other.insert(7, 7);
        other.publish()
    };
    let waiter = thread::spawn({
        let table = table.clone();
        move || table.wait_for(never, Duration::MAX)
    });
    drop(writer);
    assert_eq!(waiter.join().unwrap(), Err(WaitError::WriterClosed));
    assert!(WaitError::WriterClosed.is_closed() && WaitError::Timeout.is_timeout());
}

#[test]
fn readers_on_other_threads_never_go_backwards() {
    let (mut writer, table) = filled(0..10);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut reader = table.reader();
            thread::spawn(move || {
                let (mut last, mut reads) = (0, 0);
                while last < 2_000 {
                    let snapshot = reader.snapshot();
                    let values: Vec<_> = (0..10).map(|key| *snapshot.get(&key).unwrap()).collect();
                    assert!(
                        values.iter().all(|value| *value == values[0]) || snapshot.version().as_u64() == 1
                    );
                    let version = snapshot.version().as_u64();
                    assert!(version >= last);
                    last = version;
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for round in 2..=2_000 {
        for key in 0..10 {
            writer.insert(key, round);
        }
        assert_eq!(writer.publish().as_u64(), round);
    }
    assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
}

/// A value whose destructor counts on which thread it runs.
#[derive(Clone)]
struct Tracked {
    here: Arc<AtomicUsize>,
    elsewhere: Arc<AtomicUsize>,
    owner: thread::ThreadId,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let counter = if thread::current().id() == self.owner { &self.here } else { &self.elsewhere };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_reader_never_runs_a_destructor() {
    let (here, elsewhere) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let value = Tracked { here: here.clone(), elsewhere: elsewhere.clone(), owner: thread::current().id() };
    let (mut writer, table) = Table::<u64, Tracked>::new();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let table = table.clone();
            thread::spawn(move || {
                let mut reader = table.reader();
                let mut last = 0;
                while !table.is_closed() {
                    let snapshot = table.snapshot();
                    last = last.max(snapshot.version().as_u64()).max(reader.version().as_u64());
                    drop(snapshot.clone());
                }
                last
            })
        })
        .collect();
    for round in 0..5_000 {
        writer.insert(round % 64, value.clone());
        writer.publish();
    }
    let last = writer.version();
    drop(writer);
    for reader in readers {
        assert!(reader.join().unwrap() <= last.as_u64());
    }
    assert_eq!(elsewhere.load(Ordering::Relaxed), 0);
    assert!(here.load(Ordering::Relaxed) > 4_000, "old values are dropped");
    drop(table);
}

#[test]
fn several_keys_are_looked_up_as_one_by_one() {
    let (mut writer, table) = Table::<u64, u64>::new();
    writer.extend((0..5_000).map(|key| (key * 2, key)));
    writer.publish();
    let snapshot = table.snapshot();
    for len in 0..70 {
        let keys: Vec<u64> = (0..len).map(|number| number * 37 % 101 * 99).collect();
        let each = snapshot.get_each(&keys);
        assert_eq!(each.len(), keys.len());
        assert!(each.eq(keys.iter().map(|key| snapshot.get(key))), "{len}");
    }
    let mut reader = table.reader();
    writer.insert(1, 7);
    writer.publish();
    assert_eq!(reader.get_many([&0, &1, &2, &0]), [Some(&0), Some(&7), Some(&1), Some(&0)]);
    assert_eq!(snapshot.get_many([&1]), [None], "an older version");
    assert_eq!(snapshot.get_many::<u64, 0>([]), []);
    let mut each = snapshot.get_each([&2, &3]);
    assert_eq!((each.next(), each.size_hint()), (Some(Some(&1)), (1, Some(1))));
    assert_eq!((each.next(), each.next(), each.next()), (Some(None), None, None));
}

#[test]
fn keys_are_looked_up_borrowed() {
    let (mut writer, table) = Table::<String, u64>::new();
    writer.insert(String::from("one"), 1);
    assert!(writer.update("one", |value| *value = 11));
    assert_eq!(writer.get("one"), Some(&11));
    writer.publish();
    assert_eq!(table.snapshot().get_key_value("one"), Some((&String::from("one"), &11)));
    assert_eq!(table.reader().get("one"), Some(&11));
    assert_eq!(table.snapshot().get_many(["one", "two"]), [Some(&11), None]);
    assert!(table.snapshot().get_each(["two", "one"]).eq([None, Some(&11)]));
    assert_eq!(writer.remove("one"), Some(11));
}

#[test]
fn the_ends_are_as_shareable_as_they_say() {
    fn send<T: Send>() {}
    fn sync<T: Sync + Clone>() {}
    send::<Writer<u64, String>>();
    send::<Reader<u64, String>>();
    send::<Table<u64, String>>();
    sync::<Table<u64, String>>();
    send::<Snapshot<u64, String>>();
    sync::<Snapshot<u64, String>>();
}

#[test]
fn everything_can_be_printed() {
    let builder: TableBuilder<u64, u64> = Table::builder().expected_len(10);
    assert!(format!("{builder:?}").contains("TableBuilder"));
    let (writer, table) = builder.build();
    assert_eq!(format!("{table:?}"), "Table { version: Version(0), is_closed: false, .. }");
    assert_eq!(format!("{writer:?}"), "Writer { version: Version(0), len: 0, has_staged: false, .. }");
    assert!(format!("{:?} {:?}", table.snapshot(), table.reader()).contains("Reader"));
    assert_eq!(table.version().to_string(), "0");
    assert_eq!(WaitError::Timeout.to_string(), "timed out before the version was published");
}

#[test]
fn an_old_version_is_dropped_in_bounded_steps() {
    const ENTRIES: u64 = 40_000;
    let (drops, elsewhere) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let value = Tracked { here: drops.clone(), elsewhere, owner: thread::current().id() };
    let dropped = || drops.load(Ordering::Relaxed);
    let (mut writer, table) = Table::<u64, Tracked>::builder().recycle(false).build();
    for key in 0..ENTRIES {
        writer.insert(key, value.clone());
    }
    writer.publish();
    let held = table.snapshot();
    for batch in 0..ENTRIES / 100 {
        for key in 0..100 {
            writer.insert(batch * 100 + key, value.clone());
        }
        writer.publish();
    }
    drop(held);
    let (before, mut worst) = (dropped(), 0);
    for _ in 0..1_000 {
        let before = dropped();
        writer.insert(0, value.clone());
        writer.publish();
        worst = worst.max(dropped() - before);
    }
    assert!(dropped() - before > ENTRIES as usize, "everything is dropped: {}", dropped() - before);
    assert!(worst < ENTRIES as usize / 3, "but not at once: {worst}");
}

#[test]
fn a_snapshot_is_a_map() {
    let (mut writer, table) = filled(0..3);
    let snapshot = table.snapshot();
    assert_eq!(snapshot[&2], 20);
    assert_eq!(snapshot.keys().len(), 3);
    assert_eq!(snapshot.keys().copied().zip(snapshot.values().copied()).collect::<Vec<_>>().len(), 3);
    assert_eq!((&snapshot).into_iter().map(|(key, _)| key).sum::<u64>(), 3);

    let other: Snapshot<u64, u64> = (0..3).map(|key| (key, key * 10)).collect();
    assert_eq!(snapshot, other, "another table with another seed");
    assert_eq!(other.version(), Version::ZERO);
    let one: Snapshot<&str, u64> = [("one", 0), ("one", 1)].into_iter().collect();
    assert_eq!(format!("{one:?}"), r#"{"one": 1}"#);

    writer.insert(2, 21);
    writer.publish();
    assert_ne!(table.snapshot(), snapshot, "another value");
    writer.insert(2, 20);
    writer.publish();
    assert_eq!(table.snapshot(), snapshot, "another version");
    writer.remove(&2);
    writer.insert(3, 20);
    writer.publish();
    assert_ne!(table.snapshot(), snapshot, "another key");
}

#[test]
#[should_panic(expected = "no entry for this key in version 1")]
fn an_index_of_nothing_panics() {
    let (_writer, table) = filled(0..3);
    let _ = table.snapshot()[&3];
}

#[test]
fn a_table_starts_with_its_entries() {
    let entries = (0..5_000).chain(0..10).map(|key| (key, 1));
    let (mut writer, table) = Table::<u64, u64>::builder().index(Sum::default()).build_with(entries);
    assert!(!writer.has_staged());
    assert_eq!((table.version(), table.snapshot().len()), (Version::ZERO, 5_000));
    assert_eq!(table.snapshot().index().total, 5_000);
    writer.clear();
    assert_eq!((writer.len(), writer.index().total), (0, 0));
    assert_eq!(writer.publish().as_u64(), 1);
    writer.clear();
    assert_eq!(writer.publish().as_u64(), 1, "clearing an empty table is no change");
}

#[test]
fn a_writer_that_is_lost_in_a_panic_closes_its_table() {
    let (mut writer, table) = filled(0..3);
    let waiting = table.clone();
    let next = {
        let (mut ahead, _) = filled(0..3);
        ahead.insert(3, 30);
        ahead.publish()
    };
    let waiter = thread::spawn(move || waiting.wait_for(next, LONG));
    let lost = thread::spawn(move || {
        writer.insert(9, 9);
        std::panic::resume_unwind(Box::new("drops the writer"));
    });
    assert!(lost.join().is_err());
    assert_eq!(waiter.join().unwrap(), Err(WaitError::WriterClosed));
    assert!(table.is_closed());
    assert_eq!(table.snapshot().get(&9), None);
    assert_eq!(table.reader().get(&2), Some(&20));
}

/// Batches that exceed the record, several times: pages that cannot be recycled are copied, correctly.
#[test]
fn a_batch_that_is_too_long_to_be_recorded_is_published_all_the_same() {
    let (mut writer, table) = Table::<u64, u64>::builder().index(Sum::default()).build();
    for round in 1..=6 {
        let held = (round % 2 == 0).then(|| table.snapshot());
        writer.extend((0..3_000 * round).map(|key| (key, round)));
        writer.publish();
        assert_eq!(writer.retain(|key, _| key % 3 == 0), 2_000 * round as usize);
        writer.publish();
        writer.insert(0, 100);
        writer.publish();
        let snapshot = table.snapshot();
        assert_eq!(snapshot.len() as u64, 1_000 * round);
        assert_eq!(snapshot.index().total, snapshot.values().sum::<u64>());
        assert_eq!(snapshot.index().total, 1_000 * round * round - round + 100);
        drop(held);
    }
}
