//! Faults that are injected where they happen: announcements refused, dials left hanging.

use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;

/// How many of a hundred announcements are refused.
const REFUSED_PERCENT: u8 = 4;

/// How many of a hundred accepted connections never hear a word.
const HUNG_PERCENT: u8 = 4;

/// The switch for faults: on during the chaos, off while the mesh settles.
///
/// Relaxed throughout: a fault more or less right after the switch moved is in order.
#[derive(Debug)]
pub(crate) struct Faults {
    on: AtomicBool,
}

impl Faults {
    pub(crate) fn new(on: bool) -> Self {
        Self { on: AtomicBool::new(on) }
    }

    /// No faults from now on.
    pub(crate) fn stop(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    /// Whether to refuse this announcement.
    pub(crate) fn refuses(&self, rng: &mut Rng) -> bool {
        self.strikes(rng, REFUSED_PERCENT)
    }

    /// Whether to leave this connection unanswered.
    pub(crate) fn hangs(&self, rng: &mut Rng) -> bool {
        self.strikes(rng, HUNG_PERCENT)
    }

    fn strikes(&self, rng: &mut Rng, percent: u8) -> bool {
        self.on.load(Ordering::Relaxed) && rng.u8(..100) < percent
    }
}
