//! Clears that join and are dropped, limits, counters, and what is left behind.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::mpsc::sync_channel;

use super::*;
use crate::sessions::store::{MemoryStore, SessionStore};

const WAIT: ClearPolicy = ClearPolicy::CancelAndWait(LONG);
const DETACH: ClearPolicy = ClearPolicy::CancelAndDetach;

fn polled<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll(future, Waker::noop())
}

fn ready<F: Future + Unpin>(future: &mut F) -> F::Output {
    match polled(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("still waits"),
    }
}

/// A clear waits for the run, another one detaches it, and both are dropped, or one of them goes on.
#[test]
fn a_run_that_a_clear_detached_is_fenced_off_also_if_clears_are_dropped() {
    for (drops_first, drops_second) in [(true, false), (false, true), (true, true)] {
        let sessions = Registry::new();
        let mut old = sessions.try_begin(&1).unwrap();
        let mut first = sessions.clear_async(&1, WAIT);
        assert!(polled(&mut first).is_pending());
        let mut second = sessions.clear_async(&1, DETACH);
        let result = polled(&mut second);
        if drops_first {
            drop(first);
        } else if drops_second {
            assert_eq!(ready(&mut first).map(|cleared| cleared.epoch), Ok(1));
        }
        if drops_second {
            drop(second);
        } else if result.is_pending() {
            assert_eq!(ready(&mut second).map(|cleared| cleared.epoch), Ok(1));
        }
        let mut new = sessions.try_begin(&1).unwrap();
        assert_eq!(
            (new.epoch(), push(&mut old, 7)),
            (1, Err(Stale)),
            "dropped: {drops_first}, {drops_second}"
        );
        push(&mut new, 8).unwrap();
        assert_eq!((old.finish(), new.is_cancelled()), (Err(Stale), false));
        assert_eq!(sessions.read(&1).as_deref(), Some(&vec![8]));
    }
}

/// The first clear is a future that no one polls: the others do not wait for it.
#[test]
fn a_clear_ends_although_a_future_that_it_joins_is_not_polled() {
    for policy in [DETACH, ClearPolicy::RefuseIfBusy, WAIT] {
        let sessions = Registry::new();
        let mut run = sessions.try_begin(&1).unwrap();
        push(&mut run, 7).unwrap();
        let mut first = sessions.clear_async(&1, WAIT);
        assert!(polled(&mut first).is_pending());
        let run = (policy == DETACH).then_some(run);
        let cleared = sessions.clear(&1, policy).unwrap();
        assert_eq!((cleared.epoch, cleared.joined), (1, false));
        let next = sessions.try_begin(&1).unwrap();
        assert_eq!((next.epoch(), next.read().as_deref()), (1, Ok(&vec![])));
        let joined = ready(&mut first).unwrap();
        assert_eq!((joined.epoch, joined.joined), (1, true), "it finds it done");
        assert!(!next.is_cancelled() && next.finish().is_ok());
        assert_eq!(
            (sessions.stats().cleared, run.map(Run::finish)),
            (1, (policy == DETACH).then_some(Err(Stale)))
        );
    }
}

/// The clear that is dropped is over: another one, of a later run, is in progress by then.
#[test]
fn a_clear_that_is_dropped_does_not_end_a_later_one() {
    for is_vacant in [false, true] {
        let sessions = Registry::new();
        let old = sessions.try_begin(&1).unwrap();
        let mut first = sessions.clear_async(&1, WAIT);
        assert!(polled(&mut first).is_pending());
        assert_eq!(sessions.clear(&1, DETACH).unwrap().epoch, 1);
        let mut new = sessions.try_begin(&1).unwrap();
        push(&mut new, 7).unwrap();
        let mut later = sessions.clear_async(&1, WAIT);
        assert!(polled(&mut later).is_pending() && new.is_cancelled());
        let new = (!is_vacant).then_some(new);
        drop(first);
        assert!(sessions.try_begin(&1).is_err());
        drop(new);
        assert_eq!(ready(&mut later).map(|cleared| cleared.epoch), Ok(2));
        assert_eq!(sessions.read(&1).as_deref(), Some(&vec![]));
        assert_eq!(old.finish(), Err(Stale));
    }
}

