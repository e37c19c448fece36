//! Effects: instructions to the transport, and notices to the host.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::link::cluster::ClusterId;
use crate::link::failure::LinkFailure;
use crate::link::net::NetId;
use crate::link::stream::StreamId;
use crate::link::{DialId, ResolveId};

/// An instruction to the transport, or a notice to the host.
///
/// Effects are delivered in order, after the version that explains them is published. Effects that wait for a
/// slow transport are coalesced and never dropped: per link at most one request to resolve or dial and one to
/// close, per link and net one announcement and one notice of each kind, per net one count and one request
/// for candidates, and per cluster one count. In addition, streams to close that no link ever listed may
/// wait, up to [`Config::refused_streams`](crate::Config::refused_streams).
/// [`docs::guarantees`](crate::docs::guarantees#what-waits-for-the-transport) lists the bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect<A> {
    /// Find the endpoint of the node; answer with `set_endpoint` or `resolve_failed`.
    Resolve {
        /// The remote node.
        addr: A,
        /// The identity of this resolution, which `resolve_failed` names.
        resolve: ResolveId,
    },
    /// Connect to the node; answer with `add_uplink` and `dial_connected`, or with `dial_failed`.
    Dial {
        /// The remote node.
        addr: A,
        /// The endpoint of the node.
        endpoint: SocketAddr,
        /// The number of this attempt; 1 for the first dial since the last success.
        attempt: u32,
        /// The identity of this dial, which the answers name.
        dial: DialId,
    },
    /// Give up a dial; if it has made a connection, close that with its streams.
    ///
    /// Answer with `delete_stream` for each of its streams that was added. A stream that was being reported
    /// when the dial was given up is refused if the report is `add_uplink`, which names the dial; with
    /// `add_stream` it may be recorded as a stream of the next dial.
    CancelDial {
        /// The remote node.
        addr: A,
        /// The dial.
        dial: DialId,
    },
    /// The link was removed, or has become a pure downlink: give up its dial, close the connection that it
    /// made with its streams, and discard the state of its dialer. Answer as for `CancelDial`.
    CloseDialer {
        /// The remote node.
        addr: A,
    },
    /// Close these streams; answer with `delete_stream` for each (an answer for a link that no longer exists
    /// is harmless).
    ///
    /// The streams are named individually: a late delivery can never close a stream that was opened later.
    /// For the same reason there is no effect that closes "all others": while too many streams wait to be
    /// closed, the report of a refused stream fails with
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
    /// The net no longer uses the link: the last attempt to connect failed, the link is flapping, or the net
    /// was declined. A net whose permanent peer this is uses the link again after the retry delay.
    Released {
        /// The remote node.
        addr: A,
        /// The net.
        net: NetId,
        /// The number of members that remain in the net.
        members: usize,
        /// The cause of the failure.
        cause: LinkFailure,
    },
    /// A dial failed or a connection broke; the dialer keeps trying on its own, and the link has not been
    /// given up.
    LinkError {
        /// The remote node.
        addr: A,
        /// A net that wants the link.
        net: NetId,
        /// The cause: [`LinkFailure::DialFailed`] or [`LinkFailure::Broken`].
        cause: LinkFailure,
    },
    /// The net has too few links: offer candidates with `create_link` (and `set_endpoint`), except the
    /// addresses that the snapshot lists as ignored.
    RequestLinks {
        /// The net.
        net: NetId,
        /// The number of links needed to reach the minimum.
        needed: u32,
    },
    /// The number of links of a net changed. A net that is removed while it has links reports a last count of
    /// zero, which keeps the host's own count correct if the net is added again.
    LinkCountChanged {
        /// The net.
        net: NetId,
        /// The number of members whose primary stream this node opened.
        uplinks: usize,
        /// The number of members whose primary stream the peer opened.
        downlinks: usize,
    },
    /// The number of members of an associated cluster changed. A cluster that is dissociated while it has
    /// members reports a last count of zero.
    ClusterCountChanged {
        /// The cluster.
        cluster: ClusterId,
        /// The number of its members.
        members: usize,
    },
}

impl<A> Effect<A> {
    /// The remote node that this effect concerns, if any.
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

/// Number of streams of one address up to which the list is searched linearly; a longer one has a hash set.
pub(in crate::manager) const FEW: usize = 16;

/// Number of entries that an outbox keeps allocated once it is empty.
pub(in crate::manager) const QUEUE_CAPACITY: usize = 1_024;

pub(in crate::manager) fn entry<T>(queue: &mut VecDeque<T>, first: u64, place: u64) -> Option<&mut T> {
    let index = usize::try_from(place.checked_sub(first)?).ok()?;
    queue.get_mut(index)
}
