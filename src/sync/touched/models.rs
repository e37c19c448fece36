//! The orders that loom explores: all of them with the types of the facade, but not with its own.
#![allow(clippy::type_complexity)]

use std::collections::BTreeSet;

use super::{Ordering, fence, plain};
use crate::sync::model::{model, spawn};
use crate::sync::{Arc, StdArc};

/// The operations of one thread on a counter that is zero, while another thread reads it.
trait Counter: Send + Sync + 'static {
    fn new() -> Self;
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64);
    fn fetch_max(&self, value: u64);
    fn compare_exchange(&self, current: u64, new: u64);
    fn fetch_update(&self);
}

macro_rules! counter {
    ($name:ty) => {
        impl Counter for $name {
            fn new() -> Self {
                Self::new(0)
            }

            fn load(&self, order: Ordering) -> u64 {
                self.load(order)
            }

            fn store(&self, value: u64) {
                self.store(value, Ordering::Relaxed);
            }

            fn fetch_max(&self, value: u64) {
                self.fetch_max(value, Ordering::Relaxed);
            }

            fn compare_exchange(&self, current: u64, new: u64) {
                let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
                assert!(self.compare_exchange(current, new, success, failure).is_ok(), "one thread writes");
            }

            fn fetch_update(&self) {
                let next = |value| Some(value + 1);
                assert!(self.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok());
            }
        }
    };
}

counter!(plain::AtomicU64);
counter!(super::AtomicU64);

/// The outcomes collected over all executions of one model.
type Outcomes<T> = StdArc<std::sync::Mutex<BTreeSet<T>>>;

fn collected<T: Ord + Copy + Send + 'static>(body: impl Fn() -> T + Send + Sync + 'static) -> Vec<T> {
    let outcomes = Outcomes::<T>::default();
    let all = outcomes.clone();
    model(move || {
        let outcome = body();
        all.lock().unwrap().insert(outcome);
    });
    outcomes.lock().unwrap().iter().copied().collect()
}

/// Runs a model in which one thread adds to two counters, one after the other, and another reads them in the
/// opposite order: the second, then the first.
fn outcomes<C: Counter>(add: fn(&C)) -> Vec<(u64, u64)> {
    collected(move || {
        let pair = Arc::new((C::new(), C::new()));
        let other = pair.clone();
        let thread = spawn(move || {
            add(&other.0);
            add(&other.1);
        });
        let second = pair.1.load(Ordering::Acquire);
        let first = pair.0.load(Ordering::Acquire);
        thread.join().unwrap();
        (second, first)
    })
}

/// The ways to add to a counter.
fn ways<C: Counter>() -> [(&'static str, fn(&C)); 5] {
    [
        ("store", |counter| counter.store(1)),
        ("load, store", |counter| counter.store(counter.load(Ordering::Relaxed) + 1)),
        ("load, fetch_max", |counter| {
            if counter.load(Ordering::Relaxed) < 1 {
                counter.fetch_max(1);
            }
        }),
        ("load, compare_exchange", |counter| {
            let old = counter.load(Ordering::Relaxed);
            counter.compare_exchange(old, old + 1);
        }),
        ("fetch_update", Counter::fetch_update),
    ]
}

#[test]
fn all_orders_are_explored_where_a_thread_loads_before_it_writes() {
    for (way, add) in ways::<super::AtomicU64>() {
        assert_eq!(outcomes(add), [(0, 0), (0, 1), (1, 0), (1, 1)], "{way}");
    }
}

/// If this fails, loom no longer needs the wrappers, and they can be removed.
#[test]
fn the_plain_types_of_loom_need_the_touch() {
    for (way, add) in ways::<plain::AtomicU64>() {
        let all = outcomes(add);
        match way {
            "store" => assert_eq!(all.len(), 4, "{way}"),
            _ => assert_eq!(all, [(0, 0)], "{way}"),
        }
    }
}

/// The touch carries no edge: a release fence before it and an acquire fence after it do not synchronize
/// through it.
#[test]
fn fences_do_not_synchronize_through_the_touch() {
    let outcomes = collected(|| {
        let shared = Arc::new((super::AtomicU64::new(0), super::AtomicU64::new(0)));
        // Not seen by loom: records the order of events in this execution, and orders nothing.
        let is_over = StdArc::new(std::sync::atomic::AtomicBool::new(false));
        let (other, over) = (shared.clone(), is_over.clone());
        let thread = spawn(move || {
            other.0.store(1, Ordering::Relaxed);
            fence(Ordering::Release);
            other.1.load(Ordering::Relaxed);
            over.store(true, Ordering::Relaxed);
        });
        // Gives the other thread a point to run at.
        shared.1.load(Ordering::Relaxed);
        let late = is_over.load(Ordering::Relaxed);
        shared.1.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let seen = shared.0.load(Ordering::Relaxed);
        thread.join().unwrap();
        (late, seen)
    });
    assert_eq!(outcomes, [(false, 0), (false, 1), (true, 0), (true, 1)]);
}

/// A failed exchange may have read an earlier value.
#[test]
fn a_failed_exchange_may_be_stale() {
    let outcomes = collected(|| {
        let pair = Arc::new((super::AtomicU64::new(0), super::AtomicU64::new(0)));
        let other = pair.clone();
        let thread = spawn(move || {
            other.0.store(1, Ordering::Relaxed);
            other.1.store(1, Ordering::Relaxed);
        });
        let late = pair.1.load(Ordering::Relaxed);
        let seen = pair.0.compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed);
        thread.join().unwrap();
        (late, seen.is_ok())
    });
    assert_eq!(outcomes, [(0, false), (0, true), (1, false), (1, true)]);
}
