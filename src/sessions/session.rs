//! One session: its place for a run, its data and its connection.

use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::common::{Common, Started};
use super::error::{RemoveError, Stale, TryBeginError};
use super::id::{ConnectionId, RunId};
use super::on_disconnect::OnDisconnect;
use super::watch::Gone;
use crate::claim::{
    Begun, CancelRefused, ClaimId, ClaimRefused, ClearEnded, Grant, Place, State, Terms, Ticket, WaitRefused,
};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, StdArc, lock_order};
use crate::table::{Replaced, SlimCell, SlimGuard};

pub(super) struct Session<K, D, C> {
    number: u64,
    key: K,
    pub(super) place: Place,
    /// Number of clears. Written under the lock only, by the clear that holds the place.
    clears: AtomicU64,
    /// The epoch before the first clear, plus one. Zero until it is asked for.
    first_epoch: AtomicU64,
    started: Started,
    /// The time of the last begin or release, in milliseconds.
    used_ms: AtomicU64,
    cell: SlimCell<Option<Published<D>>, Contents<C>>,
    pub(super) common: StdArc<Common<K, Self>>,
}

/// The data of a session, as of one version. `None` in the cell once the session is retired.
pub(super) struct Published<D> {
    /// Number of changes; zero if the data is that of a new session. Later ones have larger numbers, also if the
    /// session is removed and created again.
    pub(super) version: u64,
    /// Number of clears before it.
    pub(super) clears: u64,
    /// Whether it is that of a new or cleared session.
    pub(super) is_blank: bool,
    pub(super) data: StdArc<D>,
}

impl<D> Clone for Published<D> {
    fn clone(&self) -> Self {
        Self { data: self.data.clone(), ..*self }
    }
}

/// The contents that only the lock gives access to.
///
/// Valid after a panic: values are moved in and out, and no user code runs under the lock.
pub(super) struct Contents<C> {
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
    pub(super) published: Published<D>,
    pub(super) epoch: u64,
    pub(super) connection: Option<ConnectionId>,
    pub(super) waiting: usize,
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

impl<K, D, C> Session<K, D, C> {
    pub(super) fn new(common: StdArc<Common<K, Self>>, key: K, data: StdArc<D>) -> Self {
        let contents = Contents { peer: None, connections: 0, owned: None };
        let published = Published { version: 0, clears: 0, is_blank: true, data };
        Self {
            number: common.next_session(),
            key,
            place: Place::new(ClaimId::FIRST),
            clears: AtomicU64::new(0),
            first_epoch: AtomicU64::new(0),
            started: Started::new(),
            used_ms: AtomicU64::new(common.now_ms()),
            cell: SlimCell::new(&lock_order::SESSION, Some(published), contents),
            common,
        }
    }

    pub(super) fn key(&self) -> &K {
        &self.key
    }

    pub(super) fn run_id(&self, claim: ClaimId) -> RunId {
        RunId { session: self.number, claim }
    }

    /// Returns the number of clears, to be read with a claim: the claim was made in that epoch.
    fn clears(&self) -> u64 {
        // Relaxed: the word was read before with acquire, and has not changed since when the claim succeeds.
        // The number changes only in a clear, which ends with a new generation of the word.
        self.clears.load(Ordering::Relaxed)
    }

    /// Returns the epoch after this many clears.
    pub(super) fn epoch(&self, clears: u64) -> u64 {
        // Relaxed, here and below: nothing else is read by it, and it is written once.
        let first = match self.first_epoch.load(Ordering::Relaxed) {
            0 => {
                let mine = self.common.floor() + 1;
                let set = self.first_epoch.compare_exchange(0, mine, Ordering::Relaxed, Ordering::Relaxed);
                set.map_or_else(|theirs| theirs, |_| mine)
            }
            first => first,
        };
        first - 1 + clears
    }

    /// Claims the session.
    pub(super) fn claim(&self) -> Result<Grant, ClaimRefused> {
        let grant = self.place.claim(|| self.clears())?;
        self.note_start(grant);
        Ok(grant)
    }

    /// Claims the session as soon as those who came before have had it.
    pub(super) fn wait_to_claim(
        &self,
        replace: bool,
        deadline: Option<Instant>,
    ) -> Result<Grant, WaitRefused> {
        let joined = |cancelled| self.note_wait(cancelled);
        let grant = self.place.wait_to_claim(self.terms(replace), deadline, || self.clears(), joined)?;
        self.note_start(grant);
        Ok(grant)
    }

    /// Claims the session, or takes a seat in the queue for a task.
    pub(super) fn begin_wait(
        &self,
        replace: bool,
        waker: &Waker,
    ) -> Result<Result<Grant, Ticket>, WaitRefused> {
        match self.place.begin_wait(self.terms(replace), waker, || self.clears())? {
            Begun::Claimed(grant) => {
                self.note_start(grant);
                Ok(Ok(grant))
            }
            Begun::Waits(ticket, cancelled) => {
                self.note_wait(cancelled);
                Ok(Err(ticket))
            }
        }
    }

