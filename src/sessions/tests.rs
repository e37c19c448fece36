#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

mod edges;

use super::*;
use crate::clock::ManualClock;
use crate::sync::StdArc;
use crate::sync::model::spawn;

/// Long enough never to pass unless a test is stuck.
const LONG: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

type Registry = Sessions<u32, Vec<u32>, &'static str>;

/// Appends `value` to the data.
fn push(run: &mut Run<u32, Vec<u32>, &'static str>, value: u32) -> Result<(), Stale> {
    run.update(|data| data.iter().copied().chain([value]).collect()).map(drop)
}

/// Counts its wake-ups, and runs a closure in each.
struct Wakes<F>(AtomicUsize, F);

impl<F: Fn() + Send + Sync> Wake for Wakes<F> {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        (self.1)();
    }
}

fn wakes<F: Fn() + Send + Sync + 'static>(also: F) -> (StdArc<Wakes<F>>, Waker) {
    let wakes = StdArc::new(Wakes(AtomicUsize::new(0), also));
    (wakes.clone(), Waker::from(wakes))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn panics<R>(body: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(body)).is_err()
}

#[test]
fn a_session_has_one_run_at_a_time_and_sessions_do_not_share_it() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let busy = sessions.try_begin(&1).unwrap_err();
    assert!(matches!(busy, TryBeginError::Busy { run: other, .. } if other == run.id()));
    let other = sessions.try_begin(&2).unwrap();
    assert_ne!(run.id(), other.id());
    assert_eq!(run.finish(), Ok(()));
    let next = sessions.try_begin(&1).unwrap();
    assert_eq!(next.epoch(), 0);
    assert_eq!((sessions.len(), sessions.stats().refused), (2, 1));
}

#[test]
fn the_age_of_a_run_counts_from_its_start_or_from_the_first_one_who_is_refused() {
    let clock = ManualClock::new();
    let sessions: Registry = Sessions::builder().clock(clock.clone()).build();
    let age = || match sessions.try_begin(&1) {
        Err(TryBeginError::Busy { age, .. }) => age,
        other => panic!("not busy: {other:?}"),
    };
    let step = Duration::from_millis(1500);
    let run = sessions.try_begin(&1).unwrap();
    clock.advance(step);
    assert_eq!(age(), Duration::ZERO);
    clock.advance(step);
    assert_eq!(age(), step);
    drop(run);
    let run = sessions.try_begin(&1).unwrap();
    assert!(run.start());
    clock.advance(step);
    assert_eq!(age(), step);
}

#[test]
fn a_clock_that_panics_neither_keeps_a_run_nor_its_session_busy() {
    #[derive(Debug)]
    struct Broken(ManualClock, AtomicUsize);

    impl crate::clock::Clock for Broken {
        fn now(&self) -> std::time::Instant {
            assert!(self.1.fetch_add(1, Ordering::SeqCst) == 0, "a broken clock");
            self.0.now()
        }
    }

    let clock = Broken(ManualClock::new(), AtomicUsize::new(0));
    let sessions: Registry = Sessions::builder().clock(clock).build();
    drop(sessions.try_begin(&1).unwrap());
    assert!(sessions.try_begin(&1).is_ok());
}

#[test]
fn a_run_ends_on_panic_and_with_its_future() {
    let sessions = Registry::new();
    assert!(panics(|| {
        let _run = sessions.try_begin(&1).unwrap();
        panic!("in the work");
    }));
    assert!(sessions.try_begin(&1).is_ok());

    let (_, waker) = wakes(|| {});
    let mut work = Box::pin(async {
        let run = sessions.begin_async(&1).await.unwrap();
        run.cancelled().await;
    });
    assert!(poll(&mut work, &waker).is_pending());
    assert!(sessions.try_begin(&1).is_err());
    drop(work);
    assert!(sessions.try_begin(&1).is_ok());
}

#[test]
fn a_cancellation_reaches_the_run_that_it_found_and_no_later_one() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let id = run.id();
    assert!(run.start() && !run.is_cancelled() && !run.wait_cancelled(NOW));
    assert_eq!(sessions.cancel_run(&1, id), Cancel::Requested(id));
    assert_eq!(sessions.cancel(&1), Cancel::AlreadyRequested(id));
    assert!(run.is_cancelled() && run.wait_cancelled(LONG));
    drop(run);
    let next = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.cancel_run(&1, id), Cancel::Idle);
    assert!(next.start() && !next.is_cancelled());
    assert_eq!(sessions.cancel(&2), Cancel::Idle);
}

