//! One order for two stores: accepting, performing, waiting, stopping.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use super::answer::{Reply, StoreError};
use super::baton::Baton;
use super::lane::{Job, Lane, Placed, State};
use super::operation::{Operation, Value};
use super::pair::{Found, Pair};
use super::record::{CallLatency, Recorder, SideStats, Stats};
use super::settings::Settings;
use super::side::Side;
use super::store::LinkStore;
use crate::link::addr::Addr;
use crate::sync::{Condvar, Mutex, StdArc, deadline_after, lock_order};
use crate::ticket::ticket;
use crate::unwind::contain;

/// The shared part of a shadow.
pub(super) struct Engine<A: Addr> {
    stores: [StdArc<dyn LinkStore<Addr = A>>; 2],
    state: Mutex<State<A>>,
    /// Signals the worker of each side that there is a job, or that the shadow is closed.
    filled: [Condvar; 2],
    room: Condvar,
    idle: Condvar,
    /// The turn to perform, if there are no workers.
    turn: Option<Baton<()>>,
    recorder: Recorder<A>,
}

impl<A: Addr> Engine<A> {
    pub(super) fn new(
        stores: [StdArc<dyn LinkStore<Addr = A>>; 2],
        settings: Settings<A>,
        threads: bool,
    ) -> Self {
        let state = State::new(settings.serve, settings.queue);
        Self {
            stores,
            state: Mutex::new(&lock_order::SHADOW, state),
            filled: [Condvar::new(), Condvar::new()],
            room: Condvar::new(),
            idle: Condvar::new(),
            turn: (!threads).then(|| Baton::new(&lock_order::SHADOW_TURN, ())),
            recorder: Recorder::new(settings),
        }
    }

    pub(super) fn recorder(&self) -> &Recorder<A> {
        &self.recorder
    }

    pub(super) fn serve(&self, side: Side) -> Side {
        let before = std::mem::replace(&mut self.state.lock().serving, side);
        // Callers that wait for room on the other side no longer need it.
        self.room.notify_all();
        before
    }

    pub(super) fn serving(&self) -> Side {
        self.state.lock().serving
    }

    pub(super) fn perform(&self, operation: Operation<A>) -> Reply<Value<A>> {
        let deadline = self.recorder.settings().deadline.and_then(deadline_after);
        let pair = StdArc::new(Pair::new(operation));
        let (first, second) = self.accept(&pair, deadline)?;
        self.perform_inline(deadline);
        let reply = match pair.wait(first, deadline) {
            Found::Reply(reply) => reply,
            found => {
                let late = matches!(found, Found::Late);
                let other = second.map(|second| pair.peek(second));
                let mut state = self.state.lock();
                let lane = state.lane(first);
                lane.timeouts += u64::from(late);
                // The side may have caught up since.
                lane.lagging |= late && !lane.is_idle();
                let Some(Found::Reply(reply)) = other else {
                    return Err(if late { StoreError::TimedOut } else { StoreError::Closed });
                };
                state.fallbacks += 1;
                reply
            }
        };
        StdArc::unwrap_or_clone(reply)
    }

    /// Appends the operation to the queues. Waits until `deadline` for room on the serving side.
    fn accept(
        &self,
        pair: &StdArc<Pair<A>>,
        deadline: Option<Instant>,
    ) -> Result<(Side, Option<Side>), StoreError> {
        let mut state = self.state.lock();
        loop {
            match state.place(pair) {
                Placed::Accepted { first, second } => {
                    state.fallbacks += u64::from(first != state.serving);
                    for side in [Some(first), second].into_iter().flatten() {
                        self.wake_worker(side, state.lane(side));
                    }
                    return Ok((first, second));
                }
                Placed::Closed => return Err(StoreError::Closed),
                Placed::Full => return Err(StoreError::Full),
                Placed::Wait(side) => {
                    // Woken by the worker for each job it takes, by `serve` and by `close`.
                    state.waiting_for_room += 1;
                    let late;
                    (state, late) = match deadline {
                        None => (self.room.wait(state), false),
                        Some(deadline) => self.room.wait_until(state, deadline),
                    };
                    state.waiting_for_room -= 1;
                    if late && !state.has_room(side) {
                        state.lane(side).timeouts += 1;
                        state.lane(side).lagging = true;
                    }
                }
            }
        }
    }

