//! One operation, with both locks held.

use std::time::Instant;

use super::tables::{Nets, Record, Records};
use crate::link::DialState;
use crate::link::addr::Addr;
use crate::link::failure::LinkFailure;
use crate::link::net::NetId;
use crate::link::stream::Direction;
use crate::manager::model::command::{CommandError, Outcome};
use crate::manager::model::config::Config;
use crate::manager::model::effect::Effect;
use crate::shadow::operation::Operation;
use crate::util::time::later;

pub(super) type Applying = Result<Outcome, CommandError>;

/// The fixed configuration.
#[derive(Debug)]
pub(super) struct Rules<A> {
    pub(super) config: Config,
    pub(super) own: Option<A>,
}

/// One operation in progress.
pub(super) struct Work<'a, A: Addr> {
    pub(super) rules: &'a Rules<A>,
    pub(super) nets: &'a mut Nets<A>,
    pub(super) links: &'a mut Records<A>,
    pub(super) now: Instant,
    pub(super) effects: Vec<Effect<A>>,
    /// The links to examine after the operation, which may have made an action due.
    pub(super) touched: Vec<A>,
    /// The nets whose members changed.
    pub(super) recount: Vec<NetId>,
}

impl<'a, A: Addr> Work<'a, A> {
    pub(super) fn new(
        rules: &'a Rules<A>,
        nets: &'a mut Nets<A>,
        links: &'a mut Records<A>,
        now: Instant,
    ) -> Self {
        Self { rules, nets, links, now, effects: Vec::new(), touched: Vec::new(), recount: Vec::new() }
    }

    pub(super) fn apply(&mut self, operation: &Operation<A>) -> Applying {
        match operation {
            Operation::AddNet { net, config } => self.add_net(*net, *config),
            Operation::RemoveNet { net } => self.remove_net(*net),
            Operation::SetNetActive { net, active } => self.set_net_active(*net, *active),
            Operation::CreateLink { addr, net } => self.create_link(addr, *net),
            Operation::SetEndpoint { addr, endpoint } => self.set_endpoint(addr, *endpoint),
            Operation::DeleteLink { addr } => self.delete_link(addr),
            Operation::ResolveFailed { addr, resolve } => {
                Ok(self.resolve_failed(addr, *resolve, LinkFailure::Unresolved))
            }
            Operation::AddStream { addr, stream, direction } => self.add_stream(addr, *stream, *direction),
            Operation::ReplaceStream { addr, old, new, direction } => {
                Ok(self.replace_stream(addr, *old, *new, *direction))
            }
            Operation::DeleteStream { addr, stream } => Ok(self.delete_stream(addr, *stream)),
            Operation::AccountLink { net, addr, stream, accepted } => {
                self.account_link(*net, addr, *stream, *accepted)
            }
            Operation::DialConnected { addr, dial } => Ok(self.dial_connected(addr, *dial)),
            Operation::DialFailed { addr, dial, last } => Ok(self.dial_failed(addr, *dial, *last)),
            Operation::Tick { .. } => {
                self.touched = self.links.addrs(|_| true);
                Ok(Outcome::Done)
            }
            _ => Ok(Outcome::Unchanged),
        }
    }

    /// Performs the actions that the operation made due, and returns the effects.
    pub(super) fn finish(mut self) -> Vec<Effect<A>> {
        for addr in std::mem::take(&mut self.touched) {
            self.look(&addr);
        }
        self.request();
        self.recount.sort_unstable();
        self.recount.dedup();
        for id in std::mem::take(&mut self.recount) {
            // The last count of a removed net is zero.
            let (uplinks, downlinks) =
                self.nets.get(id).map_or((0, 0), |net| (net.uplinks.len(), net.downlinks.len()));
            self.effects.push(Effect::LinkCountChanged { net: id, uplinks, downlinks });
        }
        self.effects
    }

    /// Performs every action that is due for one link.
    fn look(&mut self, addr: &A) {
        loop {
            let Some(record) = self.links.get(addr) else { return };
            let overdue = record.overdue_at(self.rules.config.settings.dial_timeout);
            if overdue.is_some_and(|at| at <= self.now) {
                self.time_out(addr);
                continue;
            }
            let announced = self.announce(addr);
            if !self.dial(addr) && !announced {
                return;
            }
        }
    }

