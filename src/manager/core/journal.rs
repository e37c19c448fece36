//! The journal: the state before the present command, of what the command has touched.
//!
//! A command that panics halfway must leave no trace. Copying the state in advance would cost O(links) per
//! command; the journal costs O(what the command touches), and nothing but a few lengths otherwise.

use crate::link::flaps::Flaps;
use crate::link::record::Link;
use crate::manager::model::directory::Directory;
use crate::manager::model::tally::Tally;
use crate::sync::StdArc;

/// Places for changed links that are kept from version to version.
pub(super) const JOURNAL_CAPACITY: usize = 1_024;

/// The state before the present command, of what it has touched so far.
#[derive(Debug)]
pub(super) struct Journal<A> {
    /// In the order of the changes; undone from the end.
    pub(super) links: Vec<(A, Option<StdArc<Link<A>>>)>,
    pub(super) directory: Option<Directory<A>>,
    pub(super) drops: Vec<(A, Option<Flaps>)>,
    /// Timers were taken, of links that may not have been looked at.
    pub(super) timers: bool,
    /// How long these lists were.
    pub(super) effects: usize,
    pub(super) recount: usize,
    pub(super) recount_clusters: usize,
    pub(super) tally: Tally,
}

impl<A> Default for Journal<A> {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            directory: None,
            drops: Vec::new(),
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
