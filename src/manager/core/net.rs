//! Commands about nets and their permanent peers.
//!
//! A net that is off has no members and asks for nothing, but it keeps its configuration, its permanent peers
//! and its clusters. The host may create links for it in advance.

use std::time::Instant;

use super::staged::Core;
use crate::link::NetStatus;
use crate::link::addr::Addr;
use crate::link::net::{NetConfig, NetId};
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::directory::{Group, member_groups};
use crate::sync::StdArc;

impl<A: Addr> Core<A> {
    /// Adds a net. It starts switched off, so that its peers can be configured before any of them is dialled.
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

    /// Removes a net. A link that another net, a cluster or a stream of the peer keeps stays.
    ///
    /// Switches the net off, lets go of every link that it wants, and dissociates its clusters.
    pub(super) fn remove_net(&mut self, net: NetId, now: Instant) -> Applying {
        if self.directory().net(net).is_none() {
            return Err(CommandError::UnknownNet(net));
        }
        // The steps below call user code while the directory is half changed.
        self.journal_directory();
        // Clusters become disabled and members leave as they do when the host switches the net off.
        self.set_net_active(net, false, now)?;
        // Links may have been created for the net while it was off.
        self.release_links(net);
        self.dissociate_clusters_of(net)?;
        self.directory_mut().remove(net);
        Ok(Outcome::Done)
    }

    /// Replaces the configuration of a net. A net that becomes reserved lets go of the links that it no
    /// longer admits.
    pub(super) fn configure_net(&mut self, net: NetId, config: NetConfig) -> Applying {
        match self.directory().net(net) {
            None => return Err(CommandError::UnknownNet(net)),
            Some(status) if status.config == config => return Ok(Outcome::Unchanged),
            Some(_) => {}
        }
        self.journal_directory();
        if let Some(status) = self.directory_mut().net_mut(net) {
            status.config = config;
            // If the minimum was raised, the net asks at once, regardless of its last request.
            status.request_not_before = None;
        }
        if config.reserved_only {
            self.release_unadmitted(net);
        }
        Ok(Outcome::Done)
    }

    /// Lets go of every link of a reserved net, except those to its permanent peers.
    fn release_unadmitted(&mut self, net: NetId) {
        // Members that no net wants as well: they are guests, which the net has accepted.
        let mut groups = member_groups(net).to_vec();
        groups.push(Group::Wanted(net));
        for addr in self.addresses(&groups) {
            if self.is_permanent(&addr, net) {
                continue;
            }
            self.let_go(&addr, net);
        }
    }

    /// Switches a net on or off. No dial starts here: links that have become due are dialled when the core is
    /// next advanced.
    ///
    /// A net that is switched on makes the links that it wants due and associates its permanent peers. A net
    /// that is switched off ends the memberships in it, and the links that only this net kept. A link that
    /// another net or a cluster keeps stays: the reference closes it, and so cuts it from nets that are still
    /// on.
    pub(super) fn set_net_active(&mut self, net: NetId, active: bool, now: Instant) -> Applying {
        match self.directory().net(net).map(NetStatus::is_active) {
            None => return Err(CommandError::UnknownNet(net)),
            Some(before) if before == active => return Ok(Outcome::Unchanged),
            Some(_) => {}
        }
        let permanent = if active { self.permanent_of(net) } else { Vec::new() };
        // All or nothing: a net that is on has a record for each of its permanent peers.
        self.check_room_for(permanent.iter())?;
        self.journal_directory();
        if let Some(status) = self.directory_mut().net_mut(net) {
            status.active = active;
            // A net that is switched on asks at once, regardless of requests before it was switched off.
            status.request_not_before = None;
        }
        if active {
            // The links that the net wants may now be dialled and announced.
            for addr in self.addresses(&[Group::Wanted(net)]) {
                let Some(mut link) = self.checkout(&addr) else { continue };
                // A recent announcement of another net must not delay that of this net.
                link.announce_not_before = None;
                self.commit(link);
                // The status of the net is not part of the record, so `commit` may have left the timer alone.
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

    /// Ends every membership in the net, and lets go of every link that it wants. No `Released` effect is
    /// added: the host has switched the net off itself.
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

    /// Makes a node a permanent peer. A net that is off wants it once the net is switched on.
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
        // A net that is off gives its permanent peers no records yet, so it needs no room for them.
        let active = status.is_active();
        if active {
            self.check_room_for(std::iter::once(&addr))?;
        }
        // The set changes before the record does, and the record may still panic.
        self.journal_directory();
        if let Some(status) = self.directory_mut().net_mut(net) {
            StdArc::make_mut(&mut status.permanent).insert(addr.clone());
        }
        if active {
            self.associate(addr, net, now)?;
        }
        Ok(Outcome::Done)
    }

    /// Makes a permanent peer an ordinary one. The net continues to want the link until its attempts fail,
    /// unless the net is reserved: then it no longer admits the peer and lets the link go at once.
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
