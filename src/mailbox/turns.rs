//! The choice of the next lane: the rule against starvation, as a pure state machine.
//!
//! Each take adds one to the count of every lane that waits and is not taken from; the count of a lane that
//! is taken from, or that is empty, returns to zero. A lane whose count has reached the limit is *overdue*.
//! The next take is from the overdue lane with the largest count, from the higher lane among equals, and from
//! the highest waiting lane if none is overdue.
//!
//! Bound: of any `limit + 3` consecutive takes during which a lane waits, one is from that lane. Consider
//! lane X, passed over `limit` times since it began to wait or was last taken from. The lane served by the
//! last of these takes is back at zero, so at most two others are ahead of X, that is, overdue with a count
//! not below that of X. Counts of waiting lanes grow together, and a lane that is served falls back to zero,
//! below X, so no further lane gets ahead and no lane ahead is served twice. X is served after at most
//! `limit` and two more takes: by take number `limit + 3`.

use std::num::NonZeroU32;

use super::Priority;

/// A set of lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LaneSet(u8);

impl LaneSet {
    /// Returns the lanes from the first to `lowest`.
    pub(super) fn down_to(lowest: Priority) -> Self {
        Self((1 << (lowest.index() + 1)) - 1)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn insert(&mut self, priority: Priority) {
        self.0 |= 1 << priority.index();
    }

    pub(super) fn remove(&mut self, priority: Priority) {
        self.0 &= !(1 << priority.index());
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the lane if it is the only one.
    fn only(self) -> Option<Priority> {
        if self.0.is_power_of_two() {
            Priority::ALL.get(self.0.trailing_zeros() as usize).copied()
        } else {
            None
        }
    }

    pub(super) fn contains(self, priority: Priority) -> bool {
        self.0 & (1 << priority.index()) != 0
    }
}

/// The counts of the lanes.
#[derive(Debug)]
pub(super) struct Turns {
    limit: u32,
    passed: [u32; 4],
}

impl Turns {
    pub(super) fn new(limit: NonZeroU32) -> Self {
        Self { limit: limit.get(), passed: [0; 4] }
    }

    /// Returns the lane to take from among those that wait.
    pub(super) fn choose(&self, waiting: LaneSet) -> Option<Priority> {
        if let Some(only) = waiting.only() {
            return Some(only);
        }
        let mut chosen: Option<Priority> = None;
        for priority in Priority::ALL.into_iter().filter(|priority| waiting.contains(*priority)) {
            let ahead = match chosen {
                None => true,
                Some(other) => self.urgency(priority) > self.urgency(other),
            };
            if ahead {
                chosen = Some(priority);
            }
        }
        chosen
    }

    /// Records a take from `taken`, while `waiting` waited (with or without `taken`).
    pub(super) fn took(&mut self, taken: Priority, waiting: LaneSet) {
        if waiting.only() == Some(taken) {
            self.passed = [0; 4];
            return;
        }
        for priority in Priority::ALL {
            let passed = &mut self.passed[priority.index()];
            let passed_over = priority != taken && waiting.contains(priority);
            *passed = if passed_over { passed.saturating_add(1) } else { 0 };
        }
    }

    /// Returns the lane's count once it is overdue, and zero before.
    fn urgency(&self, priority: Priority) -> u32 {
        let passed = self.passed[priority.index()];
        if passed >= self.limit { passed } else { 0 }
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    const ALL: LaneSet = LaneSet(0b1111);

    fn limits() -> impl Iterator<Item = NonZeroU32> {
        [1, 2, 3, 4, 5, 32].into_iter().filter_map(NonZeroU32::new)
    }

    #[test]
    fn without_starvation_the_highest_lane_is_taken() {
        let turns = Turns::new(NonZeroU32::MAX);
        assert_eq!(turns.choose(LaneSet(0)), None);
        assert_eq!(turns.choose(ALL), Some(Priority::Critical));
        assert_eq!(turns.choose(LaneSet(0b1100)), Some(Priority::Normal));
    }

    #[test]
    fn full_lanes_share_as_stated() {
        let mut turns = Turns::new(NonZeroU32::new(4).unwrap());
        let mut taken = Vec::new();
        for _ in 0..12 {
            let priority = turns.choose(ALL).unwrap();
            turns.took(priority, ALL);
            taken.push(priority.index());
        }
        assert_eq!(taken, [0, 0, 0, 0, 1, 2, 3, 0, 0, 1, 2, 3]);
    }

    /// Regardless of the other lanes, a waiting lane is taken from at least once in `limit + 3` takes.
    #[test]
    fn no_waiting_lane_is_passed_over_more_than_the_bound() {
        let mut random = fastrand::Rng::with_seed(7);
        for limit in limits() {
            let mut turns = Turns::new(limit);
            let mut since = [0u32; 4];
            for step in 0..40_000 {
                // Long stretches of one set of lanes, mixed with noise.
                let noise = if step % 400 < 200 { 0 } else { random.u8(0..16) };
                let waiting = LaneSet(((step / 400) % 16) as u8 | noise);
                let Some(taken) = turns.choose(waiting) else { continue };
                assert!(waiting.contains(taken));
                turns.took(taken, waiting);
                for lane in Priority::ALL {
                    let since = &mut since[lane.index()];
                    *since = if lane == taken || !waiting.contains(lane) { 0 } else { *since + 1 };
                    assert!(*since < limit.get() + 3, "{lane} passed over {since} times, limit {limit}");
                }
            }
        }
    }

    #[test]
    fn the_bound_is_tight() {
        for limit in limits() {
            let mut turns = Turns::new(limit);
            let mut takes = 1;
            while let Some(taken) = turns.choose(ALL).filter(|taken| *taken != Priority::Low) {
                turns.took(taken, ALL);
                takes += 1;
            }
            assert_eq!(takes, limit.get() + 3);
        }
    }

    #[test]
    fn critical_waits_for_three_takes_at_most() {
        for limit in limits().filter(|limit| limit.get() >= 3) {
            let mut turns = Turns::new(limit);
            let mut since = 0;
            for _ in 0..1_000 {
                let taken = turns.choose(ALL).unwrap();
                turns.took(taken, ALL);
                since = if taken == Priority::Critical { 0 } else { since + 1 };
                assert!(since <= 3);
            }
        }
    }
}
