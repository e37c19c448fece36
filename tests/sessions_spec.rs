//! The properties of sessions, by their numbers. Those of saving (S17 to S20) are in the tests of saving; races on
//! real threads are in `tests/sessions.rs`, and all interleavings in the models of the crate.
#![allow(clippy::unwrap_used, clippy::disallowed_types)] // A panic is how these fail; a barrier starts threads.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use switchboard::clock::ManualClock;
use switchboard::sessions::{
    BeginError, Cancel, ClearError, ClearPolicy, OnDisconnect, Phase, RemoveError, Run, Sessions, Stale,
    TryBeginError,
};

/// Long enough never to pass unless a test is stuck.
const LONG: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;
const DETACH: ClearPolicy = ClearPolicy::CancelAndDetach;

type Registry = Sessions<u32, Vec<u32>, &'static str>;

fn push(run: &mut Run<u32, Vec<u32>, &'static str>, value: u32) -> Result<(), Stale> {
    run.update(|data| data.iter().copied().chain([value]).collect()).map(drop)
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls, and expects the result.
fn ready<F: Future + Unpin>(future: &mut F) -> F::Output {
    match poll(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("still waits"),
    }
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn s01_a_session_has_at_most_one_live_run() {
    let sessions = Registry::new();
    let phase = || (sessions.snapshot()[0].phase, sessions.snapshot()[0].run);
    let run = sessions.try_begin(&1).unwrap();
    let id = Some(run.id());
    assert_eq!(phase(), (Phase::Reserved, id));
    assert!(run.start());
    assert_eq!(phase(), (Phase::Running, id));
    assert_eq!(sessions.cancel(&1), Cancel::Requested(run.id()));
    assert_eq!(phase(), (Phase::Cancelling, id));
    assert!(sessions.try_begin(&1).is_err(), "in none of these can another one begin");
    let mut clear = sessions.clear_async(&1, ClearPolicy::CancelAndWait(LONG));
    assert!(poll(&mut clear).is_pending());
    assert_eq!(phase(), (Phase::Clearing, id));
    drop(run);
    assert_eq!(phase(), (Phase::Clearing, None));
    assert!(sessions.try_begin(&1).is_err_and(TryBeginError::is_clearing));
    assert!(ready(&mut clear).is_ok());
    assert_eq!(phase(), (Phase::Idle, None));
    let next = sessions.try_begin(&1).unwrap();
    assert_ne!(Some(next.id()), id, "identities are not reused");
}

#[test]
fn s02_of_many_that_begin_one_gets_the_run_and_the_others_learn_its_name() {
    let sessions = Registry::new();
    let start = Barrier::new(4);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                let result = sessions.try_begin(&1);
                results.lock().unwrap().push(result);
            });
        }
    });
    let results = results.into_inner().unwrap();
    let id = results.iter().find_map(|result| result.as_ref().ok()).unwrap().id();
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    let named =
        refused.filter(|error| matches!(error, TryBeginError::Busy { run, .. } if *run == id)).count();
    assert_eq!((named, sessions.stats().refused), (3, 3));
}

#[test]
fn s03_a_request_to_stop_before_the_start_is_not_lost() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.cancel(&1), Cancel::Requested(run.id()));
    let seen = thread::scope(|scope| {
        let worker = scope.spawn(move || (run.start(), run.is_cancelled(), run.wait_cancelled(LONG)));
        worker.join().unwrap()
    });
    assert_eq!(seen, (false, true, true));
}

#[test]
fn s04_a_permit_that_is_not_used_frees_the_session() {
    let sessions = Registry::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _run = sessions.try_begin(&1).unwrap();
        panic!("the work could not be spawned");
    }));
    assert!(panic.is_err());
    assert!(sessions.try_begin(&1).is_ok());
    assert_eq!(sessions.snapshot()[0].phase, Phase::Idle);
}

#[test]
fn s05_a_release_names_its_run() {
    let sessions = Registry::new();
    let old = sessions.try_begin(&1).unwrap();
    assert!(sessions.clear(&1, DETACH).is_ok());
    let new = sessions.try_begin(&1).unwrap();
    assert_eq!(old.finish(), Err(Stale), "released, and no longer that of the session");
    assert_eq!(sessions.snapshot()[0].run, Some(new.id()));
    assert!(!new.is_cancelled());
    assert_eq!(new.finish(), Ok(()));
    assert_eq!(sessions.stats().stale_releases, 1);
}

