//! Tasks that wait for versions and for the events of a feed: `Table::changed`, `Table::reached`, `Feed::next`,
//! and feeds as streams.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // Tests.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::{mem, thread};

use switchboard::table::{FeedEvent, Published, WaitError, WriterClosed};
use switchboard::{Table, Version, Writer};

/// Counts the wake-ups of a task.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A task of the test: its waker counts.
struct Task {
    count: Arc<Count>,
    waker: Waker,
}

impl Task {
    fn new() -> Self {
        let count = Arc::new(Count::default());
        Self { waker: Waker::from(count.clone()), count }
    }

    fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(&self.waker))
    }

    fn woken(&self) -> usize {
        self.count.0.load(Ordering::SeqCst)
    }

    /// Number of wakers of this task that are kept elsewhere.
    fn kept(&self) -> usize {
        Arc::strong_count(&self.count) - 2
    }
}

/// A waker whose wake-up runs a closure.
struct Call<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn calls(call: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Call(call)))
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn publish(writer: &mut Writer<u64, u64>) -> Version {
    let number = writer.version().as_u64() + 1;
    writer.insert(number, number);
    writer.publish()
}

/// The version that a table has after `number` publishes.
fn version(number: u64) -> Version {
    let (mut writer, _) = Table::<u64, u64>::new();
    (0..number).for_each(|_| _ = publish(&mut writer));
    writer.version()
}

