//! The n-th destructor panics, in every public call of a registry of sessions, for every n; and `Hash`, `Eq` and
//! `Clone` of a key panic, at every use. Afterwards the registry is whole: the session has one run at a time, its
//! data is that of before the call or of after it, and no value is leaked or dropped twice.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // Tests, which print the failing call.

mod fuse;

use std::cell::Cell;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use fuse::{Burned, Fuse, Fused, for_every_drop};
use switchboard::sessions::{ClearPolicy, Connection, OnDisconnect, Run, Sessions};

const NOW: Duration = Duration::ZERO;

/// The data: a number, and a value whose destructor may panic.
#[derive(Debug)]
struct Data(u32, #[allow(dead_code)] Fused);

type Registry = Sessions<u32, Data, Fused>;

struct World {
    fuse: Fuse,
    sessions: Registry,
    run: Option<Run<u32, Data, Fused>>,
    connection: Option<Connection<u32, Data, Fused>>,
}

impl World {
    /// Session 1 has data, a run and a connection; session 2 is blank and idle.
    fn new(fuse: &Fuse) -> Self {
        let (init, released) = (fuse.clone(), fuse.clone());
        let sessions: Registry = Sessions::with_init(move |_| Data(0, init.value()))
            .max_blank(2)
            .on_disconnect(OnDisconnect::KeepForResume(NOW))
            .on_release(move |_, _| drop(released.value()))
            .build();
        let connection = sessions.connect(&1, fuse.value()).connection;
        let mut run = connection.try_begin().unwrap();
        run.update(|_| Data(7, fuse.value())).map(drop).unwrap();
        drop(sessions.try_begin(&2).unwrap());
        Self { fuse: fuse.clone(), sessions, run: Some(run), connection: Some(connection) }
    }

    fn waker(&self) -> Waker {
        struct Noop(#[allow(dead_code)] Fused);
        impl Wake for Noop {
            fn wake(self: Arc<Self>) {}
        }
        Waker::from(Arc::new(Noop(self.fuse.value())))
    }

    fn poll<F: Future + Unpin>(&self, future: &mut F) -> bool {
        let waker = self.waker();
        let poll = Pin::new(future).poll(&mut Context::from_waker(&waker));
        let is_ready = poll.is_ready();
        drop(poll);
        is_ready
    }

    /// The registry is whole, whatever has happened to it.
    fn check(mut self, name: &str) {
        let sessions = self.sessions.clone();
        if let Some(data) = sessions.read(&1) {
            assert!([0, 7, 8].contains(&data.0), "{name}: data {}", data.0);
        }
        drop((self.run.take(), self.connection.take()));
        let mut run = sessions.try_begin(&1).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(sessions.try_begin(&1).is_err(), "{name}: two runs");
        run.update(|_| Data(9, self.fuse.value())).map(drop).unwrap();
        assert_eq!(sessions.read(&1).map(|data| data.0), Some(9), "{name}");
        assert_eq!(run.finish(), Ok(()), "{name}");
        let cleared = sessions.clear(&1, ClearPolicy::RefuseIfBusy);
        assert!(cleared.is_ok_and(|cleared| !cleared.joined && cleared.dropped == 0), "{name}");
        assert_eq!(sessions.read(&1).map(|data| data.0), Some(0), "{name}");
        drop(sessions.connect(&2, self.fuse.value()));
        drop(sessions.try_begin(&2).unwrap());
    }
}

type Call = (&'static str, fn(&mut World));

const CALLS: &[Call] = &[
    ("try_begin, busy", |world| drop(world.sessions.try_begin(&1))),
    ("try_begin, new", |world| drop(world.sessions.try_begin(&3))),
    ("try_begin, new, and another", |world| {
        drop(world.sessions.try_begin(&3));
        drop(world.sessions.try_begin(&4));
    }),
    ("begin_timeout", |world| drop(world.sessions.begin_timeout(&1, NOW))),
    ("begin_or_replace", |world| drop(world.sessions.begin_or_replace(&1, NOW))),
    ("begin_async, dropped", |world| {
        let mut begin = world.sessions.begin_async(&1);
        assert!(!world.poll(&mut begin) && !world.poll(&mut begin));
    }),
    ("begin_async, woken", |world| {
        let sessions = world.sessions.clone();
        let mut begin = sessions.begin_async(&1);
        assert!(!world.poll(&mut begin));
        drop(world.run.take());
        assert!(world.poll(&mut begin));
    }),
    ("begin_async, cleared", |world| {
        let mut begin = world.sessions.begin_async(&1);
        assert!(!world.poll(&mut begin));
        assert!(world.sessions.clear(&1, ClearPolicy::CancelAndDetach).is_ok());
        assert!(world.poll(&mut begin));
    }),
    ("clear, detach", |world| _ = world.sessions.clear(&1, ClearPolicy::CancelAndDetach)),
    ("clear, timeout", |world| _ = world.sessions.clear(&1, ClearPolicy::CancelAndWait(NOW))),
    ("clear, refused", |world| _ = world.sessions.clear(&1, ClearPolicy::RefuseIfBusy)),
    ("clear, blank", |world| _ = world.sessions.clear(&2, ClearPolicy::RefuseIfBusy)),
    ("clear_async", |world| {
        let sessions = world.sessions.clone();
        let mut clear = sessions.clear_async(&1, ClearPolicy::CancelAndWait(NOW));
        assert!(!world.poll(&mut clear));
        drop(world.run.take());
        assert!(world.poll(&mut clear));
    }),
    ("clear_async, dropped", |world| {
        let mut clear = world.sessions.clear_async(&1, ClearPolicy::CancelAndWait(NOW));
        assert!(!world.poll(&mut clear));
    }),
    ("cancel", |world| {
        let run = world.run.as_ref().unwrap();
        let mut cancelled = run.cancelled();
        assert!(!world.poll(&mut cancelled));
        _ = world.sessions.cancel(&1);
    }),
    ("update", |world| {
        let value = world.fuse.value();
        drop(world.run.as_mut().unwrap().update(|_| Data(8, value)));
    }),
    ("update, stale", |world| {
        assert!(world.sessions.clear(&1, ClearPolicy::CancelAndDetach).is_ok());
        let value = world.fuse.value();
        drop(world.run.as_mut().unwrap().update(|_| Data(8, value)));
    }),
    ("read", |world| drop(world.sessions.read(&1))),
    ("finish", |world| _ = world.run.take().unwrap().finish()),
    ("drop of the run", |world| drop(world.run.take())),
    ("connect, displaces", |world| {
        let value = world.fuse.value();
        drop(world.sessions.connect(&1, value));
    }),
    ("connect, new", |world| {
        let value = world.fuse.value();
        drop(world.sessions.connect(&3, value));
    }),
    ("disconnect", |world| _ = world.connection.take().unwrap().disconnect()),
    ("disconnect, expire", |world| {
        drop(world.connection.take());
        assert!(world.sessions.expire() <= 1);
    }),
    ("adopt", |world| _ = world.connection.as_ref().unwrap().adopt(world.run.as_ref().unwrap())),
    ("peers", |world| drop(world.sessions.peers())),
    ("broadcast", |world| {
        let value = world.fuse.value();
        _ = world.sessions.broadcast(move |_, _| _ = &value);
    }),
    ("snapshot", |world| drop(world.sessions.snapshot())),
    ("remove", |world| {
        world.run.take();
        world.connection.take();
        drop(world.sessions.remove(&1));
    }),
    ("remove, busy", |world| drop(world.sessions.remove(&1))),
    ("prune", |world| {
        world.run.take();
        world.connection.take();
        drop(world.sessions.prune(NOW));
    }),
    ("prune_to", |world| drop(world.sessions.prune_to(0))),
    ("evict", |world| {
        for key in 10..14 {
            drop(world.sessions.try_begin(&key));
        }
    }),
    ("detached run ends last", |world| {
        let run = world.run.take();
        assert!(world.sessions.clear(&1, ClearPolicy::CancelAndDetach).is_ok());
        drop(world.connection.take());
        drop(world.sessions.remove(&1));
        drop(run);
    }),
];

#[test]
fn a_destructor_that_panics_leaves_the_registry_whole() {
    for (name, call) in CALLS {
        println!("{name}");
        let burned = for_every_drop(|fuse, nth| {
            let mut world = World::new(fuse);
            fuse.arm(nth);
            let result = catch_unwind(AssertUnwindSafe(|| call(&mut world)));
            let burned = fuse.disarm();
            if let Err(payload) = result {
                // Panics of callbacks and of destructors inside the registry are contained, the others reach us.
                assert!(burned && payload.is::<Burned>(), "{name}: a panic other than that of the fuse");
            }
            world.check(name);
            burned
        });
        assert!(burned < 100, "{name}");
    }
}

thread_local! {
    /// Number of uses of a key until one panics.
    static USES: Cell<Option<u32>> = const { Cell::new(None) };
}

#[derive(Debug)]
struct Key(u32);

fn use_key() {
    match USES.get() {
        None => {}
        Some(0) => {
            USES.set(None);
            panic_any(Burned);
        }
        Some(left) => USES.set(Some(left - 1)),
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        use_key();
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        use_key();
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Self {
        use_key();
        Self(self.0)
    }
}

type Keyed = Sessions<Key, u32>;
type KeyedCall = (&'static str, fn(&Keyed));

const KEYED: &[KeyedCall] = &[
    ("try_begin, busy", |sessions| drop(sessions.try_begin(&Key(1)))),
    ("try_begin, new", |sessions| drop(sessions.try_begin(&Key(3)))),
    ("try_begin, many", |sessions| (10..90).for_each(|key| drop(sessions.try_begin(&Key(key))))),
    ("begin_timeout", |sessions| drop(sessions.begin_timeout(&Key(1), NOW))),
    ("clear", |sessions| _ = sessions.clear(&Key(1), ClearPolicy::CancelAndDetach)),
    ("cancel", |sessions| _ = sessions.cancel(&Key(1))),
    ("read", |sessions| _ = sessions.read(&Key(1))),
    ("connect", |sessions| drop(sessions.connect(&Key(1), ()))),
    ("broadcast", |sessions| _ = sessions.broadcast(|_, ()| {})),
    ("snapshot", |sessions| drop(sessions.snapshot())),
    ("remove", |sessions| _ = sessions.remove(&Key(2))),
    ("prune", |sessions| drop(sessions.prune(NOW))),
    ("prune_to", |sessions| drop(sessions.prune_to(0))),
];

#[test]
fn a_key_that_panics_leaves_the_registry_whole() {
    let fuse = Fuse::new();
    for (name, call) in KEYED {
        for nth in 0.. {
            let sessions: Keyed = Sessions::builder().max_blank(4).build();
            let run = sessions.try_begin(&Key(1)).unwrap();
            drop(sessions.try_begin(&Key(2)).unwrap());
            USES.set(Some(nth));
            let result = catch_unwind(AssertUnwindSafe(|| call(&sessions)));
            let is_burnt = USES.replace(None).is_none();
            assert!(result.is_ok() || is_burnt, "{name}: a panic other than that of the key");
            if sessions.clear(&Key(1), ClearPolicy::RefuseIfBusy).is_err() {
                assert!(sessions.try_begin(&Key(1)).is_err(), "{name}: two runs");
            }
            drop(run);
            for key in 1..100 {
                let mut run = sessions.try_begin(&Key(key)).unwrap_or_else(|error| panic!("{name}: {error}"));
                run.update(|_| key).unwrap();
                assert_eq!(sessions.read(&Key(key)).as_deref(), Some(&key), "{name}, use {nth}");
            }
            assert_eq!(sessions.prune(NOW).len(), 99, "{name}, use {nth}");
            assert!(sessions.is_empty(), "{name}, use {nth}");
            if !is_burnt {
                break;
            }
        }
    }
    drop(fuse);
}
