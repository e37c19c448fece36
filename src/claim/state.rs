//! The states of a place, and the transitions between them: pure functions, total on all words.

use std::fmt;

/// The number of one claim of a place. Later claims have larger numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClaimId(u64);

impl ClaimId {
    /// The generation of a new place that replaces none.
    pub(crate) const FIRST: Self = Self(0);

    #[inline]
    pub(crate) fn from_u64(number: u64) -> Self {
        Self(number & (u64::MAX >> SHIFT))
    }

    #[inline]
    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn next(self) -> Self {
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

/// The reason why a claim does not end in the plain way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReleaseRefused {
    /// The place is not held by this claim.
    Stale,
    /// Others wait for the place: it is to be handed over.
    Queued,
}

/// The reason why no one needs to wait for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnqueueRefused {
    Vacant,
    Retired,
}

/// The queue behind the one to whom a place is handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// Whether others wait.
    pub(super) is_queued: bool,
    /// Whether one of them asks every holder to stop.
    pub(super) is_replacing: bool,
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
const QUEUED: u64 = 1 << 5;
const LISTED: u64 = 1 << 6;
const ENDING: u64 = 1 << 7;
const SHIFT: u32 = 8;
const GENERATION: u64 = !0 << SHIFT;

impl State {
    pub(crate) fn vacant(generation: ClaimId) -> Self {
        Self(generation.0 << SHIFT)
    }