#[test]
fn a_run_that_is_cancelled_before_it_starts_does_not_start() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.cancel(&1), Cancel::Requested(run.id()));
    assert!(!run.start());
}

#[test]
fn a_timeout_leaves_no_trace() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.begin_timeout(&1, NOW).unwrap_err(), BeginError::Timeout);
    assert!(!run.is_cancelled());
    assert_eq!(sessions.begin_or_replace(&1, NOW).unwrap_err(), BeginError::Timeout);
    assert!(run.is_cancelled(), "this one asked it to stop");
    drop(run);
    assert!(sessions.try_begin(&1).is_ok());
    assert_eq!(sessions.stats().timeouts, 2);
}

#[test]
fn begin_waits_for_the_end_of_the_run() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let thread = spawn({
        let sessions = sessions.clone();
        move || {
            while sessions.stats().contended == 0 {
                std::hint::spin_loop();
            }
            drop(run);
        }
    });
    assert!(sessions.begin_timeout(&1, LONG).is_ok());
    thread.join().unwrap();
}

#[test]
fn begin_or_replace_asks_the_run_to_stop_and_takes_its_place() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let old = run.id();
    let thread = spawn(move || assert!(run.wait_cancelled(LONG)));
    let new = sessions.begin_or_replace(&1, LONG).unwrap();
    assert!(new.id() != old && !new.is_cancelled());
    thread.join().unwrap();
}

#[test]
fn a_task_is_woken_when_the_run_ends_and_begins_then() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let (count, waker) = wakes(|| {});
    let key = 1;
    let mut begin = sessions.begin_async(&key);
    assert!(poll(&mut begin, &waker).is_pending());
    drop(run);
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(Ok(run)) = poll(&mut begin, &waker) else { panic!("the session is free") };
    assert!(sessions.try_begin(&1).is_err());
    assert!(panics(|| poll(&mut begin, &waker)), "polled after it has completed");
    drop(begin);
    drop(run);
    assert!(sessions.try_begin(&1).is_ok());
}

#[test]
fn a_future_that_is_dropped_while_it_waits_leaves_no_trace() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let (count, waker) = wakes(|| {});
    let key = 1;
    let mut begin = sessions.begin_async(&key);
    let mut cancelled = run.cancelled();
    assert!(poll(&mut begin, &waker).is_pending() && poll(&mut cancelled, &waker).is_pending());
    let session = sessions.session(&key);
    assert_eq!((session.place.tasks(), session.place.queue_len()), (1, 1));
    drop(begin);
    drop(cancelled);
    assert_eq!((session.place.tasks(), session.place.queue_len()), (0, 0));
    drop(run);
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    assert!(sessions.try_begin(&1).is_ok());
}

#[test]
fn a_waker_may_call_the_registry_and_may_panic() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let inner = sessions.clone();
    let (count, waker) = wakes(move || {
        assert!(inner.try_begin(&1).is_err(), "the session was handed over to the one that is woken");
        assert!(inner.read(&1).is_some());
        panic!("a waker that panics");
    });
    let key = 1;
    let mut begin = sessions.begin_async(&key);
    assert!(poll(&mut begin, &waker).is_pending());
    drop(run);
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "entered");
    assert!(poll(&mut begin, &waker).is_ready());
}

#[test]
fn an_update_replaces_the_data_and_a_panic_in_it_does_not() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    let before = sessions.read(&1).unwrap();
    push(&mut run, 7).unwrap();
    assert!(before.is_empty());
    assert!(panics(|| run.update(|_| panic!("in the update"))));
    assert_eq!(*run.read().unwrap(), [7]);
    assert_eq!(sessions.snapshot()[0].version, 1);
    drop(run);
    assert_eq!(*sessions.read(&1).unwrap(), [7]);
    assert_eq!(sessions.read(&2), None);
}

#[test]
fn an_update_may_call_the_registry() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    let mut was_entered = false;
    let inner = sessions.clone();
    run.update(|data| {
        was_entered = true;
        assert!(inner.try_begin(&1).is_err());
        assert_eq!(inner.read(&1).as_deref(), Some(data));
        assert!(inner.clear(&1, ClearPolicy::RefuseIfBusy).is_err());
        assert!(matches!(inner.cancel(&1), Cancel::Requested(_)));
        vec![1]
    })
    .unwrap();
    assert!(was_entered);
}