    /// Returns the end of a task's wait in the queue.
    pub(super) fn poll_claim(&self, ticket: Ticket, waker: &Waker) -> Poll<Result<Grant, WaitRefused>> {
        let poll = self.place.poll_claim(ticket, waker);
        if let Poll::Ready(Ok(grant)) = poll {
            self.note_start(grant);
        }
        poll
    }

    /// Gives up the seat in the queue, or the claim that was made for it.
    pub(super) fn leave_queue(&self, ticket: Ticket) {
        if let Some(grant) = self.place.leave_queue(ticket) {
            let _is_current = self.release(grant.id);
        }
    }

    fn terms(&self, replace: bool) -> Terms {
        Terms { limit: self.common.settings.max_waiting, replace }
    }

    fn note_wait(&self, cancelled: Option<ClaimId>) {
        self.common.counters.contended.add();
        if cancelled.is_some() {
            self.common.counters.cancelled.add();
        }
    }

    fn note_start(&self, grant: Grant) {
        self.started.set(grant.id, self.common.now_ms());
    }

    /// Claims the session for the run of its connection `id`. Under the lock, so that the end of the connection
    /// comes before the claim, or finds the run.
    pub(super) fn claim_for(&self, id: ConnectionId) -> Result<Grant, TryBeginError> {
        let mut contents = self.cell.lock();
        if !contents.is_current(id) {
            return Err(TryBeginError::Disconnected);
        }
        let claimed = self.place.claim(|| self.clears());
        if let Ok(grant) = claimed {
            contents.owned = Some(grant.id);
        }
        drop(contents);
        match claimed {
            Ok(grant) => {
                // The clock is user code, so the start is noted without the lock.
                self.note_start(grant);
                Ok(grant)
            }
            Err(ClaimRefused::Busy(run)) => Err(self.busy(run)),
            Err(ClaimRefused::Clearing) => Err(self.clearing()),
            Err(ClaimRefused::Retired) => unreachable!("a session with a connection is not retired"),
        }
    }

    /// Makes the run that of the connection `id`. Returns false if that is not the current one.
    pub(super) fn adopt(&self, id: ConnectionId, run: ClaimId) -> bool {
        let mut contents = self.cell.lock();
        let is_current = contents.is_current(id) && self.place.state().is_held_by(run);
        if is_current {
            contents.owned = Some(run);
        }
        is_current
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
        let was_current = self.place.release(claim, || self.clears());
        if !was_current {
            self.common.counters.stale_releases.add();
        }
        self.common.released(&self.key, self.run_id(claim));
        was_current
    }

    /// Asks the run to stop; only `run` if one is given.
    pub(super) fn cancel(&self, run: Option<ClaimId>) -> Result<ClaimId, CancelRefused> {
        let claim = self.place.cancel(run)?;
        self.common.counters.cancelled.add();
        Ok(claim)
    }

    /// Returns whether the run is, or was, one of this session.
    pub(super) fn has_begun(&self, run: RunId) -> bool {
        self.number == run.session
    }

    /// Returns the data with its version, or `None` if the session is retired. Wait-free.
    pub(super) fn published(&self) -> Option<Published<D>> {
        self.cell.read(Clone::clone)
    }

    pub(super) fn read(&self) -> Option<StdArc<D>> {
        self.cell.read(|published| published.as_ref().map(|published| published.data.clone()))
    }

    /// Returns the data, if the session is still in the epoch.
    pub(super) fn read_in(&self, clears: u64) -> Result<StdArc<D>, Stale> {
        self.cell.read(|published| match published {
            Some(published) if published.clears == clears => Ok(published.data.clone()),
            _ => Err(Stale),
        })
    }

    /// Replaces the data, if the session is still in the epoch.
    pub(super) fn write_in(this: &Arc<Self>, clears: u64, data: StdArc<D>) -> Result<(), Stale> {
        let mut contents = this.cell.lock();
        let Some((version, _)) = this.current(&contents).filter(|(_, current)| *current == clears) else {
            // The data is user code, and therefore last.
            drop(contents);
            return Err(Stale);
        };
        let version = this.next_version(version);
        let replaced = contents.publish(Some(Published { version, clears, is_blank: false, data }));
        drop(contents);
        Self::changed(this, version);
        // The old data is user code, and therefore last.
        drop(replaced);
        Ok(())
    }

    /// Replaces the data and begins a new epoch, whose number is returned with the old data. The caller holds
    /// the place for a clear.
    pub(super) fn reset(this: &Arc<Self>, fresh: StdArc<D>) -> (u64, Replaced<Option<Published<D>>>) {
        let mut contents = this.cell.lock();
        let (version, clears) = this.current(&contents).unwrap_or_default();
        let (version, clears) = (this.next_version(version), clears + 1);
        // Relaxed: read after the word, which the clear changes afterwards.
        this.clears.store(clears, Ordering::Relaxed);
        let replaced = contents.publish(Some(Published { version, clears, is_blank: true, data: fresh }));
        drop(contents);
        Self::changed(this, version);
        (clears, replaced)
    }

    /// Ends the clear that the caller began, if there is no run.
    pub(super) fn end_clear(&self, took_effect: bool) -> Option<ClearEnded> {
        self.place.end_clear(took_effect, || self.clears())
    }

