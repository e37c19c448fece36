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
        Ok(())
    }

    pub(super) fn create_link(&mut self, addr: A, net: NetId, now: Instant) -> Applying {
        self.check_addr(&addr)?;
        if self.directory().net(net).is_none() {
            return Err(CommandError::UnknownNet(net));
        }
        let (mut link, new) = match self.checkout(&addr) {
            Some(link) => (link, false),
            None => {
                self.check_room()?;
                (Link::new(addr.clone(), now), true)
            }
        };
        let outcome = match (new, link.nets.contains(&net)) {
            (true, _) => Outcome::Created,
            (false, false) => Outcome::Associated,
            (false, true) => Outcome::AlreadyAssociated,
        };
        if outcome != Outcome::AlreadyAssociated {
            link.dialable = true;
            link.nets.push(net);
            // An announcement of another net does not hold this one back.
            link.announce_not_before = None;
            self.tally.links_created += u64::from(new);
            self.settle(link);
        }
        self.heat(&addr, net, now);
        Ok(outcome)
    }

    /// Puts the address on the hot list of the net: candidates leave it out for the cooling period.
    fn heat(&mut self, addr: &A, net: NetId, now: Instant) {
        let until = later(now, self.settings().cooling);
        let limit = self.settings().max_hot;
        if let Some(status) = self.directory_mut().net_mut(net) {
            status.cool(now);
            status.heat(addr, until, limit);
        }
    }

    pub(super) fn update_link(&mut self, addr: &A, endpoint: SocketAddr, now: Instant) -> Applying {
        let mut link = self.checkout(addr).ok_or(CommandError::UnknownLink)?;
        if !link.dialable {
            return Err(CommandError::NotDialable);
        }
        let asked = link.resolving.take().is_some();
        if link.state != LinkState::Disconnected {
            let state = link.state;
            self.settle(link);
            return Err(CommandError::LinkBusy(state));
        }
        if let Err(error) = self.config.addresses.check(endpoint) {
            // An answer that cannot be used is a failed attempt: otherwise it would be asked for without
            // pause.
            if asked {
                self.give_up(link, now);
            }
            return Err(CommandError::Endpoint(error));
        }
        link.endpoint = Some(endpoint);
        link.endpoint_fresh = true;
        if asked && self.may_dial(&link) {
            self.start_dial(link, endpoint, now);
        } else {
            self.settle(link);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn delete_link(&mut self, addr: &A) -> Applying {
        let link = self.checkout(addr).ok_or(CommandError::UnknownLink)?;
        self.forget(link);
        Ok(Outcome::Done)
    }

    /// Stores a changed record, or ends it when nothing keeps it any more. What it makes due happens when the
    /// core is next advanced.
    pub(super) fn settle(&mut self, mut link: Link<A>) {
        if link.has_reason() {
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

    /// Tells the host that a net loses this link, and takes the association away unless the net keeps it.
    pub(super) fn disconnect_from(&mut self, link: &mut Link<A>, net: NetId) {
        // The record that counts is the staged one: a membership that ends with this command still counts
        // there.
        let mut members = self.counts(net).total();
        if self.writer.get(&link.addr).is_some_and(|staged| staged.is_member(net)) && !link.is_member(net) {
            members -= 1;
        }
        self.effects.push(Effect::Disconnected { addr: link.addr.clone(), net, members });
        link.dissociate(net);
    }
}
