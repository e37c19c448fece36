//! S15 of a registry with a store: whatever it calls may use the registry and the saver.

use std::fmt;
use std::time::{Duration, Instant};

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::sessions::saving::{Config, Step};
use crate::sessions::{ClearPolicy, Loaded, OnDisconnect, Sessions};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Only a test that is stuck reaches it.
const LONG: Duration = Duration::from_secs(60);
/// The session that callbacks use.
const OTHER: u32 = 99;

/// The registry, as its callbacks have it.
struct Own<D> {
    registry: Mutex<Option<Sessions<u32, D>>>,
    is_inside: AtomicBool,
    calls: AtomicU64,
}

impl<D> Own<D> {
    fn new() -> StdArc<Self> {
        let registry = Mutex::new(&crate::sync::lock_order::TEST_AUXILIARY, None);
        StdArc::new(Self { registry, is_inside: AtomicBool::new(false), calls: AtomicU64::new(0) })
    }

    /// Calls back, except from a callback of this; counts the calls that have returned.
    fn call(&self, data: impl FnOnce() -> D) {
        let Some(sessions) = self.registry.lock().clone() else { return };
        if self.is_inside.swap(true, Ordering::SeqCst) {
            return;
        }
        use_all(&sessions, data);
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.is_inside.store(false, Ordering::SeqCst);
    }

    /// Runs `code`, which is to call back.
    fn check<R>(&self, name: &str, code: impl FnOnce(&Sessions<u32, D>) -> R) -> R {
        let sessions = self.registry.lock().clone().unwrap();
        let before = self.calls.load(Ordering::SeqCst);
        let result = code(&sessions);
        assert!(self.calls.load(Ordering::SeqCst) > before, "{name} has not called back");
        result
    }

    /// Sets the registry, and takes it away at the end: otherwise it owns itself.
    fn with(&self, sessions: Sessions<u32, D>, code: impl FnOnce()) {
        *self.registry.lock() = Some(sessions);
        code();
        let last = self.registry.lock().take();
        drop(last);
    }
}

/// Uses the registry and its saver.
fn use_all<D>(sessions: &Sessions<u32, D>, data: impl FnOnce() -> D) {
    let mut run = sessions.try_begin(&OTHER).unwrap();
    assert!(run.update(|_| data()).is_ok());
    assert!(sessions.try_begin(&OTHER).is_err() && run.read().is_ok());
    drop(run);
    let saver = sessions.saver().unwrap();
    // It may fail, or be in progress further up this thread: then the session is dirty.
    let _ = saver.flush(&OTHER, Duration::ZERO);
    assert!(sessions.clear(&OTHER, ClearPolicy::RefuseIfBusy).is_ok());
    drop(sessions.connect(&OTHER, ()));
    assert!(sessions.prune(LONG).is_empty());
    // Another session may be on its way out.
    assert!(sessions.expire() == 0 && sessions.snapshot().len() <= sessions.len());
    let _ = (sessions.stats(), saver.stats(), saver.last_failure());
    assert!(sessions.remove(&OTHER).is_ok());
    assert!(sessions.read(&OTHER).is_none());
}

fn update<D>(sessions: &Sessions<u32, D>, key: u32, data: D) {
    assert!(sessions.try_begin(&key).unwrap().update(|_| data).is_ok());
}

