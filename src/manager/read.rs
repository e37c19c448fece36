//! The read side: queries on one version.

pub(super) mod clusters;
pub(crate) mod diff;
pub(super) mod explain;
pub(super) mod export;
pub(crate) mod feed;
pub(crate) mod snapshot;
