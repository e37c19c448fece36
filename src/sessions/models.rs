//! Models of begins, clears, removals and connections against each other. The waits have models of their own,
//! in `claim::models`.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::store::{MemoryStore, SessionStore};
use super::*;
use crate::clock::ManualClock;
use crate::sync::model::{Time, block_on, model, spawn};

/// Never passes: in these models time stands still.
const LONG: Duration = Duration::from_secs(60);

type Registry = Sessions<u32, u64>;

/// A registry that keeps one blank session.
fn small() -> Registry {
    Sessions::builder().max_blank(1).build()
}

/// A registry with one session, so that no model is about its creation unless it says so.
fn registry() -> Registry {
    let sessions = Registry::new();
    drop(sessions.try_begin(&1).unwrap());
    sessions
}

/// A detached run is fenced off: what it writes is never visible after the clear.
#[test]
fn nothing_that_an_earlier_run_writes_is_visible_after_a_clear() {
    model(|| {
        let sessions = registry();
        let thread = {
            let sessions = sessions.clone();
            spawn(move || {
                let Ok(mut run) = sessions.try_begin(&1) else { return None };
                let is_written = run.update(|value| value + 1).is_ok();
                Some((run.epoch(), is_written))
            })
        };
        let cleared = sessions.clear(&1, ClearPolicy::CancelAndDetach).unwrap();
        let after = *sessions.read(&1).unwrap();
        let run = thread.join().unwrap();
        let last = *sessions.read(&1).unwrap();
        assert_eq!(cleared.epoch, 1);
        match run {
            Some((1, is_written)) => assert!(is_written && last == 1),
            Some(_) | None => assert_eq!((after, last), (0, 0)),
        }
    });
}

/// The clear waits for a run that writes at the last moment.
#[test]
fn a_clear_that_waits_comes_after_everything_that_the_run_writes() {
    model(|| {
        let _time = Time::stopped();
        let sessions = registry();
        let mut run = sessions.try_begin(&1).unwrap();
        let holder = spawn(move || {
            assert!(run.update(|_| 7).is_ok());
            drop(run);
        });
        let cleared = sessions.clear(&1, ClearPolicy::CancelAndWait(LONG)).unwrap();
        assert_eq!((cleared.epoch, *sessions.read(&1).unwrap()), (1, 0));
        holder.join().unwrap();
        assert!(sessions.try_begin(&1).is_ok());
    });
}

#[test]
fn a_run_begins_before_the_clear_or_finds_it_done() {
    model(|| {
        let sessions = registry();
        assert!(sessions.try_begin(&1).unwrap().update(|_| 7).is_ok());
        let claimant = {
            let sessions = sessions.clone();
            spawn(move || {
                let Ok(run) = sessions.try_begin(&1) else { return };
                let (epoch, data) = (run.epoch(), run.read());
                assert_eq!(data.map(|data| *data), Ok(if epoch == 0 { 7 } else { 0 }));
            })
        };
        let cleared = sessions.clear(&1, ClearPolicy::RefuseIfBusy);
        claimant.join().unwrap();
        match cleared {
            Ok(cleared) => assert_eq!((cleared.epoch, *sessions.read(&1).unwrap()), (1, 0)),
            Err(error) => assert!(error.is_busy()),
        }
    });
}

#[test]
fn of_two_clears_the_second_joins_or_comes_later() {
    model(|| {
        let sessions = registry();
        let clear = |sessions: &Registry| sessions.clear(&1, ClearPolicy::RefuseIfBusy).unwrap();
        let thread = {
            let sessions = sessions.clone();
            spawn(move || clear(&sessions))
        };
        let results = [clear(&sessions), thread.join().unwrap()];
        let effects = results.iter().filter(|cleared| !cleared.joined).count();
        assert_eq!(sessions.try_begin(&1).unwrap().epoch(), u64::try_from(effects).unwrap());
        assert!(effects >= 1);
    });
}

