//! Attempts to connect: dials, announcements, failures and rests.
//!
//! Per link, at most one dial or one resolution is in progress, named by its identity. Every failed attempt
//! ends in [`Core::give_up`] or, if the link is flapping, in [`Core::rest`]; each of them delays the
//! next attempt.

use std::net::SocketAddr;
use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::dial::Dial;
use crate::link::failure::LinkFailure;
use crate::link::flaps::Flaps;
use crate::link::net::NetId;
use crate::link::record::{Link, Resolve};
use crate::link::retry::Drawn;
use crate::link::stream::Direction;
use crate::link::{DialId, DialState, FlapPolicy, ResolveId};
use crate::manager::model::effect::Effect;
use crate::util::time::later;

impl<A: Addr> Core<A> {
    /// Starts a dial, or asks the host for the endpoint first. The caller has checked that the link may be
    /// dialled.
    ///
    /// A lookup of an endpoint may block, so it is an effect that the host answers with a command. The
    /// reference resolves names while it holds its locks, and all other work waits meanwhile.
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

    /// Starts a dial under a new identity. From here on, answers that name an earlier dial of the link are
    /// stale.
    pub(super) fn start_dial(&mut self, mut link: Link<A>, endpoint: SocketAddr, now: Instant) {
        let id = DialId(self.next_dial);
        self.next_dial += 1;
        self.tally.dials += 1;
        link.state = DialState::Connecting;
        link.dial = Some(Dial { id, since: now });
        // 1 for the first dial of a series of attempts.
        let attempt = link.attempts.saturating_add(1);
        self.effects.push(Effect::Dial { addr: link.addr.clone(), endpoint, attempt, dial: id });
        self.commit(link);
    }

    /// Counts a failure and returns the earliest instant of the next attempt.
    pub(super) fn fail(&mut self, link: &mut Link<A>, cause: LinkFailure, now: Instant) -> Instant {
        link.last_failure = Some(cause);
        link.failures = link.failures.saturating_add(1);
        self.next_attempt(link.failures, now)
    }

    /// The earliest instant of the next attempt after `failures` failures. If a policy panics, or returns a
    /// delay of zero or above its cap, the fault is counted and an allowed delay replaces its answer: the
    /// longest one after a panic, otherwise the nearest one.
    pub(super) fn next_attempt(&mut self, failures: u32, now: Instant) -> Instant {
        // A handle on the settings of its own: the policy borrows the source of randomness, which is part of
        // `self`.
        let settings = self.directory().settings.clone();
        let Drawn { delay, fault } = settings.retry.draw(failures, self.random.source());
        self.tally.retry_faults += u64::from(fault);
        later(now, delay)
    }

    /// Ends a resolution that brought no endpoint: refused by the host, or overdue.
    pub(super) fn end_resolve(&mut self, mut link: Link<A>, cause: LinkFailure, now: Instant) {
        link.resolving = None;
        match link.endpoint {
            // An endpoint that was known before is better than none: the node may still listen there.
            Some(endpoint) if self.may_dial(&link) && self.is_ripe(&link, now) => {
                self.start_dial(link, endpoint, now);
            }
            Some(_) => self.settle(link),
            None => self.give_up(link, cause, now),
        }
    }

    /// Ends a dial cycle without success, regardless of the step that failed: the link waits for the retry
    /// delay, and after the last attempt its nets let it go.
    ///
    /// If the link is a member, a stream of the peer carries its memberships and the dial was superfluous: it
    /// does not count as an attempt, and the nets keep the link. The reference lets the link go, which leaves
    /// a connected link that no net wants.
    pub(super) fn give_up(&mut self, mut link: Link<A>, cause: LinkFailure, now: Instant) {
        self.reset_dialer(&mut link);
        // The node may have moved: the host is asked again before the next dial.
        link.endpoint_fresh = false;
        let later = self.fail(&mut link, cause, now);
        link.delay_until(later);
        let released = if link.is_active() { Vec::new() } else { self.count_attempt(&mut link, cause) };
        let addr = (!released.is_empty()).then(|| link.addr.clone());
        self.settle(link);
        if let Some(addr) = addr {
            self.note_failure(&addr, &released, cause);
        }
    }

    /// Counts an attempt. After the last one granted by `max_attempts`, each net that wants the link lets it
    /// go and the host is told. Returns the nets.
    fn count_attempt(&mut self, link: &mut Link<A>, cause: LinkFailure) -> Vec<NetId> {
        link.attempts = link.attempts.saturating_add(1);
        if link.attempts < self.settings().max_attempts {
            return Vec::new();
        }
        // A permanent or static peer keeps its record, and begins the next series of attempts.
        link.attempts = 0;
        let released = link.nets.clone();
        for net in &released {
            self.release(link, *net, cause);
        }
        released
    }

