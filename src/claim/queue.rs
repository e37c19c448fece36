//! The threads and tasks that wait to claim a place, in the order in which they came.
//!
//! The mark *queued* is part of the word, and is set as long as someone waits: it changes only under the lock
//! of the queue. A holder that finds it at the end of its claim takes the lock and *hands the place over* to
//! the first of those who wait, in one exchange of the word. The place is never vacant in between, so no one
//! who comes later gets it, and one release wakes one waiter.
//!
//! A place that was handed over is held, whether or not the waiter has noticed: one that leaves in this moment
//! has to release it, which passes it on.
//!
//! A clear that takes effect drops those who came before it. It sets a boundary when it begins, and drops when
//! it ends: if it is given up, everyone still waits. A clear that joins it moves the boundary only if it cannot fail.

use std::collections::BTreeMap;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::state::{ClaimId, ClaimRefused, ClearRefused, EnqueueRefused, Occupant, ReleaseRefused, Rest};
use super::word::{Change, ClaimWord, Displacement};
use crate::sync::{Condvar, Mutex, MutexGuard, StdArc, lock_order};
use crate::unwind;

/// The position of one waiter. Never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// A claim, and the number that was read for it when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) id: ClaimId,
    pub(crate) read: u64,
}

/// The reason why a wait ends without a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitRefused {
    /// The deadline passed.
    Timeout,
    /// A clear has dropped those who waited.
    Cleared,
    /// The queue is full.
    Full,
    /// The place is retired.
    Retired,
}

/// The way in which someone waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The length of the queue at which no one else may wait.
    pub(crate) limit: usize,
    /// Whether every holder in front is asked to stop.
    pub(crate) replace: bool,
}

/// The first step of a wait.
pub(super) enum Joined {
    Claimed(Grant),
    /// In the queue. If a holder was asked to stop, its waiters are to be woken.
    Waits(Ticket, Option<ClaimId>, Change),
}

/// Those to be woken, with no lock held.
#[must_use = "someone waits to be woken"]
pub(super) struct Wakes(Vec<Wake>);

/// A place was handed over, or became vacant.
pub(super) struct HandedOver {
    pub(super) change: Change,
    pub(super) wakes: Wakes,
    /// The new holder, if it is asked to stop from the start.
    pub(super) asked: Option<ClaimId>,
}

#[derive(Debug)]
enum Wake {
    Thread(StdArc<Condvar>),
    Task(Waker),
}

#[derive(Debug)]
struct Seat {
    wake: Wake,
    replaces: bool,
}

/// Valid after a panic: no user code runs under the lock.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<Ticket, Seat>,
    /// Claims that were made for waiters, which have not noticed yet.
    granted: BTreeMap<Ticket, Grant>,
    next: u64,
    /// Number of seats that replace.
    replacing: usize,
    /// The clear in progress drops those in front of this ticket.
    boundary: u64,
}

/// The queue of one place. Takes no memory before someone waits.
#[derive(Debug)]
pub(super) struct Queue(Mutex<Option<Box<Line>>>);

type Locked<'a> = MutexGuard<'a, Option<Box<Line>>>;

impl Queue {
    pub(super) fn new() -> Self {
        Self(Mutex::new(&lock_order::CLAIM_QUEUE, None))
    }

    /// Blocks until the place is claimed, or the deadline passes. Parks; a release, or the end of a clear, that
    /// finds this thread first in the queue wakes it, and a clear wakes everyone whom it drops.
    ///
    /// `joined` runs once the thread is in the queue, with no lock held.
    pub(super) fn wait(
        &self,
        word: &ClaimWord,
        terms: Terms,
        deadline: Option<Instant>,
        prepare: impl Fn() -> u64,
        joined: impl FnOnce(Option<ClaimId>, Change),
    ) -> Result<Grant, WaitRefused> {
        let woken = StdArc::new(Condvar::new());
        let ticket = match self.join(word, terms, Wake::Thread(woken.clone()), prepare)? {
            Joined::Claimed(grant) => return Ok(grant),
            Joined::Waits(ticket, cancelled, change) => {
                joined(cancelled, change);
                ticket
            }
        };
        let mut line = self.0.lock();
        loop {
            if let Some(result) = of(&mut line).result(ticket) {
                return result;
            }
            let Some(deadline) = deadline else {
                line = woken.wait(line);
                continue;
            };
            let (again, timed_out) = woken.wait_until(line, deadline);
            line = again;
            if timed_out {
                let result = of(&mut line).result(ticket);
                return result.unwrap_or_else(|| {
                    let _seat = of(&mut line).leave(ticket, word);
                    Err(WaitRefused::Timeout)
                });
            }
        }
    }

