//! Saving as a registry sees it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::super::{ClearPolicy, Loaded, Run, Sessions};
use super::*;
use crate::sync::Mutex;
use crate::sync::model::spawn;

type Registry = Sessions<u32, String>;

const NOW: Duration = Duration::ZERO;

fn registry(store: &Scripted) -> Registry {
    Sessions::builder().store(store.clone()).build()
}

fn write(run: &mut Run<u32, String, ()>, text: &str) -> bool {
    run.update(|_| text.to_owned()).is_ok()
}

fn update(sessions: &Registry, key: u32, text: &str) {
    assert!(write(&mut sessions.try_begin(&key).unwrap(), text));
}

fn flush(sessions: &Registry) {
    sessions.saver().unwrap().flush_all(LONG).unwrap();
}

fn read(sessions: &Registry, key: u32) -> Option<String> {
    sessions.read(&key).map(|data| data.to_string())
}

/// The same store in a new process.
fn restart(store: &Scripted) -> Scripted {
    Scripted { inner: store.inner.reopen(), ..store.clone() }
}

#[test]
fn what_runs_write_is_there_after_a_restart() {
    let store = Scripted::new();
    let sessions = registry(&store);
    update(&sessions, 1, "one");
    update(&sessions, 2, "two");
    update(&sessions, 2, "three");
    flush(&sessions);
    let store = restart(&store);
    let sessions = registry(&store);
    assert_eq!(sessions.load(&1).unwrap(), Loaded::Installed);
    assert_eq!(read(&sessions, 1).as_deref(), Some("one"));
    assert_eq!(sessions.load_all().unwrap().installed, 1, "the other one was loaded before");
    assert_eq!(read(&sessions, 2).as_deref(), Some("three"));
    assert_eq!(sessions.load(&3).unwrap(), Loaded::Missing);
    assert_eq!(sessions.saver().unwrap().stats().dirty, 0, "what is loaded is not saved again");
    // It goes on, with versions that are newer than those of the first process.
    update(&sessions, 1, "four");
    flush(&sessions);
    assert_eq!(store.stored(1).as_deref(), Some("four"));
}

#[test]
fn s17_the_store_may_use_the_sessions_that_it_saves() {
    let own: StdArc<Mutex<Option<Registry>>> =
        StdArc::new(Mutex::new(&crate::sync::lock_order::TEST_AUXILIARY, None));
    let entered = StdArc::new(AtomicU64::new(0));
    let (sessions, count) = (own.clone(), entered.clone());
    let store = Scripted::new().on_write(move |key, _| {
        let sessions = sessions.lock().clone().unwrap();
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            update(&sessions, *key, "from the store");
            assert!(sessions.clear(&2, ClearPolicy::RefuseIfBusy).is_ok());
        }
        Ok(())
    });
    let sessions = registry(&store);
    *own.lock() = Some(sessions.clone());
    update(&sessions, 1, "one");
    flush(&sessions);
    assert_eq!(
        (read(&sessions, 1).as_deref(), sessions.saver().unwrap().stats().dirty),
        (Some("from the store"), 2)
    );
    flush(&sessions);
    assert_eq!(store.stored(1).as_deref(), Some("from the store"));
    assert_eq!(entered.load(Ordering::SeqCst), 3);
    drop(own.lock().take());
}

#[test]
fn s18_a_cleared_session_is_stored_as_cleared() {
    let store = Scripted::new();
    let sessions = registry(&store);
    update(&sessions, 1, "one");
    flush(&sessions);
    let mut run = sessions.try_begin(&1).unwrap();
    sessions.clear(&1, ClearPolicy::CancelAndDetach).unwrap();
    assert!(!write(&mut run, "too late"));
    flush(&sessions);
    assert_eq!(store.stored(1).as_deref(), Some(""));
}

