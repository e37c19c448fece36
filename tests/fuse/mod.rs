//! A destructor that panics: the n-th one of its fuse after the fuse was armed.

#![allow(dead_code, unreachable_pub)] // Each test uses a part.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A fuse, shared by the values that it made.
#[derive(Clone, Debug)]
pub struct Fuse(Arc<State>);

#[derive(Debug)]
struct State {
    /// Number of drops until one panics.
    left: AtomicI64,
    alive: AtomicI64,
}

/// A value whose destructor may panic.
#[derive(Debug)]
pub struct Fused(Fuse);

/// The payload of the panic.
#[derive(Debug, PartialEq, Eq)]
pub struct Burned;

impl Fuse {
    pub fn new() -> Self {
        quiet();
        Self(Arc::new(State { left: AtomicI64::new(i64::MAX), alive: AtomicI64::new(0) }))
    }

    pub fn value(&self) -> Fused {
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        Fused(self.clone())
    }

    /// Makes the `nth` drop from now on panic.
    pub fn arm(&self, nth: i64) {
        self.0.left.store(nth, Ordering::SeqCst);
    }

    /// Stops further panics. Returns whether a drop panicked.
    pub fn disarm(&self) -> bool {
        self.0.left.swap(i64::MAX, Ordering::SeqCst) <= 0
    }

    /// Number of values that were made and not dropped.
    pub fn alive(&self) -> i64 {
        self.0.alive.load(Ordering::SeqCst)
    }

    /// Runs `call` with the fuse armed. Returns whether it burned, and the result unless the panic reached
    /// the caller.
    pub fn within<R>(&self, nth: i64, call: impl FnOnce() -> R) -> (bool, Option<R>) {
        self.arm(nth);
        let result = catch_unwind(AssertUnwindSafe(call));
        let burned = self.disarm();
        match result {
            Ok(result) => (burned, Some(result)),
            Err(payload) => {
                assert!(burned && payload.is::<Burned>(), "a panic other than that of the fuse");
                (true, None)
            }
        }
    }
}

impl Drop for Fused {
    fn drop(&mut self) {
        let State { left, alive } = &*self.0.0;
        alive.fetch_sub(1, Ordering::SeqCst);
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            panic_any(Burned);
        }
    }
}

/// Runs `scenario` for every drop in it, until the fuse no longer burns. Returns how often it burned.
pub fn for_every_drop(mut scenario: impl FnMut(&Fuse, i64) -> bool) -> i64 {
    for nth in 1..1_000 {
        let fuse = Fuse::new();
        let burned = scenario(&fuse, nth);
        assert_eq!(fuse.alive(), 0, "a value was leaked, or dropped twice, when drop {nth} panicked");
        if !burned {
            return nth - 1;
        }
    }
    panic!("the scenario does not end");
}

/// Suppresses the messages of the fuses' panics.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Burned>() {
                hook(info);
            }
        }));
    });
}
