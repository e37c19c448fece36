//! Feeds with concurrent publishes and the end of the writer, under loom and shuttle.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::sync::model::{Flag, model_each, spawn};
use crate::table::handle::Table;
use crate::table::snapshot::Snapshot;
use crate::table::version::Version;
use crate::table::writer::Writer;
use crate::table::{Change, Feed, FeedEvent};

/// The entry that every batch changes. Each batch also adds an entry.
const NEWEST: u64 = 0;

fn publish(writer: &mut Writer<u64, u64>) -> Version {
    let next = writer.version().as_u64() + 1;
    writer.insert(NEWEST, next);
    writer.insert(next, next);
    writer.publish()
}

fn check(snapshot: &Snapshot<u64, u64>) -> u64 {
    let version = snapshot.version().as_u64();
    assert_eq!(snapshot.get(&NEWEST), (version > 0).then_some(&version));
    assert!((1..=version).all(|batch| snapshot.get(&batch) == Some(&batch)));
    version
}

/// Checks that the event belongs to the next version, or continues from an exact one. Returns the
/// subscriber's new position.
fn follow(position: u64, event: &FeedEvent<u64, u64>) -> u64 {
    match event {
        FeedEvent::Changes(set) => {
            let version = set.version().as_u64();
            assert_eq!(version, position + 1, "lost or delivered twice");
            let mut changes: Vec<_> = set.iter().collect();
            changes
                .sort_unstable_by_key(|change| matches!(change, Change::Inserted { key, .. } if **key > 0));
            let newest = match position {
                0 => Change::Inserted { key: &NEWEST, new: &1 },
                _ => Change::Updated { key: &NEWEST, old: &position, new: &version },
            };
            let own = Change::Inserted { key: &version, new: &version };
            if position == 0 {
                assert!(changes == [newest, own] || changes == [own, newest]);
            } else {
                assert_eq!(changes, [newest, own]);
            }
            assert!(check(set.newest()) >= version);
            version
        }
        FeedEvent::Lagged { from, resync } => {
            assert_eq!(check(from), position);
            assert!(check(resync) > position);
            resync.version().as_u64()
        }
    }
}

/// Follows everything that the feed delivers without waiting.
fn drain(feed: &mut Feed<u64, u64>, mut position: u64) -> u64 {
    while let Some(event) = feed.try_next() {
        position = follow(position, &event);
        assert_eq!(feed.version().as_u64(), position);
    }
    position
}

#[test]
fn versions_are_contiguous_or_the_feed_has_lagged() {
    model_each(|| follow_publishes(true));
}

/// Without recycling, operations are recorded for feeds only, starting with the first batch after the first
/// feed.
#[test]
fn a_version_is_recorded_as_a_whole_or_not_at_all() {
    model_each(|| follow_publishes(false));
}

fn follow_publishes(recycles: bool) {
    let (mut writer, table) = Table::builder().recycle(recycles).build();
    publish(&mut writer);
    let thread = spawn(move || {
        let mut feed = table.subscribe();
        let start = check(feed.snapshot());
        let position = drain(&mut feed, start);
        (feed, position)
    });
    for _ in 0..2 {
        publish(&mut writer);
    }
    let (mut feed, position) = thread.join().unwrap();
    // One more publish, because loom lets a store and an earlier `fetch_max` of another thread be reordered,
    // which leaves the counter of the cell behind.
    publish(&mut writer);
    assert_eq!(drain(&mut feed, position), 4);
    assert!(!feed.is_closed());
}

/// A subscriber that arrived before the batches began, and is not slow, sees each of them. The writer stays
/// alive, so each publish has to wake the waiting subscriber.
#[test]
fn a_feed_within_the_bounds_does_not_lag() {
    model_each(|| {
        let (mut writer, table) = Table::new();
        let mut feed = table.subscribe();
        let thread = spawn(move || {
            for position in 0..2 {
                let event = feed.events().next().unwrap();
                assert!(matches!(event, FeedEvent::Changes(_)));
                follow(position, &event);
            }
            feed
        });
        for _ in 0..2 {
            publish(&mut writer);
        }
        let mut feed = thread.join().unwrap();
        drop(writer);
        assert!(feed.events().next().is_none());
    });
}

/// A waiting subscriber is woken by the end of the writer, and has received everything by then.
#[test]
fn a_feed_ends_with_its_writer_after_the_last_version() {
    model_each(|| {
        let (mut writer, table) = Table::new();
        let thread = spawn(move || {
            let mut feed = table.subscribe();
            let mut position = check(feed.snapshot());
            for event in &mut feed {
                position = follow(position, &event);
            }
            assert!(feed.is_closed());
            assert_eq!(position, 1);
        });
        publish(&mut writer);
        drop(writer);
        thread.join().unwrap();
    });
}

/// The same as a task: woken by each publish and by the end, and no future is lost if it is dropped and
/// begun again.
#[test]
fn a_task_receives_every_event_and_then_the_end() {
    model_each(|| {
        let (mut writer, table) = Table::new();
        let mut feed = table.subscribe();
        let thread = spawn(move || {
            let flag = Flag::new();
            let waker = Waker::from(flag.clone());
            let mut context = Context::from_waker(&waker);
            let mut position = check(feed.snapshot());
            loop {
                // Dropped at once: the waker has to be registered again by the next future.
                let _ =
                    Pin::new(&mut feed.next()).poll(&mut Context::from_waker(Waker::noop())).map(|event| {
                        position = event.map_or(position, |event| follow(position, &event));
                    });
                let event = loop {
                    let mut next = feed.next();
                    match Pin::new(&mut next).poll(&mut context) {
                        Poll::Ready(event) => break event,
                        Poll::Pending => flag.wait(),
                    }
                };
                match event {
                    Some(event) => position = follow(position, &event),
                    None => break,
                }
            }
            assert!(feed.is_closed());
            assert_eq!(position, 2);
        });
        publish(&mut writer);
        publish(&mut writer);
        drop(writer);
        thread.join().unwrap();
    });
}

/// A feed that reports that it is closed has delivered the last version.
#[test]
fn a_closed_feed_has_delivered_everything() {
    model_each(|| {
        let (mut writer, table) = Table::new();
        let mut feed = table.subscribe();
        let thread = spawn(move || {
            if feed.is_closed() {
                assert!(feed.try_next().is_none(), "closed with an event left");
            }
        });
        publish(&mut writer);
        drop(writer);
        thread.join().unwrap();
    });
}

/// A feed is counted before it loads its first version: at most the batch after that one is not recorded for
/// it.
///
/// Under shuttle only: under weak memory, a relaxed count may be seen late.
#[cfg(switchboard_shuttle)]
#[test]
fn a_new_feed_lags_at_most_once() {
    model_each(|| {
        let (mut writer, table) = Table::builder().recycle(false).build();
        let thread = spawn(move || {
            let mut feed = table.subscribe();
            let mut position = check(feed.snapshot());
            let mut lagged = 0;
            for _ in 0..3 {
                if let Some(event) = feed.try_next() {
                    lagged += usize::from(matches!(event, FeedEvent::Lagged { .. }));
                    position = follow(position, &event);
                }
            }
            assert!(lagged <= 1, "a batch that began after the feed was created was not recorded");
        });
        for _ in 0..3 {
            publish(&mut writer);
        }
        thread.join().unwrap();
    });
}
