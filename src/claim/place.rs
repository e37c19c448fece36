//! A place with those who wait for it: the word, the queue of claims, and those who wait for any change.

use std::task::{Poll, Waker};
use std::time::Instant;

use super::queue::{Grant, Joined, Queue, Terms, Ticket, WaitRefused, Wakes};
use super::state::{CancelRefused, ClaimId, ClaimRefused, ClearRefused, ReleaseRefused, State};
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
}

/// The end of a clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClearEnded {
    /// Number of those who were dropped from the queue.
    pub(crate) dropped: usize,
}

impl Released {
    #[inline]
    fn of(change: Change, was_awaited: bool) -> Self {
        Self { was_cancelled: change.was_cancelled, was_awaited, is_listed: change.is_listed }
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
                Some(Released::of(change, false))
            }
            Err(ReleaseRefused::Stale) => None,
            Err(ReleaseRefused::Queued) => self.hand_over(id, prepare),
        }
    }

    #[cold]
    fn hand_over(&self, id: ClaimId, prepare: impl Fn() -> u64) -> Option<Released> {
        let (change, wakes) = self.queue.release(&self.word, id, prepare)?;
        let released = Released::of(change, !wakes.is_empty());
        self.wake(change, wakes);
        Some(released)
    }

    /// Begins a clear: from now on no one can claim. The caller ends it, with [`end_clear`](Self::end_clear) or
    /// [`give_up_clear`](Self::give_up_clear). Returns the holder that was asked to stop or displaced.
    ///
    /// If another clear is in progress, it now also drops those who wait by now.
    pub(crate) fn begin_clear(&self, holder: Displacement) -> Result<Option<ClaimId>, ClearRefused> {
        let (holder, change) = self.queue.begin_clear(&self.word, holder)?;
        self.waiters.notify(change);
        Ok(holder)
    }

    /// Takes the place from its holder, whose number is returned, for the clear in progress.
    pub(crate) fn displace(&self) -> Option<ClaimId> {
        let (id, change) = self.word.displace()?;
        self.waiters.notify(change);
        Some(id)
    }

    /// Ends a clear that the caller began, if the place is vacant. If it took effect, those who waited before it
    /// are dropped. `None` if there is a holder.
    pub(crate) fn end_clear(&self, took_effect: bool, prepare: impl Fn() -> u64) -> Option<ClearEnded> {
        let (dropped, change, wakes) = self.queue.end_clear(&self.word, took_effect, prepare)?;
        self.wake(change, wakes);
        Some(ClearEnded { dropped })
    }

    /// Ends a clear without effect. The caller began it. Returns false if the holder has left: then the clear
    /// can take effect.
    pub(crate) fn give_up_clear(&self) -> bool {
        let Some(change) = self.word.give_up_clear() else { return false };
        self.waiters.notify(change);
        true
    }

    /// Closes the place for good; if a state is given, only if the place was not claimed or cleared since that
    /// was `seen`.
    pub(crate) fn retire(&self, seen: Option<State>) -> Result<(), ClaimRefused> {
        let change = self.word.retire(seen)?;
        self.waiters.notify(change);
        Ok(())
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

    fn wake(&self, change: Change, wakes: Wakes) {
        wakes.wake();
        self.waiters.notify(change);
    }
}
