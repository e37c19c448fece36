//! The switch of the manager, and settings that change while it runs.

use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::record::Link;
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::config::settings::Settings;
use crate::sync::StdArc;
use crate::util::time::later;

impl<A: Addr> Core<A> {
    /// Switches the manager on or off. Off, nothing is dialled or asked for, and new streams are refused;
    /// connected links stay. Ticks keep their rhythm but do nothing.
    pub(super) fn set_active(&mut self, active: bool) -> Outcome {
        if self.directory().active == active {
            return Outcome::Unchanged;
        }
        self.journal_directory();
        self.directory_mut().active = active;
        // What fell due meanwhile is due now.
        if active {
            self.plan_all();
        }
        Outcome::Done
    }

    /// Replaces the settings as a whole, after validating them. Lower limits refuse what comes and remove
    /// nothing.
    pub(super) fn reconfigure(&mut self, settings: Settings, now: Instant) -> Applying {
        settings.validate().map_err(CommandError::Config)?;
        let before = self.directory().settings.clone();
        if *before == settings {
            return Ok(Outcome::Unchanged);
        }
        // Only these settings move timers; all others take effect when they are next read.
        let retimed = before.retry != settings.retry
            || before.dial_timeout != settings.dial_timeout
            || before.flaps != settings.flaps;
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
    /// plan, and rests likewise. Delays are never lengthened: a link keeps the instant that it was promised.
    fn cut_delays(&mut self, latest: Instant, rested: Instant) {
        let end = |link: &Link<A>| if link.resting { rested } else { latest };
        let late = |at: Option<Instant>, end: Instant| at.is_some_and(|at| at > end);
        let is_late = |link: &&StdArc<Link<A>>| {
            late(link.not_before, end(link)) || late(link.announce_not_before, latest)
        };
        let found: Vec<_> = self.links().filter(is_late).cloned().collect();
        for link in found {
            let mut link = (*link).clone();
            link.not_before = link.not_before.map(|at| at.min(end(&link)));
            link.announce_not_before = link.announce_not_before.map(|at| at.min(latest));
            self.commit(link);
        }
    }
}
