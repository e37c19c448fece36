//! Models of claims, releases, clears and waits against each other.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::task::{Wake, Waker};

use super::*;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::model::{model, spawn};
use crate::sync::{Arc, Condvar, Mutex, StdArc, lock_order};

struct Shared {
    word: ClaimWord,
    waiters: Waiters,
    /// Number of holders that are inside.
    inside: AtomicUsize,
    /// Written by holders, relaxed.
    value: AtomicU64,
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        word: ClaimWord::new(ClaimId::FIRST),
        waiters: Waiters::new(),
        inside: AtomicUsize::new(0),
        value: AtomicU64::new(0),
    })
}

impl Shared {
    fn claim(&self) -> Result<ClaimId, ClaimRefused> {
        Ok(self.word.claim(|| ())?.0)
    }

    fn release(&self, id: ClaimId) -> bool {
        let change = self.word.release(id);
        change.into_iter().for_each(|change| self.waiters.notify(change));
        change.is_some()
    }

    fn wait_for_a_claim(&self) {
        self.waiters.wait(&self.word, None, |state| state.is_worth_a_claim().then_some(()));
    }
}

/// A waker that a thread can wait for.
struct Flag {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    fn new() -> StdArc<Self> {
        StdArc::new(Self { woken: Mutex::new(&lock_order::TEST_AUXILIARY, false), changed: Condvar::new() })
    }

    fn wait(&self) {
        let mut woken = self.woken.lock();
        while !std::mem::take(&mut *woken) {
            woken = self.changed.wait(woken);
        }
    }
}

impl Wake for Flag {
    fn wake(self: StdArc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_one();
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
        assert_eq!(shared.word.state().generation().as_u64(), held);
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
        let clear = shared.word.begin_clear(Displacement::Displace);
        assert!(clear.is_ok() && shared.word.end_clear().is_some());
        let new = shared.claim().unwrap();
        let was_released = thread.join().unwrap();
        assert_eq!(clear.unwrap().0.is_some(), !was_released, "displaced, or released");
        assert!(shared.word.state().is_held_by(new));
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
                shared.word.cancel(None).map(|(id, _)| id)
            })
        };
        let started = shared.word.start(id);
        if shared.word.state().is_cancelled(id) {
            // Relaxed: ordered by the request.
            assert_eq!(shared.value.load(Ordering::Relaxed), 1);
        } else {
            assert!(started);
        }
        assert!(shared.release(id));
        let next = shared.claim().unwrap();
        let cancelled = thread.join().unwrap();
        assert_eq!(cancelled == Ok(next), shared.word.state().is_cancelled(next));
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
                if shared.word.begin_clear(Displacement::Displace).is_ok() {
                    // Relaxed: ordered by the end of the clear.
                    shared.value.store(1, Ordering::Relaxed);
                    assert!(shared.word.end_clear().is_some());
                }
            })
        };
        // Relaxed: ordered by the claim.
        let read = |shared: &Shared| shared.word.claim(|| shared.value.load(Ordering::Relaxed));
        if let Ok((id, epoch)) = read(&shared) {
            // Not displaced: the clear came before the claim.
            thread.join().unwrap();
            let is_old = !shared.word.state().is_held_by(id);
            assert_eq!(epoch, u64::from(!is_old));
        } else {
            thread.join().unwrap();
            assert_eq!(read(&shared).unwrap().1, 1);
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
        shared.wait_for_a_claim();
        assert!(shared.claim().is_ok());
        thread.join().unwrap();
    });
}

/// Two wait; the one that loses is woken again by the release of the other.
#[test]
fn everyone_who_waits_gets_the_place_in_the_end() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let threads = [(), ()].map(|()| {
            let shared = shared.clone();
            spawn(move || {
                loop {
                    match shared.claim() {
                        Ok(id) => return assert!(shared.release(id)),
                        Err(_) => shared.wait_for_a_claim(),
                    }
                }
            })
        });
        assert!(shared.release(id));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_request_wakes_the_task_of_the_holder() {
    model(|| {
        let shared = shared();
        let id = shared.claim().unwrap();
        let thread = {
            let shared = shared.clone();
            spawn(move || {
                let (_, change) = shared.word.cancel(None).unwrap();
                shared.waiters.notify(change);
            })
        };
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        let mut place = None;
        let look = |state: State| state.is_cancelled(id).then_some(());
        while shared.waiters.poll(&shared.word, &mut place, &waker, look).is_pending() {
            flag.wait();
        }
        thread.join().unwrap();
        assert_eq!(place, None);
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
        let (_, change) = shared.word.begin_clear(Displacement::Cancel).unwrap();
        shared.waiters.notify(change);
        shared.waiters.wait(&shared.word, None, |state| state.occupant().is_none().then_some(()));
        assert_eq!(shared.inside.fetch_add(1, Ordering::Relaxed), 0, "cleared while claimed");
        shared.inside.fetch_sub(1, Ordering::Relaxed);
        let change = shared.word.end_clear().unwrap();
        shared.waiters.notify(change);
        holder.join().unwrap();
        claimant.join().unwrap();
    });
}

#[test]
fn a_place_is_claimed_or_retired_but_not_both() {
    model(|| {
        let shared = shared();
        let thread = {
            let shared = shared.clone();
            spawn(move || shared.word.retire(None).is_ok())
        };
        let claimed = shared.claim();
        let is_retired = thread.join().unwrap();
        assert_ne!(claimed.is_ok(), is_retired);
        assert_eq!(shared.word.state().is_retired(), is_retired);
    });
}