#[test]
fn a_clear_of_an_idle_session_resets_its_data() {
    let sessions = Registry::new();
    assert_eq!(sessions.clear(&1, ClearPolicy::RefuseIfBusy).map(|cleared| cleared.epoch), Ok(0));
    assert!(sessions.is_empty(), "clearing creates no session");
    push(&mut sessions.try_begin(&1).unwrap(), 7).unwrap();
    let cleared = sessions.clear(&1, ClearPolicy::RefuseIfBusy).unwrap();
    assert_eq!((cleared.epoch, cleared.cancelled, cleared.joined), (1, None, false));
    assert_eq!(*sessions.read(&1).unwrap(), [0_u32; 0]);
    let run = sessions.try_begin(&1).unwrap();
    assert_eq!((run.epoch(), run.read()), (1, Ok(StdArc::new(Vec::new()))));
}

#[test]
fn a_clear_that_refuses_changes_nothing() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    push(&mut run, 7).unwrap();
    assert_eq!(sessions.clear(&1, ClearPolicy::RefuseIfBusy), Err(ClearError::Busy(run.id())));
    assert!(!run.is_cancelled());
    push(&mut run, 8).unwrap();
    assert_eq!(*sessions.read(&1).unwrap(), [7, 8]);
}

#[test]
fn a_clear_waits_for_the_run_that_it_cancels() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    let id = run.id();
    let thread = spawn(move || {
        assert!(run.wait_cancelled(LONG));
        push(&mut run, 7).unwrap();
    });
    let cleared = sessions.clear(&1, ClearPolicy::CancelAndWait(LONG)).unwrap();
    assert_eq!((cleared.cancelled, cleared.joined), (Some(id), false));
    assert_eq!(*sessions.read(&1).unwrap(), [0_u32; 0], "what it wrote at last is cleared, too");
    thread.join().unwrap();
}

#[test]
fn a_clear_that_times_out_lets_the_run_go_on_and_others_begin_after_it() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.clear(&1, ClearPolicy::CancelAndWait(NOW)), Err(ClearError::Timeout));
    assert!(run.is_cancelled());
    push(&mut run, 7).unwrap();
    assert_eq!(run.finish(), Ok(()));
    let next = sessions.try_begin(&1).unwrap();
    assert_eq!((next.epoch(), next.is_cancelled()), (0, false));
    assert_eq!(*next.read().unwrap(), [7]);
}

#[test]
fn a_detached_run_is_fenced_off_and_its_end_does_not_end_its_successor() {
    let sessions = Registry::new();
    let mut old = sessions.try_begin(&1).unwrap();
    push(&mut old, 7).unwrap();
    let cleared = sessions.clear(&1, ClearPolicy::CancelAndDetach).unwrap();
    assert_eq!(cleared.cancelled, Some(old.id()));
    assert!(old.is_cancelled() && !old.start());
    assert_eq!(push(&mut old, 8), Err(Stale));
    assert_eq!(old.read(), Err(Stale));
    let mut new = sessions.try_begin(&1).unwrap();
    assert_eq!(push(&mut old, 9), Err(Stale));
    push(&mut new, 1).unwrap();
    assert_eq!(old.finish(), Err(Stale));
    assert!(sessions.try_begin(&1).is_err() && !new.is_cancelled());
    assert_eq!(*sessions.read(&1).unwrap(), [1]);
    let stats = sessions.stats();
    assert_eq!((stats.detached, stats.stale_releases, stats.cleared), (1, 1, 1));
}

/// The update has looked at the data before the clear, and is written after it.
#[test]
fn an_update_that_a_clear_overtakes_is_rejected() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    let inner = sessions.clone();
    let result = run.update(|_| {
        assert!(inner.clear(&1, ClearPolicy::CancelAndDetach).is_ok());
        vec![7]
    });
    assert_eq!(result, Err(Stale));
    assert_eq!(*sessions.read(&1).unwrap(), [0_u32; 0]);
}