    /// Claims the place, or takes a seat at the end of the queue for a task.
    pub(super) fn join_task(
        &self,
        word: &ClaimWord,
        terms: Terms,
        waker: &Waker,
        prepare: impl Fn() -> u64,
    ) -> Result<Joined, WaitRefused> {
        // User code, and therefore before the lock is taken.
        self.join(word, terms, Wake::Task(waker.clone()), prepare)
    }

    fn join(
        &self,
        word: &ClaimWord,
        terms: Terms,
        wake: Wake,
        prepare: impl Fn() -> u64,
    ) -> Result<Joined, WaitRefused> {
        let mut locked = self.0.lock();
        let line = of(&mut locked);
        let refused = loop {
            match word.claim(&prepare) {
                Ok((id, read)) => break Ok(Joined::Claimed(Grant { id, read })),
                Err(ClaimRefused::Retired) => break Err(WaitRefused::Retired),
                Err(ClaimRefused::Busy(_) | ClaimRefused::Clearing) => {}
            }
            if line.waiting.len() >= terms.limit {
                break Err(WaitRefused::Full);
            }
            match word.enqueue(terms.replace) {
                Ok((cancelled, change)) => {
                    let ticket = line.push(Seat { wake, replaces: terms.replace });
                    return Ok(Joined::Waits(ticket, cancelled, change));
                }
                Err(EnqueueRefused::Vacant | EnqueueRefused::Retired) => {}
            }
        };
        drop(locked);
        wake.dismiss();
        refused
    }

    /// Returns the result of a task's wait, or leaves `waker` to be woken.
    pub(super) fn poll(&self, ticket: Ticket, waker: &Waker) -> Poll<Result<Grant, WaitRefused>> {
        // User code, and therefore before the lock is taken.
        let wake = Wake::Task(waker.clone());
        let mut line = self.0.lock();
        let (result, unneeded) = match of(&mut line).result(ticket) {
            Some(result) => (Poll::Ready(result), wake),
            None => (Poll::Pending, of(&mut line).replace(ticket, wake)),
        };
        drop(line);
        unneeded.dismiss();
        result
    }

    /// Gives up the seat. Returns the claim that was made for it in the meantime, which is to be released.
    pub(super) fn leave(&self, word: &ClaimWord, ticket: Ticket) -> Option<Grant> {
        let mut line = self.0.lock();
        let grant = of(&mut line).granted.remove(&ticket);
        let seat = of(&mut line).leave(ticket, word);
        drop(line);
        seat.into_iter().for_each(|seat| seat.wake.dismiss());
        grant
    }

    /// Ends the claim `id`, and hands the place to the first of those who wait. `None` if it is stale.
    pub(super) fn release(
        &self,
        word: &ClaimWord,
        id: ClaimId,
        prepare: impl Fn() -> u64,
    ) -> Option<HandedOver> {
        loop {
            match word.release(id) {
                Ok(change) => return Some(HandedOver { change, wakes: Wakes(Vec::new()), asked: None }),
                Err(ReleaseRefused::Stale) => return None,
                Err(ReleaseRefused::Queued) => {}
            }
            let mut locked = self.0.lock();
            let line = of(&mut locked);
            // If all have left, the mark is gone.
            let Some(rest) = line.behind_first() else { continue };
            let (holder, change) = word.hand_over(id, rest, &prepare).ok()?;
            return Some(HandedOver { change, wakes: line.grant(holder), asked: asked(holder, Some(rest)) });
        }
    }

    /// Begins a clear, and sets the boundary.
    pub(super) fn begin_clear(
        &self,
        word: &ClaimWord,
        holder: Displacement,
        prepare: impl FnMut(),
    ) -> Result<(Option<Occupant>, Change), ClearRefused> {
        let mut locked = self.0.lock();
        let begun = word.begin_clear(holder, prepare);
        let is_certain = match begun {
            Ok(_) => true,
            // A clear that may wait for the holder may fail while the one in progress does not.
            Err(ClearRefused::Clearing) => holder != Displacement::Cancel,
            Err(ClearRefused::Busy(_) | ClearRefused::Retired) => false,
        };
        if let (Some(line), true) = (locked.as_mut(), is_certain) {
            line.boundary = line.next;
        }
        begun
    }

