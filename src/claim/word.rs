//! The word of a place, and its transitions as atomic steps.

use super::state::{
    CancelRefused, ClaimId, ClaimRefused, ClearRefused, EnqueueRefused, Occupant, ReleaseRefused, Rest, State,
};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The state of one place. All operations are lock-free: one exchange, repeated only if another thread has
/// changed the word in between.
#[derive(Debug)]
pub(crate) struct ClaimWord(AtomicU64);

/// A change of a word. If it is awaited, the threads and tasks that wait are to be woken, with no lock held:
/// the mark is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "if the change is awaited, someone has to be woken"]
pub(crate) struct Change {
    pub(crate) is_awaited: bool,
    /// Whether the holder had been asked to stop before.
    pub(crate) was_cancelled: bool,
    /// Whether the owner has the place in a list.
    pub(crate) is_listed: bool,
}

/// The part of a holder in a clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Displacement {
    /// A clear does not begin while there is a holder.
    Refuse,
    /// The holder is asked to stop.
    Cancel,
    /// The holder loses the place.
    Displace,
}

impl ClaimWord {
    /// Creates a vacant place, whose claims have numbers above `generation`.
    pub(crate) fn new(generation: ClaimId) -> Self {
        Self(AtomicU64::new(State::vacant(generation).word()))
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        // Acquire: pairs with the release in `change`: a thread that sees a state sees everything that was done before it.
        State::from_word(self.0.load(Ordering::Acquire))
    }

    /// Claims the place. `prepare` runs between the look at the word and the claim, maybe more than once; what
    /// it reads is not older than the last clear before the claim.
    #[inline]
    pub(crate) fn claim<T>(&self, prepare: impl Fn() -> T) -> Result<(ClaimId, T), ClaimRefused> {
        let mut prepared = None;
        let (_, next) = self.change(|state| {
            let next = state.claim()?;
            prepared = Some(prepare());
            Ok(next)
        })?;
        match prepared {
            Some(prepared) => Ok((next.generation(), prepared)),
            None => unreachable!("a claim that succeeds was prepared"),
        }
    }

    /// Marks the start of the holder's work. Returns whether it may work: it is still the holder, and was not
    /// asked to stop.
    #[inline]
    pub(crate) fn start(&self, id: ClaimId) -> bool {
        self.change(|state| state.start(id).ok_or(())).is_ok_and(|(_, next)| !next.is_cancelled(id))
    }

    /// Asks the holder to stop; only the holder of `id` if one is given. Of several calls for one claim, one
    /// succeeds.
    pub(crate) fn cancel(&self, id: Option<ClaimId>) -> Result<(ClaimId, Change), CancelRefused> {
        let (old, next) = self.change(|state| state.cancel(id))?;
        Ok((next.generation(), Change::of(old)))
    }

    /// Ends the claim `id`, if no one waits for the place.
    #[inline]
    pub(super) fn release(&self, id: ClaimId) -> Result<Change, ReleaseRefused> {
        let (old, _) = self.change(|state| state.release(id))?;
        Ok(Change::of(old))
    }

    /// Ends the claim `id`, and makes the first of those who wait the holder, or lets the clear in progress go
    /// on. Returns the new claim, with what `prepare` returned for it, as [`claim`](Self::claim) does. Called
    /// under the lock of the queue.
    pub(super) fn hand_over<T>(
        &self,
        id: ClaimId,
        rest: Rest,
        prepare: impl Fn() -> T,
    ) -> Result<(Option<(ClaimId, T)>, Change), ReleaseRefused> {
        let mut prepared = None;
        let (old, next) = self.change(|state| {
            let next = state.hand_over(id, rest)?;
            prepared = Some(prepare());
            Ok(next)
        })?;
        let holder = next.occupant().map(|holder| holder.id);
        Ok((holder.zip(prepared), Change::of(old)))
    }

    /// Marks that someone waits for the place, and with `replace` asks its holder to stop; returns that holder
    /// if it had not been asked before. Called under the lock of the queue.
    pub(super) fn enqueue(&self, replace: bool) -> Result<(Option<ClaimId>, Change), EnqueueRefused> {
        let (old, next) = self.change(|state| state.enqueue(replace))?;
        let was_cancelled = old.occupant().is_none_or(|holder| holder.is_cancelled);
        let asked = next.occupant().filter(|holder| holder.is_cancelled && !was_cancelled);
        let change = if asked.is_some() { Change::of(old) } else { Change::UNNOTICED };
        Ok((asked.map(|holder| holder.id), change))
    }

    /// Marks that no one waits for the place. Called under the lock of the queue.
    pub(super) fn empty_queue(&self) {
        self.change_always(State::empty_queue);
    }

    /// Takes the place from its holder, which is returned, for the clear in progress.
    pub(super) fn displace(&self) -> Option<(Occupant, Change)> {
        let (old, _) = self.change(|state| state.displace().ok_or(())).ok()?;
        Some((old.occupant()?, Change::of(old)))
    }

