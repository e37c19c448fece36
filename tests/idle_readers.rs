//! Idle readers: what they hold, how to let go of it, and what programs with many tasks hold instead.
#![allow(clippy::unwrap_used)] // A panic fails the test.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Uses real threads, not models.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use switchboard::{Reader, Table, Writer};

/// A value that counts how many of its kind are alive.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(alive.clone())
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn released_readers_hold_nothing() {
    for recycles in [true, false] {
        let alive = Arc::new(AtomicUsize::new(0));
        let (mut writer, table) = Table::builder().recycle(recycles).build();
        let mut idle: Vec<Reader<u64, Counted>> = Vec::new();
        for key in 0..50 {
            writer.insert(key, Counted::new(&alive));
            writer.publish();
            idle.push(table.reader());
            assert!(idle.last_mut().unwrap().contains_key(&key));
            writer.remove(&key);
            writer.publish();
        }
        assert_eq!(writer.reclaim(), 50, "each of them holds a version");
        let stats = writer.stats();
        assert_eq!((stats.alive, stats.readers, stats.held_by_readers_max()), (51, 50, 50));
        assert!(alive.load(Ordering::Relaxed) >= 50, "each of them holds a removed value");

        idle.iter_mut().for_each(Reader::release);
        assert_eq!(writer.reclaim(), 0);
        assert_eq!(alive.load(Ordering::Relaxed), 0, "every removed value is dropped");
        assert_eq!((writer.stats().alive, writer.stats().readers), (1, 0));
        assert!(idle.iter().all(|reader| reader.held_version().is_none()));

        // A released reader reads the newest version, and holds it again.
        writer.insert(1_000, Counted::new(&alive));
        let newest = writer.publish();
        assert!(idle.iter_mut().all(|reader| reader.contains_key(&1_000) && reader.version() == newest));
        assert_eq!(writer.stats().readers, 50);
        assert_eq!(writer.stats().alive, 1, "all of them hold the newest version");
    }
}

#[test]
fn the_count_follows_each_way_to_begin_and_end_to_hold() {
    let (mut writer, table) = Table::<u64, u64>::new();
    let count = |writer: &Writer<u64, u64>| writer.stats().readers;
    let mut one = table.reader();
    let mut two = one.clone();
    assert_eq!(count(&writer), 2);
    one.release();
    one.release();
    assert_eq!(count(&writer), 1, "a second release has no effect");
    let mut three = one.clone();
    assert_eq!((three.held_version(), count(&writer)), (None, 1), "the clone of a released one is released");
    drop(one);
    assert_eq!(count(&writer), 1);
    writer.insert(1, 1);
    writer.publish();
    assert_eq!((two.get(&1), count(&writer)), (Some(&1), 1), "moving on to a newer version is not counted");
    assert_eq!((three.get(&1), count(&writer)), (Some(&1), 2));
    drop((two, three));
    assert_eq!(count(&writer), 0);
}

/// A released reader never goes backwards, although it no longer knows where it was.
#[test]
fn a_released_reader_never_goes_backwards() {
    let (mut writer, table) = Table::<u64, u64>::new();
    let done = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut reader, mut last) = (table.reader(), 0);
            while last < 5_000 {
                let now = reader.get(&0).copied().unwrap_or(0);
                assert!(now >= last, "{now} after {last}");
                last = now;
                reader.release();
            }
            last
        });
        for number in 1..=5_000 {
            writer.insert(0, number);
            writer.publish();
        }
        reading.join().unwrap()
    });
    assert_eq!(done, 5_000);
}

const ENTRIES: u64 = 20_000;

fn filled() -> (Writer<u64, [u64; 4]>, Table<u64, [u64; 4]>) {
    Table::builder().build_with((0..ENTRIES).map(|key| (key, [key; 4])))
}

/// Replaces one entry on each of many pages, and publishes.
fn churn(writer: &mut Writer<u64, [u64; 4]>, round: u64) {
    for key in (round % 97..ENTRIES).step_by(97) {
        writer.insert(key, [round; 4]);
    }
    writer.publish();
}

/// The memory after the same changes without any reader.
fn baseline(rounds: u64) -> usize {
    let (mut writer, _table) = filled();
    (0..rounds).for_each(|round| churn(&mut writer, round));
    writer.reclaim();
    writer.memory().total_bytes()
}

