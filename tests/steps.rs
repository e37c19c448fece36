//! Old versions and their indexes are dropped in steps, so that no publish is O(n).
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)] // Tests.

use std::cell::Cell;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use switchboard::table::{GroupIndex, Index};
use switchboard::{Table, TableBuilder, Writer};

thread_local! {
    static DROPPED: Cell<usize> = const { Cell::new(0) };
}

/// Returns the number of drops on this thread while `work` runs.
fn drops(work: impl FnOnce()) -> usize {
    let before = DROPPED.get();
    work();
    DROPPED.get() - before
}

/// A key that counts drops: an entry has one, and each place in an index.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key(u64);

impl Drop for Key {
    fn drop(&mut self) {
        DROPPED.set(DROPPED.get() + 1);
    }
}

/// Adds each key to one large group and one small group.
fn groups(key: &Key, _: &u64, group: &mut dyn FnMut(u64)) {
    group(key.0 % 3);
    group(1_000 + key.0 / 5);
}

type Groups = GroupIndex<Key, u64, u64>;
type GroupsWriter = Writer<Key, u64, (Groups, Groups)>;

fn filled(len: u64, recycles: bool) -> (GroupsWriter, Table<Key, u64, (Groups, Groups)>) {
    let indexes = (GroupIndex::new(groups as fn(&_, &_, &mut dyn FnMut(_))), GroupIndex::new(groups as _));
    let entries = (0..len).map(|key| (Key(key), key));
    Table::builder().index(indexes).recycle(recycles).build_with(entries)
}

/// The keys of the pages that one publish may drop: 16 pages, and for one operation 3 more plus its copies in
/// each of two indexes, 8 for each of at most 4 groups.
const BOUND: usize = (16 + 3 + 2 * 4 * 8) * 448;

/// Publishes changes of one entry until only their own garbage is dropped. Returns the most drops of one
/// publish, and the drops of all.
fn publish_until_quiet(writer: &mut GroupsWriter) -> (usize, usize) {
    let (mut worst, mut total, mut quiet, mut number) = (0, 0, 0, 0);
    while quiet < 200 {
        number += 1;
        writer.insert(Key(u64::MAX - number % 2), number);
        let dropped = drops(|| _ = writer.publish());
        worst = worst.max(dropped);
        total += dropped;
        quiet = if dropped < 2_000 { quiet + 1 } else { 0 };
    }
    (worst, total)
}

#[test]
fn a_cleared_table_is_dropped_in_steps_with_its_indexes() {
    for recycles in [true, false] {
        let len = 25_000;
        let (mut writer, _table) = filled(len, recycles);
        writer.insert(Key(0), 7);
        writer.publish();
        let cleared = drops(|| writer.clear());
        let (worst, total) = publish_until_quiet(&mut writer);
        // Each entry has a key, and a place in one large and one small group of each index.
        assert!(cleared + total >= 5 * len as usize, "{recycles}: {total} dropped");
        assert!(worst.max(cleared) <= BOUND, "{recycles}: {worst} in one publish, {cleared} in `clear`");
    }
}

#[test]
fn a_version_that_was_held_for_long_is_dropped_in_steps_with_its_indexes() {
    for recycles in [true, false] {
        let len = 25_000;
        let (mut writer, table) = filled(len, recycles);
        let held = table.snapshot();
        writer.clear();
        for key in 0..len {
            writer.insert(Key(key), 1);
            if key % 500 == 0 {
                writer.publish();
            }
        }
        writer.publish();
        assert_eq!(held.len(), len as usize);
        drop(held);
        let (worst, total) = publish_until_quiet(&mut writer);
        assert!(total >= 5 * len as usize, "{recycles}: {total} dropped");
        assert!(worst <= BOUND, "{recycles}: {worst} in one publish");
    }
}

/// Publishes batches of 64 updates. Returns the most drops of one publish, and the drops of all.
fn worst_of_batches(writer: &mut GroupsWriter) -> (usize, usize) {
    let publishes = (0..200).map(|number| {
        (0..64).for_each(|key| _ = writer.insert(Key(u64::MAX - key), number));
        drops(|| _ = writer.publish())
    });
    publishes.fold((0, 0), |(worst, total), dropped| (worst.max(dropped), total + dropped))
}

