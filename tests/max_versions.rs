//! With `max_versions`, the number of held older versions never exceeds the limit, and no change is lost.
#![allow(clippy::unwrap_used)] // Tests.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::panicking;

use switchboard::table::{Change, FeedEvent, GroupIndex, TooManyVersions};
use switchboard::{Reader, Snapshot, Table, TableBuilder, Version, Writer};

type Model = BTreeMap<u64, u64>;

fn limit(versions: usize) -> NonZeroUsize {
    NonZeroUsize::new(versions).unwrap()
}

/// Builders for tables with and without recycling, for several limits.
fn builders() -> impl Iterator<Item = (usize, TableBuilder<u64, u64>)> {
    [1, 2, 5].into_iter().flat_map(|versions| {
        let builder = move |recycles| Table::builder().recycle(recycles).max_versions(limit(versions));
        [true, false].into_iter().map(move |recycles| (versions, builder(recycles)))
    })
}

fn entries<I>(snapshot: &Snapshot<u64, u64, I>) -> Model {
    snapshot.iter().map(|(key, value)| (*key, *value)).collect()
}

fn apply(copy: &mut Model, change: &Change<'_, u64, u64>) {
    match *change {
        Change::Inserted { key, new } | Change::Updated { key, new, .. } => _ = copy.insert(*key, *new),
        Change::Removed { key, .. } => _ = copy.remove(key),
    }
}

fn stage_one(writer: &mut Writer<u64, u64>, number: u64) -> Result<Version, TooManyVersions> {
    writer.insert(number % 7, number);
    writer.try_publish()
}

#[test]
fn while_as_many_older_versions_are_held_nothing_is_published_and_nothing_is_lost() {
    for (versions, builder) in builders() {
        let (mut writer, table) = builder.build();
        let mut held = vec![table.snapshot()];
        for number in 1..=versions as u64 {
            assert_eq!(stage_one(&mut writer, number).map(Version::as_u64), Ok(number));
            held.push(table.snapshot());
        }
        let newest = table.version();
        let expected = entries(&table.snapshot());
        for number in 100..200 {
            let refused = stage_one(&mut writer, number).unwrap_err();
            assert_eq!(refused.limit(), limit(versions));
            assert_eq!(writer.publish(), newest, "`publish` returns the old version");
            assert!(writer.has_staged());
            assert_eq!(writer.get(&(number % 7)), Some(&number));
            assert_eq!((table.version(), entries(&table.snapshot())), (newest, expected.clone()));
        }
        assert_eq!(writer.stats().alive, versions + 1);

        // Releasing one version is enough, and the batch is still whole.
        drop(held.remove(0));
        assert_eq!(writer.try_publish().map(Version::as_u64), Ok(newest.as_u64() + 1));
        let whole: Model = (193..200).map(|number| (number % 7, number)).collect();
        assert_eq!(entries(&table.snapshot()), whole);
        assert!(!writer.has_staged());
    }
}

#[test]
fn the_newest_version_may_be_held_by_any_number() {
    for (_, builder) in builders() {
        let (mut writer, table) = builder.build();
        for number in 0..100 {
            let held: Vec<_> = (0..20).map(|_| table.snapshot()).collect();
            assert!(stage_one(&mut writer, number).is_ok());
            drop(held);
        }
    }
}

#[test]
fn an_idle_reader_holds_a_version_until_it_looks_again() {
    for (versions, builder) in builders() {
        let (mut writer, table) = builder.build();
        let mut readers: Vec<_> = Vec::new();
        for number in 0..versions as u64 {
            readers.push(table.reader());
            assert!(stage_one(&mut writer, number).is_ok());
        }
        assert!(stage_one(&mut writer, 50).is_err());
        assert_eq!(writer.reclaim(), versions);
        assert!(writer.try_publish().is_err(), "`reclaim` does not touch versions that readers hold");
        assert_eq!(readers[0].get(&1), table.snapshot().get(&1));
        assert!(writer.try_publish().is_ok());
        assert_eq!(readers[0].get(&1), Some(&50), "50 % 7");
    }
}

