//! The removal of sessions that no one uses.
//!
//! A session without a run and a connection whose data is *blank*, that of a new session, is worth nothing: it
//! would be made again as it is. The registry keeps a bounded ring of them, and whoever puts in one too many
//! removes the oldest, if it is still blank and idle. So a registry is bounded by the sessions in use and those
//! with data; those with data are removed by age or number.
//!
//! A session is in the ring at most once: the mark *listed* is part of the word of its place. It is taken out
//! before the look whether it is still in use, and the end of a use comes after: so it is retired, or put in
//! again by the end of that use.

use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use super::limit::Limit;
use super::registry::Sessions;
use super::session::{Home, Session};
use super::watch::Gone;
use crate::claim::State;
use crate::sync::{Arc, StdArc};
use crate::unwind::contain;

/// Number of sessions that one thread removes from a full ring to put one in, while others fill it again.
const ATTEMPTS: usize = 4;

impl<K, D, C> Home<K, D, C> {
    /// Puts a session that is blank into the ring. O(1): removes the oldest one if it is full.
    pub(super) fn keep_blank(&self, session: &Arc<Session<K, D, C>>) {
        // The mark goes through the word: a use that ends later sees why it was listed, and comes here again.
        if !session.place.list() {
            return;
        }
        let Some(ring) = &self.blank else { return self.evict_listed(session) };
        let mut session = session.clone();
        for attempt in 0..=ATTEMPTS {
            match ring.push(session) {
                Ok(()) => return,
                Err(refused) => session = refused,
            }
            if attempt == ATTEMPTS {
                // Not before a push: one was removed for it.
                break;
            }
            if let Some(oldest) = ring.pop() {
                self.evict_listed(&oldest);
                // Unwind safety: as in `evict`; it may be the last reference.
                let _ = contain(AssertUnwindSafe(|| drop(oldest)));
            }
        }
        self.evict_listed(&session);
    }

    fn evict_listed(&self, session: &Arc<Session<K, D, C>>) {
        session.place.unlist();
        self.evict(session);
    }

    /// Removes the session, if it is blank and not in use. Panics of user code are contained: this runs in
    /// destructors.
    fn evict(&self, session: &Arc<Session<K, D, C>>) {
        let Ok(Some(last)) = Session::retire_blank(session) else { return };
        session.common.counters.evicted.add();
        // Unwind safety: a session that is not removed from the map is retired, and goes when it is next found.
        let _ = contain(AssertUnwindSafe(|| (self.forget)(self, session)));
        let _ = contain(AssertUnwindSafe(|| drop(last)));
    }
}

impl<K, D, C> Sessions<K, D, C>
where
    K: Hash + Eq + Clone,
{
    /// Removes the sessions that have had neither a run nor a connection for `idle`, and returns their keys and
    /// data. O(n). Does not delay begins: a run that begins meanwhile keeps its session. With a store, only those go
    /// whose newest data is stored; they can be loaded again.
    ///
    /// The end of a run reads no clock. The idle time of a session counts from the first call of this function,
    /// or of [`prune_to`](Self::prune_to), that finds it idle: so this is to be called now and then, and a
    /// session goes after `idle`, and after at most one more interval.
    #[must_use = "the data of the removed sessions is returned, to be saved or dropped"]
    pub fn prune(&self, idle: Duration) -> Vec<(K, StdArc<D>)> {
        let mut removed = Vec::new();
        let now_us = self.now_us();
        for (key, session) in self.entries() {
            let seen = session.place.state();
            if session.idle_time(seen, now_us).is_some_and(|time| time >= idle) {
                removed.extend(self.take(key, &session, seen));
            }
        }
        removed
    }

    /// Removes sessions that have neither a run nor a connection until at most `len` sessions are left, or all
    /// are in use, and returns their keys and data. O(n log n), otherwise as [`prune`](Self::prune).
    ///
    /// Those go first that have been idle for the longest time, as far as calls of `prune` and `prune_to` have
    /// seen; those that are found idle for the first time go last, in no particular order.
    #[must_use = "the data of the removed sessions is returned, to be saved or dropped"]
    pub fn prune_to(&self, len: usize) -> Vec<(K, StdArc<D>)> {
        let excess = self.len().saturating_sub(len);
        self.take_first(self.idle(None), excess)
    }

    /// Returns the idle sessions but one, those first that have been idle for the longest time.
    fn idle(&self, spared: Option<&Arc<Session<K, D, C>>>) -> Vec<Idle<K, D, C>> {
        let now_us = self.now_us();
        let mut idle: Vec<_> = (self.entries().into_iter())
            .filter(|(_, session)| spared.is_none_or(|spared| !Arc::ptr_eq(spared, session)))
            .filter_map(|(key, session)| {
                let seen = session.place.state();
                Some(Idle { time: session.idle_time(seen, now_us)?, key, session, seen })
            })
            .collect();
        idle.sort_by_key(|idle| std::cmp::Reverse(idle.time));
        idle
    }

    fn take_first(&self, idle: Vec<Idle<K, D, C>>, number: usize) -> Vec<(K, StdArc<D>)> {
        let taken = idle.into_iter().filter_map(|idle| self.take(idle.key, &idle.session, idle.seen));
        taken.take(number).collect()
    }

    fn take(&self, key: K, session: &Arc<Session<K, D, C>>, seen: State) -> Option<(K, StdArc<D>)> {
        let last = Session::retire(session, Gone::Evicted, Some(seen)).ok()??;
        self.forget(&key, session);
        Some((key, last.data))
    }

    /// A session was created: removes idle ones if there are too many, but not this one, which is about to be used.
    pub(super) fn keep_limit(&self, limit: &Limit, created: &Arc<Session<K, D, C>>) {
        let Some(look) = limit.look(self.len()) else { return };
        let idle = self.idle(Some(created));
        let excess = idle.len().saturating_sub(limit.max_idle());
        let removed = self.take_first(idle, excess);
        self.note_evicted(removed.len());
        look.end(self.len());
        // User code, and therefore last.
        drop(removed);
    }
}

/// A session that looked idle.
struct Idle<K, D, C> {
    time: Duration,
    key: K,
    session: Arc<Session<K, D, C>>,
    seen: State,
}
