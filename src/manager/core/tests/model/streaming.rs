//! Streams, announcements and accounting.

use super::commands::{check_addr, longest};
use super::*;

impl Model {
    /// Adds a stream. A stream that no link accepts is closed.
    pub(super) fn open(
        &mut self,
        addr: Node,
        stream: StreamId,
        direction: Direction,
        dial: Option<DialId>,
    ) -> Applying {
        let result = self.take(addr, stream, direction, dial);
        if matches!(result, Err(_) | Ok(Outcome::Stale)) {
            self.emit(Effect::CloseStreams { addr, streams: vec![stream] });
        }
        result
    }

    fn take(&mut self, addr: Node, stream: StreamId, direction: Direction, dial: Option<DialId>) -> Applying {
        check_addr(addr)?;
        let known = self.peers.get(&addr);
        if known.is_some_and(|peer| peer.stream(stream).is_some()) {
            return Ok(Outcome::Unchanged);
        }
        if !self.on {
            return Err(CommandError::Inactive);
        }
        if known.is_none() && direction == Uplink {
            return Err(CommandError::UnknownLink);
        }
        let limit = self.settings.max_streams;
        let peer = self.record(addr)?;
        let fits = peer.dial().is_some_and(|current| dial.is_none_or(|dial| dial == current));
        if direction == Uplink && !fits {
            return Ok(Outcome::Stale);
        }
        if peer.streams.len() >= limit {
            return Err(CommandError::LimitReached { of: "streams", limit });
        }
        peer.streams.push((stream, direction));
        if peer.streams.len() > 1 {
            return Ok(Outcome::Spare);
        }
        peer.announced = None;
        self.join_fixed(addr, None);
        if direction == Uplink {
            self.announce(addr);
        }
        Ok(Outcome::Done)
    }

    /// The active nets that want the node and of which it is not a member.
    pub(super) fn unannounced(&self, peer: &Peer) -> Vec<NetId> {
        let open = |net: &NetId| self.is_on(*net) && !peer.main.contains(net);
        peer.wanted.iter().copied().filter(open).collect()
    }

    pub(super) fn announce(&mut self, addr: Node) {
        let peer = &self.peers[&addr];
        let (nets, Some(stream)) = (self.unannounced(peer), peer.primary()) else { return };
        if nets.is_empty() {
            return;
        }
        for net in nets {
            self.emit(Effect::Announce { addr, net, stream });
        }
        let until = self.now + longest(&self.settings.retry);
        self.peers.get_mut(&addr).unwrap().announced = Some((stream, until));
    }

    /// Replaces a stream. A known stream keeps its direction, even if the report contradicts it.
    pub(super) fn replace(
        &mut self,
        addr: Node,
        old: StreamId,
        new: StreamId,
        direction: Direction,
    ) -> Outcome {
        let peer = self.peers.get(&addr);
        let find = |id| peer.and_then(|peer| peer.stream(id));
        let dials = peer.is_some_and(|peer| peer.dial().is_some());
        let (dead, known) = (find(old), find(new));
        match (dead, known) {
            (None, Some(_)) => {
                let follows = peer.and_then(Peer::primary) == Some(new);
                if follows { Outcome::Unchanged } else { Outcome::Stale }
            }
            (Some(_), None) if direction == Downlink || dials => self.take_over(addr, old, new, direction),
            (Some(_), Some(direction)) => self.take_over(addr, old, new, direction),
            // The new stream is refused. The old one is dead anyway.
            (_, None) => {
                self.emit(Effect::CloseStreams { addr, streams: vec![new] });
                self.lose(addr, old)
            }
        }
    }

    fn take_over(&mut self, addr: Node, old: StreamId, new: StreamId, direction: Direction) -> Outcome {
        let peer = self.peers.get_mut(&addr).unwrap();
        let (dialed, connected) = (peer.direction() == Uplink, peer.has_uplink());
        peer.streams.retain(|(id, _)| *id != old && *id != new);
        peer.streams.insert(0, (new, direction));
        self.after_loss(addr, dialed, connected);
        self.settle(addr);
        Outcome::Done
    }

    pub(super) fn lose(&mut self, addr: Node, stream: StreamId) -> Outcome {
        let Some(peer) = self.peers.get_mut(&addr) else { return Outcome::Stale };
        if peer.stream(stream).is_none() {
            return Outcome::Stale;
        }
        let (dialed, connected) = (peer.direction() == Uplink, peer.has_uplink());
        peer.streams.retain(|(id, _)| *id != stream);
        self.after_loss(addr, dialed, connected);
        self.settle(addr);
        Outcome::Done
    }

    /// Updates the dialer after the end of a stream. `dialed`: the primary stream was an uplink; `connected`:
    /// any stream was.
    fn after_loss(&mut self, addr: Node, dialed: bool, connected: bool) {
        let peer = self.peers.get_mut(&addr).unwrap();
        if peer.streams.is_empty() {
            peer.leave_all();
        } else if dialed && peer.direction() == Downlink {
            // A stream of the peer has replaced the uplink as the primary one.
            self.reset(addr);
            return;
        }
        let broken = peer.streams.is_empty() || (connected && !peer.has_uplink());
        let (Established { dial, .. }, true) = (peer.dialer, broken) else { return };
        if self.note_flap(addr) {
            self.rest(addr);
        } else {
            let since = self.now;
            self.peers.get_mut(&addr).unwrap().dialer = Connecting { dial, since };
        }
    }

    pub(super) fn account(&mut self, net: NetId, addr: Node, stream: StreamId, accepted: bool) -> Applying {
        let found = self.nets.get(&net).ok_or(CommandError::UnknownNet(net))?;
        let (on, closed) = (found.on, found.config.reserved_only && !found.permanent.contains(&addr));
        let Some(peer) = self.peers.get_mut(&addr) else { return Ok(Outcome::Stale) };
        if peer.stream(stream).is_none() {
            return Ok(Outcome::Stale);
        }
        if accepted {
            if closed {
                return Err(CommandError::ReservedNet(net));
            }
            if !on {
                return Err(CommandError::NetInactive(net));
            }
            if !peer.main.insert(net) {
                return Ok(Outcome::Unchanged);
            }
            (peer.failures, peer.failure) = (0, None);
            self.join_fixed(addr, Some(net));
            return Ok(Outcome::Done);
        }
        peer.main.remove(&net);
        peer.failures += 1;
        peer.failure = Some(LinkFailure::Refused);
        let (failures, primary) = (peer.failures, peer.primary());
        self.leave_groups(addr, net);
        let later = self.now + self.retry(failures);
        let peer = self.peers.get_mut(&addr).unwrap();
        (peer.delay, peer.resting) = (Some(later), false);
        peer.announced = primary.map(|stream| (stream, later));
        self.disconnect(addr, net, LinkFailure::Refused);
        self.settle(addr);
        Ok(Outcome::Done)
    }

    /// Tells the host that a net loses the link. The net lets it go unless the node is a permanent peer.
    pub(super) fn disconnect(&mut self, addr: Node, net: NetId, cause: LinkFailure) {
        let members = self.size(net);
        self.emit(Effect::Released { addr, net, members, cause });
        if !self.keeps(net, addr) {
            self.peers.get_mut(&addr).unwrap().wanted.retain(|wanted| *wanted != net);
        }
    }
}
