//! The work of a pipeline: batches, sweeps and events.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use super::{Cleanup, Number, Outcome, Shared};
use crate::cleanup::clean::{self, Changed};
use crate::cleanup::entry::{Entry, Groups, Resources};
use crate::cleanup::moment::Moment;
use crate::cleanup::queue::Taken;
use crate::cleanup::sink;
use crate::cleanup::slots::{Cleaning, ConnectionId};
use crate::sync::StdArc;
use crate::sync::atomic::Ordering;
use crate::table::DefaultHashBuilder;
use crate::table::shared::{CommitError, Permit};
use crate::unwind::contain;

/// The result of one step of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says when the next step is due"]
#[non_exhaustive]
pub enum Progress {
    /// The removal of so many connections was handed to the writer. There may be more to do at once.
    Cleaned(usize),
    /// The next batch is due at this moment, or when it is full.
    WaitUntil(Instant),
    /// There is nothing to do before a connection is closed.
    Idle,
    /// The queue of the writer is full or closed.
    Busy,
    /// The queue is closed and empty.
    Ended,
}

/// The way in which a batch is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Whole,
    /// Without events: the removal with events has panicked.
    Bare,
}

impl<V: Entry, R: Resources> Cleanup<V, R> {
    /// Returns the number of workers: each has a queue, for [`run_batch`](Self::run_batch).
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.queues.len()
    }

    /// Does the next step of a worker: hands one batch of closed connections to the writer, if one is due. Does not wait.
    pub fn run_batch(&self, worker: usize) -> Progress {
        Shared::run_batch(&self.shared, worker)
    }

    /// Cleans connections that were closed some time ago and that no queue has taken, up to one batch of them, among the
    /// next slots. Returns their number.
    #[allow(clippy::must_use_candidate)] // The work is done, whatever the result.
    pub fn sweep(&self) -> usize {
        Shared::sweep(&self.shared)
    }

    /// Passes events whose grace is over to the sink, one batch of one app. Returns whether there was one.
    #[allow(clippy::must_use_candidate)] // As `sweep`.
    pub fn run_sink(&self) -> bool {
        self.shared.run_sink()
    }

    /// Returns the moment at which [`run_sink`](Self::run_sink) has something to do. `None` if that is not before another
    /// group changes or another call of it returns.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        let due = self.shared.events.lock().next_due(self.shared.now())?;
        Some(self.shared.origin + due.since(Moment::START))
    }

    /// Returns the number of events that wait: for the end of their grace, and for the sink.
    #[must_use]
    pub fn pending_events(&self) -> (usize, usize) {
        let events = self.shared.events.lock();
        (events.pending(), events.delivery.len())
    }
}

type Room<'a, V> = Permit<'a, ConnectionId, V, Groups<V>, DefaultHashBuilder>;

impl<V: Entry, R: Resources> Shared<V, R> {
    fn run_batch(shared: &StdArc<Self>, worker: usize) -> Progress {
        let Some(queue) = shared.queues.get(worker) else { return Progress::Ended };
        // Room first: what is taken from the queue is not put back.
        let Ok(permit) = shared.writer.try_reserve() else { return Progress::Busy };
        let again = shared.again.lock().pop();
        if let Some((cleaning, is_second)) = again {
            Self::send_as(shared, vec![cleaning], permit, if is_second { How::Bare } else { How::Whole });
            return Progress::Cleaned(1);
        }
        let now = shared.now();
        let taken = queue.lock().take(now, shared.tuning());
        match taken {
            Taken::Batch(batch, _) => {
                let cleanings: Vec<_> = batch.iter().filter_map(|task| shared.begin(task.task)).collect();
                let number = cleanings.len();
                Self::send(shared, cleanings, permit);
                Progress::Cleaned(number)
            }
            Taken::WaitUntil(due) => Progress::WaitUntil(shared.origin + due.since(Moment::START)),
            Taken::Idle => Progress::Idle,
            Taken::Ended => Progress::Ended,
        }
    }

