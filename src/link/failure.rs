//! Causes of failed attempts to connect.

use std::fmt;

use crate::link::addr::EndpointError;

/// The cause of a failed attempt to connect to a node, or of the loss of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkFailure {
    /// The endpoint that the host supplied in answer to `Effect::Resolve` cannot be dialled, or the
    /// [address policy](crate::link::AddressPolicy) refuses it.
    Endpoint(EndpointError),
    /// The host reported that it knows no endpoint of the node.
    Unresolved,
    /// The host supplied no endpoint within [`Config::dial_timeout`](crate::Config::dial_timeout).
    ResolveTimedOut,
    /// The dialer reported a failure.
    DialFailed,
    /// The dial was not answered within [`Config::dial_timeout`](crate::Config::dial_timeout), or its
    /// connection had no stream.
    DialTimedOut,
    /// The connection broke.
    Broken,
    /// The connection broke too soon, too often: the link rests. See [`FlapPolicy`](crate::link::FlapPolicy).
    Flapping,
    /// The peer, or this node, declined the net.
    Refused,
}

impl fmt::Display for LinkFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => write!(f, "the endpoint cannot be dialled: {error}"),
            Self::Unresolved => f.write_str("the host knows no endpoint of the node"),
            Self::ResolveTimedOut => f.write_str("the host did not supply an endpoint in time"),
            Self::DialFailed => f.write_str("the dial failed"),
            Self::DialTimedOut => f.write_str("the dial was not answered in time"),
            Self::Broken => f.write_str("the connection broke"),
            Self::Flapping => f.write_str("the connection broke soon after it was made, several times"),
            Self::Refused => f.write_str("the net was declined"),
        }
    }
}
