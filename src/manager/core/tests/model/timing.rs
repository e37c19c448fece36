//! What happens on time.

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

    /// Ticks take turns. Those that were missed are not made up for.
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

    /// Nets that are short of links ask for candidates.
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

    /// The links that count, and how many are missing. A reserved net misses none.
    pub(in crate::manager::core::tests) fn needed(&self, id: NetId) -> (usize, u32) {
        let ((uplinks, downlinks), config) = (self.split(id), self.nets[&id].config);
        let counted = if config.count_downlinks { uplinks + downlinks } else { uplinks };
        let needed = if config.reserved_only { 0 } else { config.min_links.saturating_sub(counted as u32) };
        (counted, needed)
    }

    /// Looks at every link once. Returns how many had something to do.
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
                Resolving { .. } => self.unresolved(addr),
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

    /// The reference announces again only what it dialled, and after the delay for dials.
    fn may_announce(&self, peer: &Peer) -> bool {
        match self.timing {
            Timing::Immediate => self.is_over(peer.announced_until()),
            Timing::Ticked => peer.is_established() && self.is_over(peer.delay),
        }
    }

    /// An answer takes too long. A connection without a stream is half an answer.
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
            // It ends as one that failed, and no connection is lost by it.
            peer.dialer = Connecting { dial, since: self.now };
            self.emit(Effect::CancelDial { addr, dial });
        }
        self.disconnected(addr, true);
    }
}
