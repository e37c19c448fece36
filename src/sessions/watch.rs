//! The one who is told of changes, to save them.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use super::mark::Mark;
use crate::sync::{Arc, StdArc};
use crate::unwind::contain;

/// What a change has replaced: user code, to be dropped when nothing is in the way of a call for the same session.
///
/// Its destructors do not panic: nothing of it is observable any more.
#[derive(Default)]
pub(super) struct Unused([Option<StdArc<dyn Any + Send + Sync>>; 4]);

impl Unused {
    pub(super) fn new(parts: [Option<StdArc<dyn Any + Send + Sync>>; 4]) -> Self {
        Self(parts)
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        for part in &mut self.0 {
            // Unwind safety: nothing of it remains observable.
            let _panicked = contain(AssertUnwindSafe(|| drop(part.take())));
        }
    }
}

/// The way in which a session leaves the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// Removed by its user: what is stored goes, too.
    Deleted,
    /// Pruned: what is stored stays.
    Evicted,
}

/// Told of the changes of the data of sessions of type `S` with keys of type `K`.
pub(super) trait Watch<K, S>: Send + Sync {
    /// Returns the mark of a new session, which keeps it. Called with nothing held.
    fn mark(&self, key: &K) -> Mark<K>;

    /// The data was replaced, by an update or a clear, and is now of this version. Called by the thread that did
    /// it, under no lock, before the old data is dropped; a clear still has the place. Calls of several threads may come
    /// out of order: the version tells. Must not block or panic.
    fn changed(&self, session: &Arc<S>, version: u64) -> Unused;

    /// The session leaves the registry. `version` is above all that it had before. As
    /// [`changed`](Self::changed).
    ///
    /// A deletion is told before the registry creates another session of the key, and may be told several times, by
    /// several threads.
    fn removed(&self, session: &Arc<S>, gone: Gone, version: u64);

    /// Returns whether the session may be evicted: this version is stored, or need not be. Called under the
    /// lock of the session: takes no lock, and runs no user code.
    fn is_saved(&self, session: &S, version: u64) -> bool;
}