    /// Installs data that was stored before, with its version. Fails if the data was changed, or the session is
    /// retired.
    #[allow(dead_code)] // For saving.
    pub(super) fn install(&self, version: u64, data: StdArc<D>) -> Result<(), StdArc<D>> {
        let mut contents = self.cell.lock();
        let Some((0, clears)) = self.current(&contents) else { return Err(data) };
        let replaced = contents.publish(Some(Published { version, clears, is_blank: false, data }));
        drop(contents);
        drop(replaced);
        Ok(())
    }

    /// The data has changed. Every change comes through here, with nothing held.
    fn changed(this: &Arc<Self>, version: u64) {
        if let Some(watch) = &this.common.watch {
            watch.changed(this, version);
        }
    }

    /// Returns the version and the number of clears, or `None` if the session is retired.
    fn current(&self, _locked: &Locked<'_, D, C>) -> Option<(u64, u64)> {
        self.cell.read(|published| published.as_ref().map(|published| (published.version, published.clears)))
    }

    /// Returns the version after `version`, which is above those of an earlier session of the key.
    fn next_version(&self, version: u64) -> u64 {
        self.common.floor().max(version + 1)
    }

    /// Returns the number of clears.
    pub(super) fn clears_now(&self) -> u64 {
        self.cell.read(|published| published.as_ref().map_or(u64::MAX, |published| published.clears))
    }

    /// Makes `value` the connection. Returns its identity, and the connection that it displaces.
    pub(super) fn connect(&self, value: StdArc<C>) -> Result<(ConnectionId, Option<StdArc<C>>), Retired> {
        let mut contents = self.cell.lock();
        if self.current(&contents).is_none() {
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
        let mut contents = self.cell.lock();
        if !contents.is_current(id) {
            return Ended { cancelled: None, _peer: None, was_current: false };
        }
        let peer = contents.peer.take();
        let owned = contents.owned.take();
        drop(contents);
        let run = owned.filter(|_| self.common.settings.on_disconnect == OnDisconnect::Cancel);
        let cancelled = run.and_then(|run| self.cancel(Some(run)).ok());
        Ended {
            cancelled: cancelled.map(|run| self.run_id(run)),
            _peer: peer.map(|peer| peer.value),
            was_current: true,
        }
    }

    pub(super) fn connection(&self) -> Option<(ConnectionId, StdArc<C>)> {
        self.cell.lock().peer.as_ref().map(|peer| (peer.id, peer.value.clone()))
    }

    /// Returns the session as it is, or `None` if it is retired.
    pub(super) fn look(&self) -> Option<Look<D>> {
        let contents = self.cell.lock();
        let published = self.published()?;
        let connection = contents.peer.as_ref().map(|peer| peer.id);
        let state = self.place.state();
        drop(contents);
        let epoch = self.epoch(published.clears);
        Some(Look { published, epoch, connection, waiting: self.place.queue_len(), state })
    }

    /// Returns whether the session has been without a run for `idle`, judged before it looks like `seen`.
    pub(super) fn is_idle_since(&self, idle: Duration, seen: State) -> bool {
        // Relaxed: a run that ends later than `seen` has another generation, which `retire` refuses.
        let used = Duration::from_millis(self.used_ms.load(Ordering::Relaxed));
        seen.occupant().is_none() && Duration::from_millis(self.common.now_ms()).saturating_sub(used) >= idle
    }

    /// Retires the session, unless it is in use; if a state is given, only if nothing has happened since that
    /// was `seen`. Returns the data, or `None` if it was retired before.
    ///
    /// Everyone who is told of it is told before the session leaves the map.
    pub(super) fn retire(
        this: &Arc<Self>,
        gone: Gone,
        seen: Option<State>,
    ) -> Result<Option<StdArc<D>>, RemoveError> {
        let mut contents = this.cell.lock();
        if contents.peer.is_some() {
            return Err(RemoveError::Connected);
        }
        match this.place.retire(seen) {
            Ok(()) => {}
            Err(ClaimRefused::Retired) => return Ok(None),
            Err(ClaimRefused::Busy(run)) => return Err(RemoveError::Busy(this.run_id(run))),
            Err(ClaimRefused::Clearing) => return Err(RemoveError::Clearing),
        }
        let last = this.published();
        // Runs that were detached may still want to write: they find no data.
        let replaced = contents.publish(None);
        drop(contents);
        this.common.counters.removed.add();
        if let Some(last) = &last {
            Self::leave(this, gone, last);
        }
        drop(replaced);
        Ok(last.map(|last| last.data))
    }

    fn leave(this: &Arc<Self>, gone: Gone, last: &Published<D>) {
        let version = this.next_version(last.version);
        if last.version > 0 {
            this.common.raise_floor(version.max(this.epoch(last.clears)));
        }
        if let Some(watch) = &this.common.watch {
            watch.removed(this, gone, version);
        }
    }
}

type Locked<'a, D, C> = SlimGuard<'a, Option<Published<D>>, Contents<C>>;

impl<C> Contents<C> {
    fn is_current(&self, id: ConnectionId) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.id == id)
    }
}
