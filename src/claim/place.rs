//! A place with those who wait for it: the word, the queue of claims, and those who wait for any change.

use std::task::{Poll, Waker};
use std::time::Instant;

use super::queue::{Grant, HandedOver, Joined, Queue, Terms, Ticket, WaitRefused};
use super::state::{CancelRefused, ClaimId, ClaimRefused, ClearRefused, Occupant, ReleaseRefused, State};
use super::waiters::{Spot, Waiters};
use super::word::{Change, ClaimWord, Displacement};
use crate::sync::Spin;

/// A place that one holder at a time may claim. Everyone who is to be woken by an operation has been when it
/// returns.
#[derive(Debug)]
pub(crate) struct Place {
    word: ClaimWord,
    queue: Queue,
    waiters: Waiters,
}

/// The start of a task's wait for a place.
pub(crate) enum Begun {
    Claimed(Grant),
    /// In the queue; with the holder that was asked to stop.
    Waits(Ticket, Option<ClaimId>),
}

/// The end of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    /// Whether the holder had been asked to stop.
    pub(crate) was_cancelled: bool,
    /// Whether the place was handed over to someone who waited.
    pub(crate) was_awaited: bool,
    /// Whether the owner has the place in a list.
    pub(crate) is_listed: bool,
    /// The next holder, if it is asked to stop from the start.
    pub(crate) asked: Option<ClaimId>,
}

/// The end of a clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClearEnded {
    /// Number of those who were dropped from the queue.
    pub(crate) dropped: usize,
    /// The next holder, if it is asked to stop from the start.
    pub(crate) asked: Option<ClaimId>,
}

impl Released {
    #[inline]
    fn of(change: Change, was_awaited: bool, asked: Option<ClaimId>) -> Self {
        Self { was_cancelled: change.was_cancelled, was_awaited, is_listed: change.is_listed, asked }
    }
}

impl Place {
    /// Creates a vacant place, whose claims have numbers above `generation`.
    pub(crate) fn new(generation: ClaimId) -> Self {
        Self { word: ClaimWord::new(generation), queue: Queue::new(), waiters: Waiters::new() }
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        self.word.state()
    }

    /// Claims the place, if it is vacant. As all that follow, `prepare` reads a number between the look at the
    /// word and the claim, maybe more than once; it is not older than the last clear before the claim.
    ///
    /// Lock-free.
    #[inline]
    pub(crate) fn claim(&self, prepare: impl Fn() -> u64) -> Result<Grant, ClaimRefused> {
        self.word.claim(prepare).map(|(id, read)| Grant { id, read })
    }

    /// Claims the place as soon as those who came before have had it. Tries, spins, parks. `cancelled` is called
    /// with the holder that was asked to stop, with no lock held.
    pub(crate) fn wait_to_claim(
        &self,
        terms: Terms,
        deadline: Option<Instant>,
        prepare: impl Fn() -> u64,
        joined: impl FnOnce(Option<ClaimId>),
    ) -> Result<Grant, WaitRefused> {
        let mut spin = Spin::new();
        loop {
            match self.claim(&prepare) {
                Ok(grant) => return Ok(grant),
                Err(ClaimRefused::Retired) => return Err(WaitRefused::Retired),
                Err(ClaimRefused::Busy(_) | ClaimRefused::Clearing) => {}
            }
            if !spin.spin() {
                break;
            }
        }
        self.queue.wait(&self.word, terms, deadline, prepare, |cancelled, change| {
            self.waiters.notify(change);
            joined(cancelled);
        })
    }

    /// As [`wait_to_claim`](Self::wait_to_claim), for a task: takes a seat in the queue, unless the place can be
    /// claimed at once. The seat is to be given up with [`leave_queue`](Self::leave_queue), unless
    /// [`poll_claim`](Self::poll_claim) has returned its result.
    pub(crate) fn begin_wait(
        &self,
        terms: Terms,
        waker: &Waker,
        prepare: impl Fn() -> u64,
    ) -> Result<Begun, WaitRefused> {
        match self.queue.join_task(&self.word, terms, waker, prepare)? {
            Joined::Claimed(grant) => Ok(Begun::Claimed(grant)),
            Joined::Waits(ticket, cancelled, change) => {
                self.waiters.notify(change);
                Ok(Begun::Waits(ticket, cancelled))
            }
        }
    }

    pub(crate) fn poll_claim(&self, ticket: Ticket, waker: &Waker) -> Poll<Result<Grant, WaitRefused>> {
        self.queue.poll(ticket, waker)
    }

    /// Gives up the seat. Returns the claim that was made for it in the meantime, which is to be released.
    pub(crate) fn leave_queue(&self, ticket: Ticket) -> Option<Grant> {
        self.queue.leave(&self.word, ticket)
    }

    /// Returns the number of those who wait to claim the place.
    pub(crate) fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Marks the start of the holder's work. Returns whether it may work: it is still the holder, and was not
    /// asked to stop.
    #[inline]
    pub(crate) fn start(&self, id: ClaimId) -> bool {
        self.word.start(id)
    }

    /// Asks the holder to stop; only the holder of `id` if one is given. Of several calls for one claim, one
    /// succeeds. Lock-free, apart from a short lock if someone waits for a change.
    pub(crate) fn cancel(&self, id: Option<ClaimId>) -> Result<ClaimId, CancelRefused> {
        let (id, change) = self.word.cancel(id)?;
        self.waiters.notify(change);
        Ok(id)
    }

