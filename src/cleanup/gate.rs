//! The limit of cleanups by callers.

use crate::sync::StdArc;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Lets a limited number of callers clean at the same time. Beyond that, disconnects are left to the sweep, so that a
/// storm does not turn every reader of a socket into a worker. Wait-free.
#[derive(Debug)]
pub(crate) struct Gate {
    inside: AtomicUsize,
    limit: usize,
}

/// The permission to clean. Given back when it is dropped, also by a panic.
#[derive(Debug)]
#[must_use = "a permit is given back when it is dropped"]
pub(crate) struct GatePermit(StdArc<Gate>);

impl Gate {
    pub(crate) fn new(limit: usize) -> StdArc<Self> {
        StdArc::new(Self { inside: AtomicUsize::new(0), limit })
    }

    /// Returns `None` if the limit is reached. Of several calls for the last permit, all may be refused: the count
    /// includes those that are about to be refused.
    pub(crate) fn enter(self: &StdArc<Self>) -> Option<GatePermit> {
        // Relaxed, here and below: a limit, which orders no other memory; the queue and the table order the work.
        let before = self.inside.fetch_add(1, Ordering::Relaxed);
        let permit = GatePermit(self.clone());
        (before < self.limit).then_some(permit)
    }

    /// Returns the part of the limit that is in use, from 0 to 1; 1 if the limit is zero.
    pub(crate) fn share(&self) -> f64 {
        // Relaxed: a statistic.
        let inside = self.inside.load(Ordering::Relaxed).min(self.limit);
        if self.limit == 0 { 1.0 } else { inside as f64 / self.limit as f64 }
    }
}

impl Drop for GatePermit {
    fn drop(&mut self) {
        // Relaxed: as in `enter`.
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    #[test]
    fn r5_work_by_callers_is_limited() {
        let gate = Gate::new(2);
        let first = gate.enter();
        let second = gate.enter();
        assert!(first.is_some() && second.is_some());
        assert!(gate.enter().is_none());
        assert!(gate.enter().is_none(), "a refusal takes no permit");
        drop(first);
        assert!((gate.share() - 0.5).abs() < f64::EPSILON);
        assert!(gate.enter().is_some());
        assert!(Gate::new(0).enter().is_none());
    }

    #[test]
    fn r5_a_panic_gives_the_permit_back() {
        let gate = Gate::new(1);
        let entered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _permit = gate.enter();
            panic!("a cleanup panics");
        }));
        assert!(entered.is_err() && gate.enter().is_some());
    }
}