/// The first one has looked at the session, and makes its data, while the second one clears it.
#[test]
fn a_clear_that_begins_after_another_one_has_ended_is_a_clear_of_its_own() {
    let slot: StdArc<std::sync::OnceLock<Registry>> = StdArc::default();
    let (inner, count) = (slot.clone(), AtomicUsize::new(0));
    let builder = Sessions::builder().init(move |_: &u32| {
        if count.fetch_add(1, Ordering::SeqCst) == 1 {
            let cleared = inner.get().unwrap().clear(&1, ClearPolicy::RefuseIfBusy).unwrap();
            assert_eq!((cleared.epoch, cleared.joined), (1, false));
        }
        Vec::new()
    });
    let sessions: Registry = builder.build();
    assert!(slot.set(sessions.clone()).is_ok());
    drop(sessions.try_begin(&1).unwrap());
    let cleared = sessions.clear(&1, ClearPolicy::RefuseIfBusy).unwrap();
    assert_eq!((cleared.epoch, cleared.joined), (2, false));
    assert_eq!(sessions.try_begin(&1).unwrap().epoch(), 2);
}

/// A clear joins another one and times out: those who came in between keep waiting.
#[test]
fn a_clear_that_fails_drops_no_one_for_the_one_that_it_joined() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let key = 1;
    let (mut before, mut between) = (sessions.begin_async(&key), sessions.begin_async(&key));
    assert!(polled(&mut before).is_pending());
    let mut clear = sessions.clear_async(&1, WAIT);
    assert!(polled(&mut clear).is_pending() && polled(&mut between).is_pending());
    assert_eq!(sessions.clear(&1, ClearPolicy::CancelAndWait(NOW)), Err(ClearError::Timeout));
    drop(run);
    assert_eq!(ready(&mut clear).map(|cleared| cleared.dropped), Ok(1));
    assert_eq!(ready(&mut before).unwrap_err(), BeginError::Cleared);
    assert_eq!(ready(&mut between).unwrap().epoch(), 1);
}

thread_local! {
    /// Runs once, in the next comparison of keys on this thread.
    static IN_EQ: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
    /// Number of keys that were cloned on this thread, and the number at which a clone panics.
    static CLONES: Cell<(usize, usize)> = const { Cell::new((0, usize::MAX)) };
}

#[derive(Debug)]
struct Key(u32);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        if let Some(hook) = IN_EQ.take() {
            hook();
        }
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        let (count, limit) = CLONES.get();
        CLONES.set((count + 1, limit));
        assert!(count < limit, "a clone that panics");
        Self(self.0)
    }
}

/// Between the look into the map and the removal, the session is evicted.
#[test]
fn s18_a_session_that_is_evicted_while_it_is_removed_is_deleted() {
    let store = MemoryStore::new();
    let sessions: Sessions<Key, String> = Sessions::builder().store(store.clone()).build();
    sessions.try_begin(&Key(1)).unwrap().update(|_| String::from("one")).unwrap();
    sessions.saver().unwrap().flush_all(LONG).unwrap();
    assert!(store.load(&Key(1)).unwrap().is_some());
    let inner = sessions.clone();
    IN_EQ.set(Some(Box::new(move || assert_eq!(inner.prune(NOW).len(), 1))));
    sessions.remove(&Key(1)).unwrap();
    assert!(IN_EQ.take().is_none(), "entered");
    sessions.saver().unwrap().flush_all(LONG).unwrap();
    assert!(store.load(&Key(1)).unwrap().is_none() && sessions.is_empty());
}