#[test]
fn idle_readers_at_different_versions_hold_a_copy_each_until_they_are_released() {
    let (mut writer, table) = filled();
    let mut idle = Vec::new();
    for round in 0..100 {
        churn(&mut writer, round);
        idle.push(table.reader());
    }
    writer.reclaim();
    let memory = writer.memory();
    assert!(memory.held_bytes > 50 * memory.newest_bytes, "{memory:?}");

    idle.iter_mut().for_each(Reader::release);
    writer.reclaim();
    assert_eq!((writer.memory().held_bytes, writer.stats().alive), (0, 1));
    // While versions were held, the writer kept one copy more to recycle, until enough batches had no need of
    // it.
    (100..200).for_each(|round| churn(&mut writer, round));
    writer.reclaim();
    let memory = writer.memory();
    assert!(memory.total_bytes() * 5 <= baseline(200) * 6, "{memory:?}");
}

/// Ten thousand tasks, each of which keeps a table and takes a snapshot for each request, cost no version.
#[test]
fn tasks_with_a_snapshot_per_request_cost_no_version() {
    let (mut writer, table) = filled();
    let tasks: Vec<_> = (0..10_000).map(|_| table.clone()).collect();
    for (round, requests) in tasks.chunks(100).enumerate() {
        let found = requests.iter().filter(|table| table.snapshot().contains_key(&7)).count();
        assert_eq!(found, requests.len());
        churn(&mut writer, round as u64);
    }
    writer.reclaim();
    let (stats, memory) = (writer.stats(), writer.memory());
    assert_eq!((stats.alive, stats.readers, memory.held_bytes), (1, 0, 0));
    assert!(memory.total_bytes() * 5 <= baseline(100) * 6, "{memory:?}");
}

/// One reader for each worker thread, however many tasks run on it, and none once the thread parks.
#[test]
fn a_reader_per_worker_thread_counts_threads_not_tasks() {
    thread_local! {
        static READER: RefCell<Option<Reader<u64, [u64; 4]>>> = const { RefCell::new(None) };
    }
    const WORKERS: usize = 3;
    let (writer, table) = filled();
    let (worked, parked, ended) =
        (Barrier::new(WORKERS + 1), Barrier::new(WORKERS + 1), Barrier::new(WORKERS + 1));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                for task in 0..1_000 {
                    let found = READER.with_borrow_mut(|reader| {
                        reader.get_or_insert_with(|| table.reader()).contains_key(&task)
                    });
                    assert!(found);
                }
                worked.wait();
                parked.wait();
                READER.with_borrow_mut(|reader| reader.as_mut().map(Reader::release));
                ended.wait();
            });
        }
        worked.wait();
        assert_eq!(writer.stats().readers, WORKERS);
        parked.wait();
        ended.wait();
        assert_eq!(writer.stats().readers, 0);
    });
}

/// The same for the reader of a manager, with the values of a removed link.
#[cfg(feature = "manager")]
#[test]
fn a_released_links_reader_lets_removed_user_values_go() {
    use switchboard::clock::{Clock, ManualClock};
    use switchboard::link::UserData;
    use switchboard::{Config, LinkManager, NetConfig, NetId, NodeAddr};

    let (clock, addr) = (ManualClock::new(), NodeAddr(2));
    let mut driver =
        LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build().unwrap();
    let handle = driver.handle();
    let alive = Arc::new(AtomicUsize::new(0));
    handle.add_net(NetId(1), NetConfig::new().min_links(0)).unwrap();
    handle.create_link(addr, NetId(1)).unwrap();
    handle.set_user_data(addr, UserData::new(Counted::new(&alive))).unwrap();
    let _ = driver.run_once(clock.now());
    let mut reader = driver.links().reader();
    assert!(reader.snapshot().get(&addr).is_some());
    handle.delete_link(addr).unwrap();
    for idle in 0..2 {
        // A version of its own, so that the turn has something to drop.
        handle.check_nets().unwrap();
        while driver.run_once(clock.now()).is_some_and(|next| next <= clock.now()) {}
        let memory = driver.memory();
        let expected = if idle == 0 { (1, 2, 1) } else { (0, 1, 0) };
        assert_eq!((alive.load(Ordering::Relaxed), memory.versions_alive, memory.readers), expected);
        reader.release();
    }
    assert!(reader.snapshot().get(&addr).is_none());
}