/// The save is in progress when the session is removed.
#[test]
fn s18_a_removed_session_does_not_come_back_by_a_save_in_progress() {
    let (gate, store) = Gate::before_writes();
    let sessions = registry(&store);
    update(&sessions, 1, "one");
    let thread = {
        let saver = sessions.saver().unwrap().clone();
        spawn(move || drop(saver.run_once()))
    };
    gate.entered();
    assert_eq!(sessions.remove(&1).unwrap().as_deref().map(String::as_str), Some("one"));
    (0..2).for_each(|_| gate.open());
    thread.join().unwrap();
    flush(&sessions);
    assert_eq!((store.stored(1), sessions.saver().unwrap().stats().deletes), (None, 1));
}

#[test]
fn s18_the_versions_of_a_session_that_is_created_again_go_on() {
    let store = Scripted::new();
    let sessions = registry(&store);
    for text in ["one", "two", "three"] {
        update(&sessions, 1, text);
    }
    flush(&sessions);
    let before = store.inner.load(&1).unwrap().unwrap().version;
    assert!(sessions.remove(&1).unwrap().is_some());
    update(&sessions, 1, "four");
    flush(&sessions);
    let after = store.inner.load(&1).unwrap().unwrap();
    assert!(after.version > before, "{} after {before}", after.version);
    assert_eq!(after.data, "four");
    assert_eq!(sessions.saver().unwrap().stats().discarded, 0);
}

#[test]
fn s18_removing_a_session_that_only_the_store_has_deletes_it() {
    let store = Scripted::new();
    let sessions = registry(&store);
    update(&sessions, 1, "one");
    flush(&sessions);
    let store = restart(&store);
    let sessions = registry(&store);
    sessions.remove(&1).unwrap();
    assert!(sessions.is_empty());
    assert_eq!(sessions.load(&1).unwrap(), Loaded::Missing, "deleted, though not in the store yet");
    flush(&sessions);
    assert_eq!(store.stored(1), None);
}

#[test]
fn s18_clearing_a_session_that_only_the_store_has_clears_it() {
    let store = Scripted::new();
    let sessions = registry(&store);
    update(&sessions, 1, "one");
    flush(&sessions);
    let store = restart(&store);
    let sessions = registry(&store);
    sessions.clear(&1, ClearPolicy::RefuseIfBusy).unwrap();
    assert_eq!(sessions.load(&1).unwrap(), Loaded::Newer);
    assert_eq!(read(&sessions, 1).as_deref(), Some(""));
    flush(&sessions);
    assert_eq!(store.stored(1).as_deref(), Some(""));
}

#[test]
fn s20_a_load_is_not_installed_over_what_was_written_meanwhile() {
    let own: StdArc<Mutex<Option<Registry>>> =
        StdArc::new(Mutex::new(&crate::sync::lock_order::TEST_AUXILIARY, None));
    let sessions = own.clone();
    let store = Scripted::new().on_read(move |key, ()| {
        let sessions = sessions.lock().clone().unwrap();
        match key {
            1 => update(&sessions, 1, "newer"),
            _ => drop(sessions.remove(key).unwrap()),
        }
        Ok(())
    });
    for key in [1, 2] {
        store.inner.save(&key, Version::new(1, 50), &String::from("old")).unwrap();
    }
    let store = restart(&store);
    let sessions = registry(&store);
    *own.lock() = Some(sessions.clone());
    assert_eq!(sessions.load(&1).unwrap(), Loaded::Newer);
    assert_eq!(read(&sessions, 1).as_deref(), Some("newer"));
    // Removed during the load.
    assert_eq!(sessions.load(&2).unwrap(), Loaded::Missing);
    assert_ne!(read(&sessions, 2).as_deref(), Some("old"));
    flush(&sessions);
    assert_eq!((store.stored(1).as_deref(), store.stored(2)), (Some("newer"), None));
    drop(own.lock().take());
}

