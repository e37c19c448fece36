//! Models of claims, releases, clears and waits against each other.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::task::{Poll, Waker};
use std::time::Instant;

use super::*;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::model::{Flag, Time, model, spawn, spawn_clock};
use crate::sync::{Arc, deadline_after};

struct Shared {
    place: Place,
    /// Number of holders that are inside.
    inside: AtomicUsize,
    /// Written by holders, relaxed.
    value: AtomicU64,
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        place: Place::new(ClaimId::FIRST),
        inside: AtomicUsize::new(0),
        value: AtomicU64::new(0),
    })
}

impl Shared {
    fn claim(&self) -> Result<ClaimId, ClaimRefused> {
        Ok(self.place.claim(|| 0)?.id)
    }

    fn release(&self, id: ClaimId) -> bool {
        self.place.release(id, || 0).is_some()
    }

    fn wait(&self, deadline: Option<Instant>, replace: bool) -> Result<ClaimId, WaitRefused> {
        let terms = Terms { limit: 2, replace };
        Ok(self.place.wait_to_claim(terms, deadline, || 0, |_| {})?.id)
    }

    /// Clears with this policy, and waits for the holder if there is one. Returns the number of the dropped.
    fn clear(&self, holder: Displacement) -> usize {
        let _occupant = self.place.begin_clear(holder, || ()).unwrap();
        self.place.wait(None, |state| state.occupant().is_none().then_some(()));
        assert!(self.place.take_clear(None));
        self.place.end_clear(true, || 0).unwrap().dropped
    }
}

#[test]
fn one_of_several_claims_succeeds_and_the_next_holder_sees_what_the_last_one_did() {
    model(|| {
        let shared = shared();
        let work = |shared: &Shared| {
            let Ok(id) = shared.claim() else { return 0 };
            // Relaxed: what is checked is the order by the word.
            assert_eq!(shared.inside.fetch_add(1, Ordering::Relaxed), 0, "two holders");
            let value = shared.value.load(Ordering::Relaxed);
            assert_eq!(value + 1, id.as_u64(), "each claim adds one");
            shared.value.store(value + 1, Ordering::Relaxed);
            shared.inside.fetch_sub(1, Ordering::Relaxed);
            assert!(shared.release(id));
            1
        };
        let threads = [(), ()].map(|()| {
            let shared = shared.clone();
            spawn(move || work(&shared))
        });
        let held = work(&shared) + threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>();
        assert!(held >= 1);
        assert_eq!(shared.place.state().generation().as_u64(), held);
    });
}

/// The holder is displaced, and another one takes its place: the late release of the first one changes nothing.
#[test]
fn a_late_release_does_not_end_a_later_claim() {
    model(|| {
        let shared = shared();
        let old = shared.claim().unwrap();
        let thread = {
            let shared = shared.clone();
            spawn(move || shared.release(old))
        };
        let clear = shared.place.begin_clear(Displacement::Displace, || ());
        assert!(clear.is_ok() && shared.place.take_clear(None));
        assert!(shared.place.end_clear(true, || 0).is_some());
        let new = shared.claim().unwrap();
        let was_released = thread.join().unwrap();
        assert_eq!(clear.unwrap().is_some(), !was_released, "displaced, or released");
        assert!(shared.place.state().is_held_by(new));
        assert!(shared.release(new));
    });
}

/// The request is for the claim that it found; it comes before the start or after it.
#[test]
fn a_request_to_stop_reaches_the_holder_and_no_later_one() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let thread = {
            let shared = shared.clone();
            // Relaxed: ordered by the request.
            spawn(move || {
                shared.value.store(1, Ordering::Relaxed);
                shared.place.cancel(None)
            })
        };
        let started = shared.place.start(id);
        if shared.place.state().is_cancelled(id) {
            // Relaxed: ordered by the request.
            assert_eq!(shared.value.load(Ordering::Relaxed), 1);
        } else {
            assert!(started);
        }
        assert!(shared.release(id));
        let next = shared.claim().unwrap();
        let cancelled = thread.join().unwrap();
        assert_eq!(cancelled == Ok(next), shared.place.state().is_cancelled(next));
        assert!(cancelled == Ok(next) || cancelled == Ok(id) || cancelled == Err(CancelRefused::Vacant));
    });
}

/// A value that a claimant reads before its exchange is not older than the last clear before its claim.
#[test]
fn a_claim_reads_what_the_last_clear_wrote() {
    model(|| {
        let shared = shared();
        let thread = {
            let shared = shared.clone();
            spawn(move || {
                if shared.place.begin_clear(Displacement::Displace, || ()).is_ok() {
                    // Relaxed: ordered by the end of the clear.
                    shared.value.store(1, Ordering::Relaxed);
                    assert!(shared.place.take_clear(None));
                    assert!(shared.place.end_clear(true, || 1).is_some());
                }
            })
        };
        // Relaxed: ordered by the claim.
        let read = |shared: &Shared| shared.place.claim(|| shared.value.load(Ordering::Relaxed));
        if let Ok(Grant { id, read: epoch }) = read(&shared) {
            // Not displaced: the clear came before the claim.
            thread.join().unwrap();
            let is_old = !shared.place.state().is_held_by(id);
            assert_eq!(epoch, u64::from(!is_old));
        } else {
            thread.join().unwrap();
            assert_eq!(read(&shared).unwrap().read, 1);
        }
    });
}

