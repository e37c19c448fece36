//! Commands about streams, and the answers to announcements.
//!
//! Each stream has an identity, chosen by the transport. Most races of the reference come from reports that
//! name an address only: a late report about one stream is then mistaken for a report about its successor.

use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::failure::LinkFailure;
use crate::link::net::NetId;
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, DialState, Stream};
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::effect::Effect;

impl<A: Addr> Core<A> {
    /// Adds a new stream to its link. `dial` names the dial that made it, if the transport reports it.
    ///
    /// A stream that is refused is closed: no link lists it, so no later command could close it.
    pub(super) fn add_stream(
        &mut self,
        addr: A,
        stream: Stream,
        dial: Option<DialId>,
        now: Instant,
    ) -> Applying {
        let result = self.accept_stream(&addr, stream, dial, now);
        if matches!(result, Err(_) | Ok(Outcome::Stale)) {
            // If it cannot be closed either, that error replaces the first: the caller has to close the
            // stream.
            self.refuse_stream(addr, stream.id)?;
        }
        result
    }

    /// Adds the stream to its link, or returns the reason for a refusal.
    ///
    /// A stream of the peer creates a record; a stream of this node needs one, and a dial, because only a
    /// dial makes such streams. The first stream becomes the primary one.
    fn accept_stream(&mut self, addr: &A, stream: Stream, dial: Option<DialId>, now: Instant) -> Applying {
        self.check_addr(addr)?;
        let (known, uplink) = (self.writer.get(addr), stream.direction == Direction::Uplink);
        // Checked first: a listed stream is alive even if the manager is off by now, and a refusal would
        // close it.
        if known.is_some_and(|link| link.stream(stream.id).is_some()) {
            return Ok(Outcome::Unchanged);
        }
        if !self.directory().active {
            return Err(CommandError::Inactive);
        }
        // A stream of this node whose dial has been given up is stale: its connection is being closed.
        let is_made_by = |current: DialId| dial.is_none_or(|dial| dial == current);
        let limit = self.settings().max_streams;
        match known {
            None if uplink => return Err(CommandError::UnknownLink),
            Some(link) if uplink && !link.dial_id().is_some_and(is_made_by) => return Ok(Outcome::Stale),
            Some(link) if link.streams.len() >= limit => {
                return Err(CommandError::LimitReached { of: "streams", limit });
            }
            _ => {}
        }
        self.check_backlog()?;
        let mut link = self.checkout_or_new(addr.clone(), now)?;
        let primary = link.streams.is_empty();
        link.streams.push(stream);
        // Announcements on an earlier stream ended with it.
        if primary {
            link.direction = stream.direction;
            link.announce_not_before = None;
            self.join_static(&mut link);
            if stream.direction == Direction::Uplink {
                self.announce(&mut link, now);
            }
        }
        self.settle(link);
        Ok(if primary { Outcome::Done } else { Outcome::Spare })
    }

    /// Replaces a stream that died by another one, which becomes the primary stream; memberships stay,
    /// because the nodes stay connected.
    ///
    /// The reports about the two streams may arrive in any order and more than once, so each of the four
    /// combinations of a known and an unknown stream has a meaning.
    pub(super) fn replace_stream(&mut self, addr: A, old: StreamId, new: Stream, now: Instant) -> Applying {
        let link = self.writer.get(&addr);
        let find = |id| link.and_then(|link| link.stream(id));
        let (knows_old, knows_new) = (find(old).is_some(), find(new.id).is_some());
        // The direction of a known stream does not change, even if the report contradicts it.
        let new = find(new.id).unwrap_or(new);
        // As in `add_stream`: a stream of this node needs a dial, and a stream that no link knows is closed.
        let dialed = link.is_some_and(|link| link.dial.is_some());
        let orphan = !knows_new && (!knows_old || (new.direction == Direction::Uplink && !dialed));
        if orphan {
            let refused = self.refuse_stream(addr.clone(), new.id);
            // The old stream is dead even if the new one is refused.
            let outcome = self.delete_stream(&addr, old, now);
            return refused.map(|()| outcome);
        }
        let Some(link) = link else { return Ok(Outcome::Stale) };
        if !knows_old {
            // The death of the old stream may have been reported before, and the new one may already be
            // primary.
            let follows = link.primary().is_some_and(|primary| primary.id == new.id);
            return Ok(if follows { Outcome::Unchanged } else { Outcome::Stale });
        }
        let mut link = (**link).clone();
        let before = link.primary();
        let dialed = link.has_uplink();
        link.streams.retain(|stream| stream.id != old && stream.id != new.id);
        link.streams.insert(0, new);
        self.follow(&mut link, before);
        // As in `delete_stream`: the dialer may have lost its only stream.
        if link.state == DialState::Established && dialed && !link.has_uplink() {
            link.break_connection(now);
        }
        self.settle(link);
        Ok(Outcome::Done)
    }

