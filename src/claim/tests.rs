#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::cell::Cell;
use std::collections::HashSet;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::state::{Occupant, ReleaseRefused, Rest};
use super::waiters::Waiters;
use super::word::ClaimWord;
use super::*;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{StdArc, deadline_after};

/// Every combination of flags and phase, in one generation.
fn all_states(generation: u64) -> impl Iterator<Item = State> {
    (0..1 << 8).map(move |low| State::from_word((generation << 8) | low))
}

fn rests() -> impl Iterator<Item = Rest> {
    let all = [(false, false), (true, false), (true, true)].into_iter();
    all.map(|(is_queued, is_replacing)| Rest { is_queued, is_replacing })
}

/// Every state that a transition makes of `state`, with every identity that could matter.
fn successors(state: State) -> Vec<(&'static str, State)> {
    let generation = state.generation().as_u64();
    let ids = [generation.wrapping_sub(1), generation, generation + 1].map(ClaimId::from_u64);
    let mut all = vec![("await_change", state.await_change())];
    all.extend(state.claim().ok().map(|next| ("claim", next)));
    all.extend(state.cancel(None).ok().map(|next| ("cancel", next)));
    all.extend(state.displace().map(|next| ("displace", next)));
    all.extend(state.begin_clear(true).ok().map(|next| ("begin_clear", next)));
    all.extend(state.begin_clear(false).ok().map(|next| ("begin_clear", next)));
    all.extend(state.end_clear().map(|next| ("end_clear", next)));
    all.extend(state.take_clear(None).map(|next| ("take_clear", next)));
    all.extend(state.retire().ok().map(|next| ("retire", next)));
    all.extend(state.list().map(|next| ("list", next)));
    all.push(("unlist", state.unlist()));
    all.push(("empty_queue", state.empty_queue()));
    all.extend(
        [true, false].into_iter().filter_map(|replace| Some(("enqueue", state.enqueue(replace).ok()?))),
    );
    for rest in rests() {
        all.extend(state.end_clear_for(Some(rest)).map(|next| ("end_clear_for", next)));
        all.extend(ids.iter().filter_map(|id| Some(("hand_over", state.hand_over(*id, rest).ok()?))));
    }
    all.extend(state.end_clear_for(None).map(|next| ("end_clear", next)));
    for id in ids {
        all.extend(state.start(id).map(|next| ("start", next)));
        all.extend(state.cancel(Some(id)).ok().map(|next| ("cancel", next)));
        all.extend(state.give_up_clear(id).map(|next| ("give_up_clear", next)));
        all.extend(state.take_clear(Some(id)).map(|next| ("take_clear", next)));
        all.extend(state.release(id).ok().map(|next| ("release", next)));
    }
    all
}

#[test]
fn transitions_keep_what_they_are_not_about() {
    for state in all_states(7) {
        for (name, next) in successors(state) {
            let what = format!("{name}: {state:?} -> {next:?}");
            let step = next.generation().as_u64() - state.generation().as_u64();
            let (held, holds) = (state.occupant(), next.occupant());
            let is_handed = name == "end_clear_for" || name == "hand_over" && holds.is_some();
            let is_new = is_handed || ["claim", "displace", "end_clear"].contains(&name);
            assert_eq!(step, u64::from(is_new), "{what}");
            let is_mark = ["await_change", "unlist", "empty_queue"].contains(&name);
            assert!(!state.is_retired() || is_mark, "a retired place stays as it is: {what}");
            match name {
                "claim" => assert!(held.is_none() && !state.is_clearing(), "{what}"),
                "release" | "displace" => assert!(held.is_some() && holds.is_none(), "{what}"),
                "hand_over" => assert!(held.is_some() && holds.is_some() != state.is_clearing(), "{what}"),
                "end_clear_for" => assert!(held.is_none() && holds.is_some(), "{what}"),
                "end_clear" => assert!(held.is_none() && holds.is_none(), "{what}"),
                "retire" => assert!(held.is_none() && !state.is_clearing() && next.is_retired(), "{what}"),
                _ => assert_eq!(held.map(|held| held.id), holds.map(|holds| holds.id), "{what}"),
            }
            if !["begin_clear", "end_clear", "end_clear_for", "give_up_clear"].contains(&name) {
                assert_eq!(state.is_clearing(), next.is_clearing(), "{what}");
            }
            if !["list", "unlist", "retire"].contains(&name) {
                assert_eq!(state.is_listed(), next.is_listed(), "{what}");
            }
            if !["enqueue", "empty_queue", "hand_over", "end_clear", "end_clear_for"].contains(&name) {
                assert_eq!(state.is_queued(), next.is_queued(), "{what}");
            }
            if let (Some(before), Some(after), false) = (held, holds, is_handed) {
                assert!(after.is_cancelled >= before.is_cancelled, "a request stays: {what}");
                assert!(after.is_running >= before.is_running, "{what}");
            }
        }
    }
}