#[test]
fn a_release_wakes_a_thread_that_waits_for_the_place() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let thread = {
            let shared = shared.clone();
            spawn(move || assert!(shared.release(id)))
        };
        let mine = shared.wait(None, false).unwrap();
        assert!(shared.place.state().is_held_by(mine));
        thread.join().unwrap();
    });
}

#[test]
fn everyone_who_waits_gets_the_place_in_the_end() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let threads = [(), ()].map(|()| {
            let shared = shared.clone();
            spawn(move || {
                let mine = shared.wait(None, false).unwrap();
                assert!(shared.release(mine));
            })
        });
        assert!(shared.release(id));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!shared.place.state().is_queued() && shared.place.queue_len() == 0);
    });
}

/// One task waits before the holder leaves and before another thread comes: the place is never free for that one.
#[test]
fn no_one_overtakes_those_who_wait() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        let terms = Terms { limit: 1, replace: false };
        let Ok(Begun::Waits(ticket, None)) = shared.place.begin_wait(terms, &waker, || 0) else {
            panic!("the place is held")
        };
        let newcomer = {
            let shared = shared.clone();
            spawn(move || assert!(shared.claim().is_err(), "claimed before the one who waits"))
        };
        assert!(shared.release(id));
        newcomer.join().unwrap();
        flag.wait();
        let Poll::Ready(Ok(grant)) = shared.place.poll_claim(ticket, &waker) else {
            panic!("woken for nothing")
        };
        assert_eq!(grant.id.as_u64(), id.as_u64() + 1);
        assert!(shared.release(grant.id) && shared.claim().is_ok());
    });
}

/// A timeout, a release and another waiter: the place is passed on, or not given to the one who leaves.
#[test]
fn a_waiter_that_leaves_passes_the_place_on() {
    model(|| {
        let time = Time::stopped();
        let clock = spawn_clock(&time);
        let shared = shared();
        let id = shared.claim().unwrap();
        let leaver = {
            let (shared, deadline) = (shared.clone(), deadline_after(time.timeout()));
            spawn(move || match shared.wait(deadline, false) {
                Ok(mine) => assert!(shared.release(mine)),
                Err(refused) => assert_eq!(refused, WaitRefused::Timeout),
            })
        };
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        let terms = Terms { limit: 2, replace: false };
        let Ok(Begun::Waits(ticket, None)) = shared.place.begin_wait(terms, &waker, || 0) else {
            panic!("the place is held")
        };
        assert!(shared.release(id));
        flag.wait();
        let Poll::Ready(Ok(grant)) = shared.place.poll_claim(ticket, &waker) else {
            panic!("woken for nothing")
        };
        leaver.join().unwrap();
        assert!(shared.release(grant.id));
        clock.join().unwrap();
        assert!(!shared.place.state().is_queued());
        assert!(shared.claim().is_ok());
    });
}

/// The task leaves while the place is handed over to it.
#[test]
fn a_task_that_leaves_gives_back_what_it_was_given() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let terms = Terms { limit: 1, replace: false };
        let waker = Waker::from(Flag::new());
        let Ok(Begun::Waits(ticket, None)) = shared.place.begin_wait(terms, &waker, || 0) else {
            panic!("the place is held")
        };
        let thread = {
            let shared = shared.clone();
            spawn(move || assert!(shared.release(id)))
        };
        if let Some(grant) = shared.place.leave_queue(ticket) {
            assert!(shared.release(grant.id));
        }
        thread.join().unwrap();
        assert!(!shared.place.state().is_queued());
        assert!(shared.claim().is_ok());
    });
}

/// Two replace: each asks the holder before it to stop, and both get the place.
#[test]
fn a_waiter_that_replaces_asks_everyone_before_it_to_stop() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let thread = {
            let shared = shared.clone();
            spawn(move || {
                let mine = shared.wait(None, true).unwrap();
                let look = |state: State| state.is_cancelled(mine).then_some(());
                shared.place.wait(None, look);
                assert!(shared.release(mine));
            })
        };
        let look = |state: State| state.is_cancelled(id).then_some(());
        shared.place.wait(None, look);
        assert!(shared.release(id));
        // The thread has the place, or waits for it.
        let mine = shared.wait(None, true).unwrap();
        assert!(!shared.place.state().is_cancelled(mine));
        thread.join().unwrap();
        assert!(shared.release(mine));
    });
}