    /// Ends the claim `id`, and hands the place to the first of those who wait. `None` if it did not hold the
    /// place. Lock-free, apart from a short lock if someone waits.
    #[inline]
    pub(crate) fn release(&self, id: ClaimId, prepare: impl Fn() -> u64) -> Option<Released> {
        match self.word.release(id) {
            Ok(change) => {
                self.waiters.notify(change);
                Some(Released::of(change, false, None))
            }
            Err(ReleaseRefused::Stale) => None,
            Err(ReleaseRefused::Queued) => self.hand_over(id, prepare),
        }
    }

    #[cold]
    fn hand_over(&self, id: ClaimId, prepare: impl Fn() -> u64) -> Option<Released> {
        let handed = self.queue.release(&self.word, id, prepare)?;
        let released = Released::of(handed.change, !handed.wakes.is_empty(), handed.asked);
        self.wake(handed);
        Some(released)
    }

    /// Begins a clear: from now on no one can claim. Returns the holder that was asked to stop or displaced, as it was
    /// before.
    ///
    /// Once the place is vacant, anyone may end the clear: who [takes](Self::take_clear) it does. As long as it has a
    /// holder, the caller may [give it up](Self::give_up_clear).
    ///
    /// `prepare` reads between the look at the word and the begin, maybe more than once: what it reads at last does not
    /// change before the end of this clear.
    ///
    /// If another clear is in progress, it now also drops those who wait by now, unless `holder` is to be waited for.
    pub(crate) fn begin_clear(
        &self,
        holder: Displacement,
        prepare: impl FnMut(),
    ) -> Result<Option<Occupant>, ClearRefused> {
        let (holder, change) = self.queue.begin_clear(&self.word, holder, prepare)?;
        self.waiters.notify(change);
        Ok(holder)
    }

    /// Takes the place from its holder, which is returned as it was before, for the clear in progress.
    pub(crate) fn displace(&self) -> Option<Occupant> {
        let (holder, change) = self.word.displace()?;
        self.waiters.notify(change);
        Some(holder)
    }

    /// Takes the clear in progress: the caller ends it soon, with [`end_clear`](Self::end_clear), and no one else does.
    /// Returns false if another one has taken it, or there is a holder or no clear; if a generation is given, also if it
    /// is not that of the place.
    ///
    /// The end of a clear makes a new generation. So in one generation, a vacant place is cleared, and the clear taken,
    /// at most once.
    pub(crate) fn take_clear(&self, generation: Option<ClaimId>) -> bool {
        self.word.take_clear(generation)
    }

    /// Ends the clear that the caller has taken. If it took effect, those who waited before it are dropped. `None` if
    /// the caller has not taken one.
    pub(crate) fn end_clear(&self, took_effect: bool, prepare: impl Fn() -> u64) -> Option<ClearEnded> {
        let (dropped, handed) = self.queue.end_clear(&self.word, took_effect, prepare)?;
        let asked = handed.asked;
        self.wake(handed);
        Some(ClearEnded { dropped, asked })
    }

    /// Ends a clear without effect. The caller began it, and it waits for this holder. Returns false if the holder has
    /// left: then the clear can take effect, or has ended.
    pub(crate) fn give_up_clear(&self, holder: ClaimId) -> bool {
        let Some(change) = self.word.give_up_clear(holder) else { return false };
        self.waiters.notify(change);
        true
    }

    /// Closes the place for good; if a state is given, only if the place was not claimed or cleared since that
    /// was `seen`. The change is to be [noticed](Self::notify), once the caller holds nothing.
    pub(crate) fn retire(&self, seen: Option<State>) -> Result<Change, ClaimRefused> {
        self.word.retire(seen)
    }

    /// Wakes those who wait for the change. Wakers are user code: called with nothing held.
    pub(crate) fn notify(&self, change: Change) {
        self.waiters.notify(change);
    }

    /// Notes that the owner of the place has it in a list. Returns false if it already had, or if the place is
    /// retired.
    pub(crate) fn list(&self) -> bool {
        self.word.list()
    }

    /// Notes that the owner has removed the place from its list.
    pub(crate) fn unlist(&self) {
        self.word.unlist();
    }

    /// Blocks until `look` returns something, or the deadline passes. As
    /// [`Waiters::wait`](super::waiters::Waiters::wait).
    pub(crate) fn wait<T>(&self, deadline: Option<Instant>, look: impl Fn(State) -> Option<T>) -> Option<T> {
        self.waiters.wait(&self.word, deadline, look)
    }

    /// Waits as a task. As [`Waiters::poll`](super::waiters::Waiters::poll).
    pub(crate) fn poll<T>(
        &self,
        spot: &mut Option<Spot>,
        waker: &Waker,
        look: impl Fn(State) -> Option<T>,
    ) -> Poll<T> {
        self.waiters.poll(&self.word, spot, waker, look)
    }

    /// Gives up the spot of a task that waited for a change.
    pub(crate) fn leave(&self, spot: &mut Option<Spot>) {
        self.waiters.leave(spot);
    }

    /// Returns the number of tasks that wait for a change.
    #[cfg(all(test, not(switchboard_model)))]
    pub(crate) fn tasks(&self) -> usize {
        self.waiters.tasks()
    }

    fn wake(&self, HandedOver { change, wakes, .. }: HandedOver) {
        wakes.wake();
        self.waiters.notify(change);
    }
}
