//! The saver when the store fails or hangs, and when user code panics or calls back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::sessions::saving::backoff::Backoff;

#[test]
fn a_failure_keeps_the_session_dirty_and_is_repeated_after_a_growing_delay() {
    let is_full = StdArc::new(AtomicBool::new(true));
    let flag = is_full.clone();
    let store =
        Scripted::new().on_write(move |_, _| if flag.load(Ordering::SeqCst) { Err(full()) } else { Ok(()) });
    let clock = ManualClock::new();
    let config = Config::default().backoff(10 * MS, 40 * MS).random(|| 0);
    let saver = saver_with(&store, config, clock.clone());
    save(&saver, &saver.mark(&1), 1);
    for delay in [10, 20, 40, 40] {
        assert!(matches!(saver.run_once(), Step::Failed(error) if error.kind() == StoreErrorKind::Io));
        assert_eq!(wait(&saver.run_once()), delay * MS);
        clock.advance(delay * MS - MS / 2);
        assert_eq!(wait(&saver.run_once()), MS / 2);
        clock.advance(MS / 2);
    }
    let stats = saver.stats();
    assert_eq!((stats.failures, stats.retries, stats.dirty, stats.saves), (4, 3, 1, 0));
    assert_eq!(stats.oldest_dirty, 110 * MS);
    assert_eq!(saver.last_failure().map(|error| error.kind()), Some(StoreErrorKind::Io));
    is_full.store(false, Ordering::SeqCst);
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!((saver.stats().dirty, store.stored(1).as_deref()), (0, Some("1")));
}