/// The waiter came before the clear, and is dropped, or after it, and holds the place; or it held it before.
#[test]
fn a_clear_drops_those_who_came_before_it() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let thread = {
            let shared = shared.clone();
            spawn(move || {
                let result = shared.wait(None, false);
                if let Ok(mine) = result {
                    let _is_displaced = shared.release(mine);
                }
                result
            })
        };
        let dropped = shared.clear(Displacement::Displace);
        let result = thread.join().unwrap();
        assert_eq!(result.is_err(), dropped == 1, "{result:?}");
        assert!(result.is_ok_and(|mine| mine > id) || result == Err(WaitRefused::Cleared));
        assert!(!shared.release(id), "displaced");
        assert!(!shared.place.state().is_queued());
        assert!(shared.claim().is_ok());
    });
}

/// The clear is given up, because the holder stays: the waiter gets the place from the holder.
#[test]
fn a_clear_that_is_given_up_drops_no_one() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let thread = {
            let shared = shared.clone();
            spawn(move || {
                let mine = shared.wait(None, false).unwrap();
                assert!(shared.release(mine));
            })
        };
        let holder = shared.place.begin_clear(Displacement::Cancel, || ()).unwrap();
        assert_eq!(holder.map(|holder| holder.id), Some(id));
        assert!(shared.place.give_up_clear(id));
        assert!(shared.release(id));
        thread.join().unwrap();
        assert!(shared.claim().is_ok());
    });
}

#[test]
fn a_request_wakes_the_task_of_the_holder() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let thread = {
            let shared = shared.clone();
            spawn(move || assert_eq!(shared.place.cancel(None), Ok(id)))
        };
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        let mut spot = None;
        let look = |state: State| state.is_cancelled(id).then_some(());
        while shared.place.poll(&mut spot, &waker, look).is_pending() {
            flag.wait();
        }
        thread.join().unwrap();
        assert_eq!(spot, None);
    });
}

/// The clear waits for the holder, which leaves, while another thread claims.
#[test]
fn no_claim_succeeds_between_the_begin_and_the_end_of_a_clear() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let holder = {
            let shared = shared.clone();
            spawn(move || assert!(shared.release(id)))
        };
        let claimant = {
            let shared = shared.clone();
            // Relaxed: what is checked is that the clear excludes the claim.
            spawn(move || match shared.claim() {
                Ok(id) => {
                    assert_eq!(shared.inside.fetch_add(1, Ordering::Relaxed), 0, "claimed during a clear");
                    shared.inside.fetch_sub(1, Ordering::Relaxed);
                    assert!(shared.release(id));
                }
                Err(ClaimRefused::Busy(_) | ClaimRefused::Clearing) => {}
                Err(ClaimRefused::Retired) => unreachable!("not retired"),
            })
        };
        let _holder = shared.place.begin_clear(Displacement::Cancel, || ()).unwrap();
        shared.place.wait(None, |state| state.occupant().is_none().then_some(()));
        assert_eq!(shared.inside.fetch_add(1, Ordering::Relaxed), 0, "cleared while claimed");
        shared.inside.fetch_sub(1, Ordering::Relaxed);
        assert!(shared.place.take_clear(None) && shared.place.end_clear(true, || 0).is_some());
        holder.join().unwrap();
        claimant.join().unwrap();
    });
}

/// Two try to end a clear, while claims and a later clear follow: each clear is ended once.
#[test]
fn a_clear_is_ended_by_one() {
    model(|| {
        let shared = shared();
        assert!(shared.place.begin_clear(Displacement::Refuse, || ()).is_ok());
        let generation = shared.place.state().generation();
        let end = move |shared: &Shared| {
            // Relaxed: what is checked is the order by the word.
            if !shared.place.take_clear(Some(generation)) {
                return 0;
            }
            assert_eq!(shared.inside.fetch_add(1, Ordering::Relaxed), 0, "two that end it");
            shared.inside.fetch_sub(1, Ordering::Relaxed);
            assert!(shared.place.end_clear(true, || 0).is_some());
            1
        };
        let thread = {
            let shared = shared.clone();
            spawn(move || end(&shared))
        };
        let mine = end(&shared);
        let next = shared.claim();
        assert!(mine == 0 || next.is_ok());
        assert_eq!(mine + thread.join().unwrap(), 1);
        if let Ok(id) = next {
            assert!(shared.release(id));
        }
        assert!(shared.claim().is_ok());
    });
}

#[test]
fn a_place_is_claimed_or_retired_but_not_both() {
    model(|| {
        let shared = shared();
        let thread = {
            let shared = shared.clone();
            spawn(move || shared.place.retire(None).is_ok())
        };
        let claimed = shared.claim();
        let is_retired = thread.join().unwrap();
        assert_ne!(claimed.is_ok(), is_retired);
        assert_eq!(shared.place.state().is_retired(), is_retired);
    });
}
