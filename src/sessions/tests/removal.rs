//! Removing and pruning sessions.

use super::*;

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
