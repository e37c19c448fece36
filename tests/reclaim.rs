//! `reclaim` drops removed values, except those that a snapshot or a reader holds.
#![allow(clippy::unwrap_used)] // Tests.

use std::sync::Arc;

use switchboard::table::GroupIndex;
use switchboard::{Table, TableBuilder};

type Value = Arc<()>;

fn group(key: &u64, _: &Value, group: &mut dyn FnMut(u64)) {
    group(key % 3);
}

fn builders() -> impl Iterator<Item = TableBuilder<u64, Value, GroupIndex<u64, Value, u64>>> {
    [true, false].into_iter().map(|recycles| {
        let index = GroupIndex::new(group as fn(&_, &_, &mut dyn FnMut(_)));
        Table::builder().index(index).recycle(recycles)
    })
}

#[test]
fn reclaim_drops_what_was_removed_and_published() {
    for builder in builders() {
        let (mut writer, table) = builder.build();
        let value = Value::default();
        for round in 0..10 {
            for key in 0..100 {
                writer.insert(key, value.clone());
            }
            writer.publish();
            // Replaced within a batch, then removed in that batch or in a later one.
            writer.insert(7, value.clone());
            for key in 0..100 {
                drop(writer.remove(&key));
                if key == round * 10 {
                    writer.publish();
                }
            }
            writer.insert(1_000, Value::default());
            writer.publish();
            assert_eq!(writer.reclaim(), 0);
            assert_eq!(Arc::strong_count(&value), 1, "round {round}");
            assert_eq!((table.snapshot().len(), writer.len()), (1, 1));
        }
    }
}

#[test]
fn what_a_reader_holds_is_dropped_by_the_reclaim_after_it() {
    for builder in builders() {
        let (mut writer, table) = builder.build();
        let value = Value::default();
        writer.insert(1, value.clone());
        writer.publish();
        let mut reader = table.reader();
        assert!(reader.get(&1).is_some());
        writer.remove(&1);
        writer.publish();
        assert_eq!(writer.reclaim(), 1, "an idle reader holds a version");
        assert!(Arc::strong_count(&value) > 1);
        assert!(reader.get(&1).is_none());
        assert_eq!(writer.reclaim(), 0);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}

/// A staged batch is not affected.
#[test]
fn reclaim_in_the_middle_of_a_batch_changes_nothing_that_is_staged() {
    for builder in builders() {
        let (mut writer, table) = builder.build();
        let value = Value::default();
        for round in 0..20_u64 {
            let held = (round % 3 == 0).then(|| table.snapshot());
            writer.insert(round, value.clone());
            writer.publish();
            drop(held);
            drop(writer.remove(&round));
            writer.insert(round + 1_000, Value::default());
            writer.reclaim();
            assert_eq!((writer.len() as u64, table.snapshot().len() as u64), (round + 1, round + 1));
            writer.publish();
            writer.reclaim();
            assert_eq!(Arc::strong_count(&value), 1, "round {round}");
            let snapshot = table.snapshot();
            assert_eq!(snapshot.len() as u64, round + 1);
            assert!((0..=round).all(|key| snapshot.contains_key(&(key + 1_000))));
        }
    }
}

/// With a feed, the history keeps a bounded number of batches.
#[test]
fn with_a_feed_the_history_keeps_a_bounded_number_of_values() {
    for builder in builders() {
        let (mut writer, table) = builder.history(4, 64).build();
        let mut feed = table.subscribe();
        let value = Value::default();
        for round in 0..50 {
            writer.insert(round, value.clone());
            writer.publish();
            drop(writer.remove(&round));
            writer.publish();
            let delivered = std::iter::from_fn(|| feed.try_next()).count();
            assert!(delivered > 0);
            writer.reclaim();
            assert!(Arc::strong_count(&value) <= 1 + 2 * 4, "{}", Arc::strong_count(&value));
        }
    }
}
