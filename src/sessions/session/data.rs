//! The data of a session: reading, writing, and the end of the session.

use std::time::Duration;

use super::{BLANK, Home, Locked, Published, Session, drop_home};
use crate::claim::{Change, ClaimRefused, State};
use crate::sessions::error::{RemoveError, Stale};
use crate::sessions::watch::{Gone, Unused};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, StdArc};
use crate::table::Replaced;

/// The data of a session that was retired, and older data that was kept for readers: user code, to be dropped last.
pub(in crate::sessions) struct Last<D> {
    pub(in crate::sessions) data: StdArc<D>,
    _replaced: Replaced<Option<Published<D>>>,
}

/// What a clear has replaced: user code, to be dropped last. In this order: only the second one may panic.
pub(in crate::sessions) struct Cleared<D> {
    _unused: Unused,
    _replaced: Replaced<Option<Published<D>>>,
}

/// The reason why stored data was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sessions) enum NotInstalled {
    /// The data was changed, or the session is retired.
    Changed,
    /// The session has a run, or is being cleared.
    Busy,
}

impl<K, D, C> Session<K, D, C> {
    /// Returns the data with its version, or `None` if the session is retired. Wait-free.
    pub(in crate::sessions) fn published(&self) -> Option<Published<D>> {
        self.cell.read(Clone::clone)
    }

    pub(in crate::sessions) fn read(&self) -> Option<StdArc<D>> {
        self.cell.read(|published| published.as_ref().map(|published| published.data.clone()))
    }

    /// Returns the data, if the session is still in the epoch.
    pub(in crate::sessions) fn read_in(&self, clears: u64) -> Result<StdArc<D>, Stale> {
        self.cell.read(|published| match published {
            Some(published) if published.clears == clears => Ok(published.data.clone()),
            _ => Err(Stale),
        })
    }

    /// Replaces the data, if the session is still in the epoch.
    pub(in crate::sessions) fn write_in(this: &Arc<Self>, clears: u64, data: StdArc<D>) -> Result<(), Stale> {
        let mut contents = this.cell.lock();
        let Some((version, _)) = this.current(&contents).filter(|(_, current)| *current == clears) else {
            // The data is user code, and therefore last.
            drop(contents);
            return Err(Stale);
        };
        let version = this.next_version(version);
        let replaced = contents.publish(Some(Published { version, clears, is_blank: false, data }));
        this.hint(BLANK, false);
        drop(contents);
        let unused = Self::changed(this, version);
        // The old data is user code, and therefore last.
        drop((unused, replaced));
        Ok(())
    }

    /// Replaces the data and begins a new epoch, whose number is returned with the old data. The caller holds
    /// the place for a clear, which ends before the old data is dropped: a destructor that clears the session would wait
    /// for itself.
    pub(in crate::sessions) fn reset(this: &Arc<Self>, fresh: StdArc<D>) -> (u64, Cleared<D>) {
        let mut contents = this.cell.lock();
        let (version, clears) = this.current(&contents).unwrap_or_default();
        let (version, clears) = (this.next_version(version), clears + 1);
        // Relaxed: read after the word, which the clear changes afterwards.
        this.clears.store(clears, Ordering::Relaxed);
        let replaced = contents.publish(Some(Published { version, clears, is_blank: true, data: fresh }));
        this.hint(BLANK, true);
        drop(contents);
        let _unused = Self::changed(this, version);
        (clears, Cleared { _unused, _replaced: replaced })
    }

    /// Installs data that was stored before, with its version, unless the session is in use. Holds the place meanwhile,
    /// so that no update is in progress, which would replace it.
    pub(in crate::sessions) fn install(
        this: &Arc<Self>,
        version: u64,
        data: StdArc<D>,
    ) -> Result<(), NotInstalled> {
        let contents = this.cell.lock();
        let Some((0, clears)) = this.current(&contents) else { return Err(NotInstalled::Changed) };
        // Under the lock, and after the look at the version: of two loads, the later one finds the data of the other,
        // and never its claim.
        let Ok(grant) = this.claim() else { return Err(NotInstalled::Busy) };
        let replaced = this.publish_loaded(contents, version, clears, data);
        // Whoever came meanwhile is told, or has the place now. `None` if a clear has taken it.
        let released = this.place.release(grant.id, || this.clears());
        this.note_born(released.and_then(|released| released.asked));
        drop(replaced);
        Ok(())
    }

    /// As [`install`](Self::install), for the run that has the session since it was cleared so many times.
    pub(in crate::sessions) fn install_in(
        &self,
        clears: u64,
        version: u64,
        data: StdArc<D>,
    ) -> Result<(), NotInstalled> {
        let contents = self.cell.lock();
        if self.current(&contents) != Some((0, clears)) {
            return Err(NotInstalled::Changed);
        }
        drop(self.publish_loaded(contents, version, clears, data));
        Ok(())
    }

    fn publish_loaded(
        &self,
        mut contents: Locked<'_, D, C>,
        version: u64,
        clears: u64,
        data: StdArc<D>,
    ) -> Replaced<Option<Published<D>>> {
        let replaced = contents.publish(Some(Published { version, clears, is_blank: false, data }));
        self.hint(BLANK, false);
        replaced
    }

    /// The data has changed. Every change comes through here, under no lock. Returns what is to be dropped last.
    fn changed(this: &Arc<Self>, version: u64) -> Unused {
        this.common.watch.as_ref().map(|watch| watch.changed(this, version)).unwrap_or_default()
    }