#[test]
fn a_detaching_clear_ends_the_wait_of_another_one_which_it_joins() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let thread = spawn({
        let sessions = sessions.clone();
        move || sessions.clear(&1, ClearPolicy::CancelAndWait(LONG)).unwrap()
    });
    while !run.is_cancelled() {
        std::hint::spin_loop();
    }
    assert!(sessions.try_begin(&1).is_err_and(TryBeginError::is_busy));
    let second = sessions.clear(&1, ClearPolicy::CancelAndDetach).unwrap();
    let first = thread.join().unwrap();
    assert_eq!((second.epoch, second.cancelled), (1, Some(run.id())));
    assert_eq!((first.epoch, first.cancelled), (1, Some(run.id())));
    assert!(first.joined != second.joined, "one of them has reset the data");
    assert_eq!(sessions.stats().cleared, 1);
    assert!(run.finish().is_err());
}

#[test]
fn new_data_that_panics_changes_nothing() {
    let is_broken = StdArc::new(AtomicUsize::new(1));
    let flag = is_broken.clone();
    let builder = Sessions::builder().init(move |key: &u32| {
        assert!(flag.load(Ordering::SeqCst) == 0, "no data for {key}");
        vec![*key]
    });
    let sessions: Registry = builder.build();
    assert!(panics(|| sessions.try_begin(&1)));
    assert!(sessions.is_empty());
    is_broken.store(0, Ordering::SeqCst);
    push(&mut sessions.try_begin(&1).unwrap(), 7).unwrap();
    is_broken.store(1, Ordering::SeqCst);
    assert!(panics(|| sessions.clear(&1, ClearPolicy::CancelAndDetach)));
    let run = sessions.try_begin(&1).unwrap();
    assert_eq!((run.epoch(), run.read()), (0, Ok(StdArc::new(vec![1, 7]))));
}

/// The data is dropped after everything else, so a panic of it is only reported.
#[test]
fn a_destructor_that_panics_leaves_the_registry_whole() {
    #[derive(Default)]
    struct Bomb(bool);

    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "a destructor that panics");
        }
    }

    let sessions: Sessions<u32, Bomb> = Sessions::new();
    let arm = |sessions: &Sessions<u32, Bomb>| {
        sessions.try_begin(&1).unwrap().update(|_| Bomb(true)).map(drop).unwrap();
    };
    arm(&sessions);
    assert!(panics(|| sessions.clear(&1, ClearPolicy::RefuseIfBusy)));
    assert_eq!(sessions.try_begin(&1).unwrap().epoch(), 1);
    arm(&sessions);
    assert!(panics(|| sessions.try_begin(&1).unwrap().update(|_| Bomb(false)).map(drop)));
    assert!(sessions.try_begin(&1).is_ok_and(|run| run.read().is_ok_and(|data| !data.0)));
    arm(&sessions);
    assert!(panics(|| drop(sessions.remove(&1))));
    assert!(sessions.is_empty() && sessions.try_begin(&1).is_ok());
}

#[test]
fn the_late_end_of_a_displaced_connection_changes_nothing() {
    let sessions = Registry::new();
    let old = sessions.connect(&1, "old");
    assert_eq!(old.displaced, None);
    let new = sessions.connect(&1, "new");
    assert_eq!(new.displaced.as_deref(), Some(&"old"));
    assert!(!old.connection.is_current() && new.connection.is_current());
    let end = old.connection.disconnect();
    assert_eq!((end.was_current, end.cancelled), (false, None));
    assert_eq!(sessions.peers(), [(1, StdArc::new("new"))]);
    drop(new.connection);
    assert_eq!(sessions.peers(), []);
}

#[test]
fn the_end_of_a_connection_stops_only_the_run_that_belongs_to_it() {
    let sessions = Registry::new();
    let foreign = sessions.try_begin(&1).unwrap();
    let connection = sessions.connect(&1, "a").connection;
    assert!(connection.try_begin().is_err_and(TryBeginError::is_busy));
    assert_eq!(connection.disconnect().cancelled, None);
    assert!(!foreign.is_cancelled());
    drop(foreign);

    let connection = sessions.connect(&1, "b").connection;
    drop(connection.try_begin().unwrap());
    let later = sessions.try_begin(&1).unwrap();
    assert_eq!(connection.disconnect().cancelled, None, "its run has ended");
    assert!(!later.is_cancelled());
    drop(later);

    let connection = sessions.connect(&1, "c").connection;
    let run = connection.try_begin().unwrap();
    drop(connection);
    assert!(run.is_cancelled());
}

