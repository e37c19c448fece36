//! The manual of this crate: what it promises, and why that is so.
//!
//! The pages of the types say what to call. The pages here say what holds across them.
//!
//! * [`guarantees`]: consistency, progress and memory of the table, and the argument for each.
//! * [`orderings`]: every pair of atomic operations that one thread relies on another for.

pub mod guarantees;
pub mod orderings;