/// A place for which someone waits is held, or being cleared, so no newcomer can claim it.
#[test]
fn no_sequence_of_transitions_leaves_waiters_at_a_vacant_place() {
    let mut seen = HashSet::new();
    let mut next = vec![State::vacant(ClaimId::from_u64(5))];
    while let Some(state) = next.pop() {
        if state.generation().as_u64() > 8 || !seen.insert(state.word()) {
            continue;
        }
        let is_taken = state.occupant().is_some() || state.is_clearing();
        assert!(is_taken || !state.is_queued(), "{state:?}");
        assert!(!state.is_ending() || state.is_clearing() && state.occupant().is_none(), "{state:?}");
        for (name, next) in successors(state) {
            let ends = name.starts_with("end_clear");
            assert!(state.is_ending() || !ends, "only the one that has taken a clear ends it: {state:?}");
            assert_eq!(
                next.is_ending(),
                name == "take_clear" || state.is_ending() && !ends,
                "{name}: {state:?}"
            );
            assert!(!state.is_ending() || name != "take_clear", "taken once: {state:?}");
        }
        assert!(!state.is_queued() || state.claim().is_err() && state.retire().is_err(), "{state:?}");
        next.extend(successors(state).into_iter().map(|(_, state)| state));
    }
    assert!(seen.len() > 100, "visited {} states", seen.len());
}

/// The changes for which someone may wait remove the mark, the others keep it.
#[test]
fn only_changes_that_end_a_wait_remove_the_mark() {
    for state in all_states(3).filter(|state| state.is_awaited()) {
        for (name, next) in successors(state) {
            let is_asked = |state: State| state.occupant().is_some_and(|holder| holder.is_cancelled);
            let is_cleared_vacant = name == "begin_clear" && state.occupant().is_none();
            let is_just_queued = name == "enqueue" && is_asked(state) == is_asked(next);
            let marks = ["await_change", "claim", "start", "list", "unlist", "empty_queue", "take_clear"];
            let stays = marks.contains(&name) || is_cleared_vacant || is_just_queued;
            assert_eq!(next.is_awaited(), stays, "{name}: {state:?}");
        }
    }
}

/// A claim that is over never becomes that of the place again.
#[test]
fn no_sequence_of_transitions_revives_a_claim() {
    let old = State::vacant(ClaimId::from_u64(5)).claim().unwrap();
    let id = old.generation();
    let mut seen = HashSet::new();
    let displaced = old.begin_clear(true).ok().and_then(State::displace).unwrap();
    let handed = rests().map(|rest| old.hand_over(id, rest).unwrap());
    let mut next: Vec<_> = handed.chain([old.release(id).unwrap(), displaced]).collect();
    while let Some(state) = next.pop() {
        if state.generation().as_u64() > id.as_u64() + 4 || !seen.insert(state.word()) {
            continue;
        }
        assert!(!state.is_held_by(id) && state.is_cancelled(id), "{state:?}");
        assert_eq!((state.start(id), state.release(id)), (None, Err(ReleaseRefused::Stale)), "{state:?}");
        assert_eq!(state.cancel(Some(id)), Err(CancelRefused::Vacant), "{state:?}");
        next.extend(successors(state).into_iter().map(|(_, state)| state));
    }
    assert!(seen.len() > 40, "visited {} states", seen.len());
}

