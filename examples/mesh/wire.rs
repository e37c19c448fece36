//! The wire protocol: length-prefixed frames.
//!
//! ```text
//! length: u32, little-endian, 1..=64: number of bytes that follow | kind: u8 | payload
//! ```
//! Integers are little-endian. Malformed input closes the stream and never panics.

use std::fmt;
use std::io;

use switchboard::{NetId, NodeAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest accepted body. The frames below are shorter, which leaves room for new kinds.
pub(crate) const BODY_LEN_MAX: usize = 64;

const LENGTH_LEN: usize = 4;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The first frame of each side, with its address.
    Hello(NodeAddr),
    /// "I carry this net on this stream; will you?"
    Announce(NetId),
    /// "I do."
    AnnounceAck(NetId),
    /// "I do not", or "no longer".
    Error(NetId, ErrorCode),
    /// "Are you there?"
    Ping,
    /// "I am."
    Pong,
}

/// The reason for refusing a net. Unknown codes are valid: a newer peer may have more reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorCode(pub(crate) u16);

impl ErrorCode {
    /// The net is not managed here.
    pub(crate) const UNKNOWN_NET: Self = Self(1);
    /// The net is managed here but not active.
    pub(crate) const OFFLINE: Self = Self(2);
    /// This node does not want the link.
    pub(crate) const NOT_WANTED: Self = Self(3);
}

impl Frame {
    /// Encodes the frame, including its length.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH_LEN];
        match self {
            Self::Hello(addr) => {
                bytes.push(1);
                bytes.extend(addr.0.to_le_bytes());
            }
            Self::Announce(net) => {
                bytes.push(2);
                bytes.extend(net.0.to_le_bytes());
            }
            Self::AnnounceAck(net) => {
                bytes.push(3);
                bytes.extend(net.0.to_le_bytes());
            }
            Self::Error(net, code) => {
                bytes.push(4);
                bytes.extend(net.0.to_le_bytes());
                bytes.extend(code.0.to_le_bytes());
            }
            Self::Ping => bytes.push(5),
            Self::Pong => bytes.push(6),
        }
        let length = (bytes.len() - LENGTH_LEN) as u32;
        bytes[..LENGTH_LEN].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Decodes a body: all bytes after the length.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, WireError> {
        let Some((&kind, payload)) = body.split_first() else { return Err(WireError::Length(0)) };
        let frame = match (kind, payload.len()) {
            (1, 8) => Self::Hello(NodeAddr(integer(payload))),
            (2, 8) => Self::Announce(NetId(integer(payload))),
            (3, 8) => Self::AnnounceAck(NetId(integer(payload))),
            (4, 10) => {
                let (net, code) = payload.split_at(8);
                Self::Error(NetId(integer(net)), ErrorCode(integer(code) as u16))
            }
            (5, 0) => Self::Ping,
            (6, 0) => Self::Pong,
            _ => return Err(WireError::Body { kind, payload: payload.len() }),
        };
        Ok(frame)
    }
}

/// Reads at most eight bytes as a little-endian number.
fn integer(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Malformed input, or a failed connection.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The length is 0 or above the limit.
    Length(u32),
    /// The kind is unknown, or does not have a payload of this length.
    Body {
        /// The first byte of the body.
        kind: u8,
        /// The number of bytes after the kind.
        payload: usize,
    },
    /// The stream ended inside a frame.
    Truncated,
    /// The socket failed.
    Io(io::Error),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "frame length {length} is not in 1..={BODY_LEN_MAX}"),
            Self::Body { kind, payload } => {
                write!(f, "no frame of kind {kind} has a payload of {payload} bytes")
            }
            Self::Truncated => f.write_str("the stream ended inside a frame"),
            Self::Io(error) => write!(f, "the socket failed: {error}"),
        }
    }
}

impl std::error::Error for WireError {}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A connection that carries frames.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    socket: S,
    /// Received bytes that are not yet a whole frame. Bytes are read only while there are fewer than one
    /// frame has, so the buffer never outgrows its first allocation.
    buffer: Vec<u8>,
    traffic: Traffic,
}

/// Bytes of whole frames that a connection has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(socket: S) -> Self {
        let buffer = Vec::with_capacity(8 * (LENGTH_LEN + BODY_LEN_MAX));
        Self { socket, buffer, traffic: Traffic::default() }
    }

    /// Returns the traffic of the connection so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Returns the underlying connection.
    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// Returns the next frame, or `None` if the peer closed between two frames.
    ///
    /// Cancel safe: if the future is dropped, the bytes received so far are kept.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(WireError::Truncated) };
            }
        }
    }

    /// Writes one frame. Not cancel safe: a dropped future may leave a torn frame.
    pub(crate) async fn send(&mut self, frame: Frame) -> Result<(), WireError> {
        let bytes = frame.encode();
        self.socket.write_all(&bytes).await?;
        self.traffic.sent += bytes.len() as u64;
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Frame>, WireError> {
        let Some((length, rest)) = self.buffer.split_first_chunk::<LENGTH_LEN>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length);
        let len = length as usize;
        if len == 0 || len > BODY_LEN_MAX {
            return Err(WireError::Length(length));
        }
        let Some(body) = rest.get(..len) else { return Ok(None) };
        let frame = Frame::decode(body)?;
        self.buffer.drain(..LENGTH_LEN + len);
        self.traffic.received += (LENGTH_LEN + len) as u64;
        Ok(Some(frame))
    }
}
