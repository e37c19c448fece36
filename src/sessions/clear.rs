//! Clearing a session, as one step for everyone else.
//!
//! The clear that sets the flag of the word excludes all claims until it ends; it waits for the holder, or takes
//! the place from it; and only then replaces the data. A second clear joins: it waits for the same holder, or takes the
//! place from it. As soon as there is none, the first one that finds it so takes the last steps, and the others are done.
//!
//! The thread and the task go through the same [`Steps`]; they differ in the way they wait.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::error::ClearError;
use super::id::RunId;
use super::registry::Sessions;
use super::session::Session;
use crate::claim::{ClaimId, ClearRefused, Displacement, Occupant, Spot, State};
use crate::sync::{Arc, StdArc, deadline_after};
use crate::unwind::contain;

/// The treatment of the current run by [`Sessions::clear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClearPolicy {
    /// Fails if the session has a run.
    RefuseIfBusy,
    /// Asks the run to stop, and waits for its end, but no longer than this.
    CancelAndWait(Duration),
    /// Asks the run to stop, and does not wait for it: from now on the session rejects what it writes, and the
    /// next run may begin while it is still ending.
    CancelAndDetach,
}

/// The result of a clear that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleared {
    /// The epoch that begins with the clear; see [`Run::epoch`](super::Run::epoch).
    pub epoch: u64,
    /// The run that this call asked to stop, or detached.
    pub cancelled: Option<RunId>,
    /// Number of callers that waited for a run of the session, and were refused with
    /// [`BeginError::Cleared`](super::BeginError::Cleared). Zero if this call joined another one, which counts
    /// them.
    pub dropped: usize,
    /// Whether another clear, at the same time, has reset the data: the two are one.
    pub joined: bool,
}

impl ClearPolicy {
    fn displacement(self) -> Displacement {
        match self {
            Self::RefuseIfBusy => Displacement::Refuse,
            Self::CancelAndWait(_) => Displacement::Cancel,
            Self::CancelAndDetach => Displacement::Displace,
        }
    }

    /// Only a clear that waits for a run has a deadline.
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::CancelAndWait(timeout) => deadline_after(timeout),
            Self::RefuseIfBusy | Self::CancelAndDetach => None,
        }
    }
}

impl Cleared {
    /// The session does not exist.
    fn nothing(epoch: u64) -> Self {
        Self { epoch, cancelled: None, dropped: 0, joined: false }
    }
}

/// A clear of one session, step by step. Dropped in between, it has no effect.
struct Steps<K, D, C> {
    session: Arc<Session<K, D, C>>,
    policy: ClearPolicy,
    /// Number of clears before this one, or before this call.
    before: u64,
    cancelled: Option<ClaimId>,
    phase: Phase,
    fresh: Option<StdArc<D>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    /// This is the clear in progress, unless another one has ended it.
    Clearing,
    /// Another one is.
    Joining,
    Over,
}

enum Step {
    Done(Result<Cleared, ClearError>),
    /// The session was retired.
    Retired,
    /// The clear goes on after this.
    Wait(Until),
}

/// The end of a wait. It names the generation, so it is not delayed by a later clear.
#[derive(Clone, Copy)]
enum Until {
    /// The run has left, or the clear was given up.
    Left(ClaimId),
    /// Another thread has carried out the last steps of the clear.
    Ended(ClaimId),
}

impl Until {
    fn look(self, state: State) -> Option<()> {
        let goes_on = match self {
            Self::Left(run) => state.is_held_by(run) && state.is_clearing(),
            Self::Ended(generation) => state.generation() == generation && state.is_ending(),
        };
        (!goes_on).then_some(())
    }

    /// The last steps of a clear call no one who may block: the clock of the saver, and `Eq` of two keys with equal
    /// hashes. What was replaced is dropped after them.
    fn deadline(self, deadline: Option<Instant>) -> Option<Instant> {
        match self {
            Self::Left(_) => deadline,
            Self::Ended(_) => None,
        }
    }
}

