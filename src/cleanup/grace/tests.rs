use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Moment {
    Moment::from_micros(ms * 1000)
}

fn after(ms: u64) -> Delay {
    Delay::After(Duration::from_millis(ms))
}

fn grace(capacity: usize) -> Grace<&'static str> {
    Grace::new(capacity)
}

#[test]
fn r11_a_return_within_the_grace_cancels_both_events() {
    let mut grace = grace(2);
    assert_eq!(grace.change("room", Change::Vacated, after(3000), at(0)), None);
    assert_eq!(grace.due(at(2999), 9, |_| true), Vec::<&str>::new());
    assert_eq!(grace.change("room", Change::Occupied, after(0), at(2999)), None);
    assert_eq!((grace.due(at(9000), 9, |_| true), grace.len()), (vec![], 0));
    assert_eq!(grace.figures().cancelled, 2);
}

#[test]
fn r11_the_deadline_is_exact_and_belongs_to_one_generation() {
    let mut grace = grace(2);
    grace.change("room", Change::Vacated, after(3000), at(0));
    grace.change("room", Change::Occupied, after(0), at(1000));
    grace.change("room", Change::Vacated, after(3000), at(2000));
    assert_eq!(grace.next_deadline(), Some(at(5000)));
    assert_eq!(grace.due(at(4999), 9, |_| true), Vec::<&str>::new());
    assert_eq!(grace.due(at(5000), 9, |_| true), ["room"]);
    assert_eq!(grace.change("room", Change::Occupied, after(0), at(5000)), Some(("room", Change::Occupied)));
}

#[test]
fn r11_without_a_delay_the_event_is_due_at_once() {
    let mut grace = grace(1);
    assert_eq!(grace.change("room", Change::Vacated, after(0), at(0)), Some(("room", Change::Vacated)));
    assert_eq!(grace.change("room", Change::Vacated, Delay::Suppress, at(0)), None);
    assert_eq!((grace.len(), grace.figures().suppressed), (0, 1));
}

#[test]
fn r11_the_sink_is_not_told_twice_that_a_suppressed_group_is_occupied() {
    let mut grace = grace(9);
    assert_eq!(grace.change("room", Change::Occupied, after(0), at(0)), Some(("room", Change::Occupied)));
    assert_eq!(grace.change("room", Change::Vacated, Delay::Suppress, at(0)), None);
    assert_eq!(grace.change("room", Change::Occupied, after(0), at(1)), None);
    assert_eq!(grace.change("room", Change::Vacated, after(0), at(2)), Some(("room", Change::Vacated)));
    grace.change("hall", Change::Vacated, after(9), at(0));
    assert_eq!((grace.suppress_all(), grace.len()), (1, 0));
    assert_eq!(grace.change("hall", Change::Occupied, after(0), at(3)), None);
}

#[test]
fn r11_over_the_bound_the_event_is_due_at_once() {
    for capacity in [1, 2, 64] {
        let mut grace = Grace::new(capacity);
        for group in 0..capacity {
            assert_eq!(grace.change(group, Change::Vacated, after(5), at(0)), None);
        }
        assert_eq!(
            grace.change(capacity, Change::Vacated, after(5), at(0)),
            Some((capacity, Change::Vacated))
        );
        assert_eq!((grace.len(), grace.figures().overflowed), (capacity, 1));
        assert_eq!(grace.due(at(5), usize::MAX, |_| true).len(), capacity);
    }
}

#[test]
fn r11_a_group_that_has_members_again_is_not_reported() {
    let mut grace = grace(2);
    grace.change("room", Change::Vacated, after(5), at(0));
    assert_eq!(grace.due(at(5), 9, |_| false), Vec::<&str>::new());
    assert_eq!((grace.len(), grace.next_deadline()), (0, None));
    // Its Occupied was under way.
    assert_eq!(grace.change("room", Change::Occupied, after(0), at(6)), None);
    assert_eq!(grace.len(), 0);
}

#[test]
fn r11_the_longest_delay_of_a_batch_counts() {
    assert_eq!(after(0).merge(after(3000)), after(3000));
    assert_eq!(Delay::Suppress.merge(after(0)), after(0));
}

#[test]
fn r18_a_drain_ends_all_graces_in_the_order_of_their_deadlines() {
    let mut grace = grace(9);
    grace.change("late", Change::Vacated, after(9), at(0));
    grace.change("early", Change::Vacated, after(5), at(0));
    grace.change("back", Change::Vacated, after(1), at(0));
    assert_eq!(grace.due(at(1), 9, |_| false), Vec::<&str>::new());
    assert_eq!((grace.flush(), grace.len()), (vec!["early", "late"], 0));
}

/// A group as the sink sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Whether the sink was told that it is occupied.
    is_occupied: bool,
    events: usize,
}

fn see(seen: &mut [Seen], group: u8, change: Change) -> Result<(), TestCaseError> {
    let seen = &mut seen[usize::from(group)];
    prop_assert_ne!(seen.is_occupied, change == Change::Occupied, "twice");
    seen.is_occupied = change == Change::Occupied;
    seen.events += 1;
    Ok(())
}

proptest! {
    /// Groups that change back and forth. The sink sees alternating events, never one of a group that returned in
    /// time, and in the end the truth.
    #[test]
    fn r11_the_sink_sees_alternating_events(
        steps in prop::collection::vec((0..5_u8, 0..40_u64, 0..30_u64), 1..200), capacity in 1..6_usize
    ) {
        let mut grace = Grace::new(capacity);
        let mut occupied = HashSet::new();
        let mut seen = [Seen::default(); 5];
        let (mut now, mut changes) = (0, 0);
        for (group, pause, delay) in steps {
            now += pause;
            for group in grace.due(at(now), usize::MAX, |group| !occupied.contains(group)) {
                prop_assert!(!occupied.contains(&group));
                see(&mut seen, group, Change::Vacated)?;
            }
            let change = if occupied.remove(&group) { Change::Vacated } else { Change::Occupied };
            if change == Change::Occupied {
                occupied.insert(group);
            }
            changes += 1;
            if let Some((group, change)) = grace.change(group, change, after(delay), at(now)) {
                see(&mut seen, group, change)?;
            }
            prop_assert!(grace.len() <= capacity && grace.deadlines.len() == grace.len());
        }
        for group in grace.flush() {
            see(&mut seen, group, Change::Vacated)?;
        }
        for (group, seen) in (0..).zip(&seen) {
            prop_assert_eq!(seen.is_occupied, occupied.contains(&group));
        }
        let events = seen.iter().map(|seen| seen.events).sum::<usize>() as u64;
        prop_assert_eq!(events + grace.figures().cancelled, changes);
    }
}
