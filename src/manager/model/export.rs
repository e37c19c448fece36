//! The state that persists across restarts, as plain data.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::net::{NetConfig, NetId};
use crate::link::record::Link;
use crate::link::{Cluster, ClusterKind, NetStatus};
use crate::util::time::later;

pub(crate) mod check;

/// The state of a manager that persists across restarts: nets with their configuration, whether they are on,
/// their permanent peers and ignored addresses; clusters with their roles; the links that a net wants or that
/// are static peers of a cluster, with endpoints and retry state.
///
/// Streams, memberships and dials are not part of it, because they end with the process; nor are the settings
/// and user data. Instants are wall-clock times, in milliseconds since 1970, rounded up.
///
/// With the feature `serde` it has a serialized form, which contains a format number: a manager that does not
/// know the format refuses it. Equality ignores the order of links, roles and permanent peers.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "serde")] {
/// use std::time::SystemTime;
/// use switchboard::{Config, LinkManager, NetConfig, NetId, NodeAddr};
/// use switchboard::clock::{Clock, ManualClock};
/// use switchboard::manager::export::Export;
///
/// let clock = ManualClock::new();
/// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
/// driver.handle().add_net(NetId(1), NetConfig::new())?;
/// driver.handle().create_link(NodeAddr(7), NetId(1))?;
/// let _ = driver.run_once(clock.now());
/// let export = driver.links().snapshot().export(clock.now(), SystemTime::now());
/// let json = serde_json::to_string(&export)?;
/// drop(driver);
///
/// let export: Export<NodeAddr> = serde_json::from_str(&json)?;
/// let driver = LinkManager::builder(Config::default()).import(export, SystemTime::now())?.build()?;
/// assert!(driver.links().snapshot().contains(&NodeAddr(7), NetId(1)));
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Export<A> {
    pub(in crate::manager) format: u32,
    pub(in crate::manager) active: bool,
    pub(in crate::manager) nets: Vec<SavedNet<A>>,
    #[cfg_attr(feature = "serde", serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty"))]
    pub(in crate::manager) clusters: Vec<SavedCluster<A>>,
    pub(in crate::manager) links: Vec<SavedLink<A>>,
}

/// A managed net.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub(in crate::manager) struct SavedNet<A> {
    pub(in crate::manager) id: NetId,
    pub(in crate::manager) min_links: u32,
    pub(in crate::manager) count_downlinks: bool,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(in crate::manager) reserved_only: bool,
    pub(in crate::manager) active: bool,
    pub(in crate::manager) ignored: Vec<SavedIgnored<A>>,
    #[cfg_attr(feature = "serde", serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty"))]
    pub(in crate::manager) permanent: Vec<A>,
}

/// An associated cluster.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub(in crate::manager) struct SavedCluster<A> {
    pub(in crate::manager) id: SavedId,
    pub(in crate::manager) net: NetId,
    pub(in crate::manager) kind: ClusterKind,
    /// Whether this node has a role.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(in crate::manager) own_role: bool,
    /// The other nodes that have a role.
    #[cfg_attr(feature = "serde", serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty"))]
    pub(in crate::manager) roles: Vec<A>,
}

/// The identity of a cluster in two parts, because many formats lack 128-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub(in crate::manager) struct SavedId {
    pub(in crate::manager) net: NetId,
    pub(in crate::manager) service: u64,
}

/// An address that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub(in crate::manager) struct SavedIgnored<A> {
    pub(in crate::manager) addr: A,
    pub(in crate::manager) until: WallTime,
}

/// A link that some net wants, or a static peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub(in crate::manager) struct SavedLink<A> {
    pub(in crate::manager) addr: A,
    pub(in crate::manager) nets: Vec<NetId>,
    /// The clusters of which the host made the node a static peer.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(in crate::manager) static_of: Vec<SavedId>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(in crate::manager) endpoint: Option<SocketAddr>,
    pub(in crate::manager) attempts: u32,
    pub(in crate::manager) failures: u32,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(in crate::manager) next_attempt: Option<WallTime>,
    /// Whether the link rests until `next_attempt`.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    pub(in crate::manager) resting: bool,
}

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(transparent))]
pub(in crate::manager) struct WallTime(u64);

/// One instant on both clocks.
#[derive(Clone, Copy, Debug)]
pub(in crate::manager) struct Anchor {
    pub(in crate::manager) now: Instant,
    /// Time since 1970; zero if the clock shows an earlier time.
    pub(in crate::manager) wall: Duration,
}

impl Anchor {
    pub(in crate::manager) fn new(now: Instant, wall: SystemTime) -> Self {
        Self { now, wall: wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() }
    }

