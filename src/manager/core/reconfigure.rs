//! Settings that change while the manager runs, and what the user attaches to links.

use std::time::Instant;

use super::{Applying, Core};
use crate::link::{Addr, Link, NetConfig, NetId, UserData, later};
use crate::manager::command::{CommandError, Outcome};
use crate::manager::config::Settings;
use crate::manager::directory::{Group, member_groups};
use crate::sync::StdArc;

impl<A: Addr> Core<A> {
    pub(super) fn configure_net(&mut self, net: NetId, config: NetConfig) -> Applying {
        match self.directory().net(net) {
            None => return Err(CommandError::UnknownNet(net)),
            Some(status) if status.config == config => return Ok(Outcome::Unchanged),
            Some(_) => {}
        }
        self.journal_directory();
        if let Some(status) = self.directory_mut().net_mut(net) {
            status.config = config;
            // A minimum that was raised asks at once.
            status.request_not_before = None;
        }
        if config.reserved_only {
            self.release_unadmitted(net);
        }
        Ok(Outcome::Done)
    }

    /// A net that is reserved lets go of every link that is none of its permanent peers.
    fn release_unadmitted(&mut self, net: NetId) {
        let mut groups = member_groups(net).to_vec();
        groups.push(Group::Wanted(net));
        for addr in self.addresses(&groups) {
            if self.is_permanent(&addr, net) {
                continue;
            }
            self.let_go(&addr, net);
        }
    }

    /// A link no longer serves a net. A static peer stays one, and stays in its clusters.
    pub(super) fn let_go(&mut self, addr: &A, net: NetId) {
        let Some(mut link) = self.checkout(addr) else { return };
        self.leave_net(&mut link, net);
        self.join_static_of(&mut link, net);
        link.dissociate(net);
        self.settle(link);
    }

    pub(super) fn reconfigure(&mut self, settings: Settings, now: Instant) -> Applying {
        settings.validate().map_err(CommandError::Config)?;
        let before = self.directory().settings.clone();
        if *before == settings {
            return Ok(Outcome::Unchanged);
        }
        let retimed = before.retry != settings.retry
            || before.dial_timeout != settings.dial_timeout
            || before.unstable != settings.unstable;
        let latest = later(now, settings.retry.cap());
        let rested = settings.unstable.map_or(latest, |policy| later(now, policy.delay));
        self.journal_directory();
        self.directory_mut().settings = StdArc::new(settings);
        if retimed {
            self.cut_delays(latest, rested);
            self.plan_all();
        }
        Ok(Outcome::Done)
    }

    /// A delay that is planned stays, but no longer than the policy in force could plan it; and so does the
    /// rest of an unstable link.
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

    /// Sets all timers anew. O(links).
    pub(super) fn plan_all(&mut self) {
        let all: Vec<A> = self.links().map(|link| link.addr.clone()).collect();
        for addr in all {
            self.plan(&addr);
        }
    }

    pub(super) fn set_user_data(&mut self, addr: &A, data: Option<UserData>) -> Applying {
        let link = self.writer.get(addr).ok_or(CommandError::UnknownLink)?;
        if link.user_data == data {
            return Ok(Outcome::Unchanged);
        }
        let mut link = (**link).clone();
        link.user_data = data;
        self.commit(link);
        Ok(Outcome::Done)
    }
}
