//! The path of a command: from the handle through the mailbox and the core to the transport.

pub(crate) mod driver;
pub(crate) mod handle;
pub(super) mod message;
pub(super) mod meters;
pub(super) mod outbox;
pub(super) mod request;
pub(super) mod trace;
pub(crate) mod transport_worker;
