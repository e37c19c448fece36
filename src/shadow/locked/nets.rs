//! Nets.

use super::work::{Applying, Work};
use crate::link::addr::Addr;
use crate::link::net::{NetConfig, NetId};
use crate::manager::model::command::{CommandError, Outcome};

impl<A: Addr> Work<'_, A> {
    pub(super) fn add_net(&mut self, net: NetId, config: NetConfig) -> Applying {
        let limit = self.rules.config.settings.max_nets;
        if !net.is_valid() {
            return Err(CommandError::InvalidNet(net));
        }
        if self.nets.get(net).is_some() {
            return Err(CommandError::NetExists(net));
        }
        if self.nets.len() >= limit {
            return Err(CommandError::LimitReached { of: "nets", limit });
        }
        self.nets.add(net, config);
        Ok(Outcome::Done)
    }

    pub(super) fn remove_net(&mut self, net: NetId) -> Applying {
        if self.nets.get(net).is_none() {
            return Err(CommandError::UnknownNet(net));
        }
        self.release(net);
        self.nets.remove(net);
        Ok(Outcome::Done)
    }

    pub(super) fn set_net_active(&mut self, net: NetId, active: bool) -> Applying {
        let Some(status) = self.nets.get_mut(net) else { return Err(CommandError::UnknownNet(net)) };
        if status.active == active {
            return Ok(Outcome::Unchanged);
        }
        status.active = active;
        status.request_not_before = None;
        if active {
            for addr in self.links.addrs(|record| record.nets.contains(&net)) {
                if let Some(record) = self.links.get_mut(&addr) {
                    record.announce_not_before = None;
                }
                self.touched.push(addr);
            }
        } else {
            self.release(net);
        }
        Ok(Outcome::Done)
    }

    /// Ends every membership in the net, and every link that only this net kept.
    fn release(&mut self, net: NetId) {
        if let Some(status) = self.nets.get_mut(net) {
            status.active = false;
        }
        let concerned = |nets: &[NetId]| nets.contains(&net);
        for addr in self.links.addrs(|record| concerned(&record.nets) || concerned(&record.members)) {
            self.leave(&addr, net);
            if let Some(record) = self.links.get_mut(&addr) {
                record.nets.retain(|wanted| *wanted != net);
            }
            self.settle(&addr);
        }
    }
}
