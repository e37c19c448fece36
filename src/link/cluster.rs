//! Clusters: sets of nodes within a net.

use std::collections::HashSet;
use std::fmt;

use crate::link::net::NetId;
use crate::sync::StdArc;

/// The identity of a cluster: a net and one of its services, 64 bits each.
///
/// Service 0 is the main cluster of the net, which exists exactly as long as the net. All other clusters are
/// associated with a net by a command, which names that net: it is not taken from the identity.
///
/// # Examples
/// ```
/// use switchboard::{ClusterId, NetId};
///
/// let consensus = ClusterId::new(NetId(1), 0x101);
/// assert_eq!((consensus.net(), consensus.service()), (NetId(1), 0x101));
/// assert!(ClusterId::main(NetId(1)).is_main() && !consensus.is_main());
/// assert_eq!(consensus.to_string(), "cluster 0000000000000001::0000000000000101");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u128);

impl ClusterId {
    /// Returns the identity of the cluster for a service of a net.
    #[must_use]
    pub const fn new(net: NetId, service: u64) -> Self {
        Self((net.0 as u128) << 64 | service as u128)
    }

    /// Returns the identity of the main cluster of a net, which contains the members of the net.
    #[must_use]
    pub const fn main(net: NetId) -> Self {
        Self::new(net, 0)
    }

    /// The net in the upper half.
    #[must_use]
    pub const fn net(self) -> NetId {
        NetId((self.0 >> 64) as u64)
    }

    /// The service in the lower half.
    #[must_use]
    pub const fn service(self) -> u64 {
        self.0 as u64
    }

    /// Whether this is the main cluster of its net.
    #[must_use]
    pub const fn is_main(self) -> bool {
        self.service() == 0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {:016x}::{:016x}", self.net().0, self.service())
    }
}

/// The source of the members of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum ClusterKind {
    /// The members are links of the net, which originate from the host's candidates.
    Embedded,
    /// The members come from a list of designated nodes, the role members of the cluster. If this node is one
    /// of them, it keeps a link to each of the others.
    Autonomic,
}

/// Whether a cluster may have members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterStatus {
    /// The net is on.
    Enabled,
    /// The net is off: the cluster has no members, and no node is dialled for it.
    Disabled,
}

impl ClusterStatus {
    pub(crate) fn of_net(active: bool) -> Self {
        if active { Self::Enabled } else { Self::Disabled }
    }
}

/// A cluster that is associated with a net, as of one version.
#[derive(Clone, Debug)]
pub struct Cluster<A> {
    pub(crate) id: ClusterId,
    pub(crate) net: NetId,
    pub(crate) kind: ClusterKind,
    pub(crate) status: ClusterStatus,
    /// Bounded by the configuration. Copied on change, which is rare.
    pub(crate) roles: StdArc<HashSet<A>>,
}

impl<A> Cluster<A> {
    /// The identity of the cluster.
    #[must_use]
    pub fn id(&self) -> ClusterId {
        self.id
    }

    /// The net with which the cluster is associated.
    #[must_use]
    pub fn net(&self) -> NetId {
        self.net
    }

    /// The source of the cluster's members.
    #[must_use]
    pub fn kind(&self) -> ClusterKind {
        self.kind
    }

    /// Whether the cluster may have members.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        self.status
    }

    /// The designated nodes, including this node if it is one of them, in no particular order. Empty for an
    /// embedded cluster.
    #[must_use]
    pub fn role_members(&self) -> impl ExactSizeIterator<Item = &A> {
        self.roles.iter()
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.status == ClusterStatus::Enabled
    }
}

/// The note that a node is a static peer of a cluster, and whether the host or a role made it one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Designation {
    pub(crate) cluster: ClusterId,
    /// Whether the host designated the node.
    pub(crate) asked: bool,
    /// Whether both this node and the peer have a role in the cluster.
    pub(crate) role: bool,
}

/// The origin of a designation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Host,
    Role,
}

impl Designation {
    pub(crate) fn is_by(self, by: By) -> bool {
        match by {
            By::Host => self.asked,
            By::Role => self.role,
        }
    }

    pub(crate) fn by(&mut self, by: By) -> &mut bool {
        match by {
            By::Host => &mut self.asked,
            By::Role => &mut self.role,
        }
    }
}