#[test]
fn a_feed_that_is_not_read_holds_a_version_and_gets_the_whole_batch_once_it_is() {
    for (versions, builder) in builders() {
        let (mut writer, table) = builder.build();
        let mut feed = table.subscribe();
        let held: Vec<_> = (0..versions as u64 - 1)
            .map(|number| {
                assert!(stage_one(&mut writer, number).is_ok());
                table.snapshot()
            })
            .collect();
        assert!(stage_one(&mut writer, 20).is_ok());
        for number in 30..37 {
            assert!(stage_one(&mut writer, number).is_err());
        }
        let mut copy = Model::new();
        let mut read = |copy: &mut Model| {
            let mut sets = 0;
            while let Some(event) = feed.try_next() {
                let FeedEvent::Changes(set) = event else { panic!("a version was missed") };
                set.iter().for_each(|change| apply(copy, &change));
                sets += 1;
            }
            sets
        };
        assert_eq!(read(&mut copy), versions);
        assert_eq!(copy, entries(&table.snapshot()));
        assert!(writer.try_publish().is_ok());
        assert_eq!(read(&mut copy), 1, "the refused batches make one version");
        assert_eq!(copy, (30..37).map(|number| (number % 7, number)).collect());
        drop(held);
    }
}

#[test]
fn a_refused_batch_can_be_discarded() {
    let (mut writer, table) = Table::builder().max_versions(limit(1)).build_with([(1, 1)]);
    let held = table.snapshot();
    assert!(stage_one(&mut writer, 2).is_ok());
    assert!(stage_one(&mut writer, 3).is_err());
    writer.discard();
    assert_eq!(writer.try_publish(), Ok(table.version()), "nothing is staged");
    assert_eq!(
        writer.iter().map(|(key, value)| (*key, *value)).collect::<Model>(),
        entries(&table.snapshot())
    );
    assert_eq!(held.len(), 1);
}

#[test]
fn without_a_limit_nothing_is_refused() {
    let (mut writer, table) = Table::<u64, u64>::new();
    let held: Vec<_> = (0..500)
        .map(|number| {
            assert!(stage_one(&mut writer, number).is_ok());
            table.snapshot()
        })
        .collect();
    assert_eq!(writer.stats().alive, held.len());
    assert_eq!(writer.stats().max_versions, None);
}

#[test]
fn the_error_says_what_to_do() {
    let (mut writer, table) = Table::builder().max_versions(limit(1)).build_with([(1, 1)]);
    let held = table.snapshot();
    assert!(stage_one(&mut writer, 2).is_ok());
    let error: Box<dyn std::error::Error> = Box::new(stage_one(&mut writer, 3).unwrap_err());
    assert_eq!(
        error.to_string(),
        "1 older versions are held (the limit): drop snapshots, refresh readers, or retry later"
    );
    drop(held);
}

fn parity(_: &u64, value: &u64, group: &mut dyn FnMut(u64)) {
    group(value % 2);
}

type Groups = GroupIndex<u64, u64, u64>;

/// The state of a random walk.
struct Walk {
    writer: Writer<u64, u64, Groups>,
    table: Table<u64, u64, Groups>,
    held: Vec<(Snapshot<u64, u64, Groups>, Model)>,
    /// The readers, each with the last version that it has seen.
    readers: Vec<(Reader<u64, u64, Groups>, Version)>,
    staged: Model,
    published: Model,
    refused: usize,
}

impl Walk {
    fn new(versions: usize, recycles: bool) -> Self {
        let index = GroupIndex::new(parity as fn(&_, &_, &mut dyn FnMut(_)));
        let builder = Table::builder().index(index).recycle(recycles).max_versions(limit(versions));
        let (writer, table) = builder.build();
        let readers = (0..2).map(|_| (table.reader(), Version::ZERO)).collect();
        let (staged, published) = Default::default();
        Self { writer, table, held: Vec::new(), readers, staged, published, refused: 0 }
    }

    /// Returns the number of held older versions, according to the walk.
    fn older_held(&self) -> usize {
        let versions = self.held.iter().map(|(snapshot, _)| snapshot.version());
        let mut versions: Vec<_> = versions.chain(self.readers.iter().map(|(_, version)| *version)).collect();
        versions.sort_unstable();
        versions.dedup();
        versions.into_iter().filter(|version| *version < self.table.version()).count()
    }