fn delivered(event: Option<FeedEvent<u64, u64>>) -> Option<u64> {
    match event? {
        FeedEvent::Changes(changes) => Some(changes.version().as_u64()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_version_that_is_published_is_returned_at_once() {
    let (mut writer, table) = Table::new();
    let first = publish(&mut writer);
    let newest = publish(&mut writer);
    let task = Task::new();
    for mut future in [table.reached(first), table.reached(newest), table.changed(first)] {
        assert_eq!(task.poll(&mut future), Poll::Ready(Ok(newest)));
        assert_eq!(task.poll(&mut future), Poll::Ready(Ok(newest)), "it stays ready");
    }
    assert_eq!((task.woken(), task.kept()), (0, 0));
}

#[test]
fn a_task_is_woken_once_and_by_its_version_only() {
    let (mut writer, table) = Table::new();
    let (near, far) = (Task::new(), Task::new());
    let (mut changed, mut reached) = (table.changed(table.version()), table.reached(version(3)));
    assert!(near.poll(&mut changed).is_pending());
    assert!(far.poll(&mut reached).is_pending());
    let first = publish(&mut writer);
    assert_eq!((near.woken(), far.woken()), (1, 0));
    assert_eq!(near.poll(&mut changed), Poll::Ready(Ok(first)));
    publish(&mut writer);
    assert_eq!((near.woken(), far.woken()), (1, 0));
    let third = publish(&mut writer);
    assert_eq!((near.woken(), far.woken()), (1, 1));
    assert_eq!(far.poll(&mut reached), Poll::Ready(Ok(third)));
    assert_eq!((near.kept(), far.kept()), (0, 0));
}

#[test]
fn the_end_of_the_writer_wakes_every_task() {
    let (mut writer, table) = Table::new();
    let last = publish(&mut writer);
    let tasks = [Task::new(), Task::new()];
    let mut futures = [table.changed(last), table.reached(version(7))];
    for (task, future) in tasks.iter().zip(&mut futures) {
        assert!(task.poll(future).is_pending());
    }
    drop(writer);
    for (task, future) in tasks.iter().zip(&mut futures) {
        assert_eq!((task.woken(), task.kept()), (1, 0));
        assert_eq!(task.poll(future), Poll::Ready(Err(WriterClosed)));
    }
    // A published version is found also after the end.
    assert_eq!(tasks[0].poll(&mut table.reached(last)), Poll::Ready(Ok(last)));
    assert_eq!(tasks[0].poll(&mut table.changed(last)), Poll::Ready(Err(WriterClosed)));
    assert_eq!((tasks[0].woken(), tasks[0].kept()), (1, 0));
    assert_eq!(WaitError::from(WriterClosed), WaitError::WriterClosed);
    assert_eq!(WriterClosed.to_string(), WaitError::WriterClosed.to_string());
}

#[test]
fn a_dropped_future_is_not_woken_and_keeps_no_waker() {
    let (mut writer, table) = Table::new();
    let (task, other) = (Task::new(), Task::new());
    let mut stays = table.changed(table.version());
    assert!(other.poll(&mut stays).is_pending());
    let mut leaves = table.changed(table.version());
    assert!(task.poll(&mut leaves).is_pending());
    assert_eq!(task.kept(), 1);
    drop(leaves);
    assert_eq!(task.kept(), 0);
    publish(&mut writer);
    assert_eq!((task.woken(), other.woken()), (0, 1));
}

#[test]
fn the_waker_of_the_last_poll_counts() {
    let (mut writer, table) = Table::new();
    let (first, second) = (Task::new(), Task::new());
    let mut future = table.changed(table.version());
    for task in [&first, &second, &second, &first, &second] {
        assert!(task.poll(&mut future).is_pending());
        assert_eq!(first.kept() + second.kept(), 1, "the replaced waker was kept");
    }
    publish(&mut writer);
    assert_eq!((first.woken(), second.woken()), (0, 1));
    // The future is polled again only now, by a task that nothing will wake.
    assert!(first.poll(&mut future).is_ready());
    assert_eq!((first.kept(), second.kept()), (0, 0));
}

#[test]
fn a_spurious_poll_after_the_wake_up_registers_again() {
    let (mut writer, table) = Table::new();
    let task = Task::new();
    let mut feed = table.subscribe();
    assert!(task.poll(&mut feed.next()).is_pending());
    publish(&mut writer);
    // The event is taken by another call, so that the woken task finds nothing.
    assert_eq!(delivered(feed.try_next()), Some(1));
    let mut next = feed.next();
    assert!(task.poll(&mut next).is_pending());
    publish(&mut writer);
    assert_eq!(task.woken(), 1);
    let Poll::Ready(event) = task.poll(&mut next) else { panic!("not ready") };
    assert_eq!(delivered(event), Some(2));
    drop(next);
    assert_eq!(task.kept(), 0);
}

#[test]
fn ten_thousand_waiters_are_woken_once_each_and_leave_nothing() {
    const TASKS: usize = 10_000;
    let (mut writer, table) = Table::new();
    let tasks: Vec<_> = (0..TASKS).map(|_| Task::new()).collect();
    let mut near: Vec<Published<_, _>> = tasks.iter().map(|_| table.changed(table.version())).collect();
    let mut far: Vec<Published<_, _>> = tasks.iter().map(|_| table.reached(version(2))).collect();
    for ((task, near), far) in tasks.iter().zip(&mut near).zip(&mut far) {
        assert!(task.poll(near).is_pending() && task.poll(far).is_pending());
    }
    // Every other one is dropped before its version.
    let mut number = 0;
    far.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    let kept = tasks.iter().map(Task::kept);
    assert!(kept.enumerate().all(|(number, kept)| kept == 1 + number % 2));
    let first = publish(&mut writer);
    assert!(tasks.iter().all(|task| task.woken() == 1));
    assert!(tasks.iter().zip(&mut near).all(|(task, near)| task.poll(near) == Poll::Ready(Ok(first))));
    publish(&mut writer);
    assert!(tasks.iter().enumerate().all(|(number, task)| task.woken() == 1 + number % 2));
    assert!(tasks.iter().all(|task| task.kept() == 0));
    drop(far);
    publish(&mut writer);
    assert_eq!(tasks.iter().map(Task::woken).sum::<usize>(), TASKS + TASKS / 2);
}

/// The memory of the waiters: one list entry for each future that waits, and none once they have left.
#[test]
fn waiting_takes_bounded_memory_which_is_returned() {
    const TASKS: u64 = 10_000;
    let (mut writer, table) = Table::new();
    publish(&mut writer);
    let waker = Waker::noop();
    let seen = table.version();
    // Records of the lock checks are allocated once.
    let _ = poll_with(&mut table.changed(seen), waker);
    let mut futures: Vec<_> = (0..TASKS).map(|_| table.changed(seen)).collect();
    let registered = allocation_counter::measure(|| {
        assert!(futures.iter_mut().all(|future| poll_with(future, waker).is_pending()));
    });
    assert!(registered.bytes_max <= TASKS * 128, "{} bytes", registered.bytes_max);
    // Cancelling and waiting again, as a `select!` in a loop does, takes no more.
    let churned = allocation_counter::measure(|| {
        for _ in 0..10 {
            for future in &mut futures {
                *future = table.changed(seen);
                assert!(poll_with(future, waker).is_pending());
            }
        }
    });
    assert!(churned.bytes_current <= i64::try_from(TASKS).unwrap() * 64, "{}", churned.bytes_current);
    let left = allocation_counter::measure(|| futures.clear());
    let all = registered.bytes_current + churned.bytes_current + left.bytes_current;
    assert_eq!(all, 0, "the waiters left memory behind");
}

/// One task that waits for one version after the other is the usual case.
#[test]
fn a_lone_task_waits_without_allocating() {
    let (mut writer, table) = Table::<u64, u64>::new();
    let mut change = || {
        writer.insert(1, 1);
        writer.publish()
    };
    let task = Task::new();
    let mut wait = || {
        let mut future = table.changed(table.version());
        assert!(task.poll(&mut future).is_pending());
        assert!(poll_with(&mut future, Waker::noop()).is_pending(), "replaces the waker");
        assert!(task.poll(&mut future).is_pending());
        let published = change();
        assert_eq!(task.poll(&mut future), Poll::Ready(Ok(published)));
        drop(future);
        assert!(task.poll(&mut table.changed(published)).is_pending(), "and leaves");
    };
    // The writer has its second copy by then.
    (0..4).for_each(|_| wait());
    let allocated = allocation_counter::measure(|| (0..100).for_each(|_| wait()));
    assert_eq!(allocated.count_total, 0);
    assert_eq!((task.woken(), task.kept()), (104, 0));
}

#[test]
fn a_waker_that_panics_ends_neither_the_publish_nor_another_wait() {
    let (mut writer, table) = Table::new();
    let (before, after) = (Task::new(), Task::new());
    let bomb = calls(|| std::panic::resume_unwind(Box::new("a waker")));
    let seen = table.version();
    let mut futures = [table.changed(seen), table.changed(seen), table.changed(seen), table.changed(seen)];
    for (future, waker) in futures.iter_mut().zip([&before.waker, &bomb, &after.waker, &bomb]) {
        assert!(poll_with(future, waker).is_pending());
    }
    let first = publish(&mut writer);
    assert_eq!((before.woken(), after.woken()), (1, 1));
    assert_eq!(poll_with(&mut futures[1], &bomb), Poll::Ready(Ok(first)));

    let mut futures = futures.map(|_| table.changed(first));
    for (future, waker) in futures.iter_mut().zip([&bomb, &before.waker, &bomb, &after.waker]) {
        assert!(poll_with(future, waker).is_pending());
    }
    drop(writer);
    assert_eq!((before.woken(), after.woken()), (2, 2));
    assert_eq!(poll_with(&mut futures[0], &bomb), Poll::Ready(Err(WriterClosed)));
}

/// The payload of the panic has a destructor that panics as well.
#[test]
fn a_panic_of_a_panic_of_a_waker_is_contained() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("the payload of a waker"));
        }
    }
    let (mut writer, table) = Table::new();
    let after = Task::new();
    let bomb = calls(|| std::panic::resume_unwind(Box::new(Bomb)));
    let mut futures = [table.changed(table.version()), table.changed(table.version())];
    for (future, waker) in futures.iter_mut().zip([&bomb, &after.waker]) {
        assert!(poll_with(future, waker).is_pending());
    }
    publish(&mut writer);
    assert_eq!(after.woken(), 1);
}

