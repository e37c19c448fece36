//! Clearing a session, as one step for everyone else.
//!
//! The clear that sets the flag of the word excludes all claims until it ends; it waits for the holder, or takes
//! the place from it; and only then replaces the data. A second clear joins: it waits for the first one, and
//! is done if that one took effect.

use std::time::{Duration, Instant};

use super::error::ClearError;
use super::id::RunId;
use super::session::{Retired, Session};
use crate::claim::{ClaimId, ClearRefused, Displacement, State};
use crate::sync::{StdArc, deadline_after};

/// The treatment of the current run by [`Sessions::clear`](super::Sessions::clear).
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
    /// The epoch of the session: number of its clears.
    pub epoch: u64,
    /// The run that this call asked to stop, or detached.
    pub cancelled: Option<RunId>,
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
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::CancelAndWait(timeout) => deadline_after(timeout),
            Self::RefuseIfBusy | Self::CancelAndDetach => None,
        }
    }
}

/// The clear in progress. Dropped, it lets claims in again.
struct Clearing<'a, D, C> {
    session: &'a Session<D, C>,
    is_over: bool,
}

impl<D, C> Session<D, C> {
    /// Clears the session. `fresh` makes the data of a cleared session.
    pub(super) fn clear(
        &self,
        policy: ClearPolicy,
        deadline: Option<Instant>,
        fresh: impl FnOnce() -> D,
    ) -> Result<Result<Cleared, ClearError>, Retired> {
        let before = self.epoch();
        if let (ClearPolicy::RefuseIfBusy, Some(occupant)) = (policy, self.word.state().occupant()) {
            return Ok(Err(ClearError::Busy(self.run_id(occupant.id))));
        }
        // User code, which runs before anything is held.
        let fresh = StdArc::new(fresh());
        let mut displaced = None;
        loop {
            match self.word.begin_clear(policy.displacement()) {
                Ok((occupant, change)) => {
                    let clearing = Clearing { session: self, is_over: false };
                    self.waiters.notify(change);
                    self.note_stopped(occupant, policy);
                    return Ok(clearing.run(fresh, occupant.or(displaced), deadline));
                }
                Err(ClearRefused::Busy(run)) => return Ok(Err(ClearError::Busy(self.run_id(run)))),
                Err(ClearRefused::Retired) => return Err(Retired),
                Err(ClearRefused::Clearing) => {
                    displaced = displaced.or(self.hurry(policy));
                    if !self.wait_for_clear(deadline) {
                        return Ok(Err(ClearError::Timeout));
                    }
                    let epoch = self.epoch();
                    if epoch != before {
                        let cancelled = displaced.map(|run| self.run_id(run));
                        return Ok(Ok(Cleared { epoch, cancelled, joined: true }));
                    }
                }
            }
        }
    }

    /// Lets the clear in progress go on at once, if this one does not wait for runs.
    fn hurry(&self, policy: ClearPolicy) -> Option<ClaimId> {
        if policy != ClearPolicy::CancelAndDetach {
            return None;
        }
        let (run, change) = self.word.displace()?;
        self.waiters.notify(change);
        self.common.counters.detached.add();
        Some(run)
    }

    fn wait_for_clear(&self, deadline: Option<Instant>) -> bool {
        let look = |state: State| (!state.is_clearing()).then_some(());
        self.waiters.wait(&self.word, deadline, look).is_some()
    }

    fn note_stopped(&self, occupant: Option<ClaimId>, policy: ClearPolicy) {
        if occupant.is_some() {
            self.common.counters.cancelled.add();
            if policy == ClearPolicy::CancelAndDetach {
                self.common.counters.detached.add();
            }
        }
    }
}

impl<D, C> Clearing<'_, D, C> {
    fn run(
        mut self,
        fresh: StdArc<D>,
        cancelled: Option<ClaimId>,
        deadline: Option<Instant>,
    ) -> Result<Cleared, ClearError> {
        let session = self.session;
        let is_vacant = |state: State| state.occupant().is_none().then_some(());
        if session.waiters.wait(&session.word, deadline, is_vacant).is_none()
            && let Some(change) = session.word.give_up_clear()
        {
            self.is_over = true;
            session.waiters.notify(change);
            return Err(ClearError::Timeout);
        }
        let (epoch, old) = session.reset(fresh);
        self.end();
        session.common.counters.cleared.add();
        // User code, and therefore last.
        drop(old);
        Ok(Cleared { epoch, cancelled: cancelled.map(|run| session.run_id(run)), joined: false })
    }

    fn end(&mut self) {
        self.is_over = true;
        let word = &self.session.word;
        // The second one only if this clear ends early, with a holder.
        if let Some(change) = word.end_clear().or_else(|| word.give_up_clear()) {
            self.session.waiters.notify(change);
        }
    }
}

impl<D, C> Drop for Clearing<'_, D, C> {
    fn drop(&mut self) {
        if !self.is_over {
            self.end();
        }
    }
}
