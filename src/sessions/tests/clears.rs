//! Clears, and the runs that they end or detach.

use super::*;

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
