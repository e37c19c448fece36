//! The state and the activity of a link manager, as one coherent report.
//!
//! [`Metrics`](crate::Metrics), [`MetricsReport`](crate::MetricsReport) and
//! [`MetricsCollector`](crate::MetricsCollector) are at the crate root.
//!
//! The figures of links and nets are computed from **one** snapshot, so they belong to one version. The
//! counters that the manager updates while it runs are read when the report is published,
//! and may be newer than that version. A report whose version is older than that of the newest report is not
//! published, so no reader ever sees a version or a counter decrease.
//!
//! This module never restarts or recovers a component.

// * `report`: the figures. `board`: the store of the newest report, with the one lock of the data path.
// * `ticker`, `collector`: an optional thread that collects.
// * `figures`, `session_figures`, `saver_figures`, `cleanup_figures`: all figures by name. `numbers`: writes those that
//   are one number of an owner.
// * `page`, `prometheus`, `facade`: the exporters.
// * The counters themselves are in `manager::run::meters`.

mod board;
#[cfg(feature = "cleanup")]
mod cleanup_figures;
pub(crate) mod collector;
#[cfg(feature = "metrics")]
mod facade;
mod figures;
pub(crate) mod handle;
#[cfg(any(feature = "cleanup", feature = "sessions"))]
mod numbers;
mod page;
#[cfg(feature = "prometheus-client")]
mod prometheus;
mod reader;
pub(crate) mod report;
#[cfg(feature = "sessions")]
mod saver_figures;
#[cfg(feature = "sessions")]
mod session_figures;
mod ticker;

#[cfg(test)]
mod models;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

pub use crate::util::histogram::{Bucket, Histogram};
pub use page::Page;
pub use reader::Reader;
pub use report::{LaneReport, Latency};
