//! The link manager: one writer that owns the links of a node, and any number of readers.
//!
//! Data flows one way:
//!
//! ```text
//! any thread --command--> mailbox --batch--> driver --> core --> publish --> tickets --> effects --> transport
//! any thread <------------ snapshot, reader <-----------------------'
//! ```
//!
//! [`LinkManager`](crate::LinkManager), [`Handle`](crate::Handle), [`Links`](crate::Links) and the other types
//! that most programs name are at the crate root.

// Each module uses only the ones above it in this list:
//
// * `model`: plain data (commands, settings, effects, reports, exports) and the rules over one version.
// * `core`: the state machine, a pure function from commands and time to links and effects.
// * `read`: snapshots and the queries on them.
// * `run`: the parts with threads and queues: mailbox messages, handle, driver, outbox, transport thread.
// * `builder`: builds and starts a manager.

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
pub use read::diff::LinksDiff;
pub use read::feed::next::{LinksEvents, LinksNext};
pub use read::feed::{LinksEvent, LinksFeed};
pub use read::snapshot::{LinksPublished, LinksReader, MemberFilter};

/// Submission of commands: tickets and errors.
///
/// [`Command`](crate::Command) and its results are at the crate root.
pub mod command {
    pub use crate::manager::model::command::{AppliedAll, SubmitAllError, SubmitError, SubmitErrorKind};
    pub use crate::manager::run::handle::Submitted;
    pub use crate::manager::run::handle::lists::SubmittedAll;
}

/// The settings of a manager, and the errors of their validation.
///
/// [`Config`](crate::Config) and its error are at the crate root.
pub mod config {
    pub use crate::manager::model::config::Timing;
    pub use crate::manager::model::config::problem::Problem;
    pub use crate::manager::model::config::settings::Settings;
}

/// Details of the effects that a manager delivers.
///
/// [`Effect`](crate::Effect) is at the crate root.
pub mod effect {
    pub use crate::link::failure::LinkFailure;
}

/// Explanations, as data: why a link is kept, why it is not dialled, and which action comes next.
pub mod explain {
    pub use crate::manager::model::blockers::{DialBlocker, RequestBlocker};
    pub use crate::manager::read::explain::{
        Action, IgnoreEntry, KeepReason, LinkExplanation, NetExplanation, PlannedAction,
    };
}

/// Exports: the state that survives a restart of a manager.
pub mod export {
    pub use crate::manager::model::export::Export;
    pub use crate::manager::model::export::check::ImportError;
}