/// The registry keeps no session for a run that may be resumed after the run has ended, or was resumed.
#[test]
fn an_orphan_goes_with_its_run_its_session_and_a_new_connection() {
    let clock = ManualClock::new();
    let policy = OnDisconnect::KeepForResume(LONG);
    let sessions: Registry =
        Sessions::builder().on_disconnect(policy).clock(clock.clone()).max_blank(0).build();
    for key in 0..3 {
        let connection = sessions.connect(&key, "a").connection;
        let run = connection.try_begin().unwrap();
        drop(connection);
        assert_eq!((sessions.orphans(), run.is_cancelled()), (1, false));
        drop(run);
        assert_eq!(
            (sessions.orphans(), sessions.len()),
            (0, 0),
            "the run has ended, and the session is blank"
        );
    }
    let connection = sessions.connect(&1, "a").connection;
    let run = connection.try_begin().unwrap();
    drop(connection);
    let resumed = sessions.connect(&1, "b");
    assert_eq!((resumed.run, sessions.orphans()), (Some(run.id()), 0));
    clock.advance(LONG);
    drop(resumed);
    assert_eq!((sessions.expire(), sessions.orphans()), (0, 1), "the grace begins again");
    clock.advance(LONG);
    assert_eq!((sessions.expire(), sessions.orphans(), run.is_cancelled()), (1, 0, true));
    drop(run);
    assert!(sessions.is_empty());

    let connection = sessions.connect(&1, "a").connection;
    let old = connection.try_begin().unwrap();
    drop(connection);
    assert!(sessions.clear(&1, DETACH).is_ok());
    let _ = sessions.remove(&1);
    assert_eq!((sessions.orphans(), sessions.len()), (0, 0), "the session is gone");
    assert_eq!((sessions.expire(), old.finish()), (0, Err(Stale)));
}

/// The look for idle sessions clones keys.
#[test]
fn a_panic_in_the_look_for_idle_sessions_does_not_end_the_limit() {
    let sessions: Sessions<Key, Vec<u32>> = Sessions::builder().max_idle(8).build();
    let add = |key| sessions.try_begin(&Key(key)).unwrap().update(|_| vec![key]).map(drop).unwrap();
    (0..9).for_each(add);
    let (count, _) = CLONES.get();
    // Its own clones, and then those of the look.
    CLONES.set((count, count + 4));
    let panicked = (9..20).find(|key| panics(|| add(*key)));
    CLONES.set((0, usize::MAX));
    assert!(panicked.is_some(), "entered");
    (20..100).for_each(add);
    assert!(sessions.len() <= 12, "{} sessions", sessions.len());
}

/// Many more sessions are in use than may be idle.
#[test]
fn the_look_for_idle_sessions_is_paid_for_by_creations() {
    let sessions: Sessions<Key, Vec<u32>> = Sessions::builder().max_idle(8).build();
    CLONES.set((0, usize::MAX));
    let runs: Vec<_> = (0..2000).map(|key| sessions.try_begin(&Key(key)).unwrap()).collect();
    let (clones, _) = CLONES.get();
    assert!(clones <= runs.len() * 15, "{clones} clones of {} keys", runs.len());
}

#[test]
fn one_idle_session_may_be_kept() {
    let clock = ManualClock::new();
    let sessions: Registry = Sessions::builder().max_idle(1).clock(clock).build();
    for key in 0..100 {
        push(&mut sessions.try_begin(&key).unwrap(), key).unwrap();
        assert!(sessions.len() <= 3 && sessions.read(&key).is_some(), "{} sessions", sessions.len());
    }
}

/// Created, and about to be used: the idle time counts from the first call that finds it so.
#[test]
fn a_new_session_has_not_been_idle() {
    let clock = ManualClock::new();
    let sessions: Registry = Sessions::builder().clock(clock.clone()).build();
    let session = sessions.session(&1);
    clock.advance(LONG);
    assert_eq!(sessions.prune(LONG), []);
    assert!(!session.place.state().is_retired());
    clock.advance(LONG);
    assert_eq!(sessions.prune(LONG).len(), 1);
}

/// The run outlives the registry, and drops the data in the end.
#[test]
fn s07_the_end_of_a_run_contains_the_destructor_of_the_data() {
    #[derive(Default)]
    struct Bomb(Option<StdArc<AtomicUsize>>);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if let Some(count) = self.0.take() {
                count.fetch_add(1, Ordering::SeqCst);
                panic!("a destructor that panics");
            }
        }
    }

    let count = StdArc::new(AtomicUsize::new(0));
    let sessions: Sessions<u32, Bomb> = Sessions::new();
    let mut run = sessions.try_begin(&1).unwrap();
    run.update(|_| Bomb(Some(count.clone()))).map(drop).unwrap();
    drop(sessions);
    assert!(!panics(|| drop(run)));
    assert_eq!(count.load(Ordering::SeqCst), 1, "entered");
}