/// A waker whose destructor runs a closure.
struct OnDrop<F: Fn()>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for OnDrop<F> {
    fn wake(self: Arc<Self>) {}
}

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn on_drop(call: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(OnDrop(call)))
}

/// Uses everything that takes the lock of the waiters.
fn use_the_waiters(table: &Table<u64, u64>) {
    let task = Task::new();
    let mut future = table.reached(version(100));
    assert!(task.poll(&mut future).is_pending() || table.is_closed());
    drop(future);
    let mut feed = table.subscribe();
    assert!(task.poll(&mut feed.next()).is_pending() || table.is_closed());
    drop(table.snapshot());
    assert!(table.wait_for(table.version(), std::time::Duration::ZERO).is_ok());
    assert_eq!(task.kept(), 0);
}

/// No lock is held while a waker is woken or dropped. (In debug builds, a second lock would panic instead of
/// deadlocking.)
#[test]
fn a_waker_may_use_the_table_when_it_is_woken_or_dropped() {
    let (mut writer, table) = Table::new();
    let entered = Arc::new(AtomicUsize::new(0));
    let enter = {
        let (table, entered) = (table.clone(), entered.clone());
        move || {
            use_the_waiters(&table);
            entered.fetch_add(1, Ordering::SeqCst);
        }
    };
    let noop = Waker::noop();
    let mut future = table.reached(version(2));
    // Woken by a publish, by the end.
    let waker = calls(enter.clone());
    assert!(poll_with(&mut table.changed(table.version()), &waker).is_pending());
    assert!(poll_with(&mut future, &waker).is_pending());
    publish(&mut writer);
    publish(&mut writer);
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "the first future was dropped");
    // Dropped when it is replaced, with the future, and with a future of a feed.
    let mut future = table.reached(version(9));
    assert!(poll_with(&mut future, &on_drop(enter.clone())).is_pending());
    assert!(poll_with(&mut future, noop).is_pending());
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "replaced");
    assert!(poll_with(&mut future, &on_drop(enter.clone())).is_pending());
    drop(future);
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "dropped");
    let mut feed = table.subscribe();
    assert!(poll_with(&mut feed.next(), &on_drop(enter.clone())).is_pending());
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "dropped with the future of a feed");
    let mut future = table.reached(version(9));
    assert!(poll_with(&mut future, &waker).is_pending());
    drop(writer);
    assert_eq!(entered.swap(0, Ordering::SeqCst), 1, "woken by the end");
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_ends_no_wait() {
    let (mut writer, table) = Table::new();
    let bomb = || on_drop(|| std::panic::resume_unwind(Box::new("dropped")));
    let task = Task::new();
    let mut future = table.changed(table.version());
    // The clone in the list is the last one.
    assert!(catch_unwind(AssertUnwindSafe(|| poll_with(&mut future, &bomb()))).is_ok());
    assert!(task.poll(&mut future).is_pending());
    publish(&mut writer);
    assert_eq!(task.woken(), 1);

    let mut future = table.changed(table.version());
    let _ = catch_unwind(AssertUnwindSafe(|| poll_with(&mut future, &bomb())));
    drop(future);
    let mut future = table.changed(table.version());
    let _ = catch_unwind(AssertUnwindSafe(|| poll_with(&mut future, &bomb())));
    let second = publish(&mut writer);
    assert_eq!(task.poll(&mut future), Poll::Ready(Ok(second)));
}

