//! Permanent peers, and nets that are reserved to them.

use std::time::Instant;

use super::{Applying, Core};
use crate::link::{Addr, Link, NetId, NetStatus};
use crate::manager::command::{CommandError, Outcome};
use crate::sync::StdArc;

impl<A: Addr> Core<A> {
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

    /// The permanent peers of a net that is going on.
    pub(super) fn permanent_of(&self, net: NetId) -> Vec<A> {
        self.directory().net(net).map_or_else(Vec::new, |net| net.permanent_peers().cloned().collect())
    }

    pub(super) fn is_permanent(&self, addr: &A, net: NetId) -> bool {
        self.directory().net(net).is_some_and(|net| net.is_permanent(addr))
    }

    /// That a link to this address may serve the net.
    pub(super) fn check_admission(&self, addr: &A, net: NetId) -> Result<&NetStatus<A>, CommandError> {
        match self.directory().net(net) {
            None => Err(CommandError::UnknownNet(net)),
            Some(status) if !status.admits(addr) => Err(CommandError::ReservedNet(net)),
            Some(status) => Ok(status),
        }
    }

    /// What stays of a link that is deleted: that it is a static peer, and a permanent one of active nets.
    pub(super) fn lasting(&self, link: &Link<A>, now: Instant) -> Option<Link<A>> {
        let directory = self.directory();
        let mut rest = Link::new(link.addr.clone(), now);
        rest.designations.clone_from(&link.designations);
        let wanted = link.nets.iter().copied();
        let kept = |net: &NetId| {
            directory.net(*net).is_some_and(|net| net.is_active() && net.is_permanent(&link.addr))
        };
        rest.nets = wanted.filter(kept).collect();
        rest.drops = link.drops;
        rest.dialable = true;
        rest.has_reason().then_some(rest)
    }
}