/// Other threads are in the middle of everything that may block.
#[test]
fn s07_the_end_of_a_run_does_not_wait_for_user_code_of_other_threads() {
    let (enter, entered) = sync_channel(2);
    let (open, opened) = sync_channel::<()>(2);
    let opened = crate::sync::Mutex::new(&crate::sync::lock_order::TEST_AUXILIARY, opened);
    let inside = enter.clone();
    let builder = Sessions::builder().max_blank(0).init(move |key: &u32| {
        if *key == 2 {
            inside.send(()).unwrap();
            opened.lock().recv().unwrap();
        }
        Vec::new()
    });
    let sessions: Registry = builder.build();
    let run = sessions.try_begin(&1).unwrap();
    let creates = spawn({
        let sessions = sessions.clone();
        move || drop(sessions.try_begin(&2).unwrap())
    });
    let (stop, stopped) = sync_channel::<()>(1);
    let updates = spawn({
        let mut run = sessions.try_begin(&3).unwrap();
        move || {
            let result = run.update(|data| {
                enter.send(()).unwrap();
                stopped.recv().unwrap();
                data.clone()
            });
            result.map(drop)
        }
    });
    (0..2).for_each(|_| entered.recv().unwrap());
    // If it waited for one of the two, it would wait forever.
    drop(run);
    assert!(sessions.read(&1).is_none(), "evicted");
    open.send(()).unwrap();
    stop.send(()).unwrap();
    creates.join().unwrap();
    updates.join().unwrap().unwrap();
}

#[test]
fn a_run_is_counted_once_as_asked_to_stop() {
    let clock = ManualClock::new();
    let sessions: Registry = Sessions::builder().clock(clock.clone()).build();
    let step = Duration::from_millis(3);
    let run = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.cancel(&1), Cancel::Requested(run.id()));
    clock.advance(step);
    assert_eq!(sessions.clear(&1, ClearPolicy::CancelAndWait(NOW)), Err(ClearError::Timeout));
    assert_eq!(sessions.stats().cancelled, 1);
    drop(run);
    assert_eq!((sessions.stats().cancel_latency.count, sessions.stats().cancel_latency.max), (1, step));
    let run = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.cancel(&1), Cancel::Requested(run.id()));
    assert!(sessions.clear(&1, DETACH).is_ok());
    assert_eq!((sessions.stats().cancelled, sessions.stats().detached), (2, 1));
}

/// It is handed the session while another one waits that replaces every run in front of it.
#[test]
fn a_run_that_begins_cancelled_is_counted_and_its_latency_measured() {
    let clock = ManualClock::new();
    let sessions: Registry = Sessions::builder().clock(clock.clone()).build();
    let step = Duration::from_millis(3);
    let run = sessions.try_begin(&1).unwrap();
    let key = 1;
    let (mut plain, mut replacing) = (sessions.begin_async(&key), sessions.begin_or_replace_async(&key));
    assert!(polled(&mut plain).is_pending() && polled(&mut replacing).is_pending());
    drop(run);
    let run = ready(&mut plain).unwrap();
    assert!(run.is_cancelled());
    assert_eq!(sessions.stats().cancelled, 2);
    clock.advance(step);
    drop(run);
    assert_eq!((sessions.stats().cancel_latency.count, sessions.stats().cancel_latency.max), (2, step));
    assert!(ready(&mut replacing).unwrap().start());
    assert_eq!(sessions.stats().cancelled, 2);
}

#[test]
fn a_huge_number_of_blank_sessions_is_clamped() {
    let sessions: Registry = Sessions::builder().max_blank(usize::MAX).build();
    drop(sessions.try_begin(&1).unwrap());
    assert_eq!(sessions.len(), 1);
}
