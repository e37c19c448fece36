//! Resolutions, dials and failures.

use super::*;

impl Model {
    /// The delay after `failures` failures: the longest possible, because the tests draw the highest random
    /// number.
    pub(super) fn retry(&self, failures: u32) -> Duration {
        match self.settings.retry {
            RetryPolicy::Fixed(delay) => delay,
            RetryPolicy::Exponential { base, cap } => {
                (1..failures).fold(base, |delay, _| (delay * 2).min(cap)).min(cap)
            }
            RetryPolicy::Custom(_) => panic!("the model does not support custom policies"),
        }
    }

    /// Whether an instant has come: with immediate timing at the instant, with ticked timing strictly after
    /// it.
    pub(super) fn is_over(&self, at: Option<Instant>) -> bool {
        at.is_none_or(|at| at < self.now || (at == self.now && self.timing == Timing::Immediate))
    }

    /// Whether there is a reason to dial, and nothing but possibly the delay blocks it.
    pub(super) fn may_dial(&self, peer: &Peer) -> bool {
        let fixed = peer.fixed.keys().any(|group| self.is_enabled(*group));
        let (free, wanted) = match self.timing {
            Timing::Immediate => (peer.streams.is_empty(), peer.wanted.iter().any(|net| self.is_on(*net))),
            Timing::Ticked => (!peer.is_member(), !peer.wanted.is_empty()),
        };
        self.on && peer.dialable && peer.dialer == Idle && free && (wanted || fixed)
    }

    /// Begins an attempt: a resolution, unless the endpoint is fresh. With ticked timing always a resolution.
    pub(super) fn begin(&mut self, addr: Node) {
        let (since, immediate) = (self.now, self.timing == Timing::Immediate);
        let peer = self.peers.get_mut(&addr).unwrap();
        match peer.endpoint {
            Some(endpoint) if peer.fresh && immediate => self.start(addr, endpoint),
            _ => {
                let number = self.resolves.entry(addr).or_default();
                *number += 1;
                let resolve = nth_resolve(addr, *number);
                peer.dialer = Resolving { resolve, since };
                self.emit(Effect::Resolve { addr, resolve });
            }
        }
    }

    fn start(&mut self, addr: Node, endpoint: SocketAddr) {
        let number = self.dials.entry(addr).or_default();
        *number += 1;
        let dial = nth_dial(addr, *number);
        let peer = self.peers.get_mut(&addr).unwrap();
        peer.dialer = Connecting { dial, since: self.now };
        let attempt = peer.attempts + 1;
        self.counted.dials += 1;
        self.emit(Effect::Dial { addr, endpoint, attempt, dial });
    }

    fn start_if_ripe(&mut self, addr: Node, endpoint: SocketAddr) {
        let peer = &self.peers[&addr];
        if self.may_dial(peer) && self.is_over(peer.delay) {
            self.start(addr, endpoint);
        } else {
            self.settle(addr);
        }
    }