#[test]
fn a_word_tells_who_holds_it() {
    let word = ClaimWord::new(ClaimId::FIRST);
    let (id, ()) = word.claim(|| ()).unwrap();
    assert_eq!(word.claim(|| ()), Err(ClaimRefused::Busy(id)));
    let occupant = |is_running, is_cancelled| Some(Occupant { id, is_running, is_cancelled });
    assert_eq!(word.state().occupant(), occupant(false, false));
    assert!(word.start(id));
    assert_eq!(word.state().occupant(), occupant(true, false));
    assert_eq!(word.cancel(None).map(|(id, _)| id), Ok(id));
    assert_eq!(word.cancel(None), Err(CancelRefused::Already(id)));
    assert_eq!(word.state().occupant(), occupant(true, true));
    assert!(word.release(id).is_ok());
    assert!(word.release(id).is_err());
    assert_eq!(word.state().occupant(), None);
}

#[test]
fn a_request_to_stop_that_comes_before_the_start_is_not_lost() {
    let word = ClaimWord::new(ClaimId::FIRST);
    let (id, ()) = word.claim(|| ()).unwrap();
    assert!(word.cancel(Some(id)).is_ok());
    assert!(!word.start(id));
    assert!(word.state().is_cancelled(id));
}

#[test]
fn generations_wrap_around() {
    let last = ClaimId::from_u64(u64::MAX);
    let word = ClaimWord::new(last);
    let (id, ()) = word.claim(|| ()).unwrap();
    assert_eq!(id.as_u64(), 0);
    assert!(word.release(last).is_err());
    assert!(word.release(id).is_ok());
}

