//! The model: plain data, and the rules over one version.

pub(super) mod blockers;
pub(super) mod command;
pub(super) mod config;
pub(super) mod directory;
pub(super) mod effect;
pub(super) mod export;
pub(super) mod report;
pub(super) mod rules;
pub(super) mod tally;