#[test]
fn a_session_that_is_not_saved_is_not_pruned_and_a_pruned_one_can_be_loaded() {
    let sessions = registry(&Scripted::new());
    update(&sessions, 1, "one");
    assert!(sessions.prune(NOW).is_empty() && sessions.prune_to(0).is_empty(), "not saved yet");
    assert_eq!(read(&sessions, 1).as_deref(), Some("one"));
    flush(&sessions);
    assert_eq!(sessions.prune(NOW).len(), 1);
    assert_eq!(read(&sessions, 1), None);
    assert_eq!(sessions.load(&1).unwrap(), Loaded::Installed);
    assert_eq!(read(&sessions, 1).as_deref(), Some("one"));
    // Loaded, and not changed: it may go again.
    assert_eq!(sessions.prune(NOW).len(), 1);
    // And go on with a newer version.
    assert_eq!(sessions.load(&1).unwrap(), Loaded::Installed);
    update(&sessions, 1, "two");
    flush(&sessions);
    assert_eq!(sessions.saver().unwrap().stats().discarded, 0);
    assert_eq!(sessions.load_all().unwrap().installed, 0);
}

/// The clear is noted, and the session evicted and loaded again, from the saver: it may be evicted, but is not stored.
#[test]
fn s19_a_flush_of_a_clear_is_true_also_if_the_session_was_loaded_from_the_saver() {
    let store = Scripted::new();
    let clock = StdArc::new(crate::clock::ManualClock::new());
    let saver = Saver::new(Box::new(store.clone()), Config::default(), clock);
    let (first, second) = (saver.mark(&1), saver.mark(&1));
    saver.note(&first, 5, Some(StdArc::new(String::new())));
    // As `Sessions::load` does, which finds the change that is not stored.
    second.set_saved(saver.load(&1).unwrap().unwrap().number);
    saver.note(&second, 7, Some(StdArc::new(String::from("seven"))));
    assert!(saver.shared.reach(&first, 5, shared::Wait::Until(None)).unwrap().is_ok());
    assert_eq!(store.stored(1).as_deref(), Some("seven"), "stored when the flush of the clear returns");
}

/// A clear still has its place when it is noted: a destructor that cleared the same session would wait for itself.
#[test]
fn s15_what_a_note_replaces_is_left_to_the_caller() {
    let clock = StdArc::new(crate::clock::ManualClock::new());
    let saver = Saver::new(Box::new(Scripted::new()), Config::default(), clock);
    let (first, second) = (saver.mark(&1), saver.mark(&1));
    let data = StdArc::new(String::from("one"));
    let weak = StdArc::downgrade(&data);
    drop(saver.note(&first, 1, Some(data)));
    let unused = saver.note(&second, 2, None);
    assert_eq!(weak.strong_count(), 1, "the caller has it");
    drop(unused);
    assert_eq!((weak.strong_count(), saver.stats().dirty), (0, 1));
}

/// In use, and therefore not evicted between the load and the first look.
#[test]
fn a_run_may_load_its_session_and_finds_what_was_stored() {
    let store = Scripted::new();
    let sessions = registry(&store);
    update(&sessions, 1, "one");
    flush(&sessions);
    let sessions: Registry = Sessions::builder().max_blank(0).store(restart(&store)).build();
    let mut run = sessions.try_begin(&1).unwrap();
    assert_eq!(*run.read().unwrap(), "");
    assert_eq!(sessions.load_run(&mut run).unwrap(), Loaded::Installed);
    assert!(sessions.prune(NOW).is_empty());
    assert_eq!(*run.read().unwrap(), "one");
    assert_eq!(sessions.load_run(&mut run).unwrap(), Loaded::Newer);
    assert!(write(&mut run, "two"));
    drop(run);
    flush(&sessions);
    assert_eq!(store.stored(1).as_deref(), Some("two"));
}

/// A cleared session is worth nothing, and goes before the clear is saved. Nothing of what was before comes back.
#[test]
fn a_cleared_session_is_evicted_and_remains_cleared() {
    let store = Scripted::new();
    let sessions: Registry = Sessions::builder().max_blank(0).store(store.clone()).build();
    update(&sessions, 1, "one");
    flush(&sessions);
    sessions.clear(&1, ClearPolicy::RefuseIfBusy).unwrap();
    assert_eq!(sessions.prune(NOW).len() + usize::from(read(&sessions, 1).is_none()), 1, "it is gone");
    assert_eq!(store.stored(1).as_deref(), Some("one"), "not saved yet");
    let _loaded = sessions.load(&1).unwrap();
    assert!(read(&sessions, 1).is_none_or(|text| text.is_empty()));
    update(&sessions, 1, "two");
    flush(&sessions);
    assert_eq!(store.stored(1).as_deref(), Some("two"));
    sessions.clear(&1, ClearPolicy::RefuseIfBusy).unwrap();
    flush(&sessions);
    assert_eq!(store.stored(1).as_deref(), Some(""));
    assert_eq!(sessions.saver().unwrap().stats().discarded, 0);
}