    /// Begins a clear: from now on no one can claim. Returns the holder that was asked to stop or displaced, as it was
    /// before. `prepare` runs between the look at the word and the change, as that of [`claim`](Self::claim).
    pub(super) fn begin_clear(
        &self,
        holder: Displacement,
        mut prepare: impl FnMut(),
    ) -> Result<(Option<Occupant>, Change), ClearRefused> {
        let (old, _) = self.change(|state| {
            let clearing = state.begin_clear(holder != Displacement::Refuse)?;
            prepare();
            let displaced = if holder == Displacement::Displace { clearing.displace() } else { None };
            Ok(displaced.unwrap_or(clearing))
        })?;
        let occupant = old.occupant();
        // Nothing that anyone waits for has happened to a vacant place, and the mark is still there.
        let change = if occupant.is_some() { Change::of(old) } else { Change::UNNOTICED };
        Ok((occupant, change))
    }

    /// Takes the clear in progress, for which there is no holder: the caller ends it, and no one else does. Returns
    /// false if another one does, or there is a holder or no clear; if a generation is given, also if it is not that of
    /// the place.
    pub(super) fn take_clear(&self, generation: Option<ClaimId>) -> bool {
        self.change(|state| state.take_clear(generation).ok_or(())).is_ok()
    }

    /// Ends the clear that the caller has taken, if no one waits for the place.
    pub(super) fn end_clear(&self) -> Option<Change> {
        let (old, _) = self.change(|state| state.end_clear().ok_or(())).ok()?;
        Some(Change::of(old))
    }

    /// Ends the clear that the caller has taken, and makes the first of those who wait the holder. As
    /// [`hand_over`](Self::hand_over).
    pub(super) fn end_clear_for<T>(
        &self,
        rest: Option<Rest>,
        prepare: impl Fn() -> T,
    ) -> Option<(Option<(ClaimId, T)>, Change)> {
        let mut prepared = None;
        let (old, next) = self
            .change(|state| {
                let next = state.end_clear_for(rest).ok_or(())?;
                prepared = Some(prepare());
                Ok::<_, ()>(next)
            })
            .ok()?;
        let holder = next.occupant().map(|holder| holder.id);
        Some((holder.zip(prepared), Change::of(old)))
    }

    /// Ends the clear that waits for this holder, without effect. `None` if the holder has left: then the clear can take
    /// effect, or has ended.
    pub(super) fn give_up_clear(&self, holder: ClaimId) -> Option<Change> {
        let (old, _) = self.change(|state| state.give_up_clear(holder).ok_or(())).ok()?;
        Some(Change::of(old))
    }

    /// Closes the place for good; if a state is given, only if the place was not claimed, cleared or listed since that
    /// was `seen`.
    pub(crate) fn retire(&self, seen: Option<State>) -> Result<Change, ClaimRefused> {
        let (old, _) = self.change(|state| {
            if seen.is_some_and(|seen| seen.generation() != state.generation()) {
                return Err(ClaimRefused::Busy(state.generation()));
            }
            if seen.is_some_and(|seen| state.is_listed() && !seen.is_listed()) {
                // The thread that has listed it takes care of it.
                return Err(ClaimRefused::Busy(state.generation()));
            }
            state.retire()
        })?;
        Ok(Change::of(old))
    }

    /// Notes that the owner of the place has it in a list. Returns false if it already had, or if the place is
    /// retired.
    pub(crate) fn list(&self) -> bool {
        self.change(|state| state.list().ok_or(())).is_ok()
    }

    /// Notes that the owner has removed the place from its list. Returns the state without the mark.
    pub(crate) fn unlist(&self) -> State {
        self.change_always(State::unlist)
    }

    /// Marks the word, so that the next change is [awaited](Change), and returns the state. Called under the
    /// lock of the list of those who wait.
    pub(super) fn await_change(&self) -> State {
        self.change_always(State::await_change)
    }

    fn change_always(&self, transition: impl Fn(State) -> State) -> State {
        match self.change(|state| Ok::<_, std::convert::Infallible>(transition(state))) {
            Ok((_, next)) => next,
        }
    }

    /// Replaces the state by that which `transition` returns. Returns the old and the new one.
    #[inline]
    pub(super) fn change<E>(
        &self,
        mut transition: impl FnMut(State) -> Result<State, E>,
    ) -> Result<(State, State), E> {
        // Acquire, here and below: pairs with the release below, also where the transition is refused.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let old = State::from_word(word);
            let next = transition(old)?;
            // AcqRel: a claim sees everything that earlier holders and clears did, and a release or a
            // cancellation hands over what its thread did before. Pairs with itself and with `state`.
            match self.0.compare_exchange(word, next.word(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok((old, next)),
                Err(newer) => word = newer,
            }
        }
    }
}

impl Change {
    /// Nothing that anyone waits for.
    const UNNOTICED: Self = Self { is_awaited: false, was_cancelled: false, is_listed: false };

    #[inline]
    fn of(old: State) -> Self {
        let was_cancelled = old.occupant().is_some_and(|holder| holder.is_cancelled);
        Self { is_awaited: old.is_awaited(), was_cancelled, is_listed: old.is_listed() }
    }
}
