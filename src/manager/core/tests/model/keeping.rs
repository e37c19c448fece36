//! Clusters, static and permanent peers.

use super::commands::check_addr;
use super::*;

impl Model {
    pub(super) fn check_group(&self, group: ClusterId) -> Result<(), CommandError> {
        if group.is_main() {
            return Err(CommandError::MainCluster(group));
        }
        self.groups.contains_key(&group).then_some(()).ok_or(CommandError::UnknownCluster(group))
    }

    pub(super) fn add_group(&mut self, net: NetId, group: ClusterId, kind: ClusterKind) -> Applying {
        if !self.nets.contains_key(&net) {
            return Err(CommandError::UnknownNet(net));
        }
        if group.is_main() {
            return Err(CommandError::MainCluster(group));
        }
        if self.groups.contains_key(&group) {
            return Err(CommandError::ClusterExists(group));
        }
        let limit = self.settings.max_clusters;
        if self.groups.len() >= limit {
            return Err(CommandError::LimitReached { of: "clusters", limit });
        }
        self.groups.insert(group, Group { net, kind, roles: BTreeSet::new() });
        Ok(Outcome::Done)
    }

    pub(super) fn drop_group(&mut self, group: ClusterId) {
        let addrs: Vec<_> = self.peers.keys().copied().collect();
        for addr in addrs {
            let peer = self.peers.get_mut(&addr).unwrap();
            let joined = peer.joined.remove(&group);
            let fixed = peer.fixed.remove(&group).is_some();
            if joined || fixed {
                self.settle(addr);
            }
        }
        self.groups.remove(&group);
    }

    pub(super) fn join(&mut self, group: ClusterId, addr: Node) -> Applying {
        self.check_group(group)?;
        if !self.is_enabled(group) {
            return Err(CommandError::ClusterDisabled(group));
        }
        let peer = self.peers.get_mut(&addr).ok_or(CommandError::UnknownLink)?;
        if peer.streams.is_empty() {
            return Err(CommandError::NotConnected);
        }
        Ok(if peer.joined.insert(group) { Outcome::Done } else { Outcome::Unchanged })
    }

    pub(super) fn fix(&mut self, addr: Node, group: ClusterId, word: Word) -> Applying {
        let enabled = self.is_enabled(group);
        let peer = self.record(addr)?;
        if !peer.fixed.entry(group).or_default().insert(word) {
            return Ok(Outcome::Unchanged);
        }
        peer.dialable = true;
        if enabled && !peer.streams.is_empty() {
            peer.joined.insert(group);
        }
        self.settle(addr);
        Ok(Outcome::Done)
    }

    pub(super) fn unfix(&mut self, addr: Node, group: ClusterId, word: Word) -> Outcome {
        let Some(peer) = self.peers.get_mut(&addr) else { return Outcome::Unchanged };
        let Some(words) = peer.fixed.get_mut(&group) else { return Outcome::Unchanged };
        if !words.remove(&word) {
            return Outcome::Unchanged;
        }
        peer.fixed.retain(|_, words| !words.is_empty());
        self.settle(addr);
        Outcome::Done
    }

    /// Sets a role. While this node has one, all other nodes with a role are static peers.
    pub(super) fn set_role(&mut self, group: ClusterId, addr: Node, member: bool) -> Applying {
        if addr == NodeAddr::BLANK {
            return Err(CommandError::BlankAddr);
        }
        self.check_group(group)?;
        let found = self.groups[&group].clone();
        if found.kind != ClusterKind::Autonomic {
            return Err(CommandError::NotAutonomic(group));
        }
        let mut roles = found.roles.clone();
        let changed = if member { roles.insert(addr) } else { roles.remove(&addr) };
        if !changed {
            return Ok(Outcome::Unchanged);
        }
        let limit = self.settings.max_roles;
        if member && found.roles.len() >= limit {
            return Err(CommandError::LimitReached { of: "role members", limit });
        }
        let peers_of = |roles: &BTreeSet<Node>| match roles.contains(&OWN) {
            true => roles.iter().copied().filter(|addr| *addr != OWN).collect(),
            false => BTreeSet::new(),
        };
        let (before, after) = (peers_of(&found.roles), peers_of(&roles));
        let come: Vec<_> = after.difference(&before).copied().collect();
        self.check_room(come.iter().copied())?;
        for addr in come {
            self.fix(addr, group, Word::Role)?;
        }
        for addr in before.difference(&after) {
            self.unfix(*addr, group, Word::Role);
        }
        self.groups.get_mut(&group).unwrap().roles = roles;
        Ok(Outcome::Done)
    }

    pub(super) fn keep(&mut self, net: NetId, addr: Node) -> Applying {
        check_addr(addr)?;
        let found = self.nets.get(&net).ok_or(CommandError::UnknownNet(net))?;
        if found.permanent.contains(&addr) {
            return Ok(Outcome::Unchanged);
        }
        let limit = self.settings.max_permanent;
        if found.permanent.len() >= limit {
            return Err(CommandError::LimitReached { of: "permanent peers", limit });
        }
        if found.on {
            self.want(addr, net)?;
        }
        self.nets.get_mut(&net).unwrap().permanent.insert(addr);
        Ok(Outcome::Done)
    }

    /// Removes a node from a net that no longer admits it. A static peer stays in its clusters.
    pub(super) fn let_go(&mut self, addr: Node, net: NetId) {
        let Some(peer) = self.peers.get_mut(&addr) else { return };
        peer.wanted.retain(|wanted| *wanted != net);
        peer.main.remove(&net);
        self.leave_groups(addr, net);
        self.join_fixed(addr, Some(net));
        self.settle(addr);
    }

    pub(super) fn leave_groups(&mut self, addr: Node, net: NetId) {
        let of_net = |group: &ClusterId| self.groups.get(group).is_some_and(|group| group.net == net);
        if let Some(peer) = self.peers.get_mut(&addr) {
            peer.joined.retain(|group| !of_net(group));
        }
    }

    /// Joins a connected static peer to its enabled clusters, of one net or of all nets.
    pub(super) fn join_fixed(&mut self, addr: Node, net: Option<NetId>) {
        let Some(peer) = self.peers.get(&addr) else { return };
        if peer.streams.is_empty() {
            return;
        }
        let open = |group: &&ClusterId| {
            self.is_enabled(**group) && net.is_none_or(|net| self.groups[*group].net == net)
        };
        let joined: Vec<_> = peer.fixed.keys().filter(open).copied().collect();
        self.peers.get_mut(&addr).unwrap().joined.extend(joined);
    }
}