    /// Returns the version and the number of clears, or `None` if the session is retired.
    pub(super) fn current(&self, _locked: &Locked<'_, D, C>) -> Option<(u64, u64)> {
        self.cell.read(|published| published.as_ref().map(|published| (published.version, published.clears)))
    }

    /// Returns the version after `version`, which is above those of an earlier session of the key.
    fn next_version(&self, version: u64) -> u64 {
        self.common.floor().max(version + 1)
    }

    /// Returns the number of clears.
    pub(in crate::sessions) fn clears_now(&self) -> u64 {
        self.cell.read(|published| published.as_ref().map_or(u64::MAX, |published| published.clears))
    }

    /// Returns the time for which the session is known to be without a run, if it looks like `seen` and still
    /// does so when it is retired. Counts from the first call that finds it so.
    pub(in crate::sessions) fn idle_time(&self, seen: State, now_us: u64) -> Option<Duration> {
        let is_idle = !seen.is_retired() && !self.is_in_use();
        is_idle.then(|| self.idle.since_or_set(seen.generation(), now_us))
    }

    /// Retires the session if it is blank and not in use, and nothing has happened since that was `seen`.
    pub(in crate::sessions) fn retire_blank(
        this: &Arc<Self>,
        seen: State,
    ) -> Result<Option<Last<D>>, RemoveError> {
        Self::retire_if(this, Gone::Evicted, Some(seen), |published| published.is_blank)
    }

    /// Retires the session, unless it is in use; if a state is given, only if nothing has happened since that
    /// was `seen`. Returns the data, or `None` if it was retired before, or is yet to be saved.
    ///
    /// Other threads may see that it is retired, and remove it from the map, before this call returns: so the floor is
    /// raised before, and a deletion is told as [`tell_deleted`](Self::tell_deleted) explains.
    pub(in crate::sessions) fn retire(
        this: &Arc<Self>,
        gone: Gone,
        seen: Option<State>,
    ) -> Result<Option<Last<D>>, RemoveError> {
        Self::retire_if(this, gone, seen, |_| true)
    }

    fn retire_if(
        this: &Arc<Self>,
        gone: Gone,
        seen: Option<State>,
        is_wanted: impl FnOnce(&Published<D>) -> bool,
    ) -> Result<Option<Last<D>>, RemoveError> {
        let home = this.home_of_orphans();
        let retired = Self::retire_locked(this, home.as_deref(), gone, seen, is_wanted);
        home.into_iter().for_each(drop_home);
        let Some((last, change, version)) = retired? else { return Ok(None) };
        // Wakers are user code.
        this.place.notify(change);
        this.common.counters.removed.add();
        if let (Gone::Evicted, Some(watch)) = (gone, &this.common.watch) {
            watch.removed(this, gone, version);
        }
        Ok(Some(last))
    }

    /// Retires the session, and returns its data, the change of its place, and the version of its removal. Runs no user
    /// code.
    fn retire_locked(
        this: &Arc<Self>,
        home: Option<&Home<K, D, C>>,
        gone: Gone,
        seen: Option<State>,
        is_wanted: impl FnOnce(&Published<D>) -> bool,
    ) -> Result<Option<(Last<D>, Change, u64)>, RemoveError> {
        let mut contents = this.cell.lock();
        let Some(last) = this.published() else { return Ok(None) };
        if contents.peer.is_some() {
            return Err(RemoveError::Connected);
        }
        if !is_wanted(&last) || gone == Gone::Evicted && !this.is_saved(last.version) {
            return Ok(None);
        }
        let version = this.next_version(last.version);
        if last.version > 0 || this.mark.is_some() {
            // Before the session is retired: from then on, the next one of the key may be changed. If the session is in
            // use, numbers are skipped.
            this.common.raise_floor(version.max(this.epoch(last.clears)));
        }
        let change = this.place.retire(seen).map_err(|refused| match refused {
            ClaimRefused::Retired => unreachable!("a retired session has no data"),
            ClaimRefused::Busy(run) => RemoveError::Busy(this.run_id(run)),
            ClaimRefused::Clearing => RemoveError::Clearing,
        })?;
        this.leave_orphans(home, &mut contents);
        if let (Gone::Deleted, Some(mark)) = (gone, &this.mark) {
            mark.set_deleted(version);
        }
        // Runs that were detached may still want to write: they find no data.
        let replaced = contents.publish(None);
        drop(contents);
        Ok(Some((Last { data: last.data, _replaced: replaced }, change, version)))
    }

    /// Tells the watch of the deletion, if the session was deleted. Called before a retired session is removed from the
    /// map, by each thread that does so: so this comes before anything that is told of the next session of the key.
    pub(in crate::sessions) fn tell_deleted(this: &Arc<Self>) {
        let (Some(watch), Some(mark)) = (&this.common.watch, &this.mark) else { return };
        // Waits for the thread that retires it.
        let contents = this.cell.lock();
        let deleted = mark.deleted();
        drop(contents);
        if let Some(version) = deleted {
            watch.removed(this, Gone::Deleted, version);
        }
    }

    fn is_saved(&self, version: u64) -> bool {
        self.common.watch.as_ref().is_none_or(|watch| version == 0 || watch.is_saved(self, version))
    }
}
