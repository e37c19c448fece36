//! Compares the tables of `switchboard` with the alternatives.
//!
//! The binary `compare` prints the tables; `benches/` has the headline workloads for criterion.

pub mod data;
pub mod measure;
pub mod memory;
pub mod peers;
pub mod report;
pub mod side;
pub mod workloads;
