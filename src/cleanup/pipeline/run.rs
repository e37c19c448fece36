//! The work of a pipeline: batches, sweeps and events.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use super::{Cleanup, Number, Outcome, Shared};
use crate::cleanup::clean::{self, Changed};
use crate::cleanup::entry::{Entry, Groups, Resources};
use crate::cleanup::events::DeadLetters;
use crate::cleanup::gate::GatePermit;
use crate::cleanup::moment::Moment;
use crate::cleanup::queue::Taken;
use crate::cleanup::recent::Ended;
use crate::cleanup::sink;
use crate::cleanup::slots::{Cleaning, ConnectionId, End};
use crate::cleanup::worker::{Again, Next};
use crate::mailbox::TryReserveError;
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
    /// The queue of the writer is full.
    Busy,
    /// The writer has as many batches of this worker as it may have. The next step is due when it has applied one.
    Waiting,
    /// The queue of the worker is closed and empty, or the writer is closed.
    Ended,
}

/// The way in which a batch is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Whole,
    /// Without the events whose code panics: the removal has panicked.
    Bare,
}

impl<V: Entry, R: Resources> Cleanup<V, R> {
    /// Returns the number of workers: each has a queue, for [`run_batch`](Self::run_batch).
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.sender.workers().len()
    }

    /// Closes the queue of a worker: it hands out what it has, and then has
    /// [ended](Progress::Ended). Its apps move to the other workers; without any, disconnects take
    /// the way of an overflow.
    pub fn close_worker(&self, worker: usize) {
        if let Some(worker) = self.shared.sender.workers().get(worker) {
            worker.close();
        }
    }

    /// Does the next step of a worker: hands one batch of closed connections to the writer, if one
    /// is due. Does not wait.
    pub fn run_batch(&self, worker: usize) -> Progress {
        Shared::run_batch(&self.shared, worker, Landing::Tell)
    }

    /// Does the next steps of all workers until nothing is due or the time is up, which is looked
    /// at after each batch. For a loop that has other work as well, such as accepting connections.
    /// Returns whether there may be more to do, now or when the writer has applied a batch.
    #[allow(clippy::must_use_candidate)] // As `sweep`.
    pub fn run_for(&self, budget: std::time::Duration) -> bool {
        let end = self.shared.now().after(budget);
        loop {
            let (mut is_idle, mut is_waiting) = (true, false);
            for worker in 0..self.workers() {
                let progress = self.run_batch(worker);
                is_idle &= !matches!(progress, Progress::Cleaned(_));
                is_waiting |= progress == Progress::Waiting;
                if self.shared.now() >= end {
                    return true;
                }
            }
            if is_idle {
                return is_waiting;
            }
        }
    }

    /// Cleans connections that were closed some time ago and that no queue has taken: up to 16 batches, as long as there is
    /// room in the queue of the writer. Returns their number. The next call goes on where this one ends. To be called every
    /// [`sweep_every`](crate::cleanup::Config::sweep_every), and again soon as long as it returns more than
    /// [`batch_max`](crate::cleanup::Config::batch_max).
    #[allow(clippy::must_use_candidate)] // The work is done, whatever the result.
    pub fn sweep(&self) -> usize {
        Shared::sweep(&self.shared)
    }

    /// Passes events whose grace is over to the sink, one batch of one app. Returns whether there was one.
    #[allow(clippy::must_use_candidate)] // As `sweep`.
    pub fn run_sink(&self) -> bool {
        self.shared.run_sink()
    }

    /// Returns the moment at which [`run_sink`](Self::run_sink) has something to do. `None` if that
    /// is not before another group changes or another call of it returns.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        // User code, and therefore before the lock.
        let now = self.shared.now();
        let due = self.shared.events.lock().next_due(now)?;
        Some(self.shared.origin + due.since(Moment::START))
    }

    /// Returns the number of events that wait: for the end of their grace, and for the sink.
    #[must_use]
    pub fn pending_events(&self) -> (usize, usize) {
        let events = self.shared.events.lock();
        (events.pending(), events.delivery.len())
    }
}

/// The step that follows when a batch has landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// The worker is told.
    Tell,
    /// The next batch is sent at once, by the thread of the writer, which would otherwise wait until the thread of the
    /// worker is awake. If none is due, the worker is told.
    Chain,
}

/// A batch of a worker that the writer has.
struct Flight<V: Entry, R: Resources> {
    shared: StdArc<Shared<V, R>>,
    worker: usize,
    landing: Landing,
}

impl<V: Entry, R: Resources> Drop for Flight<V, R> {
    fn drop(&mut self) {
        let Some(worker) = self.shared.sender.workers().get(self.worker) else { return };
        worker.landed();
        if self.landing == Landing::Chain {
            // Unwind safety: as in the thread of the worker, which goes on after a panic.
            let next =
                contain(AssertUnwindSafe(|| Shared::run_batch(&self.shared, self.worker, Landing::Chain)));
            if let Some(Progress::Cleaned(_) | Progress::Waiting) = next {
                return;
            }
        }
        worker.tell();
    }
}

