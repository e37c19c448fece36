//! The manual of this crate: what it promises, and why that is so.
//!
//! The pages of the types say what to call. The pages here say what holds across them.
//!
//! * [`design`](mod@design): how the crate is built, and why so.
//! * [`guarantees`]: consistency, progress and memory of the table, and the argument for each.
//! * [`limitations`]: the limits of the design, and when to use something else.
//! * [`migration`](mod@migration): how to move here from a lock, from concurrent maps, from an actor, from a
//!   manager with callbacks, with both running side by side.
//! * [`metrics`](mod@metrics): what is counted, how a report is made, and the names that exporters show.
//! * [`logging`](mod@logging): what a subscriber of `tracing` hears.
//! * [`orderings`]: every pair of atomic operations that one thread relies on another for.
//! * [`performance`]: what operations cost beside other maps, where the time goes, what was tried.
//! * [`shutdown`](mod@shutdown): how things end, step by step, and the races on the way.

#[cfg(feature = "manager")]
pub mod design;
pub mod guarantees;
pub mod limitations;
#[cfg(feature = "manager")]
pub mod logging;
#[cfg(feature = "manager")]
pub mod metrics;
#[cfg(feature = "shadow")]
pub mod migration;
pub mod orderings;
pub mod performance;
#[cfg(feature = "manager")]
pub mod shutdown;