#[test]
fn s06_the_registry_is_bounded_by_live_sessions_and_pruning_spares_those_in_use() {
    let sessions: Registry = Sessions::builder().max_blank(4).build();
    let runs: Vec<_> = (0..10).map(|key| sessions.try_begin(&key).unwrap()).collect();
    for key in 10..1000 {
        drop(sessions.try_begin(&key).unwrap());
        assert!(sessions.len() <= 14, "{} sessions", sessions.len());
    }
    assert!(runs.iter().all(|run| sessions.cancel_run(run.key(), run.id()) == Cancel::Requested(run.id())));
    assert_eq!(sessions.remove(&0), Err(RemoveError::Busy(runs[0].id())));
    assert_eq!(sessions.prune(NOW).len(), 4);
    drop(runs);
    assert_eq!(sessions.len(), 4);
}

#[test]
fn s07_the_end_of_a_run_neither_blocks_nor_panics() {
    let released = Arc::new(AtomicUsize::new(0));
    let count = released.clone();
    let sessions: Registry = Sessions::builder()
        .on_release(move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            panic!("a callback that panics");
        })
        .build();
    drop(sessions.try_begin(&1).unwrap());
    let mut future = Box::pin(async {
        let _run = sessions.begin_async(&1).await.unwrap();
        std::future::pending::<()>().await;
    });
    assert!(poll(&mut future).is_pending());
    drop(future);
    assert_eq!(released.load(Ordering::SeqCst), 2);
    assert!(sessions.try_begin(&1).is_ok());
}

#[test]
fn s08_a_cancellation_hits_the_run_that_it_found() {
    let sessions = Registry::new();
    assert_eq!(sessions.cancel(&1), Cancel::Idle);
    let run = sessions.try_begin(&1).unwrap();
    let id = run.id();
    assert_eq!(sessions.cancel_run(&1, id), Cancel::Requested(id));
    assert_eq!(sessions.cancel_run(&1, id), Cancel::AlreadyRequested(id));
    assert_eq!(sessions.cancel(&1), Cancel::AlreadyRequested(id));
    drop(run);
    let next = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.cancel_run(&1, id), Cancel::Idle);
    assert!(!next.is_cancelled());
}

#[test]
fn s09_a_clear_is_one_step_under_each_policy() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    push(&mut run, 7).unwrap();
    assert_eq!(sessions.clear(&1, ClearPolicy::RefuseIfBusy), Err(ClearError::Busy(run.id())));
    assert_eq!(sessions.clear(&1, ClearPolicy::CancelAndWait(NOW)), Err(ClearError::Timeout));
    assert_eq!((run.is_cancelled(), sessions.read(&1).as_deref()), (true, Some(&vec![7])), "as it was");
    let (id, epoch) = (run.id(), run.epoch());
    let (cleared, written) = thread::scope(|scope| {
        let worker = scope.spawn(move || push(&mut run, 8));
        (sessions.clear(&1, ClearPolicy::CancelAndWait(LONG)).unwrap(), worker.join().unwrap())
    });
    assert_eq!(written, Ok(()));
    assert!(cleared.cancelled.is_none_or(|run| run == id) && cleared.epoch == epoch + 1);
    assert_eq!(sessions.read(&1).as_deref(), Some(&vec![]));
    let run = sessions.try_begin(&1).unwrap();
    let cleared = sessions.clear(&1, DETACH).unwrap();
    assert_eq!((cleared.cancelled, cleared.epoch), (Some(run.id()), epoch + 2));
    assert!(sessions.try_begin(&1).is_ok(), "does not wait for the old run");
}

#[test]
fn s10_a_run_writes_in_its_epoch_only() {
    let sessions = Registry::new();
    let mut old = sessions.try_begin(&1).unwrap();
    let inner = sessions.clone();
    // The clear comes after the update has read the data, and before it writes.
    let overtaken = old.update(|_| {
        assert!(inner.clear(&1, DETACH).is_ok());
        vec![7]
    });
    assert_eq!(overtaken, Err(Stale));
    assert_eq!((push(&mut old, 8), old.read()), (Err(Stale), Err(Stale)));
    let mut new = sessions.try_begin(&1).unwrap();
    push(&mut new, 1).unwrap();
    assert_eq!(push(&mut old, 9), Err(Stale));
    assert_eq!(sessions.read(&1).as_deref(), Some(&vec![1]));
}

