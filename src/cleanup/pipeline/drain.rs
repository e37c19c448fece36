//! The planned end of a pipeline.
//!
//! ```text
//!            no connection is open          nothing is left to remove         nothing is left to deliver
//!   Closing -----------------------> Removing ----------------------> Delivering -----------------------> Done
//!      |                                 |                                |                                 ^
//!      +---------------------------------+--------------------------------+---- the time is up -------------+
//! ```

mod report;

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

pub use report::{DrainPhase, DrainProgress, DrainReport, DrainStep, PendingEvents};

use super::run::{Landing, Progress};
use super::{Cleanup, Shared};
use crate::cleanup::config::Overflow;
use crate::cleanup::entry::{Entry, Resources};
use crate::cleanup::moment::Moment;
use crate::cleanup::slots::Cause;
use crate::sync::atomic::Ordering;
use crate::sync::{StdArc, deadline_after};

/// Number of slots that a step looks at, and of connections that it closes.
#[cfg(not(switchboard_model))]
const STEP: usize = 1024;
#[cfg(switchboard_model)]
const STEP: usize = 2;

/// The longest time between two steps, and the shortest if a rate makes it shorter.
const STEP_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(1));

/// The planned end of a pipeline: [`Cleanup::drain`].
///
/// It closes all connections, with [`Cause::Shutdown`], at an even [rate](Self::rate) if one is
/// set, so that the peers do not all return to the other servers at the same moment; waits until
/// they are removed; and delivers the events, until the sink has taken all or the
/// [time](Self::deadline) is up. Then, connections that are still open are closed at once, the
/// other events become dead letters, and the threads of the pipeline end.
///
/// No connection is opened from the first step on. A drain that is dropped before it is done goes
/// no further; connections are refused nevertheless, and another drain can go on.
///
/// # Examples
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// # use switchboard::cleanup::{Cleanup, Entry, Event, EventSink, Outcome};
/// # #[derive(Clone)]
/// # struct Peer;
/// # impl Entry for Peer {
/// #     type App = ();
/// #     type Group = ();
/// #     fn app(&self) -> &() {
/// #         &()
/// #     }
/// #     fn groups(&self, _: &mut dyn FnMut(())) {}
/// # }
/// # struct Log;
/// # impl EventSink<(), Event<()>> for Log {
/// #     fn deliver(&self, (): &(), events: &[Event<()>]) -> Vec<Outcome> {
/// #         vec![Outcome::Delivered; events.len()]
/// #     }
/// # }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (writer, _) = Cleanup::<Peer>::table_builder().build();
/// # let (writer, _thread) = switchboard::SharedWriter::spawn(writer, Default::default())?;
/// let (cleanup, threads) = Cleanup::<Peer>::builder().spawn(writer, Log)?;
/// let ticket = cleanup.open(Peer, None, ())?;
/// let connection = ticket.wait()?;
///
/// let report = cleanup
///     .drain()
///     .rate(NonZeroU32::new(500))
///     .deadline(Duration::from_secs(10))
///     .on_progress(|progress| eprintln!("{} connections are open", progress.open))
///     .run();
/// assert!(report.is_complete);
/// assert_eq!((report.closed, report.deferred, report.lost), (1, 0, 0));
/// assert!(!connection.is_open());
/// threads.join()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a drain does nothing before it is run"]
pub struct Drain<V: Entry, R: Resources = ()> {
    cleanup: Cleanup<V, R>,
    rate: Option<NonZeroU32>,
    deadline: Duration,
    pending: PendingEvents,
    on_progress: Option<Box<OnProgress>>,
    state: Option<State>,
}

type OnProgress = dyn FnMut(&DrainProgress) + Send;

/// A drain that has begun.
#[derive(Clone, Copy, Debug)]
struct State {
    phase: DrainPhase,
    began: Moment,
    /// The end, in the last phase.
    ended: Moment,
    /// The figures when it began.
    before: Before,
    closed: u64,
    cursor: usize,
    dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Before {
    done: u64,
    failed: u64,
    delivered: u64,
    dead_letters: u64,
}

impl<V: Entry, R: Resources> Cleanup<V, R> {
    /// Returns a drain, the planned end of the pipeline. It begins with its first step.
    pub fn drain(&self) -> Drain<V, R> {
        Drain {
            cleanup: self.clone(),
            rate: None,
            deadline: self.shared.config.drain_timeout,
            pending: PendingEvents::default(),
            on_progress: None,
            state: None,
        }
    }
}

impl<V: Entry, R: Resources> Drain<V, R> {
    /// Sets the number of connections that are closed per second, evenly. By default, and with
    /// `None`, all are closed at once.
    pub fn rate(self, per_second: impl Into<Option<NonZeroU32>>) -> Self {
        Self { rate: per_second.into(), ..self }
    }

    /// Sets the time for the whole drain. By default [`Config::drain_timeout`](crate::cleanup::Config::drain_timeout).
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Sets the treatment of events that are pending when all connections are removed. By default they are due at once.
    pub fn pending(self, pending: PendingEvents) -> Self {
        Self { pending, ..self }
    }

