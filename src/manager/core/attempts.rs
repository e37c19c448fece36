//! Attempts to connect: dials, announcements, failures and rests.
//!
//! One dial or one question for the endpoint is under way per link, named by its identity. All ways in which
//! an attempt can fail meet in [`Core::give_up`], so that every failure counts and delays the next attempt.

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
    /// Dials, or asks where to dial. The caller has checked that the link may be dialled.
    ///
    /// Looking up an endpoint may block, so it is an effect that the host answers with a command; the
    /// reference resolves names while it holds its locks, and everything else waits meanwhile.
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

    /// Starts a dial under a new identity. Answers that name an earlier dial of the link are stale from here
    /// on.
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

    /// Counts a failure and returns the earliest instant of the next attempt.
    pub(super) fn fail(&mut self, link: &mut Link<A>, now: Instant) -> Instant {
        link.failures = link.failures.saturating_add(1);
        self.next_attempt(link.failures, now)
    }

    /// The earliest instant of the next attempt after that many failures. A policy that panics or asks for a
    /// delay that it may not have is counted, and replaced by the longest delay.
    pub(super) fn next_attempt(&mut self, failures: u32, now: Instant) -> Instant {
        // A handle on the settings, because the policy is user code and borrows the source of randomness.
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

    /// Counts an attempt. After the last one that is granted, each net that wants the link is told and lets
    /// it go. A net that is off is not told: it reports nothing while it is off.
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

    /// The dial failed, or the connection that it made is gone. With `last` the dialer has given up; without,
    /// it repairs the connection by itself and reports again under the same identity.
    ///
    /// The link does not stay `Established` during the repair: the reference keeps announcing on the dead
    /// stream, and the refusals then remove a link that is about to recover.
    pub(super) fn lose_connection(&mut self, mut link: Link<A>, last: bool, now: Instant) {
        let before = link.primary();
        link.streams.retain(|stream| stream.direction == Direction::Downlink);
        link.turn_to_primary(before);
        // Memberships exist only with a stream to carry them.
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

    /// Called when a connection of the dialer is about to be lost with no stream left: counts a flap, or
    /// clears the count after a connection that lasted. Returns the policy if the link is flapping now.
    ///
    /// An outage reaches the core several times, as the end of a stream and as a failure of the dial, in any
    /// order. It counts once, because the first report changes the state of the link.
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
        // Bounded: nodes that have gone are forgotten after a while, the oldest first.
        self.drops.trim(now, policy.entries);
        link.drops = drops;
        drops.filter(|drops| drops.count >= policy.limit).map(|_| policy)
    }

    /// Gives a flapping link a rest: its nets let it go and put it on their ignore lists, so that they do not
    /// ask for it again at once. Permanent and static peers keep their record and wait.
    pub(super) fn rest(&mut self, mut link: Link<A>, policy: FlapPolicy, now: Instant) {
        link.leave_all();
        self.reset_dialer(&mut link);
        link.follow_primary();
        link.endpoint_fresh = false;
        link.attempts = 0;
        link.rest_until(later(now, policy.delay));
        // The ignore lists change, and releasing the link may still panic.
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

    /// Announces the link to every active net that wants it and of which it is not a member yet, on the
    /// primary stream. The answer names the stream: one that comes after the stream died makes no member
    /// without a connection, in whichever order the two reports were queued.
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