/// Number of batches that one call of a sweep sends: those who open connections wait for them.
const SWEEP_BATCHES: usize = 16;

/// Number of slots that a sweep looks at before it sends a batch.
const SWEEP_SLOTS: usize = 1024;

type Room<'a, V> = Permit<'a, ConnectionId, V, Groups<V>, DefaultHashBuilder>;

impl<V: Entry, R: Resources> Shared<V, R> {
    pub(super) fn run_batch(shared: &StdArc<Self>, worker: usize, landing: Landing) -> Progress {
        let Some(inbox) = shared.sender.workers().get(worker) else { return Progress::Ended };
        // Room first: what is taken from the queue is not put back.
        let room = match shared.writer.try_reserve_large() {
            Ok(room) => room,
            Err(TryReserveError::Full) => return Progress::Busy,
            Err(_) => {
                // No one serves its queue any more.
                inbox.close();
                return Progress::Ended;
            }
        };
        let taken = match inbox.next(shared.now(), shared.tuning(), shared.asked()) {
            Next::Again(again) => {
                let flight = Flight { shared: shared.clone(), worker, landing };
                Self::send_again(shared, again, room, flight);
                return Progress::Cleaned(1);
            }
            Next::Queue(taken) => taken,
            Next::Wait => return Progress::Waiting,
        };
        match taken {
            Taken::Batch(batch, crossing) => {
                let mut flight = Flight { shared: shared.clone(), worker, landing };
                let cleanings: Vec<_> = batch.iter().filter_map(|task| shared.begin(task.task)).collect();
                let number = cleanings.len();
                if number == 0 {
                    // It lands here and now: a chain would call itself.
                    flight.landing = Landing::Tell;
                }
                Self::send(shared, cleanings, room, flight);
                shared.cross(worker, crossing);
                Progress::Cleaned(number)
            }
            Taken::WaitUntil(due) => Progress::WaitUntil(shared.origin + due.since(Moment::START)),
            Taken::Idle => Progress::Idle,
            Taken::Ended => Progress::Ended,
        }
    }

    pub(super) fn sweep(shared: &StdArc<Self>) -> usize {
        let before = shared.now().as_ns().checked_sub(Moment::START.after(shared.config.sweep_after).as_ns());
        before.map_or(0, |before| Self::sweep_before(shared, Moment::from_ns(before)))
    }

    /// Cleans what was closed at `before` or earlier.
    pub(super) fn sweep_before(shared: &StdArc<Self>, before: Moment) -> usize {
        shared.counters.sweeps.add(1);
        let mut swept = 0;
        let (mut left, mut sent) = (shared.slots.capacity(), 0);
        while left > 0 && sent < SWEEP_BATCHES {
            let Ok(room) = shared.writer.try_reserve_large() else { break };
            if let Some(again) = shared.next_again() {
                Self::send_again(shared, again, room, ());
                sent += 1;
                continue;
            }
            // Relaxed: a hint where to go on.
            let first = shared.cursor.load(Ordering::Relaxed) % shared.slots.capacity();
            let found =
                shared.slots.closed_before(before, first, left.min(SWEEP_SLOTS), shared.config.batch_max);
            left -= found.seen.min(left);
            // Relaxed: as above.
            shared.cursor.store(first + found.seen, Ordering::Relaxed);
            let cleanings: Vec<_> = found.ids.into_iter().filter_map(|id| shared.begin(id)).collect();
            swept += cleanings.len();
            sent += usize::from(!cleanings.is_empty());
            shared.counters.swept.add(cleanings.len() as u64);
            Self::send(shared, cleanings, room, ());
        }
        swept
    }