#[test]
fn s11_a_second_clear_joins_the_first_and_a_begin_comes_before_or_after_it() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    push(&mut run, 7).unwrap();
    let mut first = sessions.clear_async(&1, ClearPolicy::CancelAndWait(LONG));
    let mut second = sessions.clear_async(&1, ClearPolicy::CancelAndWait(LONG));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    let key = 1;
    let mut begin = sessions.begin_or_replace_async(&key);
    drop(run);
    assert!(poll(&mut begin).is_pending(), "not during the clear");
    let cleared = ready(&mut first).unwrap();
    assert_eq!((cleared.joined, cleared.dropped), (false, 0));
    let joined = ready(&mut second).unwrap();
    assert_eq!((joined.joined, joined.epoch), (true, cleared.epoch));
    let run = ready(&mut begin).unwrap();
    assert_eq!((run.epoch(), run.is_cancelled()), (cleared.epoch, false), "wholly after it");
    assert_eq!(run.read().as_deref(), Ok(&vec![]));
}

#[test]
fn s12_a_connection_ends_by_identity() {
    let sessions = Registry::new();
    let old = sessions.connect(&1, "old");
    let new = sessions.connect(&1, "new");
    assert_eq!(new.displaced.as_deref(), Some(&"old"));
    assert!(!old.connection.disconnect().was_current);
    assert_eq!(sessions.peers(), [(1, Arc::new("new"))]);
    assert!(new.connection.is_current());
    assert!(new.connection.disconnect().was_current);
    assert_eq!(sessions.peers(), []);
}

#[test]
fn s13_the_end_of_a_connection_stops_the_run_that_it_owns_if_the_policy_says_so() {
    let sessions = Registry::new();
    let foreign = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.connect(&1, "a").connection.disconnect().cancelled, None);
    assert!(!foreign.is_cancelled());
    drop(foreign);
    let connection = sessions.connect(&1, "b").connection;
    let run = connection.try_begin().unwrap();
    assert_eq!(connection.disconnect().cancelled, Some(run.id()));

    let sessions: Registry = Sessions::builder().on_disconnect(OnDisconnect::Keep).build();
    let connection = sessions.connect(&1, "a").connection;
    let run = connection.try_begin().unwrap();
    assert_eq!(connection.disconnect().cancelled, None);
    assert_eq!((sessions.connect(&1, "b").run, run.is_cancelled()), (None, false));
}

#[test]
fn s13_a_connection_within_the_grace_resumes_the_run_and_later_it_is_stopped() {
    let clock = ManualClock::new();
    let grace = Duration::from_secs(30);
    let policy = OnDisconnect::KeepForResume(grace);
    let sessions: Registry = Sessions::builder().on_disconnect(policy).clock(clock.clone()).build();
    let connection = sessions.connect(&1, "a").connection;
    let run = connection.try_begin().unwrap();
    assert_eq!(connection.disconnect().cancelled, None);
    clock.advance(grace - Duration::from_millis(1));
    assert_eq!((sessions.expire(), run.is_cancelled()), (0, false));
    let resumed = sessions.connect(&1, "b");
    assert_eq!(resumed.run, Some(run.id()));
    clock.advance(grace);
    assert_eq!((sessions.expire(), run.is_cancelled()), (0, false), "it has a connection");
    drop(resumed);
    assert_eq!(sessions.expire(), 0, "the grace begins again");
    clock.advance(grace);
    assert_eq!((sessions.expire(), run.is_cancelled()), (1, true));
    assert_eq!((sessions.expire(), sessions.stats().expired), (0, 1));
    drop(run);
    let unrelated = sessions.try_begin(&1).unwrap();
    clock.advance(grace);
    assert_eq!((sessions.expire(), unrelated.is_cancelled()), (0, false));
}

#[test]
fn s14_a_broadcast_holds_nothing_and_a_bad_peer_costs_only_itself() {
    let sessions = Registry::new();
    let _connections: Vec<_> = (0..3).map(|key| sessions.connect(&key, "peer").connection).collect();
    let inner = sessions.clone();
    let mut entered = 0;
    let result = sessions.broadcast(|key, _| {
        entered += 1;
        drop(inner.connect(key, "another"));
        drop(inner.try_begin(key).unwrap());
        assert_ne!(*key, 1, "a peer that fails");
    });
    assert_eq!((entered, result.delivered, result.panicked), (3, 2, 1));
}

