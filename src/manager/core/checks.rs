//! Checks: questions about the staged state that change nothing.
//!
//! A command that is refused does not roll back; only a panic does. It therefore calls its checks before its
//! first change, and a command that changes several records checks them all in advance.

use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::{Cluster, NetStatus};
use crate::manager::model::command::CommandError;

impl<A: Addr> Core<A> {
    /// Checks that an address can name a remote node: it is neither blank nor the address of this node. A
    /// link to this node itself would count it as its own peer.
    pub(super) fn check_addr(&self, addr: &A) -> Result<(), CommandError> {
        if addr.is_blank() {
            return Err(CommandError::BlankAddr);
        }
        if self.own.as_ref() == Some(addr) {
            return Err(CommandError::OwnAddr);
        }
        Ok(())
    }

    /// Checks that there is room for one more record.
    pub(super) fn check_room(&self) -> Result<(), CommandError> {
        let limit = self.settings().max_links;
        if self.writer.len() >= limit {
            return Err(CommandError::LimitReached { of: "links", limit });
        }
        self.check_backlog()
    }

    /// Checks that there is room for records of those addresses that have none. Called for all of them in
    /// advance: a command that creates several records creates all or none.
    pub(super) fn check_room_for<'a>(&self, addrs: impl Iterator<Item = &'a A>) -> Result<(), CommandError> {
        let new = addrs.filter(|addr| self.writer.get(*addr).is_none()).count();
        let limit = self.settings().max_links;
        // A limit that was lowered below the present number refuses new records only: a command that creates
        // none needs no room.
        if new > 0 && self.writer.len() + new > limit {
            return Err(CommandError::LimitReached { of: "links", limit });
        }
        if new > 0 { self.check_backlog() } else { Ok(()) }
    }

    /// Returns an associated cluster by its identity. Main clusters are refused: they are created and removed
    /// with their net, and only an accepted announcement creates their members.
    pub(super) fn check_cluster(&self, cluster: ClusterId) -> Result<&Cluster<A>, CommandError> {
        if cluster.is_main() {
            return Err(CommandError::MainCluster(cluster));
        }
        self.directory().cluster(cluster).ok_or(CommandError::UnknownCluster(cluster))
    }

    /// Checks that the net admits a link to this address, and returns the net. A reserved net admits
    /// permanent peers only.
    pub(super) fn check_admission(&self, addr: &A, net: NetId) -> Result<&NetStatus<A>, CommandError> {
        match self.directory().net(net) {
            None => Err(CommandError::UnknownNet(net)),
            Some(status) if !status.admits(addr) => Err(CommandError::ReservedNet(net)),
            Some(status) => Ok(status),
        }
    }

    /// Whether the address is a permanent peer of the net.
    pub(super) fn is_permanent(&self, addr: &A, net: NetId) -> bool {
        self.directory().net(net).is_some_and(|net| net.is_permanent(addr))
    }

    /// The permanent peers of a net that is being switched on.
    pub(super) fn permanent_of(&self, net: NetId) -> Vec<A> {
        self.directory().net(net).map_or_else(Vec::new, |net| net.permanent_peers().cloned().collect())
    }

    /// Whether there is a reason to dial the link, and nothing but possibly the retry delay blocks the dial.
    pub(super) fn may_dial(&self, link: &Link<A>) -> bool {
        self.rules().may_dial(link)
    }

    /// Whether the retry delay is over. Checked again when the answer to a `Resolve` arrives: a refusal may
    /// have begun a new delay while the endpoint was being looked up.
    pub(super) fn is_ripe(&self, link: &Link<A>, now: Instant) -> bool {
        self.rules().is_ripe(link, now)
    }

    /// Checks that the transport is not too far behind to accept a new link, net, cluster or stream.
    ///
    /// Effects are coalesced, so the links and nets that exist bound the number of effects about them.
    /// Effects about those that were removed remain until they are delivered: without this check, a host that
    /// creates and removes links in a loop would make the outbox grow without bound while the transport
    /// stands still.
    pub(super) fn check_backlog(&self) -> Result<(), CommandError> {
        // Room for one effect per possible link beyond the size at which host commands begin to wait.
        let limit = self.config.outbox.saturating_add(self.settings().max_links);
        if self.backlog.effects + self.backlog.closing >= limit {
            return Err(CommandError::LimitReached { of: "effects", limit });
        }
        Ok(())
    }
}
