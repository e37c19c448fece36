//! One session: its place for a run, its data and its connection.

use std::time::{Duration, Instant};

use super::common::{Common, Started};
use super::error::{RemoveError, Stale, TryBeginError};
use super::id::{ConnectionId, RunId};
use super::on_disconnect::OnDisconnect;
use crate::claim::{CancelRefused, ClaimId, ClaimRefused, ClaimWord, State, Waiters};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, StdArc, lock_order};

pub(super) struct Session<D, C> {
    number: u64,
    pub(super) word: ClaimWord,
    pub(super) waiters: Waiters,
    /// Number of clears. Written under the lock only, by the clear that holds the word.
    epoch: AtomicU64,
    started: Started,
    /// The time of the last begin or release, in milliseconds.
    used_ms: AtomicU64,
    contents: Mutex<Contents<D, C>>,
    pub(super) common: StdArc<Common>,
}

/// The contents that only the lock gives access to.
///
/// Valid after a panic: values are moved in and out, and no user code runs under the lock.
pub(super) struct Contents<D, C> {
    /// `None` once the session is retired.
    data: Option<StdArc<D>>,
    /// Number of updates and clears.
    version: u64,
    peer: Option<Peer<C>>,
    connections: u64,
    /// The run that began through the connection of the session.
    owned: Option<ClaimId>,
}

struct Peer<C> {
    id: ConnectionId,
    value: StdArc<C>,
}

/// The part of a session that a snapshot shows.
pub(super) struct Look<D> {
    pub(super) data: StdArc<D>,
    pub(super) version: u64,
    pub(super) epoch: u64,
    pub(super) connection: Option<ConnectionId>,
    pub(super) state: State,
}

/// The end of a connection, as far as the session is concerned.
pub(super) struct Ended<C> {
    pub(super) cancelled: Option<RunId>,
    /// To be dropped without the lock.
    pub(super) _peer: Option<StdArc<C>>,
    pub(super) was_current: bool,
}

/// The session was retired: the registry has, or will get, another one for the key.
#[derive(Debug)]
pub(super) struct Retired;

impl<D, C> Session<D, C> {
    pub(super) fn new(common: StdArc<Common>, data: StdArc<D>) -> Self {
        let contents = Contents { data: Some(data), version: 0, peer: None, connections: 0, owned: None };
        let used_ms = common.now_ms();
        Self {
            number: common.next_session(),
            word: ClaimWord::new(ClaimId::FIRST),
            waiters: Waiters::new(),
            epoch: AtomicU64::new(0),
            started: Started::new(),
            used_ms: AtomicU64::new(used_ms),
            contents: Mutex::new(&lock_order::SESSION, contents),
            common,
        }
    }

    pub(super) fn run_id(&self, claim: ClaimId) -> RunId {
        RunId { session: self.number, claim }
    }

    /// Claims the session. Returns the number of the claim, and the epoch in which it was made.
    pub(super) fn claim(&self) -> Result<(ClaimId, u64), ClaimRefused> {
        // Relaxed: the word was read before with acquire, and has not changed since when the claim succeeds.
        // The epoch changes only in a clear, which ends with a new generation of the word.
        let (claim, epoch) = self.word.claim(|| self.epoch.load(Ordering::Relaxed))?;
        let now_ms = self.common.now_ms();
        self.started.set(claim, now_ms);
        Ok((claim, epoch))
    }

