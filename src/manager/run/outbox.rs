//! The path of the effects from the writer to the transport.

pub(in crate::manager) mod queue;
pub(in crate::manager) mod shared;
