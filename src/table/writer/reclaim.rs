//! Reclaiming removed values.

use std::hash::{BuildHasher, Hash};
use std::mem;

use super::Writer;
use crate::table::cell::Recycled;
use crate::table::index::Index;
use crate::table::log::Log;

/// Retired versions that [`Writer::reclaim_some`] checks.
const VERSIONS_LOOKED_AT: usize = 64;

/// Pages of old versions, and parts of their indexes, that [`Writer::reclaim_some`] drops.
const PAGES_DROPPED: usize = 256;

/// Recorded operations that [`Writer::reclaim_some`] drops.
const OPS_DROPPED: usize = 16 * 1024;

/// The result of [`Writer::reclaim_some`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reclaimed {
    /// More can be done at once.
    Part,
    /// Only what readers still hold is left.
    ButHeld,
    /// Nothing is left.
    All,
}

impl<K, V, I, S> Writer<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Drops removed and replaced values whose change was published, unless a version that contains them is
    /// still held. Returns the number of versions that are still held.
    ///
    /// A removed value stays alive in versions that are held (also by an idle [`Reader`](crate::Reader)), and
    /// for some publishes in the copy that the next batch works on and in the record that brings this copy up
    /// to date. This method brings the copies up to date, empties the record, and frees the versions that no
    /// one holds any longer. While there is a [feed](crate::table::Feed), or was one at the last publish, the
    /// [bounded history](crate::TableBuilder::history) keeps its values.
    ///
    /// Call it before the table rests for a long time. To release what a value stands for (to close a socket,
    /// say), do so explicitly when it is removed, rather than in its destructor: a reader may hold it for as
    /// long as it likes.
    ///
    /// # Complexity
    ///
    /// O(operations since the copies were brought up to date, and pages that only the freed versions have).
    /// The next batch is spared the former. Never waits for readers.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    ///
    /// let socket = Arc::new(());
    /// let (mut writer, table) = switchboard::Table::<u64, Arc<()>>::new();
    /// writer.insert(7, socket.clone());
    /// writer.publish();
    /// writer.remove(&7);
    /// writer.publish();
    /// assert_eq!(writer.reclaim(), 0);
    /// assert_eq!(Arc::strong_count(&socket), 1);
    /// # drop(table);
    /// ```
    pub fn reclaim(&mut self) -> usize {
        self.catch_up();
        self.tidy_log(usize::MAX);
        if let Some(log) = &mut self.log {
            log.shrink();
        }
        self.publisher.sweep_all()
    }

    /// Performs a bounded part of [`reclaim`](Self::reclaim), apart from bringing the copies up to date. Says
    /// [`Part`](Reclaimed::Part) until each retired version was checked.
    pub(crate) fn reclaim_some(&mut self) -> Reclaimed {
        self.catch_up();
        if self.unchecked == 0 {
            self.unchecked = self.publisher.held_len();
        }
        let checked = self.unchecked.min(VERSIONS_LOOKED_AT);
        self.unchecked -= checked;
        self.publisher.sweep(checked);
        self.tidy_states(PAGES_DROPPED);
        self.tidy_log(OPS_DROPPED);
        let is_tidy = self.publisher.garbage().next().is_none() && self.log.as_ref().is_none_or(Log::is_tidy);
        match (is_tidy && self.unchecked == 0, self.publisher.has_held()) {
            (false, _) => Reclaimed::Part,
            (true, true) => Reclaimed::ButHeld,
            (true, false) => Reclaimed::All,
        }
    }

    /// Brings the copies that are kept for recycling up to the published version.
    fn catch_up(&mut self) {
        if let Some(staged) = &mut self.staged {
            // Meaningless while it is staged.
            let past = mem::take(&mut staged.history);
            self.forget(past);
        }
        let Some(log) = &mut self.log else { return };
        let oldest = loop {
            let (recycled, oldest) = self.publisher.recycle_older();
            let Some(Recycled { version, state }) = recycled else { break oldest };
            // Discarded until it is up to date, as in `recycle`.
            let state = self.publisher.discard(state);
            log.replay(version, state, oldest);
            state.index.refresh(&self.published.state().index);
            let past = mem::take(&mut state.history);
            if let Some(state) = self.publisher.take_back() {
                self.publisher.keep(state);
            }
            log.doom_history(past);
        };
        log.trim(oldest);
    }
}
