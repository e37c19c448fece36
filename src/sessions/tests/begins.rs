//! Begins, cancellations and the ends of runs.

use super::*;

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