#[cfg(any(feature = "file-store", feature = "sqlite"))]
#[test]
fn s15_a_codec_may_call_back() {
    struct Calling(StdArc<Own<Data>>);

    impl Calling {
        fn call(&self) {
            self.0.call(|| data("from the codec"));
        }
    }

    impl Codec<u32, Data> for Calling {
        fn encode_key(&self, key: &u32, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
            self.call();
            Codec::<u32, Data>::encode_key(&Json, key, bytes)
        }

        fn decode_key(&self, bytes: &[u8]) -> Result<u32, BoxError> {
            self.call();
            Codec::<u32, Data>::decode_key(&Json, bytes)
        }

        fn encode(&self, data: &Data, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
            self.call();
            Codec::<u32, Data>::encode(&Json, data, bytes)
        }

        fn decode(&self, bytes: &[u8]) -> Result<Data, BoxError> {
            self.call();
            Codec::<u32, Data>::decode(&Json, bytes)
        }
    }

    fn check<S: SessionStore<u32, Data> + 'static>(open: impl Fn(Calling) -> S) {
        let build = |own: &StdArc<Own<Data>>| Sessions::builder().store(open(Calling(own.clone()))).build();
        let own = Own::new();
        own.with(build(&own), || {
            own.check("a save", |sessions| {
                update(sessions, 1, data("one"));
                sessions.saver().unwrap().flush(&1, LONG).unwrap();
            });
            assert_eq!(own.calls.load(Ordering::SeqCst), 2, "the key and the data");
            own.check("a removal", |sessions| {
                update(sessions, 2, data("two"));
                sessions.saver().unwrap().flush(&2, LONG).unwrap();
                assert!(sessions.remove(&2).is_ok());
                sessions.saver().unwrap().flush_all(LONG).unwrap();
            });
        });
        let own = Own::new();
        own.with(build(&own), || {
            assert_eq!(own.check("a load", |sessions| sessions.load(&1)).unwrap(), Loaded::Installed);
            assert_eq!(own.calls.load(Ordering::SeqCst), 2, "the key and the data");
            assert_eq!(own.check("a listing", Sessions::load_all).unwrap().installed, 0);
            assert_eq!(own.check("a read", |sessions| sessions.load(&3)).unwrap(), Loaded::Missing);
            assert_eq!(own.registry.lock().as_ref().unwrap().read(&1).as_deref(), Some(&data("one")));
        });
    }

    let folder = Temporary::new();
    #[cfg(feature = "file-store")]
    check(|codec| FileStore::with_codec(folder.path().join("files"), codec).unwrap());
    #[cfg(feature = "sqlite")]
    check(|codec| SqliteStore::with_codec(folder.path().join("sessions.db"), codec).unwrap());
}

#[test]
fn s15_a_destructor_of_data_may_call_back() {
    #[derive(Clone)]
    struct Calling(Option<StdArc<Own<Calling>>>);

    impl Drop for Calling {
        fn drop(&mut self) {
            if let Some(own) = &self.0 {
                own.call(|| Calling(None));
            }
        }
    }

    struct Store(StdArc<Own<Calling>>);

    impl SessionStore<u32, Calling> for Store {
        fn opening(&self) -> u64 {
            2
        }

        fn load(&self, key: &u32) -> Result<Option<Stored<Calling>>, StoreError> {
            let data = Calling(Some(self.0.clone()));
            if *key == 5 {
                // So that what was read is not used.
                let sessions = self.0.registry.lock().clone().unwrap();
                update(&sessions, *key, Calling(None));
            }
            Ok(Some(Stored::new(Version::new(1, 1), data)))
        }

        fn keys(&self) -> Result<Keys<u32>, StoreError> {
            Ok(Keys::new(Vec::new(), 0))
        }

        fn save(&self, _: &u32, _: Version, _: &Calling) -> Result<Saved, StoreError> {
            Ok(Saved::Stored)
        }

        fn delete(&self, _: &u32, _: Version) -> Result<Saved, StoreError> {
            Ok(Saved::Stored)
        }
    }

    let own = Own::new();
    let (clock, new) = (ManualClock::new(), || Calling(Some(own.clone())));
    let builder = Sessions::with_init(|_| Calling(None)).store(Store(own.clone()));
    own.with(builder.clock(clock.clone()).max_idle(3).build(), || {
        let flush = |sessions: &Sessions<u32, Calling>| sessions.saver().unwrap().flush_all(LONG).unwrap();
        own.check("an update", |sessions| (0..2).for_each(|_| update(sessions, 1, new())));
        own.check("a save", |sessions| {
            update(sessions, 1, new());
            flush(sessions);
            update(sessions, 1, new());
        });
        own.check("a clear", |sessions| {
            update(sessions, 1, new());
            flush(sessions);
            sessions.clear(&1, ClearPolicy::RefuseIfBusy).unwrap();
        });
        own.check("a removal", |sessions| {
            update(sessions, 1, new());
            assert!(sessions.remove(&1).unwrap().is_some());
            flush(sessions);
        });
        own.check("a load that is not used", |sessions| {
            assert_ne!(sessions.load(&5).unwrap(), Loaded::Installed);
        });
        own.check("an installed load", |sessions| {
            assert_eq!(sessions.load(&6).unwrap(), Loaded::Installed);
            update(sessions, 6, Calling(None));
            flush(sessions);
        });
        own.check("an eviction", |sessions| {
            (20..30).for_each(|key| {
                update(sessions, key, new());
                flush(sessions);
            });
            assert!(sessions.stats().evicted > 0);
        });
    });
}

