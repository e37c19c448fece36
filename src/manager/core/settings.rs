//! The switch of the manager, and settings that change while it runs.
//!
//! Neither closes a connection. A host that wants links closed deletes them, or switches their nets off.

use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::record::Link;
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::config::settings::Settings;
use crate::sync::StdArc;
use crate::util::time::later;

impl<A: Addr> Core<A> {
    /// Switches the manager on or off. While it is off, it dials nothing, asks for nothing and refuses new
    /// streams; connected links stay. Ticks keep their period but do nothing.
    pub(super) fn set_active(&mut self, active: bool) -> Outcome {
        if self.directory().active == active {
            return Outcome::Unchanged;
        }
        self.journal_directory();
        self.directory_mut().active = active;
        // Links that have become due in the meantime are due now.
        if active {
            self.plan_all();
        }
        Outcome::Done
    }

    /// Validates and replaces all settings. A lower limit refuses additions from now on, and removes nothing.
    pub(super) fn reconfigure(&mut self, settings: Settings, now: Instant) -> Applying {
        settings.validate().map_err(CommandError::Config)?;
        let before = self.directory().settings.clone();
        if *before == settings {
            return Ok(Outcome::Unchanged);
        }
        // Only these settings move timers, which costs O(links). All others take effect when they are next
        // read.
        let retimed = before.retry != settings.retry
            || before.dial_timeout != settings.dial_timeout
            || before.flaps != settings.flaps;
        // Without a flap policy, rests in progress are cut like ordinary delays.
        let latest = later(now, settings.retry.cap());
        let rested = settings.flaps.map_or(latest, |policy| later(now, policy.delay));
        self.journal_directory();
        self.directory_mut().settings = StdArc::new(settings);
        if retimed {
            self.cut_delays(latest, rested);
            self.plan_all();
        }
        Ok(Outcome::Done)
    }

    /// Shortens delays that were planned under the old policy to the longest one that the new policy could
    /// plan, and rests likewise. Delays are never lengthened: a snapshot may have shown the instant to the
    /// host already.
    fn cut_delays(&mut self, latest: Instant, rested: Instant) {
        let end = |link: &Link<A>| if link.resting { rested } else { latest };
        let late = |at: Option<Instant>, end: Instant| at.is_some_and(|at| at > end);
        let is_late = |link: &&StdArc<Link<A>>| {
            late(link.not_before, end(link)) || late(link.announce_not_before, latest)
        };
        // Collected first: `commit` changes the table.
        let found: Vec<_> = self.links().filter(is_late).cloned().collect();
        for link in found {
            let mut link = (*link).clone();
            link.not_before = link.not_before.map(|at| at.min(end(&link)));
            link.announce_not_before = link.announce_not_before.map(|at| at.min(latest));
            self.commit(link);
        }
    }
}
