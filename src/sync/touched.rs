//! The atomics of the facade under loom: each load first touches a second object.
//!
//! loom 0.7.2 remembers the last access of each atomic, and tries another order only where that access races
//! with the next one. Loads do not depend on each other. If a thread loads and then writes the same atomic,
//! the write is therefore compared with the thread's own load, and an earlier load of another thread is
//! forgotten: loom never tries the order in which that load comes after the write. With the plain types, if
//! one thread adds to two counters one after the other, a thread that reads them in the opposite order only
//! ever sees (0, 0); see [`models`].
//!
//! Here each load first notifies a condition variable that belongs to the atomic and that no thread ever
//! waits for. Two such notifications depend on each other, so loom tries the loads in both orders, and
//! explores the rest from there. A notification without a waiter changes nothing and carries no edge between
//! threads. A relaxed read-modify-write of a second atomic would also work, except with fences: a release
//! fence before it and an acquire fence after it synchronize through it, which hides errors in the fences of
//! the code under test.
//!
//! A compare-exchange that fails is a load, and may read a stale value; loom's reads the newest one. Here it
//! may be stale as well, if its failure ordering is relaxed. (With an acquire failure ordering, the load
//! would carry an edge into exchanges that succeed.) As in loom, a weak compare-exchange never fails
//! spuriously.

use std::fmt;

use super::imp::{Condvar, plain};

pub(crate) use plain::{Ordering, fence};

/// The object that the loads of one atomic touch.
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

        #[allow(dead_code)] // The part of the standard interface that the crate uses.
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
                // Relaxed or not, by what the caller asked for; nothing is ordered by this comparison.
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

        impl Default for $name {
            #[track_caller]
            fn default() -> Self {
                Self::new(Default::default())
            }
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
