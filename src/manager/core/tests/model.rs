//! A slow, plain model of the manager, written from its specification. Sequences of commands compare the core
//! with it.
//!
//! The model shares neither code nor rules with the core. It has no indexes, no timers and no derived counts:
//! every answer is computed anew by looking at every link. Two differences are intended:
//!
//! * A dial is named by its address and a number, the n-th one to that address, and so is a resolution. The
//!   order in which links that become due at the same instant are dialled is not specified, and no other
//!   result may depend on it.
//! * An announcement is noted together with its stream, and ends with it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::link::UserData;
use crate::manager::model::config::Timing;
use crate::manager::model::config::settings::Settings;

mod commands;
mod dialing;
mod keeping;
mod mail;
mod streaming;
mod timing;

pub(super) use dialing::{nth_dial, nth_resolve};
pub(super) use mail::Mail;

pub(super) type Node = NodeAddr;

/// The state of the dialer of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialer {
    Idle,
    Resolving { resolve: ResolveId, since: Instant },
    Connecting { dial: DialId, since: Instant },
    Established { dial: DialId, since: Instant },
}

use Dialer::{Connecting, Established, Idle, Resolving};
use Direction::{Downlink, Uplink};

/// The origin of a designation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    Host,
    Role,
}

#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) config: NetConfig,
    pub(super) on: bool,
    pub(super) permanent: BTreeSet<Node>,
    /// In order of entry.
    pub(super) ignored: Vec<(Node, Instant)>,
    pub(super) counted: usize,
    pub(super) asks_after: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) net: NetId,
    pub(super) kind: ClusterKind,
    pub(super) roles: BTreeSet<Node>,
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) dialer: Dialer,
    pub(super) dialable: bool,
    /// The first one is the primary stream.
    pub(super) streams: Vec<(StreamId, Direction)>,
    /// In the order in which they asked.
    pub(super) wanted: Vec<NetId>,
    pub(super) main: BTreeSet<NetId>,
    pub(super) joined: BTreeSet<ClusterId>,
    pub(super) fixed: BTreeMap<ClusterId, BTreeSet<Word>>,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) fresh: bool,
    pub(super) attempts: u32,
    pub(super) failures: u32,
    pub(super) failure: Option<LinkFailure>,
    pub(super) delay: Option<Instant>,
    pub(super) resting: bool,
    /// The stream on which nets were announced, and the instant until which they are not announced on it
    /// again.
    pub(super) announced: Option<(StreamId, Instant)>,
    pub(super) quick: Option<(u32, Instant)>,
    pub(super) reached: bool,
    pub(super) since: Instant,
    pub(super) data: Option<UserData>,
}

/// The counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) commands: u64,
    pub(super) refused: u64,
    pub(super) refused_answers: u64,
    pub(super) stale: u64,
    pub(super) dials: u64,
    pub(super) time_outs: u64,
    pub(super) established: u64,
    pub(super) reconnects: u64,
    pub(super) requests: u64,
    pub(super) created: u64,
    pub(super) deleted: u64,
}

pub(super) struct Model {
    pub(super) timing: Timing,
    pub(super) settings: Settings,
    pub(super) on: bool,
    pub(super) now: Instant,
    pub(super) nets: BTreeMap<NetId, Net>,
    pub(super) groups: BTreeMap<ClusterId, Group>,
    pub(super) peers: BTreeMap<Node, Peer>,
    pub(super) quick: BTreeMap<Node, (u32, Instant)>,
    pub(super) counted: Counted,
    dials: BTreeMap<Node, u64>,
    resolves: BTreeMap<Node, u64>,
    next_tick: Instant,
    wakes_next: bool,
    effects: Vec<Effect<Node>>,
    /// Whether several links were woken at once since the last version, in an order that is not specified.
    pub(super) together: bool,
    /// The clusters whose members changed since the last version.
    touched: BTreeSet<ClusterId>,
}

/// The members of all clusters; for main clusters, with the direction of the primary stream.
type Members = BTreeSet<(ClusterId, Node, Option<Direction>)>;

impl Model {
    pub(super) fn new(timing: Timing, settings: Settings, now: Instant) -> Self {
        Self {
            timing,
            next_tick: now + settings.tick,
            settings,
            on: true,
            now,
            nets: BTreeMap::new(),
            groups: BTreeMap::new(),
            peers: BTreeMap::new(),
            quick: BTreeMap::new(),
            counted: Counted::default(),
            dials: BTreeMap::new(),
            resolves: BTreeMap::new(),
            wakes_next: false,
            effects: Vec::new(),
            together: false,
            touched: BTreeSet::new(),
        }
    }

