//! Resolving, dialling, failing.

use std::net::SocketAddr;
use std::time::Instant;

use super::Core;
use crate::link::{Addr, Dial, DialId, Direction, Drawn, Link, LinkState, Resolve, ResolveId, later};
use crate::manager::command::Outcome;
use crate::manager::effect::{Effect, LinkCause};

impl<A: Addr> Core<A> {
    /// Whether there is a reason to dial the link and nothing against it but, perhaps, the retry delay.
    pub(super) fn may_dial(&self, link: &Link<A>) -> bool {
        self.rules().may_dial(link)
    }

    /// Whether the retry delay is over. It may have begun anew while the endpoint was asked for.
    pub(super) fn is_ripe(&self, link: &Link<A>, now: Instant) -> bool {
        self.rules().is_ripe(link, now)
    }

    /// Counts a failure, and returns the earliest instant for the next attempt.
    pub(super) fn fail(&mut self, link: &mut Link<A>, now: Instant) -> Instant {
        link.failures = link.failures.saturating_add(1);
        self.next_attempt(link.failures, now)
    }

    /// The earliest instant for the next attempt after so many failures.
    pub(super) fn next_attempt(&mut self, failures: u32, now: Instant) -> Instant {
        let settings = self.directory().settings.clone();
        let Drawn { delay, fault } = settings.retry.draw(failures, self.random.source());
        self.tally.retry_faults += u64::from(fault);
        later(now, delay)
    }

    /// Dials, or asks where to dial. Only for a link that may be dialled.
    pub(super) fn begin(&mut self, mut link: Link<A>, now: Instant) {
        match link.endpoint {
            Some(endpoint) if !self.rules().must_resolve(&link) => self.start_dial(link, endpoint, now),
            _ => {
                let id = ResolveId(self.next_resolve);
                self.next_resolve += 1;
                link.resolving = Some(Resolve { id, since: now });
                self.effects.push(Effect::Resolve { addr: link.addr.clone(), resolve: id });
                self.commit(link);
            }
        }
    }

    pub(super) fn start_dial(&mut self, mut link: Link<A>, endpoint: SocketAddr, now: Instant) {
        let id = DialId(self.next_dial);
        self.next_dial += 1;
        self.tally.dials += 1;
        link.state = LinkState::Connecting;
        link.dial = Some(Dial { id, since: now });
        let attempt = link.attempts.saturating_add(1);
        self.effects.push(Effect::Dial { addr: link.addr.clone(), endpoint, attempt, dial: id });
        self.commit(link);
    }

    pub(super) fn resolve_failed(&mut self, addr: &A, resolve: ResolveId, now: Instant) -> Outcome {
        // The answer to a question that has timed out says nothing about the one after it.
        let Some(link) = self.writer.get(addr).filter(|link| link.resolve_id() == Some(resolve)) else {
            return Outcome::Stale;
        };
        let link = (**link).clone();
        self.end_resolve(link, now);
        Outcome::Done
    }

    /// Nobody says where the node listens.
    pub(super) fn end_resolve(&mut self, mut link: Link<A>, now: Instant) {
        link.resolving = None;
        match link.endpoint {
            // An old endpoint is better than none.
            Some(endpoint) if self.may_dial(&link) && self.is_ripe(&link, now) => {
                self.start_dial(link, endpoint, now);
            }
            Some(_) => self.settle(link),
            None => self.give_up(link, now),
        }
    }

    pub(super) fn dial_connected(&mut self, addr: &A, dial: DialId, now: Instant) -> Outcome {
        let Some(link) = self.writer.get(addr).filter(|link| link.dial_id() == Some(dial)) else {
            return Outcome::Stale;
        };
        if link.state == LinkState::Established {
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

    pub(super) fn dial_failed(&mut self, addr: &A, dial: DialId, last: bool, now: Instant) -> Outcome {
        let Some(link) = self.writer.get(addr).filter(|link| link.dial_id() == Some(dial)) else {
            return Outcome::Stale;
        };
        let link = (**link).clone();
        if !last {
            let broken = link.state == LinkState::Established;
            let cause = if broken { LinkCause::Broken } else { LinkCause::DialFailed };
            for net in &link.nets {
                self.effects.push(Effect::LinkError { addr: link.addr.clone(), net: *net, cause });
            }
        }
        self.lose_connection(link, last, now);
        Outcome::Done
    }

    /// The dial failed or the connection that it made is gone; `last` when the dialer has given up.
    pub(super) fn lose_connection(&mut self, mut link: Link<A>, last: bool, now: Instant) {
        let before = link.primary();
        link.streams.retain(|stream| stream.direction == Direction::Downlink);
        link.turn_to_primary(before);
        if link.streams.is_empty() {
            link.leave_all();
        }
        let unstable = self.note_drop(&mut link, now);
        if last {
            // Ended by the dialer: there is nothing to cancel.
            link.dial = None;
        }
        if let Some(policy) = unstable {
            self.rest(link, policy, now);
        } else if last || link.is_active() {
            self.give_up(link, now);
        } else {
            link.break_connection(now);
            self.settle(link);
        }
    }

    /// The end of a dial cycle without success, whichever step failed: the link waits for the retry delay, and
    /// after the last attempt its nets let it go.
    ///
    /// A member is connected: the stream of the peer carries its memberships, and the dial was superfluous. It
    /// counts as no attempt, and the nets keep the link. The reference lets it go, and has a connected link that
    /// no net wants.
    pub(super) fn give_up(&mut self, mut link: Link<A>, now: Instant) {
        self.reset_dialer(&mut link);
        link.endpoint_fresh = false;
        let later = self.fail(&mut link, now);
        link.delay_until(later);
        if !link.is_active() {
            self.count_attempt(&mut link);
        }
        self.settle(link);
    }

    /// After the last attempt that is granted, the nets are told and let the link go.
    fn count_attempt(&mut self, link: &mut Link<A>) {
        link.attempts = link.attempts.saturating_add(1);
        if link.attempts >= self.settings().max_attempts {
            link.attempts = 0;
            for net in link.nets.clone() {
                if self.directory().is_net_active(net) {
                    self.disconnect_from(link, net);
                } else {
                    link.dissociate(net);
                }
            }
        }
    }
}
