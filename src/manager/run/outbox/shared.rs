//! The queue of effects that the writer and the transport's thread share.

use std::time::Instant;

use super::queue::Outbox;
use crate::link::addr::Addr;
use crate::manager::model::effect::Effect;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, lock_order};

/// The waiting effects, shared by the writer and the transport's thread.
///
/// A panic under the lock can only come from `Clone`, `Eq` or `Hash` of an address. The queue then lacks
/// effects but can still be traversed, and the thread that panicked was the writer, whose end is visible to
/// all other threads.
#[derive(Debug)]
pub(crate) struct SharedOutbox<A> {
    state: Mutex<State<A>>,
    filled: Condvar,
    panics: AtomicU64,
}

#[derive(Debug)]
struct State<A> {
    queue: Outbox<A>,
    /// Set once the writer adds no more.
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
struct End {
    /// The instant until which effects are delivered; `None` to deliver until the queue is empty.
    deadline: Option<Instant>,
}

/// The next step of the transport's thread.
pub(crate) enum Next<A> {
    Effect {
        effect: Effect<A>,
        /// Number of effects that wait behind it.
        left: usize,
    },
    /// The writer has ended and nothing is left.
    End,
}

impl<A: Addr> SharedOutbox<A> {
    pub(crate) fn new() -> Self {
        let state = State { queue: Outbox::new(), end: None };
        Self {
            state: Mutex::new(&lock_order::OUTBOX, state),
            filled: Condvar::new(),
            panics: AtomicU64::new(0),
        }
    }

    /// Appends effects, and returns the total number of effects coalesced so far. Takes the lock once.
    pub(crate) fn push(&self, effects: impl Iterator<Item = Effect<A>>) -> u64 {
        let mut state = self.state.lock();
        for effect in effects {
            state.queue.push(effect);
        }
        let (filled, coalesced) = (!state.queue.is_empty(), state.queue.coalesced());
        drop(state);
        if filled {
            self.filled.notify_one();
        }
        coalesced
    }

    /// Takes the oldest effect, if there is one.
    pub(crate) fn pop(&self) -> Option<Effect<A>> {
        self.state.lock().queue.pop()
    }

    /// Takes the oldest effect; parks while there is none. Woken by `push` and by `end`, which the writer
    /// calls when it ends, even if it panics.
    pub(crate) fn next(&self) -> Next<A> {
        let mut state = self.state.lock();
        loop {
            if let Some(effect) = state.queue.pop() {
                return Next::Effect { effect, left: state.queue.len() };
            }
            if state.end.is_some() {
                return Next::End;
            }
            state = self.filled.wait(state);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().queue.bytes()
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// The number of waiting effects, and the number of streams that they close.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.queue.len(), state.queue.closing())
    }

    /// Notes that the writer adds no more effects. Waiting effects may be delivered until `deadline`.
    pub(crate) fn end(&self, deadline: Option<Instant>) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            state.end = Some(End { deadline });
        }
        drop(state);
        self.filled.notify_all();
    }

    /// The instant at which delivery must stop, once the writer has ended.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.state.lock().end.and_then(|end| end.deadline)
    }

    pub(crate) fn count_panic(&self) {
        // Relaxed: a plain counter.
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of panics of the transport so far.
    pub(crate) fn panics(&self) -> u64 {
        // Relaxed: a plain counter.
        self.panics.load(Ordering::Relaxed)
    }
}