impl<K, D, C> Steps<K, D, C> {
    /// `fresh` makes the data of a cleared session.
    fn new(
        session: Arc<Session<K, D, C>>,
        policy: ClearPolicy,
        fresh: impl FnOnce() -> D,
    ) -> Result<Self, ClearError> {
        let before = session.clears_now();
        if let (ClearPolicy::RefuseIfBusy, Some(holder)) = (policy, session.place.state().occupant()) {
            return Err(ClearError::Busy(session.run_id(holder.id)));
        }
        // User code, which runs before anything is held.
        let fresh = Some(StdArc::new(fresh()));
        Ok(Self { session, policy, before, cancelled: None, phase: Phase::New, fresh })
    }

    fn step(&mut self) -> Step {
        loop {
            let step = match self.phase {
                Phase::New => self.begin(),
                Phase::Clearing | Phase::Joining => self.go_on(),
                Phase::Over => unreachable!("a clear that is over is not asked again"),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn begin(&mut self) -> Option<Step> {
        let (session, mut before) = (&self.session, self.before);
        match session.place.begin_clear(self.policy.displacement(), || before = session.clears()) {
            Ok(holder) => {
                self.phase = Phase::Clearing;
                // Clears that have ended before this one began do not count.
                self.before = before;
                self.note_stopped(holder);
                None
            }
            Err(ClearRefused::Busy(run)) => Some(self.busy(run)),
            Err(ClearRefused::Retired) => Some(Step::Retired),
            Err(ClearRefused::Clearing) => {
                self.phase = Phase::Joining;
                None
            }
        }
    }

    /// A clear is in progress, or has just ended. The first one that finds the place vacant ends it.
    fn go_on(&mut self) -> Option<Step> {
        let state = self.session.place.state();
        // After the state: a clear that has taken effect by then is noticed.
        let clears = self.session.clears_now();
        if clears != self.before {
            // Once more, after the clears: the place is ending from before the new data is published to after its saver
            // has been told of it. A caller that joined returns no earlier.
            let state = self.session.place.state();
            if state.is_ending() {
                return Some(Step::Wait(Until::Ended(state.generation())));
            }
            if !state.is_retired() {
                self.phase = Phase::Over;
                return Some(Step::Done(Ok(self.cleared(clears, 0, true))));
            }
        }
        if !state.is_clearing() {
            // It was given up, or the session was removed since.
            self.phase = Phase::New;
            return None;
        }
        if state.is_ending() {
            return Some(Step::Wait(Until::Ended(state.generation())));
        }
        match (state.occupant(), self.policy) {
            (None, _) => {
                let is_taken = self.session.place.take_clear(Some(state.generation()));
                is_taken.then(|| self.finish())
            }
            (Some(holder), ClearPolicy::RefuseIfBusy) => Some(self.busy(holder.id)),
            (Some(holder), ClearPolicy::CancelAndWait(_)) => Some(Step::Wait(Until::Left(holder.id))),
            (Some(_), ClearPolicy::CancelAndDetach) => {
                let holder = self.session.place.displace();
                self.note_stopped(holder);
                None
            }
        }
    }

    fn busy(&mut self, run: ClaimId) -> Step {
        self.phase = Phase::Over;
        Step::Done(Err(ClearError::Busy(self.session.run_id(run))))
    }

    /// The last steps. The caller has taken the clear.
    fn finish(&mut self) -> Step {
        let Some(fresh) = self.fresh.take() else { unreachable!("a clear that ends had new data") };
        let (clears, replaced) = Session::reset(&self.session, fresh);
        let dropped = self.end(true);
        let counters = &self.session.common.counters;
        counters.cleared.add();
        counters.dropped.add_all(dropped);
        let cleared = self.cleared(clears, dropped, false);
        // User code, and therefore last.
        drop(replaced);
        Step::Done(Ok(cleared))
    }

    /// The deadline has passed.
    fn give_up(&mut self) -> Step {
        let is_over = match (self.phase, self.cancelled) {
            // If not, the run has ended at the last moment.
            (Phase::Clearing, Some(run)) => self.session.place.give_up_clear(run),
            (Phase::Clearing, None) => false,
            (Phase::New | Phase::Joining | Phase::Over, _) => true,
        };
        if !is_over {
            return self.step();
        }
        self.phase = Phase::Over;
        Step::Done(Err(ClearError::Timeout))
    }

    fn end(&mut self, took_effect: bool) -> usize {
        self.phase = Phase::Over;
        Session::end_clear(&self.session, took_effect)
    }

    fn note_stopped(&mut self, holder: Option<Occupant>) {
        if let Some(holder) = holder {
            self.session.note_cleared(holder, self.policy == ClearPolicy::CancelAndDetach);
            self.cancelled = Some(holder.id);
        }
    }

    fn cleared(&self, clears: u64, dropped: usize, joined: bool) -> Cleared {
        let cancelled = self.cancelled.map(|run| self.session.run_id(run));
        Cleared { epoch: self.session.epoch(clears), cancelled, dropped, joined }
    }
}

impl<K, D, C> Drop for Steps<K, D, C> {
    /// Gives up the clear, which waits for a run. It may have been ended by another one, and a later one may be in
    /// progress: so each step names the generation.
    fn drop(&mut self) {
        let (Phase::Clearing, Some(run)) = (self.phase, self.cancelled) else { return };
        let place = &self.session.place;
        if place.give_up_clear(run) {
            return;
        }
        if place.take_clear(Some(run)) {
            // The run has ended by itself.
            self.end(false);
        } else if place.take_clear(Some(run.next())) {
            // Another clear has detached the run, which may still write in its epoch: this one has to take effect.
            // Unwind safety: what panics is the destructor of the old data, at the very end.
            let _done = contain(AssertUnwindSafe(|| self.finish()));
        }
    }
}

impl<K, D, C> Sessions<K, D, C>
where
    K: Hash + Eq + Clone,
{
    /// Resets the data of the session to that of a new one, in one step: a run begins before the clear, and is
    /// treated as the policy says, or after it, and finds the new data. Nothing that an earlier run has written,
    /// or is going to write, is visible afterwards.
    ///
    /// Callers that wait for a run of the session, and began to wait before this call, are refused with
    /// [`BeginError::Cleared`](super::BeginError::Cleared), in the same step. If the clear fails, they keep
    /// waiting.
    ///
    /// If another clear of the session is in progress, this call joins it: there is one reset, by the first of them that
    /// finds the session without a run, and the others return when it has ended. No clear waits for a future that is not
    /// polled; begins do, see [`clear_async`](Self::clear_async). Under
    /// [`ClearPolicy::CancelAndWait`], only callers that began to wait before the first of the joined clears are sure to
    /// be refused. Clearing a session that does not exist does nothing; with a store, it is created,
    /// because it may be stored. The connection stays.
    ///
    /// Blocks under [`ClearPolicy::CancelAndWait`]; otherwise at most for the last steps of another clear.
    ///
    /// # Errors
    /// [`ClearError::Busy`] or [`ClearError::Timeout`], by the policy.
    ///
    /// # Panics
    /// If the function that makes the data panics; nothing has changed then. If the destructor of the old data
    /// panics; the session was cleared then.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use switchboard::sessions::{ClearError, ClearPolicy, Sessions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<u32, String> = Sessions::new();
    /// let run = sessions.try_begin(&1)?;
    /// let refused = sessions.clear(&1, ClearPolicy::RefuseIfBusy);
    /// assert_eq!(refused, Err(ClearError::Busy(run.id())));
    /// let worker = std::thread::spawn(move || assert!(run.wait_cancelled(Duration::from_secs(60))));
    /// let cleared = sessions.clear(&1, ClearPolicy::CancelAndWait(Duration::from_secs(60)))?;
    /// assert_eq!(cleared.epoch, 1);
    /// # assert!(worker.join().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn clear(&self, key: &K, policy: ClearPolicy) -> Result<Cleared, ClearError> {
        let deadline = policy.deadline();
        loop {
            let Some(session) = self.get(key) else { return Ok(Cleared::nothing(self.floor())) };
            let mut steps = Steps::new(session.clone(), policy, || self.fresh(key))?;
            let mut step = steps.step();
            loop {
                step = match step {
                    Step::Done(result) => return result,
                    Step::Retired => break self.forget(key, &session),
                    Step::Wait(until) => {
                        let found = session.place.wait(until.deadline(deadline), |state| until.look(state));
                        if found.is_some() { steps.step() } else { steps.give_up() }
                    }
                };
            }
        }
    }

    /// Clears the session. The form of [`clear`](Self::clear) for tasks: the future needs no runtime, and has no
    /// timer, so it does not use the timeout of [`ClearPolicy::CancelAndWait`].
    ///
    /// From its first poll on, no run of the session begins before it completes or is dropped: polled no longer, but kept,
    /// it stops all begins of the session.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes has had no effect, except that the run remains cancelled, as
    /// after [`ClearError::Timeout`]. If another clear joined it and has detached the run, the session is cleared, also
    /// if both are dropped.
    ///
    /// # Errors
    /// [`ClearError::Busy`], by the policy.
    ///
    /// # Panics
    /// The future, as [`clear`](Self::clear), and if it is polled after it has completed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use switchboard::sessions::{ClearPolicy, Sessions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<u32, String> = Sessions::new();
    /// let run = sessions.try_begin(&1)?;
    /// let worker = std::thread::spawn(move || assert!(run.wait_cancelled(Duration::from_secs(60))));
    /// let cleared = sessions.clear_async(&1, ClearPolicy::CancelAndWait(Duration::MAX)).await?;
    /// assert_eq!(cleared.epoch, 1);
    /// # assert!(worker.join().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn clear_async<'a>(&'a self, key: &'a K, policy: ClearPolicy) -> Clear<'a, K, D, C> {
        Clear { sessions: self, key, policy, steps: None, spot: None, is_done: false }
    }
}

/// The future of [`Sessions::clear_async`]. The waker of the last poll counts.
#[must_use = "futures do nothing unless awaited or polled"]
pub struct Clear<'a, K, D, C> {
    sessions: &'a Sessions<K, D, C>,
    key: &'a K,
    policy: ClearPolicy,
    steps: Option<Steps<K, D, C>>,
    spot: Option<Spot>,
    is_done: bool,
}

