//! What the manager tells a `tracing` subscriber; nothing at all without the feature `tracing`.
//!
//! Everything is said with no lock held and outside of commands: of a command, after the version with its
//! change is published and its ticket has completed. A subscriber is foreign code; where it runs on the
//! writer's thread, its panic is contained.

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
pub(super) use off::{Entry, delivered, refused, shed, submitted, transport_panicked};
#[cfg(feature = "tracing")]
pub(super) use on::{Entry, delivered, refused, shed, submitted, transport_panicked};
