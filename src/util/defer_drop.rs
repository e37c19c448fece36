//! Values of the user that versions hold: where their destructors run.
//!
//! A version is emptied by the writer, in the middle of a publish, and a command that is half done drops
//! records too. Destructors are foreign code, which may panic and may call back. So the writer collects what
//! it drops of the user's values while it works, and lets go of it when nothing is half done and no lock is
//! held. A destructor that panics is contained wherever it runs.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use crate::sync;
use crate::unwind::contain;

/// A value that waits for its destructor.
type Waste = Box<dyn Send>;

sync::thread_local! {
    /// What this thread has dropped since it began to collect; `None` while it does not.
    #[allow(clippy::missing_const_for_thread_local)] // The checkers' macro has no const form.
    static COLLECTING: RefCell<Option<Vec<Waste>>> = RefCell::new(None);
}

/// Holds a value of the user: when it is dropped where the writer is at work, the value is dropped later.
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
        // At the end of a thread there is no list any more, and nothing half done either.
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

/// Runs a destructor; `false` when it panicked.
fn release(waste: Waste) -> bool {
    // Unwind safety: nothing of the value is left to be seen.
    contain(AssertUnwindSafe(|| drop(waste))).is_some()
}

/// Values whose destructors have not run. They run when this is dropped, at the latest.
#[derive(Default)]
pub(crate) struct Collected(Vec<Waste>);

impl Collected {
    /// Runs the destructors, and returns how many of them panicked.
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

/// Runs `work`, and returns with its result what it dropped of the user's values on this thread. May be
/// nested.
pub(crate) fn collect<R>(work: impl FnOnce() -> R) -> (R, Collected) {
    let scope = Scope::begin();
    let result = work();
    (result, scope.end())
}

/// While it lives, this thread collects.
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
    /// `work` panicked.
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
            assert_eq!(count.get(), 1, "the inner one only");
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