    fn wake_worker(&self, side: Side, lane: &mut Lane<A>) {
        if std::mem::take(&mut lane.parked) {
            self.filled[side as usize].notify_one();
        }
    }

    /// Runs the worker of one side: performs its queue until the shadow is closed and the queue is empty.
    pub(super) fn work(&self, side: Side) {
        while let Some(job) = self.next(side) {
            self.run(side, job);
        }
    }

    /// Returns the next job of a side; parks while there is none. Woken by `accept`, `resync` and `close`.
    fn next(&self, side: Side) -> Option<Job<A>> {
        let mut state = self.state.lock();
        loop {
            let job = state.take(side);
            self.note_progress(&state);
            if job.is_some() || state.closed {
                return job;
            }
            state.lane(side).parked = true;
            state = self.filled[side as usize].wait(state);
            state.lane(side).parked = false;
        }
    }

    /// Called for each job that is taken, and when there is none.
    fn note_progress(&self, state: &State<A>) {
        // One job made room for one caller. If that caller does not take the room, because its side has
        // changed, the next call wakes the next one: there is always another, as a queue that was full is
        // emptied job by job, and found empty once more after the last.
        if state.waiting_for_room > 0 {
            self.room.notify_one();
        }
        if state.waiting_for_idle > 0 && state.is_idle() {
            self.idle.notify_all();
        }
    }

    /// If there are no workers, performs the queued jobs, oldest first, or waits until another caller has.
    fn perform_inline(&self, deadline: Option<Instant>) {
        let Some(turn) = &self.turn else { return };
        let Some(_turn) = turn.take(deadline) else { return };
        loop {
            let mut state = self.state.lock();
            let next = state.oldest().and_then(|side| Some((side, state.take(side)?)));
            self.note_progress(&state);
            drop(state);
            let Some((side, job)) = next else { return };
            self.run(side, job);
            // The job is finished before the other side continues.
            self.state.lock().lane(side).busy = false;
        }
    }

    /// Performs one job. No lock is held while the store runs.
    fn run(&self, side: Side, job: Job<A>) {
        match job {
            Job::Perform { pair, number } => self.run_operation(side, &pair, number),
            Job::Copy { copy, imports, .. } => {
                // Unwind safety: a side whose copy failed counts as diverged.
                let copied = contain(AssertUnwindSafe(copy));
                let mut state = self.state.lock();
                let next = state.next;
                let lane = state.lane(side);
                lane.panics += u64::from(copied.is_none());
                if imports && copied != Some(true) {
                    lane.diverged = true;
                    lane.void_below = next;
                }
            }
        }
    }

    fn run_operation(&self, side: Side, pair: &StdArc<Pair<A>>, number: u64) {
        let settings = self.recorder.settings();
        let store = &*self.stores[side as usize];
        let before = settings.clock.now();
        let foreign = side != settings.driven_by && pair.operation.has_identity();
        // Unwind safety: the state after a panic is the concern of the store, and shows in its answers.
        let result = contain(AssertUnwindSafe(|| match foreign {
            true => pair.operation.clone().without_identity().perform_on(store),
            false => pair.operation.perform_on(store),
        }));
        self.recorder.took(side, settings.clock.now().saturating_duration_since(before));
        let panicked = result.is_none();
        let reply = result.unwrap_or(Err(StoreError::Panicked));
        let mut state = self.state.lock();
        let lane = state.lane(side);
        lane.performed += 1;
        lane.panics += u64::from(panicked);
        let comparable = number >= lane.void_below;
        drop(state);
        if let Some(both) = pair.answer(side, StdArc::new(reply), comparable) {
            self.recorder.compare(&pair.operation, both);
        }
    }

