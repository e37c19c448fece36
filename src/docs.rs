//! The manual of this crate: its promises, and the reasons for them.
//!
//! The documentation of each type explains how to use it. These pages describe what holds across types.
//!
//! * [`cookbook`](mod@cookbook): four complete programs: a map read on every packet, a chat, a routing table,
//!   a node.
//! * [`design`](mod@design): the design, and the reason for each decision.
//! * [`guarantees`]: all promises, each with the test or the argument that carries it.
//! * [`limitations`]: the limits of the design, and when to use something else.
//! * [`migration`](mod@migration): how to move here from a lock, from concurrent maps, from an actor, or from
//!   a manager with callbacks, and how to run both side by side.
//! * [`metrics`](mod@metrics): the figures, how a report is made, and the names that exporters use.
//! * [`logging`](mod@logging): the events of the feature `tracing`.
//! * [`orderings`]: every pair of atomic operations on which a hand-over between two threads relies.
//! * [`performance`]: the cost of operations compared with other maps, where the time goes, and rejected
//!   variants.
//! * [`sharing`]: how many threads and tasks change one table.
//! * [`shutdown`](mod@shutdown): shutdown and drop, step by step, with the races involved.

// Each page is there without its feature, except for its examples.
#[cfg(any(feature = "manager", not(doctest)))]
pub mod cookbook;
#[cfg(any(feature = "manager", not(doctest)))]
pub mod design;
pub mod guarantees;
pub mod limitations;
#[cfg(any(feature = "manager", not(doctest)))]
pub mod logging;
#[cfg(any(feature = "manager", not(doctest)))]
pub mod metrics;
#[cfg(any(feature = "shadow", not(doctest)))]
pub mod migration;
pub mod orderings;
pub mod performance;
pub mod sharing;
#[cfg(any(feature = "manager", not(doctest)))]
pub mod shutdown;
