//! The saver, with its store, clock and threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

mod faults;

use super::super::super::mark::Mark;
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::sync::Mutex;
use crate::sync::model::spawn;

type TestSaver = Saver<u32, String>;

fn saver_with(store: &Scripted, config: Config, clock: impl Clock) -> TestSaver {
    Saver::new(Box::new(store.clone()), config, StdArc::new(clock))
}

fn saver(store: &Scripted) -> TestSaver {
    saver_with(store, Config::default(), ManualClock::new())
}

fn save(saver: &TestSaver, mark: &Mark<u32>, number: u64) {
    saver.note(mark, number, Some(StdArc::new(number.to_string())));
}

fn is_idle(step: &Step) -> bool {
    matches!(step, Step::Idle { wait: None })
}

fn wait(step: &Step) -> Duration {
    match step {
        Step::Idle { wait: Some(wait) } => *wait,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_newest_of_several_changes_is_saved() {
    let numbers = StdArc::new(Mutex::new(&crate::sync::lock_order::TEST_AUXILIARY, Vec::new()));
    let seen = numbers.clone();
    let store = Scripted::new().on_write(move |key, number| {
        seen.lock().push((*key, number));
        Ok(())
    });
    let saver = saver(&store);
    let (one, two) = (saver.mark(&1), saver.mark(&2));
    (1..=5).for_each(|number| save(&saver, &one, number));
    save(&saver, &two, 3);
    assert_eq!(saver.stats().dirty, 2);
    assert!(matches!(saver.run_once(), Step::Saved));
    assert!(matches!(saver.run_once(), Step::Saved));
    assert!(is_idle(&saver.run_once()));
    assert_eq!(*numbers.lock(), [(1, 5), (2, 3)]);
    assert_eq!((store.stored(1).as_deref(), store.stored(2).as_deref()), (Some("5"), Some("3")));
    let stats = saver.stats();
    assert_eq!((stats.saves, stats.dirty, stats.discarded, stats.oldest_dirty), (2, 0, 0, Duration::ZERO));
}

#[test]
fn a_delay_without_an_end_is_far_away_and_a_flush_does_not_wait_for_it() {
    let store = Scripted::new();
    let saver = saver_with(&store, Config::default().delay(Duration::MAX), ManualClock::new());
    save(&saver, &saver.mark(&1), 1);
    assert!(wait(&saver.run_once()) > LONG * 1_000_000);
    saver.flush(&1, LONG).unwrap();
    assert_eq!(store.stored(1).as_deref(), Some("1"));
}

/// What is noted during the load is part of the save after it, and not newer.
#[test]
fn the_age_of_a_change_counts_from_the_first_one_that_is_not_saved() {
    let clock = ManualClock::new();
    let own = Mutex::new(&crate::sync::lock_order::TEST_AUXILIARY, None::<(TestSaver, Mark<u32>)>);
    let own = StdArc::new(own);
    let note = {
        let (own, clock) = (own.clone(), clock.clone());
        move |number| {
            let (saver, mark) = own.lock().clone().unwrap();
            save(&saver, &mark, number);
            clock.advance(MS);
        }
    };
    let (on_read, on_write) = (note.clone(), note);
    let store = Scripted::new().on_read(move |_, ()| {
        (1..=3).for_each(&on_read);
        Ok(())
    });
    let store = store.on_write(move |_, number| {
        if number == 3 {
            on_write(4);
        }
        Ok(())
    });
    let config = Config::default().delay(10 * MS);
    let saver = saver_with(&store, config, clock.clone());
    *own.lock() = Some((saver.clone(), saver.mark(&1)));
    assert_eq!(saver.load(&1).unwrap().unwrap().number, 3);
    assert_eq!(saver.stats().oldest_dirty, 3 * MS);
    clock.advance(7 * MS);
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!((saver.stats().dirty, saver.stats().oldest_dirty), (1, MS), "since the fourth one");
    assert_eq!(wait(&saver.run_once()), 9 * MS);
    drop(own.lock().take());
}

/// The time stands still: neither the delay nor that of a retry passes.
#[test]
fn a_flush_waits_neither_for_the_delay_nor_for_a_retry() {
    let failures = AtomicU64::new(1);
    let store = Scripted::new().on_write(move |_, _| {
        let left = failures.load(Ordering::SeqCst);
        failures.store(left.saturating_sub(1), Ordering::SeqCst);
        if left > 0 { Err(full()) } else { Ok(()) }
    });
    let saver = saver_with(&store, Config::default().delay(LONG), ManualClock::new());
    saver.flush(&1, LONG).unwrap();
    save(&saver, &saver.mark(&1), 1);
    assert_eq!(wait(&saver.run_once()), LONG);
    let failed = saver.flush(&1, LONG).unwrap_err();
    assert!(matches!(&failed, FlushError::Failed(error) if error.kind() == StoreErrorKind::Io));
    assert!(!failed.is_timeout() && std::error::Error::source(&failed).is_some());
    saver.flush(&1, LONG).unwrap();
    assert_eq!((store.stored(1).as_deref(), saver.stats().dirty), (Some("1"), 0));
}

#[test]
fn a_flush_waits_for_the_save_of_another_thread_up_to_its_timeout() {
    let (gate, store) = Gate::before_writes();
    let saver = saver(&store);
    let mark = saver.mark(&1);
    save(&saver, &mark, 1);
    let thread = {
        let saver = saver.clone();
        spawn(move || drop(saver.run_once()))
    };
    assert_eq!(gate.entered(), 1);
    assert!(saver.flush(&1, Duration::ZERO).unwrap_err().is_timeout());
    assert_eq!(saver.stats().in_flight, 1);
    gate.open();
    saver.flush(&1, LONG).unwrap();
    assert_eq!(store.stored(1).as_deref(), Some("1"));
    thread.join().unwrap();
}

/// What is noted during a save is not taken for saved.
#[test]
fn s19_dirty_is_cleared_only_if_nothing_has_changed_meanwhile() {
    let (gate, store) = Gate::before_writes();
    let saver = saver(&store);
    let mark = saver.mark(&1);
    save(&saver, &mark, 1);
    let thread = {
        let saver = saver.clone();
        spawn(move || assert!(matches!(saver.run_once(), Step::Saved)))
    };
    assert_eq!(gate.entered(), 1);
    save(&saver, &mark, 2);
    assert!(is_idle(&saver.run_once()), "one save of a session at a time");
    gate.open();
    thread.join().unwrap();
    assert_eq!((mark.saved(), saver.stats().dirty), (1, 1));
    gate.open();
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!((mark.saved(), saver.stats().dirty), (2, 0));
    assert_eq!(store.stored(1).as_deref(), Some("2"));
}

#[test]
fn a_deletion_is_saved_and_late_changes_of_the_session_are_discarded() {
    let store = Scripted::new();
    let saver = saver(&store);
    let mark = saver.mark(&1);
    save(&saver, &mark, 2);
    saver.flush_all(LONG).unwrap();
    saver.note(&mark, 4, None);
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!((store.stored(1), saver.stats().dirty), (None, 0));
    for late in [1, 3, 4] {
        save(&saver, &mark, late);
    }
    assert!(is_idle(&saver.run_once()));
    assert_eq!((saver.stats().discarded, saver.stats().deletes), (2, 1), "4 was told before");
    // The next session of the key.
    save(&saver, &saver.mark(&1), 5);
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!(store.stored(1).as_deref(), Some("5"));
}

/// For example one that another program has written.
#[test]
fn a_change_that_is_older_than_what_the_store_has_is_discarded() {
    let store = Scripted::new();
    let saver = saver(&store);
    store.inner.save(&1, Version::new(7, 1), &String::from("newer")).unwrap();
    save(&saver, &saver.mark(&1), 100);
    assert!(matches!(saver.run_once(), Step::Discarded));
    assert_eq!((saver.stats().dirty, saver.stats().discarded), (0, 1));
    assert_eq!(store.stored(1).as_deref(), Some("newer"));
}

#[test]
fn a_load_finds_what_is_noted_before_what_is_stored() {
    let store = Scripted::new();
    let saver = saver(&store);
    let mark = saver.mark(&1);
    assert!(saver.load(&1).unwrap().is_none());
    save(&saver, &mark, 1);
    assert_eq!(saver.load(&1).unwrap().unwrap().number, 1, "not saved yet");
    saver.flush_all(LONG).unwrap();
    assert_eq!(*saver.load(&1).unwrap().unwrap().data, "1");
    saver.note(&mark, 2, None);
    assert!(saver.load(&1).unwrap().is_none(), "the deletion is not saved yet");
    assert_eq!(saver.stats().loads, 2, "reads of the store");
}

#[test]
fn s20_several_loads_of_one_session_share_one_read() {
    let (gate, store) = Gate::after_reads();
    let saver = saver(&store);
    store.inner.save(&1, Version::new(1, 1), &String::from("old")).unwrap();
    let loads: Vec<_> = (0..4)
        .map(|_| {
            let saver = saver.clone();
            spawn(move || saver.load(&1).unwrap().map(|loaded| loaded.data.to_string()))
        })
        .collect();
    assert_eq!(gate.entered(), 1);
    while saver.stats().joined_loads < 3 {
        std::thread::yield_now();
    }
    // Changed while the store is read: the result is not older.
    save(&saver, &saver.mark(&1), 2);
    assert!(
        matches!(saver.run_once(), Step::Idle { wait: None }),
        "it is not saved while the session is read"
    );
    gate.open();
    for load in loads {
        assert_eq!(load.join().unwrap().as_deref(), Some("2"));
    }
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!((saver.stats().loads, store.stored(1).as_deref()), (1, Some("2")));
}

#[test]
fn a_thread_saves_what_is_noted_and_a_shutdown_saves_the_rest() {
    let (gate, store) = Gate::before_writes();
    let saver = saver(&store);
    let thread = saver.spawn("saver").unwrap();
    save(&saver, &saver.mark(&1), 1);
    assert_eq!(gate.entered(), 1);
    save(&saver, &saver.mark(&2), 2);
    (0..2).for_each(|_| gate.open());
    thread.shutdown(LONG).unwrap();
    assert_eq!((store.inner.len(), saver.stats().dirty), (2, 0));
    save(&saver, &saver.mark(&3), 3);
    assert_eq!(saver.stats().dirty, 1, "the thread has ended");
}

#[test]
fn a_shutdown_reports_what_is_not_saved_and_ends_the_thread() {
    let store = Scripted::new().on_write(|_, _| Err(full()));
    let saver = saver(&store);
    let thread = saver.spawn("saver").unwrap();
    save(&saver, &saver.mark(&1), 1);
    let ShutdownError::Unsaved(error) = thread.shutdown(LONG).unwrap_err() else {
        panic!("it did not time out")
    };
    assert_eq!(error.unsaved, 1);
}

#[test]
fn a_shutdown_does_not_wait_for_ever_for_the_store_and_neither_does_a_drop() {
    let (gate, store) = Gate::before_writes();
    let saver = saver(&store);
    let threads = [saver.spawn("saver-1").unwrap(), saver.spawn("saver-2").unwrap()];
    save(&saver, &saver.mark(&1), 1);
    save(&saver, &saver.mark(&2), 1);
    (0..2).for_each(|_| assert_eq!(gate.entered(), 1));
    save(&saver, &saver.mark(&3), 1);
    let [first, second] = threads;
    let ShutdownError::Timeout(Some(error)) = first.shutdown(Duration::ZERO).unwrap_err() else {
        panic!("it is in a call of the store")
    };
    assert_eq!((error.unsaved, error.failure.is_none()), (3, true));
    drop(second);
    (0..3).for_each(|_| gate.open());
    saver.flush_all(LONG).unwrap();
}

/// Also if there is no time left: what was not saved is the news, not the thread.
#[test]
fn a_shutdown_without_time_ends_a_thread_that_is_not_in_the_store() {
    let saver = saver_with(&Scripted::new(), Config::default().delay(LONG), ManualClock::new());
    let thread = saver.spawn("saver").unwrap();
    thread.shutdown(Duration::ZERO).unwrap();
    let thread = saver.spawn("saver").unwrap();
    save(&saver, &saver.mark(&1), 1);
    let error = thread.shutdown(Duration::ZERO).unwrap_err();
    assert!(matches!(error, ShutdownError::Unsaved(error) if error.unsaved == 1));
}
