//! A snapshot held over many versions does not change, and costs only the pages that have changed since.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)] // Tests.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Instant;

use allocation_counter::measure;
use switchboard::{Snapshot, Table, Writer};

/// Number of updates per version.
const BATCH: u64 = 16;

type Value = [u64; 4];

/// A fixed hasher, so every run has the same pages.
type Hashing = BuildHasherDefault<DefaultHasher>;
type ChurnWriter = Writer<u64, Value, (), Hashing>;
type ChurnTable = Table<u64, Value, (), Hashing>;

fn value(key: u64, round: u64) -> Value {
    [key, round, key ^ round, key.wrapping_mul(round)]
}

fn filled(entries: u64, recycles: bool) -> (ChurnWriter, ChurnTable) {
    Table::builder()
        .hasher(Hashing::default())
        .recycle(recycles)
        .build_with((0..entries).map(|key| (key, value(key, 0))))
}

/// Computes a checksum over all entries, independent of their order, and checks that each has the value
/// written for it.
fn checksum(snapshot: &Snapshot<u64, Value, (), Hashing>) -> u64 {
    snapshot.iter().fold(0, |sum: u64, (key, words)| {
        assert_eq!(words, &value(*key, words[1]));
        let mixed = words.iter().fold(*key, |mixed, word| (mixed ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        sum.wrapping_add(mixed)
    })
}

/// Publishes new values of some keys below `keys`. Returns the duration in nanoseconds.
fn publish(writer: &mut ChurnWriter, keys: u64, random: &mut fastrand::Rng) -> u64 {
    let round = writer.version().as_u64() + 1;
    let start = Instant::now();
    for _ in 0..BATCH {
        let key = random.u64(0..keys);
        writer.insert(key, value(key, round));
    }
    writer.publish();
    start.elapsed().as_nanos() as u64
}

fn quantile(times: &mut [u64], quantile: f64) -> u64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * quantile) as usize]
}

fn stays_intact(entries: u64, updates: u64, recycles: bool) {
    let (mut writer, table) = filled(entries, recycles);
    let mut random = fastrand::Rng::with_seed(7);
    let mut churn = |writer: &mut ChurnWriter, updates: u64| {
        (0..updates / BATCH).map(|_| publish(writer, entries, &mut random)).collect::<Vec<_>>()
    };
    churn(&mut writer, updates / 10);
    let mut alone = churn(&mut writer, updates / 10);

    let held = table.snapshot();
    let (version, sum) = (held.version(), checksum(&held));
    let mut under = Vec::new();
    for _ in 0..10 {
        under.extend(churn(&mut writer, updates / 10));
        assert_eq!(checksum(&held), sum);
    }
    assert_eq!((held.version(), held.len() as u64), (version, entries));
    assert_ne!(checksum(&table.snapshot()), sum);
    assert_eq!(writer.reclaim(), 1, "only the held version");
    drop(held);
    assert_eq!(writer.reclaim(), 0);
    let report = |times: &mut [u64]| [0.5, 0.99, 0.999].map(|at| quantile(times, at));
    eprintln!(
        "{entries} entries, {updates} updates, recycling {recycles}: ns per version of {BATCH} at p50, p99, \
         p99.9: {:?} before, {:?} with a snapshot held",
        report(&mut alone),
        report(&mut under)
    );
}

/// Returns the bytes freed with a snapshot that was held while the entries below `keys` were changed.
fn cost(entries: u64, keys: u64, updates: u64) -> i64 {
    let (mut writer, table) = filled(entries, false);
    let mut random = fastrand::Rng::with_seed(8);
    let held = table.snapshot();
    for _ in 0..updates / BATCH {
        publish(&mut writer, keys, &mut random);
    }
    writer.reclaim();
    let freed = measure(|| {
        drop(held);
        assert_eq!(writer.reclaim(), 0);
    });
    -freed.bytes_current
}

fn costs_what_has_changed(entries: u64, updates: u64) {
    // A page takes at most 32 KiB of entries and a control byte for each, and its directory a kilobyte.
    const PAGE: i64 = 40 * 1024;
    let whole = measure(|| {
        std::mem::forget(filled(entries, false));
    });
    let whole = whole.bytes_current;
    let mut costs = Vec::new();
    for keys in [1, 4, 16, entries] {
        let (once, long) = (cost(entries, keys, 8 * keys.max(BATCH)), cost(entries, keys, updates));
        costs.push((keys, long));
        assert!(once > 0 && long < keys as i64 * PAGE, "{keys} keys: {long} bytes");
        assert!(long <= whole + whole / 8, "{keys} keys: {long} bytes of {whole}");
        assert!(keys == entries || long <= once + once / 8, "the cost grows with time: {once}, then {long}");
    }
    assert!(costs[0].1 * 4 < costs[3].1, "{costs:?}");
    eprintln!("{entries} entries of {whole} bytes: (keys changed, bytes held) {costs:?}");
}

#[test]
fn a_held_snapshot_stays_intact_and_costs_what_has_changed() {
    stays_intact(5_000, 20_000, true);
    stays_intact(5_000, 20_000, false);
    costs_what_has_changed(5_000, 20_000);
}

#[test]
#[ignore = "slow: a million updates of 100 thousand entries; use --release"]
fn a_held_snapshot_stays_intact_for_long() {
    stays_intact(100_000, 1_000_000, true);
    stays_intact(100_000, 1_000_000, false);
    costs_what_has_changed(100_000, 1_000_000);
}
