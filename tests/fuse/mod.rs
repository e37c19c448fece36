//! A destructor that panics: the n-th one of its fuse, counted from when the fuse was armed.

#![allow(dead_code, unreachable_pub)] // Each user takes a part.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Shared by the values that it made.
#[derive(Clone, Debug)]
pub struct Fuse(Arc<State>);

#[derive(Debug)]
struct State {
    /// Drops until one panics.
    left: AtomicI64,
    alive: AtomicI64,
}

/// A value whose destructor may panic.
#[derive(Debug)]
pub struct Fused(Fuse);

/// What the panic carries.
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

    /// The `nth` drop from now on panics.
    pub fn arm(&self, nth: i64) {
        self.0.left.store(nth, Ordering::SeqCst);
    }

    /// No drop panics any more. Returns whether one did.
    pub fn disarm(&self) -> bool {
        self.0.left.swap(i64::MAX, Ordering::SeqCst) <= 0
    }

    /// Values that were made and not dropped.
    pub fn alive(&self) -> i64 {
        self.0.alive.load(Ordering::SeqCst)
    }

    /// Runs `call` with the fuse armed. Returns whether it burned, and whether that reached the caller.
    pub fn within<R>(&self, nth: i64, call: impl FnOnce() -> R) -> (bool, Option<R>) {
        self.arm(nth);
        let result = catch_unwind(AssertUnwindSafe(call));
        let burned = self.disarm();
        match result {
            Ok(result) => (burned, Some(result)),
            Err(payload) => {
                assert!(burned && payload.is::<Burned>(), "another panic than that of the fuse");
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
    panic!("a scenario without an end");
}

/// Panics of fuses are not worth a line each.
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
