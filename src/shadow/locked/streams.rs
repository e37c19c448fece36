//! Streams, and the answers to announcements.

use super::work::{Applying, Work};
use crate::link::addr::Addr;
use crate::link::failure::LinkFailure;
use crate::link::net::NetId;
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialState, Stream};
use crate::manager::model::command::{CommandError, Outcome};
use crate::manager::model::effect::Effect;
use crate::util::time::later;

impl<A: Addr> Work<'_, A> {
    pub(super) fn add_stream(&mut self, addr: &A, id: StreamId, direction: Direction) -> Applying {
        let result = self.accept_stream(addr, Stream { id, direction });
        // A stream without a link would otherwise never be closed.
        if matches!(result, Err(_) | Ok(Outcome::Stale)) {
            self.close_stream(addr, id);
        }
        result
    }

    fn accept_stream(&mut self, addr: &A, stream: Stream) -> Applying {
        self.check_addr(addr)?;
        let limit = self.rules.config.settings.max_streams;
        let uplink = stream.direction == Direction::Uplink;
        match self.links.get(addr) {
            None if uplink => return Err(CommandError::UnknownLink),
            None => self.check_room()?,
            Some(record) if record.has_stream(stream.id) => return Ok(Outcome::Unchanged),
            // The dial was given up in the meantime, and its connection is being closed.
            Some(record) if uplink && record.dial.is_none() => return Ok(Outcome::Stale),
            Some(record) if record.streams.len() >= limit => {
                return Err(CommandError::LimitReached { of: "streams", limit });
            }
            Some(_) => {}
        }
        let record = self.links.get_or_insert(addr);
        let primary = record.streams.is_empty();
        record.streams.push(stream);
        if primary {
            record.announce_not_before = None;
        }
        self.settle(addr);
        Ok(if primary { Outcome::Done } else { Outcome::Spare })
    }

    pub(super) fn replace_stream(
        &mut self,
        addr: &A,
        old: StreamId,
        new: StreamId,
        direction: Direction,
    ) -> Outcome {
        let record = self.links.get(addr);
        let knows_old = record.is_some_and(|record| record.has_stream(old));
        let knows_new = record.is_some_and(|record| record.has_stream(new));
        let dialled = record.is_some_and(|record| record.dial.is_some());
        let takes_over = knows_old && (direction == Direction::Downlink || dialled);
        if !knows_new && !takes_over {
            self.close_stream(addr, new);
            return self.delete_stream(addr, old);
        }
        let Some(record) = self.links.get_mut(addr) else { return Outcome::Stale };
        // A known stream keeps its direction.
        let known = record.streams.iter().find(|stream| stream.id == new).copied();
        let new = known.unwrap_or(Stream { id: new, direction });
        let before = record.streams.first().copied();
        if !knows_old {
            // The death of the old stream was reported before; check whether the new one has succeeded it.
            let follows = before.is_some_and(|primary| primary.id == new.id);
            return if follows { Outcome::Unchanged } else { Outcome::Stale };
        }
        let ours = record.has_stream_of(Direction::Uplink);
        record.streams.retain(|stream| stream.id != old && stream.id != new.id);
        record.streams.insert(0, new);
        self.follow(addr, before);
        let Some(record) = self.links.get(addr) else { return Outcome::Done };
        let last_of_ours = ours && !record.has_stream_of(Direction::Uplink);
        if record.state == DialState::Established && last_of_ours {
            self.wait_for_repair(addr);
        }
        self.settle(addr);
        Outcome::Done
    }

    pub(super) fn delete_stream(&mut self, addr: &A, id: StreamId) -> Outcome {
        let Some(record) = self.links.get_mut(addr) else { return Outcome::Stale };
        let before = record.streams.first().copied();
        let Some(place) = record.streams.iter().position(|stream| stream.id == id) else {
            return Outcome::Stale;
        };
        let dead = record.streams.remove(place);
        if record.streams.is_empty() {
            self.leave_all(addr);
        } else {
            self.follow(addr, before);
        }
        let Some(record) = self.links.get_mut(addr) else { return Outcome::Done };
        // The dialer decides what happens to a broken connection.
        let last_of_ours = dead.direction == Direction::Uplink && !record.has_stream_of(Direction::Uplink);
        if record.state == DialState::Established && (record.streams.is_empty() || last_of_ours) {
            self.wait_for_repair(addr);
        }
        self.settle(addr);
        Outcome::Done
    }

    /// Handles a change of the primary stream. If the peer's stream replaces ours, the dialer is reset.
    fn follow(&mut self, addr: &A, before: Option<Stream>) {
        let Some(record) = self.links.get_mut(addr) else { return };
        let (Some(before), Some(after)) = (before, record.streams.first().copied()) else { return };
        if after.id != before.id {
            record.announce_not_before = None;
        }
        if before.direction == Direction::Uplink && after.direction == Direction::Downlink {
            self.reset_dialer(addr);
        }
    }

    pub(super) fn account_link(
        &mut self,
        net: NetId,
        addr: &A,
        stream: StreamId,
        accepted: bool,
    ) -> Applying {
        if self.nets.get(net).is_none() {
            return Err(CommandError::UnknownNet(net));
        }
        if !self.links.get(addr).is_some_and(|record| record.has_stream(stream)) {
            return Ok(Outcome::Stale);
        }
        if accepted {
            if !self.nets.is_active(net) {
                return Err(CommandError::NetInactive(net));
            }
            let joined = self.join(addr, net);
            self.settle(addr);
            return Ok(if joined { Outcome::Done } else { Outcome::Unchanged });
        }
        self.leave(addr, net);
        let later = later(self.now, self.rules.config.settings.retry.cap());
        if let Some(record) = self.links.get_mut(addr) {
            record.not_before = Some(later);
            record.announce_not_before = Some(later);
        }
        self.disconnect_from(addr, net, LinkFailure::Refused);
        self.settle(addr);
        Ok(Outcome::Done)
    }

    fn close_stream(&mut self, addr: &A, stream: StreamId) {
        self.effects.push(Effect::CloseStreams { addr: addr.clone(), streams: vec![stream] });
    }
}
