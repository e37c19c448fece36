//! Commands about nets and their permanent peers.

use std::time::Instant;

use super::staged::Core;
use crate::link::NetStatus;
use crate::link::addr::Addr;
use crate::link::net::{NetConfig, NetId};
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::directory::{Group, member_groups};
use crate::sync::StdArc;

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
        self.set_net_active(net, false, now)?;
        // Links may have been created for the net while it was off.
        self.release_links(net);
        self.dissociate_clusters_of(net)?;
        self.directory_mut().remove(net);
        Ok(Outcome::Done)
    }

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

    pub(super) fn set_net_active(&mut self, net: NetId, active: bool, now: Instant) -> Applying {
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

    pub(super) fn add_permanent_peer(&mut self, net: NetId, addr: A, now: Instant) -> Applying {
        self.check_addr(&addr)?;
        let Some(status) = self.directory().net(net) else { return Err(CommandError::UnknownNet(net)) };
        if status.is_permanent(&addr) {
            return Ok(Outcome::Unchanged);
        }
        let limit = self.settings().max_permanent;
        if status.permanent.len() >= limit {
            return Err(CommandError::LimitReached { of: "permanent peers", limit });
        }
        let active = status.is_active();
        if active {
            self.check_room_for(std::iter::once(&addr))?;
        }
        self.journal_directory();
        if let Some(status) = self.directory_mut().net_mut(net) {
            StdArc::make_mut(&mut status.permanent).insert(addr.clone());
        }
        if active {
            self.associate(addr, net, now)?;
        }
        Ok(Outcome::Done)
    }

    pub(super) fn remove_permanent_peer(&mut self, net: NetId, addr: &A) -> Applying {
        let Some(status) = self.directory().net(net) else { return Err(CommandError::UnknownNet(net)) };
        if !status.is_permanent(addr) {
            return Ok(Outcome::Unchanged);
        }
        let reserved = status.config().reserved_only;
        self.journal_directory();
        if let Some(status) = self.directory_mut().net_mut(net) {
            StdArc::make_mut(&mut status.permanent).remove(addr);
        }
        if reserved {
            self.let_go(addr, net);
        }
        Ok(Outcome::Done)
    }
}
