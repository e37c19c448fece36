//! Commands of the host, except those about clusters and peers.

use super::*;

impl Model {
    pub(super) fn dispatch(&mut self, command: Command<Node>) -> Applying {
        match command {
            Command::AddNet { net, config } => self.add_net(net, config),
            Command::RemoveNet { net } => {
                self.switch(net, false)?;
                self.drop_net(net);
                for group in self.groups_of(net) {
                    self.drop_group(group);
                }
                self.nets.remove(&net);
                Ok(Outcome::Done)
            }
            Command::SetNetActive { net, active } => self.switch(net, active),
            Command::SetActive { active } => {
                let changed = std::mem::replace(&mut self.on, active) != active;
                Ok(if changed { Outcome::Done } else { Outcome::Unchanged })
            }
            Command::ConfigureNet { net, config } => self.configure(net, config),
            Command::Reconfigure { settings } => self.reconfigure(*settings),
            Command::SetUserData { addr, data } => {
                let peer = self.peers.get_mut(&addr).ok_or(CommandError::UnknownLink)?;
                let changed = peer.data != data;
                peer.data = data;
                Ok(if changed { Outcome::Done } else { Outcome::Unchanged })
            }
            Command::AssociateCluster { net, cluster, kind } => self.add_group(net, cluster, kind),
            Command::DissociateCluster { cluster } => {
                self.check_group(cluster)?;
                self.drop_group(cluster);
                Ok(Outcome::Done)
            }
            Command::JoinCluster { cluster, addr } => self.join(cluster, addr),
            Command::LeaveCluster { cluster, addr } => {
                self.check_group(cluster)?;
                let left =
                    self.peers.get_mut(&addr).ok_or(CommandError::UnknownLink)?.joined.remove(&cluster);
                self.settle(addr);
                Ok(if left { Outcome::Done } else { Outcome::Unchanged })
            }
            Command::AddStaticPeer { cluster, addr } => {
                check_addr(addr)?;
                self.check_group(cluster)?;
                self.fix(addr, cluster, Word::Host)
            }
            Command::RemoveStaticPeer { cluster, addr } => {
                self.check_group(cluster)?;
                Ok(self.unfix(addr, cluster, Word::Host))
            }
            Command::SetRoleMember { cluster, addr, member } => self.set_role(cluster, addr, member),
            Command::AddPermanentPeer { net, addr } => self.keep(net, addr),
            Command::RemovePermanentPeer { net, addr } => {
                let found = self.nets.get_mut(&net).ok_or(CommandError::UnknownNet(net))?;
                if !found.permanent.remove(&addr) {
                    return Ok(Outcome::Unchanged);
                }
                if found.config.reserved_only {
                    self.let_go(addr, net);
                }
                Ok(Outcome::Done)
            }
            Command::CreateLink { addr, net } => self.create(addr, net),
            Command::DeleteLink { addr } => self.delete(addr),
            Command::CheckNets => {
                self.request(|_| true);
                Ok(Outcome::Done)
            }
            Command::WakeUp => {
                self.wake_all();
                Ok(Outcome::Done)
            }
            report => self.report(report),
        }
    }

    fn report(&mut self, command: Command<Node>) -> Applying {
        match command {
            Command::SetEndpoint { addr, endpoint } => self.endpoint(addr, endpoint),
            Command::ResolveFailed { addr, resolve } => Ok(self.resolve_failed(addr, resolve)),
            Command::AddStream { addr, stream, direction } => self.open(addr, stream, direction, None),
            Command::AddUplink { addr, stream, dial } => self.open(addr, stream, Uplink, Some(dial)),
            Command::ReplaceStream { addr, old, new, direction } => {
                Ok(self.replace(addr, old, new, direction))
            }
            Command::DeleteStream { addr, stream } => Ok(self.lose(addr, stream)),
            Command::AccountLink { net, addr, stream, accepted } => self.account(net, addr, stream, accepted),
            Command::DialConnected { addr, dial } => Ok(self.connected(addr, dial)),
            Command::DialFailed { addr, dial, last } => Ok(self.failed(addr, dial, last)),
            other => panic!("the model does not support {other:?}"),
        }
    }

    fn add_net(&mut self, net: NetId, config: NetConfig) -> Applying {
        if net.0 == 0 || net.0 == u64::MAX {
            return Err(CommandError::InvalidNet(net));
        }
        if self.nets.contains_key(&net) {
            return Err(CommandError::NetExists(net));
        }
        let limit = self.settings.max_nets;
        if self.nets.len() >= limit {
            return Err(CommandError::LimitReached { of: "nets", limit });
        }
        let (permanent, ignored) = (BTreeSet::new(), Vec::new());
        self.nets.insert(net, Net { config, on: false, permanent, ignored, counted: 0, asks_after: None });
        Ok(Outcome::Done)
    }

