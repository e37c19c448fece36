//! Models of saves, clears, deletions and loads against each other.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use super::super::mark::Mark;
use super::super::store::{Keys, MemoryStore, Saved, SessionStore, StoreError, Stored, Version};
use super::super::{Loaded, Sessions};
use super::*;
use crate::clock::ManualClock;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::model::{Flag, model, spawn};
use crate::sync::{Mutex, StdArc, lock_order};

const KEY: u32 = 1;

fn saver(store: impl SessionStore<u32, u64> + 'static) -> Saver<u32, u64> {
    Saver::new(Box::new(store), Config::default(), StdArc::new(ManualClock::new()))
}

fn save(saver: &Saver<u32, u64>, mark: &Mark<u32>, number: u64) {
    saver.note(mark, number, Some(StdArc::new(number)));
}

fn run(saver: &Saver<u32, u64>) {
    while !matches!(saver.run_once(), Step::Idle { .. }) {}
}

/// A store that relies on the saver: it compares nothing, and asserts the order.
#[derive(Clone)]
struct Trusting {
    state: StdArc<Mutex<(u64, Option<u64>)>>,
    is_inside: StdArc<AtomicBool>,
    saved: StdArc<Flag>,
}

impl Trusting {
    fn new() -> Self {
        Self {
            state: StdArc::new(Mutex::new(&lock_order::TEST_AUXILIARY, (0, None))),
            is_inside: StdArc::new(AtomicBool::new(false)),
            saved: Flag::new(),
        }
    }

    fn write(&self, version: Version, data: Option<u64>) -> Saved {
        assert!(!self.is_inside.swap(true, Ordering::Relaxed), "two calls for one key");
        let mut state = self.state.lock();
        assert!(version.number > state.0, "{version} after {}", state.0);
        *state = (version.number, data);
        drop(state);
        self.is_inside.store(false, Ordering::Relaxed);
        std::task::Wake::wake(self.saved.clone());
        Saved::Stored
    }

    fn data(&self) -> Option<u64> {
        self.state.lock().1
    }
}

impl SessionStore<u32, u64> for Trusting {
    fn opening(&self) -> u64 {
        1
    }

    fn load(&self, _: &u32) -> Result<Option<Stored<u64>>, StoreError> {
        assert!(!self.is_inside.swap(true, Ordering::Relaxed), "two calls for one key");
        let (number, data) = *self.state.lock();
        self.is_inside.store(false, Ordering::Relaxed);
        Ok(data.map(|data| Stored::new(Version::new(1, number), data)))
    }

    fn keys(&self) -> Result<Keys<u32>, StoreError> {
        Ok(Keys::new(vec![KEY], 0))
    }

    fn save(&self, _: &u32, version: Version, data: &u64) -> Result<Saved, StoreError> {
        Ok(self.write(version, Some(*data)))
    }

    fn delete(&self, _: &u32, version: Version) -> Result<Saved, StoreError> {
        Ok(self.write(version, None))
    }
}

/// The update of a detached run, the clear that detached it, and the deletion, in any order of arrival.
#[test]
fn a_late_save_never_undoes_a_clear_or_a_deletion() {
    model(|| {
        let store = Trusting::new();
        let saver = saver(store.clone());
        let mark = saver.mark(&KEY);
        let late = {
            let (saver, mark) = (saver.clone(), mark.clone());
            spawn(move || save(&saver, &mark, 1))
        };
        let thread = {
            let (saver, mark) = (saver.clone(), mark.clone());
            spawn(move || {
                save(&saver, &mark, 2);
                saver.note(&mark, 3, None);
            })
        };
        let _step = saver.run_once();
        thread.join().unwrap();
        run(&saver);
        assert_eq!(store.data(), None);
        late.join().unwrap();
        run(&saver);
        assert_eq!((store.data(), saver.stats().dirty), (None, 0));
    });
}

