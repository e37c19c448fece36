//! One session: its place for a run, its data and its connection.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::panic::AssertUnwindSafe;
use std::task::{Poll, Waker};
use std::time::Instant;

mod data;
mod peer;

pub(super) use self::data::NotInstalled;
use super::common::{Common, Stamp};
use super::error::TryBeginError;
use super::id::{ConnectionId, RunId};
use super::map::Map;
use super::mark::Mark;
use crate::claim::{
    Begun, CancelRefused, ClaimId, ClaimRefused, Grant, Occupant, Place, Released, State, Terms, Ticket,
    WaitRefused,
};
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::sync::ring::Ring;
use crate::sync::{Arc, Mutex, StdArc, StdWeak, lock_order};
use crate::table::{SlimCell, SlimGuard};
use crate::unwind::contain;

/// The fields are in the order of their use: a run that begins and ends touches the first ones.
#[repr(C)]
pub(super) struct Session<K, D, C> {
    pub(super) place: Place,
    /// Number of clears. Written under the lock only, by the clear that holds the place.
    clears: AtomicU64,
    /// [`BLANK`], [`CONNECTED`] and [`ORPHANED`]: changes under the lock.
    hints: AtomicU8,
    pub(super) common: StdArc<Common<K, Self>>,
    number: u64,
    /// The time from which the age of a run is counted; see `note_start`.
    started: Stamp,
    /// The time of the request to stop.
    asked: Stamp,
    /// The time since which the session is known to be idle.
    idle: Stamp,
    cell: SlimCell<Option<Published<D>>, Contents<C>>,
    /// The epoch before the first clear, plus one. Zero until it is asked for.
    first_epoch: AtomicU64,
    home: StdWeak<Home<K, D, C>>,
    key: K,
    /// For the watch; `None` if there is none.
    pub(super) mark: Option<Mark<K>>,
}

/// The part of a registry that its sessions lead to.
pub(super) struct Home<K, D, C> {
    pub(super) map: Map<K, Session<K, D, C>>,
    /// Blank sessions, oldest first. `None` if none are kept.
    pub(super) blank: Option<Ring<Arc<Session<K, D, C>>>>,
    /// The sessions whose connection has ended, and whose run may be resumed, by the end of that time in
    /// microseconds.
    pub(super) orphans: Mutex<Orphans<K, D, C>>,
    /// Removes a retired session from the map. A function pointer, since destructors know nothing of `Hash`.
    pub(super) forget: fn(&Self, &Arc<Session<K, D, C>>),
}

/// By time and number of the session. Valid after a panic: no user code runs under the lock.
pub(super) type Orphans<K, D, C> = BTreeMap<(u64, u64), Arc<Session<K, D, C>>>;

/// The data is that of a new or cleared session.
const BLANK: u8 = 1;
/// The session has a connection.
const CONNECTED: u8 = 2;
/// The session is among the orphans.
const ORPHANED: u8 = 4;

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
    /// The end of the time in which a connection may resume the run, in microseconds. The session is among the orphans
    /// at this time, unless that entry was just taken out to be looked at.
    resume_until: Option<NonZeroU64>,
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