#[test]
fn a_newer_connection_takes_over_the_run_of_the_older_one() {
    let sessions = Registry::new();
    let old = sessions.connect(&1, "old").connection;
    let run = old.try_begin().unwrap();
    let new = sessions.connect(&1, "new").connection;
    assert_eq!(old.try_begin().unwrap_err(), TryBeginError::Disconnected);
    drop(old);
    assert!(!run.is_cancelled());
    assert_eq!(new.disconnect().cancelled, Some(run.id()));
}

#[test]
fn a_policy_lets_runs_survive_their_connection() {
    let sessions: Registry = Sessions::builder().on_disconnect(OnDisconnect::Keep).build();
    let connection = sessions.connect(&1, "a").connection;
    let run = connection.try_begin().unwrap();
    let end = connection.disconnect();
    assert_eq!((end.was_current, end.cancelled), (true, None));
    assert!(!run.is_cancelled());
}

#[test]
fn a_broadcast_holds_nothing_and_a_panic_costs_one_peer_its_message() {
    let sessions = Registry::new();
    let connections = ["a", "b", "c"].map(|name| sessions.connect(&(name.len() as u32), name).connection);
    assert_eq!(sessions.peers().len(), 1, "one key, three connections");
    drop(connections);
    let _connections: Vec<_> = (0..3).map(|key| sessions.connect(&key, "peer").connection).collect();
    let mut entered = 0;
    let result = sessions.broadcast(|key, _| {
        entered += 1;
        drop(sessions.connect(key, "displaces it"));
        assert_ne!(*key, 1, "a peer that fails");
    });
    assert_eq!((entered, result.delivered, result.panicked), (3, 2, 1));
    assert_eq!(sessions.peers(), []);
}

#[test]
fn a_session_in_use_is_not_removed() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    push(&mut run, 7).unwrap();
    assert_eq!(sessions.remove(&1), Err(RemoveError::Busy(run.id())));
    drop(run);
    let connection = sessions.connect(&1, "a").connection;
    assert_eq!(sessions.remove(&1), Err(RemoveError::Connected));
    drop(connection);
    assert_eq!(sessions.remove(&1).unwrap().as_deref(), Some(&vec![7]));
    assert_eq!((sessions.remove(&1), sessions.read(&1), sessions.len()), (Ok(None), None, 0));
}

/// Identities of runs are not reused when a session is created again, and neither are versions and epochs.
#[test]
fn a_session_that_is_created_again_is_another_one() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    let (first, old_epoch) = (run.id(), run.epoch());
    push(&mut run, 7).unwrap();
    drop(run);
    assert_eq!(sessions.clear(&1, ClearPolicy::RefuseIfBusy).unwrap().epoch, old_epoch + 1);
    let old = sessions.snapshot()[0].version;
    assert!(sessions.remove(&1).is_ok());
    let mut run = sessions.try_begin(&1).unwrap();
    assert_ne!(run.id(), first);
    assert!(run.epoch() > old_epoch + 1);
    assert_eq!(sessions.cancel_run(&1, first), Cancel::Idle);
    assert_eq!(sessions.snapshot()[0].version, 0, "never changed");
    push(&mut run, 8).unwrap();
    assert!(sessions.snapshot()[0].version > old + 1, "the removal has a version, too");
}

/// The detached run still refers to the session that was removed.
#[test]
fn a_detached_run_cannot_write_into_a_removed_session() {
    let sessions = Registry::new();
    let mut old = sessions.try_begin(&1).unwrap();
    assert!(sessions.clear(&1, ClearPolicy::CancelAndDetach).is_ok());
    assert!(sessions.remove(&1).is_ok());
    assert_eq!(push(&mut old, 7), Err(Stale));
    let _new = sessions.try_begin(&1).unwrap();
    assert_eq!((push(&mut old, 7), old.finish()), (Err(Stale), Err(Stale)));
    assert_eq!(*sessions.read(&1).unwrap(), [0_u32; 0]);
}

/// A task waits for the session, or was given it without having noticed.
#[test]
fn a_session_that_someone_waits_for_is_not_removed() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let (count, waker) = wakes(|| {});
    let key = 1;
    let mut begin = sessions.begin_async(&key);
    assert!(poll(&mut begin, &waker).is_pending());
    drop(run);
    assert!(matches!(sessions.remove(&1), Err(RemoveError::Busy(_))));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(Ok(run)) = poll(&mut begin, &waker) else { panic!("the session was handed over") };
    assert_eq!(sessions.cancel(&1), Cancel::Requested(run.id()));
}