    /// Claims the session for the run of its connection `id`. Under the lock, so that the end of the connection
    /// comes before the claim, or finds the run.
    pub(super) fn claim_for(&self, id: ConnectionId) -> Result<(ClaimId, u64), TryBeginError> {
        let mut contents = self.contents.lock();
        if contents.peer.as_ref().is_none_or(|peer| peer.id != id) {
            return Err(TryBeginError::Disconnected);
        }
        // The clock is user code, so the start is noted later.
        let claimed = self.word.claim(|| self.epoch.load(Ordering::Relaxed)); // Relaxed: as in `claim`.
        if let Ok((claim, _)) = claimed {
            contents.owned = Some(claim);
        }
        drop(contents);
        match claimed {
            Ok((claim, epoch)) => {
                self.started.set(claim, self.common.now_ms());
                Ok((claim, epoch))
            }
            Err(ClaimRefused::Busy(run)) => Err(self.busy(run)),
            Err(ClaimRefused::Clearing) => Err(self.clearing()),
            Err(ClaimRefused::Retired) => unreachable!("a session with a connection is not retired"),
        }
    }

    pub(super) fn busy(&self, run: ClaimId) -> TryBeginError {
        self.common.counters.refused.add();
        TryBeginError::Busy { run: self.run_id(run), age: self.started.age(run, self.common.now_ms()) }
    }

    pub(super) fn clearing(&self) -> TryBeginError {
        self.common.counters.refused.add();
        TryBeginError::Clearing
    }

    /// Ends the run `claim`. Returns whether it was that of the session.
    pub(super) fn release(&self, claim: ClaimId) -> bool {
        // Relaxed: `is_idle_since` reads it after the word, which the release below changes.
        self.used_ms.store(self.common.now_ms(), Ordering::Relaxed);
        match self.word.release(claim) {
            Some(change) => {
                self.waiters.notify(change);
                true
            }
            None => {
                self.common.counters.stale_releases.add();
                false
            }
        }
    }

    /// Waits until a claim is worth an attempt. Returns false if the deadline passed first.
    pub(super) fn wait_for_a_claim(&self, deadline: Option<Instant>) -> bool {
        let look = |state: State| state.is_worth_a_claim().then_some(());
        self.waiters.wait(&self.word, deadline, look).is_some()
    }

    /// Asks the run to stop; only `run` if one is given.
    pub(super) fn cancel(&self, run: Option<ClaimId>) -> Result<ClaimId, CancelRefused> {
        let (claim, change) = self.word.cancel(run)?;
        self.common.counters.cancelled.add();
        self.waiters.notify(change);
        Ok(claim)
    }

    /// Returns whether the run is, or was, one of this session.
    pub(super) fn has_begun(&self, run: RunId) -> bool {
        self.number == run.session
    }

    pub(super) fn read(&self) -> Option<StdArc<D>> {
        self.contents.lock().data.clone()
    }

    /// Returns the data, if the session is still in the epoch.
    pub(super) fn read_in(&self, epoch: u64) -> Result<StdArc<D>, Stale> {
        let contents = self.contents.lock();
        match &contents.data {
            Some(data) if self.is_in(epoch, &contents) => Ok(data.clone()),
            _ => Err(Stale),
        }
    }

    /// Replaces the data, if the session is still in the epoch. Returns the data to drop: the old one or, on
    /// failure, the new one.
    pub(super) fn write_in(&self, epoch: u64, data: StdArc<D>) -> Result<StdArc<D>, StdArc<D>> {
        let mut contents = self.contents.lock();
        let is_current = self.is_in(epoch, &contents);
        match &mut contents.data {
            Some(current) if is_current => {
                let old = std::mem::replace(current, data);
                contents.version += 1;
                Ok(old)
            }
            _ => Err(data),
        }
    }

    /// Replaces the data and begins a new epoch, whose number is returned with the old data. The caller holds
    /// the word for a clear.
    pub(super) fn reset(&self, fresh: StdArc<D>) -> (u64, Option<StdArc<D>>) {
        let mut contents = self.contents.lock();
        let epoch = self.next_epoch(&mut contents);
        (epoch, contents.data.replace(fresh))
    }

    fn next_epoch(&self, contents: &mut MutexGuard<'_, Contents<D, C>>) -> u64 {
        let epoch = self.epoch_of(contents) + 1;
        contents.version += 1;
        // Relaxed: read under the lock, or after the word, which the clear changes afterwards.
        self.epoch.store(epoch, Ordering::Relaxed);
        epoch
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch_of(&self.contents.lock())
    }