/// The run is in the session that the registry has, so it can be found and cancelled.
#[test]
fn a_run_that_begins_while_its_session_is_removed_is_in_the_registry() {
    model(|| {
        let sessions = registry();
        let thread = {
            let sessions = sessions.clone();
            spawn(move || sessions.remove(&1).is_ok_and(|data| data.is_some()))
        };
        let run = sessions.try_begin(&1).unwrap();
        let is_removed = thread.join().unwrap();
        assert_eq!(sessions.cancel(&1), Cancel::Requested(run.id()), "removed: {is_removed}");
        assert_eq!(sessions.len(), 1);
    });
}

/// Two threads create the same session.
#[test]
fn a_session_is_created_once() {
    model(|| {
        let sessions = Registry::new();
        let thread = {
            let sessions = sessions.clone();
            spawn(move || sessions.try_begin(&1))
        };
        let mine = sessions.try_begin(&1);
        let theirs = thread.join().unwrap();
        assert_eq!((mine.is_ok() as u8) + (theirs.is_ok() as u8), 1);
        assert_eq!(sessions.len(), 1);
    });
}

/// The end of the connection comes before the begin, which fails, or finds the run and stops it.
#[test]
fn a_run_of_a_connection_that_ends_is_stopped_or_does_not_begin() {
    model(|| {
        let sessions = registry();
        let connection = sessions.connect(&1, ()).connection;
        let thread = {
            let (session, id) = (sessions.session(&1), connection.id());
            spawn(move || assert!(session::Session::disconnect(&session, id).was_current))
        };
        let run = connection.try_begin();
        thread.join().unwrap();
        match run {
            Ok(run) => assert!(run.is_cancelled()),
            Err(error) => assert!(error.is_disconnected()),
        }
    });
}

#[test]
fn the_end_of_an_old_connection_and_a_new_one_leave_the_new_one() {
    model(|| {
        let sessions = registry();
        let old = sessions.connect(&1, ()).connection;
        let run = old.try_begin().unwrap();
        let thread = spawn(move || old.disconnect());
        let new = sessions.connect(&1, ());
        let end = thread.join().unwrap();
        assert!(new.connection.is_current());
        assert_eq!(new.displaced.is_some(), !end.was_current, "displaced, or ended");
        assert_eq!(run.is_cancelled(), end.was_current);
    });
}

/// The end of the run of one session pushes another one out of the ring, while a run of that one begins and ends.
#[test]
fn a_blank_session_is_evicted_or_gets_its_run_and_is_evicted_later() {
    model(|| {
        let sessions = small();
        drop(sessions.try_begin(&1).unwrap());
        let thread = {
            let sessions = sessions.clone();
            spawn(move || drop(sessions.try_begin(&2).unwrap()))
        };
        let run = sessions.try_begin(&1).unwrap();
        assert_eq!(sessions.cancel(&1), Cancel::Requested(run.id()), "in the registry");
        drop(run);
        thread.join().unwrap();
        assert_eq!(sessions.len(), 1, "one place in the ring, and nothing in use");
    });
}

/// The run ends while the connection of its session does: one of them puts the session into the ring.
#[test]
fn a_session_without_run_and_connection_is_in_the_ring() {
    model(|| {
        let sessions: Registry = Sessions::builder().max_blank(0).build();
        let connection = sessions.connect(&1, ()).connection;
        let run = sessions.try_begin(&1).unwrap();
        let thread = spawn(move || drop(run));
        drop(connection);
        thread.join().unwrap();
        assert!(sessions.is_empty());
    });
}

/// A clear makes the session blank while its connection ends.
#[test]
fn a_session_that_is_cleared_while_its_connection_ends_is_in_the_ring() {
    model(|| {
        let sessions: Registry = Sessions::builder().max_blank(0).build();
        let connection = sessions.connect(&1, ()).connection;
        assert!(sessions.try_begin(&1).unwrap().update(|_| 7).is_ok());
        let thread = {
            let sessions = sessions.clone();
            spawn(move || sessions.clear(&1, ClearPolicy::RefuseIfBusy).is_ok())
        };
        drop(connection);
        assert!(thread.join().unwrap());
        assert!(sessions.is_empty());
    });
}