/// A new connection, as far as the session is concerned.
pub(super) struct Joined<C> {
    pub(super) id: ConnectionId,
    pub(super) displaced: Option<StdArc<C>>,
    /// The run of the connection before, which it takes over.
    pub(super) run: Option<RunId>,
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
    pub(super) fn new(
        common: StdArc<Common<K, Self>>,
        home: StdWeak<Home<K, D, C>>,
        key: K,
        data: StdArc<D>,
    ) -> Self {
        let contents = Contents { peer: None, connections: 0, owned: None, resume_until: None };
        let published = Published { version: 0, clears: 0, is_blank: true, data };
        let stamp = || Stamp::none(ClaimId::FIRST);
        Self {
            place: Place::new(ClaimId::FIRST),
            clears: AtomicU64::new(0),
            hints: AtomicU8::new(BLANK),
            number: common.next_session(),
            started: stamp(),
            asked: stamp(),
            idle: stamp(),
            cell: SlimCell::new(&lock_order::SESSION, Some(published), contents),
            first_epoch: AtomicU64::new(0),
            home,
            mark: common.watch.as_ref().map(|watch| watch.mark(&key)),
            key,
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
    pub(super) fn clears(&self) -> u64 {
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

    /// Claims the session. Lock-free; runs no user code, and reads no clock.
    pub(super) fn claim(&self) -> Result<Grant, ClaimRefused> {
        self.place.claim(|| self.clears())
    }

    /// Claims the session as soon as those who came before have had it.
    pub(super) fn wait_to_claim(
        &self,
        replace: bool,
        deadline: Option<Instant>,
    ) -> Result<Grant, WaitRefused> {
        let joined = |cancelled| self.note_wait(cancelled);
        let grant = self.place.wait_to_claim(self.terms(replace), deadline, || self.clears(), joined)?;
        self.note_start(grant.id);
        Ok(grant)
    }

    /// Claims the session, or takes a seat in the queue for a task.
    pub(super) fn begin_wait(
        &self,
        replace: bool,
        waker: &Waker,
    ) -> Result<Result<Grant, Ticket>, WaitRefused> {
        match self.place.begin_wait(self.terms(replace), waker, || self.clears())? {
            Begun::Claimed(grant) => Ok(Ok(grant)),
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
            self.note_start(grant.id);
        }
        poll
    }

    /// Gives up the seat in the queue, or the claim that was made for it.
    pub(super) fn leave_queue(this: &Arc<Self>, ticket: Ticket) {
        if let Some(grant) = this.place.leave_queue(ticket) {
            let _is_current = Self::release(this, grant.id);
        }
    }

    fn terms(&self, replace: bool) -> Terms {
        Terms { limit: self.common.settings.max_waiting, replace }
    }

    fn note_wait(&self, cancelled: Option<ClaimId>) {
        self.common.counters.contended.add();
        let now_us = self.common.now_us();
        if let Some(run) = self.place.state().occupant() {
            let _age = self.started.since_or_set(run.id, now_us);
        }
        if let Some(run) = cancelled {
            self.note_asked(run, now_us);
        }
    }

    /// Notes the start of a run, for its age. A begin that succeeds at once does not come here: it would read the
    /// clock for those who may never ask. The age of its run counts from the call of
    /// [`Run::start`](super::run::Run::start), or from the first one who finds the session busy.
    pub(super) fn note_start(&self, run: ClaimId) {
        let _age = self.started.since_or_set(run, self.common.now_us());
    }

    fn note_asked(&self, run: ClaimId, now_us: u64) {
        self.asked.set(run, now_us);
        self.common.counters.cancelled.add();
    }

    /// The run was asked to stop when it got the session: another one waits that replaces it.
    fn note_born(&self, asked: Option<ClaimId>) {
        if let Some(run) = asked {
            self.note_asked(run, self.common.now_us());
        }
    }

    /// A clear has asked the run to stop, or has detached it. It is passed as it was before.
    pub(super) fn note_cleared(&self, run: Occupant, is_detached: bool) {
        if !run.is_cancelled {
            self.note_asked(run.id, self.common.now_us());
        }
        if is_detached {
            self.common.counters.detached.add();
        }
    }

    pub(super) fn busy(&self, run: ClaimId) -> TryBeginError {
        self.common.counters.refused.add(self.number);
        let age = self.started.since_or_set(run, self.common.now_us());
        TryBeginError::Busy { run: self.run_id(run), age }
    }

    pub(super) fn clearing(&self) -> TryBeginError {
        self.common.counters.refused.add(self.number);
        TryBeginError::Clearing
    }

    /// Ends the run `claim`. Returns whether it was that of the session.
    pub(super) fn release(this: &Arc<Self>, claim: ClaimId) -> bool {
        let released = this.place.release(claim, || this.clears());
        match released {
            Some(released) => {
                if released.was_cancelled || released.was_awaited {
                    this.note_end(claim, released);
                }
                this.note_born(released.asked);
                Self::end_orphan(this, claim);
                // If it is listed, it is looked at later than this end of a use.
                if !released.is_listed {
                    Self::settle(this);
                }
            }
            None => this.common.counters.stale_releases.add(),
        }
        this.common.released(&this.key, this.run_id(claim));
        released.is_some()
    }

    /// Measures the end of a run that was asked to stop, or for which others waited.
    fn note_end(&self, claim: ClaimId, released: Released) {
        let (counters, now_us) = (&self.common.counters, self.common.now_us());
        if released.was_cancelled
            && let Some(latency) = self.asked.since(claim, now_us)
        {
            counters.cancel_latency.record(latency);
        }
        if released.was_awaited
            && let Some(held) = self.started.since(claim, now_us)
        {
            counters.hold_time.record(held);
        }
    }

    /// Hands the session to the list of the blank ones, unless it is in use or has data. Called whenever that
    /// may have become true: at the end of a run, a clear and a connection, with nothing held.
    ///
    /// Of two that come at the same time, at least one finds it so: the hints change in one word.
    pub(super) fn settle(this: &Arc<Self>) {
        // Relaxed: if the hints change later, the thread that changes them comes here.
        if this.hints.load(Ordering::Relaxed) == BLANK
            && let Some(home) = this.home.upgrade()
        {
            home.keep_blank(this);
            drop_home(home);
        }
    }

    fn hint(&self, hint: u8, is_set: bool) {
        // AcqRel: of a run that ends and a session that becomes an orphan, one sees the other; pairs with `end_orphan`.
        // The other hints need no order.
        if is_set {
            self.hints.fetch_or(hint, Ordering::AcqRel);
        } else {
            self.hints.fetch_and(!hint, Ordering::AcqRel);
        }
    }

    /// Ends the clear that the caller has taken. Returns the number of those who waited and are dropped.
    pub(super) fn end_clear(this: &Arc<Self>, took_effect: bool) -> usize {
        let ended = this.place.end_clear(took_effect, || this.clears());
        this.note_born(ended.and_then(|ended| ended.asked));
        Self::settle(this);
        ended.map_or(0, |ended| ended.dropped)
    }

    /// Asks the run to stop; only `run` if one is given.
    pub(super) fn cancel(&self, run: Option<ClaimId>) -> Result<ClaimId, CancelRefused> {
        let claim = self.place.cancel(run)?;
        self.note_asked(claim, self.common.now_us());
        Ok(claim)
    }

    /// Returns whether the run is, or was, one of this session.
    pub(super) fn has_begun(&self, run: RunId) -> bool {
        self.number == run.session
    }

    /// Returns whether the session has a run, a connection or a clear.
    pub(super) fn is_in_use(&self) -> bool {
        let state = self.place.state();
        // Relaxed: only a hint.
        state.occupant().is_some()
            || state.is_clearing()
            || self.hints.load(Ordering::Relaxed) & CONNECTED != 0
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
}

/// Drops what may be the last reference to the registry: then user code runs, with nothing held. A panic is
/// contained, because this happens in destructors.
fn drop_home<K, D, C>(home: StdArc<Home<K, D, C>>) {
    let _ = contain(AssertUnwindSafe(|| drop(home)));
}

type Locked<'a, D, C> = SlimGuard<'a, Option<Published<D>>, Contents<C>>;

impl<C> Contents<C> {
    fn is_current(&self, id: ConnectionId) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.id == id)
    }
}
