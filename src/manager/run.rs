//! The moving parts: from the mailbox through the core to the transport.

pub(super) mod driver;
pub(super) mod handle;
pub(super) mod message;
pub(super) mod meters;
pub(super) mod outbox;
pub(super) mod trace;
pub(super) mod transport_worker;