/// A batch pays for the old pages that it can have made, but not all at once.
#[test]
fn a_batch_of_many_operations_drops_no_more_of_a_large_version_at_once() {
    // 64 pages, and the operations.
    const BOUND: usize = 64 * 448 + RECORDED + 2 * 64;
    for recycles in [true, false] {
        let len = 25_000;
        let (mut writer, _table) = filled(len, recycles);
        writer.clear();
        let (worst, total) = worst_of_batches(&mut writer);
        assert!(total >= 5 * len as usize, "{recycles}: {total} dropped");
        assert!(worst <= BOUND, "{recycles}: {worst} in one publish after `clear`");

        let (mut writer, table) = filled(len, recycles);
        let held = table.snapshot();
        writer.clear();
        for key in 0..len {
            writer.insert(Key(key), 1);
        }
        writer.publish();
        worst_of_batches(&mut writer);
        drop(held);
        let (worst, total) = worst_of_batches(&mut writer);
        assert!(total >= 5 * len as usize, "{recycles}: {total} dropped");
        assert!(worst <= BOUND, "{recycles}: {worst} in one publish after a held snapshot");
    }
}

/// Number of recorded operations that a call may drop, in addition to those of its own operation.
const RECORDED: usize = 1_024 + 2;

/// The same hashes in each run: with an unlucky seed of the default hasher, the first keys miss whole pages.
type Hashing = BuildHasherDefault<DefaultHasher>;
type Plain = Writer<Key, u64, (), Hashing>;

fn builder() -> TableBuilder<Key, u64, (), Hashing> {
    Table::builder().hasher(Hashing::default())
}

/// Publishes single updates until everything old is dropped. Returns the most drops of staging and of
/// publishing one update, and the drops of all.
fn update_until_quiet(writer: &mut Plain) -> (usize, usize, usize) {
    let (mut staging, mut publishing, mut total) = (0, 0, 0);
    for number in 0..400 {
        let staged = drops(|| _ = writer.insert(Key(number % 2), number));
        let published = drops(|| _ = writer.publish());
        staging = staging.max(staged);
        publishing = publishing.max(published);
        total += staged + published;
    }
    (staging, publishing, total)
}

#[test]
fn a_long_batch_is_dropped_in_steps_when_no_version_needs_it() {
    const LEN: u64 = 100_000;
    const BATCH: u64 = LEN / 8;
    for is_followed in [false, true] {
        let builder = builder().history(4, 2 * BATCH as usize);
        let (mut writer, table) = builder.build_with((0..LEN).map(|key| (Key(key), key)));
        let feed = is_followed.then(|| table.subscribe());
        for key in 0..BATCH {
            writer.insert(Key(key), 1);
        }
        writer.publish();
        drop(feed);
        let (staging, publishing, total) = update_until_quiet(&mut writer);
        assert!(total >= BATCH as usize, "{is_followed}: {total} dropped");
        // `insert` drops the key that it does not need, and the keys of the update that it repeats.
        // Operations that are also kept for feeds are repeated from clones, once.
        let repeated = if is_followed { BATCH as usize } else { 4 };
        assert!(staging <= RECORDED + repeated, "{is_followed}: {staging} while staging one");
        assert!(publishing <= RECORDED, "{is_followed}: {publishing} in one publish");
    }
}

#[test]
fn what_was_recorded_before_a_table_is_cleared_is_dropped_in_steps() {
    const LEN: u64 = 100_000;
    const BATCH: u64 = LEN / 8;
    const PAGES: usize = (16 + 3) * 448;
    let (mut writer, _table) = builder().build_with((0..LEN).map(|key| (Key(key), key)));
    for key in 0..BATCH {
        writer.insert(Key(key), 1);
    }
    writer.publish();
    let cleared = drops(|| writer.clear());
    let published = drops(|| _ = writer.publish());
    let (staging, publishing, total) = update_until_quiet(&mut writer);
    assert!(cleared + published + total >= (2 * LEN + BATCH) as usize, "{published}, {total} dropped");
    let worst = [cleared, published, staging, publishing].into_iter().max();
    assert!(worst <= Some(RECORDED + PAGES), "{cleared}, {published}, {staging}, {publishing}");
}

