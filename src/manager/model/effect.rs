//! Effects: things for the host to do or to know.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::link::stream::StreamId;
use crate::link::{DialId, ResolveId};

/// Why a link failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkFailure {
    /// The dialer reported a failure; it goes on trying by itself.
    DialFailed,
    /// The connection broke; the dialer tries to repair it by itself.
    Broken,
}

/// One thing for the host to do or to know.
///
/// Effects leave the manager after the version that explains them is published, in order. What waits for a
/// slow transport is coalesced and never dropped: per link at most one request to resolve or dial and one to
/// close, per link and net one announcement and one notice of each kind, per net one count and one request
/// for candidates, per cluster one count. The streams to close that no link ever listed come on top, up to
/// [`Config::refused_streams`](crate::Config::refused_streams).
/// [`docs::guarantees`](crate::docs::guarantees#what-waits-for-the-transport) has the bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect<A> {
    /// Find out where the node listens; answer with `set_endpoint` or `resolve_failed`.
    Resolve {
        /// The remote node.
        addr: A,
        /// Names this question in the answer that nothing is known.
        resolve: ResolveId,
    },
    /// Connect to the node; answer with `add_uplink` and `dial_connected`, or with `dial_failed`.
    Dial {
        /// The remote node.
        addr: A,
        /// Where it listens.
        endpoint: SocketAddr,
        /// 1 for the first dial since the last success.
        attempt: u32,
        /// Names this dial in the answers.
        dial: DialId,
    },
    /// Give up a dial and close the connection that it may have made, with its streams.
    ///
    /// Answer with `delete_stream` for each stream of it that was added. One that was on its way when the
    /// dial was given up is refused when it was added with `add_uplink`, which names the dial; with
    /// `add_stream` it may be listed as a stream of the next dial.
    CancelDial {
        /// The remote node.
        addr: A,
        /// The dial.
        dial: DialId,
    },
    /// The link is gone, or has become a pure downlink: give up its dial, close the connection that it made
    /// with its streams, and forget how the node was dialled. Answers as to `CancelDial`.
    CloseDialer {
        /// The remote node.
        addr: A,
    },
    /// Close these streams; answer with `delete_stream` for each (an answer for a link that is gone is
    /// harmless).
    ///
    /// The streams are named one by one, so that a late delivery can never close one that came after. For the
    /// same reason there is no effect that closes "all others": while too many wait to be closed already, the
    /// report of the stream ends with
    /// [`CommandError::TooManyRefused`](crate::CommandError::TooManyRefused).
    CloseStreams {
        /// The remote node.
        addr: A,
        /// The streams.
        streams: Vec<StreamId>,
    },
    /// Announce the net to the peer on this stream; answer with `admit` or `refuse`.
    Announce {
        /// The remote node.
        addr: A,
        /// The net.
        net: NetId,
        /// The primary stream.
        stream: StreamId,
    },
    /// The link was given up for this net.
    Released {
        /// The remote node.
        addr: A,
        /// The net.
        net: NetId,
        /// Members that the net has left.
        members: usize,
    },
    /// The link has trouble; nothing is given up yet.
    LinkError {
        /// The remote node.
        addr: A,
        /// A net that wants the link.
        net: NetId,
        /// What happened.
        cause: LinkFailure,
    },
    /// The net has too few links: offer candidates with `create_link` (and `set_endpoint`), leaving out the
    /// addresses that the snapshot lists as ignored.
    RequestLinks {
        /// The net.
        net: NetId,
        /// Links short of the minimum.
        needed: u32,
    },
    /// The number of links of a net changed. A net that is removed while it has links reports its last count,
    /// zero: the host's own count is right when the net comes back.
    LinkCountChanged {
        /// The net.
        net: NetId,
        /// Members whose primary stream this node opened.
        uplinks: usize,
        /// Members whose primary stream the peer opened.
        downlinks: usize,
    },
    /// The number of members of an associated cluster changed. A cluster that is dissociated while it has
    /// members reports its last count, zero.
    ClusterCountChanged {
        /// The cluster.
        cluster: ClusterId,
        /// Its members.
        members: usize,
    },
}

impl<A> Effect<A> {
    /// The remote node that this is about, if it is about one.
    #[must_use]
    pub fn addr(&self) -> Option<&A> {
        match self {
            Self::Resolve { addr, .. }
            | Self::Dial { addr, .. }
            | Self::CancelDial { addr, .. }
            | Self::CloseDialer { addr }
            | Self::CloseStreams { addr, .. }
            | Self::Announce { addr, .. }
            | Self::Released { addr, .. }
            | Self::LinkError { addr, .. } => Some(addr),
            Self::RequestLinks { .. } | Self::LinkCountChanged { .. } | Self::ClusterCountChanged { .. } => {
                None
            }
        }
    }
}

/// Streams of one address that are looked through one by one; more are looked up.
pub(in crate::manager) const FEW: usize = 16;

/// Places that an outbox keeps once it is empty.
pub(in crate::manager) const JOURNAL_CAPACITY: usize = 1_024;

pub(in crate::manager) fn entry<T>(queue: &mut VecDeque<T>, first: u64, place: u64) -> Option<&mut T> {
    let index = usize::try_from(place.checked_sub(first)?).ok()?;
    queue.get_mut(index)
}
