//! The frames of the protocol, version 7: what clients send, and what the server answers.

mod incoming;
mod nesting;
mod outgoing;
mod presence;

pub use incoming::{Incoming, Subscribe};
pub use nesting::is_shallow;
pub use outgoing::{
    Code, Frame, client_event, error, established, event, member_added, member_removed, ping, pong,
    subscribed, subscribed_with_members, subscription_error,
};
pub use presence::Member;

/// The longest frame of a client, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// Levels of arrays and objects in a frame.
pub const MAX_NESTING: usize = 32;

/// The longest data of an event, in bytes.
pub const MAX_DATA: usize = 10 * 1024;

/// The longest name of an event, in characters.
pub const MAX_EVENT: usize = 200;