    /// Rounds up, so that nothing becomes due too early.
    fn save(self, at: Instant) -> WallTime {
        let at = self.wall.saturating_add(at.saturating_duration_since(self.now));
        WallTime(u64::try_from(at.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }

    /// Returns `None` if the time has passed. The wait is at most `longest`, even if the clock was set back
    /// or the time was never planned.
    pub(in crate::manager) fn restore(self, at: WallTime, longest: Duration) -> Option<Instant> {
        let left = Duration::from_millis(at.0).checked_sub(self.wall)?;
        Some(later(self.now, left.min(longest)))
    }
}

impl<A: Addr> SavedNet<A> {
    pub(in crate::manager) fn new(net: &NetStatus<A>, anchor: Anchor) -> Self {
        let ignored = net.ignored.iter().filter(|entry| entry.until >= anchor.now);
        let ignored =
            ignored.map(|entry| SavedIgnored { addr: entry.addr.clone(), until: anchor.save(entry.until) });
        let NetConfig { min_links, count_downlinks, reserved_only } = net.config();
        Self {
            id: net.id(),
            min_links,
            count_downlinks,
            reserved_only,
            active: net.is_active(),
            ignored: ignored.collect(),
            permanent: net.permanent_peers().cloned().collect(),
        }
    }

    pub(in crate::manager) fn config(&self) -> NetConfig {
        let config = NetConfig::new().min_links(self.min_links).count_downlinks(self.count_downlinks);
        config.reserved_only(self.reserved_only)
    }
}

impl<A: Addr> PartialEq for SavedNet<A> {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.config(), self.active) == (other.id, other.config(), other.active)
            && self.ignored == other.ignored
            && are_same(&self.permanent, &other.permanent)
    }
}

impl<A: Addr> SavedCluster<A> {
    pub(in crate::manager) fn new(cluster: &Cluster<A>, own: Option<&A>) -> Self {
        Self {
            id: SavedId::new(cluster.id()),
            net: cluster.net(),
            kind: cluster.kind(),
            own_role: cluster.role_members().any(|addr| Some(addr) == own),
            roles: cluster.role_members().filter(|addr| Some(*addr) != own).cloned().collect(),
        }
    }
}

impl<A: Addr> PartialEq for SavedCluster<A> {
    fn eq(&self, other: &Self) -> bool {
        let head = |one: &Self| (one.id, one.net, one.kind, one.own_role);
        head(self) == head(other) && are_same(&self.roles, &other.roles)
    }
}

impl SavedId {
    pub(in crate::manager) fn new(cluster: ClusterId) -> Self {
        Self { net: cluster.net(), service: cluster.service() }
    }

    pub(in crate::manager) fn get(self) -> ClusterId {
        ClusterId::new(self.net, self.service)
    }
}

/// Whether two lists contain the same addresses, in any order.
fn are_same<A: Addr>(one: &[A], other: &[A]) -> bool {
    let known: HashSet<_> = one.iter().collect();
    one.len() == other.len() && known == other.iter().collect()
}

impl<A: Addr> SavedLink<A> {
    /// Returns `None` for a link that only its streams keep.
    pub(in crate::manager) fn new(link: &Link<A>, anchor: Anchor) -> Option<Self> {
        let planned = link.not_before.filter(|at| *at >= anchor.now);
        let kept = !link.nets.is_empty() || !link.designations.is_empty();
        let asked = link.designations.iter().filter(|designation| designation.asked);
        kept.then(|| Self {
            addr: link.addr.clone(),
            nets: link.nets.clone(),
            static_of: asked.map(|designation| SavedId::new(designation.cluster)).collect(),
            endpoint: link.endpoint,
            attempts: link.attempts,
            failures: link.failures,
            next_attempt: planned.map(|at| anchor.save(at)),
            resting: link.resting && planned.is_some(),
        })
    }
}

impl<A> Export<A> {
    /// The format that this version of the crate writes; it reads no other.
    pub const FORMAT: u32 = 1;

    /// The format of this export.
    #[must_use]
    pub fn format(&self) -> u32 {
        self.format
    }
}

impl<A: Addr> PartialEq for Export<A> {
    fn eq(&self, other: &Self) -> bool {
        let (Self { format, active, nets, clusters, links }, theirs) = (self, &other.links);
        let mine: HashMap<_, _> = links.iter().map(|link| (&link.addr, link)).collect();
        (*format, *active, nets) == (other.format, other.active, &other.nets)
            && *clusters == other.clusters
            && links.len() == theirs.len()
            && theirs.iter().all(|link| mine.get(&link.addr) == Some(&link))
    }
}

impl<A: Addr> Eq for Export<A> {}
