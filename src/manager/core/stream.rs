//! Commands about streams, and the answers to announcements.
//!
//! Streams have identities of their own, chosen by the transport. Most races of the reference come from
//! reports that name an address only: a late report about one stream is then taken for one about its
//! successor.

use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::net::NetId;
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, DialState, Stream};
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::effect::Effect;

impl<A: Addr> Core<A> {
    /// Lists a new stream. `dial` names the dial that made it, if the transport says so.
    ///
    /// A stream that is refused is closed again: no link lists it, so no later command could ever close it.
    pub(super) fn add_stream(
        &mut self,
        addr: A,
        stream: Stream,
        dial: Option<DialId>,
        now: Instant,
    ) -> Applying {
        let result = self.accept_stream(&addr, stream, dial, now);
        if matches!(result, Err(_) | Ok(Outcome::Stale)) {
            self.refuse_stream(addr, stream.id)?;
        }
        result
    }

    /// Adds the stream to its link, or says why not.
    ///
    /// A stream of the peer creates a record; a stream of this node needs one, and a dial, because only a
    /// dial makes such streams. The first stream becomes the primary one.
    fn accept_stream(&mut self, addr: &A, stream: Stream, dial: Option<DialId>, now: Instant) -> Applying {
        self.check_addr(addr)?;
        let (known, uplink) = (self.writer.get(addr), stream.direction == Direction::Uplink);
        // First: a stream that is listed is alive, whatever is off meanwhile, and a refusal would close it.
        if known.is_some_and(|link| link.stream(stream.id).is_some()) {
            return Ok(Outcome::Unchanged);
        }
        if !self.directory().active {
            return Err(CommandError::Inactive);
        }
        // A stream of ours whose dial was given up meanwhile: its connection is being closed.
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
        // What an earlier stream announced died with it.
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

    /// A stream died and another one takes over as the primary; memberships stay, because the nodes stay
    /// connected.
    ///
    /// The reports of the two streams may arrive in any order and more than once, so each of the four
    /// combinations of a known and an unknown stream has a meaning.
    pub(super) fn replace_stream(&mut self, addr: A, old: StreamId, new: Stream, now: Instant) -> Applying {
        let link = self.writer.get(&addr);
        let find = |id| link.and_then(|link| link.stream(id));
        let (knows_old, knows_new) = (find(old).is_some(), find(new.id).is_some());
        // Which side opened a stream that is known does not change, whatever the report says.
        let new = find(new.id).unwrap_or(new);
        // As when it is added: a stream of ours needs a dial, and one that no link knows is closed.
        let dialed = link.is_some_and(|link| link.dial.is_some());
        let orphan = !knows_new && (!knows_old || (new.direction == Direction::Uplink && !dialed));
        if orphan {
            let refused = self.refuse_stream(addr.clone(), new.id);
            // Whatever becomes of the new one, the old one is dead.
            let outcome = self.delete_stream(&addr, old, now);
            return refused.map(|()| outcome);
        }
        let Some(link) = link else { return Ok(Outcome::Stale) };
        if !knows_old {
            // The death of the old stream may have been reported before, and the new one have followed it.
            let follows = link.primary().is_some_and(|primary| primary.id == new.id);
            return Ok(if follows { Outcome::Unchanged } else { Outcome::Stale });
        }
        let mut link = (**link).clone();
        let before = link.primary();
        let dialed = link.has_uplink();
        link.streams.retain(|stream| stream.id != old && stream.id != new.id);
        link.streams.insert(0, new);
        self.follow(&mut link, before);
        // As when it is deleted: a spare stream of ours may have been all that the dialer had.
        if link.state == DialState::Established && dialed && !link.has_uplink() {
            link.break_connection(now);
        }
        self.settle(link);
        Ok(Outcome::Done)
    }

    /// A stream died. With the last one all memberships end; the record stays if it has another reason.
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
        // The dialer decides what becomes of its connection: it repairs it, or reports the failure.
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

    /// The answer to an announcement. A net that accepts the link makes the node a member of its main
    /// cluster, and of those of its clusters that the node is a static peer of. A refusal removes it from all
    /// clusters of the net, and the net lets it go unless the peer is permanent.
    ///
    /// The answer names the stream of the announcement. Accounting travels in a slower lane than the end of
    /// streams, so it may be late; without the identity, a node would become a member without a stream.
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
        // The net may have been switched off, or reserved to others, since it was announced.
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
            // Only acceptance ends a series of failures: a node that connects and refuses each time would
            // otherwise be dialled without growing delays.
            link.failures = 0;
            self.settle(link);
            return Ok(Outcome::Done);
        }
        self.leave_net(&mut link, net);
        let later = self.fail(&mut link, now);
        link.delay_until(later);
        // A permanent peer is asked again, but not before the retry delay.
        link.announce_not_before = Some(later);
        self.disconnect_from(&mut link, net);
        // `settle` forgets a link that nothing keeps any more, which closes its connection.
        self.settle(link);
        Ok(Outcome::Done)
    }

    /// Has a stream closed that no link accepts: no one else ever would. While too many wait to be closed, it
    /// is the caller's to close.
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
