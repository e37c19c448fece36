//! Everything that a driver has taken over and not yet ended.

use std::mem;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use super::common::Common;
use super::message::{CommitError, Job, Message};
use crate::mailbox::{Priority, Receiver, TryRecvError};
use crate::sync::StdArc;
use crate::table::version::Version;
use crate::unwind::contain;

/// The lane of operations that are published together.
pub(super) const SMALL: Priority = Priority::Normal;

/// The lane of operations that have a turn of their own.
pub(super) const LARGE: Priority = Priority::Low;

/// The queue, and the operations of the turn. Dropping it ends all tickets, and contains the panics of
/// destructors and wakers.
pub(super) struct Pending<K, V, I, S> {
    pub(super) receiver: Receiver<Message<K, V, I, S>>,
    pub(super) common: StdArc<Common<K, V, I, S>>,
    /// Operations that were taken from the queue and are not yet applied.
    inbox: Batch<K, V, I, S>,
    /// The last turn had small operations.
    large_is_due: bool,
    /// The last turn with operations had a large one.
    was_large: bool,
    /// Transactions that were applied and wait for the publish.
    done: Vec<Box<dyn Job<K, V, I, S>>>,
    /// Keys and values that the turn has replaced, to be dropped at its end.
    unneeded: Vec<Unneeded<K, V>>,
}

pub(super) enum Unneeded<K, V> {
    #[allow(dead_code)] // Only dropped.
    Key(K),
    #[allow(dead_code)] // Only dropped.
    Value(V),
}

/// An operation, with its lane of the queue.
pub(super) type Received<K, V, I, S> = (Priority, Message<K, V, I, S>);

pub(super) type Batch<K, V, I, S> = Vec<Received<K, V, I, S>>;

impl<K, V, I, S> Pending<K, V, I, S> {
    pub(super) fn new(receiver: Receiver<Message<K, V, I, S>>, common: StdArc<Common<K, V, I, S>>) -> Self {
        Self {
            receiver,
            common,
            inbox: Vec::new(),
            large_is_due: false,
            was_large: false,
            done: Vec::new(),
            unneeded: Vec::new(),
        }
    }

    /// Takes the operations of a turn: small ones, up to a batch, or one large one. If both wait, they take turns, so
    /// that one that is small waits for one that is large, and not for all of them.
    pub(super) fn take(&mut self, batch: NonZeroUsize) -> Result<usize, TryRecvError> {
        if self.inbox.iter().any(|(lane, _)| *lane == LARGE) {
            self.large_is_due = false;
            return Ok(0);
        }
        if mem::take(&mut self.large_is_due) && self.inbox.is_empty() && self.take_large() {
            return Ok(1);
        }
        let room = batch.get().saturating_sub(self.inbox.len());
        self.receiver.listen_down_to(SMALL);
        let taken = self.receiver.try_recv_batch(&mut self.inbox, room);
        self.receiver.listen_down_to(LARGE);
        self.large_is_due = !self.inbox.is_empty();
        if !self.large_is_due && self.take_large() { Ok(1) } else { taken }
    }

    fn take_large(&mut self) -> bool {
        let large = self.receiver.try_recv_from(LARGE);
        self.inbox.extend(large.map(|message| (LARGE, message)));
        !self.inbox.is_empty()
    }

    /// Waits for one operation, for at most `timeout`.
    pub(super) fn take_one(&mut self, timeout: Duration) {
        if let Ok(received) = self.receiver.recv_timeout(timeout) {
            self.inbox.push(received);
        }
    }

    pub(super) fn has_taken(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Lends out the operations of the turn.
    pub(super) fn begin_batch(&mut self) -> Batch<K, V, I, S> {
        let counters = &self.common.counters;
        counters.turns.add(1);
        counters.batch_max.raise(self.inbox.len() as u64);
        self.was_large = self.inbox.first().is_some_and(|(lane, _)| *lane == LARGE);
        mem::take(&mut self.inbox)
    }

    /// Whether the last turn with operations had a large one.
    pub(super) fn was_large(&self) -> bool {
        self.was_large
    }

    /// Keeps the empty buffer.
    pub(super) fn end_batch(&mut self, batch: Batch<K, V, I, S>, applied: u64) {
        self.inbox = batch;
        self.common.counters.operations.add(applied);
    }

    /// Drops an operation that is not applied.
    pub(super) fn refuse(&self, message: Message<K, V, I, S>) {
        // Unwind safety: no part of the operation remains observable.
        self.note_panic(contain(AssertUnwindSafe(|| drop(message))).is_none());
    }

    /// Completes the ticket of an applied transaction with the next publish.
    pub(super) fn wait_for_publish(&mut self, job: Box<dyn Job<K, V, I, S>>) {
        self.done.push(job);
    }

    /// Completes the tickets of the applied transactions. All results are in place before the first thread is
    /// woken.
    pub(super) fn complete(&mut self, outcome: Result<Version, CommitError>) {
        let mut done = mem::take(&mut self.done);
        done.iter_mut().for_each(|job| job.settle(outcome));
        done.drain(..).for_each(|job| self.tell(job));
        self.done = done;
    }

    /// Completes a ticket.
    pub(super) fn finish(&self, mut job: Box<dyn Job<K, V, I, S>>, outcome: Result<Version, CommitError>) {
        job.settle(outcome);
        self.tell(job);
    }

    /// Tells a ticket: runs its callback or waker, and may drop the result.
    fn tell(&self, job: Box<dyn Job<K, V, I, S>>) {
        // Unwind safety: no part of the job remains observable.
        self.note_panic(contain(AssertUnwindSafe(|| job.tell())).unwrap_or(true));
    }

    /// Keeps a key or value until the end of the turn, if it has a destructor.
    pub(super) fn keep(&mut self, value: Option<Unneeded<K, V>>) {
        if mem::needs_drop::<Unneeded<K, V>>() {
            self.unneeded.extend(value);
        }
    }

    /// Runs the destructors of the turn, one by one.
    pub(super) fn drop_unneeded(&mut self) {
        let mut all = mem::take(&mut self.unneeded);
        for unneeded in all.drain(..) {
            // Unwind safety: no part of the value remains observable.
            self.note_panic(contain(AssertUnwindSafe(|| drop(unneeded))).is_none());
        }
        self.unneeded = all;
    }

    pub(super) fn note_panic(&self, panicked: bool) {
        if panicked {
            self.common.counters.panics.add(1);
        }
    }

    /// Refuses new operations.
    pub(super) fn close(&mut self) {
        self.receiver.close();
        self.receiver.listen_down_to(LARGE);
    }

    /// Drops the operations that are queued, after a [close](Self::close).
    pub(super) fn refuse_all(&mut self) {
        loop {
            // A queue that is empty, or closed and drained, has nothing to refuse.
            let _ = self.receiver.try_recv_batch(&mut self.inbox, REFUSED_AT_ONCE);
            if self.inbox.is_empty() {
                break;
            }
            mem::take(&mut self.inbox).into_iter().for_each(|(_, message)| self.refuse(message));
        }
        self.drop_unneeded();
    }
}

/// Operations that are taken from the queue at once to be dropped.
const REFUSED_AT_ONCE: usize = 1024;

impl<K, V, I, S> Drop for Pending<K, V, I, S> {
    fn drop(&mut self) {
        self.close();
        self.complete(Err(CommitError::Closed));
        self.refuse_all();
    }
}
