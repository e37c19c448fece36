//! Sessions that the registry removes itself.

use super::*;

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
