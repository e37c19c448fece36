//! Models of the protocol of the cell under loom and shuttle, with both twins of `ArcSwap`.

use super::*;
use crate::sync::model::{Time, model_each, spawn, spawn_clock};

/// A state that carries the number of its version, twice.
#[derive(Debug, PartialEq, Eq)]
struct Tagged(u64, u64);

impl Tagged {
    fn new(number: u64) -> Self {
        Self(number, number)
    }
}

fn publish(publisher: &mut Publisher<Tagged>) -> Version {
    let next = publisher.version.next();
    let published = publisher.publish_next(Tagged::new(next.as_u64()), next);
    publisher.tidy(|_| true);
    published.version()
}

/// Checks that the parts of a loaded header belong together, each time it is called.
fn check(header: &Header<Tagged>) -> u64 {
    let number = header.version().as_u64();
    assert_eq!(header.state(), &Tagged::new(number));
    number
}

#[test]
fn two_readers_never_go_backwards() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let cell = publisher.cell().clone();
                spawn(move || {
                    let first = check(&cell.load());
                    let second = check(&cell.load());
                    assert!(first <= second);
                })
            })
            .collect();
        publish(&mut publisher);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// With a reused header, a version would change while a reader holds it.
#[test]
fn a_header_that_a_reader_can_reach_is_never_reused() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let cell = publisher.cell().clone();
        let reader = spawn(move || {
            let first = cell.load();
            let number = check(&first);
            let second = cell.load();
            assert_eq!(check(&first), number);
            drop(first);
            let third = cell.load();
            assert!(check(&second) <= check(&third));
        });
        for number in 1..=3 {
            assert_eq!(publish(&mut publisher).as_u64(), number);
        }
        assert!(publisher.headers() <= 4);
        reader.join().unwrap();
    });
}

/// A state that is recycled for a change in place has no readers.
#[test]
fn a_state_that_a_reader_can_reach_is_never_recycled() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let cell = publisher.cell().clone();
        let reader = spawn(move || {
            let held = cell.load();
            let number = check(&held);
            drop(cell.load());
            assert_eq!(check(&held), number);
        });
        for number in 1..=3 {
            let state = match publisher.recycle().0 {
                Some(Recycled { version, mut state }) => {
                    assert!(version.as_u64() < number);
                    assert_eq!(state, Tagged::new(version.as_u64()));
                    state.0 = number;
                    state.1 = number;
                    state
                }
                None => Tagged::new(number),
            };
            drop(publisher.publish_next(state, Version::ZERO));
            publisher.tidy(|_| true);
        }
        reader.join().unwrap();
    });
}

/// Publish, then complete: a thread that sees the completion finds the change in every version loaded from
/// then on, and in the counter.
#[test]
fn a_completion_follows_its_version() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let cell = publisher.cell().clone();
        let completed = Arc::new(AtomicU64::new(0));
        let seen = completed.clone();
        let reader = spawn(move || {
            // Acquire: pairs with the release store after each publish.
            let completed = seen.load(Ordering::Acquire);
            assert!(cell.version().as_u64() >= completed);
            assert!(check(&cell.load()) >= completed);
        });
        for _ in 0..2 {
            let version = publish(&mut publisher);
            // Release: pairs with the acquire load of the reader.
            completed.store(version.as_u64(), Ordering::Release);
        }
        reader.join().unwrap();
    });
}

/// The counter is never ahead of the pointer.
#[test]
fn whoever_sees_the_number_finds_the_version() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let cell = publisher.cell().clone();
        let reader = spawn(move || {
            let number = cell.version().as_u64();
            assert!(check(&cell.load()) >= number);
            assert!(cell.version().as_u64() >= number);
        });
        publish(&mut publisher);
        publish(&mut publisher);
        reader.join().unwrap();
    });
}

/// The same when a reader has advanced the counter before the writer could.
#[test]
fn whoever_sees_the_number_that_a_reader_moved_finds_the_version() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let cell = publisher.cell().clone();
        let first = spawn(move || {
            check(&cell.load());
        });
        let cell = publisher.cell().clone();
        let second = spawn(move || {
            let number = cell.version().as_u64();
            assert!(check(&cell.load()) >= number);
        });
        publish(&mut publisher);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// The pointer may be ahead of the counter, but no thread can observe it: a thread that has loaded a version