    pub(super) fn resync<S: Send + 'static>(
        &self,
        stale: Side,
        export: impl FnOnce() -> S + Send + 'static,
        import: impl FnOnce(S) + Send + 'static,
    ) -> Result<(), ResyncError> {
        let (exported, exports) = ticket();
        let export = move || exported.complete(export()).is_delivered();
        // The wait ends when the export completes, panics, or is dropped with its queue.
        let import = move || exports.wait().map(import).is_ok();
        let mut state = self.state.lock();
        let source = stale.other();
        if state.closed {
            return Err(ResyncError::Closed);
        }
        if state.lane(source).diverged {
            return Err(ResyncError::NoSource);
        }
        if !state.has_room(stale) || !state.has_room(source) {
            return Err(ResyncError::Full);
        }
        let number = state.next;
        state.next += 2;
        let (from, to) = (Box::new(export), Box::new(import));
        state.lane(source).queue.push_back(Job::Copy { copy: from, number, imports: false });
        let lane = state.lane(stale);
        lane.queue.push_back(Job::Copy { copy: to, number: number + 1, imports: true });
        lane.diverged = false;
        for side in Side::BOTH {
            self.wake_worker(side, state.lane(side));
        }
        drop(state);
        self.perform_inline(None);
        Ok(())
    }

    /// Waits until both queues are empty and no job is in progress.
    pub(super) fn wait_idle(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        let mut late = false;
        while !state.is_idle() {
            if late {
                return false;
            }
            // Woken by the worker that empties the last queue.
            state.waiting_for_idle += 1;
            (state, late) = match deadline {
                None => (self.idle.wait(state), false),
                Some(deadline) => self.idle.wait_until(state, deadline),
            };
            state.waiting_for_idle -= 1;
        }
        true
    }

    /// Stops accepting operations.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        for side in Side::BOTH {
            self.wake_worker(side, state.lane(side));
        }
        drop(state);
        self.room.notify_all();
    }

    /// Skips every queued job. Each worker ends after its current job.
    pub(super) fn abandon(&self) {
        for side in Side::BOTH {
            let mut state = self.state.lock();
            let lane = state.lane(side);
            let left = std::mem::take(&mut lane.queue);
            let operations = left.iter().filter(|job| matches!(job, Job::Perform { .. })).count();
            lane.skipped += operations as u64;
            self.note_progress(&state);
            drop(state);
            for job in left {
                if let Job::Perform { pair, .. } = job {
                    pair.leave_out(side);
                }
            }
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.state.lock();
        let [a, b] = &state.lanes;
        let mut stats = Stats {
            accepted: state.accepted,
            refused: state.refused,
            compared: 0,
            mismatches: 0,
            mismatches_dropped: 0,
            fallbacks: state.fallbacks,
            callback_panics: 0,
            a: side_stats(a),
            b: side_stats(b),
        };
        drop(state);
        self.recorder.complete(&mut stats);
        stats
    }
}

fn side_stats<A: Addr>(lane: &Lane<A>) -> SideStats {
    SideStats {
        performed: lane.performed,
        skipped: lane.skipped,
        panics: lane.panics,
        timeouts: lane.timeouts,
        queue_len: lane.queue.len(),
        lagging: lane.lagging,
        diverged: lane.diverged,
        latency: CallLatency::default(),
    }
}

/// The reason why a side could not be resynchronized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResyncError {
    /// A queue is full: retry when that side responds again.
    Full,
    /// The other side has diverged as well, so there is nothing to copy from.
    NoSource,
    /// The shadow is stopped.
    Closed,
}

impl fmt::Display for ResyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "a queue is full: retry when that side responds again",
            Self::NoSource => "the other side has diverged as well: restore it first",
            Self::Closed => "the shadow is stopped",
        })
    }
}

impl std::error::Error for ResyncError {}
