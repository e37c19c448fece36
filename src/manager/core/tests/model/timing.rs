//! Ticks, requests, wake-ups and time-outs.

use super::*;

impl Model {
    pub(super) fn pass_time(&mut self) {
        if self.timing == Timing::Ticked {
            if self.now >= self.next_tick {
                self.tick();
            }
            return;
        }
        while self.wake_all() > 0 {}
        let now = self.now;
        self.request(|net| net.asks_after.is_none_or(|at| at <= now));
    }

    /// Runs a tick: the phases alternate, and missed ticks are skipped.
    fn tick(&mut self) {
        self.next_tick += self.settings.tick;
        if self.next_tick <= self.now {
            self.next_tick = self.now + self.settings.tick;
        }
        if !self.on {
            return;
        }
        self.wakes_next = !self.wakes_next;
        if self.wakes_next {
            self.request(|_| true);
        } else {
            self.wake_all();
        }
    }

    /// Requests candidates for nets that are short of links.
    pub(super) fn request(&mut self, is_due: impl Fn(&Net) -> bool) {
        if !self.on {
            return;
        }
        let again = self.now + self.settings.tick;
        for id in self.nets.keys().copied().collect::<Vec<_>>() {
            let (counted, needed) = self.needed(id);
            let net = self.nets.get_mut(&id).unwrap();
            let looks = self.timing == Timing::Ticked || needed > 0;
            if !net.on || !looks || !is_due(net) {
                continue;
            }
            (net.counted, net.asks_after) = (counted, Some(again));
            if needed > 0 {
                self.counted.requests += 1;
                self.emit(Effect::RequestLinks { net: id, needed });
            }
        }
    }

    /// The number of links that count, and of those that are missing: 0 for a reserved net.
    pub(in crate::manager::core::tests) fn needed(&self, id: NetId) -> (usize, u32) {
        let ((uplinks, downlinks), config) = (self.split(id), self.nets[&id].config);
        let counted = if config.count_downlinks { uplinks + downlinks } else { uplinks };
        let needed = if config.reserved_only { 0 } else { config.min_links.saturating_sub(counted as u32) };
        (counted, needed)
    }

    /// Wakes every link once. Returns the number of links for which something was due.
    pub(super) fn wake_all(&mut self) -> usize {
        let addrs: Vec<_> = self.peers.keys().copied().collect();
        let woken = addrs.into_iter().filter(|addr| self.wake(*addr)).count();
        self.together |= woken > 1;
        woken
    }

    fn wake(&mut self, addr: Node) -> bool {
        let peer = self.peers[&addr].clone();
        if self.is_overdue(&peer) {
            self.counted.time_outs += 1;
            match peer.dialer {
                Resolving { .. } => self.unresolved(addr, LinkFailure::ResolveTimedOut),
                _ => self.time_out(addr),
            }
            return true;
        }
        let announces = self.on && !peer.streams.is_empty() && self.may_announce(&peer);
        let announces = announces && !self.unannounced(&peer).is_empty();
        if announces {
            self.announce(addr);
        }
        let dials = self.may_dial(&peer) && self.is_over(peer.delay);
        if dials {
            self.begin(addr);
        }
        announces || dials
    }

    /// Whether an announcement may go out now. With ticked timing only links with an established dialer are
    /// announced, after the retry delay.
    fn may_announce(&self, peer: &Peer) -> bool {
        match self.timing {
            Timing::Immediate => self.is_over(peer.announced_until()),
            Timing::Ticked => peer.is_established() && self.is_over(peer.delay),
        }
    }

    /// Whether an answer is overdue. A connection without a stream still counts as unanswered.
    fn is_overdue(&self, peer: &Peer) -> bool {
        let Some(limit) = self.settings.dial_timeout else { return false };
        match peer.dialer {
            Idle => false,
            Established { .. } if !peer.streams.is_empty() => false,
            Resolving { since, .. } | Connecting { since, .. } | Established { since, .. } => {
                self.is_over(Some(since + limit))
            }
        }
    }

    fn time_out(&mut self, addr: Node) {
        let peer = self.peers.get_mut(&addr).unwrap();
        if let Some(dial) = peer.dial() {
            // Ends as a failed dial, so the lost connection is not counted as a flap.
            peer.dialer = Connecting { dial, since: self.now };
            self.emit(Effect::CancelDial { addr, dial });
        }
        self.disconnected(addr, true, LinkFailure::DialTimedOut);
    }
}
