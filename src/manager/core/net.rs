//! Nets.

use std::time::Instant;

use super::{Applying, Core};
use crate::link::{Addr, NetConfig, NetId, NetStatus};
use crate::manager::command::{CommandError, Outcome};
use crate::manager::directory::{Group, member_groups};

impl<A: Addr> Core<A> {
    pub(super) fn add_net(&mut self, net: NetId, config: NetConfig) -> Applying {
        if !net.is_valid() {
            return Err(CommandError::InvalidNet(net));
        }
        if self.directory().net(net).is_some() {
            return Err(CommandError::NetExists(net));
        }
        let limit = self.settings().max_nets;
        if self.directory().nets().len() >= limit {
            return Err(CommandError::LimitReached { of: "nets", limit });
        }
        self.check_backlog()?;
        self.directory_mut().add(NetStatus::new(net, config));
        Ok(Outcome::Done)
    }

    pub(super) fn remove_net(&mut self, net: NetId, now: Instant) -> Applying {
        if self.directory().net(net).is_none() {
            return Err(CommandError::UnknownNet(net));
        }
        self.journal_directory();
        self.set_net_condition(net, false, now)?;
        // Links may have been created for the net while it was off.
        self.release_links(net);
        self.dissociate_clusters_of(net)?;
        self.directory_mut().remove(net);
        Ok(Outcome::Done)
    }

    pub(super) fn set_net_condition(&mut self, net: NetId, active: bool, now: Instant) -> Applying {
        match self.directory().net(net).map(NetStatus::is_active) {
            None => return Err(CommandError::UnknownNet(net)),
            Some(before) if before == active => return Ok(Outcome::Unchanged),
            Some(_) => {}
        }
        let permanent = if active { self.permanent_of(net) } else { Vec::new() };
        self.check_room_for(permanent.iter())?;
        self.journal_directory();
        if let Some(status) = self.directory_mut().net_mut(net) {
            status.active = active;
            status.request_not_before = None;
        }
        if active {
            // The links that the net wants may be dialled and announced from now on.
            for addr in self.addresses(&[Group::Wanted(net)]) {
                let Some(mut link) = self.checkout(&addr) else { continue };
                // An announcement of another net does not hold this one back.
                link.announce_not_before = None;
                self.commit(link);
                self.plan(&addr);
            }
            for addr in permanent {
                self.associate(addr, net, now)?;
            }
        } else {
            self.release_links(net);
        }
        self.switch_clusters(net, active);
        Ok(Outcome::Done)
    }

    /// Ends every membership in the net, and every link that only this net kept.
    fn release_links(&mut self, net: NetId) {
        let mut groups = member_groups(net).to_vec();
        groups.push(Group::Wanted(net));
        for addr in self.addresses(&groups) {
            let Some(mut link) = self.checkout(&addr) else { continue };
            link.leave(net);
            link.dissociate(net);
            self.settle(link);
        }
    }

    /// The addresses in some groups, each once. Copied, because the caller changes the groups.
    pub(super) fn addresses(&self, groups: &[Group]) -> Vec<A> {
        let members = &self.writer.index().0;
        let mut seen = std::collections::HashSet::new();
        let all = groups.iter().flat_map(|group| members.keys(group));
        all.filter(|addr| seen.insert((*addr).clone())).cloned().collect()
    }

    pub(super) fn set_condition(&mut self, active: bool) -> Outcome {
        if self.directory().active == active {
            return Outcome::Unchanged;
        }
        self.journal_directory();
        self.directory_mut().active = active;
        if active {
            self.plan_all();
        }
        Outcome::Done
    }
}
