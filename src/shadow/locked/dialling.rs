//! Resolving, dialling, failing.

use super::tables::Net;
use super::work::Work;
use crate::link::addr::Addr;
use crate::link::failure::LinkFailure;
use crate::link::net::NetId;
use crate::link::{DialId, DialState, ResolveId};
use crate::manager::model::command::Outcome;
use crate::manager::model::effect::Effect;
use crate::util::time::later;

impl<A: Addr> Work<'_, A> {
    /// Returns whether there is a reason to dial and nothing against it, except perhaps the retry delay.
    fn may_dial(&self, addr: &A) -> bool {
        self.links.get(addr).is_some_and(|record| {
            record.dialable
                && record.state == DialState::Disconnected
                && record.dial.is_none()
                && record.resolving.is_none()
                && record.members.is_empty()
                && record.streams.is_empty()
                && record.nets.iter().any(|net| self.nets.is_active(*net))
        })
    }

    /// Dials a link whose retry delay is over, or requests its endpoint.
    pub(super) fn dial(&mut self, addr: &A) -> bool {
        if !self.may_dial(addr) {
            return false;
        }
        let Some(record) = self.links.get_mut(addr) else { return false };
        if record.not_before.is_some_and(|at| at > self.now) {
            return false;
        }
        if record.endpoint_fresh {
            return self.start_dial(addr);
        }
        let resolve = self.links.new_resolve();
        let Some(record) = self.links.get_mut(addr) else { return false };
        record.resolving = Some((resolve, self.now));
        self.effects.push(Effect::Resolve { addr: addr.clone(), resolve });
        true
    }

    /// Dials the last known endpoint of the node, if the node may be dialled and its retry delay is over; the
    /// delay may have begun during the resolution.
    pub(super) fn start_dial(&mut self, addr: &A) -> bool {
        let is_ripe =
            self.links.get(addr).is_some_and(|record| record.not_before.is_none_or(|at| at <= self.now));
        if !is_ripe || !self.may_dial(addr) {
            return false;
        }
        let dial = self.links.new_dial();
        let Some(record) = self.links.get_mut(addr) else { return false };
        let Some(endpoint) = record.endpoint else { return false };
        record.state = DialState::Connecting;
        record.dial = Some((dial, self.now));
        let attempt = record.attempts.saturating_add(1);
        self.effects.push(Effect::Dial { addr: addr.clone(), endpoint, attempt, dial });
        self.touched.push(addr.clone());
        true
    }

    /// Ends a resolution without an endpoint; `None` is the current resolution.
    pub(super) fn resolve_failed(
        &mut self,
        addr: &A,
        resolve: Option<ResolveId>,
        cause: LinkFailure,
    ) -> Outcome {
        let Some(record) = self.links.get_mut(addr) else { return Outcome::Stale };
        let answered = |(present, _): &(ResolveId, _)| resolve.is_none_or(|resolve| resolve == *present);
        if record.resolving.take_if(|present| answered(present)).is_none() {
            return Outcome::Stale;
        }
        if record.endpoint.is_none() {
            self.give_up(addr, cause);
        } else if !self.start_dial(addr) {
            self.settle(addr);
        }
        Outcome::Done
    }

    /// Returns whether `dial` is the dial of the link; `None` is any dial that it has.
    fn has_dial(&self, addr: &A, dial: Option<DialId>) -> bool {
        let present = self.links.get(addr).and_then(|record| record.dial);
        present.is_some_and(|(present, _)| dial.is_none_or(|dial| dial == present))
    }

    pub(super) fn dial_connected(&mut self, addr: &A, dial: Option<DialId>) -> Outcome {
        if !self.has_dial(addr, dial) {
            return Outcome::Stale;
        }
        let Some(record) = self.links.get_mut(addr) else { return Outcome::Stale };
        if record.state == DialState::Established {
            return Outcome::Unchanged;
        }
        record.state = DialState::Established;
        record.attempts = 0;
        record.dial = record.dial.map(|(dial, _)| (dial, self.now));
        self.settle(addr);
        Outcome::Done
    }

    pub(super) fn dial_failed(&mut self, addr: &A, dial: Option<DialId>, last: bool) -> Outcome {
        if !self.has_dial(addr, dial) {
            return Outcome::Stale;
        }
        let Some(record) = self.links.get_mut(addr) else { return Outcome::Stale };
        let broken = record.state == DialState::Established;
        let cause = if broken { LinkFailure::Broken } else { LinkFailure::DialFailed };
        if !last {
            for net in &record.nets {
                self.effects.push(Effect::LinkError { addr: addr.clone(), net: *net, cause });
            }
        }
        self.lose_connection(addr, last, cause);
        Outcome::Done
    }

    /// Treats an overdue answer as a failure.
    pub(super) fn time_out(&mut self, addr: &A) {
        let Some(record) = self.links.get_mut(addr) else { return };
        if record.resolving.is_some() {
            self.resolve_failed(addr, None, LinkFailure::ResolveTimedOut);
            return;
        }
        if let Some((dial, _)) = record.dial.take() {
            self.effects.push(Effect::CancelDial { addr: addr.clone(), dial });
        }
        self.lose_connection(addr, true, LinkFailure::DialTimedOut);
    }

    /// Handles a failed dial or a lost connection; `last` if the dialer has given up.
    fn lose_connection(&mut self, addr: &A, last: bool, cause: LinkFailure) {
        let Some(record) = self.links.get_mut(addr) else { return };
        let before = record.streams.first().map(|stream| stream.id);
        record.close_uplinks();
        if record.streams.first().map(|stream| stream.id) != before {
            record.announce_not_before = None;
        }
        if record.streams.is_empty() {
            self.leave_all(addr);
        }
        self.file(addr);
        let Some(record) = self.links.get_mut(addr) else { return };
        if last {
            record.dial = None;
        }
        if last || !record.members.is_empty() {
            self.give_up(addr, cause);
        } else {
            self.wait_for_repair(addr);
            self.settle(addr);
        }
    }

    /// Marks the link as connecting: the connection is lost, and the dialer continues.
    pub(super) fn wait_for_repair(&mut self, addr: &A) {
        let Some(record) = self.links.get_mut(addr) else { return };
        record.state = DialState::Connecting;
        record.dial = record.dial.map(|(dial, _)| (dial, self.now));
    }

    /// Resets the dialer; its dial is cancelled, and the streams that the dial opened are removed.
    pub(super) fn reset_dialer(&mut self, addr: &A) {
        let Some(record) = self.links.get_mut(addr) else { return };
        record.state = DialState::Disconnected;
        record.resolving = None;
        if let Some((dial, _)) = record.dial.take() {
            record.close_uplinks();
            self.effects.push(Effect::CancelDial { addr: addr.clone(), dial });
        }
    }

    /// Ends a dial cycle without success: the link waits, and after the last attempt its nets release it. No
    /// net releases a member, which is still connected by the peer's stream.
    pub(super) fn give_up(&mut self, addr: &A, cause: LinkFailure) {
        self.reset_dialer(addr);
        let Some(record) = self.links.get_mut(addr) else { return };
        record.endpoint_fresh = false;
        record.not_before = Some(later(self.now, self.rules.config.settings.retry.cap()));
        if record.members.is_empty() {
            self.count_attempt(addr, cause);
        }
        self.settle(addr);
    }

    fn count_attempt(&mut self, addr: &A, cause: LinkFailure) {
        let Some(record) = self.links.get_mut(addr) else { return };
        record.attempts = record.attempts.saturating_add(1);
        if record.attempts >= self.rules.config.settings.max_attempts {
            record.attempts = 0;
            for net in record.nets.clone() {
                if self.nets.is_active(net) {
                    self.disconnect_from(addr, net, cause);
                } else if let Some(record) = self.links.get_mut(addr) {
                    record.nets.retain(|wanted| *wanted != net);
                }
            }
        }
    }

    /// Releases the link from a net.
    pub(super) fn disconnect_from(&mut self, addr: &A, net: NetId, cause: LinkFailure) {
        let members = self.nets.get(net).map_or(0, Net::members);
        self.effects.push(Effect::Released { addr: addr.clone(), net, members, cause });
        if let Some(record) = self.links.get_mut(addr) {
            record.nets.retain(|wanted| *wanted != net);
        }
    }
}
