//! Timers of links, and the tick.
//!
//! Plain data structures: they know instants and addresses, and nothing of the core.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::link::addr::Addr;
use crate::util::time::later;

/// One timer per link at most: setting it again replaces it. O(log n) each.
///
/// Two maps, one by instant and one by address. An address may panic in `Clone`, `Hash` or `Eq`; each method
/// calls those first and changes the maps afterwards, so that they never disagree.
#[derive(Debug)]
pub(crate) struct Timers<A> {
    due: BTreeMap<(Instant, u64), A>,
    places: HashMap<A, (Instant, u64)>,
    next: u64,
}

impl<A: Addr> Timers<A> {
    pub(crate) fn new() -> Self {
        Self { due: BTreeMap::new(), places: HashMap::new(), next: 0 }
    }

    /// Sets, moves or removes the timer of an address.
    pub(crate) fn set(&mut self, addr: &A, at: Option<Instant>) {
        if self.places.get(addr).map(|(due, _)| *due) == at {
            return;
        }
        if let Some(place) = self.places.remove(addr) {
            self.due.remove(&place);
        }
        if let Some(at) = at {
            let place = (at, self.next);
            // What may panic first, so that the two never disagree.
            let owner = addr.clone();
            self.places.insert(addr.clone(), place);
            self.next += 1;
            self.due.insert(place, owner);
        }
    }

    /// The instant of the earliest timer.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the timers that are due, the oldest first, `limit` at most. If an address panics, those that
    /// were taken are lost.
    pub(super) fn take(&mut self, is_due: impl Fn(Instant) -> bool, limit: usize) -> Vec<A> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            match self.due.first_key_value() {
                // What may panic first, so that the two never disagree.
                Some(((at, _), addr)) if is_due(*at) => self.places.remove(addr),
                _ => break,
            };
            taken.extend(self.due.pop_first().map(|(_, addr)| addr));
        }
        taken
    }
}

/// The two halves of the tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Request,
    WakeUp,
}

/// The tick and its alternation.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(super) next_tick: Instant,
    pub(super) phase: Phase,
}

impl Schedule {
    pub(crate) fn new(now: Instant, tick: Duration) -> Self {
        Self { next_tick: later(now, tick), phase: Phase::Request }
    }
}