/// tells another one, which reads the counter.
#[test]
fn whoever_is_told_of_a_version_sees_its_number() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let told = Arc::new(AtomicU64::new(0));
        let (cell, tell) = (publisher.cell().clone(), told.clone());
        let first = spawn(move || {
            let version = check(&cell.load());
            // Release: pairs with the acquire load of the second reader.
            tell.store(version, Ordering::Release);
        });
        let cell = publisher.cell().clone();
        let second = spawn(move || {
            // Acquire: pairs with the release store of the first reader.
            let told = told.load(Ordering::Acquire);
            assert!(cell.version().as_u64() >= told);
            assert!(check(&cell.load()) >= told);
        });
        publish(&mut publisher);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// No lost wake-up: the wait has no timeout, so a lost wake-up is a deadlock.
#[test]
fn a_waiter_is_woken_by_the_version_it_waits_for() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let cell = publisher.cell().clone();
        let waiter = spawn(move || {
            let wanted = Version::from_u64(2);
            let version = cell.wait_for(wanted, Duration::MAX).unwrap();
            assert!(version >= wanted);
            assert!(check(&cell.load()) >= 2);
        });
        publish(&mut publisher);
        publish(&mut publisher);
        waiter.join().unwrap();
    });
}

/// Two waiters with different versions share one target.
#[test]
fn a_waiter_for_a_later_version_survives_an_earlier_wake_up() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let waiters: Vec<_> = (1..=2)
            .map(|wanted| {
                let cell = publisher.cell().clone();
                spawn(move || {
                    let version = cell.wait_for(Version::from_u64(wanted), Duration::MAX).unwrap();
                    assert!(version.as_u64() >= wanted);
                })
            })
            .collect();
        publish(&mut publisher);
        publish(&mut publisher);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// A wait that times out, at any moment, takes no wake-up from another one, and reports a timeout only for a
/// version that it has not seen.
#[test]
fn a_waiter_whose_time_is_over_leaves_the_wake_up_to_the_other() {
    model_each(|| {
        let time = Time::stopped();
        let mut publisher = Publisher::new(Tagged::new(0));
        let (cell, timeout) = (publisher.cell().clone(), time.timeout());
        let hasty = spawn(move || {
            let before = cell.version().as_u64();
            match cell.wait_for(Version::from_u64(1), timeout) {
                Ok(version) => assert!(version.as_u64() >= 1),
                Err(error) => assert_eq!((error, before), (WaitError::Timeout, 0)),
            }
        });
        let cell = publisher.cell().clone();
        let patient = spawn(move || {
            let wanted = Version::from_u64(2);
            assert!(cell.wait_for(wanted, Duration::MAX).unwrap() >= wanted);
        });
        let clock = spawn_clock(&time);
        publish(&mut publisher);
        publish(&mut publisher);
        for thread in [hasty, patient, clock] {
            thread.join().unwrap();
        }
    });
}

/// A deadline that passes after the version was published finds it, whether the publish or the deadline woke
/// the waiter.
#[test]
fn a_version_published_in_time_is_no_timeout() {
    model_each(|| {
        let time = Time::stopped();
        let mut publisher = Publisher::new(Tagged::new(0));
        let (cell, timeout) = (publisher.cell().clone(), time.timeout());
        let waiter = spawn(move || cell.wait_for(Version::from_u64(1), timeout));
        publish(&mut publisher);
        time.pass();
        let result = waiter.join().unwrap();
        if cfg!(switchboard_model) {
            assert_eq!(result, Ok(Version::from_u64(1)));
        }
    });
}

/// The end of the writer wakes all waiters, and none is told that the writer is closed if its version was
/// published.
#[test]
fn a_waiter_is_woken_by_the_end_of_the_writer() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let waiters: Vec<_> = (1..=2)
            .map(|wanted| {
                let cell = publisher.cell().clone();
                spawn(move || {
                    let result = cell.wait_for(Version::from_u64(wanted), Duration::MAX);
                    match wanted {
                        1 => assert_eq!(result, Ok(Version::from_u64(1))),
                        _ => assert_eq!(result, Err(WaitError::WriterClosed)),
                    }
                })
            })
            .collect();
        publish(&mut publisher);
        drop(publisher);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// Each waiter is woken by its own version, even if nothing is published after it.
#[test]
fn each_waiter_is_woken_by_its_own_version() {
    model_each(|| {
        let mut publisher = Publisher::new(Tagged::new(0));
        let waiters: Vec<_> = (1..=2)
            .map(|wanted| {
                let cell = publisher.cell().clone();
                spawn(move || cell.wait_for(Version::from_u64(wanted), Duration::MAX).unwrap())
            })
            .collect();
        for waiter in waiters {
            let version = publish(&mut publisher);
            assert_eq!(waiter.join().unwrap(), version);
        }
    });
}