    /// Ends the clear that the caller has taken. If it took effect, those in front of the boundary are dropped, and
    /// their number is returned. `None` if the caller has not taken one.
    pub(super) fn end_clear(
        &self,
        word: &ClaimWord,
        took_effect: bool,
        prepare: impl Fn() -> u64,
    ) -> Option<(usize, HandedOver)> {
        if let Some(change) = word.end_clear() {
            return Some((0, HandedOver { change, wakes: Wakes(Vec::new()), asked: None }));
        }
        let mut locked = self.0.lock();
        let line = of(&mut locked);
        if !word.state().is_ending() {
            return None;
        }
        let dropped = if took_effect { line.drop_before_boundary() } else { Vec::new() };
        let rest = line.behind_first();
        let (holder, change) = word.end_clear_for(rest, &prepare)?;
        let Wakes(mut wakes) = line.grant(holder);
        drop(locked);
        let number = dropped.len();
        wakes.extend(dropped);
        Some((number, HandedOver { change, wakes: Wakes(wakes), asked: asked(holder, rest) }))
    }

    /// Returns the number of those who wait.
    pub(super) fn len(&self) -> usize {
        self.0.lock().as_ref().map_or(0, |line| line.waiting.len())
    }
}

/// Returns the new holder, if those behind it ask it to stop.
fn asked(holder: Option<(ClaimId, u64)>, rest: Option<Rest>) -> Option<ClaimId> {
    holder.filter(|_| rest.is_some_and(|rest| rest.is_replacing)).map(|(id, _)| id)
}

fn of<'a>(locked: &'a mut Locked<'_>) -> &'a mut Line {
    locked.get_or_insert_default()
}

impl Line {
    fn push(&mut self, seat: Seat) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.replacing += usize::from(seat.replaces);
        self.waiting.insert(ticket, seat);
        ticket
    }

    /// Returns the end of a wait, or `None` if it goes on.
    fn result(&mut self, ticket: Ticket) -> Option<Result<Grant, WaitRefused>> {
        match self.granted.remove(&ticket) {
            Some(grant) => Some(Ok(grant)),
            None if self.waiting.contains_key(&ticket) => None,
            None => Some(Err(WaitRefused::Cleared)),
        }
    }

    /// Replaces the waker of a task that waits. Returns the one to be dropped.
    fn replace(&mut self, ticket: Ticket, wake: Wake) -> Wake {
        match self.waiting.get_mut(&ticket) {
            Some(seat) => std::mem::replace(&mut seat.wake, wake),
            None => wake,
        }
    }

    fn leave(&mut self, ticket: Ticket, word: &ClaimWord) -> Option<Seat> {
        let seat = self.take(ticket)?;
        if self.waiting.is_empty() {
            word.empty_queue();
        }
        Some(seat)
    }

    fn take(&mut self, ticket: Ticket) -> Option<Seat> {
        let seat = self.waiting.remove(&ticket)?;
        self.replacing -= usize::from(seat.replaces);
        Some(seat)
    }

    /// Returns the queue behind the first waiter, or `None` if no one waits.
    fn behind_first(&self) -> Option<Rest> {
        let first = self.waiting.values().next()?;
        let replacing = self.replacing - usize::from(first.replaces);
        Some(Rest { is_queued: self.waiting.len() > 1, is_replacing: replacing > 0 })
    }

    /// The first waiter holds the place, if there is a claim for it.
    fn grant(&mut self, holder: Option<(ClaimId, u64)>) -> Wakes {
        let first = holder.and_then(|holder| Some((holder, *self.waiting.keys().next()?)));
        let Some(((id, read), ticket)) = first else { return Wakes(Vec::new()) };
        let seat = self.take(ticket);
        self.granted.insert(ticket, Grant { id, read });
        Wakes(seat.into_iter().map(|seat| seat.wake).collect())
    }

    fn drop_before_boundary(&mut self) -> Vec<Wake> {
        let stay = self.waiting.split_off(&Ticket(self.boundary));
        let dropped = std::mem::replace(&mut self.waiting, stay);
        self.replacing = self.waiting.values().filter(|seat| seat.replaces).count();
        dropped.into_values().map(|seat| seat.wake).collect()
    }
}

impl Wakes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Wakes everyone. Called with no lock held: wakers are user code, whose panics are contained.
    pub(super) fn wake(self) {
        for wake in self.0 {
            match wake {
                Wake::Thread(woken) => woken.notify_one(),
                Wake::Task(waker) => unwind::wake(waker),
            }
        }
    }
}

impl Wake {
    fn dismiss(self) {
        if let Self::Task(waker) = self {
            unwind::drop_waker(waker);
        }
    }
}
