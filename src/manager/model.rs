//! The model: plain data, and the rules over one version.

pub(super) mod blockers;
pub(crate) mod command;
pub(crate) mod config;
pub(super) mod directory;
pub(crate) mod effect;
pub(crate) mod export;
pub(super) mod report;
pub(super) mod rules;
pub(super) mod tally;