/// Runs `body` again and again, and drops it at a later await point each time. Returns the number of them.
fn drop_at_each_await<F: Future>(mut body: impl FnMut() -> F, mut between: impl FnMut()) -> usize {
    for polls in 1.. {
        let mut future = Box::pin(body());
        for _ in 0..polls {
            if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                return polls;
            }
            between();
        }
    }
    unreachable!()
}

/// A task that is cancelled at any await point, and begun again, has seen every version exactly once.
#[test]
fn a_cancelled_task_loses_no_event() {
    const LAST: u64 = 12;
    let (mut writer, table) = Table::<u64, u64>::builder().history(1000, 1000).build();
    let feed = RefCell::new(table.subscribe());
    let seen = RefCell::new(Vec::new());
    // No two of these futures exist at the same time.
    #[allow(clippy::await_holding_refcell_ref)]
    let body = || async {
        let mut feed = feed.borrow_mut();
        while let Some(event) = feed.next().await {
            let event = delivered(Some(event)).unwrap();
            seen.borrow_mut().push(event);
            if event == LAST {
                break;
            }
            table.changed(feed.version()).await.unwrap();
        }
    };
    let polls = drop_at_each_await(body, || _ = publish(&mut writer));
    assert!(polls > 3, "only {polls} await points were tried");
    assert_eq!(seen.into_inner(), (1..=LAST).collect::<Vec<_>>());
}

