//! Checks: questions about the staged state that change nothing.

use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::{Cluster, NetStatus};
use crate::manager::model::command::CommandError;

impl<A: Addr> Core<A> {
    /// Whether an address can name a remote node.
    pub(super) fn check_addr(&self, addr: &A) -> Result<(), CommandError> {
        if addr.is_blank() {
            return Err(CommandError::BlankAddr);
        }
        if self.own.as_ref() == Some(addr) {
            return Err(CommandError::OwnAddr);
        }
        Ok(())
    }

    pub(super) fn check_room(&self) -> Result<(), CommandError> {
        let limit = self.settings().max_links;
        if self.writer.len() >= limit {
            return Err(CommandError::LimitReached { of: "links", limit });
        }
        self.check_backlog()
    }

    /// That there is room for records of those addresses that have none.
    pub(super) fn check_room_for<'a>(&self, addrs: impl Iterator<Item = &'a A>) -> Result<(), CommandError> {
        let new = addrs.filter(|addr| self.writer.get(*addr).is_none()).count();
        let limit = self.settings().max_links;
        // A limit that was lowered below what is there refuses new records, and nothing else.
        if new > 0 && self.writer.len() + new > limit {
            return Err(CommandError::LimitReached { of: "links", limit });
        }
        if new > 0 { self.check_backlog() } else { Ok(()) }
    }

    pub(super) fn check_cluster(&self, cluster: ClusterId) -> Result<&Cluster<A>, CommandError> {
        if cluster.is_main() {
            return Err(CommandError::MainCluster(cluster));
        }
        self.directory().cluster(cluster).ok_or(CommandError::UnknownCluster(cluster))
    }

    /// That a link to this address may serve the net.
    pub(super) fn check_admission(&self, addr: &A, net: NetId) -> Result<&NetStatus<A>, CommandError> {
        match self.directory().net(net) {
            None => Err(CommandError::UnknownNet(net)),
            Some(status) if !status.admits(addr) => Err(CommandError::ReservedNet(net)),
            Some(status) => Ok(status),
        }
    }

    pub(super) fn is_permanent(&self, addr: &A, net: NetId) -> bool {
        self.directory().net(net).is_some_and(|net| net.is_permanent(addr))
    }

    /// The permanent peers of a net that is going on.
    pub(super) fn permanent_of(&self, net: NetId) -> Vec<A> {
        self.directory().net(net).map_or_else(Vec::new, |net| net.permanent_peers().cloned().collect())
    }

    /// Whether there is a reason to dial the link and nothing against it but, perhaps, the retry delay.
    pub(super) fn may_dial(&self, link: &Link<A>) -> bool {
        self.rules().may_dial(link)
    }

    /// Whether the retry delay is over. It may have begun anew while the endpoint was asked for.
    pub(super) fn is_ripe(&self, link: &Link<A>, now: Instant) -> bool {
        self.rules().is_ripe(link, now)
    }

    /// While very much waits for the transport, there is nothing new that effects could be about: what is there
    /// bounds what can be said of it, and what has gone is not replaced.
    pub(super) fn check_backlog(&self) -> Result<(), CommandError> {
        let limit = self.config.outbox.saturating_add(self.settings().max_links);
        if self.backlog.effects + self.backlog.closing >= limit {
            return Err(CommandError::LimitReached { of: "effects", limit });
        }
        Ok(())
    }
}
