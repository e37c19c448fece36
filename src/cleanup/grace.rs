//! The grace of events: a group that is vacated and soon occupied again has not changed, as far as
//! the sink is concerned.
//!
//! A vacated group waits for its deadline before the event is due. If it is occupied before that, neither event is. So
//! the events of a group alternate for the sink as well, and each Vacated has its Occupied.
//!
//! ```text
//!                vacated, with a delay            its deadline passes, and it is vacant
//!   (occupied) -------------------------> pending -------------------------------------> Vacated is due
//!        ^                                 |   |
//!        +-------------- occupied ---------+   +-- its deadline passes, but the table has members again:
//!                                                  it waits for the Occupied, which is under way
//! ```

#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::moment::Moment;
use super::transitions::Change;

/// Delays the events of groups. The changes of each group are passed in the order in which the writer made them.
#[derive(Debug)]
pub(crate) struct Grace<G> {
    pending: HashMap<G, Pending>,
    /// The groups that have a deadline, in the order of those and of their generations.
    deadlines: BTreeMap<(Moment, u64), G>,
    capacity: usize,
    generation: u64,
    stats: Figures,
}

/// A group that was vacated. There is no `deadline` once it has passed, while the group has members
/// again; and if the event is suppressed: the sink takes the group for occupied, so it gets no
/// Occupied either when the group is.
#[derive(Clone, Copy, Debug)]
struct Pending {
    generation: u64,
    deadline: Option<Moment>,
}

/// The time that a vacated group waits, by the cause of its last member's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Delay {
    /// There is no event, and none when the group is occupied again.
    #[default]
    Suppress,
    After(Duration),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Events that a return has cancelled: a pair is two.
    pub(crate) cancelled: u64,
    /// Events without a grace because too many were pending.
    pub(crate) overflowed: u64,
    /// Events that the cause of their disconnect has suppressed.
    pub(crate) suppressed: u64,
}

impl Delay {
    /// Returns the delay for a group whose members ended for two causes in one batch: the longer one.
    pub(crate) fn merge(self, other: Self) -> Self {
        self.max(other)
    }
}

impl<G: Hash + Eq + Clone> Grace<G> {
    /// At most `capacity` groups are pending.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            pending: HashMap::new(),
            deadlines: BTreeMap::new(),
            capacity,
            generation: 0,
            stats: Figures::default(),
        }
    }

    /// Returns the number of groups that have a deadline.
    pub(crate) fn len(&self) -> usize {
        self.deadlines.len()
    }

    pub(crate) fn figures(&self) -> Figures {
        self.stats
    }

    /// Returns the next deadline.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.first_key_value().map(|(&(deadline, _), _)| deadline)
    }

    /// Notes a change of a group. Returns it if the event is due at once.
    pub(crate) fn change(
        &mut self,
        group: G,
        change: Change,
        delay: Delay,
        now: Moment,
    ) -> Option<(G, Change)> {
        match change {
            Change::Occupied => self.occupied(group),
            Change::Vacated => self.vacated(group, delay, now),
        }
    }

    fn occupied(&mut self, group: G) -> Option<(G, Change)> {
        if self.remove(&group) {
            self.stats.cancelled += 2;
            return None;
        }
        Some((group, Change::Occupied))
    }

    fn vacated(&mut self, group: G, delay: Delay, now: Moment) -> Option<(G, Change)> {
        if delay == Delay::After(Duration::ZERO) {
            return Some((group, Change::Vacated));
        }
        if self.pending.len() >= self.capacity {
            self.stats.overflowed += 1;
            return Some((group, Change::Vacated));
        }
        self.generation += 1;
        let generation = self.generation;
        self.remove(&group); // Not pending: the changes of a group alternate.
        let deadline = match delay {
            Delay::After(delay) => Some(now.after(delay)),
            Delay::Suppress => {
                self.stats.suppressed += 1;
                None
            }
        };
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, generation), group.clone());
        }
        self.pending.insert(group, Pending { generation, deadline });
        None
    }

    /// Returns up to `max` groups whose deadline has passed, and which `is_vacant` confirms. One that has members again
    /// waits for its Occupied, without a deadline. At most `max` groups are looked at, so that a call is bounded.
    pub(crate) fn due(&mut self, now: Moment, max: usize, is_vacant: impl Fn(&G) -> bool) -> Vec<G> {
        let mut due = Vec::new();
        for _ in 0..max {
            let Some(first) = self.deadlines.first_entry() else { break };
            let (deadline, generation) = *first.key();
            if deadline > now {
                break;
            }
            let group = first.remove();
            // The generation tells whether the deadline is that of the latest change.
            match self.pending.get_mut(&group) {
                Some(pending) if pending.generation == generation && is_vacant(&group) => {
                    self.pending.remove(&group);
                    due.push(group);
                }
                Some(pending) if pending.generation == generation => pending.deadline = None,
                _ => {}
            }
        }
        due
    }

    /// Ends all graces: returns the groups that are pending, oldest deadline first, except for those that have members
    /// again.
    pub(crate) fn flush(&mut self) -> Vec<G> {
        let groups: Vec<_> = std::mem::take(&mut self.deadlines).into_values().collect();
        for group in &groups {
            self.pending.remove(group);
        }
        groups
    }

    /// Suppresses all events that are pending. Returns their number.
    pub(crate) fn suppress_all(&mut self) -> u64 {
        let number = self.deadlines.len() as u64;
        for group in std::mem::take(&mut self.deadlines).into_values() {
            if let Some(pending) = self.pending.get_mut(&group) {
                pending.deadline = None;
            }
        }
        self.stats.suppressed += number;
        number
    }

    /// Removes a group. Returns whether it was pending.
    fn remove(&mut self, group: &G) -> bool {
        let Some(pending) = self.pending.remove(group) else { return false };
        if let Some(deadline) = pending.deadline {
            self.deadlines.remove(&(deadline, pending.generation));
        }
        true
    }
}
