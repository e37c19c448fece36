//! Comparison of the versions and effects of the core with the model.

use super::*;
use crate::manager::core::tests::model::{Peer, Word};

impl Run {
    pub(super) fn compare(&self) -> Check {
        let snapshot = self.bench.links.snapshot();
        same(&"manager", &snapshot.is_manager_active(), &self.model.on)?;
        same(&"settings", snapshot.settings(), &self.model.settings)?;
        let links: BTreeSet<_> = snapshot.links().map(|link| *link.addr()).collect();
        same(&"records", &links, &self.model.peers.keys().copied().collect())?;
        for (addr, peer) in &self.model.peers {
            if let Some(link) = snapshot.get(addr) {
                self.compare_link(link, peer)?;
            }
        }
        let nets: Vec<_> = snapshot.nets().iter().map(NetStatus::id).collect();
        same(&"nets", &nets, &self.model.nets.keys().copied().collect())?;
        for net in [NET, OTHER, NetId(3)] {
            self.compare_net(&snapshot, net)?;
        }
        let clusters: Vec<_> = snapshot.clusters().iter().map(Cluster::id).collect();
        same(&"clusters", &clusters, &self.model.groups.keys().copied().collect())?;
        for cluster in clusters {
            self.compare_cluster(&snapshot, cluster)?;
        }
        self.compare_counted(&snapshot)
    }

    fn compare_link(&self, link: &Link<Node>, peer: &Peer) -> Check {
        let (addr, now) = (*link.addr(), self.bench.now());
        let dial = link.dial_id().map(|dial| self.to_model_dial(addr, dial));
        let resolve = link.resolve_id().map(|resolve| self.to_model_resolve(addr, resolve));
        let dialer = (link.state(), resolve, dial, link.direction(), link.is_dialable());
        let expected = (peer.state(), peer.resolve(), peer.dial(), peer.direction(), peer.dialable);
        same(&("dialer", addr), &dialer, &expected)?;
        let streams: Vec<_> = link.streams().iter().map(|stream| (stream.id, stream.direction)).collect();
        same(&("streams", addr), &streams, &peer.streams)?;
        same(&("nets", addr), &link.nets(), &&peer.wanted[..])?;
        same(&("memberships", addr), &set(link.memberships()), &peer.main)?;
        same(&("clusters", addr), &set(link.clusters()), &peer.joined)?;
        same(&("static peer", addr), &fixed(link), &peer.fixed)?;
        let failures =
            (link.attempts(), link.failures(), link.last_failure(), link.not_before(), link.resting);
        let expected = (peer.attempts, peer.failures, peer.failure, peer.delay, peer.resting);
        same(&("attempts, failures, delay", addr), &failures, &expected)?;
        let quick = peer.quick.filter(|(_, until)| now <= *until).map_or(0, |(count, _)| count);
        same(&("flaps", addr), &link.flaps(now), &quick)?;
        same(&("endpoint", addr), &link.endpoint(), &peer.endpoint)?;
        same(&("since", addr), &link.since(), &peer.since)?;
        same(&("data", addr), &link.user_data, &peer.data)
    }

    fn compare_net(&self, snapshot: &LinksSnapshot<Node>, id: NetId) -> Check {
        let (now, model) = (self.bench.now(), self.model.nets.get(&id));
        let (uplinks, downlinks) = self.model.split(id);
        let members = self.model.peers.iter().filter(|(_, peer)| peer.main.contains(&id));
        same(&("count", id), &snapshot.count(id), &(uplinks + downlinks))?;
        for direction in [Direction::Uplink, Direction::Downlink] {
            for state in [DialState::Disconnected, DialState::Connecting, DialState::Established] {
                let like = members
                    .clone()
                    .filter(|(_, peer)| (peer.direction(), peer.state()) == (direction, state));
                let count = snapshot.count_by(id, direction, state);
                same(&("count", id, direction, state), &count, &like.count())?;
            }
        }
        let needed = model.map_or(0, |net| match self.model.timing {
            Timing::Immediate => self.model.needed(id).1 as usize,
            Timing::Ticked if net.config.reserved_only => 0,
            Timing::Ticked => (net.config.min_links as usize).saturating_sub(net.counted),
        });
        same(&("needed", id), &snapshot.needed(id), &needed)?;
        let required = model.map_or(0, |net| net.config.min_links as usize);
        same(&("required", id), &snapshot.min_links(id), &required)?;
        same(&("active", id), &snapshot.is_active(id), &self.model.is_on(id))?;
        let ignored = model.map_or_else(BTreeSet::new, |net| {
            net.ignored.iter().filter(|(_, until)| *until >= now).map(|(addr, _)| *addr).collect()
        });
        same(&("ignored", id), &snapshot.ignored(id, now).copied().collect(), &ignored)?;
        let permanent = model.map_or_else(BTreeSet::new, |net| net.permanent.clone());
        let kept =
            snapshot.net(id).map_or_else(BTreeSet::new, |net| net.permanent_peers().copied().collect());
        same(&("permanent", id), &kept, &permanent)?;
        same(&("config", id), &snapshot.net(id).map(NetStatus::config), &model.map(|net| net.config))?;
        let listed: Vec<_> = snapshot.addrs(id, MemberFilter::All).copied().collect();
        same(&("addresses", id), &set(&listed), &members.clone().map(|(addr, _)| *addr).collect())?;
        let directions = listed.iter().filter_map(|addr| snapshot.get(addr)).map(Link::direction);
        same(&("uplinks first", id), &directions.is_sorted(), &true)?;
        let shown = members.filter(|(_, peer)| {
            peer.direction() == Direction::Downlink || peer.state() == DialState::Established
        });
        let established = snapshot.addrs(id, MemberFilter::Established).copied().collect();
        same(&("established", id), &established, &shown.map(|(addr, _)| *addr).collect::<BTreeSet<_>>())
    }

