//! Creation and removal of links.

use std::net::SocketAddr;

use super::work::{Applying, Work};
use crate::link::DialState;
use crate::link::addr::Addr;
use crate::link::failure::LinkFailure;
use crate::link::net::NetId;
use crate::manager::model::command::{CommandError, Outcome};

impl<A: Addr> Work<'_, A> {
    /// Checks that `addr` can name a remote node.
    pub(super) fn check_addr(&self, addr: &A) -> Result<(), CommandError> {
        if addr.is_blank() {
            return Err(CommandError::BlankAddr);
        }
        if self.rules.own.as_ref() == Some(addr) {
            return Err(CommandError::OwnAddr);
        }
        Ok(())
    }

    /// Checks that there is room for another link.
    pub(super) fn check_room(&self) -> Result<(), CommandError> {
        let limit = self.rules.config.settings.max_links;
        if self.links.len() >= limit {
            Err(CommandError::LimitReached { of: "links", limit })
        } else {
            Ok(())
        }
    }

    pub(super) fn create_link(&mut self, addr: &A, net: NetId) -> Applying {
        self.check_addr(addr)?;
        if self.nets.get(net).is_none() {
            return Err(CommandError::UnknownNet(net));
        }
        let outcome = match self.links.get(addr) {
            Some(record) if record.nets.contains(&net) => return Ok(Outcome::AlreadyAssociated),
            Some(_) => Outcome::Associated,
            None => {
                self.check_room()?;
                Outcome::Created
            }
        };
        let record = self.links.get_or_insert(addr);
        record.dialable = true;
        record.nets.push(net);
        record.announce_not_before = None;
        self.settle(addr);
        Ok(outcome)
    }

    pub(super) fn set_endpoint(&mut self, addr: &A, endpoint: SocketAddr) -> Applying {
        let Some(record) = self.links.get_mut(addr) else { return Err(CommandError::UnknownLink) };
        if !record.dialable {
            return Err(CommandError::NotDialable);
        }
        if record.state != DialState::Disconnected {
            return Err(CommandError::LinkBusy(record.state));
        }
        let asked = record.resolving.is_some();
        if let Err(error) = self.rules.config.addresses.check(endpoint) {
            // An unusable answer is a failed attempt.
            if asked {
                self.give_up(addr, LinkFailure::Endpoint(error));
            }
            return Err(CommandError::Endpoint(error));
        }
        if !asked && record.endpoint_fresh && record.endpoint == Some(endpoint) {
            return Ok(Outcome::Unchanged);
        }
        record.resolving = None;
        record.endpoint = Some(endpoint);
        record.endpoint_fresh = true;
        if !asked || !self.start_dial(addr) {
            self.settle(addr);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn delete_link(&mut self, addr: &A) -> Applying {
        if self.links.get(addr).is_none() {
            return Err(CommandError::UnknownLink);
        }
        self.forget(addr);
        Ok(Outcome::Done)
    }
}
