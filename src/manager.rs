//! The link manager: one writer that owns the links of a node, and any number of readers.
//!
//! Data flows one way:
//!
//! ```text
//! any thread --command--> mailbox --batch--> driver --> core --> publish --> tickets --> effects --> transport
//! any thread <------------ snapshot, reader <-----------------------'
//! ```
//!
//! Each wing uses only those above it in this list:
//!
//! * `model`: plain data (commands, settings, effects, reports, exports) and the rules over one version.
//! * `core`: the state machine. Pure: from commands and time to links and effects.
//! * `read`: snapshots, and what they can tell.
//! * `run`: the moving parts: mailbox messages, handle, driver, outbox, the thread of the transport.
//! * `builder`: puts a manager together.

mod builder;
mod core;
pub(crate) mod link_manager;
pub(crate) mod model;
#[cfg(test)]
mod models;
pub(crate) mod read;
pub(crate) mod run;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

pub use builder::{LinkManagerBuilder, SpawnError};
pub use model::report::{DrainReport, MemoryReport, ShutdownReport};
pub use model::tally::Stats;
pub use read::snapshot::{LinksReader, MemberFilter};

/// Commands: what submitting one returns.
pub mod command {
    pub use crate::manager::model::command::{SubmitError, SubmitErrorKind};
    pub use crate::manager::run::handle::Submitted;
}

/// The settings of a manager, and what can be wrong with them.
pub mod config {
    pub use crate::manager::model::config::Timing;
    pub use crate::manager::model::config::problem::Problem;
    pub use crate::manager::model::config::settings::Settings;
}

/// Effects: details of what the host is told.
pub mod effect {
    pub use crate::manager::model::effect::LinkFailure;
}

/// Explanations, as data: why a link is kept, why it is not dialled, and what happens next.
pub mod explain {
    pub use crate::manager::model::blockers::{DialBlocker, RequestBlocker};
    pub use crate::manager::read::explain::{
        Action, IgnoreReason, KeepReason, LinkExplanation, NetExplanation, PlannedAction,
    };
}

/// Exports: what outlives a restart of a manager.
pub mod export {
    pub use crate::manager::model::export::Export;
    pub use crate::manager::model::export::check::ImportError;
}