/// The future is created for a session that is removed before it is polled: it begins in the new one.
#[test]
fn a_future_begins_in_the_session_that_exists_when_it_is_polled() {
    let sessions = Registry::new();
    drop(sessions.try_begin(&1).unwrap());
    let key = 1;
    let mut begin = sessions.begin_async(&key);
    assert!(sessions.remove(&1).is_ok());
    let (_, waker) = wakes(|| {});
    assert!(poll(&mut begin, &waker).is_ready());
    assert_eq!(sessions.len(), 1);
}

#[test]
fn only_sessions_idle_for_long_enough_are_pruned() {
    let clock = ManualClock::new();
    let sessions: Registry = Sessions::builder().clock(clock.clone()).build();
    let minute = Duration::from_secs(60);
    push(&mut sessions.try_begin(&1).unwrap(), 7).unwrap();
    let connection = sessions.connect(&2, "a").connection;
    let run = sessions.try_begin(&3).unwrap();
    assert_eq!(sessions.prune(minute), []);
    clock.advance(minute);
    drop(sessions.try_begin(&4).unwrap());
    assert_eq!(sessions.prune(minute), [(1, StdArc::new(vec![7]))], "the others are in use, or newly idle");
    drop((run, connection));
    assert_eq!(sessions.prune(minute), []);
    clock.advance(minute - Duration::from_millis(1));
    let pruned = |sessions: &Registry| -> Vec<_> {
        let mut keys: Vec<_> = sessions.prune(minute).into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(pruned(&sessions), [0_u32; 0]);
    clock.advance(Duration::from_millis(1));
    assert_eq!(pruned(&sessions), [2, 3, 4]);
    assert_eq!((sessions.len(), sessions.stats().removed), (0, 4));
}

#[test]
fn a_use_between_two_prunes_starts_the_idle_time_again() {
    let clock = ManualClock::new();
    let sessions: Registry = Sessions::builder().clock(clock.clone()).build();
    let minute = Duration::from_secs(60);
    drop(sessions.try_begin(&1).unwrap());
    drop(sessions.connect(&2, "a"));
    assert_eq!(sessions.prune(minute), []);
    clock.advance(minute);
    drop(sessions.try_begin(&1).unwrap());
    drop(sessions.connect(&2, "b"));
    assert_eq!(sessions.prune(minute), []);
    clock.advance(minute);
    assert_eq!(sessions.prune(minute).len(), 2);
}

#[test]
fn those_that_are_idle_for_the_longest_time_go_first_when_there_are_too_many() {
    let clock = ManualClock::new();
    let sessions: Registry = Sessions::builder().clock(clock.clone()).build();
    for key in [3, 1, 2] {
        drop(sessions.try_begin(&key).unwrap());
        assert_eq!(sessions.prune(Duration::MAX), []);
        clock.advance(Duration::from_secs(1));
    }
    let _run = sessions.try_begin(&4).unwrap();
    assert_eq!(sessions.prune_to(4), []);
    let keys = |removed: Vec<(u32, StdArc<Vec<u32>>)>| removed.into_iter().map(|(key, _)| key).collect();
    let removed: Vec<u32> = keys(sessions.prune_to(2));
    assert_eq!(removed, [3, 1]);
    assert_eq!(keys(sessions.prune_to(0)), [2_u32], "the one in use stays");
    assert_eq!(sessions.len(), 1);
}

#[test]
fn blank_sessions_are_bounded_and_the_oldest_goes_first() {
    let sessions: Registry = Sessions::builder().max_blank(2).build();
    let keep = sessions.connect(&0, "a").connection;
    push(&mut sessions.try_begin(&1).unwrap(), 7).unwrap();
    for key in 2..100 {
        drop(sessions.try_begin(&key).unwrap());
        assert!(sessions.len() <= 4, "{} sessions", sessions.len());
    }
    let has = |key| sessions.read(&key).is_some();
    assert!(has(0) && has(1) && has(98) && has(99) && !has(97));
    assert_eq!(sessions.stats().evicted, 96);
    drop(keep);
    assert!(!has(98), "the connection has ended, and the oldest goes");
    assert!(sessions.clear(&1, ClearPolicy::RefuseIfBusy).is_ok());
    assert!(!has(99) && has(1) && has(0), "it is blank again");
}

/// A session that is used again, or gets data, while it is in the ring stays; and a later end puts it in again.
#[test]
fn a_session_in_use_is_not_evicted_and_goes_later() {
    let sessions: Registry = Sessions::builder().max_blank(1).build();
    drop(sessions.try_begin(&1).unwrap());
    let run = sessions.try_begin(&1).unwrap();
    drop(sessions.try_begin(&2).unwrap());
    assert_eq!((sessions.len(), sessions.cancel(&1)), (2, Cancel::Requested(run.id())));
    drop(run);
    assert_eq!(sessions.len(), 1, "back in the ring, which has one place");
    let mut run = sessions.try_begin(&1).unwrap();
    push(&mut run, 7).unwrap();
    drop(run);
    drop(sessions.try_begin(&2).unwrap());
    assert_eq!((sessions.len(), sessions.stats().evicted), (2, 1));
}

#[test]
fn a_registry_that_keeps_no_blank_session_is_empty_when_idle() {
    let sessions: Registry = Sessions::builder().max_blank(0).build();
    let run = sessions.try_begin(&1).unwrap();
    drop(sessions.connect(&1, "a"));
    assert_eq!(sessions.len(), 1);
    drop(run);
    assert!(sessions.is_empty());
}

#[test]
fn idle_sessions_are_bounded_if_a_limit_is_set() {
    let sessions: Registry = Sessions::builder().max_idle(16).build();
    let runs: Vec<_> = (1000..1020).map(|key| sessions.try_begin(&key).unwrap()).collect();
    for key in 0..500 {
        push(&mut sessions.try_begin(&key).unwrap(), key).unwrap();
        assert!(sessions.len() <= 20 + 16 + 36 / 8 + 2, "{} sessions", sessions.len());
    }
    assert!(runs.iter().all(|run| !run.is_cancelled()) && sessions.stats().evicted > 400);
    assert!(sessions.read(&499).is_some());
}

#[test]
fn a_snapshot_shows_the_phases() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let phase = || {
        let all = sessions.snapshot();
        (all[0].phase, all[0].run)
    };
    let id = Some(run.id());
    assert_eq!(phase(), (Phase::Reserved, id));
    assert!(run.start());
    assert_eq!(phase(), (Phase::Running, id));
    let _ = sessions.cancel(&1);
    assert_eq!(phase(), (Phase::Cancelling, id));
    drop(run);
    assert_eq!(phase(), (Phase::Idle, None));
}