    fn publish(&mut self, versions: usize) {
        let before = self.table.version();
        let is_refused = self.writer.has_staged() && self.older_held() >= versions;
        match self.writer.try_publish() {
            Ok(version) => {
                assert!(!is_refused, "published with {versions} older versions held");
                assert_eq!(version, self.table.version());
                self.published = self.staged.clone();
            }
            Err(_) => {
                assert!(is_refused, "refused with fewer than {versions} older versions held");
                assert_eq!(before, self.table.version());
                assert!(self.writer.has_staged());
                self.refused += 1;
            }
        }
    }

    fn step(&mut self, random: &mut fastrand::Rng, versions: usize) {
        match random.u32(..12) {
            0..4 => {
                let (key, value) = (random.u64(..40), random.u64(..));
                assert_eq!(self.writer.insert(key, value), self.staged.insert(key, value));
            }
            4 => {
                let key = random.u64(..40);
                assert_eq!(self.writer.remove(&key), self.staged.remove(&key));
            }
            5..8 => self.publish(versions),
            8 => self.held.push((self.table.snapshot(), self.published.clone())),
            9 if !self.held.is_empty() => {
                let (snapshot, model) = self.held.swap_remove(random.usize(..self.held.len()));
                assert_eq!(entries(&snapshot), model);
            }
            10 => {
                let (reader, seen) = &mut self.readers[random.usize(..2)];
                assert_eq!(entries(reader.snapshot()), self.published);
                *seen = self.table.version();
            }
            11 if random.u32(..4) == 0 => {
                self.writer.discard();
                self.staged = self.published.clone();
            }
            11 if random.u32(..4) == 0 => {
                self.writer.clear();
                self.staged.clear();
            }
            _ => assert!(self.writer.reclaim() <= versions),
        }
    }

    fn check(&mut self, versions: usize) {
        let newest = self.table.snapshot();
        assert_eq!(entries(&newest), self.published);
        for parity in 0..2 {
            let expected = self.published.values().filter(|value| *value % 2 == parity).count();
            assert_eq!(newest.index().count(&parity), expected);
        }
        drop(newest);
        let stats = self.writer.stats();
        assert_eq!(stats.alive, self.older_held() + 1);
        assert!(stats.alive <= versions + 1, "{stats}");
        assert!(stats.headers <= versions + 3, "{} headers", stats.headers);
    }
}

#[test]
fn any_sequence_of_holds_equals_the_model_within_the_limit() {
    for recycles in [true, false] {
        for versions in 1..=4 {
            let mut random = fastrand::Rng::with_seed(versions as u64);
            let mut walk = Walk::new(versions, recycles);
            for _ in 0..5_000 {
                walk.step(&mut random, versions);
                walk.check(versions);
            }
            assert!(walk.refused > 100, "{} refusals", walk.refused);
            walk.held.clear();
            walk.readers.clear();
            walk.publish(versions);
            walk.check(versions);
        }
    }
}

thread_local! {
    static FUSE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Panics when it is dropped after the number of drops in the fuse.
#[derive(Clone)]
struct Fused;

impl Drop for Fused {
    fn drop(&mut self) {
        if !panicking() {
            let left = FUSE.get();
            FUSE.set(left.wrapping_sub(1).min(left));
            assert!(left > 0, "the fuse");
        }
    }
}

/// A refused publish also drops parts of older versions.
#[test]
fn a_destructor_that_panics_in_a_refused_publish_loses_nothing() {
    for fuse in [0, 1, 100, 1_000] {
        let builder = Table::<u64, Fused>::builder().max_versions(limit(1));
        let (mut writer, table) = builder.build_with((0..25_000).map(|key| (key, Fused)));
        let large = table.snapshot();
        writer.clear();
        assert!(writer.try_publish().is_ok());
        drop(large);
        let held = table.snapshot();
        writer.insert(1, Fused);
        assert!(writer.try_publish().is_ok());
        writer.insert(2, Fused);
        FUSE.set(fuse);
        assert!(catch_unwind(AssertUnwindSafe(|| writer.try_publish())).is_err(), "no destructor panicked");
        FUSE.set(usize::MAX);
        assert_eq!((writer.len(), table.snapshot().len(), held.len()), (2, 1, 0));
        assert!(writer.has_staged() && writer.try_publish().is_err());
        drop(held);
        assert!(writer.try_publish().is_ok());
        assert_eq!(table.snapshot().len(), 2);
    }
}