#[test]
fn s15_callbacks_run_with_nothing_held_and_may_call_back() {
    let slot: Arc<Mutex<Option<Registry>>> = Arc::default();
    let entered = Arc::new(AtomicUsize::new(0));
    let (inner, count) = (slot.clone(), entered.clone());
    let registry = move || inner.lock().unwrap().clone().unwrap();
    let in_init = registry.clone();
    let init_count = Arc::new(AtomicUsize::new(0));
    let inits = init_count.clone();
    let sessions: Registry = Sessions::builder()
        .init(move |key| {
            inits.fetch_add(1, Ordering::SeqCst);
            assert!(in_init().read(&(key + 100)).is_none());
            Vec::new()
        })
        .on_release(move |key, run| {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                let sessions = registry();
                let next = sessions.try_begin(key).unwrap();
                assert_ne!(next.id(), run, "the session is free");
                assert_eq!(sessions.clear(key, ClearPolicy::RefuseIfBusy), Err(ClearError::Busy(next.id())));
                drop(next);
                assert!(sessions.clear(key, ClearPolicy::RefuseIfBusy).is_ok());
                drop(sessions.connect(key, "a"));
                assert_eq!((sessions.expire(), sessions.prune(LONG)), (0, vec![]));
            }
        })
        .build();
    *slot.lock().unwrap() = Some(sessions.clone());
    let mut run = sessions.try_begin(&1).unwrap();
    let mut updated = false;
    run.update(|data| {
        updated = true;
        assert!(sessions.try_begin(&1).is_err() && sessions.read(&1).is_some());
        data.clone()
    })
    .unwrap();
    drop(run);
    assert_eq!((entered.load(Ordering::SeqCst), updated), (2, true), "the inner run was released, too");
    assert!(init_count.load(Ordering::SeqCst) >= 2, "created and cleared");
    slot.lock().unwrap().take();
}

#[test]
fn s16_one_instance_is_used_and_its_construction_blocks_no_other_session() {
    let made = Arc::new(AtomicUsize::new(0));
    let meet = Arc::new(Barrier::new(2));
    let (count, barrier) = (made.clone(), meet.clone());
    let sessions: Registry = Sessions::builder()
        .init(move |key| {
            if *key == 1 {
                // Both threads are in here at the same time, so nothing is held.
                barrier.wait();
            }
            vec![u32::try_from(count.fetch_add(1, Ordering::SeqCst)).unwrap()]
        })
        .build();
    let read = |sessions: &Registry| {
        let connected = sessions.connect(&1, "a");
        (sessions.read(&1).unwrap(), connected.displaced.is_some())
    };
    let (one, two) = thread::scope(|scope| {
        let thread = scope.spawn(|| read(&sessions));
        (read(&sessions), thread.join().unwrap())
    });
    assert_eq!(one.0, two.0, "one instance");
    assert_eq!((made.load(Ordering::SeqCst), sessions.len()), (2, 1), "the other one was dropped");
}

#[test]
fn s21_every_wait_has_a_bound_and_leaves_no_trace() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let before = sessions.snapshot();
    assert_eq!(sessions.begin_timeout(&1, NOW).unwrap_err(), BeginError::Timeout);
    assert!(!run.wait_cancelled(NOW));
    let key = 1;
    let mut begin = sessions.begin_async(&key);
    assert!(poll(&mut begin).is_pending());
    drop(begin);
    let after = sessions.snapshot();
    assert_eq!((before[0].run, before[0].phase, 0), (after[0].run, after[0].phase, after[0].waiting));
    assert_eq!(sessions.clear(&1, ClearPolicy::CancelAndWait(NOW)), Err(ClearError::Timeout));
    drop(run);
    let run = sessions.try_begin(&1).unwrap();
    assert_eq!((run.epoch(), run.is_cancelled()), (before[0].epoch, false));
}

#[test]
fn s21_the_figures_are_counted() {
    let clock = ManualClock::new();
    let sessions: Registry = Sessions::builder().clock(clock.clone()).build();
    let run = sessions.try_begin(&1).unwrap();
    assert!(run.start() && sessions.try_begin(&1).is_err());
    let key = 1;
    let mut begin = sessions.begin_async(&key);
    assert!(poll(&mut begin).is_pending());
    clock.advance(Duration::from_millis(5));
    assert!(matches!(sessions.cancel(&1), Cancel::Requested(_)));
    clock.advance(Duration::from_millis(2));
    drop(run);
    let stats = sessions.stats();
    assert_eq!((stats.refused, stats.contended, stats.cancelled), (1, 1, 1));
    assert_eq!((stats.cancel_latency.count, stats.cancel_latency.max), (1, Duration::from_millis(2)));
    assert_eq!((stats.hold_time.count, stats.hold_time.mean()), (1, Duration::from_millis(7)));
    let old = ready(&mut begin).unwrap();
    assert!(sessions.clear(&1, DETACH).is_ok());
    drop(old);
    assert_eq!((sessions.stats().stale_releases, sessions.stats().detached), (1, 1));
}

