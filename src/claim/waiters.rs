//! The threads and tasks that wait for a change of a place.
//!
//! The mark *awaited* is part of the word, so of a change and a mark one sees the other:
//!
//! * A waiter marks the word under the lock, and looks at the state that it has marked. If that is not the one
//!   it waits for, it goes to sleep, or leaves its waker in the list, before the lock is released.
//! * A change removes the mark. If it found one, its thread takes the lock, which it gets only once the waiter
//!   is asleep or in the list, and wakes all.
//!
//! All waiters are woken by each change and look again: O(n) for n waiters of one place.

use std::collections::BTreeMap;
use std::mem;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::state::State;
use super::word::{Change, ClaimWord};
use crate::sync::{Condvar, Mutex, MutexGuard, Spin, StdArc, lock_order};
use crate::unwind;

/// The place of a task in the list. Never given to another task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot(u64);

/// Valid after a panic: no user code runs under the lock.
#[derive(Debug)]
struct Waiting {
    /// Whether a thread may be asleep.
    threads: bool,
    changed: StdArc<Condvar>,
    tasks: BTreeMap<Spot, Waker>,
    next: u64,
}

/// Takes no memory before someone waits.
#[derive(Debug)]
pub(crate) struct Waiters(Mutex<Option<Box<Waiting>>>);

type Locked<'a> = MutexGuard<'a, Option<Box<Waiting>>>;

fn of<'a>(locked: &'a mut Locked<'_>) -> &'a mut Waiting {
    locked.get_or_insert_with(|| {
        let changed = StdArc::new(Condvar::new());
        Box::new(Waiting { threads: false, changed, tasks: BTreeMap::new(), next: 0 })
    })
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(&lock_order::CLAIM_WAITERS, None))
    }

    /// Blocks until `look` returns something for a state of `word`, or the deadline passes. Tries, spins,
    /// parks. Each change of the word wakes it; if the thread that holds the place dies, unwinding releases it.
    pub(crate) fn wait<T>(
        &self,
        word: &ClaimWord,
        deadline: Option<Instant>,
        look: impl Fn(State) -> Option<T>,
    ) -> Option<T> {
        let mut spin = Spin::new();
        loop {
            if let Some(found) = look(word.state()) {
                return Some(found);
            }
            if !spin.spin() {
                break;
            }
        }
        let mut waiting = self.0.lock();
        let changed = of(&mut waiting).changed.clone();
        loop {
            of(&mut waiting).threads = true;
            if let Some(found) = Self::mark(word, &look) {
                return Some(found);
            }
            let Some(deadline) = deadline else {
                waiting = changed.wait(waiting);
                continue;
            };
            let (again, timed_out) = changed.wait_until(waiting, deadline);
            waiting = again;
            if timed_out {
                drop(waiting);
                return look(word.state());
            }
        }
    }

    /// Waits as a task: returns what `look` returns for a state of `word`, or arranges for `waker` to be woken
    /// by the next change. `spot` is to be given up with [`leave`](Self::leave).
    ///
    /// A panic of the clone of the waker reaches the caller, before anything has changed.
    pub(crate) fn poll<T>(
        &self,
        word: &ClaimWord,
        spot: &mut Option<Spot>,
        waker: &Waker,
        look: impl Fn(State) -> Option<T>,
    ) -> Poll<T> {
        if let Some(found) = look(word.state()) {
            self.leave(spot);
            return Poll::Ready(found);
        }
        // User code, and therefore before the lock is taken.
        let waker = waker.clone();
        let mut locked = self.0.lock();
        let waiting = of(&mut locked);
        let replaced = spot.take().and_then(|spot| waiting.tasks.remove(&spot));
        let (found, unneeded) = match Self::mark(word, &look) {
            Some(found) => (Some(found), Some(waker)),
            None => {
                *spot = Some(waiting.insert(waker));
                (None, None)
            }
        };
        drop(locked);
        [replaced, unneeded].into_iter().flatten().for_each(unwind::drop_waker);
        found.map_or(Poll::Pending, Poll::Ready)
    }

    /// Marks the word, and looks at the state that was marked. Called under the lock.
    fn mark<T>(word: &ClaimWord, look: impl Fn(State) -> Option<T>) -> Option<T> {
        look(word.await_change())
    }

    /// Removes the task at `spot`, if it waits. O(log n), under the lock.
    pub(crate) fn leave(&self, spot: &mut Option<Spot>) {
        let Some(spot) = spot.take() else { return };
        let waker = of(&mut self.0.lock()).tasks.remove(&spot);
        waker.into_iter().for_each(unwind::drop_waker);
    }

    /// Wakes all who wait, if the change is awaited. Called with no lock held: wakers are user code, whose
    /// panics are contained.
    #[inline]
    pub(crate) fn notify(&self, change: Change) {
        if change.is_awaited {
            self.notify_all();
        }
    }

    #[cold]
    fn notify_all(&self) {
        let mut locked = self.0.lock();
        let Some(waiting) = locked.as_mut() else { return };
        let tasks = mem::take(&mut waiting.tasks);
        let threads = mem::take(&mut waiting.threads).then(|| waiting.changed.clone());
        drop(locked);
        if let Some(changed) = threads {
            changed.notify_all();
        }
        tasks.into_values().for_each(unwind::wake);
    }

    /// Returns the number of waiting tasks.
    #[cfg(all(test, not(switchboard_model)))]
    pub(crate) fn tasks(&self) -> usize {
        self.0.lock().as_ref().map_or(0, |waiting| waiting.tasks.len())
    }
}

impl Waiting {
    fn insert(&mut self, waker: Waker) -> Spot {
        let spot = Spot(self.next);
        self.next += 1;
        self.tasks.insert(spot, waker);
        spot
    }
}
