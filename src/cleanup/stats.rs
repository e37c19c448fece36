//! Figures that add up at every moment.

use super::breaker::Phase;
use super::histogram::{Histogram, Recorder};
use crate::sync::atomic::{AtomicU64, Ordering};

/// Figures of a pipeline since it was made.
///
/// Every snapshot adds up, also while disconnects are under way:
///
/// > `submitted = done + queued + deferred + failed`
///
/// and no snapshot shows the end of a cleanup without its beginning. Reading is wait-free. The
/// figures after `failed` are read one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open now.
    pub open: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Disconnects that have won: the first report of the end of each connection.
    pub submitted: u64,
    /// Connections that were removed.
    pub done: u64,
    /// Connections that are in a queue, or being removed.
    pub queued: u64,
    /// Connections that no queue took, and which a sweep will remove.
    pub deferred: u64,
    /// Connections whose removal panicked. They were removed without running the code that did.
    pub failed: u64,
    /// Connections that their caller cleaned.
    pub ran_inline: u64,
    /// Further reports of the end of a connection.
    pub already_closing: u64,
    /// Reports about a connection that is not known.
    pub not_found: u64,
    /// Reports about a connection that has been removed.
    pub stale: u64,
    /// Submissions that were refused because the queue was full.
    pub rejected_full: u64,
    /// Submissions that were refused because the pipeline was closed.
    pub rejected_closed: u64,
    /// Submissions that were refused because the breaker was open.
    pub rejected_breaker: u64,
    /// Submissions that went to another worker because theirs was closed.
    pub rerouted: u64,
    /// Batches that were published.
    pub batches: u64,
    /// Sweeps.
    pub sweeps: u64,
    /// Connections that a sweep found.
    pub swept: u64,
    /// Restarts of workers.
    pub worker_restarts: u64,
    /// Events that were not delivered.
    pub dead_letters: u64,
    /// Calls of the sink that panicked.
    pub sink_panics: u64,
    /// Changes that were due for the sink: a group was occupied.
    pub events_occupied: u64,
    /// Changes that were due for the sink: a group was vacated.
    pub events_vacated: u64,
    /// Events that a return within the grace has cancelled: a pair is two.
    pub events_cancelled: u64,
    /// Events that were suppressed because of the cause, or by a drain.
    pub events_suppressed: u64,
    /// Events without a grace because too many were pending.
    pub events_overflowed: u64,
    /// Events that the sink has taken.
    pub events_delivered: u64,
    /// Attempts of single events that have failed and are repeated.
    pub event_retries: u64,
    /// Events whose grace has not ended.
    pub events_pending: u64,
    /// Events that wait for the sink, or are being delivered.
    pub events_waiting: u64,
    /// The gravest phase of the breakers, of which each worker has one.
    pub breaker: Phase,
    /// Number of times that a breaker was opened.
    pub breaker_opens: u64,
    /// Disconnects that were let through to probe a queue.
    pub breaker_probes: u64,
    /// Disconnects that a breaker kept from trying a queue.
    pub breaker_refused: u64,
    /// Connections per batch.
    pub batch_sizes: Histogram,
    /// Microseconds from the closing of a connection to the publication of its removal.
    pub removal_us: Histogram,
    /// Microseconds from the moment at which an event is due to its delivery.
    pub delivery_us: Histogram,
}

/// The counters behind [`Stats`].
///
/// Neither `queued` nor `deferred` is a counter, or else a snapshot could count a connection twice
/// while it moves. There are five counters that only grow, one per kind of move, and a move is
/// counted by the thread that makes it, before it hands the connection on:
///
/// ```text
///  submitted             done
///  ---------> (queued) --------->        queued = submitted - done - failed - deferred
///              |    ^ \  failed
///   parked     v    |  --------->        deferred = parked - unparked
///           (deferred)
///              | unparked
/// ```
///
/// [`snapshot`](Self::snapshot) reads them against the flow: the end of a way before its beginning.
/// A thread that sees a move therefore sees those before it, so no difference is negative, except
/// that a connection may be parked, unparked and parked again between two reads. `deferred` is
/// therefore limited to what is neither done nor failed.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    opened: Counter,
    submitted: Counter,
    parked: Counter,
    unparked: Counter,
    done: Counter,
    failed: Counter,
    pub(crate) ran_inline: Counter,
    pub(crate) already_closing: Counter,
    pub(crate) not_found: Counter,
    pub(crate) stale: Counter,
    pub(crate) rejected_full: Counter,
    pub(crate) rejected_closed: Counter,
    pub(crate) rejected_breaker: Counter,
    pub(crate) rerouted: Counter,
    pub(crate) batches: Counter,
    pub(crate) sweeps: Counter,
    pub(crate) swept: Counter,
    pub(crate) worker_restarts: Counter,
    pub(crate) dead_letters: Counter,
    pub(crate) sink_panics: Counter,
    pub(crate) events: EventCounters,
    pub(crate) batch_sizes: Recorder,
    pub(crate) removal: Recorder,
    pub(crate) delivery: Recorder,
}