    fn compare_cluster(&self, snapshot: &LinksSnapshot<Node>, id: ClusterId) -> Check {
        let (Some(cluster), Some(group)) = (snapshot.cluster(id), self.model.groups.get(&id)) else {
            return Ok(());
        };
        let enabled = cluster.status() == ClusterStatus::Enabled;
        let seen = (cluster.net(), cluster.kind(), enabled, cluster.role_members().copied().collect());
        let expected = (group.net, group.kind, self.model.is_enabled(id), group.roles.clone());
        same(&("cluster", id), &seen, &expected)?;
        let members: BTreeSet<_> = snapshot.cluster_members(id).copied().collect();
        let peers = self.model.peers.iter();
        let joined = peers.clone().filter(|(_, peer)| peer.joined.contains(&id)).map(|(addr, _)| *addr);
        same(&("members", id), &members, &joined.collect())?;
        same(&("members", id), &snapshot.cluster_count(id), &members.len())?;
        let fixed: BTreeSet<_> = snapshot.static_peers(id).copied().collect();
        let expected = peers.filter(|(_, peer)| peer.fixed.contains_key(&id)).map(|(addr, _)| *addr);
        same(&("static peers", id), &fixed, &expected.collect())
    }

    fn compare_counted(&self, snapshot: &LinksSnapshot<Node>) -> Check {
        let (stats, model) = (snapshot.stats(), self.model.counted);
        let core = [
            stats.commands(),
            stats.refused(),
            stats.refused_answers(),
            stats.stale_answers(),
            stats.dials(),
            stats.dial_timeouts(),
            stats.established(),
            stats.reconnects(),
            stats.requests(),
            stats.links_created(),
            stats.links_deleted(),
            stats.panics() + stats.retry_faults(),
        ];
        let model = [
            model.commands,
            model.refused,
            model.refused_answers,
            model.stale,
            model.dials,
            model.time_outs,
            model.established,
            model.reconnects,
            model.requests,
            model.created,
            model.deleted,
            0,
        ];
        same(&"statistics", &core, &model)
    }
}

fn set<T: Copy + Ord>(list: &[T]) -> BTreeSet<T> {
    list.iter().copied().collect()
}

fn fixed(link: &Link<Node>) -> BTreeMap<ClusterId, BTreeSet<Word>> {
    let words = |asked: bool, role: bool| {
        [asked.then_some(Word::Host), role.then_some(Word::Role)].into_iter().flatten().collect()
    };
    link.designations.iter().map(|one| (one.cluster, words(one.asked, one.role))).collect()
}

/// Compares all effects in any order, and those about one dialer in order.
pub(super) fn effects(core: &[Effect<Node>], model: &[Effect<Node>], any_members: bool) -> Check {
    same(&"effects", &sorted(core, any_members), &sorted(model, any_members))?;
    for addr in [A, B, C, D] {
        same(&("effects on the dialer, in order", addr), &orders(core, addr), &orders(model, addr))?;
    }
    Ok(())
}

fn orders(effects: &[Effect<Node>], addr: Node) -> Vec<&Effect<Node>> {
    let is_order = |effect: &&Effect<Node>| {
        use Effect::{CancelDial, CloseDialer, Dial, Resolve};
        matches!(effect, Resolve { .. } | Dial { .. } | CancelDial { .. } | CloseDialer { .. })
    };
    effects.iter().filter(is_order).filter(|effect| effect.addr() == Some(&addr)).collect()
}

/// Formats and sorts effects: the order in which links time out together is not specified, and with
/// `any_members` neither is the number of members that each of them leaves behind.
fn sorted(effects: &[Effect<Node>], any_members: bool) -> Vec<String> {
    let show = |effect: &Effect<Node>| match effect.clone() {
        Effect::Released { addr, net, cause, .. } if any_members => {
            format!("Released {addr} {net} {cause:?}")
        }
        Effect::CloseStreams { addr, mut streams } => {
            streams.sort_unstable();
            format!("CloseStreams {addr} {streams:?}")
        }
        other => format!("{other:?}"),
    };
    let mut shown: Vec<_> = effects.iter().map(show).collect();
    shown.sort();
    shown
}
