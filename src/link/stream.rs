//! Streams: the connections of a link.

use std::fmt;

/// The side that opened a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// This node opened the stream.
    Uplink,
    /// The peer opened the stream.
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
    /// The identity that the transport chose.
    pub id: StreamId,
    /// The side that opened the stream.
    pub direction: Direction,
}
