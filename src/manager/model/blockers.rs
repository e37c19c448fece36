//! Conditions that prevent a dial or a request for candidates.

use std::time::Instant;

use crate::link::DialState;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;

/// A condition that prevents a link from being dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialBlocker {
    /// No link has this address.
    NoLink,
    /// The address is blank: the manager refuses links to it.
    BlankAddr,
    /// The address is this node's own: the manager refuses links to it.
    OwnAddr,
    /// The manager is switched off.
    ManagerInactive,
    /// The link is a pure downlink: no net or cluster wants it dialled.
    PureDownlink,
    /// The dialer is connecting, or holds a connection.
    Busy(DialState),
    /// The manager waits for the host to supply the endpoint.
    Resolving,
    /// The node is a member of some net or cluster or, with immediate timing, has a live stream; a dial would
    /// be superfluous.
    Connected,
    /// No net wants the link, and the node is a static peer of no cluster.
    Unwanted,
    /// This net wants the link, but is switched off, as are all other nets that want it. With ticked timing
    /// the link is dialled nevertheless.
    NetInactive(NetId),
    /// The node is a static peer of this cluster, whose net is switched off; there is no other reason to
    /// dial.
    ClusterDisabled(ClusterId),
    /// No net wants the link, and this net cannot: it is reserved for its permanent peers.
    NetReserved(NetId),
    /// The link is flapping and rests: see [`FlapPolicy`](crate::link::FlapPolicy).
    Flapping {
        /// The end of the rest.
        until: Instant,
    },
    /// The retry delay is not over.
    Delay {
        /// The end of the delay.
        until: Instant,
    },
}

/// A condition that prevents a net from requesting candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestBlocker {
    /// The net is not managed.
    UnknownNet,
    /// The manager is switched off.
    ManagerInactive,
    /// The net is switched off.
    NetInactive,
    /// The net is reserved for its permanent peers.
    Reserved,
    /// The net has as many links as it requires.
    Enough,
    /// The net has requested candidates recently.
    Delay {
        /// The instant of the next request.
        until: Instant,
    },
}