    /// Sets a function that is called after each step of [`run`](Self::run) and [`run_async`](Self::run_async), by its
    /// caller. By default there is none.
    pub fn on_progress(self, on_progress: impl FnMut(&DrainProgress) + Send + 'static) -> Self {
        Self { on_progress: Some(Box::new(on_progress)), ..self }
    }

    /// Drains, and blocks meanwhile; not longer than the [deadline](Self::deadline), and one call
    /// of the sink if there are no threads.
    ///
    /// Not to be called by the thread that drives the writer, nor by user code that this thread runs: nothing would be
    /// removed before the time is up.
    #[allow(clippy::must_use_candidate)] // The pipeline has ended, whatever the report.
    pub fn run(mut self) -> DrainReport {
        loop {
            let seen = *self.cleanup.shared.pause.lock();
            match self.step() {
                DrainStep::Done(report) => {
                    self.report_progress();
                    return report;
                }
                DrainStep::WaitUntil(due) => {
                    self.report_progress();
                    self.cleanup.shared.wait_for_progress(seen, due);
                }
            }
        }
    }

    /// Drains, as a task: `sleep` is the timer of the runtime, such as `tokio::time::sleep`. It is
    /// used for at most 10 ms at a time.
    ///
    /// # Cancel safety
    /// As for a drain that is dropped.
    pub async fn run_async<S, F>(mut self, mut sleep: S) -> DrainReport
    where
        S: FnMut(Duration) -> F,
        F: Future,
    {
        loop {
            let step = self.step();
            self.report_progress();
            match step {
                DrainStep::Done(report) => return report,
                DrainStep::WaitUntil(due) => {
                    let left = due.saturating_duration_since(self.cleanup.shared.clock.now());
                    sleep(left.min(STEP_PAUSE.0)).await;
                }
            }
        }
    }

    /// Does what is due: closes connections; and if the pipeline has no threads, it also runs their batches, sweeps and
    /// events. Does not wait, except for the sink if there are no threads.
    pub fn step(&mut self) -> DrainStep {
        let shared = self.cleanup.shared.clone();
        shared.stop_admission();
        let now = shared.now();
        let mut state = self.state.unwrap_or_else(|| State {
            phase: DrainPhase::Closing,
            began: now,
            ended: now,
            before: shared.before(),
            closed: 0,
            cursor: 0,
            dropped: 0,
        });
        let end = state.began.after(self.deadline);
        if now >= end && state.phase != DrainPhase::Done {
            self.close_some(&mut state, usize::MAX);
            shared.hand_over();
            shared.conclude();
            (state.phase, state.ended) = (DrainPhase::Done, now);
        }
        let mut next = now.after(STEP_PAUSE.0);
        if state.phase == DrainPhase::Closing {
            next = next.min(self.close_due(&mut state, now));
        }
        if state.phase != DrainPhase::Done {
            self.clean_up(&mut state, now);
        }
        self.state = Some(state);
        if state.phase == DrainPhase::Done {
            return DrainStep::Done(self.report(&state));
        }
        DrainStep::WaitUntil(shared.origin + next.min(end).since(Moment::START))
    }

    /// Returns the progress; `None` before the first step.
    #[must_use]
    pub fn progress(&self) -> Option<DrainProgress> {
        let state = self.state?;
        let shared = &self.cleanup.shared;
        let (pending, undelivered) = self.cleanup.pending_events();
        let stats = self.cleanup.stats();
        Some(DrainProgress {
            phase: state.phase,
            open: stats.open,
            closing: stats.queued + stats.deferred,
            closed: state.closed,
            pending,
            undelivered,
            elapsed: shared.now().since(state.began),
        })
    }

    fn report_progress(&mut self) {
        let progress = self.progress();
        if let (Some(call), Some(progress)) = (&mut self.on_progress, progress) {
            call(&progress);
        }
    }

