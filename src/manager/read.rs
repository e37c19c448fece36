//! The read side: what readers do with a version.

pub(super) mod clusters;
pub(super) mod explain;
pub(super) mod export;
pub(crate) mod snapshot;
