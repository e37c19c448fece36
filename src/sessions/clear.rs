//! Clearing a session, as one step for everyone else.
//!
//! The clear that sets the flag of the word excludes all claims until it ends; it waits for the holder, or takes
//! the place from it; and only then replaces the data. A second clear joins: it waits for the first one, and
//! is done if that one took effect.
//!
//! The thread and the task go through the same [`Steps`]; they differ in the way they wait.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::error::ClearError;
use super::id::RunId;
use super::registry::Sessions;
use super::session::Session;
use crate::claim::{ClaimId, ClearRefused, Displacement, Spot, State};
use crate::sync::{Arc, StdArc, deadline_after};

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
    /// Whether this call joined a clear that was in progress, which took effect.
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

    /// Only a clear that may meet a run has a deadline: the others wait for the last steps of another clear.
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
    /// Number of clears when it began.
    before: u64,
    cancelled: Option<ClaimId>,
    phase: Phase,
    fresh: Option<StdArc<D>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    /// This is the clear in progress.
    Clearing,
    /// Another one is.
    Joining,
    Over,
}

enum Step {
    Done(Result<Cleared, ClearError>),
    /// The session was retired.
    Retired,
    /// The clear goes on when the place is in such a state.
    Wait(fn(State) -> Option<()>),
}

fn is_vacant(state: State) -> Option<()> {
    state.occupant().is_none().then_some(())
}

fn is_not_clearing(state: State) -> Option<()> {
    (!state.is_clearing()).then_some(())
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
        match self.phase {
            Phase::New => self.begin(),
            Phase::Clearing => self.finish(),
            Phase::Joining => self.join(),
            Phase::Over => unreachable!("a clear that is over is not asked again"),
        }
    }

    fn begin(&mut self) -> Step {
        let session = self.session.clone();
        match session.place.begin_clear(self.policy.displacement()) {
            Ok(occupant) => {
                self.phase = Phase::Clearing;
                self.note_stopped(occupant);
                self.cancelled = occupant.or(self.cancelled);
                self.finish()
            }
            Err(ClearRefused::Busy(run)) => Step::Done(Err(ClearError::Busy(session.run_id(run)))),
            Err(ClearRefused::Retired) => Step::Retired,
            Err(ClearRefused::Clearing) => {
                self.phase = Phase::Joining;
                if self.policy == ClearPolicy::CancelAndDetach
                    && let Some(run) = session.place.displace()
                {
                    // Lets the clear in progress go on at once, since this one does not wait for runs.
                    self.cancelled = self.cancelled.or(Some(run));
                    session.note_cleared(run, true);
                }
                Step::Wait(is_not_clearing)
            }
        }
    }

    fn join(&mut self) -> Step {
        let state = self.session.place.state();
        if is_not_clearing(state).is_none() {
            return Step::Wait(is_not_clearing);
        }
        let clears = self.session.clears_now();
        if clears == self.before || state.is_retired() {
            self.phase = Phase::New;
            return self.begin();
        }
        self.phase = Phase::Over;
        Step::Done(Ok(self.cleared(clears, 0, true)))
    }

    fn finish(&mut self) -> Step {
        if is_vacant(self.session.place.state()).is_none() {
            return Step::Wait(is_vacant);
        }
        let Some(fresh) = self.fresh.take() else { unreachable!("a clear that begins has new data") };
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
        if self.phase == Phase::Clearing {
            if !self.session.place.give_up_clear() {
                // The run has ended at the last moment.
                return self.finish();
            }
            self.phase = Phase::Over;
        }
        Step::Done(Err(ClearError::Timeout))
    }

    fn end(&mut self, took_effect: bool) -> usize {
        self.phase = Phase::Over;
        Session::end_clear(&self.session, took_effect)
    }

    fn note_stopped(&self, occupant: Option<ClaimId>) {
        if let Some(run) = occupant {
            self.session.note_cleared(run, self.policy == ClearPolicy::CancelAndDetach);
        }
    }

    fn cleared(&self, clears: u64, dropped: usize, joined: bool) -> Cleared {
        let cancelled = self.cancelled.map(|run| self.session.run_id(run));
        Cleared { epoch: self.session.epoch(clears), cancelled, dropped, joined }
    }
}

impl<K, D, C> Drop for Steps<K, D, C> {
    fn drop(&mut self) {
        if self.phase == Phase::Clearing && !self.session.place.give_up_clear() {
            self.end(false);
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
    /// If another clear of the session is in progress, this call waits for it, and returns its result if it
    /// took effect. Clearing a session that does not exist does nothing; with a store, it is created,
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
                    Step::Wait(look) if session.place.wait(deadline, look).is_some() => steps.step(),
                    Step::Wait(_) => steps.give_up(),
                };
            }
        }
    }

    /// Clears the session. The form of [`clear`](Self::clear) for tasks: the future needs no runtime, and has no
    /// timer, so it does not use the timeout of [`ClearPolicy::CancelAndWait`].
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes has had no effect, except that the run remains cancelled, as
    /// after [`ClearError::Timeout`].
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
                Step::Wait(look) => {
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
