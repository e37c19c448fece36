//! A session as it was at one time.

use super::id::{ConnectionId, RunId};
use super::session::{Look, Published};
use crate::claim::ClaimId;
use crate::sync::StdArc;

/// One session, as [`Sessions::snapshot`](super::Sessions::snapshot) found it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionSnapshot<K, D> {
    /// The key of the session.
    pub key: K,
    /// The data.
    pub data: StdArc<D>,
    /// The version of the data: each update and each clear makes one that is larger than all earlier ones of the key,
    /// also if its session is removed and created again. Zero as long as the session was neither changed nor loaded since
    /// it was created.
    pub version: u64,
    /// The epoch: each clear begins a new one.
    pub epoch: u64,
    /// The connection.
    pub connection: Option<ConnectionId>,
    /// The run.
    pub run: Option<RunId>,
    /// The state of the run.
    pub phase: Phase,
    /// Number of callers that wait for a run of the session.
    pub waiting: usize,
}

/// The state of a session's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The session has no run.
    Idle,
    /// The run has begun, and has not called [`Run::start`](super::Run::start).
    Reserved,
    /// The run works.
    Running,
    /// The run was asked to stop.
    Cancelling,
    /// The session is being cleared; a run that it still has was asked to stop.
    Clearing,
}

impl<K, D> SessionSnapshot<K, D> {
    pub(super) fn new(key: K, look: Look<D>, run_id: impl Fn(ClaimId) -> RunId) -> Self {
        let Look { published: Published { version, data, .. }, epoch, connection, waiting, state } = look;
        let run = state.occupant();
        let phase = match run {
            _ if state.is_clearing() => Phase::Clearing,
            None => Phase::Idle,
            Some(run) if run.is_cancelled => Phase::Cancelling,
            Some(run) if run.is_running => Phase::Running,
            Some(_) => Phase::Reserved,
        };
        Self { key, data, version, epoch, connection, run: run.map(|run| run_id(run.id)), phase, waiting }
    }
}