#[test]
fn what_a_save_could_not_read_is_reported_and_the_save_goes_on() {
    let times = StdArc::new(AtomicU64::new(0));
    let left = times.clone();
    let damaged = move || match left.load(Ordering::SeqCst) {
        0 => Ok(()),
        times => {
            left.store(times - 1, Ordering::SeqCst);
            Err(StoreError::new(StoreErrorKind::Corrupt).with_kept("/x/y".into()))
        }
    };
    let on_read = damaged.clone();
    let store = Scripted::new().on_write(move |_, _| damaged()).on_read(move |_, ()| on_read());
    let saver = saver(&store);
    let mark = saver.mark(&1);
    let kept = || {
        let stats = saver.stats();
        (stats.kept_aside, stats.failures, stats.dirty)
    };
    times.store(1, Ordering::SeqCst);
    save(&saver, &mark, 1);
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!((kept(), store.stored(1).as_deref()), ((1, 0, 0), Some("1")));
    let failure = saver.last_failure().unwrap();
    assert_eq!((failure.kind(), failure.kept()), (StoreErrorKind::Corrupt, Some("/x/y".as_ref())));
    times.store(1, Ordering::SeqCst);
    saver.note(&mark, 2, None);
    saver.flush(&1, LONG).unwrap();
    assert_eq!((kept(), store.stored(1)), ((2, 0, 0), None));
    times.store(1, Ordering::SeqCst);
    assert_eq!(saver.load(&1).unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(kept(), (3, 0, 0));
    // A store that never gets on is not asked for ever.
    times.store(u64::MAX, Ordering::SeqCst);
    save(&saver, &saver.mark(&2), 3);
    assert!(matches!(saver.run_once(), Step::Failed(_)));
    assert_eq!(kept(), (4, 1, 1));
}

#[test]
fn a_panic_of_the_store_counts_as_a_failure() {
    let first = AtomicBool::new(true);
    let store = Scripted::new().on_write(move |_, _| {
        assert!(!first.swap(false, Ordering::SeqCst), "the first write panics");
        Ok(())
    });
    let clock = ManualClock::new();
    let saver = saver_with(&store, Config::default(), clock.clone());
    save(&saver, &saver.mark(&1), 1);
    assert!(matches!(saver.run_once(), Step::Failed(error) if error.kind() == StoreErrorKind::Panicked));
    clock.advance(LONG);
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!(store.stored(1).as_deref(), Some("1"));
}

#[test]
fn a_clock_and_a_source_of_randomness_that_panic_lose_nothing() {
    #[derive(Debug)]
    struct Broken(ManualClock, AtomicBool);

    impl Clock for Broken {
        fn now(&self) -> std::time::Instant {
            assert!(!self.1.swap(true, Ordering::SeqCst), "asked a second time");
            self.0.now()
        }
    }

    let store = Scripted::new().on_write(|_, number| if number == 1 { Err(full()) } else { Ok(()) });
    let config = Config::default().random(|| panic!("no random number"));
    let saver = saver_with(&store, config, Broken(ManualClock::new(), AtomicBool::new(false)));
    let mark = saver.mark(&1);
    save(&saver, &mark, 1);
    assert!(matches!(saver.run_once(), Step::Failed(_)));
    save(&saver, &mark, 2);
    saver.flush(&1, LONG).unwrap();
    assert_eq!(store.stored(1).as_deref(), Some("2"));
}

#[test]
fn flush_all_tries_each_session_once_and_reports_those_that_fail() {
    let store = Scripted::new().on_write(|key, _| if key % 3 == 0 { Err(full()) } else { Ok(()) });
    let saver = saver(&store);
    (1..=9).for_each(|key| save(&saver, &saver.mark(&key), 1));
    let error = saver.flush_all(LONG).unwrap_err();
    assert_eq!((error.unsaved, error.failure.map(|error| error.kind())), (3, Some(StoreErrorKind::Io)));
    assert_eq!((store.inner.len(), saver.stats().dirty, saver.stats().failures), (6, 3, 3));
    let error = saver.flush_all(Duration::ZERO).unwrap_err();
    assert_eq!((error.unsaved, error.failure.is_none()), (3, true), "the time was over");
    assert_eq!(saver.stats().failures, 3);
}

#[test]
fn a_load_that_panics_is_an_error_and_the_next_one_reads_again() {
    let first = AtomicBool::new(true);
    let store = Scripted::new().on_read(move |_, ()| {
        assert!(!first.swap(false, Ordering::SeqCst), "the first read panics");
        Ok(())
    });
    let saver = saver(&store);
    assert_eq!(saver.load(&1).unwrap_err().kind(), StoreErrorKind::Panicked);
    assert!(saver.load(&1).unwrap().is_none());
}

#[test]
fn a_save_that_hangs_does_not_keep_a_flush_of_all_from_the_others() {
    let (gate, pass) = Gate::new();
    let store = Scripted::new().on_write(move |key, number| {
        if *key == 1 {
            pass(number);
        }
        Ok(())
    });
    let saver = saver(&store);
    save(&saver, &saver.mark(&1), 1);
    let thread = {
        let saver = saver.clone();
        spawn(move || drop(saver.run_once()))
    };
    assert_eq!(gate.entered(), 1);
    (2..=9).for_each(|key| save(&saver, &saver.mark(&key), 1));
    // Long enough for the others, unless it waits for the one that hangs before.
    let error = saver.flush_all(Duration::from_secs(1)).unwrap_err();
    assert_eq!((error.unsaved, store.inner.len()), (1, 8));
    gate.open();
    thread.join().unwrap();
    saver.flush_all(LONG).unwrap();
}

/// The store, in the middle of a save, and destructors of data may use the saver.
#[test]
fn s17_the_store_and_destructors_are_called_with_nothing_held() {
    struct Calls(Option<Saver<u32, Calls>>, StdArc<AtomicU64>);

    impl Drop for Calls {
        fn drop(&mut self) {
            let Some(saver) = &self.0 else { return };
            let mark = saver.mark(&8);
            saver.note(&mark, saver.stats().saves + 1, None);
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Calling(StdArc<Mutex<Option<Saver<u32, Calls>>>>, StdArc<AtomicU64>);

    impl SessionStore<u32, Calls> for Calling {
        fn opening(&self) -> u64 {
            1
        }

        fn load(&self, _: &u32) -> Result<Option<Stored<Calls>>, StoreError> {
            self.save(&0, Version::new(1, 1), &Calls(None, self.1.clone())).map(|_| None)
        }

        fn keys(&self) -> Result<Keys<u32>, StoreError> {
            Ok(Keys::new(Vec::new(), 0))
        }

        fn save(&self, _: &u32, _: Version, _: &Calls) -> Result<Saved, StoreError> {
            let saver = self.0.lock().clone().unwrap();
            saver.note(&saver.mark(&9), saver.stats().saves + 1, None);
            assert!(saver.flush(&9, LONG).is_ok());
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(Saved::Stored)
        }

        fn delete(&self, _: &u32, _: Version) -> Result<Saved, StoreError> {
            Ok(Saved::Stored)
        }
    }

    let own = StdArc::new(Mutex::new(&crate::sync::lock_order::TEST_AUXILIARY, None));
    let entered = StdArc::new(AtomicU64::new(0));
    let store = Calling(own.clone(), entered.clone());
    let saver: Saver<u32, Calls> =
        Saver::new(Box::new(store), Config::default(), StdArc::new(ManualClock::new()));
    *own.lock() = Some(saver.clone());
    let mark = saver.mark(&1);
    for number in 1..=2 {
        saver.note(&mark, number, Some(StdArc::new(Calls(Some(saver.clone()), entered.clone()))));
    }
    assert_eq!(entered.load(Ordering::SeqCst), 1, "the replaced data was dropped");
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!(entered.load(Ordering::SeqCst), 3, "saved and dropped");
    assert!(saver.load(&1).unwrap().is_none());
    assert_eq!(entered.load(Ordering::SeqCst), 4);
    // The circle of store and saver ends.
    drop(own.lock().take());
}

#[test]
fn data_whose_destructor_panics_does_not_stop_the_saver() {
    #[derive(Clone)]
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a destructor that panics");
            }
        }
    }

    struct Store;

    impl SessionStore<u32, Bomb> for Store {
        fn opening(&self) -> u64 {
            1
        }

        fn load(&self, _: &u32) -> Result<Option<Stored<Bomb>>, StoreError> {
            Ok(None)
        }

        fn keys(&self) -> Result<Keys<u32>, StoreError> {
            Ok(Keys::new(Vec::new(), 0))
        }

        fn save(&self, _: &u32, _: Version, _: &Bomb) -> Result<Saved, StoreError> {
            Ok(Saved::Stored)
        }

        fn delete(&self, _: &u32, _: Version) -> Result<Saved, StoreError> {
            Ok(Saved::Stored)
        }
    }

    let saver: Saver<u32, Bomb> =
        Saver::new(Box::new(Store), Config::default(), StdArc::new(ManualClock::new()));
    let mark = saver.mark(&1);
    (1..=2).for_each(|number| drop(saver.note(&mark, number, Some(StdArc::new(Bomb)))));
    assert_eq!((saver.stats().dirty, saver.stats().lost), (1, 0), "the second one is noted");
    assert!(matches!(saver.run_once(), Step::Saved));
    assert_eq!((saver.stats().dirty, saver.stats().in_flight), (0, 0));
    saver.note(&saver.mark(&1), 3, None);
    assert!(matches!(saver.run_once(), Step::Saved));
}

