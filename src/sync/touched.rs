//! The atomics of the facade under loom: each load first touches a second object.
//!
//! loom 0.7.2 remembers one last access for each atomic, and tries another order only where that one races
//! with what comes next. Loads do not depend on each other. So where a thread loads and then writes the same
//! atomic, the write is compared with the thread's own load, and a load of another thread before that is
//! forgotten: that it could have come after the write is never tried. With the plain types two counters that
//! one thread adds to in turn are seen as (0, 0) by another thread that reads them in the opposite order, and
//! never otherwise; see [`models`].
//!
//! Here each load first notifies a condition variable that belongs to the atomic and that no thread ever
//! waits for. Two such notifications depend on each other, so that loom tries the loads in both orders, and
//! from there on it finds the rest. A notification without a waiter changes nothing and carries no edge
//! between threads. A relaxed read-modify-write of a second atomic would do as well, but for fences: a
//! release fence before it and an acquire fence after it synchronize through it, which hides what is wrong
//! with the fences of the code under test.
//!
//! A compare-exchange that fails is a load, and may read a value that is stale; loom's reads the newest one.
//! Here it may be stale as well, if its failure ordering is relaxed. (With an acquiring one, the load would
//! carry an edge into exchanges that succeed.) A weak one does not fail without a reason, as in loom.

use std::fmt;

use super::imp::{Condvar, plain};

pub(crate) use plain::{Ordering, fence};

/// What the loads of one atomic touch.
struct Touched(Condvar);

impl Touched {
    fn new() -> Self {
        Self(Condvar::new())
    }

    #[track_caller]
    fn touch(&self) {
        self.0.notify_one();
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty, $($operation:ident),*) => {
        #[doc = concat!("`", stringify!($name), "`; see the head of this file.")]
        pub(crate) struct $name {
            value: plain::$name,
            touched: Touched,
        }

        #[allow(dead_code)] // The interface of the standard library, as far as the crate uses it somewhere.
        impl $name {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self { value: plain::$name::new(value), touched: Touched::new() }
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.touched.touch();
                self.value.load(order)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.value.store(value, order);
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.value.swap(value, order)
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                if failure == Ordering::Relaxed {
                    let seen = self.load(failure);
                    if seen != current {
                        return Err(seen);
                    }
                }
                self.value.compare_exchange(current, new, success, failure)
            }

            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut seen = self.load(failure);
                while let Some(next) = change(seen) {
                    match self.compare_exchange(seen, next, success, failure) {
                        Ok(before) => return Ok(before),
                        Err(newer) => seen = newer,
                    }
                }
                Err(seen)
            }

            $(
                #[track_caller]
                pub(crate) fn $operation(&self, value: $value, order: Ordering) -> $value {
                    self.value.$operation(value, order)
                }
            )*
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

atomic!(AtomicBool, bool, fetch_and, fetch_or);
atomic!(AtomicU8, u8, fetch_add, fetch_sub, fetch_and, fetch_or, fetch_max);
atomic!(AtomicU32, u32, fetch_add, fetch_sub, fetch_and, fetch_or, fetch_max);
atomic!(AtomicU64, u64, fetch_add, fetch_sub, fetch_and, fetch_or, fetch_max);
atomic!(AtomicUsize, usize, fetch_add, fetch_sub, fetch_and, fetch_or, fetch_max);

#[cfg(test)]
mod models;
