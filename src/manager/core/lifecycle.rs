//! How links come, join, leave and go.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Applying, Core};
use crate::link::{Addr, Direction, Link, LinkState, NetId, later};
use crate::manager::command::{CommandError, Outcome};
use crate::manager::effect::Effect;

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

    /// A copy of the record of `addr` as [`checkout`](Self::checkout) makes it, or a new record, which counts
    /// as created.
    pub(super) fn checkout_or_new(&mut self, addr: A, now: Instant) -> Result<Link<A>, CommandError> {
        if let Some(link) = self.checkout(&addr) {
            return Ok(link);
        }
        self.check_room()?;
        self.tally.links_created += 1;
        let mut link = Link::new(addr, now);
        link.drops = self.drops.get(&link.addr);
        Ok(link)
    }

    pub(super) fn create_link(&mut self, addr: A, net: NetId, now: Instant) -> Applying {
        self.check_addr(&addr)?;
        self.check_admission(&addr, net)?;
        let known = self.writer.get(&addr).is_some();
        let associated = self.associate(addr.clone(), net, now)?;
        self.heat(&addr, net, now);
        Ok(if known { associated } else { Outcome::Created })
    }

    /// The net wants the link from now on: `Associated`, or `AlreadyAssociated` when it did before.
    pub(super) fn associate(&mut self, addr: A, net: NetId, now: Instant) -> Applying {
        if self.writer.get(&addr).is_some_and(|link| link.nets.contains(&net)) {
            return Ok(Outcome::AlreadyAssociated);
        }
        let mut link = self.checkout_or_new(addr, now)?;
        link.dialable = true;
        link.nets.push(net);
        // An announcement of another net does not hold this one back.
        link.announce_not_before = None;
        self.settle(link);
        Ok(Outcome::Associated)
    }

    /// Puts the address on the hot list of the net: candidates leave it out for the cooling period.
    pub(super) fn heat(&mut self, addr: &A, net: NetId, now: Instant) {
        let until = later(now, self.settings().cooling);
        let limit = self.settings().max_hot;
        if let Some(status) = self.directory_mut().net_mut(net) {
            status.cool(now);
            status.heat(addr, until, limit);
        }
    }

    pub(super) fn update_link(&mut self, addr: &A, endpoint: SocketAddr, now: Instant) -> Applying {
        let link = self.writer.get(addr).ok_or(CommandError::UnknownLink)?;
        if !link.dialable {
            return Err(CommandError::NotDialable);
        }
        if link.state != LinkState::Disconnected {
            return Err(CommandError::LinkBusy(link.state));
        }
        let asked = link.resolving.is_some();
        if let Err(error) = self.config.addresses.check(endpoint) {
            // An answer that cannot be used is a failed attempt: otherwise it would be asked for without
            // pause.
            if asked {
                let link = (**link).clone();
                self.give_up(link, now);
            }
            return Err(CommandError::Endpoint(error));
        }
        if !asked && link.endpoint_fresh && link.endpoint == Some(endpoint) {
            return Ok(Outcome::Unchanged);
        }
        let mut link = (**link).clone();
        link.resolving = None;
        link.endpoint = Some(endpoint);
        link.endpoint_fresh = true;
        if asked && self.may_dial(&link) && self.is_ripe(&link, now) {
            self.start_dial(link, endpoint, now);
        } else {
            self.settle(link);
        }
        Ok(Outcome::Done)
    }

    /// Closes a link. What makes a peer a static or permanent one is taken back by other commands: of such a
    /// link a blank record stays.
    pub(super) fn delete_link(&mut self, addr: &A, now: Instant) -> Applying {
        let link = self.checkout(addr).ok_or(CommandError::UnknownLink)?;
        let lasting = self.lasting(&link, now);
        self.forget(link);
        if let Some(mut link) = lasting {
            // As after a failure, which it is not.
            link.delay_until(self.next_attempt(1, now));
            self.tally.links_created += 1;
            self.commit(link);
        }
        Ok(Outcome::Done)
    }

    /// Stores a changed record, or ends it when nothing keeps it any more. What it makes due happens when the
    /// core is next advanced.
    pub(super) fn settle(&mut self, mut link: Link<A>) {
        if link.has_reason() {
            if link.dialable
                && link.nets.is_empty()
                && !link.is_active()
                && !self.rules().has_enabled_static(&link)
            {
                // A static peer of disabled clusters: the record stays, the connection goes.
                self.reset_dialer(&mut link);
                link.follow_primary();
            }
            self.commit(link);
        } else if link.streams.iter().any(|stream| stream.direction == Direction::Downlink) {
            // Nothing asks to dial the node any more. The streams that it opened are its own to close.
            self.effects.push(Effect::CloseDialer { addr: link.addr.clone() });
            link.demote();
            self.commit(link);
        } else {
            self.forget(link);
        }
    }

    /// Removes the record and closes everything that belongs to it.
    pub(super) fn forget(&mut self, link: Link<A>) {
        self.uproot(&link.addr);
        self.tally.links_deleted += 1;
        let dialer = link.dialable;
        if dialer {
            self.effects.push(Effect::CloseDialer { addr: link.addr.clone() });
        }
        // The dialer closes the streams that it made.
        let others = link.streams.iter().filter(|stream| !dialer || stream.direction == Direction::Downlink);
        let streams: Vec<_> = others.map(|stream| stream.id).collect();
        if !streams.is_empty() {
            self.effects.push(Effect::CloseStreams { addr: link.addr, streams });
        }
    }

    /// Sends the dialer back to the beginning: an abandoned dial, or one whose connection was replaced. With
    /// the dial go the streams that it made.
    pub(super) fn reset_dialer(&mut self, link: &mut Link<A>) {
        link.state = LinkState::Disconnected;
        link.resolving = None;
        if let Some(dial) = link.dial.take() {
            self.effects.push(Effect::CancelDial { addr: link.addr.clone(), dial: dial.id });
            link.streams.retain(|stream| stream.direction == Direction::Downlink);
        }
    }

    /// Tells the host that a net loses this link, and takes the association away unless the peer is
    /// permanent.
    pub(super) fn disconnect_from(&mut self, link: &mut Link<A>, net: NetId) {
        // The record that counts is the staged one: a membership that ends with this command still counts
        // there.
        let mut members = self.counts(net).total();
        if self.writer.get(&link.addr).is_some_and(|staged| staged.is_member(net)) && !link.is_member(net) {
            members -= 1;
        }
        self.effects.push(Effect::Disconnected { addr: link.addr.clone(), net, members });
        if !self.is_permanent(&link.addr, net) {
            link.dissociate(net);
        }
    }
}
