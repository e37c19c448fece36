//! Attempts to connect: dials, announcements, failures and rests.

use std::net::SocketAddr;
use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::dial::Dial;
use crate::link::flaps::Flaps;
use crate::link::record::{Link, Resolve};
use crate::link::retry::Drawn;
use crate::link::stream::Direction;
use crate::link::{DialId, DialState, FlapPolicy, ResolveId};
use crate::manager::model::effect::Effect;
use crate::util::time::later;

impl<A: Addr> Core<A> {
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
        link.state = DialState::Connecting;
        link.dial = Some(Dial { id, since: now });
        let attempt = link.attempts.saturating_add(1);
        self.effects.push(Effect::Dial { addr: link.addr.clone(), endpoint, attempt, dial: id });
        self.commit(link);
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

    /// The dial failed or the connection that it made is gone; `last` when the dialer has given up.
    pub(super) fn lose_connection(&mut self, mut link: Link<A>, last: bool, now: Instant) {
        let before = link.primary();
        link.streams.retain(|stream| stream.direction == Direction::Downlink);
        link.turn_to_primary(before);
        if link.streams.is_empty() {
            link.leave_all();
        }
        let unstable = self.note_flap(&mut link, now);
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

    /// The connection that the dialer has is about to be lost, with no stream left: counts it if it was
    /// short. Returns the policy when the link is unstable by that.
    pub(super) fn note_flap(&mut self, link: &mut Link<A>, now: Instant) -> Option<FlapPolicy> {
        let policy = self.settings().flaps?;
        // Reported once more, the same outage finds the link in another state.
        let connected = link.dial.filter(|_| link.state == DialState::Established)?;
        if !link.streams.is_empty() {
            return None;
        }
        let drops = if now.saturating_duration_since(connected.since) < policy.threshold {
            let known = self.drops.get(&link.addr).filter(|drops| now <= drops.until);
            let count = known.map_or(0, |drops| drops.count).saturating_add(1);
            Some(Flaps { count, until: later(now, policy.delay) })
        } else {
            None
        };
        self.journal_drops(&link.addr);
        self.drops.set(&link.addr, drops);
        self.drops.trim(now, policy.entries);
        link.drops = drops;
        drops.filter(|drops| drops.count >= policy.limit).map(|_| policy)
    }

    /// Gives a flapping link a rest: its nets let it go, and who keeps it waits.
    pub(super) fn rest(&mut self, mut link: Link<A>, policy: FlapPolicy, now: Instant) {
        link.leave_all();
        self.reset_dialer(&mut link);
        link.follow_primary();
        link.endpoint_fresh = false;
        link.attempts = 0;
        link.rest_until(later(now, policy.delay));
        self.journal_directory();
        for net in link.nets.clone() {
            if self.directory().is_net_active(net) {
                self.ignore(&link.addr, net, now);
                self.disconnect_from(&mut link, net);
            } else {
                link.dissociate(net);
            }
        }
        self.settle(link);
    }

    /// Announces every active net that wants the link and does not have it yet on the primary stream.
    pub(super) fn announce(&mut self, link: &mut Link<A>, now: Instant) {
        let Some(primary) = link.primary() else { return };
        let open: Vec<_> = self.rules().unannounced(link).collect();
        if open.is_empty() {
            return;
        }
        for net in open {
            self.effects.push(Effect::Announce { addr: link.addr.clone(), net, stream: primary.id });
        }
        // An announcement that nobody answers is repeated after the longest retry delay: chance could make a
        // shorter one so short that the answer is still on its way.
        link.announce_not_before = Some(later(now, self.settings().retry.cap()));
    }
}