/// Two threads save; a change that is noted during a save is saved afterwards.
#[test]
fn saves_of_one_session_do_not_overlap_and_the_newest_is_saved() {
    model(|| {
        let store = Trusting::new();
        let saver = saver(store.clone());
        let mark = saver.mark(&KEY);
        save(&saver, &mark, 1);
        let thread = {
            let saver = saver.clone();
            spawn(move || run(&saver))
        };
        save(&saver, &mark, 2);
        run(&saver);
        thread.join().unwrap();
        assert_eq!((store.data(), saver.stats().dirty), (Some(2), 0));
    });
}

/// A flush returns when the change is stored, also if another thread is saving it.
#[test]
fn a_flush_returns_when_the_change_is_stored() {
    model(|| {
        let store = Trusting::new();
        let saver = saver(store.clone());
        let mark = saver.mark(&KEY);
        save(&saver, &mark, 1);
        let thread = {
            let saver = saver.clone();
            spawn(move || drop(saver.run_once()))
        };
        let name = saver.mark(&KEY);
        assert!(saver.shared.reach(&name, 1, shared::Wait::Until(None)).unwrap().is_ok());
        assert_eq!(store.data(), Some(1));
        thread.join().unwrap();
    });
}

/// A load that shares the read of another thread does not get a state from before its own beginning.
#[test]
fn a_load_never_goes_back() {
    model(|| {
        let store = Trusting::new();
        let saver = saver(store);
        let mark = saver.mark(&KEY);
        save(&saver, &mark, 1);
        run(&saver);
        let thread = {
            let (saver, mark) = (saver.clone(), mark.clone());
            spawn(move || {
                save(&saver, &mark, 2);
                let _step = saver.run_once();
                assert_eq!(saver.load(&KEY).unwrap().unwrap().number, 2);
            })
        };
        assert!(saver.load(&KEY).unwrap().unwrap().number >= 1);
        thread.join().unwrap();
    });
}

/// The thread sleeps, or is about to, when the change is noted.
#[test]
fn a_thread_misses_no_change() {
    model(|| {
        let store = Trusting::new();
        let saver = saver(store.clone());
        let thread = saver.spawn("saver").unwrap();
        save(&saver, &saver.mark(&KEY), 1);
        // Only the thread saves: a wake-up that is lost is a deadlock.
        store.saved.wait();
        assert_eq!(store.data(), Some(1));
        thread.join();
    });
}

/// The registry: the session is gone, in memory and in the store, or the removal came first and found nothing.
#[test]
fn a_session_that_is_removed_during_its_load_does_not_come_back() {
    model(|| {
        let store = MemoryStore::new();
        assert_eq!(store.save(&KEY, Version::new(1, 9), &7).unwrap(), Saved::Stored);
        let store = store.reopen();
        let sessions: Sessions<u32, u64> = Sessions::builder().store(store.clone()).build();
        let thread = {
            let sessions = sessions.clone();
            spawn(move || sessions.remove(&KEY).is_ok())
        };
        let _loaded = sessions.load(&KEY).unwrap();
        let is_removed = thread.join().unwrap();
        run(sessions.saver().unwrap());
        // The removal is refused while the load holds the session.
        let data = sessions.read(&KEY).map_or(0, |data| *data);
        assert_eq!((data, store.is_empty()), if is_removed { (0, true) } else { (7, false) });
    });
}

/// Whichever comes first: the run works on what was loaded, or nothing is installed.
#[test]
fn a_load_and_an_update_at_the_same_time_lose_nothing_without_notice() {
    model(|| {
        let store = MemoryStore::new();
        assert_eq!(store.save(&KEY, Version::new(1, 9), &7).unwrap(), Saved::Stored);
        let sessions: Sessions<u32, u64> = Sessions::builder().store(store.reopen()).build();
        let thread = {
            let sessions = sessions.clone();
            spawn(move || match sessions.try_begin(&KEY) {
                Ok(mut run) => run.update(|data| data + 100).is_ok(),
                Err(_busy) => false,
            })
        };
        let loaded = sessions.load(&KEY).unwrap();
        let has_updated = thread.join().unwrap();
        let data = *sessions.read(&KEY).unwrap();
        let base = if loaded == Loaded::Installed { 7 } else { 0 };
        assert_eq!(data, base + if has_updated { 100 } else { 0 }, "{loaded:?}");
    });
}
