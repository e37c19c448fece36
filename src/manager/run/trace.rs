//! Events for `tracing` subscribers; all functions are empty without the feature `tracing`.
//!
//! Events are emitted with no lock held and outside of commands: the events of a command follow after the
//! version with its change is published and its ticket has completed. A subscriber is user code; if it panics
//! on the writer's thread, the panic is contained.

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
pub(super) use off::Entry;
#[cfg(not(feature = "tracing"))]
pub(super) use off::Report;
#[cfg(not(feature = "tracing"))]
pub(super) use off::delivered;
#[cfg(not(feature = "tracing"))]
pub(super) use off::refused;
#[cfg(not(feature = "tracing"))]
pub(super) use off::shed;
#[cfg(not(feature = "tracing"))]
pub(super) use off::submitted;
#[cfg(not(feature = "tracing"))]
pub(super) use off::transport_panicked;
#[cfg(feature = "tracing")]
pub(super) use on::Entry;
#[cfg(feature = "tracing")]
pub(super) use on::Report;
#[cfg(feature = "tracing")]
pub(super) use on::delivered;
#[cfg(feature = "tracing")]
pub(super) use on::refused;
#[cfg(feature = "tracing")]
pub(super) use on::shed;
#[cfg(feature = "tracing")]
pub(super) use on::submitted;
#[cfg(feature = "tracing")]
pub(super) use on::transport_panicked;
