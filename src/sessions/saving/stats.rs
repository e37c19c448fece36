//! Figures of a saver.

use std::time::Duration;

/// Figures of a saver since its creation: [`Saver::stats`](super::Saver::stats). All are of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Changes that were stored, removals apart.
    pub saves: u64,
    /// Removals that were stored.
    pub deletes: u64,
    /// Changes that were discarded because a newer one was noted or stored before. A change that a newer one replaces
    /// before it is saved is not counted.
    pub discarded: u64,
    /// Changes that were not noted, because `Eq` of a key panicked: they are saved with the next change of the session.
    pub lost: u64,
    /// Saves and removals that failed, also by a panic.
    pub failures: u64,
    /// Saves and removals that were begun after a failure of the same session.
    pub retries: u64,
    /// Reads of the store.
    pub loads: u64,
    /// Loads that shared the read of another thread.
    pub joined_loads: u64,
    /// Sessions with changes that are not stored, now.
    pub dirty: usize,
    /// Saves and removals in progress, now.
    pub in_flight: usize,
    /// The time since which the longest dirty session has a change that is not stored; zero if none is dirty.
    pub oldest_dirty: Duration,
}