    fn is_in(&self, epoch: u64, contents: &MutexGuard<'_, Contents<D, C>>) -> bool {
        self.epoch_of(contents) == epoch
    }

    fn epoch_of(&self, _contents: &MutexGuard<'_, Contents<D, C>>) -> u64 {
        // Relaxed: written under the lock that the caller holds.
        self.epoch.load(Ordering::Relaxed)
    }

    /// Makes `value` the connection. Returns its identity, and the connection that it displaces.
    pub(super) fn connect(&self, value: StdArc<C>) -> Result<(ConnectionId, Option<StdArc<C>>), Retired> {
        let mut contents = self.contents.lock();
        if contents.data.is_none() {
            return Err(Retired);
        }
        let id = ConnectionId { session: self.number, number: contents.connections };
        contents.connections += 1;
        let displaced = contents.peer.replace(Peer { id, value });
        drop(contents);
        if displaced.is_some() {
            self.common.counters.displaced.add();
        }
        Ok((id, displaced.map(|peer| peer.value)))
    }

    /// Ends the connection `id`, if it is still that of the session.
    pub(super) fn disconnect(&self, id: ConnectionId) -> Ended<C> {
        let mut contents = self.contents.lock();
        if contents.peer.as_ref().is_none_or(|peer| peer.id != id) {
            return Ended { cancelled: None, _peer: None, was_current: false };
        }
        let peer = contents.peer.take();
        let owned = contents.owned.take();
        drop(contents);
        let run = owned.filter(|_| self.common.on_disconnect == OnDisconnect::Cancel);
        let cancelled = run.and_then(|run| self.cancel(Some(run)).ok());
        Ended {
            cancelled: cancelled.map(|run| self.run_id(run)),
            _peer: peer.map(|peer| peer.value),
            was_current: true,
        }
    }

    pub(super) fn connection(&self) -> Option<(ConnectionId, StdArc<C>)> {
        self.contents.lock().peer.as_ref().map(|peer| (peer.id, peer.value.clone()))
    }

    /// Returns the session as it is, or `None` if it is retired.
    pub(super) fn look(&self) -> Option<Look<D>> {
        let contents = self.contents.lock();
        let data = contents.data.clone()?;
        Some(Look {
            data,
            version: contents.version,
            epoch: self.epoch_of(&contents),
            connection: contents.peer.as_ref().map(|peer| peer.id),
            state: self.word.state(),
        })
    }

    /// Returns whether the session has been without a run for `idle`, judged before it looks like `seen`.
    pub(super) fn is_idle_since(&self, idle: Duration, seen: State) -> bool {
        // Relaxed: a run that ends later than `seen` has another generation, which `retire` refuses.
        let used = Duration::from_millis(self.used_ms.load(Ordering::Relaxed));
        seen.occupant().is_none() && Duration::from_millis(self.common.now_ms()).saturating_sub(used) >= idle
    }

    /// Retires the session, unless it is in use; if a state is given, only if nothing has happened since that
    /// was `seen`. Returns the data, or `None` if it was retired before.
    pub(super) fn retire(&self, seen: Option<State>) -> Result<Option<StdArc<D>>, RemoveError> {
        let mut contents = self.contents.lock();
        if contents.peer.is_some() {
            return Err(RemoveError::Connected);
        }
        let change = match self.word.retire(seen) {
            Ok(change) => change,
            Err(ClaimRefused::Retired) => return Ok(None),
            Err(ClaimRefused::Busy(run)) => return Err(RemoveError::Busy(self.run_id(run))),
            Err(ClaimRefused::Clearing) => return Err(RemoveError::Clearing),
        };
        // Runs that were detached may still want to write.
        let _epoch = self.next_epoch(&mut contents);
        let data = contents.data.take();
        drop(contents);
        self.common.counters.removed.add();
        self.waiters.notify(change);
        Ok(data)
    }
}
