//! The timers of links, and the tick.
//!
//! Plain data structures: they know instants and addresses, and nothing of the core. They do not read a
//! clock: callers pass `now`, or a predicate over instants.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use super::journal::JOURNAL_CAPACITY;
use crate::link::addr::Addr;
use crate::table::DefaultHashBuilder;
use crate::util::time::later;

/// Frees memory if the map is large and at least four times as large as its contents. O(entries) then.
pub(super) fn shrink<A: Addr, V, S: BuildHasher>(map: &mut HashMap<A, V, S>) {
    if map.capacity() > JOURNAL_CAPACITY.max(4 * map.len()) {
        map.shrink_to(2 * map.len());
    }
}

/// At most one timer per address: setting it again replaces it. O(log n) per timer.
///
/// There are two maps, one by instant and one by address. An address may panic in `Clone`, `Hash` or `Eq`;
/// each method calls those first and changes the maps afterwards, so the two maps never disagree.
#[derive(Debug)]
pub(crate) struct Timers<A> {
    /// The address of each timer, the earliest first.
    due: BTreeMap<(Instant, u64), A>,
    /// The key in `due` of each address.
    places: HashMap<A, (Instant, u64), DefaultHashBuilder>,
    /// The number of the next timer: makes the keys of equal instants distinct, and keeps them in the order
    /// in which they were set.
    next: u64,
}

impl<A: Addr> Timers<A> {
    /// Creates an empty set of timers.
    pub(crate) fn new() -> Self {
        Self { due: BTreeMap::new(), places: HashMap::default(), next: 0 }
    }

    /// Sets, moves or removes the timer of an address.
    pub(crate) fn set(&mut self, addr: &A, at: Option<Instant>) {
        if self.places.get(addr).map(|(due, _)| *due) == at {
            // Unchanged: the timer keeps its place among those of the same instant.
            return;
        }
        if let Some(place) = self.places.remove(addr) {
            self.due.remove(&place);
        }
        if let Some(at) = at {
            let place = (at, self.next);
            // The calls that may panic come first, so that the two maps never disagree.
            let owner = addr.clone();
            self.places.insert(addr.clone(), place);
            self.next += 1;
            self.due.insert(place, owner);
        }
    }

    /// Frees memory if the map is at least four times as large as its contents.
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.places);
    }

    /// The instant of the earliest timer.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Removes the timers that are due, at most `limit` of them, and returns their addresses, the earliest
    /// first. If an address panics, the timers taken so far are lost.
    pub(super) fn take(&mut self, is_due: impl Fn(Instant) -> bool, limit: usize) -> Vec<A> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            match self.due.first_key_value() {
                // The call that may panic comes first, so that the two maps never disagree.
                Some(((at, _), addr)) if is_due(*at) => self.places.remove(addr),
                _ => break,
            };
            taken.extend(self.due.pop_first().map(|(_, addr)| addr));
        }
        taken
    }
}

/// The two phases of the tick, which alternate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nets that are short of links ask for candidates.
    Request,
    /// Links are announced and dialled.
    WakeUp,
}

/// The tick, and the phase that it runs.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The instant of the next tick.
    pub(super) next_tick: Instant,
    /// The phase that the next tick runs.
    pub(super) phase: Phase,
}

impl Schedule {
    /// Creates a schedule whose first tick is one period away and runs the request phase, as in the
    /// reference.
    pub(crate) fn new(now: Instant, tick: Duration) -> Self {
        Self { next_tick: later(now, tick), phase: Phase::Request }
    }
}
