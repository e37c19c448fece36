//! Links that connect and drop, again and again.

use std::collections::HashMap;
use std::time::Instant;

use super::Core;
use super::schedule::Timers;
use crate::link::{Addr, Link, LinkState, QuickDrops, UnstablePolicy, later};

/// The quick drops of nodes, also of those that have no record at the moment. Bounded; O(log n) each.
#[derive(Debug)]
pub(super) struct Drops<A> {
    entries: HashMap<A, QuickDrops>,
    expiry: Timers<A>,
}

impl<A: Addr> Drops<A> {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), expiry: Timers::new() }
    }

    pub(super) fn get(&self, addr: &A) -> Option<QuickDrops> {
        self.entries.get(addr).copied()
    }

    pub(super) fn set(&mut self, addr: &A, drops: Option<QuickDrops>) {
        match drops {
            Some(drops) => self.entries.insert(addr.clone(), drops),
            None => self.entries.remove(addr),
        };
        self.expiry.set(addr, drops.map(|drops| drops.until));
    }

    /// Forgets what is over, and what would be over first beyond `limit`.
    fn trim(&mut self, now: Instant, limit: usize) {
        for addr in self.expiry.take(|until| until < now, usize::MAX) {
            self.entries.remove(&addr);
        }
        let surplus = self.entries.len().saturating_sub(limit);
        for addr in self.expiry.take(|_| true, surplus) {
            self.entries.remove(&addr);
        }
    }

    #[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl<A: Addr> Core<A> {
    /// The connection that the dialer has is about to be lost, with no stream left: counts it if it was
    /// short. Returns the policy when the link is unstable by that.
    pub(super) fn note_drop(&mut self, link: &mut Link<A>, now: Instant) -> Option<UnstablePolicy> {
        let policy = self.settings().unstable?;
        // Reported once more, the same outage finds the link in another state.
        let connected = link.dial.filter(|_| link.state == LinkState::Established)?;
        if !link.streams.is_empty() {
            return None;
        }
        let drops = if now.saturating_duration_since(connected.since) < policy.threshold {
            let known = self.drops.get(&link.addr).filter(|drops| now <= drops.until);
            let count = known.map_or(0, |drops| drops.count).saturating_add(1);
            Some(QuickDrops { count, until: later(now, policy.delay) })
        } else {
            None
        };
        self.journal_drops(&link.addr);
        self.drops.set(&link.addr, drops);
        self.drops.trim(now, policy.entries);
        link.drops = drops;
        drops.filter(|drops| drops.count >= policy.limit).map(|_| policy)
    }

    /// Gives an unstable link a rest: its nets let it go, and who keeps it waits.
    pub(super) fn rest(&mut self, mut link: Link<A>, policy: UnstablePolicy, now: Instant) {
        link.leave_all();
        self.reset_dialer(&mut link);
        link.follow_primary();
        link.endpoint_fresh = false;
        link.attempts = 0;
        link.rest_until(later(now, policy.delay));
        self.journal_directory();
        for net in link.nets.clone() {
            if self.directory().is_net_active(net) {
                self.heat(&link.addr, net, now);
                self.disconnect_from(&mut link, net);
            } else {
                link.dissociate(net);
            }
        }
        self.settle(link);
    }
}
