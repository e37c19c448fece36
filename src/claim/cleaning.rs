//! A place as the slot of a connection: it is opened, closed once, and cleaned by one thread at a time.
//!
//! | slot | place |
//! |---|---|
//! | vacant | vacant |
//! | reserved | reserved |
//! | open | running |
//! | closing | running, cancelled |
//! | cleaning | running, cancelled, clearing |
//!
//! No new transitions: these are those of a claim and a clear, some of them two in one exchange. No one waits for a slot,
//! so none of them wakes anyone.

use super::state::{ClaimId, State};
use super::word::ClaimWord;

/// The reason why a slot is not closed by this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseRefused {
    /// Another call has closed it.
    Already,
    /// It is not open for this connection.
    Stale,
}

impl State {
    /// Closes an open slot. Of several calls for one claim, one succeeds.
    fn close(self, id: ClaimId) -> Result<Self, CloseRefused> {
        let is_running = self.occupant().is_some_and(|occupant| occupant.is_running);
        if !is_running || !self.is_held_by(id) {
            return Err(CloseRefused::Stale);
        }
        self.cancel(Some(id)).map_err(|_| CloseRefused::Already)
    }

    /// Begins to clean a closing slot. `None` if it is not closing for this claim, or is being cleaned.
    fn begin_cleaning(self, id: ClaimId) -> Option<Self> {
        let is_closing = self.occupant().is_some_and(|holder| holder.is_running && holder.is_cancelled);
        // Refused while another thread cleans.
        (is_closing && self.is_held_by(id)).then(|| self.begin_clear(true).ok())?
    }

    /// Ends cleaning: the slot is vacant, in a later generation.
    fn finish_cleaning(self, id: ClaimId) -> Option<Self> {
        self.is_held_by(id).then(|| self.displace()?.take_clear(None)?.end_clear())?
    }

    /// Returns whether this is a slot that is closing, and is not being cleaned.
    pub(crate) fn is_closing(self) -> bool {
        self.begin_cleaning(self.generation()).is_some()
    }

    /// Checks that this is a slot that is open for this claim.
    pub(crate) fn check_open(self, id: ClaimId) -> Result<(), CloseRefused> {
        self.close(id).map(|_| ())
    }
}

impl ClaimWord {
    pub(crate) fn close(&self, id: ClaimId) -> Result<(), CloseRefused> {
        self.change(|state| state.close(id)).map(|_| ())
    }

    /// Returns whether the caller may clean the slot. It then calls [`finish_cleaning`](Self::finish_cleaning) or
    /// [`give_up_cleaning`](Self::give_up_cleaning).
    pub(crate) fn begin_cleaning(&self, id: ClaimId) -> bool {
        self.change(|state| state.begin_cleaning(id).ok_or(())).is_ok()
    }

    /// Returns whether the slot was being cleaned for this claim.
    pub(crate) fn finish_cleaning(&self, id: ClaimId) -> bool {
        self.change(|state| state.finish_cleaning(id).ok_or(())).is_ok()
    }

    /// The slot is closing again, and another thread can clean it. Called by the one that cleans.
    pub(crate) fn give_up_cleaning(&self, id: ClaimId) -> bool {
        self.change(|state| state.give_up_clear(id).ok_or(())).is_ok()
    }

    /// Ends a claim that was not started.
    pub(crate) fn give_back(&self, id: ClaimId) -> bool {
        self.change(|state| state.release(id)).is_ok()
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    /// Every combination of flags and phase, in one generation.
    fn all_states() -> impl Iterator<Item = State> {
        (0..1 << 8).map(|low| State::from_word((7 << 8) | low))
    }

    #[test]
    fn r2_a_slot_goes_through_its_phases_in_order() {
        let id = ClaimId::from_u64(7);
        for state in all_states() {
            let holder = state.occupant();
            let is_open = holder.is_some_and(|holder| holder.is_running && !holder.is_cancelled);
            assert_eq!(state.close(id).is_ok(), is_open, "{state:?}");
            assert_eq!(state.check_open(id).is_ok(), is_open, "{state:?}");
            let is_closing = holder.is_some_and(|holder| holder.is_running && holder.is_cancelled);
            assert_eq!(state.begin_cleaning(id).is_some(), is_closing && !state.is_clearing(), "{state:?}");
            if let Some(cleaning) = state.begin_cleaning(id) {
                assert!(cleaning.is_clearing() && cleaning.close(id) == Err(CloseRefused::Already));
                assert_eq!(cleaning.begin_cleaning(id), None, "one at a time");
                if let Some(vacant) = cleaning.finish_cleaning(id) {
                    assert!(vacant.occupant().is_none() && vacant.generation() > id && !vacant.is_clearing());
                }
            }
        }
    }

    #[test]
    fn r14_a_stale_handle_changes_nothing() {
        for state in all_states() {
            for id in [6, 8].map(ClaimId::from_u64) {
                assert_eq!(state.close(id), Err(CloseRefused::Stale));
                assert_eq!((state.begin_cleaning(id), state.finish_cleaning(id)), (None, None));
            }
        }
    }
}
