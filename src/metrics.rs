//! What a link manager has and does, as one coherent report.
//!
//! * `report`: the figures. `board`: where the newest report is kept, and the one lock of the data path.
//! * `ticker`, `collector`: a thread that collects, for those who want one.
//! * `figures`: all of it by name. `page`, `prometheus`, `facade`: for those who show it.
//!
//! What belongs to the links and nets is computed from **one** snapshot, so that it belongs to one version;
//! what the manager counts while it runs (`manager::meters`) is read when the report is published, and may be
//! newer than the version. A report whose version is older than that of the newest one is not published, so
//! that nobody ever sees a version or a counter go back.
//!
//! There is nothing here that recovers anything: no component is restarted, so no rule is needed for who may.

mod board;
pub(crate) mod collector;
#[cfg(feature = "metrics")]
mod facade;
mod figures;
pub(crate) mod handle;
mod page;
#[cfg(feature = "prometheus-client")]
mod prometheus;
mod reader;
pub(crate) mod report;
mod ticker;

#[cfg(test)]
mod models;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

pub use crate::util::histogram::{Bucket, Histogram};
pub use page::Page;
pub use reader::Reader;
pub use report::{LaneReport, Latency};
