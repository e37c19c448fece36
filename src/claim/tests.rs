#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::cell::Cell;
use std::collections::HashSet;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::state::Occupant;
use super::*;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{StdArc, deadline_after};

/// Every combination of flags and phase, in one generation.
fn all_states(generation: u64) -> impl Iterator<Item = State> {
    (0..1 << 5).map(move |low| State::from_word((generation << 5) | low))
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
    all.extend(state.give_up_clear().map(|next| ("give_up_clear", next)));
    all.extend(state.retire().ok().map(|next| ("retire", next)));
    for id in ids {
        all.extend(state.start(id).map(|next| ("start", next)));
        all.extend(state.cancel(Some(id)).ok().map(|next| ("cancel", next)));
        all.extend(state.release(id).map(|next| ("release", next)));
    }
    all
}

#[test]
fn transitions_keep_what_they_are_not_about() {
    for state in all_states(7) {
        for (name, next) in successors(state) {
            let what = format!("{name}: {state:?} -> {next:?}");
            let step = next.generation().as_u64() - state.generation().as_u64();
            let expected = u64::from(["claim", "displace", "end_clear"].contains(&name));
            assert_eq!(step, expected, "{what}");
            assert!(!state.is_retired() || name == "await_change", "a retired place stays as it is: {what}");
            let (held, holds) = (state.occupant(), next.occupant());
            match name {
                "claim" => assert!(held.is_none() && !state.is_clearing(), "{what}"),
                "release" | "displace" => assert!(held.is_some() && holds.is_none(), "{what}"),
                "retire" => assert!(held.is_none() && !state.is_clearing() && next.is_retired(), "{what}"),
                _ => assert_eq!(held.map(|held| held.id), holds.map(|holds| holds.id), "{what}"),
            }
            if !["begin_clear", "end_clear", "give_up_clear"].contains(&name) {
                assert_eq!(state.is_clearing(), next.is_clearing(), "{what}");
            }
            if let (Some(before), Some(after)) = (held, holds) {
                assert!(after.is_cancelled >= before.is_cancelled, "a request stays: {what}");
                assert!(after.is_running >= before.is_running, "{what}");
            }
        }
    }
}

/// The changes for which someone may wait remove the mark, the others keep it.
#[test]
fn only_changes_that_end_a_wait_remove_the_mark() {
    for state in all_states(3).filter(|state| state.is_awaited()) {
        for (name, next) in successors(state) {
            let is_cleared_vacant = name == "begin_clear" && state.occupant().is_none();
            let stays = ["await_change", "claim", "start"].contains(&name) || is_cleared_vacant;
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
    let mut next = vec![old.release(id).unwrap(), old.displace().unwrap()];
    while let Some(state) = next.pop() {
        if state.generation().as_u64() > id.as_u64() + 4 || !seen.insert(state.word()) {
            continue;
        }
        assert!(!state.is_held_by(id) && state.is_cancelled(id), "{state:?}");
        assert_eq!((state.start(id), state.release(id)), (None, None), "{state:?}");
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
    assert!(word.release(id).is_some());
    assert!(word.release(id).is_none());
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
    assert!(word.release(last).is_none());
    assert!(word.release(id).is_some());
}

#[test]
fn a_state_that_has_changed_since_is_not_retired() {
    let word = ClaimWord::new(ClaimId::FIRST);
    let seen = word.state();
    let (id, ()) = word.claim(|| ()).unwrap();
    assert!(word.release(id).is_some());
    assert_eq!(word.retire(Some(seen)), Err(ClaimRefused::Busy(id)));
    assert!(word.retire(Some(word.state())).is_ok());
    assert_eq!(word.retire(None), Err(ClaimRefused::Retired));
    assert_eq!(word.claim(|| ()), Err(ClaimRefused::Retired));
    assert_eq!(word.begin_clear(Displacement::Displace), Err(ClearRefused::Retired));
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
    let (mut one, mut two) = (None, None);
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
                assert!(word.begin_clear(Displacement::Refuse).is_ok());
                epoch.set(1);
                assert!(word.end_clear().is_some());
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
            change.set(word.release(id));
        }
        state.occupant().is_none().then_some(())
    };
    let mut place = None;
    assert!(waiters.poll(&word, &mut place, &waker, look).is_pending());
    waiters.notify(change.take().unwrap());
    assert_eq!((looks.get(), wakes.0.load(Ordering::SeqCst)), (2, 1));
}
