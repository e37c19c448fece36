//! The handle of a registry.

use std::collections::btree_map::OccupiedEntry;
use std::fmt;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::common::{Common, Settings};
use super::connection::{Connected, Connection};
use super::error::{BeginError, RemoveError, TryBeginError};
use super::id::RunId;
use super::limit::Limit;
use super::map::Map;
use super::run::Run;
use super::saving::Saver;
use super::session::{Home, Joined, Orphans, Retired, Session};
use super::snapshot::SessionSnapshot;
use super::stats::Stats;
use super::watch::Gone;
use crate::claim::{CancelRefused, ClaimRefused, WaitRefused};
use crate::sync::ring::Ring;
use crate::sync::{Arc, Mutex, StdArc, deadline_after, lock_order};
use crate::unwind::discard;

/// Makes the data of a new or cleared session.
pub(super) type Init<K, D> = Box<dyn Fn(&K) -> D + Send + Sync>;

/// Keys and their sessions.
pub(super) type Entries<K, D, C> = Vec<(K, Arc<Session<K, D, C>>)>;

/// A registry of sessions: for each key its data, its connection, and at most one run.
///
/// Cheap to clone; all clones are the same registry. `D` is the data of a session, which is replaced as a
/// whole; `C` is the peer of a connection, such as the sending end of a socket.
///
/// See the [module](super) for an example and for what is guaranteed.
pub struct Sessions<K, D, C = ()> {
    registry: Arc<Registry<K, D, C>>,
}

struct Registry<K, D, C> {
    home: StdArc<Home<K, D, C>>,
    common: StdArc<Common<K, Session<K, D, C>>>,
    init: Init<K, D>,
    limit: Limit,
    saver: Option<Saver<K, D>>,
}

/// Maximum number of blank sessions, for which there is space from the start.
const MAX_BLANK: usize = 1 << 20;

/// The result of [`Sessions::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// The session has no run, or not the one that was named.
    Idle,
    /// The run was asked to stop by this call.
    Requested(RunId),
    /// The run was asked to stop by an earlier call.
    AlreadyRequested(RunId),
}

/// The result of [`Sessions::broadcast`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broadcast {
    /// Calls that returned.
    pub delivered: usize,
    /// Calls that panicked.
    pub panicked: usize,
}

impl<K, D, C> Clone for Sessions<K, D, C> {
    fn clone(&self) -> Self {
        Self { registry: self.registry.clone() }
    }
}

