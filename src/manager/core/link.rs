//! Commands about one link, and answers to its effects.
//!
//! Answers name the dial that they are about. An answer to a dial that the link no longer has is stale: it is
//! counted and ignored, because the order of commands from different threads is not defined.

use std::net::SocketAddr;
use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::net::NetId;
use crate::link::{DialId, DialState, ResolveId, UserData};
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::effect::{Effect, LinkFailure};

impl<A: Addr> Core<A> {
    /// A net wants a link. The record is new, existed for another reason, or was wanted by this net before;
    /// each has an outcome of its own, because "it is there already" is no error to a host that offers
    /// candidates.
    pub(super) fn create_link(&mut self, addr: A, net: NetId, now: Instant) -> Applying {
        self.check_addr(&addr)?;
        self.check_admission(&addr, net)?;
        let known = self.writer.get(&addr).is_some();
        let associated = self.associate(addr.clone(), net, now)?;
        self.ignore(&addr, net, now);
        Ok(if known { associated } else { Outcome::Created })
    }

    /// Takes the endpoint of a node: the answer to `Resolve`, or in advance.
    pub(super) fn set_endpoint(&mut self, addr: &A, endpoint: SocketAddr, now: Instant) -> Applying {
        let link = self.writer.get(addr).ok_or(CommandError::UnknownLink)?;
        if !link.dialable {
            return Err(CommandError::NotDialable);
        }
        if link.state != DialState::Disconnected {
            return Err(CommandError::LinkBusy(link.state));
        }
        // The question is answered from here on, whatever becomes of the answer.
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

    /// Closes a link. Of a permanent or static peer a blank record stays, which is dialled again after the
    /// delay of a first failure: without a delay, deleting would amount to reconnecting at once.
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

    /// Attaches a value to a link, or takes it away. The old value is dropped by the writer once no half-done
    /// work is left: its destructor is user code.
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

    /// The host does not know where the node listens. An endpoint that was known before is better than none
    /// and is dialled; without one, the attempt has failed.
    pub(super) fn resolve_failed(&mut self, addr: &A, resolve: ResolveId, now: Instant) -> Outcome {
        // The answer to a question that has timed out says nothing about the one after it.
        let Some(link) = self.writer.get(addr).filter(|link| link.resolve_id() == Some(resolve)) else {
            return Outcome::Stale;
        };
        let link = (**link).clone();
        self.end_resolve(link, now);
        Outcome::Done
    }

    /// The dial has reached the node. Memberships come with its streams, which are reported separately.
    pub(super) fn dial_connected(&mut self, addr: &A, dial: DialId, now: Instant) -> Outcome {
        let Some(link) = self.writer.get(addr).filter(|link| link.dial_id() == Some(dial)) else {
            return Outcome::Stale;
        };
        if link.state == DialState::Established {
            return Outcome::Unchanged;
        }
        let mut link = (**link).clone();
        link.establish(now);
        self.tally.established += 1;
        self.tally.reconnects += u64::from(link.proven);
        link.proven = true;
        self.settle(link);
        Outcome::Done
    }

    /// The dial failed, or the connection that it made broke.
    pub(super) fn dial_failed(&mut self, addr: &A, dial: DialId, last: bool, now: Instant) -> Outcome {
        let Some(link) = self.writer.get(addr).filter(|link| link.dial_id() == Some(dial)) else {
            return Outcome::Stale;
        };
        let link = (**link).clone();
        if !last {
            let broken = link.state == DialState::Established;
            let cause = if broken { LinkFailure::Broken } else { LinkFailure::DialFailed };
            for net in &link.nets {
                self.effects.push(Effect::LinkError { addr: link.addr.clone(), net: *net, cause });
            }
        }
        self.lose_connection(link, last, now);
        Outcome::Done
    }
}