/// The grace is over while a new connection comes: it takes over the run, or the run is asked to stop.
#[test]
fn a_run_is_resumed_or_expires() {
    model(|| {
        let policy = OnDisconnect::KeepForResume(Duration::ZERO);
        let sessions: Registry = Sessions::builder().on_disconnect(policy).build();
        let connection = sessions.connect(&1, ()).connection;
        let run = connection.try_begin().unwrap();
        drop(connection);
        let thread = {
            let sessions = sessions.clone();
            spawn(move || sessions.expire())
        };
        let resumed = sessions.connect(&1, ());
        let expired = thread.join().unwrap();
        assert_eq!((expired == 1, resumed.run.is_none()), (run.is_cancelled(), run.is_cancelled()));
        assert!(resumed.run.is_none_or(|resumed| resumed == run.id()));
    });
}

/// A task waits for a run that has written. The clear comes before the wait, or drops the task, or comes after its
/// run has begun: that run never sees what an earlier epoch wrote.
#[test]
fn a_run_that_was_waited_for_is_wholly_before_a_clear_or_after_it() {
    model(|| {
        let sessions = registry();
        let mut run = sessions.try_begin(&1).unwrap();
        assert!(run.update(|_| 7).is_ok());
        let waiter = {
            let sessions = sessions.clone();
            spawn(move || {
                let run = block_on(sessions.begin_async(&1)).ok()?;
                Some((run.epoch(), run.read().map(|data| *data)))
            })
        };
        let cleared = sessions.clear(&1, ClearPolicy::CancelAndDetach).unwrap();
        assert_eq!(run.finish(), Err(Stale));
        match waiter.join().unwrap() {
            None => assert_eq!(cleared.dropped, 1),
            Some(found) => assert_eq!((found, cleared.dropped), ((1, Ok(0)), 0)),
        }
        assert_eq!(*sessions.read(&1).unwrap(), 0);
        assert!(sessions.try_begin(&1).is_ok());
    });
}

/// The session is removed while an update of it was overtaken: versions of the key never decrease.
#[test]
fn versions_continue_over_a_removal() {
    model(|| {
        let sessions = registry();
        let write = |sessions: &Registry| {
            let mut run = sessions.try_begin(&1).ok()?;
            run.update(|value| value + 1).ok()?;
            sessions.session(&1).published().map(|published| published.version)
        };
        let first = write(&sessions).unwrap();
        let thread = {
            let sessions = sessions.clone();
            spawn(move || sessions.remove(&1).is_ok_and(|removed| removed.is_some()))
        };
        let second = write(&sessions).unwrap();
        let is_removed = thread.join().unwrap();
        assert!(second > first, "{first}, then {second}; removed: {is_removed}");
    });
}

fn polled<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The work of a run panics: the run ends in the unwinding, and the next one begins and sees what it had written.
#[cfg(not(switchboard_loom))] // Its locks fail in a thread that unwinds.
#[test]
fn a_run_that_panics_ends_and_the_next_one_begins() {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    model(|| {
        let sessions = registry();
        let mut run = sessions.try_begin(&1).unwrap();
        let thread = spawn(move || {
            let work = AssertUnwindSafe(move || {
                assert!(run.update(|value| value + 1).is_ok());
                // As `panic!`, without the message.
                resume_unwind(Box::new("the work of a run"));
            });
            assert!(catch_unwind(work).is_err());
        });
        let next = block_on(sessions.begin_async(&1)).unwrap();
        assert_eq!(next.read().as_deref(), Ok(&1));
        thread.join().unwrap();
    });
}

/// A clear that joined another one returns when that one has ended, not before: the session can be begun at once.
#[test]
fn a_clear_that_joined_returns_when_the_session_can_be_begun() {
    model(|| {
        let sessions = registry();
        let thread = {
            let sessions = sessions.clone();
            spawn(move || sessions.clear(&1, ClearPolicy::RefuseIfBusy).is_ok())
        };
        let cleared = sessions.clear(&1, ClearPolicy::RefuseIfBusy).unwrap();
        // Otherwise the other one may still be in progress.
        let run = cleared.joined.then(|| sessions.try_begin(&1).unwrap());
        let other = thread.join().unwrap();
        assert!(other || run.is_some(), "refused by the run only");
    });
}