#[test]
fn s22_waiting_begins_keep_their_order_with_one_in_flight() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let key = 1;
    let wakes: Vec<_> = (0..3).map(|_| Arc::new(Wakes(AtomicUsize::new(0)))).collect();
    let mut waiting: Vec<_> = (0..3).map(|_| sessions.begin_async(&key)).collect();
    for (begin, wakes) in waiting.iter_mut().zip(&wakes) {
        let waker = Waker::from(wakes.clone());
        assert!(Pin::new(begin).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(sessions.snapshot()[0].waiting, 3);
    let mut held = run;
    for (turn, begin) in waiting.iter_mut().enumerate() {
        drop(held);
        let woken: Vec<_> = wakes.iter().map(|wakes| wakes.0.load(Ordering::SeqCst)).collect();
        let expected: Vec<_> = (0..3).map(|other| usize::from(other <= turn)).collect();
        assert_eq!(woken, expected, "one release wakes one");
        assert!(sessions.try_begin(&1).is_err_and(TryBeginError::is_busy), "a newcomer does not overtake");
        assert_eq!(sessions.snapshot()[0].waiting, 2 - turn);
        held = ready(begin).unwrap();
    }
    drop(held);
    assert!(sessions.try_begin(&1).is_ok());
}

#[test]
fn s22_the_queue_is_bounded_and_a_clear_empties_it_and_reports_how_many_were_dropped() {
    let sessions: Registry = Sessions::builder().max_waiting(2).build();
    let run = sessions.try_begin(&1).unwrap();
    let key = 1;
    let mut waiting: Vec<_> = (0..3).map(|_| sessions.begin_async(&key)).collect();
    assert!(poll(&mut waiting[0]).is_pending() && poll(&mut waiting[1]).is_pending());
    assert_eq!(ready(&mut waiting[2]).unwrap_err(), BeginError::Full);
    assert_eq!(sessions.begin_timeout(&1, LONG).unwrap_err(), BeginError::Full);
    assert_eq!(sessions.clear(&1, ClearPolicy::CancelAndWait(NOW)), Err(ClearError::Timeout));
    assert_eq!(sessions.snapshot()[0].waiting, 2, "a clear that fails drops no one");
    let cleared = sessions.clear(&1, DETACH).unwrap();
    assert_eq!((cleared.dropped, cleared.cancelled), (2, Some(run.id())));
    for begin in &mut waiting[..2] {
        assert_eq!(ready(begin).unwrap_err(), BeginError::Cleared);
    }
    assert_eq!((sessions.stats().dropped, sessions.stats().full), (2, 2));
    assert!(sessions.try_begin(&1).is_ok());
}

#[test]
fn s22_a_replacement_waits_its_turn_and_asks_those_before_it_to_stop() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let key = 1;
    let mut first = sessions.begin_async(&key);
    let mut second = sessions.begin_or_replace_async(&key);
    assert!(poll(&mut first).is_pending() && !run.is_cancelled());
    assert!(poll(&mut second).is_pending() && run.is_cancelled());
    drop(run);
    let run = ready(&mut first).unwrap();
    assert!(run.is_cancelled() && !run.start());
    drop(run);
    assert!(ready(&mut second).unwrap().start());
}

/// Each future is dropped at each point: before it is polled, while it waits, and when it was given what it
/// waited for without having noticed.
#[test]
fn futures_are_cancel_safe() {
    for stage in 0..3 {
        for replaces in [false, true] {
            let sessions = Registry::new();
            let run = sessions.try_begin(&1).unwrap();
            let key = 1;
            let mut begin =
                if replaces { sessions.begin_or_replace_async(&key) } else { sessions.begin_async(&key) };
            assert!(stage == 0 || poll(&mut begin).is_pending());
            let run = (stage < 2).then_some(run);
            drop(begin);
            assert_eq!(sessions.try_begin(&1).is_ok(), run.is_none());
            assert_eq!(run.is_some_and(|run| run.is_cancelled()), replaces && stage == 1);
            assert!(sessions.try_begin(&1).is_ok());
        }
        let sessions = Registry::new();
        let mut run = sessions.try_begin(&1).unwrap();
        push(&mut run, 7).unwrap();
        let key = 1;
        let mut clear = sessions.clear_async(&key, ClearPolicy::CancelAndWait(LONG));
        assert!(stage == 0 || poll(&mut clear).is_pending());
        let mut begin = sessions.begin_async(&key);
        assert!(poll(&mut begin).is_pending());
        let run = (stage < 2).then_some(run);
        drop(clear);
        assert_eq!(run.as_ref().is_some_and(Run::is_cancelled), stage == 1);
        drop(run);
        let run = ready(&mut begin).unwrap();
        assert_eq!(run.read().as_deref(), Ok(&vec![7]), "the clear had no effect");
    }
}
