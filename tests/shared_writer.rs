//! Many threads and tasks change one table through a shared writer.
#![allow(clippy::unwrap_used, clippy::disallowed_types)] // Tests, which use only std.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use switchboard::table::GroupIndex;
use switchboard::table::shared::{CommitError, CommitTicket, Config, Driver, Turn};
use switchboard::{SharedWriter, Table};

fn config(capacity: usize, batch: usize) -> Config {
    Config::new().capacity(capacity).unwrap().batch(NonZeroUsize::new(batch).unwrap())
}

/// Sends a message when it is dropped.
struct Guard(mpsc::Sender<u64>, u64);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send(self.1).unwrap();
    }
}

fn run_until_idle<K, V, I, S>(driver: &mut Driver<K, V, I, S>) -> usize
where
    K: std::hash::Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: switchboard::table::Index<K, V>,
    S: std::hash::BuildHasher + Clone + Send + Sync + 'static,
{
    let mut turns = 1;
    while driver.turn() == Turn::More {
        turns += 1;
    }
    turns
}

/// A reader in each thread checks that a transfer is atomic, while threads transfer between random accounts.
#[test]
fn transactions_of_many_threads_are_atomic_for_readers() {
    const ACCOUNTS: u64 = 40;
    const THREADS: u64 = 4;
    let (writer, table) = Table::<u64, i64>::builder().build_with((0..ACCOUNTS).map(|key| (key, 100)));
    let (shared, thread) = SharedWriter::spawn(writer, config(8, 3)).unwrap();
    let is_over = AtomicBool::new(false);
    let checked = AtomicUsize::new(0);
    let start = Barrier::new(THREADS as usize + 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            loop {
                let snapshot = table.snapshot();
                assert_eq!(snapshot.values().sum::<i64>(), 100 * ACCOUNTS as i64);
                checked.fetch_add(1, Ordering::Relaxed);
                // Relaxed: a flag.
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let threads = (0..THREADS).map(|number| {
            let (shared, start) = (shared.clone(), &start);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(number);
                start.wait();
                for round in 0..300 {
                    let (from, to) = (random.u64(0..ACCOUNTS), random.u64(0..ACCOUNTS));
                    let ticket = shared.transaction(move |accounts| {
                        accounts.update(&from, |balance| *balance -= 7);
                        assert!(round % 10 > 0, "half done, and then taken back");
                        accounts.update(&to, |balance| *balance += 7);
                        round
                    });
                    let ticket = ticket.unwrap();
                    if round % 3 > 0 {
                        match ticket.wait() {
                            Ok(committed) => assert_eq!(committed.value, round),
                            Err(error) => assert!(error.is_panicked() && round % 10 == 0),
                        }
                    }
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // Relaxed: a flag.
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(checked.into_inner() > 0);
    let stats = shared.stats();
    assert_eq!((stats.panics, stats.operations), (THREADS * 30, THREADS * 300));
    drop(shared);
    let writer = thread.join().unwrap();
    assert_eq!(writer.iter().map(|(_, balance)| balance).sum::<i64>(), 100 * ACCOUNTS as i64);
}

/// What one thread sends is applied in its order, and nothing is lost or applied twice.
#[test]
fn operations_of_one_thread_keep_their_order() {
    for (capacity, batch) in [(1, 1), (2, 7), (4096, 1024)] {
        let (writer, table) = Table::<(u64, u64), u64>::new();
        let (shared, thread) = SharedWriter::spawn(writer, config(capacity, batch)).unwrap();
        thread::scope(|scope| {
            for number in 0..3 {
                let shared = shared.clone();
                scope.spawn(move || {
                    for round in 0..200 {
                        shared.insert((number, round % 20), round).unwrap();
                        if round % 4 == 0 {
                            shared.remove((number, round % 20)).unwrap();
                        }
                        if round % 50 == 0 {
                            let last = shared.transaction(move |table| table.get(&(number, 1)).copied());
                            let last = last.unwrap().wait().unwrap().value;
                            assert_eq!(last, (round > 0).then(|| round - (round + 19) % 20));
                        }
                    }
                });
            }
        });
        drop(shared);
        let writer = thread.join().unwrap();
        assert_eq!(writer.len(), 3 * 15);
        for number in 0..3 {
            for key in 0..20 {
                assert_eq!(writer.get(&(number, key)).copied(), (key % 4 > 0).then_some(180 + key));
            }
        }
        assert_eq!(table.version(), writer.version());
    }
}

#[test]
fn a_removed_value_is_dropped_within_one_idle_turn() {
    for recycles in [true, false] {
        let index =
            GroupIndex::new((|key, _, group| group(key % 3)) as fn(&u64, &Arc<()>, &mut dyn FnMut(u64)));
        let (writer, table) = Table::<u64, Arc<()>>::builder().index(index).recycle(recycles).build();
        let (shared, mut driver) = SharedWriter::new(writer, Config::new());
        let value = Arc::new(());
        for round in 0..5 {
            for key in 0..100 {
                shared.insert(key, value.clone()).unwrap();
            }
            assert_eq!(driver.turn(), Turn::More);
            assert!(Arc::strong_count(&value) > 100);
            shared.insert(7, Arc::new(())).unwrap();
            (0..100).for_each(|key| shared.remove(key).unwrap());
            assert_eq!(driver.turn(), Turn::More);
            assert!(table.snapshot().is_empty());
            assert_eq!(driver.turn(), Turn::Idle, "one idle turn");
            assert_eq!(Arc::strong_count(&value), 1, "round {round}");
            assert_eq!(driver.turn(), Turn::Idle);
        }
        assert_eq!(shared.stats().panics, 0);
    }
}

/// The thread drops removed values without another operation, as soon as it finds the queue empty.
#[test]
fn the_thread_of_a_writer_drops_removed_values_when_it_is_idle() {
    let (sender, dropped) = mpsc::channel();
    let (writer, table) = Table::<u64, Arc<Guard>>::new();
    let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
    for key in 0..10 {
        shared.insert(key, Arc::new(Guard(sender.clone(), key))).unwrap();
    }
    shared.remove(3).unwrap();
    assert_eq!(dropped.recv(), Ok(3));
    shared.insert(4, Arc::new(Guard(sender.clone(), 40))).unwrap();
    assert_eq!(dropped.recv(), Ok(4));
    assert!(dropped.try_recv().is_err());
    drop((shared, thread, table));
    let mut rest: Vec<_> = (0..9).map(|_| dropped.recv().unwrap()).collect();
    rest.sort_unstable();
    assert_eq!(rest, [0, 1, 2, 5, 6, 7, 8, 9, 40], "the detached thread ends with the last handle");
}

#[test]
fn a_value_that_a_reader_holds_is_dropped_after_the_reader_has_let_go() {
    let (writer, table) = Table::<u64, Arc<()>>::new();
    let (shared, mut driver) = SharedWriter::new(writer, Config::new());
    let value = Arc::new(());
    shared.insert(1, value.clone()).unwrap();
    run_until_idle(&mut driver);
    let held = table.snapshot();
    shared.remove(1).unwrap();
    assert_eq!(driver.turn(), Turn::More);
    let pauses: Vec<_> = (0..12)
        .map(|_| match driver.turn() {
            Turn::Later(pause) => pause,
            other => unreachable!("a version is held: {other:?}"),
        })
        .collect();
    assert!(pauses.is_sorted() && pauses[11] == pauses[10] && pauses[0] < pauses[1], "{pauses:?}");
    assert!(Arc::strong_count(&value) > 1);
    drop(held);
    assert_eq!(driver.turn(), Turn::Idle);
    assert_eq!(Arc::strong_count(&value), 1);
}

/// However many versions were held, an idle writer frees them all without a pause once they are released; those that
/// are still held do not hide the others.
#[test]
fn versions_that_were_released_are_freed_without_a_pause() {
    for recycles in [true, false] {
        let (writer, table) = Table::<u64, Arc<()>>::builder().recycle(recycles).build();
        let (shared, mut driver) = SharedWriter::new(writer, Config::new());
        let value = Arc::new(());
        let mut held = Vec::new();
        for round in 0..1_000 {
            // The first ones remain held.
            let value = if round < 150 { Arc::new(()) } else { value.clone() };
            shared.insert(1, value).unwrap();
            assert_eq!(driver.turn(), Turn::More);
            held.push(table.snapshot());
        }
        shared.remove(1).unwrap();
        assert_eq!(driver.turn(), Turn::More);
        assert!(Arc::strong_count(&value) > 800);
        held.truncate(150);
        while driver.turn() == Turn::More {}
        assert_eq!(Arc::strong_count(&value), 1);
        held.clear();
        while driver.turn() == Turn::More {}
        assert_eq!(driver.turn(), Turn::Idle);
    }
}

/// What a transaction has staged before it panicked is dropped in its turn, although there is nothing to publish.
#[test]
fn a_transaction_that_is_taken_back_leaves_nothing() {
    for recycles in [true, false] {
        let (writer, table) = Table::<u64, Arc<()>>::builder().recycle(recycles).build();
        let (shared, mut driver) = SharedWriter::new(writer, Config::new());
        let value = Arc::new(());
        shared.insert(0, Arc::new(())).unwrap();
        run_until_idle(&mut driver);
        for round in 0..300 {
            let staged = value.clone();
            let size = if round == 200 { 100_000 } else { round % 40 };
            let ticket = shared.transaction(move |table| {
                (0..size).for_each(|key| _ = table.insert(key, staged.clone()));
                table.remove(&(round % 7));
                std::panic::resume_unwind(Box::new("it is taken back"));
            });
            assert_eq!(driver.turn(), Turn::More);
            assert!(ticket.unwrap().wait().is_err_and(|error: CommitError| error.is_panicked()));
            // A large one takes several turns.
            assert!(round == 200 || Arc::strong_count(&value) == 1, "round {round}, in its turn");
            run_until_idle(&mut driver);
            assert_eq!(Arc::strong_count(&value), 1, "round {round}");
        }
        assert_eq!(table.snapshot().len(), 1);
    }
}

/// A flood of large transactions that panic, with no idle turn in between, does not pile up.
#[test]
fn what_many_transactions_staged_before_they_panicked_does_not_pile_up() {
    for recycles in [true, false] {
        let (mut writer, _table) = Table::<u64, Arc<()>>::builder().recycle(recycles).build();
        // Large enough that each transaction below copies many pages.
        writer.extend((0..20_000).map(|key| (key, Arc::new(()))));
        writer.publish();
        let (shared, mut driver) = SharedWriter::new(writer, config(256, 256));
        let value = Arc::new(());
        let mut most = 0;
        for _ in 0..2 {
            for number in 0..40 {
                shared.insert(number, Arc::new(())).unwrap();
                let staged = value.clone();
                let ticket = shared.transaction(move |table| {
                    (0..1_000).for_each(|key| _ = table.insert(20 * key, staged.clone()));
                    std::panic::resume_unwind(Box::new("it is taken back"));
                });
                drop::<CommitTicket<()>>(ticket.unwrap());
            }
            assert_eq!(driver.turn(), Turn::More);
            most = most.max(Arc::strong_count(&value));
        }
        assert!(most < 10_000, "{most} references, of 80,000 that were staged");
        run_until_idle(&mut driver);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}

#[test]
fn a_detached_thread_ends_with_the_last_handle_and_closes_the_table() {
    let (writer, table) = Table::<u64, u64>::new();
    let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
    let mut feed = table.subscribe();
    drop(thread);
    shared.insert(1, 1).unwrap();
    drop(shared);
    // The events end when the writer is dropped.
    feed.events().for_each(drop);
    assert!(table.is_closed());
    assert_eq!(table.snapshot().len(), 1);
}

/// The last handle is dropped by a transaction, on the writer's own thread.
#[test]
fn the_last_handle_may_be_dropped_on_the_writers_thread() {
    let (writer, _table) = Table::<u64, u64>::new();
    let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
    let (sender, handle) = mpsc::channel::<SharedWriter<u64, u64>>();
    let ticket = shared.transaction(move |table| {
        drop(handle.recv());
        table.insert(1, 1)
    });
    sender.send(shared).unwrap();
    assert!(ticket.unwrap().wait().is_ok());
    assert_eq!(thread.join().unwrap().len(), 1);
}

/// An idle turn, an insertion and a removal allocate nothing on the sending side, a transaction twice.
#[test]
fn sending_allocates_nothing_for_an_entry_or_a_removal() {
    let (writer, _table) = Table::<u64, u64>::new();
    let (shared, mut driver) = SharedWriter::new(writer, Config::new());
    // The lists that a thread allocates once: turns, and locks in debug builds.
    shared.insert(0, 0).unwrap();
    drop(shared.transaction(|_| ()).unwrap());
    let count = |send: &dyn Fn()| allocation_counter::measure(send).count_total;
    assert!(count(&|| drop(std::hint::black_box(Box::new(1)))) > 0, "allocations are counted");
    assert_eq!(count(&|| shared.insert(1, 1).unwrap()), 0);
    assert_eq!(count(&|| shared.remove(1).unwrap()), 0);
    assert_eq!(count(&|| shared.try_reserve().unwrap().insert(2, 2).unwrap()), 0);
    assert_eq!(count(&|| drop(shared.transaction(|table| table.insert(3, 3)).unwrap())), 2);
    run_until_idle(&mut driver);
    assert_eq!(shared.table().snapshot().len(), 3);
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The futures are dropped at each point at which they can be: before the first poll, while they wait, and with
/// a room that they were given. Nothing is sent, and no room is lost.
#[test]
fn a_future_that_is_dropped_has_sent_nothing_and_keeps_no_room() {
    let (writer, table) = Table::<u64, u64>::new();
    let (shared, mut driver) = SharedWriter::new(writer, config(1, 1));
    for point in 0..3 {
        for kind in 0..4 {
            shared.try_insert(100, 1).unwrap();
            let drive = |driver: &mut Driver<u64, u64>| assert_eq!(driver.turn(), Turn::More);
            macro_rules! drop_at {
                ($future:expr) => {{
                    let mut future = pin!($future);
                    if point > 0 {
                        assert!(poll(future.as_mut()).is_pending());
                    }
                    if point > 1 {
                        drive(&mut driver);
                        assert!(shared.try_reserve().is_err(), "the future has the room");
                    }
                }};
            }
            match kind {
                0 => drop_at!(shared.insert_async(1, 1)),
                1 => drop_at!(shared.remove_async(100)),
                2 => drop_at!(shared.transaction_async(|table| table.insert(2, 2))),
                _ => drop_at!(shared.reserve_async()),
            }
            run_until_idle(&mut driver);
            drop(shared.try_reserve().unwrap());
            assert_eq!(table.snapshot().iter().collect::<Vec<_>>(), [(&100, &1)]);
        }
    }
}

#[test]
fn dropping_the_ticket_does_not_cancel_the_transaction() {
    let (writer, table) = Table::<u64, u64>::new();
    let (shared, mut driver) = SharedWriter::new(writer, Config::new());
    let mut ticket = pin!(shared.transaction(|table| table.insert(1, 1)).unwrap());
    assert!(poll(ticket.as_mut()).is_pending());
    drop(shared.transaction(|table| table.insert(2, 2)).unwrap());
    assert_eq!(driver.turn(), Turn::More);
    assert!(matches!(poll(ticket), Poll::Ready(Ok(_))));
    assert_eq!(table.snapshot().len(), 2);
}

/// 5,000 tasks connect, and nine in ten are cut again; each waits until its change is visible.
#[test]
fn a_storm_of_tasks_ends_with_the_right_table() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (writer, table) = Table::<u64, u64>::new();
    let (shared, mut driver) = SharedWriter::new(writer, config(64, 1024));
    let drive = runtime.spawn(async move {
        loop {
            match driver.turn() {
                Turn::More => tokio::task::yield_now().await,
                Turn::Ended => return driver.into_writer(),
                _ => driver.wait_for_work().await,
            }
        }
    });
    let writer = runtime.block_on(async move {
        let mut tasks = tokio::task::JoinSet::new();
        for key in 0..5_000_u64 {
            let shared = shared.clone();
            tasks.spawn(async move {
                let committed = shared.transaction_async(move |table| table.insert(key, key)).await;
                let committed = committed.unwrap().await.unwrap();
                assert!(shared.table().snapshot().contains_key(&key));
                assert!(shared.table().version() >= committed.version);
                if key % 10 > 0 {
                    shared.remove_async(key).await.unwrap();
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        // The removals were accepted; the driver carries out the last of them before it ends.
        shared.close();
        let writer = drive.await.unwrap();
        assert_eq!(shared.stats().operations, 9_500);
        writer
    });
    assert_eq!((writer.len(), table.snapshot().len()), (500, 500));
    assert!(writer.iter().all(|(key, _)| key % 10 == 0));
}

/// A key or value whose user code panics in an insertion costs that insertion only.
#[test]
fn an_insertion_that_panics_has_changed_nothing() {
    #[derive(Clone, PartialEq, Eq)]
    struct Key(u64);
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            assert_ne!(self.0, 13, "the hash of a key");
            self.0.hash(state);
        }
    }
    let (writer, table) = Table::<Key, u64>::new();
    let (shared, mut driver) = SharedWriter::new(writer, Config::new());
    (10..16).for_each(|key| shared.insert(Key(key), key).unwrap());
    shared.remove(Key(13)).unwrap();
    shared.remove(Key(15)).unwrap();
    let panicked = shared.transaction(|table| {
        table.insert(Key(20), 20);
        table.insert(Key(13), 13)
    });
    assert_eq!(driver.turn(), Turn::More);
    assert_eq!(panicked.unwrap().wait(), Err(CommitError::Panicked));
    let mut keys: Vec<_> = table.snapshot().keys().map(|key| key.0).collect();
    keys.sort_unstable();
    assert_eq!((keys, shared.stats().panics), (vec![10, 11, 12, 14], 3));
}

/// Each wait that was dropped leaves its registration; the end wakes the last one.
#[tokio::test(flavor = "current_thread")]
async fn the_end_of_a_thread_can_be_awaited_again() {
    let (writer, _table) = Table::<u64, u64>::new();
    let (shared, mut thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
    shared.insert(1, 1).unwrap();
    for _ in 0..2 {
        let polled = pin!(thread.finished()).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending() && !thread.is_finished());
    }
    drop(shared);
    thread.finished().await;
    assert!(thread.is_finished());
    thread.finished().await;
    assert_eq!(thread.join_timeout(Duration::ZERO).unwrap().len(), 1);
}