#[test]
fn a_feed_in_a_task_delivers_every_version_and_then_ends() {
    let (mut writer, table) = Table::new();
    let mut feed = table.subscribe();
    let task = Task::new();
    assert!(task.poll(&mut feed.next()).is_pending());
    assert_eq!((task.woken(), task.kept()), (0, 0));
    let mut next = feed.next();
    assert!(task.poll(&mut next).is_pending());
    publish(&mut writer);
    publish(&mut writer);
    assert_eq!(task.woken(), 1, "woken once for two versions");
    let Poll::Ready(event) = task.poll(&mut next) else { panic!("not ready") };
    assert_eq!(delivered(event), Some(1));
    drop(next);
    let Poll::Ready(event) = task.poll(&mut feed.next()) else { panic!("not ready") };
    assert_eq!(delivered(event), Some(2));
    let mut next = feed.next();
    assert!(task.poll(&mut next).is_pending());
    publish(&mut writer);
    drop(writer);
    assert_eq!(task.woken(), 2);
    let Poll::Ready(event) = task.poll(&mut next) else { panic!("not ready") };
    assert_eq!(delivered(event), Some(3));
    drop(next);
    for _ in 0..2 {
        assert!(matches!(task.poll(&mut feed.next()), Poll::Ready(None)));
    }
    assert!(feed.is_closed() && task.kept() == 0);
}

#[test]
fn a_dropped_feed_keeps_no_waker() {
    let (mut writer, table) = Table::new();
    let task = Task::new();
    let mut feed = table.subscribe();
    mem::forget({
        let mut next = Box::new(feed.next());
        assert!(task.poll(&mut next).is_pending());
        next
    });
    assert_eq!(task.kept(), 1, "a leaked future leaves its waker to the feed");
    drop(feed);
    assert_eq!(task.kept(), 0);
    publish(&mut writer);
    assert_eq!(task.woken(), 0);
}

/// The largest version never overflows, and never comes. (Feature `serde` reads any number as a version.)
#[cfg(feature = "serde")]
#[test]
fn the_largest_version_is_never_reached() {
    let largest: Version = serde_json::from_str(&u64::MAX.to_string()).unwrap();
    let (mut writer, table) = Table::new();
    let task = Task::new();
    let mut futures = [table.changed(largest), table.reached(largest)];
    assert!(futures.iter_mut().all(|future| task.poll(future).is_pending()));
    publish(&mut writer);
    assert_eq!(task.woken(), 0);
    drop(writer);
    assert_eq!(task.woken(), 2);
    assert!(futures.iter_mut().all(|future| task.poll(future) == Poll::Ready(Err(WriterClosed))));
}

fn assert_send<T: Send + Unpin + 'static>(value: T) -> T {
    value
}

/// Many tasks on the threads of a runtime, while another thread publishes.
#[test]
fn tasks_of_a_runtime_follow_a_writer() {
    const VERSIONS: u64 = 300;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (mut writer, table) = Table::<u64, u64>::builder().history(1000, 1000).build();
    let watchers: Vec<_> = (0..40)
        .map(|_| {
            let table = table.clone();
            runtime.spawn(async move {
                let mut seen = Version::ZERO;
                while let Ok(newest) = assert_send(table.changed(seen)).await {
                    assert!(newest > seen && table.snapshot().version() >= newest);
                    seen = newest;
                }
                seen.as_u64()
            })
        })
        .collect();
    let followers: Vec<_> = (0..10)
        .map(|_| {
            let mut feed = table.subscribe();
            runtime.spawn(async move {
                let mut count = 0;
                while let Some(event) = feed.next().await {
                    count += 1;
                    assert_eq!(delivered(Some(event)), Some(count));
                }
                count
            })
        })
        .collect();
    // One more task tells of each version, so that it is woken for each before the next one is published.
    let (tell, told) = mpsc::channel();
    let observer = runtime.spawn(async move {
        let mut seen = Version::ZERO;
        while let Ok(newest) = table.changed(seen).await {
            tell.send(newest).unwrap();
            seen = newest;
        }
    });
    for _ in 0..VERSIONS {
        let version = publish(&mut writer);
        assert_eq!(told.recv(), Ok(version));
    }
    drop(writer);
    for task in watchers.into_iter().chain(followers) {
        assert_eq!(runtime.block_on(task).unwrap(), VERSIONS);
    }
    runtime.block_on(observer).unwrap();
}