    /// Requests candidates for each active net that lacks links, once per tick and net.
    fn request(&mut self) {
        let now = self.now;
        for (id, net) in self.nets.iter_mut() {
            let due = net.request_not_before.is_none_or(|at| at <= now);
            let needed = u32::try_from(net.needed()).unwrap_or(u32::MAX);
            if net.active && due && needed > 0 {
                net.request_not_before = Some(later(now, self.rules.config.settings.tick));
                self.effects.push(Effect::RequestLinks { net: id, needed });
            }
        }
    }

    /// Announces, on the primary stream, the active nets that want the link and of which it is not a member.
    fn announce(&mut self, addr: &A) -> bool {
        let Some(record) = self.links.get_mut(addr) else { return false };
        let due = record.announce_not_before.is_none_or(|at| at <= self.now);
        let Some(primary) = record.streams.first().filter(|_| due) else { return false };
        let mut announced = false;
        for net in &record.nets {
            if self.nets.is_active(*net) && !record.members.contains(net) {
                announced = true;
                let (addr, stream) = (addr.clone(), primary.id);
                self.effects.push(Effect::Announce { addr, net: *net, stream });
            }
        }
        if announced {
            record.announce_not_before = Some(later(self.now, self.rules.config.settings.retry.cap()));
        }
        announced
    }

    pub(super) fn join(&mut self, addr: &A, net: NetId) -> bool {
        let Some(record) = self.links.get_mut(addr) else { return false };
        if record.members.contains(&net) {
            return false;
        }
        record.members.push(net);
        if let Some(net) = self.nets.get_mut(net) {
            net.join(addr, record.filed);
        }
        self.recount.push(net);
        true
    }

    pub(super) fn leave(&mut self, addr: &A, net: NetId) {
        let Some(record) = self.links.get_mut(addr) else { return };
        if !record.members.contains(&net) {
            return;
        }
        record.members.retain(|member| *member != net);
        if let Some(net) = self.nets.get_mut(net) {
            net.leave(addr);
        }
        self.recount.push(net);
    }

    pub(super) fn leave_all(&mut self, addr: &A) {
        let members = self.links.get(addr).map_or_else(Vec::new, |record| record.members.clone());
        for net in members {
            self.leave(addr, net);
        }
    }

    /// Moves a link whose primary stream changed to the members of its new direction.
    pub(super) fn file(&mut self, addr: &A) {
        let Some(record) = self.links.get_mut(addr) else { return };
        let direction = record.direction();
        if record.filed == direction {
            return;
        }
        record.filed = direction;
        for id in &record.members {
            if let Some(net) = self.nets.get_mut(*id) {
                net.leave(addr);
                net.join(addr, direction);
            }
            self.recount.push(*id);
        }
    }

    /// Ends an operation on a link: keeps, demotes or removes its record, depending on the remaining reasons.
    pub(super) fn settle(&mut self, addr: &A) {
        self.file(addr);
        let Some(record) = self.links.get_mut(addr) else { return };
        if record.has_reason() {
            self.touched.push(addr.clone());
        } else if record.has_stream_of(Direction::Downlink) {
            // No net asks to dial the node any longer. The peer closes the streams that it opened.
            demote(record);
            self.effects.push(Effect::CloseDialer { addr: addr.clone() });
            self.file(addr);
        } else {
            self.forget(addr);
        }
    }

    /// Removes a link and closes everything that belongs to it.
    pub(super) fn forget(&mut self, addr: &A) {
        self.leave_all(addr);
        let Some(record) = self.links.remove(addr) else { return };
        if record.dialable {
            self.effects.push(Effect::CloseDialer { addr: addr.clone() });
        }
        // The dialer closes its own streams.
        let others = record
            .streams
            .iter()
            .filter(|stream| !record.dialable || stream.direction == Direction::Downlink);
        let streams: Vec<_> = others.map(|stream| stream.id).collect();
        if !streams.is_empty() {
            self.effects.push(Effect::CloseStreams { addr: addr.clone(), streams });
        }
    }
}

fn demote(record: &mut Record) {
    record.dialable = false;
    record.state = DialState::Disconnected;
    record.dial = None;
    record.resolving = None;
    record.attempts = 0;
    record.close_uplinks();
}
