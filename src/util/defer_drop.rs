//! Deferred destruction of user values that versions hold.
//!
//! The writer empties a version in the middle of a publish, and an unfinished command may drop records too.
//! Destructors are user code, which may panic and may call back. The writer therefore collects the user
//! values that it drops while it works, and releases them when no change is in progress and no lock is held.
//! A destructor that panics is always contained.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use crate::sync;
use crate::unwind::contain;

/// A value whose destructor has yet to run.
type Waste = Box<dyn Send>;

sync::thread_local! {
    /// The values that this thread has dropped since it began to collect; `None` while it does not collect.
    #[allow(clippy::missing_const_for_thread_local)] // The checkers' macro has no const form.
    static COLLECTING: RefCell<Option<Vec<Waste>>> = RefCell::new(None);
}

/// A holder of a user value: if it is dropped while the writer is at work, the value is dropped later.
pub(crate) struct DeferDrop<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> DeferDrop<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub(crate) fn get(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => unreachable!("a value is taken out in `drop` only"),
        }
    }
}

impl<T: Send + 'static> Drop for DeferDrop<T> {
    fn drop(&mut self) {
        let Some(value) = self.0.take() else { return };
        let mut waste: Option<Waste> = Some(Box::new(value));
        // A thread that is ending no longer has a list, and has no change in progress.
        let _ = COLLECTING.try_with(|list| {
            if let Some(list) = list.borrow_mut().as_mut() {
                list.extend(waste.take());
            }
        });
        if let Some(waste) = waste {
            release(waste);
        }
    }
}

/// Runs a destructor. Returns `false` if it panicked.
fn release(waste: Waste) -> bool {
    // Unwind safety: no part of the value remains observable.
    contain(AssertUnwindSafe(|| drop(waste))).is_some()
}

/// Values whose destructors have not run. They run when this is dropped, at the latest.
#[derive(Default)]
pub(crate) struct Collected(Vec<Waste>);

impl Collected {
    /// Runs the destructors, and returns the number of those that panicked.
    pub(crate) fn release(mut self) -> u64 {
        self.empty()
    }

    fn empty(&mut self) -> u64 {
        std::mem::take(&mut self.0).into_iter().map(|waste| u64::from(!release(waste))).sum()
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        self.empty();
    }
}

/// Runs `work`, and returns its result together with the user values that it dropped on this thread. May be
/// nested.
pub(crate) fn collect<R>(work: impl FnOnce() -> R) -> (R, Collected) {
    let scope = Scope::begin();
    let result = work();
    (result, scope.end())
}

/// A scope during which this thread collects.
struct Scope {
    outer: Option<Option<Vec<Waste>>>,
}

impl Scope {
    fn begin() -> Self {
        Self { outer: COLLECTING.try_with(|list| list.replace(Some(Vec::new()))).ok() }
    }

    fn end(mut self) -> Collected {
        self.restore()
    }

    fn restore(&mut self) -> Collected {
        let inner = self.outer.take().and_then(|outer| COLLECTING.try_with(|list| list.replace(outer)).ok());
        Collected(inner.flatten().unwrap_or_default())
    }
}

impl Drop for Scope {
    /// Ends the scope if `work` panicked.
    fn drop(&mut self) {
        drop(self.restore());
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::sync::StdArc;
    use crate::sync::atomic::{AtomicU32, Ordering};

    #[derive(Clone, Default)]
    struct Count(StdArc<AtomicU32>);

    impl Count {
        fn get(&self) -> u32 {
            // Relaxed: a plain counter.
            self.0.load(Ordering::Relaxed)
        }

        fn value(&self) -> DeferDrop<Counted> {
            DeferDrop::new(Counted(self.clone()))
        }
    }

    struct Counted(Count);

    impl Drop for Counted {
        fn drop(&mut self) {
            // Relaxed: a plain counter.
            self.0.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_value_is_dropped_at_once_where_nobody_collects() {
        let count = Count::default();
        drop(count.value());
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn what_is_collected_is_dropped_when_it_is_released() {
        let count = Count::default();
        let ((), outer) = collect(|| {
            drop(count.value());
            let ((), inner) = collect(|| drop(count.value()));
            assert_eq!(count.get(), 0);
            assert_eq!(inner.release(), 0);
            assert_eq!(count.get(), 1, "only the inner one");
        });
        assert_eq!(count.get(), 1);
        drop(outer);
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn work_that_panics_loses_nothing_and_ends_the_collecting() {
        let count = Count::default();
        let result = catch_unwind(AssertUnwindSafe(|| {
            collect(|| {
                drop(count.value());
                panic!("in the middle");
            })
        }));
        assert!(result.is_err());
        assert_eq!(count.get(), 1);
        drop(count.value());
        assert_eq!(count.get(), 2, "at once again");
    }

    #[test]
    fn destructors_that_panic_are_contained_and_counted() {
        struct Bomb;

        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("a destructor that panics");
            }
        }

        let count = Count::default();
        drop(DeferDrop::new(Bomb));
        let ((), collected) = collect(|| {
            drop((DeferDrop::new(Bomb), count.value(), DeferDrop::new(Bomb)));
        });
        assert_eq!(collected.release(), 2);
        assert_eq!(count.get(), 1);
    }
}