    /// Returns a connection to be removed alone, if there are no workers to do so.
    fn next_again(&self) -> Option<Again<R>> {
        let workers =
            self.sender.workers().iter().filter(|worker| !self.config.async_enabled || !worker.is_open());
        workers.filter_map(crate::cleanup::worker::Worker::next_again).next()
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
    /// `held` is dropped when it is removed.
    pub(super) fn send(
        shared: &StdArc<Self>,
        batch: Vec<Cleaning<R>>,
        permit: Room<'_, V>,
        held: impl Send + 'static,
    ) {
        if !batch.is_empty() {
            Self::send_as(shared, batch, permit, How::Whole, held);
        }
    }

    /// Hands one connection to the writer, for the thread that has closed it. The permit is held until it is removed.
    pub(super) fn send_inline(
        shared: &StdArc<Self>,
        cleaning: Cleaning<R>,
        room: Room<'_, V>,
        permit: GatePermit,
    ) {
        Self::send_as(shared, vec![cleaning], room, How::Whole, permit);
    }

    fn send_again(shared: &StdArc<Self>, again: Again<R>, room: Room<'_, V>, held: impl Send + 'static) {
        let how = if again.is_alone { How::Bare } else { How::Whole };
        Self::send_as(shared, vec![again.cleaning], room, how, held);
    }

    fn send_as(
        shared: &StdArc<Self>,
        batch: Vec<Cleaning<R>>,
        permit: Room<'_, V>,
        how: How,
        held: impl Send + 'static,
    ) {
        let delayed = |cleaning: &Cleaning<R>| (cleaning.id(), shared.delay(cleaning.end().cause));
        let ids: Vec<_> = batch.iter().map(delayed).collect();
        let (number, here) = (Number::new(), shared.clone());
        let drawn = number.clone();
        let sent = permit.transaction(move |table| -> Changed<V> {
            let changed = match (how, ids.first()) {
                (How::Bare, Some((id, delay))) => clean::remove_bare(table, *id, *delay),
                _ => clean::remove(table, &ids),
            };
            drawn.draw(&here.next);
            changed
        });
        let here = shared.clone();
        match sent {
            Ok(ticket) => ticket.on_complete(move |outcome| {
                here.finish(batch, how, &number, outcome);
                drop(held);
                here.note_progress();
            }),
            Err(_) => batch.into_iter().for_each(|cleaning| shared.park(cleaning)),
        }
    }

    /// Ends a batch, after its version was published.
    fn finish(&self, batch: Vec<Cleaning<R>>, how: How, number: &Number, outcome: Outcome<V>) {
        let error = outcome.as_ref().err().copied();
        // The events first: whoever sees that all is done, such as a drain, finds them all.
        let (_, _old) = self.settle(number, outcome);
        match error {
            None => self.release(batch, how),
            Some(CommitError::Panicked) if how == How::Bare => self.release(batch, how),
            Some(CommitError::Panicked) => {
                // One by one, to find the one that panics; if this is the one, without its events.
                let is_alone = batch.len() == 1;
                let again = batch.into_iter().map(|cleaning| Again { cleaning, is_alone });
                self.sender.workers()[0].repeat(again);
            }
            Some(_) => batch.into_iter().for_each(|cleaning| self.park(cleaning)),
        }
    }

    /// Makes the slots of a batch vacant, counts it, and drops its resources.
    fn release(&self, batch: Vec<Cleaning<R>>, how: How) {
        let number = batch.len() as u64;
        let now = self.now();
        let ended = |cleaning: &Cleaning<R>| {
            let End { cause, at, .. } = cleaning.end();
            Ended { id: cleaning.id(), cause, latency: now.since(at) }
        };
        let ended: Vec<_> = batch.iter().map(ended).collect();
        let resources: Vec<_> = batch.into_iter().map(Cleaning::finish).collect();
        match how {
            How::Whole => self.counters.done(number),
            How::Bare => {
                self.counters.failed(number);
                ended.iter().for_each(|ended| self.hooks.poison(ended.id));
            }
        }
        self.counters.batches.add(1);
        self.counters.batch_sizes.record(number);
        ended.iter().for_each(|ended| self.counters.removal.record_time(ended.latency));
        self.recent.lock().push(ended.into_iter());
        for resources in resources {
            // Unwind safety: nothing of them remains. User code, and therefore last.
            let _ = contain(AssertUnwindSafe(|| drop(resources)));
        }
    }

    pub(super) fn run_sink(&self) -> bool {
        let now = self.now();
        let max = self.config.sink_batch;
        let mut events = self.events.lock();
        // Under the lock: so it has every change that a grace knows of. An older one could show members that have left, for
        // whose return the grace would wait.
        let snapshot = events.has_fired(now).then(|| self.writer.table().snapshot());
        let dead = snapshot.as_ref().map_or_else(DeadLetters::new, |snapshot| {
            events.fire(now, max, |group| snapshot.index().count(group) == 0)
        });
        let attempt = events.delivery.next(now);
        let letters = events.take_letters();
        events.publish(&self.counters.events);
        drop(events);
        // Not held while the sink runs: a version that is held may keep the table from publishing.
        drop(snapshot);
        let has_letters = !letters.is_empty();
        self.tell(letters);
        self.report(dead);
        let Some(attempt) = attempt else { return has_letters };
        let delivered = sink::deliver(&*self.sink, &attempt.app, &attempt.events);
        self.counters.sink_panics.add(u64::from(delivered.is_panicked));
        let now = self.now();
        let mut events = self.events.lock();
        let timed = |time| self.counters.delivery.record_time(time);
        let dead = events.delivery.finish(attempt, &delivered.outcomes, now, timed);
        events.publish(&self.counters.events);
        drop(events);
        self.report(dead);
        self.note_progress();
        true
    }

    /// Turns the events that are not delivered yet into dead letters. Those in an attempt follow when it ends.
    pub(super) fn give_up_events(&self) {
        let now = self.now();
        let mut events = self.events.lock();
        let dead = events.close(now);
        let letters = events.take_letters();
        events.publish(&self.counters.events);
        drop(events);
        self.tell(letters);
        self.report(dead);
    }
}