/// Without recycling there is no log once the last feed is gone; what the feeds were to get goes in steps all the
/// same.
#[test]
fn a_history_is_dropped_in_steps_after_the_last_feed() {
    let (mut writer, table) = builder().recycle(false).build();
    let feed = table.subscribe();
    for round in 0..256 {
        (0..32).for_each(|key| _ = writer.insert(Key(key), round));
        writer.publish();
    }
    drop(feed);
    let (staging, publishing, total) = update_until_quiet(&mut writer);
    assert!(total > 8_000, "{total} dropped");
    let worst = staging.max(publishing);
    // The page that each publish copies, too.
    assert!(worst <= RECORDED + 2 * 32, "{staging} while staging, {publishing} while publishing one");
}

/// An index that panics when it is asked what it has copied.
#[derive(Clone, Default)]
struct Forgetful;

thread_local! {
    static FORGETS: Cell<bool> = const { Cell::new(false) };
}

impl Index<Key, u64> for Forgetful {
    fn insert(&mut self, _: &Key, _: &u64) {}

    fn remove(&mut self, _: &Key, _: &u64) {}

    fn take_copied(&mut self) -> usize {
        assert!(!FORGETS.take(), "it has forgotten");
        0
    }
}

/// The copy that a batch would work on is kept when the index panics, not dropped in one step.
#[test]
fn a_copy_is_not_dropped_at_once_when_the_index_panics() {
    let builder = Table::<Key, u64>::builder().index(Forgetful);
    let (mut writer, _table) = builder.build_with((0..20_000).map(|key| (Key(key), key)));
    // Once every page has changed, the two copies share none.
    for key in (0..20_000).step_by(20) {
        writer.insert(Key(key), 1);
    }
    writer.publish();
    for number in 0..4 {
        writer.insert(Key(1), number);
        writer.publish();
    }
    FORGETS.set(true);
    let dropped = drops(|| {
        let insert = std::panic::AssertUnwindSafe(|| writer.insert(Key(1), 9));
        assert!(std::panic::catch_unwind(insert).is_err());
    });
    assert!(dropped < RECORDED, "{dropped}");
    writer.insert(Key(1), 10);
    writer.publish();
    assert_eq!((writer.get(&Key(1)), writer.len()), (Some(&10), 20_000));
}

/// Parts of old versions are dropped as fast as publishes create them, so nothing accumulates, regardless of
/// the number of groups per entry.
#[test]
fn no_old_parts_pile_up_when_entries_are_in_many_groups() {
    fn many(_: &u64, value: &u64, group: &mut dyn FnMut(u64)) {
        (0..20).for_each(|number| group(number * 1_000 + value % 7));
    }
    let index = GroupIndex::new(many as fn(&_, &_, &mut dyn FnMut(_)));
    let (mut writer, _table) =
        Table::builder().index(index).recycle(false).build_with((0..500_u64).map(|key| (key, key)));
    let mut bytes = Vec::new();
    let measured = allocation_counter::measure(|| {
        for round in 0..10 {
            let counted = allocation_counter::measure(|| {
                for number in 0..20 {
                    writer.insert(round * 20 + number, number + round);
                    writer.publish();
                }
            });
            bytes.push(counted.bytes_current);
        }
    });
    let grown: i64 = bytes[5..].iter().sum();
    assert!(grown < 1 << 18, "{grown} bytes more in 100 versions, {} in all", measured.bytes_current);
}

/// A user-defined index with its own `dismantle`.
#[derive(Clone, Default)]
struct InSteps {
    copied: usize,
    parts_left: usize,
}

thread_local! {
    static PARTS: Cell<usize> = const { Cell::new(0) };
}

