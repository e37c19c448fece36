//! Readers, snapshots and the writer's recycling under loom and shuttle.

use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::model::{model, model_each, spawn};
use crate::table::handle::Table;
use crate::table::snapshot::Snapshot;
use crate::table::version::Version;
use crate::table::writer::Writer;

/// The entry that every batch changes. Each batch also adds an entry.
const NEWEST: u64 = 0;

fn publish(writer: &mut Writer<u64, u64>) -> Version {
    let next = writer.version().as_u64() + 1;
    writer.insert(NEWEST, next);
    writer.insert(next, next);
    writer.publish()
}

/// Checks that a snapshot has all changes of its batches and nothing else, each time it is called.
fn check(snapshot: &Snapshot<u64, u64>) -> u64 {
    let version = snapshot.version().as_u64();
    assert_eq!(snapshot.get(&NEWEST), (version > 0).then_some(&version));
    assert!((1..=version).all(|batch| snapshot.get(&batch) == Some(&batch)));
    assert_eq!(snapshot.len() as u64, if version > 0 { version + 1 } else { 0 });
    version
}

#[test]
fn a_reader_finds_what_was_completed_and_never_goes_back() {
    model_each(|| {
        let (mut writer, table) = Table::new();
        let completed = Arc::new(AtomicU64::new(0));
        let (mut reader, seen) = (table.reader(), completed.clone());
        let thread = spawn(move || {
            let first = check(reader.snapshot());
            // Acquire: pairs with the release store after each publish.
            let completed = seen.load(Ordering::Acquire);
            let second = check(reader.snapshot());
            assert!(second >= first.max(completed));
        });
        for _ in 0..2 {
            let version = publish(&mut writer);
            // Release: pairs with the acquire load of the reader.
            completed.store(version.as_u64(), Ordering::Release);
        }
        thread.join().unwrap();
    });
}

/// Runs a reader that lets go of its version between two calls, and so forgets where it was, while two
/// versions are published. Returns the number of versions that are alive in the end.
fn release_between_two_calls() -> usize {
    let (mut writer, table) = Table::new();
    let completed = Arc::new(AtomicU64::new(0));
    let (mut reader, seen) = (table.reader(), completed.clone());
    let thread = spawn(move || {
        let first = check(reader.snapshot());
        reader.release();
        // Acquire: pairs with the release store after each publish.
        let completed = seen.load(Ordering::Acquire);
        let second = check(reader.snapshot());
        assert!(second >= first.max(completed));
        reader.release();
        reader
    });
    for _ in 0..2 {
        let version = publish(&mut writer);
        // Release: pairs with the acquire load of the reader.
        completed.store(version.as_u64(), Ordering::Release);
    }
    let reader = thread.join().unwrap();
    assert_eq!((reader.held_version(), writer.stats().readers), (None, 0));
    writer.stats().alive
}

#[test]
fn a_released_reader_never_goes_back() {
    model_each(|| {
        release_between_two_calls();
    });
}

/// Not with the weak twin of the cell, which keeps every version.
#[test]
fn a_released_reader_holds_nothing() {
    model(|| assert_eq!(release_between_two_calls(), 1));
}

/// A snapshot may be newer than the counter that a reader checks. No thread can observe it.
#[test]
fn a_reader_is_not_behind_a_snapshot_that_it_was_told_of() {
    model_each(|| {
        let (mut writer, table) = Table::new();
        let told = Arc::new(AtomicU64::new(0));
        let mut reader = table.reader();
        let tell = told.clone();
        let first = spawn(move || {
            let version = check(&table.snapshot());
            // Release: pairs with the acquire load of the reader.
            tell.store(version, Ordering::Release);
        });
        let second = spawn(move || {
            // Acquire: pairs with the release store above.
            let told = told.load(Ordering::Acquire);
            assert!(check(reader.snapshot()) >= told);
        });
        publish(&mut writer);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// Five versions over at most four states: a held version is unchanged while the others are changed in place.
#[test]
fn a_held_snapshot_is_not_recycled() {
    model_each(|| {
        let (mut writer, table) = Table::new();
        let thread = spawn(move || {
            let held = table.snapshot();
            let version = check(&held);
            let later = check(&table.snapshot());
            assert!(later >= version);
            assert_eq!(check(&held), version);
        });
        for number in 1..=5 {
            assert_eq!(publish(&mut writer).as_u64(), number);
        }
        thread.join().unwrap();
    });
}