#[test]
fn s15_the_clock_may_call_back() {
    struct Calling(ManualClock, StdArc<Own<Data>>);

    impl Clock for Calling {
        fn now(&self) -> Instant {
            self.1.call(|| data("from the clock"));
            self.0.now()
        }
    }

    impl fmt::Debug for Calling {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_tuple("Calling").finish_non_exhaustive()
        }
    }

    let (own, clock) = (Own::new(), ManualClock::new());
    let store = MemoryStore::<u32, Data>::new();
    let calling = Calling(clock.clone(), own.clone());
    let builder = Sessions::builder().clock(calling).store(store.clone());
    own.with(builder.on_disconnect(OnDisconnect::KeepForResume(LONG)).build(), || {
        let saver = own.registry.lock().as_ref().unwrap().saver().unwrap().clone();
        own.check("a change", |sessions| update(sessions, 1, data("one")));
        own.check("a step", |_| assert!(matches!(saver.run_once(), Step::Saved)));
        own.check("the figures", |_| saver.stats());
        own.check("a flush", |sessions| {
            update(sessions, 1, data("two"));
            let before = own.calls.load(Ordering::SeqCst);
            saver.flush(&1, LONG).unwrap();
            assert!(own.calls.load(Ordering::SeqCst) > before);
        });
        own.check("a refused begin", |sessions| {
            let _run = sessions.try_begin(&1).unwrap();
            assert!(sessions.try_begin(&1).is_err());
        });
        own.check("the end of a connection", |sessions| {
            let connection = sessions.connect(&1, ()).connection;
            let run = connection.try_begin().unwrap();
            drop(connection);
            drop(run);
        });
        own.check("an expiry", Sessions::expire);
        own.check("a pruning", |sessions| assert!(sessions.prune(LONG).is_empty()));
        own.check("a cancellation", |sessions| {
            let run = sessions.try_begin(&1).unwrap();
            sessions.cancel(&1);
            drop(run);
        });
        own.check("a clear", |sessions| sessions.clear(&1, ClearPolicy::RefuseIfBusy)).unwrap();
        own.check("a removal", |sessions| assert!(sessions.remove(&1).is_ok()));
        saver.flush_all(LONG).unwrap();
        assert!(store.load(&1).unwrap().is_none());
    });
}

#[test]
fn s15_the_random_numbers_may_call_back() {
    struct Failing;

    impl SessionStore<u32, Data> for Failing {
        fn opening(&self) -> u64 {
            1
        }

        fn load(&self, _: &u32) -> Result<Option<Stored<Data>>, StoreError> {
            Ok(None)
        }

        fn keys(&self) -> Result<Keys<u32>, StoreError> {
            Ok(Keys::new(Vec::new(), 0))
        }

        fn save(&self, _: &u32, _: Version, _: &Data) -> Result<Saved, StoreError> {
            Err(StoreError::new(StoreErrorKind::Io))
        }

        fn delete(&self, _: &u32, _: Version) -> Result<Saved, StoreError> {
            Err(StoreError::new(StoreErrorKind::Io))
        }
    }

    let own = Own::new();
    let random = {
        let own = own.clone();
        move || {
            own.call(|| data("from the random numbers"));
            7
        }
    };
    let builder = Sessions::builder().clock(ManualClock::new()).store(Failing);
    own.with(builder.saving(Config::default().random(random)).build(), || {
        own.check("a failed step", |sessions| {
            update(sessions, 1, data("one"));
            assert!(matches!(sessions.saver().unwrap().run_once(), Step::Failed(_)));
        });
        own.check("a failed flush", |sessions| assert!(sessions.saver().unwrap().flush(&1, LONG).is_err()));
        own.check("a failed flush of all", |sessions| {
            assert!(sessions.saver().unwrap().flush_all(LONG).is_err());
        });
    });
}
