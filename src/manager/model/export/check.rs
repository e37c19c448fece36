//! Validation of exports.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;

use super::{Export, SavedCluster, SavedLink, SavedNet};
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::link::{ClusterKind, EndpointError};
use crate::manager::model::config::Config;
use crate::manager::model::config::settings::Settings;

/// The reason why an export cannot be imported. Links are named by their index in its list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportError {
    /// The format is not supported: the data was written by another version of the crate, or is not an
    /// export.
    UnknownFormat {
        /// The format of the export.
        found: u32,
        /// The supported format.
        supported: u32,
    },
    /// 0 and `u64::MAX` are not valid identities of a net.
    InvalidNet(NetId),
    /// The net is listed twice.
    DuplicateNet(NetId),
    /// The number of nets, clusters, permanent peers, role members or links exceeds the limit. Peers that are
    /// kept without being listed count as links.
    LimitReached {
        /// The kind of entry that exceeds its limit.
        of: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An ignored address of the net is blank.
    BlankIgnored(NetId),
    /// The net lists an ignored address twice.
    DuplicateIgnored(NetId),
    /// A permanent peer of the net is blank.
    BlankPermanent(NetId),
    /// A permanent peer of the net is listed twice.
    DuplicatePermanent(NetId),
    /// The cluster is the main cluster of its net, which is never listed.
    MainCluster(ClusterId),
    /// The cluster is listed twice.
    DuplicateCluster(ClusterId),
    /// A cluster is associated with a net that is not listed.
    UnknownClusterNet {
        /// The cluster.
        cluster: ClusterId,
        /// The net.
        net: NetId,
    },
    /// The cluster is embedded but lists roles.
    NotAutonomic(ClusterId),
    /// A role member of the cluster is blank.
    BlankRole(ClusterId),
    /// A role member of the cluster is listed twice.
    DuplicateRole(ClusterId),
    /// The address of a link is blank.
    BlankLink {
        /// The index of the link.
        index: usize,
    },
    /// Two links have the same address.
    DuplicateLink {
        /// The index of the second one.
        index: usize,
    },
    /// No net wants the link, and the node is a static peer of no cluster.
    UnwantedLink {
        /// The index of the link.
        index: usize,
    },
    /// A link is wanted by a net that is not listed.
    UnknownNet {
        /// The index of the link.
        index: usize,
        /// The net.
        net: NetId,
    },
    /// A link names a net twice.
    RepeatedNet {
        /// The index of the link.
        index: usize,
        /// The net.
        net: NetId,
    },
    /// A link is wanted by a net that is reserved for other peers.
    ReservedNet {
        /// The index of the link.
        index: usize,
        /// The net.
        net: NetId,
    },
    /// A link names a cluster that is not listed.
    UnknownCluster {
        /// The index of the link.
        index: usize,
        /// The cluster.
        cluster: ClusterId,
    },
    /// A link names a cluster twice.
    RepeatedCluster {
        /// The index of the link.
        index: usize,
        /// The cluster.
        cluster: ClusterId,
    },
    /// The endpoint of a link cannot be dialled.
    Endpoint {
        /// The index of the link.
        index: usize,
        /// The reason.
        error: EndpointError,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat { found, supported } => {
                write!(
                    f,
                    "unsupported export format {found}, expected {supported}: update the crate, or start without \
                     the export"
                )
            }
            Self::InvalidNet(net) => write!(f, "{net} is not a valid net identity"),
            Self::DuplicateNet(net) => write!(f, "{net} is listed twice"),
            Self::LimitReached { of, limit } => {
                write!(f, "more {of} than the limit of {limit}: raise the limit in the configuration")
            }
            Self::BlankIgnored(net) => write!(f, "an ignored address of {net} is blank"),
            Self::DuplicateIgnored(net) => write!(f, "{net} ignores an address twice"),
            Self::BlankPermanent(net) => write!(f, "a permanent peer of {net} is blank"),
            Self::DuplicatePermanent(net) => write!(f, "{net} lists a permanent peer twice"),
            Self::MainCluster(cluster) => write!(f, "{cluster} is the main cluster of its net: leave it out"),
            Self::DuplicateCluster(cluster) => write!(f, "{cluster} is listed twice"),
            Self::UnknownClusterNet { cluster, net } => {
                write!(f, "{cluster} names {net}, which is not listed")
            }
            Self::NotAutonomic(cluster) => write!(f, "{cluster} is embedded and cannot have roles"),
            Self::BlankRole(cluster) => write!(f, "a role member of {cluster} is blank"),
            Self::DuplicateRole(cluster) => write!(f, "{cluster} lists a role member twice"),
            Self::BlankLink { index } => write!(f, "the address of link {index} is blank"),
            Self::DuplicateLink { index } => write!(f, "link {index} has the address of an earlier one"),
            Self::UnwantedLink { index } => {
                write!(f, "link {index} is wanted by no net and static in no cluster")
            }
            Self::UnknownNet { index, net } => write!(f, "link {index} names {net}, which is not listed"),
            Self::RepeatedNet { index, net } => write!(f, "link {index} names {net} twice"),
            Self::ReservedNet { index, net } => {
                write!(f, "link {index} names {net}, which is reserved for other peers")
            }
            Self::UnknownCluster { index, cluster } => {
                write!(f, "link {index} names {cluster}, which is not listed")
            }
            Self::RepeatedCluster { index, cluster } => write!(f, "link {index} names {cluster} twice"),
            Self::Endpoint { index, error } => {
                write!(f, "the endpoint of link {index} cannot be dialled: {error}")
            }
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Endpoint { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The nets, each with the peers that it is reserved for.
type Nets<'a, A> = HashMap<NetId, Option<HashSet<&'a A>>>;

impl<A: Addr> Export<A> {
    /// Checks whether a manager with this configuration can import the export. O(export).
    ///
    /// # Errors
    /// [`ImportError`] names the first problem.
    pub fn check(&self, config: &Config) -> Result<(), ImportError> {
        if self.format != Self::FORMAT {
            return Err(ImportError::UnknownFormat { found: self.format, supported: Self::FORMAT });
        }
        let settings = config.settings();
        limit("nets", self.nets.len(), settings.max_nets)?;
        limit("clusters", self.clusters.len(), settings.max_clusters)?;
        let mut nets = HashMap::new();
        for net in &self.nets {
            net.check(settings)?;
            let reserved = net.reserved_only.then(|| net.permanent.iter().collect());
            if nets.insert(net.id, reserved).is_some() {
                return Err(ImportError::DuplicateNet(net.id));
            }
        }
        let mut clusters = HashSet::new();
        for cluster in &self.clusters {
            cluster.check(settings, &nets)?;
            let id = cluster.id.get();
            distinct(&mut clusters, id, || ImportError::DuplicateCluster(id))?;
        }
        let kept = self.kept();
        let mut addrs = HashSet::new();
        for (index, link) in self.links.iter().enumerate() {
            link.check(index, &nets, &clusters, &kept)?;
            let endpoint = link.endpoint.map_or(Ok(()), |endpoint| config.addresses.check(endpoint));
            endpoint.map_err(|error| ImportError::Endpoint { index, error })?;
            distinct(&mut addrs, &link.addr, || ImportError::DuplicateLink { index })?;
        }
        addrs.extend(kept);
        limit("links", addrs.len(), settings.max_links)
    }

    /// The peers that get a link without being listed: permanent peers of nets that are on, and role members
    /// of clusters in which this node has a role.
    fn kept(&self) -> HashSet<&A> {
        let nets = self.nets.iter().filter(|net| net.active).flat_map(|net| &net.permanent);
        let clusters = self.clusters.iter().filter(|cluster| cluster.own_role);
        nets.chain(clusters.flat_map(|cluster| &cluster.roles)).collect()
    }
}

impl<A: Addr> SavedNet<A> {
    fn check(&self, settings: &Settings) -> Result<(), ImportError> {
        if !self.id.is_valid() {
            return Err(ImportError::InvalidNet(self.id));
        }
        let ignored = self.ignored.iter().map(|entry| &entry.addr);
        check_addrs(
            ignored,
            || ImportError::BlankIgnored(self.id),
            || ImportError::DuplicateIgnored(self.id),
        )?;
        limit("permanent peers", self.permanent.len(), settings.max_permanent)?;
        check_addrs(
            &self.permanent,
            || ImportError::BlankPermanent(self.id),
            || ImportError::DuplicatePermanent(self.id),
        )
    }
}

impl<A: Addr> SavedCluster<A> {
    fn check(&self, settings: &Settings, nets: &Nets<'_, A>) -> Result<(), ImportError> {
        let (cluster, net) = (self.id.get(), self.net);
        if cluster.is_main() {
            return Err(ImportError::MainCluster(cluster));
        }
        if !nets.contains_key(&net) {
            return Err(ImportError::UnknownClusterNet { cluster, net });
        }
        let roles = self.roles.len() + usize::from(self.own_role);
        if self.kind != ClusterKind::Autonomic && roles > 0 {
            return Err(ImportError::NotAutonomic(cluster));
        }
        limit("role members", roles, settings.max_roles)?;
        check_addrs(&self.roles, || ImportError::BlankRole(cluster), || ImportError::DuplicateRole(cluster))
    }
}

impl<A: Addr> SavedLink<A> {
    fn check(
        &self,
        index: usize,
        nets: &Nets<'_, A>,
        clusters: &HashSet<ClusterId>,
        kept: &HashSet<&A>,
    ) -> Result<(), ImportError> {
        if self.addr.is_blank() {
            return Err(ImportError::BlankLink { index });
        }
        if self.nets.is_empty() && self.static_of.is_empty() && !kept.contains(&self.addr) {
            return Err(ImportError::UnwantedLink { index });
        }
        let mut seen = HashSet::new();
        for net in self.nets.iter().copied() {
            let Some(reserved) = nets.get(&net) else { return Err(ImportError::UnknownNet { index, net }) };
            if reserved.as_ref().is_some_and(|peers| !peers.contains(&self.addr)) {
                return Err(ImportError::ReservedNet { index, net });
            }
            distinct(&mut seen, net, || ImportError::RepeatedNet { index, net })?;
        }
        let mut seen = HashSet::new();
        for cluster in self.static_of.iter().map(|id| id.get()) {
            if !clusters.contains(&cluster) {
                return Err(ImportError::UnknownCluster { index, cluster });
            }
            distinct(&mut seen, cluster, || ImportError::RepeatedCluster { index, cluster })?;
        }
        Ok(())
    }
}

fn check_addrs<'a, A: Addr>(
    addrs: impl IntoIterator<Item = &'a A>,
    blank: impl Fn() -> ImportError,
    twice: impl Fn() -> ImportError,
) -> Result<(), ImportError> {
    let mut seen = HashSet::new();
    for addr in addrs {
        if addr.is_blank() {
            return Err(blank());
        }
        distinct(&mut seen, addr, &twice)?;
    }
    Ok(())
}

fn limit(of: &'static str, len: usize, limit: usize) -> Result<(), ImportError> {
    if len > limit { Err(ImportError::LimitReached { of, limit }) } else { Ok(()) }
}

fn distinct<T: Eq + Hash>(
    seen: &mut HashSet<T>,
    item: T,
    error: impl FnOnce() -> ImportError,
) -> Result<(), ImportError> {
    if seen.insert(item) { Ok(()) } else { Err(error()) }
}