impl Index<u64, u64> for InSteps {
    fn insert(&mut self, _: &u64, _: &u64) {
        self.parts_left += 1;
        self.copied += 5;
    }

    fn remove(&mut self, _: &u64, _: &u64) {}

    fn dismantle(&mut self, budget: &mut usize) -> bool {
        let parts = self.parts_left.min(*budget);
        *budget -= parts;
        self.parts_left -= parts;
        PARTS.set(PARTS.get() + parts);
        self.parts_left == 0
    }

    fn take_copied(&mut self) -> usize {
        std::mem::take(&mut self.copied)
    }
}

#[test]
fn an_index_of_the_users_own_is_dismantled_within_the_budget() {
    let (mut writer, _table) = Table::<u64, u64>::builder().index(((), InSteps::default())).build();
    writer.extend((0..1_000).map(|key| (key, key)));
    writer.publish();
    writer.clear();
    let mut steps = Vec::new();
    for number in 0..100 {
        let before = PARTS.get();
        writer.insert(1, number);
        writer.publish();
        steps.push(PARTS.get() - before);
    }
    // An operation pays for three parts, and for the five that the index reports as copied (twice, because
    // the recycled copy repeats the operation).
    assert!(steps.iter().all(|parts| *parts <= 16 + 2 * (3 + 5)), "{steps:?}");
    assert!(steps.iter().sum::<usize>() >= 1_000, "{steps:?}");
}

/// Returns the time that this thread has waited for a processor; zero if the system does not report it.
fn waited() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split_whitespace().nth(1).and_then(|waited| waited.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Returns the durations of the longest publishes of batches of `batch` updates, longest first, without the
/// time in which the thread waited for a processor.
fn worst_publish(
    writer: &mut Writer<u64, u64, GroupIndex<u64, u64, u64>>,
    publishes: u64,
    batch: u64,
) -> Vec<Duration> {
    let mut times: Vec<_> = (0..publishes)
        .map(|number| {
            (number * batch..(number + 1) * batch)
                .for_each(|number| _ = writer.insert(number % 1_000, number));
            let before = waited();
            let start = Instant::now();
            writer.publish();
            start.elapsed().saturating_sub(waited() - before)
        })
        .collect();
    times.sort_unstable_by(|one, other| other.cmp(one));
    times.truncate(8);
    times
}

/// Prints durations, which depend on the hardware.
#[test]
#[ignore = "prints durations: use --release -- --ignored --nocapture"]
fn the_worst_publish_of_an_indexed_table_of_a_million_entries() {
    const LEN: u64 = 1_000_000;
    fn by_thousands(key: &u64, value: &u64, group: &mut dyn FnMut(u64)) {
        group(key / 1_000);
        group(1_000_000 + value % 10);
    }
    let entries = || (0..LEN).map(|key| (key, key));
    for (recycles, batch) in [(true, 1), (false, 1), (true, 64), (false, 64)] {
        let index = || GroupIndex::new(by_thousands as fn(&_, &_, &mut dyn FnMut(_)));
        let (mut writer, _table) = Table::builder().index(index()).recycle(recycles).build_with(entries());
        let before = worst_publish(&mut writer, 2_000, batch);
        let start = Instant::now();
        writer.clear();
        let cleared = start.elapsed();
        let after_clear = worst_publish(&mut writer, 20_000 / batch, batch);

        let (mut writer, table) = Table::builder().index(index()).recycle(recycles).build_with(entries());
        let held = table.snapshot();
        writer.clear();
        for (key, value) in entries() {
            writer.insert(key, value);
            if key % 64 == 0 {
                writer.publish();
            }
        }
        let while_held = worst_publish(&mut writer, 2_000, batch);
        drop(held);
        let after_hold = worst_publish(&mut writer, 20_000 / batch, batch);
        eprintln!(
            "recycling {recycles}, batches of {batch}: longest publishes {before:?} before, {after_clear:?} after \
             `clear` (itself {cleared:?}); {while_held:?} with a held snapshot, {after_hold:?} after its drop"
        );
    }
}
