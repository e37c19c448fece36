//! The read side: queries on one version.

pub(super) mod clusters;
pub(super) mod explain;
pub(super) mod export;
pub(crate) mod snapshot;
