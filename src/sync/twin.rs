//! The stand-in for `arc_swap::ArcSwap` under the checkers, which cannot see inside it.
//!
//! There are two twins, because neither proves enough alone:
//!
//! * [`Twin::Locked`] is a mutex around the `Arc`. The old `Arc` is really taken out, so the reuse of headers
//!   is explored. But a lock makes every load release to the next one, which `ArcSwap` does not promise: if a
//!   protocol lacked an edge that it needs, this twin would hide that.
//! * [`Twin::Weak`] has only the edge that `ArcSwap` documents, from a swap to the loads that return the
//!   stored value: a slot for each version and an index, release to acquire. Loads may be as stale as the
//!   memory model allows. The slots keep the published values, so nothing is ever reused.
//!
//! A model runs with both, see [`model_each`](super::model::model_each).

use std::sync::OnceLock;

use super::atomic::{AtomicUsize, Ordering};
use super::{Arc, Mutex, lock_order};

/// Number of versions that a model can publish in a weak twin.
const SLOTS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    Locked,
    Weak,
}

/// The part of the interface of `ArcSwap` that the cell uses.
pub(crate) enum ArcCell<T> {
    Locked(Mutex<Arc<T>>),
    Weak { slots: [OnceLock<Arc<T>>; SLOTS], index: AtomicUsize },
}

impl<T> ArcCell<T> {
    pub(crate) fn new(first: Arc<T>) -> Self {
        match chosen() {
            Twin::Locked => Self::Locked(Mutex::new(&lock_order::TWIN, first)),
            Twin::Weak => {
                let slots = [const { OnceLock::new() }; SLOTS];
                let _ = slots[0].set(first);
                Self::Weak { slots, index: AtomicUsize::new(0) }
            }
        }
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        match self {
            Self::Locked(current) => current.lock().clone(),
            // Acquire: pairs with the release store in `swap`.
            Self::Weak { slots, index } => in_slot(slots, index.load(Ordering::Acquire)),
        }
    }

    /// Must be called by one thread at a time.
    pub(crate) fn swap(&self, next: Arc<T>) -> Arc<T> {
        match self {
            Self::Locked(current) => std::mem::replace(&mut *current.lock(), next),
            Self::Weak { slots, index } => {
                // Relaxed: only this function writes the index, and it has one caller at a time.
                let old = index.load(Ordering::Relaxed);
                assert!(slots[old + 1].set(next).is_ok(), "a slot is filled once");
                // Release: pairs with the acquire load in `load_full`.
                index.store(old + 1, Ordering::Release);
                in_slot(slots, old)
            }
        }
    }
}

fn in_slot<T>(slots: &[OnceLock<Arc<T>>], index: usize) -> Arc<T> {
    match slots[index].get() {
        Some(arc) => arc.clone(),
        None => unreachable!("the index follows the slot"),
    }
}

#[cfg(test)]
thread_local! {
    // The checkers run all threads of a model on the thread that started it.
    static CHOSEN: std::cell::Cell<Twin> = const { std::cell::Cell::new(Twin::Locked) };
}

#[cfg(test)]
fn chosen() -> Twin {
    CHOSEN.get()
}

#[cfg(not(test))]
fn chosen() -> Twin {
    Twin::Locked
}

/// Selects the kind of the cells that this thread creates from now on.
#[cfg(test)]
pub(crate) fn choose(twin: Twin) {
    CHOSEN.set(twin);
}