/// `select!` drops the futures of the branches that lose, in each turn of the loop.
#[test]
fn a_select_loop_sees_every_version_and_every_message() {
    const ROUNDS: u64 = 200;
    let (mut writer, table) = Table::<u64, u64>::builder().history(1000, 1000).build();
    let mut feed = table.subscribe();
    let (send, mut messages) = tokio::sync::mpsc::channel(1);
    let (answer, answers) = mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move {
            let (mut events, mut received) = (0, 0);
            let mut open = true;
            loop {
                tokio::select! {
                    event = feed.next() => {
                        if event.is_none() {
                            break;
                        }
                        events += 1;
                        assert_eq!(delivered(event), Some(events));
                        answer.send(events).unwrap();
                    }
                    message = messages.recv(), if open => match message {
                        Some(number) => {
                            received += 1;
                            assert_eq!(number, received);
                        }
                        None => open = false,
                    },
                }
            }
            (events, received)
        })
    });
    for round in 1..=ROUNDS {
        send.blocking_send(round).unwrap();
        publish(&mut writer);
        assert_eq!(answers.recv(), Ok(round));
    }
    drop(send);
    drop(writer);
    let (events, received) = thread.join().unwrap();
    assert_eq!(events, ROUNDS);
    assert!(received <= ROUNDS);
}

#[cfg(feature = "stream")]
#[test]
fn a_feed_is_a_stream() {
    use futures_core::{FusedStream, Stream};

    let (mut writer, table) = Table::new();
    let mut feed = std::pin::pin!(table.subscribe());
    let task = Task::new();
    let mut context = Context::from_waker(&task.waker);
    assert!(feed.as_mut().poll_next(&mut context).is_pending());
    assert_eq!(task.kept(), 1);
    publish(&mut writer);
    publish(&mut writer);
    assert_eq!((task.woken(), task.kept()), (1, 0));
    for number in 1..=2 {
        let Poll::Ready(event) = feed.as_mut().poll_next(&mut context) else { panic!("not ready") };
        assert_eq!(delivered(event), Some(number));
    }
    assert!(feed.as_mut().poll_next(&mut context).is_pending() && !feed.is_terminated());
    drop(writer);
    assert_eq!(task.woken(), 2);
    assert!(matches!(feed.as_mut().poll_next(&mut context), Poll::Ready(None)));
    assert!(feed.is_terminated());
}

/// Adapters do not poll a terminated stream again, and `select_next_some` panics on one.
#[cfg(feature = "stream")]
#[test]
fn a_stream_is_terminated_once_it_has_returned_none() {
    use futures_core::{FusedStream, Stream};

    let (mut writer, table) = Table::new();
    publish(&mut writer);
    let mut feed = std::pin::pin!(table.subscribe());
    let mut context = Context::from_waker(Waker::noop());
    assert!(feed.as_mut().poll_next(&mut context).is_pending());
    drop(writer);
    // The end comes from another thread: the stream has not reported it yet.
    assert!(feed.is_closed() && !feed.is_terminated());
    for _ in 0..2 {
        assert!(matches!(feed.as_mut().poll_next(&mut context), Poll::Ready(None)));
        assert!(feed.is_terminated());
    }
    let mut late = table.subscribe();
    assert!(late.is_closed() && !late.is_terminated());
    assert!(matches!(Task::new().poll(&mut late.next()), Poll::Ready(None)));
    assert!(late.is_terminated(), "also by the future of the last event");
}

#[cfg(feature = "manager")]
#[test]
fn the_links_of_a_manager_can_be_awaited_until_it_ends() {
    use switchboard::{Config, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr};

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let nothing = |_: Effect<NodeAddr>, _: &Handle| {};
    let manager = LinkManager::builder(Config::default()).transport(nothing).spawn().unwrap();
    let links = manager.links();
    let watcher = runtime.spawn(async move {
        let mut seen = links.snapshot();
        while let Ok(newest) = links.changed(seen.version()).await {
            assert!(newest.version() > seen.version());
            seen = newest;
        }
        (seen.version(), seen.nets().len())
    });
    for net in [NetId(1), NetId(2)] {
        let ticket = manager.handle().add_net(net, NetConfig::new()).unwrap();
        let applied = runtime.block_on(ticket).unwrap();
        let snapshot = runtime.block_on(manager.links().reached(applied.version)).unwrap();
        assert!(snapshot.version() >= applied.version && snapshot.net(net).is_some());
    }
    let report = manager.shutdown(std::time::Duration::from_secs(60));
    assert!(report.is_clean());
    let last = report.drain.unwrap().version;
    assert_eq!(runtime.block_on(watcher).unwrap(), (last, 0), "the shutdown publishes the empty table");
}
