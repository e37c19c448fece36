//! What a command changed, to be undone if it panics.

use super::Core;
use crate::link::{Addr, Link, QuickDrops};
use crate::manager::directory::{Directory, Tally};
use crate::sync::StdArc;

/// Places for changed links that are kept from version to version.
const KEPT: usize = 1_024;

/// The state before the present command, of what it has touched so far.
#[derive(Debug)]
pub(super) struct Journal<A> {
    /// In the order of the changes; undone from the end.
    links: Vec<(A, Option<StdArc<Link<A>>>)>,
    directory: Option<Directory<A>>,
    drops: Vec<(A, Option<QuickDrops>)>,
    /// Timers were taken, of links that may not have been looked at.
    timers: bool,
    /// How long these lists were.
    effects: usize,
    recount: usize,
    recount_clusters: usize,
    tally: Tally,
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
    #[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }
}

impl<A: Addr> Core<A> {
    pub(super) fn begin_journal(&mut self) {
        self.journal.links.clear();
        self.journal.directory = None;
        self.journal.drops.clear();
        self.journal.timers = false;
        self.journal.effects = self.effects.len();
        self.journal.recount = self.recount.len();
        self.journal.recount_clusters = self.recount_clusters.len();
        self.journal.tally = self.tally;
    }

    /// Lets go of what was noted: by commands, and by what happened on time, which nobody undoes.
    pub(super) fn end_journal(&mut self) {
        self.journal.links.clear();
        self.journal.links.shrink_to(KEPT);
        self.journal.directory = None;
    }

    /// Notes a link before it is changed.
    pub(super) fn journal_link(&mut self, addr: &A, before: Option<StdArc<Link<A>>>) {
        self.journal.links.push((addr.clone(), before));
    }

    /// Notes the directory, for a command that changes it and then does more. O(1), but the nets are copied
    /// when they change next. What was noted first counts.
    ///
    /// Other commands change it in one step, which no foreign code interrupts.
    pub(super) fn journal_directory(&mut self) {
        if self.journal.directory.is_none() {
            self.journal.directory = Some(self.directory().clone());
        }
    }

    /// Notes the quick drops of a node before they are changed.
    pub(super) fn journal_drops(&mut self, addr: &A) {
        self.journal.drops.push((addr.clone(), self.drops.get(addr)));
    }

    /// Notes that timers are about to be taken. They are set anew when it comes to that.
    pub(super) fn journal_timers(&mut self) {
        self.journal.timers = true;
    }

    /// Puts everything back. Panics only if an address panics again; then the writer ends, which everybody
    /// sees.
    pub(super) fn roll_back(&mut self) {
        self.effects.truncate(self.journal.effects);
        self.recount.truncate(self.journal.recount);
        self.recount_clusters.truncate(self.journal.recount_clusters);
        self.tally = self.journal.tally;
        let links = std::mem::take(&mut self.journal.links);
        let mut replan = self.journal.timers;
        if let Some(directory) = self.journal.directory.take() {
            replan |= !StdArc::ptr_eq(&directory.settings, &self.directory().settings);
            self.writer.index_mut().1 = directory;
        }
        for (addr, drops) in std::mem::take(&mut self.journal.drops).into_iter().rev() {
            self.drops.set(&addr, drops);
        }
        for (addr, before) in links.into_iter().rev() {
            match before {
                Some(link) => drop(self.writer.insert(addr.clone(), link)),
                None => drop(self.writer.remove(&addr)),
            }
            self.plan(&addr);
        }
        // The time limits of all links are those of the settings before, and no timer is lost.
        if replan {
            self.plan_all();
        }
    }
}
