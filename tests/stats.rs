//! Statistics that help to find a leaked snapshot: the number, age and memory of live versions.

use switchboard::{Table, Writer};

fn churn(writer: &mut Writer<u64, [u64; 4]>, count: u64) {
    for number in 0..count {
        writer.insert(number * 7_919 % 20_000, [number; 4]);
        writer.publish();
    }
}

#[test]
fn held_versions_are_counted_and_the_oldest_is_named() {
    for recycles in [true, false] {
        let (mut writer, table) = Table::builder().recycle(recycles).build();
        assert_eq!((writer.stats().alive, writer.stats().oldest_age()), (1, 0));
        let mut held = Vec::new();
        for number in 1..=5 {
            churn(&mut writer, 10);
            held.push(table.snapshot());
            // The newest version is always alive.
            assert_eq!(writer.stats().alive, number);
        }
        churn(&mut writer, 10);
        let feed = table.subscribe();
        let stats = writer.stats();
        assert_eq!((stats.newest, stats.oldest), (table.version(), held[0].version()));
        assert_eq!((stats.alive, stats.oldest_age(), stats.feeds), (6, 50, 1));
        drop(feed);
        drop(held.remove(0));
        let stats = writer.stats();
        assert_eq!((stats.alive, stats.oldest, stats.feeds), (5, held[0].version(), 0));
        held.clear();
        assert_eq!((writer.stats().alive, writer.stats().oldest_age()), (1, 0));
        writer.reclaim();
        // The copies for the next batches.
        assert!(writer.stats().spare <= 2 * usize::from(recycles));
    }
}

#[test]
fn memory_is_on_the_account_of_whoever_holds_it() {
    let (mut writer, table) = Table::builder().recycle(false).build();
    for key in 0..20_000_u64 {
        writer.insert(key, [0; 4]);
    }
    writer.publish();
    writer.reclaim();
    let before = writer.memory();
    assert!(before.newest_bytes >= 20_000 * 40, "{before:?}");
    assert_eq!(before.total_bytes(), before.newest_bytes, "{before:?}");

    let snapshot = table.snapshot();
    assert_eq!(writer.memory(), before, "a snapshot of the newest version costs nothing");
    churn(&mut writer, 1);
    writer.reclaim();
    let one = writer.memory();
    assert!(one.held_bytes > 0 && one.held_bytes < before.newest_bytes / 10, "{one:?}");
    churn(&mut writer, 1_000);
    writer.reclaim();
    let many = writer.memory();
    assert!(many.held_bytes > before.newest_bytes / 2 && many.held_bytes <= before.newest_bytes, "{many:?}");
    drop(snapshot);
    writer.reclaim();
    assert_eq!(writer.memory().held_bytes, 0);
}

#[test]
fn copies_to_recycle_and_the_history_are_counted() {
    let (mut writer, table) = Table::new();
    let feed = table.subscribe();
    for key in 0..20_000_u64 {
        writer.insert(key, [0; 4]);
    }
    writer.publish();
    drop(feed);
    churn(&mut writer, 2_000);
    let memory = writer.memory();
    assert!(memory.spare_bytes > memory.newest_bytes / 2, "{memory:?}");
    assert_eq!((memory.held_bytes, memory.history_bytes), (0, 0), "{memory:?}");

    let feed = table.subscribe();
    churn(&mut writer, 1_000);
    let memory = writer.memory();
    assert!(memory.history_bytes >= 128 * 40 && memory.history_bytes <= 2 * 128 * 400, "{memory:?}");
    assert!(memory.held_bytes > 0, "the feed is far behind: {memory:?}");
    drop(feed);
}

/// After a burst of held versions only their headers remain, and they are reused.
#[test]
fn headers_are_as_many_as_versions_at_the_same_time_and_small() {
    for recycles in [true, false] {
        let (mut writer, table) = Table::builder().recycle(recycles).build();
        for _ in 0..3 {
            let mut held = Vec::new();
            for _ in 0..1_000 {
                churn(&mut writer, 1);
                held.push(table.snapshot());
            }
            drop(held);
            assert_eq!(writer.reclaim(), 0);
            let stats = writer.stats();
            assert!((1_000..=1_003).contains(&stats.headers), "{stats:?}");
            assert!(stats.header_bytes <= stats.headers * 256, "{stats:?}");
            assert!(stats.alive == 1 && stats.spare <= 2 * usize::from(recycles), "{stats:?}");
        }
    }
}
