//! Faults that are injected at the place where they occur: refused announcements, hanging dials.

use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;

/// Percentage of announcements that are refused.
const REFUSED_PERCENT: u8 = 4;

/// Percentage of accepted connections that are never answered.
const HUNG_PERCENT: u8 = 4;

/// The switch for faults: on during the chaos, off while the mesh settles.
///
/// Relaxed throughout: a fault more or less around the moment of switching does not matter.
#[derive(Debug)]
pub(crate) struct Faults {
    on: AtomicBool,
}

impl Faults {
    pub(crate) fn new(on: bool) -> Self {
        Self { on: AtomicBool::new(on) }
    }

    /// Switches all faults off.
    pub(crate) fn stop(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    /// Draws whether to refuse this announcement.
    pub(crate) fn refuses(&self, rng: &mut Rng) -> bool {
        self.strikes(rng, REFUSED_PERCENT)
    }

    /// Draws whether to leave this connection unanswered.
    pub(crate) fn hangs(&self, rng: &mut Rng) -> bool {
        self.strikes(rng, HUNG_PERCENT)
    }

    fn strikes(&self, rng: &mut Rng, percent: u8) -> bool {
        self.on.load(Ordering::Relaxed) && rng.u8(..100) < percent
    }
}
