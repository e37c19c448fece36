//! What speaks against a dial, and against a request for candidates.

use std::time::Instant;

use crate::link::DialState;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;

/// What keeps a link from being dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialBlocker {
    /// There is no link of this address.
    NoLink,
    /// The manager is switched off.
    ManagerInactive,
    /// No net or cluster ever asked to dial the node: it dialled this one.
    PureDownlink,
    /// The dialer is connecting, or holds a connection.
    Busy(DialState),
    /// The manager waits for the host to say where the node listens.
    Resolving,
    /// The node is a member of some net or cluster or, with immediate timing, has a live stream: a dial would be
    /// superfluous.
    Connected,
    /// No net wants the link, and the node is a static peer of no cluster.
    Unwanted,
    /// This net wants the link, and is switched off, as are the others. With ticked timing a link is
    /// dialled all the same.
    NetInactive(NetId),
    /// The node is a static peer of this cluster, whose net is switched off; nothing else asks for a dial.
    ClusterDisabled(ClusterId),
    /// No net wants the link, and this one cannot: it is reserved to its permanent peers.
    NetReserved(NetId),
    /// The link is unstable, and rests: see [`FlapPolicy`](crate::link::FlapPolicy).
    Flapping {
        /// Until then.
        until: Instant,
    },
    /// The retry delay has not passed.
    Delay {
        /// When it has.
        until: Instant,
    },
}

/// What keeps a net from asking for candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestBlocker {
    /// No such net is managed.
    UnknownNet,
    /// The manager is switched off.
    ManagerInactive,
    /// The net is switched off.
    NetInactive,
    /// The net is reserved to its permanent peers.
    Reserved,
    /// The net has as many links as it requires.
    Enough,
    /// The net has asked a short while ago.
    Delay {
        /// When it asks again.
        until: Instant,
    },
}
