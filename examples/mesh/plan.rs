//! The plan: the peers that each node keeps, its number of links, and the changes half way through.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use switchboard::link::{ClusterKind, FlapPolicy};
use switchboard::manager::config::Settings;
use switchboard::{ClusterId, Link, NetConfig, NetId, NodeAddr, RetryPolicy};

use crate::names::{addr_of, index_of};

/// Number of nodes, counted from the first, that have a role in the static links cluster.
const ROLES: u16 = 3;

/// The plan of one run, the same for all nodes.
#[derive(Debug)]
pub(crate) struct Plan {
    nodes: u16,
    nets: Vec<NetId>,
    min_links: u16,
    /// Whether the second half has begun. Relaxed: a task that reads a stale value only acts a little late.
    late: AtomicBool,
}

impl Plan {
    /// `nets` must be at least one.
    pub(crate) fn new(nodes: u16, nets: u16, min_links: u16) -> Self {
        let nets = (1..=u64::from(nets)).map(NetId).collect();
        Self { nodes, nets, min_links, late: AtomicBool::new(false) }
    }

    pub(crate) fn nets(&self) -> &[NetId] {
        &self.nets
    }

    /// Begins the second half.
    pub(crate) fn turn(&self) {
        self.late.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// The settings of every manager. All delays are shorter than they would be between hosts, so that a
    /// short run sees many failures; they are shorter still in the second half.
    pub(crate) fn settings(&self) -> Settings {
        let (tick, base, cap) = if self.is_late() { (120, 80, 600) } else { (150, 100, 800) };
        let flapping = FlapPolicy::new()
            .threshold(Duration::from_secs(2))
            .limit(2)
            .delay(Duration::from_millis(1200))
            .entries(64);
        Settings::default()
            .tick(Duration::from_millis(tick))
            .ignore_period(Duration::from_millis(500))
            .max_attempts(2)
            .retry(RetryPolicy::exponential(Duration::from_millis(base), Duration::from_millis(cap)))
            .dial_timeout(Duration::from_millis(1200))
            .flaps(flapping)
    }

    /// The configuration of a net. In the first half, the first net asks for at most one link.
    pub(crate) fn net_config(&self, net: NetId) -> NetConfig {
        let early = net == self.first_net() && !self.is_late();
        let links = if early { self.min_links.min(1) } else { self.min_links };
        NetConfig::new().min_links(u32::from(links))
    }

    /// The permanent peer of `me` in the first net: every other node keeps the node after it.
    pub(crate) fn permanent_peer(&self, me: NodeAddr) -> Option<NodeAddr> {
        let index = index_of(me).filter(|index| index % 2 == 0)?;
        let peer = (index + 1) % self.nodes;
        (peer != index).then(|| addr_of(peer))
    }

    /// The cluster whose role members keep links to each other, regardless of the nets.
    pub(crate) fn static_cluster(&self) -> ClusterId {
        ClusterId::new(self.first_net(), 0x101)
    }

    /// The nodes that have a role in the static cluster.
    pub(crate) fn role_members(&self) -> impl Iterator<Item = NodeAddr> {
        (0..self.nodes.min(ROLES)).map(addr_of)
    }

    /// The nodes that `me` keeps a link to because of its role; none if it has no role.
    pub(crate) fn static_peers(&self, me: NodeAddr) -> impl Iterator<Item = NodeAddr> {
        let has_role = self.role_members().any(|addr| addr == me);
        self.role_members().filter(move |addr| has_role && *addr != me)
    }

    /// The cluster whose members the hosts choose among the links of the last net.
    pub(crate) fn embedded_cluster(&self) -> ClusterId {
        ClusterId::new(self.last_net(), 0x202)
    }

    /// All clusters with their nets and kinds.
    pub(crate) fn clusters(&self) -> [(NetId, ClusterId, ClusterKind); 2] {
        [
            (self.first_net(), self.static_cluster(), ClusterKind::Autonomic),
            (self.last_net(), self.embedded_cluster(), ClusterKind::Embedded),
        ]
    }

    /// Whether the host `me` currently wants the peer of this link in a cluster.
    ///
    /// In the embedded cluster, the host wants the members of the net whose address has the same parity as
    /// its own; in the second half, those with the other parity.
    pub(crate) fn wants(&self, me: NodeAddr, link: &Link<NodeAddr>, cluster: ClusterId) -> bool {
        if cluster == self.static_cluster() {
            return link.is_static_peer(cluster);
        }
        let alike = me.0 % 2 == link.addr().0 % 2;
        link.is_member(cluster.net()) && alike != self.is_late()
    }

    pub(crate) fn first_net(&self) -> NetId {
        self.nets[0]
    }

    fn last_net(&self) -> NetId {
        self.nets[self.nets.len() - 1]
    }
}
