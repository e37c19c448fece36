#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Moment {
    Moment::from_micros(ms * 1000)
}

fn reserve<R>(slots: &StdArc<Slots<R>>, resources: R) -> Result<Reservation<R>, R> {
    slots.reserve(Source::default(), resources)
}

fn end(cause: Cause, at: Moment) -> End {
    End { cause, at, is_parked: false }
}

/// Opens a connection whose resource is a share of `counted`.
fn open(slots: &StdArc<Slots<StdArc<()>>>, counted: &StdArc<()>) -> ConnectionId {
    reserve(slots, counted.clone()).unwrap().open()
}

#[test]
fn r2_of_several_reports_one_wins() {
    let slots = Slots::new(2);
    let id = reserve(&slots, ()).unwrap().open();
    assert!(slots.is_open(id));
    assert_eq!(slots.close(id), Ok(()));
    assert_eq!(slots.close(id), Err(CloseRefused::Already));
    slots.end(id, end(Cause::Closed, at(0)), |()| {});
    assert!(slots.begin_cleaning(id).unwrap().finish().is_some());
    assert_eq!(slots.close(id), Err(CloseRefused::Stale));
}

#[test]
fn r14_a_stale_id_does_not_touch_the_successor_in_its_slot() {
    let slots = Slots::new(1);
    let old = reserve(&slots, ()).unwrap().open();
    slots.close(old).unwrap();
    slots.begin_cleaning(old).unwrap().finish();
    let new = reserve(&slots, ()).unwrap().open();
    assert_eq!((old.index, old == new), (new.index, false));
    assert_eq!(slots.close(old), Err(CloseRefused::Stale));
    assert!(slots.begin_cleaning(old).is_none() && slots.is_open(new) && !slots.is_open(old));
}

#[test]
fn r3_what_is_released_at_the_end_is_released_once_and_dropped_with_the_slot() {
    let slots = Slots::new(1);
    let counted = StdArc::new(());
    let id = open(&slots, &counted);
    slots.close(id).unwrap();
    let mut released = 0;
    slots.end(id, end(Cause::Killed, at(7)), |_| released += 1);
    assert_eq!((released, StdArc::strong_count(&counted)), (1, 2));
    let cleaning = slots.begin_cleaning(id).unwrap();
    assert_eq!(cleaning.end(), end(Cause::Killed, at(7)));
    assert!(!cleaning.park(true) && cleaning.park(false));
    drop(cleaning.finish());
    assert_eq!((StdArc::strong_count(&counted), slots.len()), (1, 0));
}

#[test]
fn r3_a_release_that_panics_leaves_the_slot_to_the_sweep() {
    let slots = Slots::new(1);
    let id = reserve(&slots, ()).unwrap().open();
    slots.close(id).unwrap();
    let ended =
        catch_unwind(AssertUnwindSafe(|| slots.end(id, end(Cause::Lost, at(5)), |()| panic!("a release"))));
    assert!(ended.is_err());
    assert_eq!(slots.closed_before(at(5), 0, 9, 9).ids, [id]);
}

#[test]
fn d1_a_sweep_finds_what_no_queue_has_taken_and_only_that() {
    let slots = Slots::new(4);
    let ids = [(); 4].map(|()| reserve(&slots, ()).unwrap().open());
    ids[..3].iter().for_each(|id| slots.close(*id).unwrap());
    assert_eq!(slots.closed_before(at(99), 0, 9, 9).ids, [], "their threads are not done with them");
    slots.end(ids[0], end(Cause::Lost, at(1)), |()| {});
    slots.end(ids[1], end(Cause::Lost, at(2)), |()| {});
    assert_eq!(slots.closed_before(at(1), 0, 9, 9).ids, [ids[0]]);
    let cleaning = slots.begin_cleaning(ids[0]).unwrap();
    assert_eq!(slots.closed_before(at(9), 0, 9, 9).ids, [ids[1]], "the other one is being cleaned");
    drop(cleaning);
    assert_eq!(slots.closed_before(at(9), 0, 9, 9).ids, [ids[0], ids[1]], "its cleaner has died");
    assert_eq!(
        slots.closed_before(at(9), 0, 1, 9).ids.len() + slots.closed_before(at(9), 1, 3, 9).ids.len(),
        2
    );
}

#[test]
fn r4_slots_are_bounded_and_come_back() {
    for capacity in [1, 2, 64] {
        let slots = Slots::new(capacity);
        let counted = StdArc::new(());
        for _ in 0..3 {
            let reserved: Vec<_> = (0..capacity).map(|_| reserve(&slots, counted.clone()).unwrap()).collect();
            assert!(reserve(&slots, counted.clone()).is_err());
            assert_eq!(slots.len(), capacity as usize);
            drop(reserved);
            assert_eq!((slots.len(), StdArc::strong_count(&counted)), (0, 1));
        }
    }
}

proptest! {
    /// Any sequence of opens, closes and cleanings: each connection is closed once and cleaned once, in that order.
    #[test]
    fn r2_each_connection_is_closed_once_and_cleaned_once(steps in prop::collection::vec((0..4_u8, 0..20_usize), 1..200)) {
        let slots = Slots::new(4);
        // All connections there ever were: whether each is open, closed, or gone.
        let mut all: Vec<(ConnectionId, u8)> = Vec::new();
        for (step, which) in steps {
            let living = all.iter().filter(|(_, phase)| *phase < 2).count();
            let known = (!all.is_empty()).then(|| which % all.len());
            match (step, known) {
                (0, _) => {
                    let reserved = reserve(&slots, ());
                    prop_assert_eq!(reserved.is_ok(), living < 4);
                    all.extend(reserved.ok().map(|reserved| (reserved.open(), 0)));
                }
                (1, Some(known)) => {
                    let (id, phase) = &mut all[known];
                    let expected = [Ok(()), Err(CloseRefused::Already), Err(CloseRefused::Stale)];
                    prop_assert_eq!(slots.close(*id), expected[usize::from(*phase)]);
                    if *phase == 0 {
                        slots.end(*id, end(Cause::Closed, at(0)), |()| {});
                        *phase = 1;
                    }
                }
                (_, Some(known)) => {
                    let (id, phase) = &mut all[known];
                    let cleaning = slots.begin_cleaning(*id);
                    prop_assert_eq!(cleaning.is_some(), *phase == 1);
                    if let Some(cleaning) = cleaning.filter(|_| step == 2) {
                        cleaning.finish();
                        *phase = 2;
                    }
                }
                _ => {}
            }
        }
        let closed = all.iter().filter(|(_, phase)| *phase == 1).count();
        prop_assert_eq!(slots.closed_before(at(0), 0, 4, 9).ids.len(), closed);
    }
}
