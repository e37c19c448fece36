//! The connection of a session.

use std::num::NonZeroU64;

use super::{CONNECTED, Ended, Home, Joined, Locked, ORPHANED, Peer, Retired, Session, drop_home};
use crate::claim::{ClaimId, ClaimRefused, Grant};
use crate::sessions::error::TryBeginError;
use crate::sessions::id::{ConnectionId, RunId};
use crate::sessions::on_disconnect::OnDisconnect;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, StdArc};

impl<K, D, C> Session<K, D, C> {
    /// Claims the session for the run of its connection `id`. Under the lock, so that the end of the connection
    /// comes before the claim, or finds the run.
    pub(in crate::sessions) fn claim_for(&self, id: ConnectionId) -> Result<Grant, TryBeginError> {
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
                self.note_start(grant.id);
                Ok(grant)
            }
            Err(ClaimRefused::Busy(run)) => Err(self.busy(run)),
            Err(ClaimRefused::Clearing) => Err(self.clearing()),
            Err(ClaimRefused::Retired) => unreachable!("a session with a connection is not retired"),
        }
    }

    /// Makes the run that of the connection `id`. Returns false if that is not the current one.
    pub(in crate::sessions) fn adopt(&self, id: ConnectionId, run: ClaimId) -> bool {
        let mut contents = self.cell.lock();
        let is_current = contents.is_current(id) && self.place.state().is_held_by(run);
        if is_current {
            contents.owned = Some(run);
        }
        is_current
    }

    /// Makes `value` the connection, which takes over the run of the one before.
    pub(in crate::sessions) fn connect(&self, value: StdArc<C>) -> Result<Joined<C>, Retired> {
        let home = self.home_of_orphans();
        let mut contents = self.cell.lock();
        if self.current(&contents).is_none() {
            drop(contents);
            home.into_iter().for_each(drop_home);
            return Err(Retired);
        }
        let id = ConnectionId { session: self.number, number: contents.connections };
        contents.connections += 1;
        self.leave_orphans(home.as_deref(), &mut contents);
        let state = self.place.state();
        let run = contents.owned.filter(|run| state.is_held_by(*run));
        let displaced = contents.peer.replace(Peer { id, value });
        self.hint(CONNECTED, true);
        drop(contents);
        home.into_iter().for_each(drop_home);
        if displaced.is_some() {
            self.common.counters.displaced.add();
        }
        Ok(Joined { id, displaced: displaced.map(|peer| peer.value), run: run.map(|run| self.run_id(run)) })
    }

    /// Ends the connection `id`, if it is still that of the session.
    pub(in crate::sessions) fn disconnect(this: &Arc<Self>, id: ConnectionId) -> Ended<C> {
        // The clock is user code, and therefore asked before the lock is taken.
        let resume_until = this.resume_until();
        let home = resume_until.and_then(|_| this.home.upgrade());
        let mut contents = this.cell.lock();
        if !contents.is_current(id) {
            drop(contents);
            home.into_iter().for_each(drop_home);
            return Ended { cancelled: None, _peer: None, was_current: false };
        }
        let peer = contents.peer.take();
        this.hint(CONNECTED, false);
        this.idle.forget(this.place.state().generation());
        let owned = match resume_until {
            Some(until) => {
                Self::orphan(this, home.as_deref(), &mut contents, until);
                None
            }
            None => contents.owned.take(),
        };
        drop(contents);
        let run = owned.filter(|_| this.common.settings.on_disconnect == OnDisconnect::Cancel);
        let cancelled = run.and_then(|run| this.cancel(Some(run)).ok());
        Self::settle(this);
        home.into_iter().for_each(drop_home);
        Ended {
            cancelled: cancelled.map(|run| this.run_id(run)),
            _peer: peer.map(|peer| peer.value),
            was_current: true,
        }
    }

    /// Returns the time up to which a run may be resumed if its connection ends now.
    fn resume_until(&self) -> Option<u64> {
        let OnDisconnect::KeepForResume(grace) = self.common.settings.on_disconnect else { return None };
        let grace_us = u64::try_from(grace.as_micros()).unwrap_or(u64::MAX);
        Some(self.common.now_us().saturating_add(grace_us))
    }

    /// The connection has ended: if it had a run, that one may be resumed.
    ///
    /// A run that ends at the same time finds the hint, or has ended when this looks at it.
    fn orphan(this: &Arc<Self>, home: Option<&Home<K, D, C>>, contents: &mut Locked<'_, D, C>, until: u64) {
        this.hint(ORPHANED, true);
        let state = this.place.state();
        let (true, Some(home)) = (contents.owned.is_some_and(|run| state.is_held_by(run)), home) else {
            contents.owned = None;
            this.hint(ORPHANED, false);
            return;
        };
        let until = NonZeroU64::new(until).unwrap_or(NonZeroU64::MIN);
        contents.resume_until = Some(until);
        home.orphans.lock().insert((until.get(), this.number), this.clone());
    }

    /// Removes the session from the orphans, if it is one of them. O(log n).
    pub(super) fn leave_orphans(&self, home: Option<&Home<K, D, C>>, contents: &mut Locked<'_, D, C>) {
        let Some(until) = contents.resume_until.take() else { return };
        self.hint(ORPHANED, false);
        if let Some(home) = home {
            // Not the last reference to the session: the caller has one.
            home.orphans.lock().remove(&(until.get(), self.number));
        }
    }

    /// Returns the list of orphans, if the session may be one of them. To be asked for, and dropped, without the lock.
    pub(super) fn home_of_orphans(&self) -> Option<StdArc<Home<K, D, C>>> {
        let OnDisconnect::KeepForResume(_) = self.common.settings.on_disconnect else { return None };
        self.home.upgrade()
    }

    /// The run has ended: no connection resumes it.
    pub(super) fn end_orphan(this: &Arc<Self>, run: ClaimId) {
        let OnDisconnect::KeepForResume(_) = this.common.settings.on_disconnect else { return };
        // AcqRel, and an exchange: comes after that of `orphan`, and sees the hint, or before it, which then sees that
        // the run has ended; pairs with `hint`.
        if this.hints.fetch_or(0, Ordering::AcqRel) & ORPHANED == 0 {
            return;
        }
        let home = this.home.upgrade();
        let mut contents = this.cell.lock();
        if contents.owned == Some(run) {
            contents.owned = None;
            this.leave_orphans(home.as_deref(), &mut contents);
        }
        drop(contents);
        home.into_iter().for_each(drop_home);
    }

    /// The entry of the session at the time `until` was taken from the orphans: asks its run to stop, unless a
    /// connection has resumed it.
    pub(in crate::sessions) fn expire(this: &Arc<Self>, until: u64) -> Option<RunId> {
        let mut contents = this.cell.lock();
        if contents.resume_until?.get() != until {
            // Another entry, of a later connection.
            return None;
        }
        contents.resume_until = None;
        this.hint(ORPHANED, false);
        let owned = contents.owned.take()?;
        drop(contents);
        let run = this.cancel(Some(owned)).ok()?;
        this.common.counters.expired.add();
        Some(this.run_id(run))
    }

    pub(in crate::sessions) fn connection(&self) -> Option<(ConnectionId, StdArc<C>)> {
        self.cell.lock().peer.as_ref().map(|peer| (peer.id, peer.value.clone()))
    }
}