    pub(super) fn apply(&mut self, command: Command<Node>) -> Applying {
        let before = self.members();
        let answers = is_answer(&command);
        let result = self.dispatch(command);
        self.forget_announcements();
        self.touch(before);
        self.counted.commands += 1;
        match result {
            Ok(Outcome::Stale) => self.counted.stale += 1,
            Ok(_) => {}
            Err(_) => {
                self.counted.refused += 1;
                self.counted.refused_answers += u64::from(answers);
            }
        }
        result
    }

    /// Does everything that is due.
    pub(super) fn advance(&mut self) {
        let before = self.members();
        self.pass_time();
        self.forget_announcements();
        self.touch(before);
    }

    /// Forgets announcements whose stream has ended, even if a stream of the same identity is added later.
    fn forget_announcements(&mut self) {
        for peer in self.peers.values_mut() {
            peer.announced = peer.announced.filter(|(stream, _)| peer.primary() == Some(*stream));
        }
    }

    /// Returns the effects since the last version, with the counts that changed.
    pub(super) fn publish(&mut self) -> Vec<Effect<Node>> {
        for group in std::mem::take(&mut self.touched) {
            let net = group.net();
            // Also for nets and clusters that were removed: otherwise the host would keep their last count.
            if group.is_main() {
                let (uplinks, downlinks) = self.split(net);
                self.effects.push(Effect::LinkCountChanged { net, uplinks, downlinks });
            } else {
                let members = self.peers.values().filter(|peer| peer.joined.contains(&group)).count();
                self.effects.push(Effect::ClusterCountChanged { cluster: group, members });
            }
        }
        std::mem::take(&mut self.effects)
    }

    /// Members of a net by the direction of their primary streams.
    pub(super) fn split(&self, net: NetId) -> (usize, usize) {
        let members = self.peers.values().filter(|peer| peer.main.contains(&net));
        let directions: Vec<_> = members.map(Peer::direction).collect();
        let uplinks = directions.iter().filter(|direction| **direction == Uplink).count();
        (uplinks, directions.len() - uplinks)
    }

    fn size(&self, net: NetId) -> usize {
        self.peers.values().filter(|peer| peer.main.contains(&net)).count()
    }

    pub(super) fn is_on(&self, net: NetId) -> bool {
        self.nets.get(&net).is_some_and(|net| net.on)
    }

    /// A cluster is enabled while its net is on.
    pub(super) fn is_enabled(&self, group: ClusterId) -> bool {
        self.groups.get(&group).is_some_and(|group| self.is_on(group.net))
    }

    fn groups_of(&self, net: NetId) -> Vec<ClusterId> {
        self.groups.iter().filter(|(_, group)| group.net == net).map(|(id, _)| *id).collect()
    }

    fn keeps(&self, net: NetId, addr: Node) -> bool {
        self.nets.get(&net).is_some_and(|net| net.permanent.contains(&addr))
    }

    fn emit(&mut self, effect: Effect<Node>) {
        self.effects.push(effect);
    }

    fn members(&self) -> Members {
        let mut all = Members::new();
        for (addr, peer) in &self.peers {
            let main = peer.main.iter().map(|net| (ClusterId::main(*net), *addr, Some(peer.direction())));
            all.extend(main.chain(peer.joined.iter().map(|group| (*group, *addr, None))));
        }
        all
    }

    fn touch(&mut self, before: Members) {
        let after = self.members();
        self.touched.extend(before.symmetric_difference(&after).map(|(group, ..)| *group));
    }

    /// Returns the record of a node, and creates it if there is room.
    fn record(&mut self, addr: Node) -> Result<&mut Peer, CommandError> {
        if !self.peers.contains_key(&addr) {
            self.check_room([addr])?;
            self.counted.created += 1;
            let quick = self.quick.get(&addr).copied();
            self.peers.insert(addr, Peer { quick, ..Peer::blank(self.now) });
        }
        Ok(self.peers.get_mut(&addr).unwrap())
    }

    fn check_room(&self, addrs: impl IntoIterator<Item = Node>) -> Result<(), CommandError> {
        let new = addrs.into_iter().filter(|addr| !self.peers.contains_key(addr)).count();
        let limit = self.settings.max_links;
        if new > 0 && self.peers.len() + new > limit {
            return Err(CommandError::LimitReached { of: "links", limit });
        }
        Ok(())
    }

    /// Whether a net, a membership or an enabled cluster needs the connection.
    fn has_client(&self, peer: &Peer) -> bool {
        !peer.wanted.is_empty() || peer.is_member() || peer.fixed.keys().any(|group| self.is_enabled(*group))
    }