/// A task has begun a clear and is dropped, while another one joins it and detaches the run: the run is fenced off.
#[test]
fn a_detached_run_is_fenced_off_also_if_the_clear_that_was_joined_is_dropped() {
    model(|| {
        let sessions = registry();
        let mut old = sessions.try_begin(&1).unwrap();
        let key = 1;
        let mut first = sessions.clear_async(&key, ClearPolicy::CancelAndWait(LONG));
        assert!(polled(&mut first).is_pending());
        let thread = {
            let sessions = sessions.clone();
            spawn(move || sessions.clear(&1, ClearPolicy::CancelAndDetach).unwrap().epoch)
        };
        drop(first);
        // Never two runs that can write.
        let early = sessions.try_begin(&1);
        assert!(early.is_err() || old.update(|_| 7).is_err());
        drop(early);
        assert_eq!(thread.join().unwrap(), 1);
        let new = sessions.try_begin(&1).unwrap();
        assert_eq!((new.epoch(), old.update(|_| 7).is_ok()), (1, false));
        assert_eq!(*sessions.read(&1).unwrap(), 0);
    });
}

/// The run ends, while two clears wait for it, one of them as a task that is not polled: the other one ends it.
#[test]
fn a_clear_does_not_wait_for_a_task_that_is_not_polled() {
    model(|| {
        let _time = Time::stopped();
        let sessions = registry();
        let run = sessions.try_begin(&1).unwrap();
        let key = 1;
        let mut first = sessions.clear_async(&key, ClearPolicy::CancelAndWait(LONG));
        assert!(polled(&mut first).is_pending());
        let thread = spawn(move || drop(run));
        let cleared = sessions.clear(&1, ClearPolicy::CancelAndWait(LONG)).unwrap();
        assert_eq!((cleared.epoch, cleared.joined), (1, false));
        thread.join().unwrap();
        let run = sessions.try_begin(&1).unwrap();
        let Poll::Ready(Ok(joined)) = polled(&mut first) else { panic!("the clear is over") };
        assert_eq!((joined.epoch, joined.joined, run.is_cancelled()), (1, true, false));
    });
}

/// The session is evicted while it is removed: it is deleted in the store as well.
#[test]
fn a_session_that_is_evicted_while_it_is_removed_is_deleted() {
    model(|| {
        let store = MemoryStore::new();
        let builder = Sessions::builder().clock(ManualClock::new()).store(store.clone());
        let sessions: Registry = builder.build();
        assert!(sessions.try_begin(&1).unwrap().update(|_| 7).is_ok());
        let save = |sessions: &Registry| {
            let saver = sessions.saver().unwrap();
            while !matches!(saver.run_once(), saving::Step::Idle { .. }) {}
        };
        save(&sessions);
        assert_eq!(store.load(&1).unwrap().map(|stored| stored.data), Some(7));
        let thread = {
            let sessions = sessions.clone();
            spawn(move || sessions.prune(Duration::ZERO).len())
        };
        assert!(sessions.remove(&1).is_ok());
        let _pruned = thread.join().unwrap();
        save(&sessions);
        assert!(store.load(&1).unwrap().is_none());
        assert!(sessions.is_empty());
    });
}

/// The run ends while its connection does, and may be resumed: the session stays neither among the orphans nor in the map.
#[test]
fn a_run_that_ends_with_its_connection_leaves_no_orphan() {
    model(|| {
        let policy = OnDisconnect::KeepForResume(LONG);
        let builder = Sessions::builder().clock(ManualClock::new()).max_blank(0);
        let sessions: Registry = builder.on_disconnect(policy).build();
        let connection = sessions.connect(&1, ()).connection;
        let run = connection.try_begin().unwrap();
        let thread = spawn(move || drop(run));
        drop(connection);
        thread.join().unwrap();
        assert_eq!((sessions.orphans(), sessions.len()), (0, 0));
    });
}