    fn switch(&mut self, net: NetId, on: bool) -> Applying {
        let found = self.nets.get(&net).ok_or(CommandError::UnknownNet(net))?;
        if found.on == on {
            return Ok(Outcome::Unchanged);
        }
        let permanent = found.permanent.clone();
        if on {
            self.check_room(permanent.iter().copied())?;
        }
        let found = self.nets.get_mut(&net).unwrap();
        (found.on, found.asks_after) = (on, None);
        if !on {
            self.drop_net(net);
            return Ok(Outcome::Done);
        }
        for peer in self.peers.values_mut().filter(|peer| peer.wanted.contains(&net)) {
            peer.announced = None;
        }
        for addr in permanent {
            self.want(addr, net)?;
        }
        for group in self.groups_of(net) {
            for peer in self.peers.values_mut() {
                if peer.fixed.contains_key(&group) && !peer.streams.is_empty() {
                    peer.joined.insert(group);
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// Ends the memberships in a net that is switched off and in its clusters, and lets go of its links.
    fn drop_net(&mut self, net: NetId) {
        let addrs: Vec<_> = self.peers.keys().copied().collect();
        for addr in addrs {
            let groups = self.groups_of(net);
            let peer = self.peers.get_mut(&addr).unwrap();
            let concerned = peer.main.contains(&net)
                || peer.wanted.contains(&net)
                || groups.iter().any(|group| peer.joined.contains(group) || peer.fixed.contains_key(group));
            peer.main.remove(&net);
            peer.wanted.retain(|wanted| *wanted != net);
            peer.joined.retain(|group| !groups.contains(group));
            if concerned {
                self.settle(addr);
            }
        }
    }

    fn configure(&mut self, net: NetId, config: NetConfig) -> Applying {
        let found = self.nets.get_mut(&net).ok_or(CommandError::UnknownNet(net))?;
        if found.config == config {
            return Ok(Outcome::Unchanged);
        }
        (found.config, found.asks_after) = (config, None);
        if config.reserved_only {
            let strangers: Vec<_> =
                self.peers.keys().copied().filter(|addr| !self.keeps(net, *addr)).collect();
            for addr in strangers {
                let peer = &self.peers[&addr];
                if peer.wanted.contains(&net) || peer.main.contains(&net) {
                    self.let_go(addr, net);
                }
            }
        }
        Ok(Outcome::Done)
    }

    fn reconfigure(&mut self, settings: Settings) -> Applying {
        settings.validate().map_err(CommandError::Config)?;
        if self.settings == settings {
            return Ok(Outcome::Unchanged);
        }
        let latest = self.now + longest(&settings.retry);
        let rested = settings.flaps.map_or(latest, |policy| self.now + policy.delay);
        for peer in self.peers.values_mut() {
            let end = if peer.resting { rested } else { latest };
            peer.delay = peer.delay.map(|at| at.min(end));
            peer.announced = peer.announced.map(|(stream, until)| (stream, until.min(latest)));
        }
        self.settings = settings;
        Ok(Outcome::Done)
    }

    fn create(&mut self, addr: Node, net: NetId) -> Applying {
        check_addr(addr)?;
        let found = self.nets.get(&net).ok_or(CommandError::UnknownNet(net))?;
        if found.config.reserved_only && !found.permanent.contains(&addr) {
            return Err(CommandError::ReservedNet(net));
        }
        let new = !self.peers.contains_key(&addr);
        let wanted = self.want(addr, net)?;
        self.ignore(addr, net);
        Ok(if new { Outcome::Created } else { wanted })
    }

    pub(super) fn want(&mut self, addr: Node, net: NetId) -> Applying {
        let peer = self.record(addr)?;
        if peer.wanted.contains(&net) {
            return Ok(Outcome::AlreadyAssociated);
        }
        peer.wanted.push(net);
        peer.dialable = true;
        peer.announced = None;
        Ok(Outcome::Associated)
    }

    pub(super) fn ignore(&mut self, addr: Node, net: NetId) {
        let (now, until, limit) =
            (self.now, self.now + self.settings.ignore_period, self.settings.max_ignored);
        let Some(net) = self.nets.get_mut(&net) else { return };
        net.ignored.retain(|(other, until)| *until >= now && *other != addr);
        while net.ignored.len() >= limit {
            let first = net.ignored.iter().map(|(_, until)| *until).min();
            let place = net.ignored.iter().position(|(_, until)| Some(*until) == first).unwrap();
            net.ignored.remove(place);
        }
        net.ignored.push((addr, until));
    }

    /// Deletes a record. The permanent peers and designations that keep a peer are not deleted with it.
    fn delete(&mut self, addr: Node) -> Applying {
        let before = self.peers.get(&addr).ok_or(CommandError::UnknownLink)?.clone();
        self.forget(addr);
        let mut wanted = before.wanted.clone();
        wanted.retain(|net| self.is_on(*net) && self.keeps(*net, addr));
        if wanted.is_empty() && before.fixed.is_empty() {
            return Ok(Outcome::Done);
        }
        self.counted.created += 1;
        let delay = Some(self.now + self.retry(1));
        let rest = Peer {
            wanted,
            fixed: before.fixed,
            quick: before.quick,
            dialable: true,
            delay,
            ..Peer::blank(self.now)
        };
        self.peers.insert(addr, rest);
        Ok(Outcome::Done)
    }
}

pub(super) fn check_addr(addr: Node) -> Result<(), CommandError> {
    match addr {
        NodeAddr::BLANK => Err(CommandError::BlankAddr),
        OWN => Err(CommandError::OwnAddr),
        _ => Ok(()),
    }
}

/// The longest delay that a policy can plan.
pub(super) fn longest(policy: &RetryPolicy) -> Duration {
    match policy {
        RetryPolicy::Fixed(delay) => *delay,
        RetryPolicy::Exponential { cap, .. } => *cap,
        RetryPolicy::Custom(_) => panic!("the model does not support custom policies"),
    }
}