/// Copies of the figures of the events: these are counted under their lock.
#[derive(Debug, Default)]
pub(crate) struct EventCounters {
    pub(crate) occupied: Counter,
    pub(crate) vacated: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) suppressed: Counter,
    pub(crate) overflowed: Counter,
    pub(crate) delivered: Counter,
    pub(crate) retries: Counter,
    pub(crate) pending: Counter,
    pub(crate) waiting: Counter,
}

/// A number of events that many threads count.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Default for Counter {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Counter {
    pub(crate) fn add(&self, number: u64) {
        // Release: pairs with the acquire load in `get`: a thread that sees this move sees the moves that came before
        // it, of this thread and of those that handed the connection to it.
        self.0.fetch_add(number, Ordering::Release);
    }

    /// Replaces a copy of a figure. Called under the lock of the original.
    pub(crate) fn set(&self, number: u64) {
        // Relaxed: a statistic.
        self.0.store(number, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        // Acquire: pairs with the release in `add`. A later load of this thread is therefore no older.
        self.0.load(Ordering::Acquire)
    }
}

impl Counters {
    /// A connection is about to be open. Called before it can be closed.
    pub(crate) fn opened(&self) {
        self.opened.add(1);
    }

    /// A disconnect has won. Called before anyone else can see the connection as closed work.
    pub(crate) fn submitted(&self) {
        self.submitted.add(1);
    }

    /// A connection was left to the sweep. Called before a sweep can find it.
    pub(crate) fn parked(&self) {
        self.parked.add(1);
    }

    /// A sweep has taken a connection that was left to it. Called before its removal.
    pub(crate) fn unparked(&self, number: u64) {
        self.unparked.add(number);
    }

    pub(crate) fn done(&self, number: u64) {
        self.done.add(number);
    }

    pub(crate) fn failed(&self, number: u64) {
        self.failed.add(number);
    }

    /// Wait-free: one load per counter.
    pub(crate) fn snapshot(&self) -> Stats {
        // In this order: see the head of this type.
        let (done, failed) = (self.done.get(), self.failed.get());
        let unparked = self.unparked.get();
        let parked = self.parked.get();
        let submitted = self.submitted.get();
        let opened = self.opened.get();
        let closing = submitted.saturating_sub(done.saturating_add(failed));
        let deferred = parked.saturating_sub(unparked).min(closing);
        Stats {
            open: opened.saturating_sub(submitted),
            opened,
            submitted,
            done,
            queued: closing - deferred,
            deferred,
            failed,
            ran_inline: self.ran_inline.get(),
            already_closing: self.already_closing.get(),
            not_found: self.not_found.get(),
            stale: self.stale.get(),
            rejected_full: self.rejected_full.get(),
            rejected_closed: self.rejected_closed.get(),
            rejected_breaker: self.rejected_breaker.get(),
            rerouted: self.rerouted.get(),
            batches: self.batches.get(),
            sweeps: self.sweeps.get(),
            swept: self.swept.get(),
            worker_restarts: self.worker_restarts.get(),
            dead_letters: self.dead_letters.get(),
            sink_panics: self.sink_panics.get(),
            events_occupied: self.events.occupied.get(),
            events_vacated: self.events.vacated.get(),
            events_cancelled: self.events.cancelled.get(),
            events_suppressed: self.events.suppressed.get(),
            events_overflowed: self.events.overflowed.get(),
            events_delivered: self.events.delivered.get(),
            event_retries: self.events.retries.get(),
            events_pending: self.events.pending.get(),
            events_waiting: self.events.waiting.get(),
            breaker: Phase::Closed,
            breaker_opens: 0,
            breaker_probes: 0,
            breaker_refused: 0,
            batch_sizes: self.batch_sizes.read(),
            removal_us: self.removal.read(),
            delivery_us: self.delivery.read(),
        }
    }
}

impl Stats {
    /// Whether `submitted = done + queued + deferred + failed`.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let ends = [self.done, self.queued, self.deferred, self.failed];
        ends.into_iter().try_fold(0_u64, u64::checked_add) == Some(self.submitted)
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Connections that move at random: the figures are those of a list of connections.
        #[test]
        fn r21_figures_are_those_of_a_list(steps in prop::collection::vec((0..5_u8, 0..8_usize), 1..200)) {
            let counters = Counters::default();
            let (mut queued, mut deferred, mut done, mut failed) = (0_u64, 0_u64, 0_u64, 0_u64);
            for (step, _) in steps {
                match step {
                    0 => {
                        counters.submitted();
                        queued += 1;
                    }
                    1 if queued > 0 => {
                        counters.parked();
                        (queued, deferred) = (queued - 1, deferred + 1);
                    }
                    2 if deferred > 0 => {
                        counters.unparked(1);
                        (queued, deferred) = (queued + 1, deferred - 1);
                    }
                    3 if queued > 0 => {
                        counters.done(1);
                        (queued, done) = (queued - 1, done + 1);
                    }
                    4 if queued > 0 => {
                        counters.failed(1);
                        (queued, failed) = (queued - 1, failed + 1);
                    }
                    _ => {}
                }
                let stats = counters.snapshot();
                prop_assert!(stats.adds_up());
                let figures = (stats.queued, stats.deferred, stats.done, stats.failed);
                prop_assert_eq!(figures, (queued, deferred, done, failed));
            }
        }
    }
}
