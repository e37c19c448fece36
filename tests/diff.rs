//! A diff visits the entries of changed pages only.

use std::cell::Cell;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use switchboard::table::Change;
use switchboard::{Snapshot, Table, Writer};

thread_local! {
    static HASHED: Cell<usize> = const { Cell::new(0) };
}

/// Counts the hashed keys: a diff hashes the key of each entry that it visits.
#[derive(Clone, Default)]
struct Counting(BuildHasherDefault<DefaultHasher>);

impl BuildHasher for Counting {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        HASHED.set(HASHED.get() + 1);
        self.0.build_hasher()
    }
}

type TestWriter = Writer<u64, u64, (), Counting>;
type TestSnapshot = Snapshot<u64, u64, (), Counting>;

const LEN: u64 = 100_000;
const CHANGES: usize = 10;
/// Number of entries of a full page.
const PAGE: usize = 448;

/// Changes some keys and publishes. Nearby values of `step` change different keys.
fn change(writer: &mut TestWriter, step: u64) {
    for change in 0..CHANGES as u64 {
        let key = (step * 1_009 + change * 10_007) % LEN;
        assert!(writer.update(&key, |value| *value += 1));
    }
    writer.publish();
}

/// Returns the number of changes, and the number of entries that the diff visited.
fn diff(newer: &TestSnapshot, older: &TestSnapshot) -> (usize, usize) {
    let before = HASHED.get();
    let changes =
        newer.diff(older).inspect(|change| assert!(matches!(change, Change::Updated { .. }))).count();
    (changes, HASHED.get() - before)
}

fn run(recycles: bool) {
    let builder = Table::<u64, u64>::builder().hasher(Counting::default()).recycle(recycles);
    let (mut writer, table) = builder.build();
    for key in 0..LEN {
        writer.insert(key, 0);
        if key % 1_000 == 999 {
            writer.publish();
        }
    }
    writer.publish();
    // If there are two copies, each gets its own pages everywhere.
    for step in 0..400 {
        change(&mut writer, step);
    }
    let mut older = table.snapshot();
    for distance in [1, 2, 3, 10] {
        for step in 0..distance {
            change(&mut writer, 1_000 * distance + step);
        }
        let newer = table.snapshot();
        let (changes, looked_at) = diff(&newer, &older);
        assert!(changes > 0 && changes <= CHANGES * distance as usize);
        // Each changed page is visited once in each of the two versions.
        assert!(looked_at >= changes, "the counter did not count");
        assert!(
            looked_at <= 2 * PAGE * CHANGES * distance as usize,
            "{looked_at} entries of {LEN} for {changes} changes over {distance} versions"
        );
        assert!(diff(&older, &newer).1 <= 2 * PAGE * CHANGES * distance as usize, "in the other direction");
        older = newer;
    }
}

#[test]
fn recycled_versions_differ_in_changed_pages_only() {
    run(true);
}

#[test]
fn copied_versions_differ_in_changed_pages_only() {
    run(false);
}

/// A separate test with its own table; the counter is per thread.
#[test]
fn the_counter_counts() {
    let (mut writer, table) = Table::<u64, u64>::builder().hasher(Counting::default()).build();
    writer.insert(1, 1);
    let before = HASHED.get();
    assert_eq!(table.snapshot().get(&1), None);
    assert_eq!(HASHED.get() - before, 1);
}

/// Returns the changes of a diff in the order of the keys.
fn sorted<'a>(newer: &'a Snapshot<u64, u64>, older: &'a Snapshot<u64, u64>) -> Vec<Change<'a, u64, u64>> {
    let mut changes: Vec<_> = newer.diff(older).collect();
    changes.sort_by_key(|change| match change {
        Change::Inserted { key, .. } | Change::Updated { key, .. } | Change::Removed { key, .. } => **key,
    });
    changes
}

/// With a subscriber, versions carry their operations, and a diff reads those instead of the pages.
#[test]
fn a_diff_by_operations_is_the_diff_by_pages() {
    for recycles in [true, false] {
        let tables = [(); 2].map(|()| Table::<u64, u64>::builder().recycle(recycles).history(8, 400).build());
        let [(mut followed, followed_table), (mut plain, plain_table)] = tables;
        let _feed = followed_table.subscribe();
        let mut random = fastrand::Rng::with_seed(11);
        let mut held = Vec::new();
        let mut compared = 0;
        for _ in 0..300 {
            for _ in 0..random.usize(1..40) {
                let (key, value) = (random.u64(..500), random.u64(..3));
                if random.u8(..4) == 0 {
                    assert_eq!(followed.remove(&key), plain.remove(&key));
                } else {
                    assert_eq!(followed.insert(key, value), plain.insert(key, value));
                }
            }
            if random.u8(..40) == 0 {
                followed.clear();
                plain.clear();
            }
            followed.publish();
            plain.publish();
            held.push((followed_table.snapshot(), plain_table.snapshot()));
            held.drain(..held.len().saturating_sub(20));
            for (one, other) in &held {
                let (by_ops, by_pages) = (&held[held.len() - 1].0, &held[held.len() - 1].1);
                assert_eq!(sorted(by_ops, one), sorted(by_pages, other));
                assert_eq!(sorted(one, by_ops), sorted(other, by_pages), "in the other direction");
                compared += by_ops.diff(one).count();
            }
        }
        assert!(compared > 10_000, "only {compared} changes");
    }
}

#[test]
fn a_diff_by_operations_looks_at_no_entry_that_they_did_not_touch() {
    let (mut writer, table) = Table::<u64, u64>::builder().hasher(Counting::default()).build();
    writer.extend((0..LEN).map(|key| (key, 0)));
    writer.publish();
    let _feed = table.subscribe();
    change(&mut writer, 0);
    let older = table.snapshot();
    change(&mut writer, 1);
    change(&mut writer, 2);
    // The operations carry their hashes, so no entry is visited.
    assert_eq!(diff(&table.snapshot(), &older), (2 * CHANGES, 0));
}