    pub(super) fn endpoint(&mut self, addr: Node, endpoint: SocketAddr) -> Applying {
        let peer = self.peers.get_mut(&addr).ok_or(CommandError::UnknownLink)?;
        if !peer.dialable {
            return Err(CommandError::NotDialable);
        }
        let asked = matches!(peer.dialer, Resolving { .. });
        if !asked && peer.dialer != Idle {
            return Err(CommandError::LinkBusy(peer.state()));
        }
        if endpoint.port() == 0 {
            if asked {
                self.give_up(addr, LinkFailure::Endpoint(EndpointError::PortZero));
            }
            return Err(CommandError::Endpoint(EndpointError::PortZero));
        }
        let news = (Some(endpoint), true);
        let before = std::mem::replace(&mut peer.endpoint, news.0);
        let before = (before, std::mem::replace(&mut peer.fresh, news.1));
        if before == news && !asked {
            return Ok(Outcome::Unchanged);
        }
        if asked {
            peer.dialer = Idle;
            self.start_if_ripe(addr, endpoint);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn resolve_failed(&mut self, addr: Node, resolve: ResolveId) -> Outcome {
        if self.peers.get(&addr).and_then(Peer::resolve) != Some(resolve) {
            return Outcome::Stale;
        }
        self.unresolved(addr, LinkFailure::Unresolved);
        Outcome::Done
    }

    /// Ends a resolution without an answer. An old endpoint is better than none.
    pub(super) fn unresolved(&mut self, addr: Node, cause: LinkFailure) {
        let peer = self.peers.get_mut(&addr).unwrap();
        peer.dialer = Idle;
        match peer.endpoint {
            Some(endpoint) => self.start_if_ripe(addr, endpoint),
            None => self.give_up(addr, cause),
        }
    }

    fn dialed(&mut self, addr: Node, dial: DialId) -> Option<&mut Peer> {
        self.peers.get_mut(&addr).filter(|peer| peer.dial() == Some(dial))
    }

    pub(super) fn connected(&mut self, addr: Node, dial: DialId) -> Outcome {
        let since = self.now;
        let Some(peer) = self.dialed(addr, dial) else { return Outcome::Stale };
        if peer.is_established() {
            return Outcome::Unchanged;
        }
        peer.dialer = Established { dial, since };
        (peer.attempts, peer.failures, peer.failure) = (0, 0, None);
        let again = std::mem::replace(&mut peer.reached, true);
        self.counted.established += 1;
        self.counted.reconnects += u64::from(again);
        Outcome::Done
    }

    pub(super) fn failed(&mut self, addr: Node, dial: DialId, last: bool) -> Outcome {
        let Some(peer) = self.dialed(addr, dial) else { return Outcome::Stale };
        let cause = if peer.is_established() { LinkFailure::Broken } else { LinkFailure::DialFailed };
        if !last {
            for net in peer.wanted.clone() {
                self.emit(Effect::LinkError { addr, net, cause });
            }
        }
        self.disconnected(addr, last, cause);
        Outcome::Done
    }

    /// Handles the loss of the connection of the dialer. With `last`, the dialer does not retry by itself.
    pub(super) fn disconnected(&mut self, addr: Node, last: bool, cause: LinkFailure) {
        let peer = self.peers.get_mut(&addr).unwrap();
        peer.streams.retain(|(_, direction)| *direction == Downlink);
        if peer.streams.is_empty() {
            peer.leave_all();
        }
        let carried = peer.is_member();
        let flapping = self.note_flap(addr);
        let (now, peer) = (self.now, self.peers.get_mut(&addr).unwrap());
        if last {
            peer.dialer = Idle;
        }
        if flapping {
            self.rest(addr);
        } else if carried || last {
            self.give_up(addr, cause);
        } else if let Some(dial) = peer.dial() {
            peer.dialer = Connecting { dial, since: now };
        }
        self.settle(addr);
    }

    fn count_failure(&mut self, addr: Node, cause: LinkFailure) {
        let failures = self.peers[&addr].failures + 1;
        let later = self.now + self.retry(failures);
        let peer = self.peers.get_mut(&addr).unwrap();
        (peer.failures, peer.failure) = (failures, Some(cause));
        (peer.delay, peer.resting) = (Some(later), false);
    }

    /// Ends a dial cycle. After the last one granted, the nets let the link go, unless it is a member: then
    /// it is connected without the dial.
    pub(super) fn give_up(&mut self, addr: Node, cause: LinkFailure) {
        self.reset(addr);
        self.count_failure(addr, cause);
        let granted = self.settings.max_attempts;
        let peer = self.peers.get_mut(&addr).unwrap();
        peer.fresh = false;
        if !peer.is_member() {
            peer.attempts += 1;
        }
        if peer.attempts >= granted && !peer.is_member() {
            peer.attempts = 0;
            self.disconnect_all(addr, false, cause);
        }
        self.settle(addr);
    }

    /// Releases a link from its nets. Only nets that are on emit an effect.
    fn disconnect_all(&mut self, addr: Node, ignore: bool, cause: LinkFailure) {
        for net in self.peers[&addr].wanted.clone() {
            if self.is_on(net) {
                if ignore {
                    self.ignore(addr, net);
                }
                self.disconnect(addr, net, cause);
            } else {
                self.peers.get_mut(&addr).unwrap().wanted.retain(|wanted| *wanted != net);
            }
        }
    }

    /// Counts a flap before the only connection ends. Returns whether the link is flapping now.
    pub(super) fn note_flap(&mut self, addr: Node) -> bool {
        let Some(policy) = self.settings.flaps else { return false };
        let now = self.now;
        let peer = self.peers.get_mut(&addr).unwrap();
        let (Established { since, .. }, true) = (peer.dialer, peer.streams.is_empty()) else { return false };
        // Expired counts of other nodes are forgotten, too, including nodes without a record.
        self.quick.retain(|other, (_, until)| *until >= now || *other == addr);
        if now - since >= policy.threshold {
            peer.quick = None;
            self.quick.remove(&addr);
            return false;
        }
        let before = self.quick.get(&addr).filter(|(_, until)| now <= *until).map_or(0, |(count, _)| *count);
        let quick = (before + 1, now + policy.delay);
        peer.quick = Some(quick);
        self.quick.insert(addr, quick);
        before + 1 >= policy.limit
    }

    /// Gives a flapping link a rest: its nets let it go, and a record that stays waits.
    pub(super) fn rest(&mut self, addr: Node) {
        let delay = self.settings.flaps.map(|policy| self.now + policy.delay);
        self.reset(addr);
        let peer = self.peers.get_mut(&addr).unwrap();
        peer.leave_all();
        (peer.delay, peer.resting) = (delay, true);
        (peer.fresh, peer.attempts, peer.failure) = (false, 0, Some(LinkFailure::Flapping));
        self.disconnect_all(addr, true, LinkFailure::Flapping);
        self.settle(addr);
    }
}

/// The identity of the n-th dial to a node.
pub(in crate::manager::core::tests) fn nth_dial(addr: Node, number: u64) -> DialId {
    DialId(addr.0 * 10_000 + number)
}

/// The identity of the n-th resolution of a node.
pub(in crate::manager::core::tests) fn nth_resolve(addr: Node, number: u64) -> ResolveId {
    ResolveId(addr.0 * 10_000 + number)
}