#[test]
fn keys_whose_comparison_panics_leave_the_saver_whole() {
    #[allow(clippy::derived_hash_with_manual_eq)] // Equal keys have one hash.
    #[derive(Clone, Hash)]
    struct Key(u32);

    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            assert!(self.0 != 13 && other.0 != 13, "a comparison that panics");
            self.0 == other.0
        }
    }

    impl Eq for Key {}

    let store = MemoryStore::<Key, String>::new();
    let saver = Saver::new(Box::new(store.clone()), Config::default(), StdArc::new(ManualClock::new()));
    let note = |key, number| {
        let mark = saver.mark(&Key(key));
        let note = || saver.note(&mark, number, Some(StdArc::new(String::new())));
        catch_unwind(AssertUnwindSafe(note)).is_ok()
    };
    assert!(note(1, 1) && note(13, 1));
    assert!(note(13, 2), "contained, though two marks of the key are compared");
    assert!(note(1, 2));
    assert_eq!((saver.stats().dirty, saver.stats().lost), (2, 1));
    while !is_idle(&saver.run_once()) {}
    assert_eq!((saver.stats().dirty, store.len()), (0, 2));
}

#[test]
fn a_backoff_doubles_up_to_its_cap_and_is_never_less_than_half() {
    let backoff = Backoff::new(10 * MS, 75 * MS);
    for (attempts, longest) in [(1, 10), (2, 20), (3, 40), (4, 75), (5, 75), (40, 75), (u32::MAX, 75)] {
        assert_eq!(backoff.delay(attempts, 0), longest * MS);
        let shortest = backoff.delay(attempts, u64::MAX);
        assert!(shortest >= longest * MS / 2 && shortest <= longest * MS / 2 + MS / 1000);
    }
    assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO).delay(9, 0), MS);
    let endless = Backoff::new(LONG, Duration::MAX);
    assert!(endless.delay(u32::MAX, u64::MAX) >= LONG);
}
