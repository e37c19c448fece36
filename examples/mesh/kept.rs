//! The comparison with the plan: the peers, clusters and settings that each node must have at the end.

use std::collections::BTreeSet;
use std::time::Instant;

use switchboard::{LinksSnapshot, NodeAddr};

use crate::describe;
use crate::names::Name;
use crate::plan::Plan;
use crate::truth::{Breach, View};

/// The parts of the plan that were fulfilled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Permanent peers that are members of their net.
    pub(crate) permanent_links: u64,
    /// Static peers that are members of their cluster.
    pub(crate) static_members: u64,
    /// Members of the embedded clusters.
    pub(crate) embedded_members: u64,
    /// Nodes whose minimum was raised and that have enough links.
    pub(crate) minimum_reached: u64,
    /// Links with the name of the peer.
    pub(crate) named_links: u64,
}

/// Compares all nodes with the plan. Returns no breaches if all nodes follow it.
pub(crate) fn check(views: &[View], plan: &Plan, now: Instant) -> (Kept, Vec<Breach>) {
    let mut check = Check { plan, now, kept: Kept::default(), breaches: Vec::new() };
    for view in views {
        check.permanent_peer(view.addr, &view.links);
        check.static_cluster(view.addr, &view.links);
        check.embedded_cluster(view.addr, &view.links);
        check.settings(view.addr, &view.links);
        check.names(view.addr, &view.links);
    }
    (check.kept, check.breaches)
}

struct Check<'a> {
    plan: &'a Plan,
    now: Instant,
    kept: Kept,
    breaches: Vec<Breach>,
}

impl Check<'_> {
    fn permanent_peer(&mut self, me: NodeAddr, links: &LinksSnapshot) {
        let Some(peer) = self.plan.permanent_peer(me) else { return };
        let net = self.plan.first_net();
        if !links.net(net).is_some_and(|net| net.is_permanent(&peer)) {
            self.unplanned(format!("{peer} is not a permanent peer of {me} in {net}"));
        }
        if links.get(&peer).is_some_and(|link| link.is_member(net)) {
            self.kept.permanent_links += 1;
        } else {
            self.missing(me, links, peer, &format!("its permanent peer in {net}"));
        }
    }

    /// The role members keep each other, and no other node is a member.
    fn static_cluster(&mut self, me: NodeAddr, links: &LinksSnapshot) {
        let cluster = self.plan.static_cluster();
        let wanted: BTreeSet<NodeAddr> = self.plan.static_peers(me).collect();
        let peers: BTreeSet<NodeAddr> = links.static_peers(cluster).copied().collect();
        let members: BTreeSet<NodeAddr> = links.cluster_members(cluster).copied().collect();
        if peers != wanted {
            self.unplanned(format!("{me} has the static peers {peers:?} in {cluster}, not {wanted:?}"));
        }
        for peer in wanted.difference(&members) {
            self.missing(me, links, *peer, &format!("its static peer in {cluster}"));
        }
        for peer in members.difference(&wanted) {
            self.unplanned(format!("{peer} is a member of {cluster} at {me}, but has no role in it"));
        }
        self.kept.static_members += members.intersection(&wanted).count() as u64;
    }

    /// The members are those that the host wants.
    fn embedded_cluster(&mut self, me: NodeAddr, links: &LinksSnapshot) {
        let cluster = self.plan.embedded_cluster();
        for link in links.links() {
            let (peer, is_member) = (*link.addr(), link.is_cluster_member(cluster));
            match (self.plan.wants(me, link, cluster), is_member) {
                (true, false) => self.missing(me, links, peer, &format!("wanted by the host in {cluster}")),
                (false, true) => {
                    self.unplanned(format!(
                        "{peer} is a member of {cluster} at {me}, which does not want it"
                    ));
                }
                (true, true) => self.kept.embedded_members += 1,
                (false, false) => {}
            }
        }
    }

    /// Settings that were changed at run time are in force.
    fn settings(&mut self, me: NodeAddr, links: &LinksSnapshot) {
        if *links.settings() != self.plan.settings() {
            self.unplanned(format!("{me} has other settings: {:?}", links.settings()));
        }
        for net in self.plan.nets() {
            let wanted = self.plan.net_config(*net);
            if links.net(*net).is_none_or(|net| net.config() != wanted) {
                self.unplanned(format!("{me} does not have {wanted:?} in {net}"));
            }
        }
        let net = self.plan.first_net();
        let is_reached = links.count(net) >= links.min_links(net);
        self.kept.minimum_reached += u64::from(self.plan.is_late() && is_reached);
    }

    fn names(&mut self, me: NodeAddr, links: &LinksSnapshot) {
        for link in links.links().filter(|link| !link.streams().is_empty()) {
            let peer = *link.addr();
            match link.user_data::<Name>() {
                Some(name) if *name == Name::of(peer) => self.kept.named_links += 1,
                other => self.unplanned(format!("{me} has {other:?} attached to its link with {peer}")),
            }
        }
    }

    fn missing(&mut self, me: NodeAddr, links: &LinksSnapshot, peer: NodeAddr, what: &str) {
        let why = describe::link(links, peer, self.now);
        self.breaches.push(Breach::Missing(format!("{me} lacks {peer}, {what}: {why}")));
    }

    fn unplanned(&mut self, what: String) {
        self.breaches.push(Breach::Unplanned(what));
    }
}