    /// Releases a link from a net. A net that is off lets go without an effect: it reports nothing while it
    /// is off.
    fn release(&mut self, link: &mut Link<A>, net: NetId, cause: LinkFailure) {
        if self.directory().is_net_active(net) {
            self.disconnect_from(link, net, cause);
        } else {
            link.dissociate(net);
        }
    }

    /// Handles the failure of a dial, or the loss of the connection that it made. With `last` the dialer has
    /// given up; without, it repairs the connection by itself and reports again under the same identity.
    ///
    /// The link does not stay `Established` during the repair. In the reference it does: announcements then
    /// go out on the dead stream, and the refusals remove a link that is about to recover.
    pub(super) fn lose_connection(
        &mut self,
        mut link: Link<A>,
        last: bool,
        cause: LinkFailure,
        now: Instant,
    ) {
        // The streams of this node were carried by the connection. Those of the peer are independent of it.
        let before = link.primary();
        link.streams.retain(|stream| stream.direction == Direction::Downlink);
        link.turn_to_primary(before);
        // Memberships exist only with a stream to carry them.
        if link.streams.is_empty() {
            link.leave_all();
        }
        let flapping = self.note_flap(&mut link, now);
        if last {
            // The dialer has ended the dial: there is nothing to cancel.
            link.dial = None;
        }
        if let Some(policy) = flapping {
            self.rest(link, policy, now);
        } else if last || link.is_active() {
            self.give_up(link, cause, now);
        } else {
            link.break_connection(now);
            self.settle(link);
        }
    }

    /// Counts a flap if the connection of the dialer is about to be lost with no stream left, or clears the
    /// count if the connection lasted. Returns the policy if the link is flapping now.
    ///
    /// One outage reaches the core several times, as the end of a stream and as a failure of the dial, in any
    /// order. It counts once, because the first report changes the state of the link. The reference counts it
    /// once per net and report.
    pub(super) fn note_flap(&mut self, link: &mut Link<A>, now: Instant) -> Option<FlapPolicy> {
        let policy = self.settings().flaps?;
        // A second report of the same outage finds the link in another state.
        let connected = link.dial.filter(|_| link.state == DialState::Established)?;
        // A stream of the peer carries the link on: the node is still connected.
        if !link.streams.is_empty() {
            return None;
        }
        let flaps = if now.saturating_duration_since(connected.since) < policy.threshold {
            let known = self.flaps.get(&link.addr).filter(|flaps| now <= flaps.until);
            let count = known.map_or(0, |flaps| flaps.count).saturating_add(1);
            Some(Flaps { count, until: later(now, policy.delay) })
        } else {
            None
        };
        self.journal_flaps(&link.addr);
        self.flaps.set(&link.addr, flaps);
        // Bounds the log: entries expire, and beyond the limit those that would expire first are dropped.
        self.flaps.trim(now, policy.entries);
        link.flaps = flaps;
        flaps.filter(|flaps| flaps.count >= policy.limit).map(|_| policy)
    }

    /// Gives a flapping link a rest: its nets let it go and put it on their ignore lists, so that the host
    /// does not offer it again at once. Permanent and static peers keep their record and are not dialled
    /// during the rest.
    pub(super) fn rest(&mut self, mut link: Link<A>, policy: FlapPolicy, now: Instant) {
        link.leave_all();
        self.reset_dialer(&mut link);
        link.follow_primary();
        link.endpoint_fresh = false;
        link.attempts = 0;
        link.last_failure = Some(LinkFailure::Flapping);
        link.rest_until(later(now, policy.delay));
        // The ignore lists are part of the directory, and releasing the link may still panic.
        self.journal_directory();
        for net in link.nets.clone() {
            if self.directory().is_net_active(net) {
                self.ignore(&link.addr, net, Some(LinkFailure::Flapping), now);
            }
            self.release(&mut link, net, LinkFailure::Flapping);
        }
        self.settle(link);
    }

    /// Announces every active net that wants the link and of which it is not a member yet, on the primary
    /// stream.
    ///
    /// The answer names the stream. If the stream has ended when the answer is applied, the answer is stale:
    /// it never creates a member without a connection, regardless of the order in which the two reports were
    /// queued.
    pub(super) fn announce(&mut self, link: &mut Link<A>, now: Instant) {
        let Some(primary) = link.primary() else { return };
        let open: Vec<_> = self.rules().unannounced(link).collect();
        if open.is_empty() {
            return;
        }
        for net in open {
            self.effects.push(Effect::Announce { addr: link.addr.clone(), net, stream: primary.id });
        }
        // An announcement without an answer is repeated after the longest retry delay: a random delay could
        // be so short that the answer is still on its way.
        link.announce_not_before = Some(later(now, self.settings().retry.cap()));
    }
}
