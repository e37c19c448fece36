//! What a command changed, to be undone if it panics.

use super::Core;
use crate::link::{Addr, Link};
use crate::manager::directory::Directory;
use crate::sync::StdArc;

/// The state before the present command, of what it has touched so far.
#[derive(Debug)]
pub(super) struct Journal<A> {
    /// In the order of the changes; undone from the end.
    links: Vec<(A, Option<StdArc<Link<A>>>)>,
    directory: Option<Directory<A>>,
    effects: usize,
}

impl<A> Default for Journal<A> {
    fn default() -> Self {
        Self { links: Vec::new(), directory: None, effects: 0 }
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
        self.journal.effects = self.effects.len();
    }

    /// Lets go of what was noted: by commands, and by what happened on time, which nobody undoes.
    pub(super) fn end_journal(&mut self) {
        self.journal = Journal::default();
    }

    /// Notes a link before it is changed.
    pub(super) fn journal_link(&mut self, addr: &A, before: Option<StdArc<Link<A>>>) {
        self.journal.links.push((addr.clone(), before));
    }

    /// Notes the directory, for a command that changes it and then does more. O(1), but the nets are copied
    /// when they change next.
    ///
    /// Other commands change it in one step, which no foreign code interrupts.
    pub(super) fn journal_directory(&mut self) {
        self.journal.directory = Some(self.directory().clone());
    }

    /// Puts everything back. Panics only if an address panics again; then the writer ends, which everybody
    /// sees.
    pub(super) fn roll_back(&mut self) {
        self.effects.truncate(self.journal.effects);
        let links = std::mem::take(&mut self.journal.links);
        let mut replan = false;
        if let Some(directory) = self.journal.directory.take() {
            replan = !StdArc::ptr_eq(&directory.settings, &self.directory().settings);
            self.writer.index_mut().1 = directory;
        }
        for (addr, before) in links.into_iter().rev() {
            match before {
                Some(link) => drop(self.writer.insert(addr.clone(), link)),
                None => drop(self.writer.remove(&addr)),
            }
            self.plan(&addr);
        }
        // The time limits of all links are those of the settings before.
        if replan {
            self.plan_all();
        }
    }
}