#[test]
fn a_state_that_has_changed_since_is_not_retired() {
    let word = ClaimWord::new(ClaimId::FIRST);
    let seen = word.state();
    let (id, ()) = word.claim(|| ()).unwrap();
    assert!(word.release(id).is_ok());
    assert_eq!(word.retire(Some(seen)), Err(ClaimRefused::Busy(id)));
    assert!(word.retire(Some(word.state())).is_ok());
    assert_eq!(word.retire(None), Err(ClaimRefused::Retired));
    assert_eq!(word.claim(|| ()), Err(ClaimRefused::Retired));
    assert_eq!(word.begin_clear(Displacement::Displace, || ()), Err(ClearRefused::Retired));
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_task_is_woken_once_and_leaves_nothing_behind() {
    let (word, waiters) = (ClaimWord::new(ClaimId::FIRST), Waiters::new());
    let wakes = StdArc::new(Wakes(AtomicUsize::new(0)));
    let waker = Waker::from(wakes.clone());
    let waker = Context::from_waker(&waker);
    let (id, ()) = word.claim(|| ()).unwrap();
    let look = |state: State| state.occupant().is_none().then_some(());
    let (mut one, mut two) = (None::<Spot>, None::<Spot>);
    assert!(waiters.poll(&word, &mut one, waker.waker(), look).is_pending());
    assert!(waiters.poll(&word, &mut one, waker.waker(), look).is_pending());
    assert!(waiters.poll(&word, &mut two, waker.waker(), look).is_pending());
    assert_eq!(waiters.tasks(), 2);
    waiters.leave(&mut two);
    assert_eq!(waiters.tasks(), 1);
    waiters.notify(word.release(id).unwrap());
    assert_eq!((wakes.0.load(Ordering::SeqCst), waiters.tasks()), (1, 0));
    assert_eq!(waiters.poll(&word, &mut one, waker.waker(), look), Poll::Ready(()));
    assert_eq!((one, waiters.tasks()), (None, 0));
}

#[test]
fn a_wait_that_times_out_returns_none() {
    let (word, waiters) = (ClaimWord::new(ClaimId::FIRST), Waiters::new());
    let (id, ()) = word.claim(|| ()).unwrap();
    let look = |state: State| state.occupant().is_none().then_some(());
    assert_eq!(waiters.wait(&word, deadline_after(Duration::ZERO), look), None);
    assert_eq!(waiters.wait(&word, deadline_after(Duration::from_millis(2)), look), None);
    waiters.notify(word.release(id).unwrap());
    assert_eq!(waiters.wait(&word, None, look), Some(()));
}

/// The clear comes after the look at the word and before the exchange, which therefore fails.
#[test]
fn a_clear_between_the_look_and_the_claim_is_noticed() {
    let word = ClaimWord::new(ClaimId::FIRST);
    let epoch = Cell::new(0);
    let (_, read) = word
        .claim(|| {
            let read = epoch.get();
            if read == 0 {
                assert!(word.begin_clear(Displacement::Refuse, || ()).is_ok());
                epoch.set(1);
                assert!(word.take_clear(None) && word.end_clear().is_some());
            }
            read
        })
        .unwrap();
    assert_eq!(read, 1, "the epoch of the claim, not that of the look");
}

/// The release comes after the task has looked for the last time, and before its waker is in the list.
#[test]
fn a_change_after_the_last_look_is_awaited() {
    let (word, waiters) = (ClaimWord::new(ClaimId::FIRST), Waiters::new());
    let wakes = StdArc::new(Wakes(AtomicUsize::new(0)));
    let waker = Waker::from(wakes.clone());
    let (id, ()) = word.claim(|| ()).unwrap();
    let (looks, change) = (Cell::new(0), Cell::new(None));
    let look = |state: State| {
        looks.set(looks.get() + 1);
        if looks.get() == 2 {
            change.set(word.release(id).ok());
        }
        state.occupant().is_none().then_some(())
    };
    let mut place = None;
    assert!(waiters.poll(&word, &mut place, &waker, look).is_pending());
    waiters.notify(change.take().unwrap());
    assert_eq!((looks.get(), wakes.0.load(Ordering::SeqCst)), (2, 1));
}

const TERMS: Terms = Terms { limit: 2, replace: false };

fn waits(place: &Place, terms: Terms, waker: &Waker) -> Ticket {
    match place.begin_wait(terms, waker, || 0) {
        Ok(Begun::Waits(ticket, _)) => ticket,
        Ok(Begun::Claimed(grant)) => panic!("claimed at once: {grant:?}"),
        Err(refused) => panic!("refused: {refused:?}"),
    }
}

#[test]
fn waiters_get_the_place_in_the_order_in_which_they_came_and_one_is_woken_at_a_time() {
    let place = Place::new(ClaimId::FIRST);
    let first = place.claim(|| 0).unwrap();
    let wakes: Vec<_> = (0..3).map(|_| StdArc::new(Wakes(AtomicUsize::new(0)))).collect();
    let wakers: Vec<_> = wakes.iter().map(|wakes| Waker::from(wakes.clone())).collect();
    let woken = || -> Vec<_> { wakes.iter().map(|wakes| wakes.0.load(Ordering::SeqCst)).collect() };
    let terms = Terms { limit: 3, ..TERMS };
    let tickets: Vec<_> = wakers.iter().map(|waker| waits(&place, terms, waker)).collect();
    assert!(matches!(place.begin_wait(terms, &wakers[0], || 0), Err(WaitRefused::Full)));
    assert_eq!(place.queue_len(), 3);
    let mut held = first.id;
    for (index, (ticket, waker)) in tickets.iter().zip(&wakers).enumerate() {
        assert!(place.poll_claim(*ticket, waker).is_pending());
        assert!(place.release(held, || 7).is_some());
        assert!(woken().iter().enumerate().all(|(other, woken)| *woken == usize::from(other <= index)));
        assert_eq!(place.claim(|| 0), Err(ClaimRefused::Busy(place.state().generation())), "no barging");
        let Poll::Ready(Ok(grant)) = place.poll_claim(*ticket, waker) else { panic!("not its turn") };
        assert_eq!((grant.id.as_u64(), grant.read), (held.as_u64() + 1, 7));
        held = grant.id;
    }
    assert!(place.release(held, || 0).is_some() && place.claim(|| 0).is_ok());
}

#[test]
fn a_waiter_that_leaves_is_skipped() {
    let place = Place::new(ClaimId::FIRST);
    let first = place.claim(|| 0).unwrap();
    let waker = Waker::noop();
    let (one, two) = (waits(&place, TERMS, waker), waits(&place, TERMS, waker));
    assert_eq!(place.leave_queue(one), None);
    assert!(place.release(first.id, || 0).is_some());
    let grant = place.leave_queue(two).unwrap();
    assert!(place.state().is_held_by(grant.id), "handed over, and not noticed");
    assert!(place.release(grant.id, || 0).is_some() && place.claim(|| 0).is_ok());
}

#[test]
fn the_mark_of_the_queue_goes_with_the_last_waiter() {
    let place = Place::new(ClaimId::FIRST);
    let _held = place.claim(|| 0).unwrap();
    let waker = Waker::noop();
    let (one, two) = (waits(&place, TERMS, waker), waits(&place, TERMS, waker));
    assert_eq!(place.leave_queue(one), None);
    assert!(place.state().is_queued());
    assert_eq!(place.leave_queue(two), None);
    assert!(!place.state().is_queued());
}

/// A waiter that replaces asks the holder to stop, and each one that gets the place before it.
#[test]
fn a_replacement_reaches_every_holder_in_front_of_it() {
    let place = Place::new(ClaimId::FIRST);
    let first = place.claim(|| 0).unwrap();
    let waker = Waker::noop();
    let one = waits(&place, TERMS, waker);
    assert!(!place.state().is_cancelled(first.id));
    let two = waits(&place, Terms { replace: true, ..TERMS }, waker);
    assert!(place.state().is_cancelled(first.id));
    assert!(place.release(first.id, || 0).is_some());
    let Poll::Ready(Ok(second)) = place.poll_claim(one, waker) else { panic!("first in the queue") };
    assert!(place.state().is_cancelled(second.id) && !place.start(second.id));
    assert!(place.release(second.id, || 0).is_some());
    let Poll::Ready(Ok(third)) = place.poll_claim(two, waker) else { panic!("first in the queue") };
    assert!(!place.state().is_cancelled(third.id) && place.start(third.id));
}

/// Of those who wait, a clear drops those who came before it began; the others come after it.
#[test]
fn a_clear_drops_those_in_front_of_its_boundary_only() {
    let place = Place::new(ClaimId::FIRST);
    let first = place.claim(|| 0).unwrap();
    let wakes = StdArc::new(Wakes(AtomicUsize::new(0)));
    let waker = Waker::from(wakes.clone());
    let before = waits(&place, TERMS, &waker);
    assert_eq!(
        place.begin_clear(Displacement::Cancel, || ()).map(|holder| holder.map(|holder| holder.id)),
        Ok(Some(first.id))
    );
    let after = waits(&place, TERMS, &waker);
    assert!(!place.take_clear(None) && place.end_clear(true, || 9).is_none(), "the holder is still there");
    assert!(place.release(first.id, || 0).is_some());
    assert!(place.state().occupant().is_none() && place.poll_claim(before, &waker).is_pending());
    assert!(place.end_clear(true, || 9).is_none(), "not taken");
    assert!(place.take_clear(Some(first.id)) && !place.take_clear(None));
    assert_eq!(place.end_clear(true, || 9).map(|ended| ended.dropped), Some(1));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
    assert_eq!(place.poll_claim(before, &waker), Poll::Ready(Err(WaitRefused::Cleared)));
    let Poll::Ready(Ok(grant)) = place.poll_claim(after, &waker) else { panic!("came after the clear") };
    assert_eq!(grant.read, 9, "read after the clear");
    assert!(place.release(grant.id, || 0).is_some() && !place.state().is_queued());
}

#[test]
fn a_clear_that_is_joined_drops_those_who_came_before_the_later_one() {
    let place = Place::new(ClaimId::FIRST);
    let first = place.claim(|| 0).unwrap();
    let waker = Waker::noop();
    assert!(place.begin_clear(Displacement::Cancel, || ()).is_ok());
    let between = waits(&place, TERMS, waker);
    assert_eq!(place.begin_clear(Displacement::Displace, || ()), Err(ClearRefused::Clearing));
    assert_eq!(place.displace().map(|holder| holder.id), Some(first.id));
    assert!(!place.take_clear(Some(first.id)) && place.take_clear(Some(first.id.next())));
    assert_eq!(place.end_clear(true, || 0).map(|ended| ended.dropped), Some(1));
    assert_eq!(place.poll_claim(between, waker), Poll::Ready(Err(WaitRefused::Cleared)));
}

/// A clear without effect drops no one, whether or not the holder stays.
#[test]
fn a_clear_without_effect_drops_no_one() {
    for leaves in [true, false] {
        let place = Place::new(ClaimId::FIRST);
        let first = place.claim(|| 0).unwrap();
        let waker = Waker::noop();
        let ticket = waits(&place, TERMS, waker);
        assert!(place.begin_clear(Displacement::Cancel, || ()).is_ok());
        if leaves {
            assert!(place.release(first.id, || 0).is_some() && !place.give_up_clear(first.id));
            assert!(place.take_clear(Some(first.id)));
            assert_eq!(place.end_clear(false, || 0).map(|ended| ended.dropped), Some(0));
        } else {
            assert!(place.give_up_clear(first.id) && place.poll_claim(ticket, waker).is_pending());
            assert!(place.release(first.id, || 0).is_some());
        }
        assert!(matches!(place.poll_claim(ticket, waker), Poll::Ready(Ok(_))));
    }
}

/// A holder is displaced for a clear only: after its end, the place may have a holder of the next epoch.
#[test]
fn no_one_is_displaced_without_a_clear() {
    let place = Place::new(ClaimId::FIRST);
    let first = place.claim(|| 0).unwrap();
    assert_eq!(place.displace(), None);
    assert!(place.state().is_held_by(first.id));
}

/// A clear that may wait for the holder does not move the boundary of the one that it joins: it may fail.
#[test]
fn a_clear_that_joins_and_may_fail_drops_no_one() {
    let place = Place::new(ClaimId::FIRST);
    let first = place.claim(|| 0).unwrap();
    let waker = Waker::noop();
    let before = waits(&place, TERMS, waker);
    assert!(place.begin_clear(Displacement::Cancel, || ()).is_ok());
    let between = waits(&place, TERMS, waker);
    assert_eq!(place.begin_clear(Displacement::Cancel, || ()), Err(ClearRefused::Clearing));
    assert!(place.release(first.id, || 0).is_some() && place.take_clear(None));
    assert_eq!(place.end_clear(true, || 0).map(|ended| ended.dropped), Some(1));
    assert_eq!(place.poll_claim(before, waker), Poll::Ready(Err(WaitRefused::Cleared)));
    assert!(matches!(place.poll_claim(between, waker), Poll::Ready(Ok(_))));
}

/// A clear that was ended by another one is not given up later, when another one is in progress.
#[test]
fn a_clear_is_given_up_for_its_own_holder_only() {
    let place = Place::new(ClaimId::FIRST);
    let first = place.claim(|| 0).unwrap();
    assert!(place.begin_clear(Displacement::Cancel, || ()).is_ok() && place.displace().is_some());
    assert!(place.take_clear(None) && place.end_clear(true, || 0).is_some());
    let second = place.claim(|| 0).unwrap();
    assert!(place.begin_clear(Displacement::Cancel, || ()).is_ok());
    assert!(!place.give_up_clear(first.id) && place.state().is_clearing());
    assert!(place.give_up_clear(second.id) && !place.state().is_clearing());
}

/// Wakers are user code: the one who retires a place wakes when it holds nothing.
#[test]
fn those_who_wait_for_the_end_of_a_place_are_woken_by_its_notice() {
    let place = Place::new(ClaimId::FIRST);
    let wakes = StdArc::new(Wakes(AtomicUsize::new(0)));
    let mut spot = None;
    let look = |state: State| state.is_retired().then_some(());
    assert!(place.poll(&mut spot, &Waker::from(wakes.clone()), look).is_pending());
    let change = place.retire(None).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "not under the lock of the caller");
    place.notify(change);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_place_is_listed_once_and_stays_listed_until_it_is_removed() {
    let place = Place::new(ClaimId::FIRST);
    assert!(place.list() && !place.list());
    let held = place.claim(|| 0).unwrap();
    assert!(place.release(held.id, || 0).is_some() && place.state().is_listed());
    place.unlist();
    assert!(place.list());
    place.unlist();
    assert!(place.retire(None).is_ok() && !place.list());
}
