//! Settings that change while the manager runs, and what the user attaches to links.

use std::time::Instant;

use super::{Applying, Core};
use crate::link::{Addr, NetConfig, NetId, UserData, later};
use crate::manager::command::{CommandError, Outcome};
use crate::manager::config::Settings;
use crate::sync::StdArc;

impl<A: Addr> Core<A> {
    pub(super) fn configure_net(&mut self, net: NetId, config: NetConfig) -> Applying {
        match self.directory().net(net) {
            None => return Err(CommandError::UnknownNet(net)),
            Some(status) if status.config == config => return Ok(Outcome::Unchanged),
            Some(_) => {}
        }
        if let Some(status) = self.directory_mut().net_mut(net) {
            status.config = config;
            // A minimum that was raised asks at once.
            status.request_not_before = None;
        }
        Ok(Outcome::Done)
    }

    pub(super) fn reconfigure(&mut self, settings: Settings, now: Instant) -> Applying {
        settings.validate().map_err(CommandError::Config)?;
        let before = self.directory().settings.clone();
        if *before == settings {
            return Ok(Outcome::Unchanged);
        }
        let retimed = before.retry != settings.retry || before.dial_timeout != settings.dial_timeout;
        let latest = later(now, settings.retry.cap());
        self.journal_directory();
        self.directory_mut().settings = StdArc::new(settings);
        if retimed {
            self.cut_delays(latest);
            self.plan_all();
        }
        Ok(Outcome::Done)
    }

    /// A delay that is planned stays, but no longer than the policy in force could plan it.
    fn cut_delays(&mut self, latest: Instant) {
        let cut = |at: Option<Instant>| at.map(|at| at.min(latest));
        let late = |at: Option<Instant>| at.is_some_and(|at| at > latest);
        let links = self.writer.iter().map(|(_, link)| link);
        let found: Vec<_> =
            links.filter(|link| late(link.not_before) || late(link.announce_not_before)).cloned().collect();
        for link in found {
            let mut link = (*link).clone();
            link.not_before = cut(link.not_before);
            link.announce_not_before = cut(link.announce_not_before);
            self.commit(link);
        }
    }

    /// Sets all timers anew. O(links).
    pub(super) fn plan_all(&mut self) {
        let all: Vec<A> = self.writer.iter().map(|(addr, _)| addr.clone()).collect();
        for addr in all {
            self.plan(&addr);
        }
    }

    pub(super) fn set_user_data(&mut self, addr: &A, data: Option<UserData>) -> Applying {
        let mut link = self.checkout(addr).ok_or(CommandError::UnknownLink)?;
        if link.user_data == data {
            return Ok(Outcome::Unchanged);
        }
        link.user_data = data;
        self.commit(link);
        Ok(Outcome::Done)
    }
}
