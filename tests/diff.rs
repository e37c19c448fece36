//! A diff looks at the entries of pages that changed, and at no others.

use std::cell::Cell;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use switchboard::{Change, Snapshot, Table, Writer};

thread_local! {
    static HASHED: Cell<usize> = const { Cell::new(0) };
}

/// Counts how often a key is hashed: a diff does that once for each entry that it looks at.
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
/// Entries of a full page of these.
const PAGE: usize = 448;

/// Changes that step from one `step` to the next; no key is touched twice within a few.
fn change(writer: &mut TestWriter, step: u64) {
    for change in 0..CHANGES as u64 {
        let key = (step * 1_009 + change * 10_007) % LEN;
        assert!(writer.update(&key, |value| *value += 1));
    }
    writer.publish();
}

/// How many changes there are, and how many entries the diff has looked at.
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
    // Both copies get pages of their own everywhere, if there are two.
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
        // Each changed page is gone through once in each of the two versions.
        assert!(looked_at >= changes, "nothing was counted");
        assert!(
            looked_at <= 2 * PAGE * CHANGES * distance as usize,
            "{looked_at} entries of {LEN} for {changes} changes over {distance} versions"
        );
        assert!(diff(&older, &newer).1 <= 2 * PAGE * CHANGES * distance as usize, "and back");
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

/// Another writer, of its own: the counter is the thread's.
#[test]
fn the_counter_counts() {
    let (mut writer, table) = Table::<u64, u64>::builder().hasher(Counting::default()).build();
    writer.insert(1, 1);
    let before = HASHED.get();
    assert_eq!(table.snapshot().get(&1), None);
    assert_eq!(HASHED.get() - before, 1);
}
