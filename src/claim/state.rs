//! The states of a place, and the transitions between them: pure functions, total on all words.

use std::fmt;

/// The number of one claim of a place. Later claims have larger numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClaimId(u64);

impl ClaimId {
    /// The generation of a new place that replaces none.
    pub(crate) const FIRST: Self = Self(0);

    pub(crate) fn from_u64(number: u64) -> Self {
        Self(number & (u64::MAX >> SHIFT))
    }

    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }

    fn next(self) -> Self {
        Self::from_u64(self.0.wrapping_add(1))
    }
}

/// The holder of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occupant {
    pub(crate) id: ClaimId,
    pub(crate) is_running: bool,
    pub(crate) is_cancelled: bool,
}

/// The reason why a place cannot be claimed, or retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimRefused {
    Busy(ClaimId),
    Clearing,
    Retired,
}

/// The reason why a cancellation changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelRefused {
    /// The place has no holder, or not the one that was meant.
    Vacant,
    Already(ClaimId),
}

/// The reason why a clear does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClearRefused {
    Busy(ClaimId),
    /// Another clear is in progress.
    Clearing,
    Retired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Vacant,
    Reserved,
    Running,
    Retired,
}

/// One word: the generation in the upper bits, then the flags, then the phase.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(u64);

const PHASE: u64 = 0b11;
const CANCELLED: u64 = 1 << 2;
const CLEARING: u64 = 1 << 3;
const AWAITED: u64 = 1 << 4;
const SHIFT: u32 = 5;

impl State {
    pub(crate) fn vacant(generation: ClaimId) -> Self {
        Self(generation.0 << SHIFT)
    }

    pub(super) fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(super) fn word(self) -> u64 {
        self.0
    }

    /// The number of the current claim, or of the last one.
    pub(crate) fn generation(self) -> ClaimId {
        ClaimId(self.0 >> SHIFT)
    }

    pub(crate) fn occupant(self) -> Option<Occupant> {
        let is_running = match self.phase() {
            Phase::Vacant | Phase::Retired => return None,
            Phase::Reserved => false,
            Phase::Running => true,
        };
        Some(Occupant { id: self.generation(), is_running, is_cancelled: self.has(CANCELLED) })
    }

    pub(crate) fn is_clearing(self) -> bool {
        self.has(CLEARING)
    }

    pub(crate) fn is_retired(self) -> bool {
        self.phase() == Phase::Retired
    }

    pub(super) fn is_awaited(self) -> bool {
        self.has(AWAITED)
    }

    /// Whether a claim would succeed now, or has to be made elsewhere because the place is retired.
    pub(crate) fn is_worth_a_claim(self) -> bool {
        match self.phase() {
            Phase::Vacant => !self.is_clearing(),
            Phase::Retired => true,
            Phase::Reserved | Phase::Running => false,
        }
    }

    pub(crate) fn is_held_by(self, id: ClaimId) -> bool {
        self.occupant().is_some_and(|occupant| occupant.id == id)
    }

    /// Whether the holder of `id` is to stop: it was asked to, or does not hold the place any longer.
    pub(crate) fn is_cancelled(self, id: ClaimId) -> bool {
        self.has(CANCELLED) || !self.is_held_by(id)
    }

    /// Keeps the mark: a claim is not a change that anyone waits for.
    pub(super) fn claim(self) -> Result<Self, ClaimRefused> {
        self.check_vacant()?;
        Ok(self.keep(AWAITED).with(self.generation().next(), Phase::Reserved))
    }

    /// The holder begins its work. `None` if it does not hold the place.
    pub(super) fn start(self, id: ClaimId) -> Option<Self> {
        self.is_held_by(id).then(|| self.keep(CANCELLED | CLEARING | AWAITED).with(id, Phase::Running))
    }

    /// Asks the holder to stop; only the holder of `id` if one is given.
    pub(super) fn cancel(self, id: Option<ClaimId>) -> Result<Self, CancelRefused> {
        match self.occupant() {
            Some(occupant) if id.is_none_or(|id| id == occupant.id) => {
                if occupant.is_cancelled {
                    return Err(CancelRefused::Already(occupant.id));
                }
                Ok(Self((self.0 | CANCELLED) & !AWAITED))
            }
            _ => Err(CancelRefused::Vacant),
        }
    }

    /// The holder leaves. `None` if it does not hold the place.
    pub(super) fn release(self, id: ClaimId) -> Option<Self> {
        self.is_held_by(id).then(|| self.keep(CLEARING).with(id, Phase::Vacant))
    }

    /// Takes the place from its holder, if it has one, and hands it to no one. The generation changes, so the
    /// former holder finds out.
    pub(super) fn displace(self) -> Option<Self> {
        self.occupant().map(|occupant| self.keep(CLEARING).with(occupant.id.next(), Phase::Vacant))
    }

    /// Excludes claims, and asks the holder to stop; if `may_cancel` is unset, the place must be vacant.
    pub(super) fn begin_clear(self, may_cancel: bool) -> Result<Self, ClearRefused> {
        match self.occupant() {
            Some(occupant) if !may_cancel => Err(ClearRefused::Busy(occupant.id)),
            _ if self.is_retired() => Err(ClearRefused::Retired),
            _ if self.is_clearing() => Err(ClearRefused::Clearing),
            Some(_) => Ok(Self((self.0 | CLEARING | CANCELLED) & !AWAITED)),
            None => Ok(Self(self.0 | CLEARING)),
        }
    }

    /// Ends a clear that took effect: the place can be claimed again. `None` if there is a holder or no clear.
    pub(super) fn end_clear(self) -> Option<Self> {
        let is_due = self.phase() == Phase::Vacant && self.is_clearing();
        is_due.then(|| Self::vacant(self.generation().next()))
    }

    /// Ends a clear without effect, because the holder stays. `None` if there is no holder or no clear.
    pub(super) fn give_up_clear(self) -> Option<Self> {
        let is_due = self.occupant().is_some() && self.is_clearing();
        is_due.then_some(Self(self.0 & !(CLEARING | AWAITED)))
    }

    /// Closes the place for good.
    pub(super) fn retire(self) -> Result<Self, ClaimRefused> {
        self.check_vacant()?;
        Ok(Self(0).with(self.generation(), Phase::Retired))
    }

    pub(super) fn await_change(self) -> Self {
        Self(self.0 | AWAITED)
    }

    fn check_vacant(self) -> Result<(), ClaimRefused> {
        match self.phase() {
            Phase::Reserved | Phase::Running => Err(ClaimRefused::Busy(self.generation())),
            Phase::Retired => Err(ClaimRefused::Retired),
            Phase::Vacant if self.is_clearing() => Err(ClaimRefused::Clearing),
            Phase::Vacant => Ok(()),
        }
    }

    fn phase(self) -> Phase {
        match self.0 & PHASE {
            0 => Phase::Vacant,
            1 => Phase::Reserved,
            2 => Phase::Running,
            _ => Phase::Retired,
        }
    }

    fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Only these flags; the generation and the phase are to be added.
    fn keep(self, flags: u64) -> Self {
        Self(self.0 & flags)
    }

    fn with(self, generation: ClaimId, phase: Phase) -> Self {
        let phase = match phase {
            Phase::Vacant => 0,
            Phase::Reserved => 1,
            Phase::Running => 2,
            Phase::Retired => 3,
        };
        Self(self.0 | phase | (generation.0 << SHIFT))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("generation", &self.generation().0)
            .field("phase", &self.phase())
            .field("cancelled", &self.has(CANCELLED))
            .field("clearing", &self.is_clearing())
            .field("awaited", &self.is_awaited())
            .finish()
    }
}
