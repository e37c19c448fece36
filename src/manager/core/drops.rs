//! Flaps: how often the connections of a node broke soon after they were made.

use std::collections::HashMap;
use std::time::Instant;

use super::timers::Timers;
use crate::link::addr::Addr;
use crate::link::flaps::Flaps;

/// The flaps of nodes, also of those that have no record at the moment. Bounded; O(log n) each.
#[derive(Debug)]
pub(super) struct FlapLog<A> {
    entries: HashMap<A, Flaps>,
    expiry: Timers<A>,
}

impl<A: Addr> FlapLog<A> {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), expiry: Timers::new() }
    }

    /// The flaps of a node, if any are remembered.
    pub(super) fn get(&self, addr: &A) -> Option<Flaps> {
        self.entries.get(addr).copied()
    }

    /// Remembers or forgets the flaps of a node.
    pub(super) fn set(&mut self, addr: &A, drops: Option<Flaps>) {
        match drops {
            Some(drops) => self.entries.insert(addr.clone(), drops),
            None => self.entries.remove(addr),
        };
        self.expiry.set(addr, drops.map(|drops| drops.until));
    }

    /// Forgets what is over, and what would be over first beyond `limit`.
    pub(super) fn trim(&mut self, now: Instant, limit: usize) {
        for addr in self.expiry.take(|until| until < now, usize::MAX) {
            self.entries.remove(&addr);
        }
        let surplus = self.entries.len().saturating_sub(limit);
        for addr in self.expiry.take(|_| true, surplus) {
            self.entries.remove(&addr);
        }
    }

    #[cfg(all(test, not(switchboard_model)))]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
