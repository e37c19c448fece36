//! Link tables for network nodes and connection servers: one writer, wait-free readers, every index in one version.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
pub mod mailbox;
mod sync;
pub mod ticket;

pub use clock::{Clock, ManualClock, MonotonicClock};
