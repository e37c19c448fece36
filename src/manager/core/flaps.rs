//! The log of flaps: the connections of each node that broke soon after they were made.
//!
//! Kept apart from the records, because the record of a flapping node may not last: after a failure its nets
//! may let it go, and the host may offer the node again later. A count in the record would then start from
//! zero.

use std::collections::HashMap;
use std::time::Instant;

use super::timers::{Timers, shrink};
use crate::link::addr::Addr;
use crate::link::flaps::Flaps;

/// The flaps of nodes, including nodes that have no record. Bounded by [`trim`](Self::trim); O(log n) per
/// call.
#[derive(Debug)]
pub(super) struct FlapLog<A> {
    entries: HashMap<A, Flaps>,
    /// The instant at which each entry is forgotten.
    expiry: Timers<A>,
}

impl<A: Addr> FlapLog<A> {
    /// Creates an empty log.
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), expiry: Timers::new() }
    }

    /// The flaps of a node, if any are remembered. An entry that has expired may still be returned until the
    /// next [`trim`](Self::trim): the caller compares its `until`.
    pub(super) fn get(&self, addr: &A) -> Option<Flaps> {
        self.entries.get(addr).copied()
    }

    /// Remembers the flaps of a node, or forgets them with `None`.
    pub(super) fn set(&mut self, addr: &A, flaps: Option<Flaps>) {
        match flaps {
            Some(flaps) => self.entries.insert(addr.clone(), flaps),
            None => self.entries.remove(addr),
        };
        self.expiry.set(addr, flaps.map(|flaps| flaps.until));
    }

    /// Forgets the entries that have expired and, beyond `limit` entries, those that would expire first.
    pub(super) fn trim(&mut self, now: Instant, limit: usize) {
        // An entry is still remembered at the instant `until` itself.
        for addr in self.expiry.take(|until| until < now, usize::MAX) {
            self.entries.remove(&addr);
        }
        let surplus = self.entries.len().saturating_sub(limit);
        for addr in self.expiry.take(|_| true, surplus) {
            self.entries.remove(&addr);
        }
    }

    /// Frees memory if the log is at least four times as large as its contents.
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.entries);
        self.expiry.shrink();
    }

    #[cfg(all(test, not(switchboard_model)))]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