impl<K, D, C> Clear<'_, K, D, C> {
    fn leave(&mut self) {
        if let Some(steps) = &self.steps {
            steps.session.place.leave(&mut self.spot);
        }
        self.steps = None;
    }
}

impl<K, D, C> Drop for Clear<'_, K, D, C> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<K, D, C> Unpin for Clear<'_, K, D, C> {}

impl<K, D, C> Future for Clear<'_, K, D, C>
where
    K: Hash + Eq + Clone,
{
    type Output = Result<Cleared, ClearError>;

    /// # Panics
    /// If it has already completed.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(!this.is_done, "a future of a session was polled after it had completed");
        let result = loop {
            let steps = match &mut this.steps {
                Some(steps) => steps,
                None => {
                    let Some(session) = this.sessions.get(this.key) else {
                        break Ok(Cleared::nothing(this.sessions.floor()));
                    };
                    let fresh = || this.sessions.fresh(this.key);
                    match Steps::new(session, this.policy, fresh) {
                        Ok(steps) => this.steps.insert(steps),
                        Err(error) => break Err(error),
                    }
                }
            };
            match steps.step() {
                Step::Done(result) => break result,
                Step::Retired => {
                    this.sessions.forget(this.key, &steps.session);
                    this.leave();
                }
                Step::Wait(until) => {
                    let look = |state| until.look(state);
                    if steps.session.place.poll(&mut this.spot, context.waker(), look).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        };
        this.is_done = true;
        this.leave();
        Poll::Ready(result)
    }
}

impl<K, D, C> fmt::Debug for Clear<'_, K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clear").field("done", &self.is_done).finish_non_exhaustive()
    }
}
