//! Commands about one link, and answers to its effects.
//!
//! Answers name the dial or resolution that they are about. An answer to one that the link no longer has is
//! stale: it is counted and ignored, because the order of commands from different threads is not defined.
//! Only `set_endpoint` names none: an endpoint is useful even if it arrives late or was never asked for.

use std::net::SocketAddr;
use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::failure::LinkFailure;
use crate::link::net::NetId;
use crate::link::{DialId, DialState, ResolveId, UserData};
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::effect::Effect;

impl<A: Addr> Core<A> {
    /// Makes a net want a link, and puts the address on the ignore list of the net.
    ///
    /// The record is new, existed for another reason, or was wanted by this net before. Each case has an
    /// outcome of its own, because an existing link is not an error for a host that offers candidates. The
    /// reference returns an error for it.
    pub(super) fn create_link(&mut self, addr: A, net: NetId, now: Instant) -> Applying {
        self.check_addr(&addr)?;
        self.check_admission(&addr, net)?;
        // Asked first: `associate` creates the record.
        let known = self.writer.get(&addr).is_some();
        let associated = self.associate(addr.clone(), net, now)?;
        // Last, so that a refused command leaves the ignore list alone.
        self.ignore(&addr, net, None, now);
        Ok(if known { associated } else { Outcome::Created })
    }

    /// Sets the endpoint of a node, in answer to `Resolve` or in advance.
    ///
    /// Refused while a dial is in progress or connected: the dialer uses an endpoint that it has already been
    /// given.
    pub(super) fn set_endpoint(&mut self, addr: &A, endpoint: SocketAddr, now: Instant) -> Applying {
        let link = self.writer.get(addr).ok_or(CommandError::UnknownLink)?;
        if !link.dialable {
            return Err(CommandError::NotDialable);
        }
        if link.state != DialState::Disconnected {
            return Err(CommandError::LinkBusy(link.state));
        }
        // The resolution ends here, regardless of whether the endpoint can be used.
        let asked = link.resolving.is_some();
        if let Err(error) = self.config.addresses.check(endpoint) {
            // An unusable answer is a failed attempt: otherwise the core would ask again without back-off, as
            // the reference does.
            if asked {
                let link = (**link).clone();
                self.give_up(link, LinkFailure::Endpoint(error), now);
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
        // Checked again: while the host looked the endpoint up, the peer may have connected, the net may have
        // been switched off, or a refusal may have begun a delay.
        if asked && self.may_dial(&link) && self.is_ripe(&link, now) {
            self.start_dial(link, endpoint, now);
        } else {
            self.settle(link);
        }
        Ok(Outcome::Done)
    }

    /// Closes a link and removes its record.
    ///
    /// A permanent or static peer gets a new record, which is dialled after the delay of a first failure:
    /// without a delay, a deletion would amount to an immediate reconnect.
    pub(super) fn delete_link(&mut self, addr: &A, now: Instant) -> Applying {
        let link = self.checkout(addr).ok_or(CommandError::UnknownLink)?;
        let lasting = self.lasting(&link, now);
        self.forget(link);
        if let Some(mut link) = lasting {
            // The delay of a failure, but no failure is counted.
            link.delay_until(self.next_attempt(1, now));
            self.tally.links_created += 1;
            self.commit(link);
        }
        Ok(Outcome::Done)
    }

    /// Attaches a user value to a link, or removes it with `None`. The driver drops the old value at the end
    /// of the turn: its destructor is user code, and must not run in the middle of a command.
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

    /// Handles the report that the host does not know where the node listens. An endpoint that was known
    /// before is dialled; without one, the attempt has failed.
    pub(super) fn resolve_failed(&mut self, addr: &A, resolve: ResolveId, now: Instant) -> Outcome {
        // A late answer to a resolution that has timed out must not end the next one.
        let Some(link) = self.writer.get(addr).filter(|link| link.resolve_id() == Some(resolve)) else {
            return Outcome::Stale;
        };
        let link = (**link).clone();
        self.end_resolve(link, LinkFailure::Unresolved, now);
        Outcome::Done
    }

    /// Handles the report that a dial has reached the node. Memberships follow its streams, which are
    /// reported separately and may arrive first.
    pub(super) fn dial_connected(&mut self, addr: &A, dial: DialId, now: Instant) -> Outcome {
        let Some(link) = self.writer.get(addr).filter(|link| link.dial_id() == Some(dial)) else {
            return Outcome::Stale;
        };
        if link.state == DialState::Established {
            return Outcome::Unchanged;
        }
        let mut link = (**link).clone();
        // Resets `attempts` and `failures`: the node can be reached.
        link.establish(now);
        self.tally.established += 1;
        // Not the first connection since the record was created: the dialer has repaired one, or dialled
        // again.
        self.tally.reconnects += u64::from(link.proven);
        link.proven = true;
        self.settle(link);
        Outcome::Done
    }

    /// Handles the report that a dial failed, or that the connection which it made broke. With `last`, the
    /// dialer has given up.
    pub(super) fn dial_failed(&mut self, addr: &A, dial: DialId, last: bool, now: Instant) -> Outcome {
        let Some(link) = self.writer.get(addr).filter(|link| link.dial_id() == Some(dial)) else {
            return Outcome::Stale;
        };
        let link = (**link).clone();
        let broken = link.state == DialState::Established;
        let cause = if broken { LinkFailure::Broken } else { LinkFailure::DialFailed };
        // A final failure is reported by `Released`, once the attempts are used up.
        if !last {
            for net in &link.nets {
                self.effects.push(Effect::LinkError { addr: link.addr.clone(), net: *net, cause });
            }
        }
        self.lose_connection(link, last, cause, now);
        Outcome::Done
    }
}
