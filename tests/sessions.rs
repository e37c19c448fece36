//! Sessions under real threads: the races that registries of tasks and connections have.
#![allow(clippy::unwrap_used, clippy::disallowed_types)] // A panic is how these fail; a barrier starts their threads.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use switchboard::sessions::{Cancel, ClearPolicy, OnDisconnect, Sessions};

/// Long enough never to pass unless a test is stuck.
const LONG: Duration = Duration::from_secs(60);
const THREADS: usize = 4;

#[test]
fn concurrent_requests_to_one_session_give_one_run() {
    let sessions: Sessions<u32, u64> = Sessions::new();
    let inside = AtomicUsize::new(0);
    let begun = AtomicU64::new(0);
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..2000 {
                    let Ok(mut run) = sessions.try_begin(&1) else { continue };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two runs of one session");
                    run.update(|count| count + 1).unwrap();
                    begun.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    let begun = begun.into_inner();
    assert!(begun > 0);
    assert_eq!(sessions.read(&1).as_deref(), Some(&begun), "no update is lost");
    assert_eq!(sessions.stats().refused, (THREADS * 2000) as u64 - begun);
}

#[test]
fn everyone_who_waits_for_a_session_gets_it() {
    let sessions: Sessions<u32, u64> = Sessions::new();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..200 {
                    let mut run = sessions.begin_timeout(&1, LONG).unwrap();
                    run.update(|count| count + 1).unwrap();
                }
            });
        }
    });
    assert_eq!(sessions.read(&1).as_deref(), Some(&(THREADS as u64 * 200)));
}

#[test]
fn tasks_that_wait_for_a_session_get_it() {
    let sessions: Sessions<u32, u64> = Sessions::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..THREADS)
        .map(|_| {
            let sessions = sessions.clone();
            runtime.spawn(async move {
                for _ in 0..200 {
                    let mut run = sessions.begin_async(&1).await.unwrap();
                    tokio::task::yield_now().await;
                    run.update(|count| count + 1).unwrap();
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(sessions.read(&1).as_deref(), Some(&(THREADS as u64 * 200)));
}

/// Ends the workers, also if the test fails before.
struct SetOnDrop<'a>(&'a AtomicUsize);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(1, Ordering::SeqCst);
    }
}

/// Each run writes the epoch it began in; after a clear only values of later epochs may be visible.
#[test]
fn a_clear_during_runs_leaves_nothing_of_an_earlier_epoch() {
    for policy in [ClearPolicy::CancelAndDetach, ClearPolicy::CancelAndWait(LONG)] {
        let sessions: Sessions<u32, Vec<u64>> = Sessions::new();
        drop(sessions.try_begin(&1).unwrap());
        let is_over = AtomicUsize::new(0);
        let written = AtomicU64::new(0);
        thread::scope(|scope| {
            let _end = SetOnDrop(&is_over);
            let workers = [(), ()].map(|()| {
                scope.spawn(|| {
                    while is_over.load(Ordering::SeqCst) == 0 {
                        let Ok(mut run) = sessions.try_begin(&1) else { continue };
                        let epoch = run.epoch();
                        while !run.is_cancelled() && is_over.load(Ordering::SeqCst) == 0 {
                            let update = run.update(|values| {
                                assert!(values.iter().all(|value| *value == epoch), "{values:?} in {epoch}");
                                [&values[values.len().min(1)..], &[epoch]].concat()
                            });
                            written.fetch_add(u64::from(update.is_ok()), Ordering::SeqCst);
                        }
                    }
                })
            });
            for _ in 0..200 {
                let before = written.load(Ordering::SeqCst);
                let cleared = sessions.clear(&1, policy).unwrap();
                let values = sessions.read(&1).unwrap();
                assert!(values.iter().all(|value| *value >= cleared.epoch), "{values:?} after {cleared:?}");
                while written.load(Ordering::SeqCst) == before {
                    assert!(!workers.iter().all(thread::ScopedJoinHandle::is_finished), "the workers failed");
                    thread::yield_now();
                }
            }
        });
        assert_eq!(sessions.stats().cleared, 200);
    }
}

#[test]
fn rapid_creation_and_removal_lose_no_run_and_keep_the_registry_bounded() {
    let sessions: Sessions<u32, u64> = Sessions::new();
    let running: Arc<[AtomicUsize; 3]> = Arc::default();
    let begun = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (sessions, running, begun) = (&sessions, &running, &begun);
            scope.spawn(move || {
                for round in 0..2000 {
                    let key = (round + thread) % 3;
                    let number = u32::try_from(key).unwrap();
                    if let Ok(run) = sessions.try_begin(&number) {
                        assert_eq!(running[key].fetch_add(1, Ordering::SeqCst), 0, "two runs of one key");
                        begun.fetch_add(1, Ordering::SeqCst);
                        let found = sessions.cancel_run(&number, run.id());
                        assert_eq!(found, Cancel::Requested(run.id()), "the run is in the registry");
                        running[key].fetch_sub(1, Ordering::SeqCst);
                    }
                    let _busy_or_removed = sessions.remove(&number);
                }
            });
        }
    });
    assert!(begun.into_inner() > 0 && sessions.stats().removed > 0);
    assert!(sessions.len() <= 3);
    let left = sessions.len();
    assert_eq!(sessions.prune(Duration::ZERO).len(), left);
    assert!(sessions.is_empty());
}

#[test]
fn a_lost_connection_stops_the_run_of_its_session_and_no_other() {
    for policy in [OnDisconnect::Cancel, OnDisconnect::Keep] {
        let sessions: Sessions<u32, u64, u32> = Sessions::builder().on_disconnect(policy).build();
        for round in 0..200 {
            let connection = sessions.connect(&1, round).connection;
            let other = sessions.connect(&2, round).connection;
            let (run, untouched) = (connection.try_begin().unwrap(), other.try_begin().unwrap());
            thread::scope(|scope| {
                let worker = scope.spawn(|| match policy {
                    OnDisconnect::Cancel => assert!(run.wait_cancelled(LONG)),
                    _ => assert!(run.start()),
                });
                drop(connection);
                worker.join().unwrap();
            });
            assert_eq!(run.is_cancelled(), policy == OnDisconnect::Cancel);
            assert!(!untouched.is_cancelled());
            assert_eq!(run.finish(), Ok(()));
        }
    }
}

#[test]
fn many_sessions_work_at_the_same_time_and_go_when_they_are_pruned() {
    const EACH: u32 = 2000;
    let sessions: Sessions<u32, Vec<u32>> = Sessions::new();
    thread::scope(|scope| {
        for thread in 0..u32::try_from(THREADS).unwrap() {
            let sessions = &sessions;
            scope.spawn(move || {
                let mut runs: Vec<_> =
                    (0..EACH).map(|number| sessions.try_begin(&(thread * EACH + number)).unwrap()).collect();
                for (number, run) in (0..).zip(&mut runs) {
                    run.update(|_| vec![thread * EACH + number]).unwrap();
                }
            });
        }
    });
    let total = THREADS * EACH as usize;
    assert_eq!(sessions.len(), total);
    let all = sessions.snapshot();
    assert_eq!(all.len(), total);
    assert!(all.iter().all(|session| session.run.is_none() && *session.data == [session.key]));
    assert_eq!(sessions.prune(Duration::ZERO).len(), total);
    assert!(sessions.is_empty());
}