#[test]
fn guards_and_futures_are_send() {
    fn check<T: Send>(_: &T) {}
    let sessions = Registry::new();
    let connection = sessions.connect(&1, "a").connection;
    let run = connection.try_begin().unwrap();
    let key = 1;
    check(&sessions.begin_async(&key));
    check(&sessions.clear_async(&key, ClearPolicy::RefuseIfBusy));
    check(&run.cancelled());
    check(&(&run, &sessions, &connection));
    check(&sessions);
}

#[test]
fn guards_are_shown_whatever_they_hold() {
    #[derive(Default)]
    struct Opaque;

    let sessions: Sessions<u32, Opaque, Opaque> = Sessions::new();
    let connected = sessions.connect(&1, Opaque);
    let run = connected.connection.try_begin().unwrap();
    let shown = format!("{connected:?} {run:?}");
    assert!(shown.starts_with("Connected { connection: Connection") && shown.contains("Run {"), "{shown}");
}

/// The session that a begin has just created is spared, or the begin would create it for ever.
#[test]
fn a_begin_succeeds_under_the_smallest_limits() {
    let sessions: Registry = Sessions::builder().max_idle(0).max_blank(0).build();
    for key in 0..100 {
        push(&mut sessions.try_begin(&key).unwrap(), key).unwrap();
        drop(sessions.connect(&(key + 1000), "a"));
        assert!(sessions.len() <= 2, "{} sessions", sessions.len());
    }
}

/// Registries hold millions of them.
#[test]
fn a_session_is_small() {
    assert!(
        size_of::<session::Session<u64, u64, ()>>() <= 256,
        "{}",
        size_of::<session::Session<u64, u64, ()>>()
    );
}
