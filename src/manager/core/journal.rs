//! The journal: the former state of everything that the current command has touched.
//!
//! A command that panics halfway must leave no trace. Copying the state in advance would cost O(links) per
//! command; the journal costs O(changes of the command) plus a few lengths.

use crate::link::flaps::Flaps;
use crate::link::record::Link;
use crate::manager::model::directory::Directory;
use crate::manager::model::tally::Tally;
use crate::sync::StdArc;

/// Capacity for changed links that is kept from version to version. A command that changes more of them grows
/// the list, and the publish after it shrinks the list again.
pub(super) const JOURNAL_CAPACITY: usize = 1_024;

/// The former state of everything that the current command has touched so far.
#[derive(Debug)]
pub(super) struct Journal<A> {
    /// The records before each change, in the order of the changes; `None` if there was no record. Undone
    /// from the end.
    pub(super) links: Vec<(A, Option<StdArc<Link<A>>>)>,
    /// The directory before its first change, if the command changes it.
    pub(super) directory: Option<Directory<A>>,
    /// The flaps of nodes before each change.
    pub(super) flaps: Vec<(A, Option<Flaps>)>,
    /// Whether timers were taken. Some of them may belong to links that the command has not reached.
    pub(super) timers: bool,
    /// The former length of the list of effects.
    pub(super) effects: usize,
    /// The former length of the list of nets to recount.
    pub(super) recount: usize,
    /// The former length of the list of clusters to recount.
    pub(super) recount_clusters: usize,
    /// The counters before the command.
    pub(super) tally: Tally,
}

// Written out: a derived `Default` would require `A: Default`.
impl<A> Default for Journal<A> {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            directory: None,
            flaps: Vec::new(),
            timers: false,
            effects: 0,
            recount: 0,
            recount_clusters: 0,
            tally: Tally::default(),
        }
    }
}

impl<A> Journal<A> {
    #[cfg(all(test, not(switchboard_model)))]
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }
}
