//! The complete table at full speed: two readers against a writer that never pauses.
// Tests.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_types, clippy::disallowed_methods)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use switchboard::table::{GroupIndex, Index};
use switchboard::{Snapshot, Table, Version, Writer};

const ACCOUNTS: u64 = 2_000;
const MONEY: u64 = ACCOUNTS * 100;
/// Number of accounts that are created and removed.
const GUESTS: u64 = 500;
/// The entry that contains the number of its version.
const NUMBER: u64 = u64::MAX;

/// The sum of all accounts.
#[derive(Clone, Debug, Default)]
struct Money(u64);

impl Index<u64, u64> for Money {
    fn insert(&mut self, key: &u64, value: &u64) {
        self.0 += if *key == NUMBER { 0 } else { *value };
    }

    fn remove(&mut self, key: &u64, old: &u64) {
        self.0 -= if *key == NUMBER { 0 } else { *old };
    }
}

fn group_of(value: u64) -> u64 {
    value % 8
}

fn groups_of(_: &u64, value: &u64, group: &mut dyn FnMut(u64)) {
    group(group_of(*value));
}

type Indexes = (GroupIndex<u64, u64, u64>, Money);

/// Checks the invariants of each batch: the sum of money, and the version number in the snapshot.
fn check(snapshot: &Snapshot<u64, u64, Indexes>) -> Version {
    assert_eq!(snapshot.index().1.0, MONEY);
    assert_eq!(snapshot[&NUMBER], snapshot.version().as_u64());
    snapshot.version()
}

/// Checks all entries and both indexes.
fn check_all(snapshot: &Snapshot<u64, u64, Indexes>) {
    let (mut money, mut counts) = (0, [0; 8]);
    for (key, value) in snapshot {
        counts[group_of(*value) as usize] += 1;
        if *key != NUMBER {
            money += value;
        }
        assert!(snapshot.index().0.contains(&group_of(*value), key));
    }
    assert_eq!(money, MONEY);
    for (group, count) in (0..).zip(counts) {
        assert_eq!(snapshot.index().0.count(&group), count);
        assert!(snapshot.index().0.keys(&group).all(|key| group_of(snapshot[key]) == group));
    }
    assert_eq!(counts.iter().sum::<usize>(), snapshot.len());
}

/// Moves money between accounts, guests included. Every batch keeps the sum.
fn publish(writer: &mut Writer<u64, u64, Indexes>, random: &mut fastrand::Rng) {
    for _ in 0..random.u64(1..32) {
        let from = random.u64(0..ACCOUNTS);
        let to = random.u64(0..ACCOUNTS + GUESTS);
        let amount = random.u64(0..=writer.get(&from).copied().unwrap_or(0));
        writer.update(&from, |money| *money -= amount);
        writer.upsert(to, |money| money.map_or(amount, |money| money + amount));
        // A guest is removed, and its money goes to `from`.
        if let Some(left) = writer.remove(&(ACCOUNTS + random.u64(0..GUESTS))) {
            writer.upsert(from, |money| money.map_or(left, |money| money + left));
        }
    }
    let number = writer.version().as_u64() + 1;
    writer.insert(NUMBER, number);
    assert_eq!(writer.publish().as_u64(), number);
}

/// Reads through a reader and through snapshots, holds some versions for a while, and checks that versions
/// never go back. Returns the number of different versions seen.
fn read(table: &Table<u64, u64, Indexes>, seed: u64, started: &AtomicU64) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut reader = table.reader();
    let (mut last, mut seen) = (Version::ZERO, 0);
    let mut held: Vec<Snapshot<u64, u64, Indexes>> = Vec::new();
    while !table.is_closed() {
        let version = if random.bool() { check(reader.snapshot()) } else { check(&table.snapshot()) };
        assert!(version >= last, "{version} after {last}");
        assert!(table.version() >= version);
        if version > last {
            started.fetch_add(u64::from(seen == 0), Ordering::Relaxed);
            seen += 1;
        }
        last = version;
        if random.u8(..) == 0 {
            let kept = table.snapshot();
            check_all(&kept);
            held.push(kept);
        }
        if held.len() > 4 {
            let released = held.swap_remove(random.usize(..held.len()));
            check_all(&released);
            check(&released);
        }
    }
    held.iter().for_each(check_all);
    seen
}

fn stress(duration: Duration, recycles: bool) {
    let indexes = (GroupIndex::new(groups_of as fn(&u64, &u64, &mut dyn FnMut(u64))), Money::default());
    let entries = (0..ACCOUNTS).map(|account| (account, 100)).chain([(NUMBER, 0)]);
    let (mut writer, table) = Table::builder().index(indexes).recycle(recycles).build_with(entries);
    let (start, started) = (Barrier::new(3), AtomicU64::new(0));
    thread::scope(|scope| {
        let readers: Vec<_> = (1..=2)
            .map(|seed| {
                let (table, start, started) = (table.clone(), &start, &started);
                scope.spawn(move || {
                    start.wait();
                    read(&table, seed, started)
                })
            })
            .collect();
        start.wait();
        let mut random = fastrand::Rng::with_seed(0);
        let end = Instant::now() + duration;
        // On a busy machine the readers may start late.
        let is_done = |writer: &Writer<u64, u64, Indexes>| {
            writer.version().as_u64() >= 100 && started.load(Ordering::Relaxed) == 2
        };
        while Instant::now() < end
            || (!is_done(&writer) && !readers.iter().any(thread::ScopedJoinHandle::is_finished))
        {
            publish(&mut writer, &mut random);
        }
        let published = writer.version();
        drop(writer);
        let seen: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert!(seen.iter().all(|seen| *seen > 0), "{seen:?} of {published}");
        eprintln!("published {published} versions, of which the readers saw {seen:?}");
    });
    check_all(&table.snapshot());
}

#[test]
fn readers_never_go_back_and_see_whole_batches() {
    stress(Duration::from_millis(300), true);
    stress(Duration::from_millis(300), false);
}

#[test]
#[ignore = "slow: SWITCHBOARD_STRESS_SECONDS, 60 by default"]
fn readers_never_go_back_for_long() {
    let seconds = std::env::var("SWITCHBOARD_STRESS_SECONDS").map_or(60, |text| text.parse().unwrap());
    stress(Duration::from_secs(seconds), true);
    stress(Duration::from_secs(seconds), false);
}
