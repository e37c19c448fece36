//! The callbacks of a pipeline.

use std::fmt;
use std::panic::AssertUnwindSafe;

use super::marks::Crossing;
use super::slots::ConnectionId;
use crate::unwind::contain;

type OnCrossing = dyn Fn(usize, Crossing) + Send + Sync;
type OnPoison = dyn Fn(ConnectionId) + Send + Sync;

/// They are called with no lock held. A panic is contained.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) on_crossing: Option<Box<OnCrossing>>,
    pub(crate) on_poison: Option<Box<OnPoison>>,
}

impl Hooks {
    pub(crate) fn crossing(&self, worker: usize, crossing: Crossing) {
        if let Some(call) = &self.on_crossing {
            // Unwind safety: this code keeps nothing of the call.
            let _ = contain(AssertUnwindSafe(|| call(worker, crossing)));
        }
    }

    pub(crate) fn poison(&self, id: ConnectionId) {
        if let Some(call) = &self.on_poison {
            // Unwind safety: as above.
            let _ = contain(AssertUnwindSafe(|| call(id)));
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("on_crossing", &self.on_crossing.is_some())
            .field("on_poison", &self.on_poison.is_some())
            .finish()
    }
}