    /// Completes a change: without a stream there are no memberships, and without a reason there is no
    /// record.
    fn settle(&mut self, addr: Node) {
        let Some(peer) = self.peers.get_mut(&addr) else { return };
        if peer.streams.is_empty() {
            peer.leave_all();
        }
        if peer.is_kept() {
            let peer = self.peers[&addr].clone();
            if peer.dialable && !self.has_client(&peer) {
                self.reset(addr);
            }
        } else if !peer.dialable && !peer.streams.is_empty() {
            // A stream of the peer keeps a pure downlink.
        } else if peer.streams.iter().any(|(_, direction)| *direction == Downlink) {
            peer.streams.retain(|(_, direction)| *direction == Downlink);
            peer.dialer = Idle;
            peer.dialable = false;
            (peer.attempts, peer.failures, peer.failure) = (0, 0, None);
            self.emit(Effect::CloseDialer { addr });
        } else {
            self.forget(addr);
        }
    }

    /// Removes a record. The dialer closes its own streams.
    fn forget(&mut self, addr: Node) {
        let Some(peer) = self.peers.remove(&addr) else { return };
        self.counted.deleted += 1;
        if peer.dialable {
            self.emit(Effect::CloseDialer { addr });
        }
        let others = peer.streams.iter().filter(|(_, direction)| !peer.dialable || *direction == Downlink);
        let streams: Vec<_> = others.map(|(id, _)| *id).collect();
        if !streams.is_empty() {
            self.emit(Effect::CloseStreams { addr, streams });
        }
    }

    /// Returns the dialer to idle: gives up its resolution, its dial or its connection.
    fn reset(&mut self, addr: Node) {
        let Some(peer) = self.peers.get_mut(&addr) else { return };
        if let Some(dial) = peer.dial() {
            peer.streams.retain(|(_, direction)| *direction == Downlink);
            peer.dialer = Idle;
            self.emit(Effect::CancelDial { addr, dial });
        } else {
            peer.dialer = Idle;
        }
    }
}

/// Whether the command answers an effect.
fn is_answer(command: &Command<Node>) -> bool {
    matches!(
        command,
        Command::SetEndpoint { .. }
            | Command::ResolveFailed { .. }
            | Command::AddUplink { .. }
            | Command::DialConnected { .. }
            | Command::DialFailed { .. }
            | Command::AccountLink { .. }
            | Command::CreateLink { .. }
            | Command::DeleteStream { .. }
            | Command::AddStream { direction: Uplink, .. }
    )
}

impl Peer {
    fn blank(now: Instant) -> Self {
        Self {
            dialer: Idle,
            dialable: false,
            streams: Vec::new(),
            wanted: Vec::new(),
            main: BTreeSet::new(),
            joined: BTreeSet::new(),
            fixed: BTreeMap::new(),
            endpoint: None,
            fresh: false,
            attempts: 0,
            failures: 0,
            failure: None,
            delay: None,
            resting: false,
            announced: None,
            quick: None,
            reached: false,
            since: now,
            data: None,
        }
    }

    pub(super) fn state(&self) -> DialState {
        match self.dialer {
            Idle | Resolving { .. } => DialState::Disconnected,
            Connecting { .. } => DialState::Connecting,
            Established { .. } => DialState::Established,
        }
    }

    pub(super) fn dial(&self) -> Option<DialId> {
        match self.dialer {
            Idle | Resolving { .. } => None,
            Connecting { dial, .. } | Established { dial, .. } => Some(dial),
        }
    }

    pub(super) fn resolve(&self) -> Option<ResolveId> {
        match self.dialer {
            Resolving { resolve, .. } => Some(resolve),
            Idle | Connecting { .. } | Established { .. } => None,
        }
    }

    pub(super) fn direction(&self) -> Direction {
        self.streams.first().map_or(Downlink, |(_, direction)| *direction)
    }

    pub(super) fn primary(&self) -> Option<StreamId> {
        self.streams.first().map(|(id, _)| *id)
    }

    pub(super) fn is_member(&self) -> bool {
        !self.main.is_empty() || !self.joined.is_empty()
    }

    fn is_kept(&self) -> bool {
        !self.wanted.is_empty() || self.is_member() || !self.fixed.is_empty()
    }

    fn is_established(&self) -> bool {
        matches!(self.dialer, Established { .. })
    }

    fn stream(&self, id: StreamId) -> Option<Direction> {
        self.streams.iter().find(|(known, _)| *known == id).map(|(_, direction)| *direction)
    }

    fn has_uplink(&self) -> bool {
        self.streams.iter().any(|(_, direction)| *direction == Uplink)
    }

    fn leave_all(&mut self) {
        self.main.clear();
        self.joined.clear();
    }

    /// The instant until which no net is announced again on the primary stream.
    fn announced_until(&self) -> Option<Instant> {
        self.announced.filter(|(stream, _)| self.primary() == Some(*stream)).map(|(_, until)| until)
    }
}