    /// Removes a stream that died. With the last one all memberships end; the record stays if it has another
    /// reason.
    pub(super) fn delete_stream(&mut self, addr: &A, stream: StreamId, now: Instant) -> Outcome {
        let Some(link) = self.writer.get(addr) else { return Outcome::Stale };
        let Some(dead) = link.stream(stream) else { return Outcome::Stale };
        let mut link = (**link).clone();
        let before = link.primary();
        link.streams.retain(|other| other.id != stream);
        if link.streams.is_empty() {
            link.leave_all();
            link.follow_primary();
        } else {
            self.follow(&mut link, before);
        }
        // The dialer repairs its connection or reports the failure; until then the link is `Connecting`.
        let lost = link.streams.is_empty() || (dead.direction == Direction::Uplink && !link.has_uplink());
        if link.state == DialState::Established && lost {
            if let Some(policy) = self.note_flap(&mut link, now) {
                self.rest(link, policy, now);
                return Outcome::Done;
            }
            link.break_connection(now);
        }
        self.settle(link);
        Outcome::Done
    }

    /// Applies the answer to an announcement.
    ///
    /// Acceptance makes the node a member of the main cluster of the net, and of those enabled clusters of
    /// the net of which it is a static peer. A refusal removes it from all clusters of the net, and the net
    /// lets the link go unless the peer is permanent.
    ///
    /// The answer names the stream of the announcement. Answers travel in a slower lane than the end of
    /// streams, so they may be late; without the identity, a node could become a member without a stream.
    pub(super) fn account_link(
        &mut self,
        net: NetId,
        addr: &A,
        stream: StreamId,
        accepted: bool,
        now: Instant,
    ) -> Applying {
        if self.directory().net(net).is_none() {
            return Err(CommandError::UnknownNet(net));
        }
        let Some(link) = self.writer.get(addr) else { return Ok(Outcome::Stale) };
        if link.stream(stream).is_none() {
            return Ok(Outcome::Stale);
        }
        // The net may have been switched off or reserved to other peers since it was announced.
        if accepted && !self.check_admission(addr, net)?.is_active() {
            return Err(CommandError::NetInactive(net));
        }
        if accepted && link.is_member(net) {
            return Ok(Outcome::Unchanged);
        }
        let mut link = (**link).clone();
        if accepted {
            link.join(net);
            self.join_static_of(&mut link, net);
            // Acceptance ends a series of failures.
            link.clear_failures();
            self.settle(link);
            return Ok(Outcome::Done);
        }
        self.leave_net(&mut link, net);
        let later = self.fail(&mut link, LinkFailure::Refused, now);
        link.delay_until(later);
        // A permanent peer gets another announcement, but not before the retry delay.
        link.announce_not_before = Some(later);
        self.disconnect_from(&mut link, net, LinkFailure::Refused);
        // If the net was the last reason for the record, `settle` removes it, which closes the connection.
        self.settle(link);
        self.note_failure(addr, &[net], LinkFailure::Refused);
        Ok(Outcome::Done)
    }

    /// Adds an effect that closes a stream which no link accepts: otherwise its socket would stay open
    /// forever.
    ///
    /// # Errors
    /// Fails while too many streams wait to be closed, whether refused or left by removed links: the caller
    /// then closes the stream itself. The streams that a peer opens are the only list that it can make longer
    /// at will, hence the limit.
    fn refuse_stream(&mut self, addr: A, stream: StreamId) -> Result<(), CommandError> {
        let limit = self.config.refused;
        if self.backlog.closing >= limit {
            self.tally.unclosed_streams += 1;
            return Err(CommandError::TooManyRefused { limit });
        }
        self.backlog.closing += 1;
        self.effects.push(Effect::CloseStreams { addr, streams: vec![stream] });
        Ok(())
    }
}
