//! The wire protocol: frames with a length in front.
//!
//! ```text
//! length: u32, little-endian, of what follows, 1..=64 | kind: u8 | payload
//! ```
//! Integers are little-endian. Whatever does not fit this closes the stream; nothing here panics on input.

use std::fmt;
use std::io;

use switchboard::{NetId, NodeAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest body that is read. The frames below are shorter; the rest is room for later kinds.
pub(crate) const BODY_LEN_MAX: usize = 64;

const LENGTH_LEN: usize = 4;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The first frame of either side: who is speaking.
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

/// Why a net was refused. Unknown codes are legal: a newer peer may have more reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorCode(pub(crate) u16);

impl ErrorCode {
    /// The net is not managed here.
    pub(crate) const UNKNOWN_NET: Self = Self(1);
    /// The net is managed here, but switched off.
    pub(crate) const OFFLINE: Self = Self(2);
    /// This node does not want the link.
    pub(crate) const NOT_WANTED: Self = Self(3);
}

impl Frame {
    /// The frame as it travels, length included.
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

    /// Reads a body: everything behind the length.
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

/// At most eight bytes, the least significant first.
fn integer(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// What arrived is not this protocol, or nothing can arrive any more.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The length is 0 or above the limit.
    Length(u32),
    /// No such kind of frame, or not with a payload of this length.
    Body {
        /// The first byte of the body.
        kind: u8,
        /// The number of bytes behind it.
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
            Self::Length(length) => write!(f, "a frame of {length} bytes: expected 1 to {BODY_LEN_MAX}"),
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

/// A connection that speaks frames.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    socket: S,
    /// Bytes that arrived and are not yet a whole frame. Whenever more are read, there are fewer than one
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

    /// What the connection has carried so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The connection itself.
    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// The next frame; `None` when the peer closed between two frames.
    ///
    /// May be dropped at any await and called again: what arrived so far is kept.
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

    /// Writes one frame. Not to be dropped half-way: the peer would see a torn frame.
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