    /// Closes the connections that are due by the rate. Returns the moment at which the next one is.
    fn close_due(&self, state: &mut State, now: Moment) -> Moment {
        let Some(rate) = self.rate else {
            self.close_some(state, usize::MAX);
            return now.after(STEP_PAUSE.1);
        };
        let elapsed = now.since(state.began).as_nanos();
        let due = elapsed * u128::from(rate.get()) / 1_000_000_000 + 1;
        let due = u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(state.closed);
        self.close_some(state, usize::try_from(due).unwrap_or(usize::MAX));
        let next = u128::from(state.closed) * 1_000_000_000 / u128::from(rate.get());
        let next = Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX));
        state.began.after(next).max(now.after(STEP_PAUSE.1))
    }

    /// Closes up to `max` connections, and looks at each slot once at most.
    fn close_some(&self, state: &mut State, mut max: usize) {
        let shared = &self.cleanup.shared;
        let overflow = match shared.config.overflow {
            Overflow::Reject => Overflow::Defer,
            other => other,
        };
        let mut left = shared.slots.capacity();
        while left > 0 && max > 0 && shared.counters.snapshot().open > 0 {
            let first = state.cursor % shared.slots.capacity();
            let found = shared.slots.open_from(first, left.min(STEP), max.min(STEP));
            left -= found.seen.min(left);
            state.cursor = first + found.seen;
            for id in found.ids {
                if !Shared::close(shared, id, Cause::Shutdown, overflow).is_lost() {
                    state.closed += 1;
                    max -= 1;
                }
            }
        }
    }

    /// Goes on to the next phases, if nothing is left of this one.
    fn clean_up(&self, state: &mut State, now: Moment) {
        let shared = &self.cleanup.shared;
        shared.work_off();
        if state.phase == DrainPhase::Closing && shared.counters.snapshot().open == 0 {
            state.phase = DrainPhase::Removing;
        }
        if state.phase == DrainPhase::Removing && shared.slots.len() == 0 && shared.has_counted_all() {
            state.phase = DrainPhase::Delivering;
            state.dropped = shared.end_graces(self.pending);
        } else if state.phase == DrainPhase::Removing && shared.counters.snapshot().open > 0 {
            // One that was being opened when the drain began.
            state.phase = DrainPhase::Closing;
        }
        if state.phase == DrainPhase::Delivering {
            shared.work_off();
            if shared.events.lock().is_empty() {
                shared.conclude();
                (state.phase, state.ended) = (DrainPhase::Done, now);
            }
        }
    }

    fn report(&self, state: &State) -> DrainReport {
        let shared = &self.cleanup.shared;
        let stats = shared.counters.snapshot();
        let after = shared.before();
        let closing = stats.queued + stats.deferred;
        let dead_letters = after.dead_letters - state.before.dead_letters;
        let known = shared.slots.len() as u64;
        DrainReport {
            closed: state.closed,
            done: after.done - state.before.done,
            failed: after.failed - state.before.failed,
            deferred: closing.min(known),
            lost: closing.saturating_sub(known),
            delivered: after.delivered - state.before.delivered,
            dead_letters,
            dropped: state.dropped,
            is_complete: known == 0 && shared.events.lock().is_empty() && dead_letters == 0,
            elapsed: state.ended.since(state.began),
        }
    }
}

impl<V: Entry, R: Resources> Shared<V, R> {
    fn before(&self) -> Before {
        let stats = self.counters.snapshot();
        Before {
            done: stats.done,
            failed: stats.failed,
            delivered: stats.events_delivered,
            dead_letters: stats.dead_letters,
        }
    }

    /// Whether the last batch is counted: its slots are vacant before.
    fn has_counted_all(&self) -> bool {
        let stats = self.counters.snapshot();
        stats.queued + stats.deferred == 0
    }

    /// Does the work of the threads, if there are none.
    fn work_off(self: &StdArc<Self>) {
        self.hand_over();
        // Relaxed: set before there is a handle.
        if !self.has_threads.load(Ordering::Relaxed) {
            while self.run_sink() {}
        }
    }

    /// Hands what was deferred to the writer; and, without threads, also what is queued.
    fn hand_over(self: &StdArc<Self>) {
        if self.counters.snapshot().deferred > 0 {
            Self::sweep_before(self, self.now());
        }
        // Relaxed: set before there is a handle.
        if self.has_threads.load(Ordering::Relaxed) {
            return;
        }
        for worker in 0..self.sender.workers().len() {
            while matches!(Self::run_batch(self, worker, Landing::Tell), Progress::Cleaned(_)) {}
        }
    }

    /// Ends all graces. Returns the number of events that were dropped.
    fn end_graces(&self, pending: PendingEvents) -> u64 {
        let now = self.now();
        let mut events = self.events.lock();
        let (dropped, dead) = match pending {
            PendingEvents::Fire => (0, events.fire_all(now)),
            PendingEvents::Drop => (events.drop_pending(), Vec::new()),
        };
        events.publish(&self.counters.events);
        drop(events);
        self.new_events.notify_all();
        self.report(dead);
        dropped
    }

    /// Gives up what is left, and ends the threads.
    fn conclude(&self) {
        self.stop();
        self.give_up_events();
    }

    /// Waits until something was removed or delivered since `seen` was read, or until `due`. Woken by `note_progress`.
    fn wait_for_progress(&self, seen: u64, due: Instant) {
        // On the real clock, by which threads wait.
        let Some(deadline) = deadline_after(due.saturating_duration_since(self.clock.now())) else { return };
        let mut news = self.pause.lock();
        let mut is_over = false;
        while *news == seen && !is_over {
            (news, is_over) = self.drained.wait_until(news, deadline);
        }
    }

    /// Wakes a drain that waits.
    pub(super) fn note_progress(&self) {
        // Relaxed: a drain looks again after 10 ms in any case.
        if self.is_draining.load(Ordering::Relaxed) {
            *self.pause.lock() += 1;
            self.drained.notify_all();
        }
    }
}

impl<V: Entry, R: Resources> fmt::Debug for Drain<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("rate", &self.rate)
            .field("deadline", &self.deadline)
            .field("pending", &self.pending)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