    #[inline]
    pub(super) fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline]
    pub(super) fn word(self) -> u64 {
        self.0
    }

    /// The number of the current claim, or of the last one.
    #[inline]
    pub(crate) fn generation(self) -> ClaimId {
        ClaimId(self.0 >> SHIFT)
    }

    #[inline]
    pub(crate) fn occupant(self) -> Option<Occupant> {
        let is_running = match self.phase() {
            Phase::Vacant | Phase::Retired => return None,
            Phase::Reserved => false,
            Phase::Running => true,
        };
        Some(Occupant { id: self.generation(), is_running, is_cancelled: self.has(CANCELLED) })
    }

    #[inline]
    pub(crate) fn is_clearing(self) -> bool {
        self.has(CLEARING)
    }

    /// Whether a thread carries out the last steps of a clear, see [`take_clear`](Self::take_clear).
    #[inline]
    pub(crate) fn is_ending(self) -> bool {
        self.has(ENDING)
    }

    #[inline]
    pub(crate) fn is_retired(self) -> bool {
        self.phase() == Phase::Retired
    }

    #[inline]
    pub(super) fn is_awaited(self) -> bool {
        self.has(AWAITED)
    }

    #[cfg(test)]
    #[inline]
    pub(super) fn is_queued(self) -> bool {
        self.has(QUEUED)
    }

    /// Whether the owner of the place has it in a list, see [`list`](Self::list).
    #[inline]
    pub(crate) fn is_listed(self) -> bool {
        self.has(LISTED)
    }

    #[inline]
    pub(crate) fn is_held_by(self, id: ClaimId) -> bool {
        self.occupant().is_some_and(|occupant| occupant.id == id)
    }

    /// Whether the holder of `id` is to stop: it was asked to, or does not hold the place any longer.
    #[inline]
    pub(crate) fn is_cancelled(self, id: ClaimId) -> bool {
        self.has(CANCELLED) || !self.is_held_by(id)
    }

    /// Keeps the mark: a claim is not a change that anyone waits for.
    #[inline]
    pub(super) fn claim(self) -> Result<Self, ClaimRefused> {
        self.check_vacant()?;
        Ok(self.keep(AWAITED | LISTED).with(self.generation().next(), Phase::Reserved))
    }

    /// The holder begins its work. `None` if it does not hold the place.
    #[inline]
    pub(super) fn start(self, id: ClaimId) -> Option<Self> {
        self.is_held_by(id).then(|| self.keep(!(PHASE | GENERATION)).with(id, Phase::Running))
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

    /// The holder leaves, and no one waits for the place; or a clear in progress takes it over.
    #[inline]
    pub(super) fn release(self, id: ClaimId) -> Result<Self, ReleaseRefused> {
        if !self.is_held_by(id) {
            return Err(ReleaseRefused::Stale);
        }
        if self.has(QUEUED) && !self.is_clearing() {
            return Err(ReleaseRefused::Queued);
        }
        Ok(self.vacated(id))
    }

    /// The holder leaves, and the first of those who wait holds the place, in the same step; `rest` are those
    /// behind it. During a clear, the place becomes vacant, and everyone keeps waiting.
    pub(super) fn hand_over(self, id: ClaimId, rest: Rest) -> Result<Self, ReleaseRefused> {
        if !self.is_held_by(id) {
            return Err(ReleaseRefused::Stale);
        }
        Ok(if self.is_clearing() { self.vacated(id) } else { self.handed_to(id.next(), rest) })
    }

    /// Takes the place from its holder, for the clear in progress. The generation changes, so the former holder
    /// finds out. `None` if there is no holder or no clear.
    pub(super) fn displace(self) -> Option<Self> {
        let occupant = self.occupant().filter(|_| self.is_clearing())?;
        Some(self.vacated(occupant.id.next()))
    }

    #[inline]
    fn vacated(self, generation: ClaimId) -> Self {
        self.keep(CLEARING | QUEUED | LISTED).with(generation, Phase::Vacant)
    }

    fn handed_to(self, id: ClaimId, rest: Rest) -> Self {
        let queued = if rest.is_queued { QUEUED } else { 0 };
        let cancelled = if rest.is_replacing { CANCELLED } else { 0 };
        Self(self.0 & LISTED | queued | cancelled).with(id, Phase::Reserved)
    }

    /// Someone waits for the place, and with `replace` asks its holder to stop. Refused if the place can be
    /// claimed instead.
    pub(super) fn enqueue(self, replace: bool) -> Result<Self, EnqueueRefused> {
        match self.phase() {
            Phase::Retired => Err(EnqueueRefused::Retired),
            Phase::Vacant if !self.is_clearing() => Err(EnqueueRefused::Vacant),
            Phase::Reserved | Phase::Running if replace && !self.has(CANCELLED) => {
                Ok(Self((self.0 | QUEUED | CANCELLED) & !AWAITED))
            }
            Phase::Vacant | Phase::Reserved | Phase::Running => Ok(Self(self.0 | QUEUED)),
        }
    }

    /// No one waits for the place any longer.
    pub(super) fn empty_queue(self) -> Self {
        Self(self.0 & !QUEUED)
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

    /// The caller ends the clear in progress, and no one else does; if a generation is given, only if it is that of the
    /// place. `None` if there is a holder or no clear, or another one ends it.
    pub(super) fn take_clear(self, generation: Option<ClaimId>) -> Option<Self> {
        let is_due = self.phase() == Phase::Vacant && self.is_clearing() && !self.has(ENDING);
        let is_meant = generation.is_none_or(|generation| generation == self.generation());
        (is_due && is_meant).then_some(Self(self.0 | ENDING))
    }

    fn is_taken(self) -> bool {
        self.phase() == Phase::Vacant && self.is_clearing() && self.has(ENDING)
    }

    /// Ends a clear that the caller has taken and for which no one waits: the place can be claimed again.
    pub(super) fn end_clear(self) -> Option<Self> {
        let is_due = self.is_taken() && !self.has(QUEUED);
        is_due.then(|| self.keep(LISTED).with(self.generation().next(), Phase::Vacant))
    }

    /// Ends a clear that the caller has taken. The first of those who still wait holds the place, and `rest` are those
    /// behind it.
    pub(super) fn end_clear_for(self, rest: Option<Rest>) -> Option<Self> {
        self.is_taken().then(|| match rest {
            Some(rest) => self.handed_to(self.generation().next(), rest),
            None => self.empty_queue().end_clear().unwrap_or(self),
        })
    }

    /// Ends the clear that waits for this holder, without effect, because the holder stays. `None` if it does not hold
    /// the place, or there is no clear.
    pub(super) fn give_up_clear(self, holder: ClaimId) -> Option<Self> {
        let is_due = self.is_held_by(holder) && self.is_clearing();
        is_due.then_some(Self(self.0 & !(CLEARING | AWAITED)))
    }

    /// Closes the place for good.
    pub(super) fn retire(self) -> Result<Self, ClaimRefused> {
        self.check_vacant()?;
        Ok(Self(0).with(self.generation(), Phase::Retired))
    }

    /// The owner has the place in a list. `None` if it already had, or the place is retired.
    pub(super) fn list(self) -> Option<Self> {
        let is_new = !self.has(LISTED) && !self.is_retired();
        is_new.then_some(Self(self.0 | LISTED))
    }

    /// The owner has removed the place from its list.
    pub(super) fn unlist(self) -> Self {
        Self(self.0 & !LISTED)
    }

    pub(super) fn await_change(self) -> Self {
        Self(self.0 | AWAITED)
    }

    #[inline]
    fn check_vacant(self) -> Result<(), ClaimRefused> {
        match self.phase() {
            Phase::Reserved | Phase::Running => Err(ClaimRefused::Busy(self.generation())),
            Phase::Retired => Err(ClaimRefused::Retired),
            Phase::Vacant if self.is_clearing() => Err(ClaimRefused::Clearing),
            // Not reached: a place for which someone waits is held, or being cleared.
            Phase::Vacant if self.has(QUEUED) => Err(ClaimRefused::Busy(self.generation())),
            Phase::Vacant => Ok(()),
        }
    }

    #[inline]
    fn phase(self) -> Phase {
        match self.0 & PHASE {
            0 => Phase::Vacant,
            1 => Phase::Reserved,
            2 => Phase::Running,
            _ => Phase::Retired,
        }
    }

    #[inline]
    fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Only these flags; the generation and the phase are to be added.
    #[inline]
    fn keep(self, flags: u64) -> Self {
        Self(self.0 & flags)
    }

    #[inline]
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
            .field("ending", &self.is_ending())
            .field("awaited", &self.is_awaited())
            .field("queued", &self.has(QUEUED))
            .field("listed", &self.has(LISTED))
            .finish()
    }
}