#[test]
fn a_session_that_cannot_be_loaded_does_not_keep_the_others_from_it() {
    let store = Scripted::new();
    let sessions = registry(&store);
    (1..=3).for_each(|key| update(&sessions, key, "text"));
    flush(&sessions);
    let broken =
        |key: &u32, ()| if *key == 2 { Err(StoreError::new(StoreErrorKind::Corrupt)) } else { Ok(()) };
    let sessions = registry(&restart(&store).on_read(broken));
    let all = sessions.load_all().unwrap();
    assert_eq!(all.installed, 2);
    assert_eq!(all.failed.len(), 1);
    assert_eq!((all.failed[0].0, all.failed[0].1.kind()), (2, StoreErrorKind::Corrupt));
}

/// Otherwise the update, which has read the data of a new session, replaces what is stored.
#[test]
fn s20_a_load_during_an_update_installs_nothing() {
    let store = Scripted::new();
    store.inner.save(&1, Version::new(1, 50), &String::from("stored")).unwrap();
    let store = restart(&store);
    let sessions = registry(&store);
    let mut run = sessions.try_begin(&1).unwrap();
    let updated = run.update(|data| {
        assert_eq!(sessions.load(&1).unwrap(), Loaded::Busy);
        assert_eq!(sessions.load_all().unwrap().busy, [1]);
        format!("{data} and more")
    });
    assert_eq!(*updated.unwrap(), " and more", "nothing was installed in between");
    drop(run);
    let sessions = registry(&restart(&store));
    let mut run = sessions.try_begin(&1).unwrap();
    assert_eq!(sessions.load_run(&mut run).unwrap(), Loaded::Installed);
    assert_eq!(*run.update(|data| format!("{data} and more")).unwrap(), "stored and more");
}

#[test]
fn a_load_of_a_session_that_is_not_stored_leaves_nothing_behind() {
    let broken = |key: &u32, ()| if key.is_multiple_of(2) { Err(full()) } else { Ok(()) };
    let sessions: Registry = Sessions::builder().max_blank(4).store(Scripted::new().on_read(broken)).build();
    for key in 0..100 {
        assert_eq!(sessions.load(&key).is_err(), key.is_multiple_of(2));
    }
    assert!(sessions.len() <= 4, "{}", sessions.len());
}

#[test]
fn s21_a_load_waits_for_another_thread_no_longer_than_its_timeout() {
    let (gate, store) = Gate::after_reads();
    let sessions = registry(&store);
    let thread = {
        let sessions = sessions.clone();
        spawn(move || sessions.load(&1).unwrap())
    };
    assert_eq!(gate.entered(), 1);
    let error = sessions.load_timeout(&1, Duration::ZERO).unwrap_err();
    assert!(error.is_timeout() && std::error::Error::source(&error).is_none());
    (0..2).for_each(|_| gate.open());
    assert_eq!(thread.join().unwrap(), Loaded::Missing);
    assert_eq!(sessions.saver().unwrap().shared.loads(), 0, "no result is left for the one who has gone");
    assert_eq!(sessions.load_timeout(&1, Duration::ZERO).unwrap(), Loaded::Missing, "no one is in the way");
}

#[test]
fn a_registry_without_a_store_loads_nothing() {
    let sessions = Registry::new();
    assert!(sessions.saver().is_none());
    assert_eq!(sessions.load(&1).unwrap(), Loaded::Missing);
    assert_eq!(sessions.load_all().unwrap().installed, 0);
    assert!(sessions.is_empty());
}