impl<K, D, C> Sessions<K, D, C>
where
    K: Hash + Eq + Clone,
{
    pub(super) fn from_parts(
        common: Common<K, Session<K, D, C>>,
        init: Init<K, D>,
        saver: Option<Saver<K, D>>,
    ) -> Self {
        let Settings { max_blank, max_idle, .. } = common.settings;
        let home = Home {
            map: Map::new(),
            blank: (max_blank > 0).then(|| Ring::new(max_blank.min(MAX_BLANK))),
            orphans: Mutex::new(&lock_order::SESSION_ORPHANS, Orphans::new()),
            forget: |home, session| home.map.remove_same(session.key(), session),
        };
        let (home, common, limit) = (StdArc::new(home), StdArc::new(common), Limit::new(max_idle));
        Self { registry: Arc::new(Registry { home, common, init, limit, saver }) }
    }

    /// Begins a run, if the session has none. Creates the session if the key has none.
    ///
    /// Of several calls at the same time, one begins a run and the others fail. Lock-free once the session
    /// exists.
    ///
    /// # Errors
    /// [`TryBeginError::Busy`] if the session has a run, [`TryBeginError::Clearing`] while it is being cleared.
    ///
    /// # Panics
    /// If the function that makes the data of a new session panics. Nothing is inserted then.
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::{Sessions, TryBeginError};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<&str, Vec<String>> = Sessions::new();
    /// let run = sessions.try_begin(&"a")?;
    /// assert!(sessions.try_begin(&"a").is_err_and(TryBeginError::is_busy));
    /// assert!(sessions.try_begin(&"b").is_ok());
    /// drop(run);
    /// assert!(sessions.try_begin(&"a").is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_begin(&self, key: &K) -> Result<Run<K, D, C>, TryBeginError> {
        match self.claim_known(key) {
            Some(Ok(run)) => return Ok(run),
            Some(Err(Some(refused))) => return Err(refused),
            Some(Err(None)) | None => {}
        }
        loop {
            let session = self.session(key);
            match self.claim(key, &session) {
                Ok(run) => return Ok(run),
                Err(ClaimRefused::Busy(run)) => return Err(session.busy(run)),
                Err(ClaimRefused::Clearing) => return Err(session.clearing()),
                Err(ClaimRefused::Retired) => {}
            }
        }
    }

    /// Begins a run as soon as all that began to wait before have had theirs, waiting up to `timeout`. Blocks.
    ///
    /// Those who wait for one session, as threads or tasks, form a queue. The end of a run wakes the first of
    /// them, whose run has then begun; no one who comes later gets in between. The queue is bounded by
    /// [`SessionsBuilder::max_waiting`](super::SessionsBuilder::max_waiting).
    ///
    /// # Errors
    /// [`BeginError`]; nothing has changed.
    ///
    /// # Panics
    /// As [`try_begin`](Self::try_begin).
    pub fn begin_timeout(&self, key: &K, timeout: Duration) -> Result<Run<K, D, C>, BeginError> {
        self.begin_until(key, deadline_after(timeout), false)
    }

    /// Asks the current run of the session to stop, if it has one, and begins a run when it has ended, waiting up
    /// to `timeout`. Blocks.
    ///
    /// The caller takes its place at the end of the queue, as in [`begin_timeout`](Self::begin_timeout). Each run
    /// that begins before this one is asked to stop as well, from the start: of several calls at the same time,
    /// each replaces the run of the one before.
    ///
    /// # Errors
    /// [`BeginError`]; runs that were asked to stop remain cancelled.
    ///
    /// # Panics
    /// As [`try_begin`](Self::try_begin).
    pub fn begin_or_replace(&self, key: &K, timeout: Duration) -> Result<Run<K, D, C>, BeginError> {
        self.begin_until(key, deadline_after(timeout), true)
    }

    /// Asks the run of the session to stop. Never affects a later run. Lock-free, apart from a short lock if
    /// someone waits for the session.
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::{Cancel, Sessions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<u32, String> = Sessions::new();
    /// assert_eq!(sessions.cancel(&1), Cancel::Idle);
    /// let run = sessions.try_begin(&1)?;
    /// assert_eq!(sessions.cancel(&1), Cancel::Requested(run.id()));
    /// assert_eq!(sessions.cancel(&1), Cancel::AlreadyRequested(run.id()));
    /// assert!(!run.start(), "cancelled before it started");
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self, key: &K) -> Cancel {
        self.registry.home.map.get(key).map_or(Cancel::Idle, |session| Self::cancel_in(&session, None))
    }

    /// Asks `run` to stop, if it is still that of the session. As [`cancel`](Self::cancel).
    pub fn cancel_run(&self, key: &K, run: RunId) -> Cancel {
        match self.registry.home.map.get(key) {
            Some(session) if session.has_begun(run) => Self::cancel_in(&session, Some(run)),
            _ => Cancel::Idle,
        }
    }

    /// Returns the data of the session, or `None` if the key has no session.
    ///
    /// Wait-free, as `arc_swap` uses the word, once the session is found in the map: no run blocks it. An
    /// update that has returned is visible.
    pub fn read(&self, key: &K) -> Option<StdArc<D>> {
        self.registry.home.map.with(key, |session| session.read())?
    }

    /// Makes `peer` the connection of the session, and returns the peer that it displaces, for the caller to
    /// close. Creates the session if the key has none.
    ///
    /// # Panics
    /// As [`try_begin`](Self::try_begin).
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::Sessions;
    ///
    /// let sessions: Sessions<u32, String, &str> = Sessions::new();
    /// let old = sessions.connect(&1, "old socket").connection;
    /// let new = sessions.connect(&1, "new socket");
    /// assert_eq!(new.displaced.as_deref(), Some(&"old socket"));
    /// assert!(!old.disconnect().was_current, "late, and therefore without effect");
    /// assert!(new.connection.is_current());
    /// ```
    pub fn connect(&self, key: &K, peer: C) -> Connected<K, D, C> {
        let peer = StdArc::new(peer);
        loop {
            let session = self.session(key);
            match session.connect(peer.clone()) {
                Ok(Joined { id, displaced, run }) => {
                    return Connected { connection: Connection::new(session, id, peer), displaced, run };
                }
                Err(Retired) => self.forget(key, &session),
            }
        }
    }

    /// Returns the connected sessions and their peers. O(n), with a short lock of each session, which is as it was at
    /// some time during the call.
    #[must_use]
    pub fn peers(&self) -> Vec<(K, StdArc<C>)> {
        let entries = self.registry.home.map.entries().into_iter();
        entries.filter_map(|(key, session)| Some((key, session.connection()?.1))).collect()
    }

    /// Calls `send` for each connected session, on this thread, with nothing held: it may use this registry.
    ///
    /// The peers are those of [`peers`](Self::peers). A call that panics does not keep the others from their
    /// turn. The calls come one after the other, so one that blocks delays those that follow: a server gives each
    /// connection a bounded queue and a task that sends, and `send` puts the message into the queue, or drops it if the
    /// queue is full.
    pub fn broadcast(&self, mut send: impl FnMut(&K, &C)) -> Broadcast {
        let mut broadcast = Broadcast::default();
        for (key, peer) in self.peers() {
            // Unwind safety: the registry is not in the middle of anything, and `send` belongs to the caller,
            // who learns of the panic.
            match catch_unwind(AssertUnwindSafe(|| send(&key, &peer))) {
                Ok(()) => broadcast.delivered += 1,
                Err(payload) => {
                    discard(payload);
                    broadcast.panicked += 1;
                }
            }
        }
        broadcast
    }

    /// Returns all sessions. O(n), with a short lock of each session, which is as it was at some time during the call.
    #[must_use]
    pub fn snapshot(&self) -> Vec<SessionSnapshot<K, D>> {
        let entries = self.registry.home.map.entries().into_iter();
        entries
            .filter_map(|(key, session)| {
                let look = session.look()?;
                Some(SessionSnapshot::new(key, look, |claim| session.run_id(claim)))
            })
            .collect()
    }

    /// Removes the session, if it has neither a run nor a connection, and returns its data. `None` if the key
    /// has no session.
    ///
    /// A begin at the same time comes before the removal, which then fails, or creates a new session.
    ///
    /// With a store, the session is deleted there, too, also if only the store has it; the data that is returned then is
    /// that of a new session.
    ///
    /// # Errors
    /// [`RemoveError`] if the session is in use.
    pub fn remove(&self, key: &K) -> Result<Option<StdArc<D>>, RemoveError> {
        loop {
            let Some(session) = self.get(key) else { return Ok(None) };
            let last = Session::retire(&session, Gone::Deleted, None)?;
            self.forget(key, &session);
            match last {
                Some(last) => return Ok(Some(last.data)),
                None if self.registry.saver.is_none() => return Ok(None),
                // It was evicted meanwhile, and is still stored.
                None => {}
            }
        }
    }

    /// Asks the runs to stop whose connections have ended, and that no connection has resumed in time, under
    /// [`OnDisconnect::KeepForResume`](super::OnDisconnect::KeepForResume). Returns their number.
    ///
    /// The registry has no thread: call this now and then, for example once per second. O(log n) per run.
    #[allow(clippy::must_use_candidate)] // The result is for those who are interested.
    pub fn expire(&self) -> usize {
        let (home, now_us) = (&self.registry.home, self.now_us());
        let mut expired = 0;
        loop {
            let due = {
                let mut orphans = home.orphans.lock();
                let first = orphans.first_entry().filter(|first| first.key().0 <= now_us);
                first.map(OccupiedEntry::remove_entry)
            };
            let Some(((until, _), session)) = due else { return expired };
            expired += usize::from(Session::expire(&session, until).is_some());
        }
    }

    /// Returns the number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.registry.home.map.len()
    }

    /// Returns whether there are no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the saver, if the registry has a [store](super::SessionsBuilder::store).
    #[must_use]
    pub fn saver(&self) -> Option<&Saver<K, D>> {
        self.registry.saver.as_ref()
    }

    /// Returns the figures of the registry.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.registry.common.counters.stats(self.len())
    }

    /// Returns the session of the key, which may be retired; creates it if there is none. Several threads may
    /// make one at the same time, and drop all but the first.
    pub(super) fn session(&self, key: &K) -> Arc<Session<K, D, C>> {
        if let Some(session) = self.registry.home.map.get(key) {
            return session;
        }
        let data = StdArc::new(self.fresh(key));
        let (common, home) = (self.registry.common.clone(), StdArc::downgrade(&self.registry.home));
        let session = Arc::new(Session::new(common, home, key.clone(), data));
        let session = self.registry.home.map.insert_new(key.clone(), session);
        self.keep_limit(&self.registry.limit, &session);
        session
    }

    pub(super) fn entries(&self) -> Entries<K, D, C> {
        self.registry.home.map.entries()
    }

    pub(super) fn now_us(&self) -> u64 {
        self.registry.common.now_us()
    }

    pub(super) fn note_evicted(&self, number: usize) {
        self.registry.common.counters.evicted.add_all(number);
    }

    /// Returns the session of the key, which may be retired, to clear or to remove it. With a store, it is created if
    /// there is none, because it may be stored: then a load at the same time finds it.
    pub(super) fn get(&self, key: &K) -> Option<Arc<Session<K, D, C>>> {
        if self.registry.saver.is_some() { Some(self.session(key)) } else { self.registry.home.map.get(key) }
    }

    /// Returns the data of a new or cleared session. User code.
    pub(super) fn fresh(&self, key: &K) -> D {
        (self.registry.init)(key)
    }

    /// Returns the number of sessions whose run may be resumed.
    #[cfg(test)]
    pub(super) fn orphans(&self) -> usize {
        self.registry.home.orphans.lock().len()
    }

    /// Returns the epoch in which the next session that is created begins.
    pub(super) fn floor(&self) -> u64 {
        self.registry.common.floor()
    }

    /// Claims the session of the key, if there is one. The short form of what follows: takes no reference unless
    /// the claim succeeds.
    ///
    /// The error is `None` if it has to be found out with nothing held, because a clock of the user is asked.
    fn claim_known(&self, key: &K) -> Option<Result<Run<K, D, C>, Option<TryBeginError>>> {
        let has_clock = self.registry.common.settings.clock.is_some();
        self.registry.home.map.with(key, |session| match session.claim() {
            Ok(grant) => Ok(Run::new(session.clone(), grant)),
            Err(ClaimRefused::Busy(run)) if !has_clock => Err(Some(session.busy(run))),
            Err(ClaimRefused::Clearing) => Err(Some(session.clearing())),
            Err(ClaimRefused::Busy(_) | ClaimRefused::Retired) => Err(None),
        })
    }

    /// Claims the session; removes it from the map if it is retired.
    pub(super) fn claim(
        &self,
        key: &K,
        session: &Arc<Session<K, D, C>>,
    ) -> Result<Run<K, D, C>, ClaimRefused> {
        match session.claim() {
            Ok(grant) => Ok(Run::new(session.clone(), grant)),
            Err(refused) => {
                if refused == ClaimRefused::Retired {
                    self.forget(key, session);
                }
                Err(refused)
            }
        }
    }

    /// Removes a retired session from the map, unless another thread has.
    pub(super) fn forget(&self, key: &K, session: &Arc<Session<K, D, C>>) {
        Session::tell_deleted(session);
        self.registry.home.map.remove_same(key, session);
    }

    /// Counts a wait that has failed.
    pub(super) fn refused(&self, refused: WaitRefused) -> BeginError {
        let counters = &self.registry.common.counters;
        match refused {
            WaitRefused::Timeout => {
                counters.timeouts.add();
                BeginError::Timeout
            }
            WaitRefused::Full => {
                counters.full.add();
                BeginError::Full
            }
            // Counted by the clear.
            WaitRefused::Cleared => BeginError::Cleared,
            WaitRefused::Retired => unreachable!("the caller goes on with the next session of the key"),
        }
    }

    fn begin_until(
        &self,
        key: &K,
        deadline: Option<Instant>,
        replace: bool,
    ) -> Result<Run<K, D, C>, BeginError> {
        loop {
            let session = self.session(key);
            match session.wait_to_claim(replace, deadline) {
                Ok(grant) => return Ok(Run::new(session, grant)),
                Err(WaitRefused::Retired) => self.forget(key, &session),
                Err(refused) => return Err(self.refused(refused)),
            }
        }
    }

    fn cancel_in(session: &Session<K, D, C>, run: Option<RunId>) -> Cancel {
        match session.cancel(run.map(|run| run.claim)) {
            Ok(claim) => Cancel::Requested(session.run_id(claim)),
            Err(CancelRefused::Already(claim)) => Cancel::AlreadyRequested(session.run_id(claim)),
            Err(CancelRefused::Vacant) => Cancel::Idle,
        }
    }
}

impl<K: Hash + Eq, D, C> fmt::Debug for Sessions<K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("len", &self.registry.home.map.len()).finish_non_exhaustive()
    }
}
