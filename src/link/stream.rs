//! Streams: the connections of a link.

use std::fmt;

/// Which side opened a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// This node dialled.
    Uplink,
    /// The peer dialled.
    Downlink,
}

/// The identity of one stream (one connection, one socket). Chosen by the transport, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

/// A live stream of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stream {
    /// The identity that the transport gave it.
    pub id: StreamId,
    /// Which side opened it.
    pub direction: Direction,
}