    fn sweep(shared: &StdArc<Self>) -> usize {
        let Ok(permit) = shared.writer.try_reserve() else { return 0 };
        let now = shared.now();
        let Some(before) = now.as_ns().checked_sub(Moment::START.after(shared.config.sweep_after).as_ns())
        else {
            return 0;
        };
        let number = shared.config.batch_max;
        // Relaxed: a hint where to go on.
        let first = shared.cursor.fetch_add(number, Ordering::Relaxed) % shared.slots.capacity();
        let found = shared.slots.closed_before(Moment::from_ns(before), first, number);
        let cleanings: Vec<_> = found.into_iter().filter_map(|id| shared.begin(id)).collect();
        let swept = cleanings.len();
        shared.counters.sweeps.add(1);
        shared.counters.swept.add(swept as u64);
        Self::send(shared, cleanings, permit);
        swept
    }

    /// Begins to clean a connection, unless another thread does or did.
    pub(super) fn begin(&self, id: ConnectionId) -> Option<Cleaning<R>> {
        let cleaning = self.slots.begin_cleaning(id)?;
        if cleaning.park(false) {
            self.counters.unparked(1);
        }
        Some(cleaning)
    }

    /// Leaves a connection to the sweep.
    pub(super) fn park(&self, cleaning: Cleaning<R>) {
        self.counters.parked();
        cleaning.park(true);
        drop(cleaning);
    }

    /// Hands a batch to the writer: the one way in which connections are cleaned.
    pub(super) fn send(shared: &StdArc<Self>, batch: Vec<Cleaning<R>>, permit: Room<'_, V>) {
        if !batch.is_empty() {
            Self::send_as(shared, batch, permit, How::Whole);
        }
    }

    fn send_as(shared: &StdArc<Self>, batch: Vec<Cleaning<R>>, permit: Room<'_, V>, how: How) {
        let delayed = |cleaning: &Cleaning<R>| (cleaning.id(), shared.delay(cleaning.end().cause));
        let ids: Vec<_> = batch.iter().map(delayed).collect();
        let (number, here) = (Number::new(), shared.clone());
        let drawn = number.clone();
        let sent = permit.transaction(move |table| -> Changed<V> {
            let changed = match (how, ids.first()) {
                (How::Bare, Some((id, _))) => clean::remove_bare(table, *id),
                _ => clean::remove(table, &ids),
            };
            drawn.draw(&here.next);
            changed
        });
        let here = shared.clone();
        match sent {
            Ok(ticket) => ticket.on_complete(move |outcome| here.finish(batch, how, &number, outcome)),
            Err(_) => batch.into_iter().for_each(|cleaning| shared.park(cleaning)),
        }
    }

    /// Ends a batch, after its version was published.
    fn finish(&self, batch: Vec<Cleaning<R>>, how: How, number: &Number, outcome: Outcome<V>) {
        let error = outcome.as_ref().err().copied();
        match error {
            None => self.release(batch, how),
            Some(CommitError::Panicked) if how == How::Bare => self.release(batch, how),
            Some(CommitError::Panicked) => {
                // One by one, to find the one that panics; if this is the one, without its events.
                let is_second = batch.len() == 1;
                self.again.lock().extend(batch.into_iter().map(|cleaning| (cleaning, is_second)));
            }
            Some(_) => batch.into_iter().for_each(|cleaning| self.park(cleaning)),
        }
        let _ = self.settle(number, outcome);
    }

    /// Makes the slots of a batch vacant, counts it, and drops its resources.
    fn release(&self, batch: Vec<Cleaning<R>>, how: How) {
        let number = batch.len() as u64;
        let resources: Vec<_> = batch.into_iter().map(Cleaning::finish).collect();
        match how {
            How::Whole => self.counters.done(number),
            How::Bare => self.counters.failed(number),
        }
        self.counters.batches.add(1);
        for resources in resources {
            // Unwind safety: nothing of them remains. User code, and therefore last.
            let _ = contain(AssertUnwindSafe(|| drop(resources)));
        }
    }

    fn run_sink(&self) -> bool {
        let now = self.now();
        let snapshot = self.writer.table().snapshot();
        let max = self.config.sink_batch;
        let mut events = self.events.lock();
        let dead = events.fire(now, max, |group| snapshot.index().count(group) == 0);
        let attempt = events.delivery.next(now);
        drop(events);
        self.report(dead);
        let Some(attempt) = attempt else { return false };
        let delivered = sink::deliver(&*self.sink, &attempt.app, &attempt.events);
        self.counters.sink_panics.add(u64::from(delivered.is_panicked));
        let now = self.now();
        let dead = self.events.lock().delivery.finish(attempt, &delivered.outcomes, now);
        self.report(dead);
        true
    }
}
