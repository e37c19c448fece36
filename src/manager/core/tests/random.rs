//! Random hosts and transports: the invariants hold regardless of the commands and their order, and once the
//! transport answers, no link stays stuck.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem::{Discriminant, discriminant};

use fastrand::Rng;

use super::*;
use crate::link::UserData;
use crate::manager::model::blockers::{DialBlocker, RequestBlocker};
use crate::manager::model::config::Timing;
use crate::manager::model::config::settings::Settings;
use crate::manager::model::directory::Group;
use crate::manager::read::explain::{Action, KeepReason, LinkExplanation};
use crate::manager::run::outbox::queue::Outbox;
use crate::util::random::Random;

const NODES: u64 = 6;
const NETS: u64 = 3;
const TICK: Duration = Duration::from_secs(5);

/// A stream that exists from the view of its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    addr: NodeAddr,
    direction: Direction,
}

struct World {
    bench: Bench,
    rng: Rng,
    outbox: Outbox<NodeAddr>,
    /// The open streams according to the effects that the core has produced.
    told: BTreeMap<StreamId, Open>,
    /// The open streams according to the effects that were delivered.
    open: BTreeMap<StreamId, Open>,
    counts: BTreeMap<NetId, (usize, usize)>,
    cluster_counts: BTreeMap<ClusterId, usize>,
    asked: BTreeMap<NetId, Instant>,
    next_stream: u64,
    next_dial: u64,
    /// Whether the transport answers each effect; otherwise it ignores them.
    cooperates: bool,
    reference: bool,
    /// Number of links and of nets whose explanation was checked, blocked and not blocked.
    explained: [[u32; 2]; 2],
    met: Met,
}

/// The parts of explanations that have occurred.
#[derive(Default)]
struct Met {
    reasons: HashSet<Discriminant<KeepReason>>,
    blockers: HashSet<Discriminant<DialBlocker>>,
    /// Blockers that occurred as the only one of a link.
    decisive: HashSet<Discriminant<DialBlocker>>,
    request_blockers: HashSet<Discriminant<RequestBlocker>>,
}

/// A retry policy that panics, or returns arbitrary delays.
fn wild(attempts: u32, random: &mut dyn FnMut() -> u64) -> Duration {
    match (random() >> 60, attempts) {
        (0, _) => std::panic::resume_unwind(Box::new("the policy panics")),
        (1, _) => Duration::ZERO,
        (2, _) => Duration::MAX,
        (chance, attempts) => Duration::from_secs(chance) * attempts.min(100),
    }
}

impl Met {
    fn note(&mut self, explanation: &LinkExplanation) {
        let blockers: HashSet<_> = explanation.blockers.iter().map(discriminant).collect();
        self.reasons.extend(explanation.reasons.iter().map(discriminant));
        self.blockers.extend(&blockers);
        if blockers.len() == 1 {
            self.decisive.extend(blockers);
        }
    }

    fn add(&mut self, other: Self) {
        self.reasons.extend(other.reasons);
        self.blockers.extend(other.blockers);
        self.decisive.extend(other.decisive);
        self.request_blockers.extend(other.request_blockers);
    }

    /// Checks that every explanation about clusters and peers has occurred.
    fn check(&self, rest: bool) {
        let until = ManualClock::new().now();
        for reason in [
            KeepReason::WantedBy(NET),
            KeepReason::PermanentPeerOf(NET),
            KeepReason::StaticPeerOf(CLUSTER),
            KeepReason::MemberOf(NET),
            KeepReason::MemberOfCluster(CLUSTER),
            KeepReason::Downlink(StreamId(1)),
        ] {
            assert!(self.reasons.contains(&discriminant(&reason)), "{reason:?}");
        }
        for hold in [
            DialBlocker::ClusterDisabled(CLUSTER),
            DialBlocker::Delay { until },
            DialBlocker::Resolving,
            DialBlocker::Connected,
        ] {
            assert!(self.decisive.contains(&discriminant(&hold)), "{hold:?}");
        }
        assert!(self.blockers.contains(&discriminant(&DialBlocker::NetReserved(NET))));
        assert!(self.request_blockers.contains(&discriminant(&RequestBlocker::Reserved)));
        let rests = self.decisive.contains(&discriminant(&DialBlocker::Flapping { until }));
        assert!(rests || !rest, "nothing rests");
    }
}

impl World {
    fn new(config: Config, seed: u64) -> Self {
        let mut world = Self {
            reference: config.timing == Timing::Ticked,
            bench: Bench::new(config),
            rng: Rng::with_seed(seed),
            outbox: Outbox::new(),
            told: BTreeMap::new(),
            open: BTreeMap::new(),
            counts: BTreeMap::new(),
            cluster_counts: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_stream: 1,
            next_dial: 1,
            cooperates: false,
            explained: [[0; 2]; 2],
            met: Met::default(),
        };
        let mut chance = Rng::with_seed(seed);
        world.bench.core.set_random(Random::new(move || chance.u64(..)));
        world.bench.open(NET, 2);
        world
    }

    fn addr(&mut self) -> NodeAddr {
        NodeAddr(self.rng.u64(1..=NODES))
    }

    fn net(&mut self) -> NetId {
        NetId(self.rng.u64(1..=NETS))
    }

    fn direction(&mut self) -> Direction {
        if self.rng.bool() { Direction::Uplink } else { Direction::Downlink }
    }

    fn fresh(&mut self) -> StreamId {
        self.next_stream += 1;
        StreamId(self.next_stream)
    }

    /// Usually a stream of the link, otherwise one that ended or never exists.
    fn stream_of(&mut self, addr: NodeAddr) -> StreamId {
        let listed = self.bench.core.writer.get(&addr).map_or_else(Vec::new, |link| link.streams.clone());
        match self.rng.choice(listed) {
            Some(stream) if self.rng.u8(..) < 200 => stream.id,
            _ => StreamId(1_000_000 + self.rng.u64(0..10)),
        }
    }

    fn dial_of(&mut self, addr: NodeAddr) -> DialId {
        let dial = self.bench.core.writer.get(&addr).and_then(|link| link.dial_id());
        dial.filter(|_| self.rng.u8(..) < 200).unwrap_or(DialId(self.rng.u64(1..100)))
    }

    fn resolve_of(&mut self, addr: NodeAddr) -> ResolveId {
        let resolve = self.bench.core.writer.get(&addr).and_then(|link| link.resolve_id());
        resolve.filter(|_| self.rng.u8(..) < 200).unwrap_or(ResolveId(self.rng.u64(1..100)))
    }

    /// One of two associated clusters of a net, or its main cluster.
    fn cluster(&mut self) -> ClusterId {
        ClusterId::new(self.net(), self.rng.u64(0..12) % 3)
    }

    /// A command about clusters, static peers or permanent peers.
    fn random_keeping(&mut self) -> Command<NodeAddr> {
        let (addr, net, cluster) = (self.addr(), self.net(), self.cluster());
        match self.rng.u8(0..20) {
            0..3 => {
                let kind = if self.rng.bool() { ClusterKind::Autonomic } else { ClusterKind::Embedded };
                Command::AssociateCluster { net: cluster.net(), cluster, kind }
            }
            3 => Command::DissociateCluster { cluster },
            4..7 => Command::JoinCluster { cluster, addr },
            7 => Command::LeaveCluster { cluster, addr },
            8..10 => Command::AddStaticPeer { cluster, addr },
            10..12 => Command::RemoveStaticPeer { cluster, addr },
            12..15 => {
                let addr = if self.rng.u8(0..3) == 0 { OWN } else { addr };
                Command::SetRoleMember { cluster, addr, member: self.rng.u8(..) < 150 }
            }
            15 | 16 => Command::AddPermanentPeer { net, addr },
            17 => Command::RemovePermanentPeer { net, addr },
            _ => Command::AddUplink { addr, stream: self.fresh(), dial: self.dial_of(addr) },
        }
    }

    fn random_command(&mut self) -> Command<NodeAddr> {
        if self.rng.u8(0..4) == 0 {
            return self.random_keeping();
        }
        let (addr, net) = (self.addr(), self.net());
        match self.rng.u8(0..32) {
            0..5 => Command::CreateLink { addr, net },
            5..8 => {
                let port = u16::from(self.rng.u8(..) < 200);
                Command::SetEndpoint { addr, endpoint: SocketAddr::from(([192, 0, 2, 1], port)) }
            }
            8..13 => Command::AddStream { addr, stream: self.fresh(), direction: self.direction() },
            13..16 => Command::DeleteStream { addr, stream: self.stream_of(addr) },
            16..18 => {
                let (old, direction) = (self.stream_of(addr), self.direction());
                Command::ReplaceStream { addr, old, new: self.fresh(), direction }
            }
            18..22 => {
                let (stream, accepted) = (self.stream_of(addr), self.rng.u8(..) < 200);
                Command::AccountLink { net, addr, stream, accepted }
            }
            22..25 => Command::DialConnected { addr, dial: self.dial_of(addr) },
            25..27 => Command::DialFailed { addr, dial: self.dial_of(addr), last: self.rng.bool() },
            27 => Command::ResolveFailed { addr, resolve: self.resolve_of(addr) },
            28 => Command::SetNetActive { net, active: self.rng.u8(..) < 170 },
            29 => match self.rng.u8(0..6) {
                0 => Command::RemoveNet { net },
                1 => Command::ConfigureNet { net, config: self.net_config() },
                2 => Command::Reconfigure { settings: Box::new(self.settings()) },
                _ => Command::AddNet { net, config: self.net_config() },
            },
            30 => match self.rng.u8(0..3) {
                0 => Command::SetActive { active: false },
                _ => Command::SetActive { active: true },
            },
            _ => match self.rng.u8(0..4) {
                0 => Command::DeleteLink { addr },
                3 => Command::SetUserData { addr, data: Some(UserData::new(self.rng.u8(..))) },
                1 => Command::WakeUp,
                _ => Command::CheckNets,
            },
        }
    }

    fn net_config(&mut self) -> NetConfig {
        NetConfig::new().min_links(self.rng.u32(0..4)).reserved_only(self.rng.u8(0..4) == 0)
    }

    /// Random settings, including a retry policy that misbehaves.
    fn settings(&mut self) -> Settings {
        let seconds = |rng: &mut Rng| Duration::from_secs(rng.u64(1..20));
        let (base, cap) = (seconds(&mut self.rng), Duration::from_secs(20));
        let retry = match self.rng.u8(0..3) {
            0 => RetryPolicy::fixed(base),
            1 => RetryPolicy::exponential(base, cap),
            _ => RetryPolicy::custom(wild, cap),
        };
        let settings = self.bench.core.settings().clone().retry(retry);
        let settings = match self.rng.u8(0..8) {
            0 => settings.flaps(None),
            1 => settings.flaps(FlapPolicy::new().limit(1).delay(seconds(&mut self.rng) * 3).entries(3)),
            _ => settings,
        };
        settings.max_attempts(self.rng.u32(1..4)).ignore_period(seconds(&mut self.rng) * 3)
    }

    /// Applies a command, and updates the streams that a transport knows when it sends this command.
    fn apply(&mut self, command: Command<NodeAddr>) -> Applying {
        // Earlier effects are older than the streams that this command adds.
        self.collect();
        let result = self.bench.apply(command.clone());
        let unlist = |world: &mut Self, gone: &dyn Fn(StreamId, Open) -> bool| {
            world.told.retain(|id, open| !gone(*id, *open));
            world.open.retain(|id, open| !gone(*id, *open));
        };
        match command {
            Command::AddStream { addr, stream, direction } => self.opened(stream, addr, direction),
            Command::AddUplink { addr, stream, .. } => self.opened(stream, addr, Direction::Uplink),
            Command::DeleteStream { stream, .. } => unlist(self, &|id, _| id == stream),
            Command::ReplaceStream { addr, old, new, direction } => {
                unlist(self, &|id, _| id == old);
                self.opened(new, addr, direction);
            }
            // The connection of the dialer has ended, and its streams with it.
            Command::DialFailed { addr, .. } if result == Ok(Outcome::Done) => {
                unlist(self, &|_, open| open.addr == addr && open.direction == Direction::Uplink);
            }
            _ => {}
        }
        result
    }

    fn opened(&mut self, id: StreamId, addr: NodeAddr, direction: Direction) {
        self.told.insert(id, Open { addr, direction });
        self.open.insert(id, Open { addr, direction });
    }

    fn turn(&mut self) {
        self.collect();
        let now = self.bench.now();
        let mut advances = 0;
        while advances == 0 || self.bench.core.next_deadline() <= now {
            self.bench.advance();
            advances += 1;
            assert!(advances < 5, "a deadline stays due after it was handled");
        }
        self.bench.core.publish(now);
        self.collect();
        self.check();
    }

    /// Moves the effects of the core to the outbox.
    fn collect(&mut self) {
        let effects: Vec<_> = self.bench.core.drain_effects().collect();
        for effect in effects {
            close(&mut self.told, &effect);
            match effect {
                Effect::LinkCountChanged { net, uplinks, downlinks } => {
                    self.counts.insert(net, (uplinks, downlinks));
                }
                Effect::ClusterCountChanged { cluster, members } => {
                    self.cluster_counts.insert(cluster, members);
                }
                Effect::RequestLinks { net, .. } => drop(self.asked.insert(net, self.bench.now())),
                _ => {}
            }
            self.outbox.push(effect);
        }
    }

    /// Checks that every stream is listed or was closed by an effect, and that every count was reported.
    fn check(&self) {
        for (id, open) in &self.told {
            let link = self.bench.core.writer.get(&open.addr);
            assert!(link.is_some_and(|link| link.stream(*id).is_some()), "{id} of {:?}: {link:?}", open.addr);
        }
        // Also for nets and clusters that were removed: their last count is zero.
        let nets: BTreeSet<_> = self.bench.core.directory().nets().iter().map(NetStatus::id).collect();
        for net in nets.into_iter().chain(self.counts.keys().copied()) {
            let counts = self.bench.core.counts(net);
            let told = self.counts.get(&net).copied().unwrap_or_default();
            assert_eq!((counts.uplinks, counts.downlinks), told, "{net}");
        }
        let clusters = self.bench.core.directory().clusters().iter().map(Cluster::id);
        for cluster in clusters.chain(self.cluster_counts.keys().copied()) {
            let count = self.bench.core.writer.index().0.count(&Group::Cluster(cluster));
            let told = self.cluster_counts.get(&cluster).copied().unwrap_or_default();
            assert_eq!(count, told, "{cluster}");
        }
    }

    fn deliver(&mut self) -> bool {
        let Some(effect) = self.outbox.pop() else { return false };
        let mut gone: BTreeSet<_> = self.open.keys().copied().collect();
        let addr = effect.addr().copied();
        close(&mut self.open, &effect);
        if self.cooperates {
            gone.retain(|id| !self.open.contains_key(id));
            for id in gone {
                let _ = self.apply(Command::DeleteStream { addr: addr.unwrap(), stream: id });
            }
            self.answer(effect);
        }
        true
    }

    fn answer(&mut self, effect: Effect<NodeAddr>) {
        match effect {
            Effect::Resolve { addr, .. } => {
                let _ = self.apply(Command::SetEndpoint { addr, endpoint: endpoint() });
            }
            Effect::Dial { addr, dial, .. } => {
                assert!(dial.0 >= self.next_dial, "dials are delivered in order");
                self.next_dial = dial.0 + 1;
                let stream = self.fresh();
                let _ = self.apply(Command::AddUplink { addr, stream, dial });
                let _ = self.apply(Command::DialConnected { addr, dial });
            }
            Effect::Announce { addr, net, stream } => {
                let _ = self.apply(Command::AccountLink { net, addr, stream, accepted: true });
            }
            Effect::RequestLinks { net, needed } => {
                let snapshot = self.bench.snapshot();
                let ignored: Vec<_> = snapshot.ignored(net, self.bench.now()).copied().collect();
                let nodes = (1..=NODES).map(NodeAddr).filter(|node| !ignored.contains(node));
                for addr in nodes.take(needed as usize).collect::<Vec<_>>() {
                    let _ = self.apply(Command::CreateLink { addr, net });
                }
            }
            _ => {}
        }
    }

    /// Checks that exactly the links that are not blocked are dialled when they are due, and likewise for
    /// requests of nets.
    fn check_explanations(&mut self) {
        let now = self.bench.now();
        self.collect();
        let snapshot = self.bench.snapshot();
        self.collect();
        let _ = self.bench.apply(Command::WakeUp);
        let begun = |effect: &Effect<NodeAddr>| match effect {
            Effect::Resolve { addr, .. } | Effect::Dial { addr, .. } => Some(*addr),
            _ => None,
        };
        let begun: BTreeSet<_> = self.bench.core.effects.iter().filter_map(begun).collect();
        for addr in (1..=NODES).map(NodeAddr) {
            let explanation = snapshot.explain(&addr, now);
            assert_eq!(explanation.is_known(), snapshot.get(&addr).is_some());
            assert_eq!(explanation.is_known(), !explanation.reasons.is_empty(), "{addr}: {explanation:?}");
            // A time-out ends the attempt in the same phase, and the link may then be dialled again.
            if explanation.next.is_some_and(|next| next.action == Action::TimeOut && next.at <= now) {
                continue;
            }
            let held = explanation.is_blocked();
            self.met.note(&explanation);
            assert_eq!(begun.contains(&addr), !held, "{addr}: {explanation:?}");
            self.explained[0][usize::from(held)] += 1;
        }
        self.check_net_explanations(now);
        self.check();
    }

    fn check_net_explanations(&mut self, now: Instant) {
        self.collect();
        let snapshot = self.bench.snapshot();
        self.collect();
        if self.reference {
            let _ = self.bench.apply(Command::CheckNets);
        } else {
            self.bench.core.advance(now);
        }
        let asked: BTreeMap<_, _> = requested(&self.bench.core.effects).into_iter().collect();
        for net in (1..=NETS).map(NetId) {
            let explanation = snapshot.explain_net(net, now);
            let held = !explanation.blockers.is_empty();
            self.met.request_blockers.extend(explanation.blockers.iter().map(discriminant));
            let needed = (!held).then_some(explanation.needed as u32);
            assert_eq!(asked.get(&net).copied(), needed, "{net}: {explanation:?}");
            self.explained[1][usize::from(held)] += 1;
        }
        self.collect();
    }

    fn chaos(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.rng.u8(0..10) {
                0..7 => {
                    let command = self.random_command();
                    let _ = self.apply(command);
                }
                7 => self.bench.clock.advance(Duration::from_millis(self.rng.u64(0..9_000))),
                8 if self.rng.bool() => self.check_explanations(),
                8 => self.turn(),
                _ => drop(self.deliver()),
            }
        }
    }

    /// Runs until no effect is left: the transport answers every effect, and the host sends no commands.
    fn run_until_quiet(&mut self) {
        self.cooperates = true;
        let _ = self.apply(Command::SetActive { active: true });
        let end = self.bench.now() + Duration::from_secs(300);
        let mut turns = 0;
        while self.bench.now() < end {
            turns += 1;
            assert!(turns < 2_000, "the turns do not end");
            self.turn();
            let mut delivered = false;
            while self.deliver() {
                delivered = true;
            }
            if !delivered && !self.bench.core.is_dirty() {
                let wait = self.bench.core.next_deadline() - self.bench.now();
                self.bench.clock.advance(wait);
            }
        }
        // The transport may have made streams for a dial that it had not seen: those are not compared.
        let taken = |streams: &BTreeMap<StreamId, Open>| {
            let taken = streams.iter().filter(|(_, open)| open.direction == Direction::Downlink);
            taken.map(|(id, open)| (*id, *open)).collect::<Vec<_>>()
        };
        assert_eq!(taken(&self.open), taken(&self.told), "the delivered effects agree");
    }

    fn check_settled(&self) {
        for (_, link) in self.bench.core.writer.iter() {
            assert!(!link.is_resolving() && link.state() != DialState::Connecting, "{link:?}");
            for net in link.nets() {
                let active = self.bench.core.directory().is_net_active(*net);
                // With ticked timing no net is announced on the peer's stream: one membership is enough.
                let carried = self.reference && link.state() == DialState::Disconnected;
                let enough = link.is_member(*net) || (carried && link.is_active());
                assert!(!active || enough, "{link:?}");
            }
            let directory = self.bench.core.directory();
            let fixed = link.static_clusters().any(|cluster| directory.is_cluster_enabled(cluster));
            assert!(!fixed || !link.streams().is_empty(), "{link:?}");
        }
        let recent = self.bench.now() - 2 * TICK;
        for net in self.bench.core.directory().nets().iter().filter(|net| net.is_active()) {
            if net.config().reserved_only {
                continue;
            }
            let enough = self.bench.core.counts(net.id()).total() >= net.min_links() as usize;
            let asked = self.asked.get(&net.id()).is_some_and(|at| *at >= recent);
            assert!(enough || asked, "{}", net.id());
        }
    }
}

/// Removes the streams that an effect closes.
fn close(streams: &mut BTreeMap<StreamId, Open>, effect: &Effect<NodeAddr>) {
    match effect {
        Effect::CloseStreams { streams: closed, .. } => streams.retain(|id, _| !closed.contains(id)),
        Effect::CloseDialer { addr } | Effect::CancelDial { addr, .. } => {
            streams.retain(|_, open| open.addr != *addr || open.direction == Direction::Downlink);
        }
        _ => {}
    }
}

#[allow(clippy::print_stdout)] // A failing test shows its seed.
fn run(config: &Config, seeds: std::ops::Range<u64>) {
    let (mut members, mut clusters, mut explained, mut met) = (0, 0, [0; 4], Met::default());
    for seed in seeds {
        println!("seed {seed}");
        let mut world =
            World::new(config.clone().ignore_period(Duration::from_secs(60)).max_streams(3), seed);
        for _ in 0..3 {
            world.cooperates = false;
            world.chaos(400);
            world.run_until_quiet();
            world.check_settled();
        }
        for (sum, count) in explained.iter_mut().zip(world.explained.as_flattened()) {
            *sum += count;
        }
        met.add(std::mem::take(&mut world.met));
        let links = world.bench.core.writer.iter().map(|(_, link)| link);
        members += links.clone().map(|link| link.memberships().len()).sum::<usize>();
        clusters += links.map(|link| link.clusters().len()).sum::<usize>();
    }
    assert!(members > 0 && clusters > 0, "nothing ran");
    assert!(explained.iter().all(|count| *count > 100), "{explained:?}");
    met.check(config.settings().flaps.is_some_and(|policy| policy.limit == 1));
}

#[test]
fn random_commands_break_nothing_and_everything_settles_in_immediate_mode() {
    run(&Config::default(), 0..60);
    run(&Config::default().max_attempts(3), 60..80);
}

#[test]
fn random_commands_break_nothing_and_everything_settles_with_flapping_links() {
    // Short enough for the rest to end before the run does.
    let policy = FlapPolicy::new().delay(Duration::from_secs(60)).entries(3);
    run(&Config::default().flaps(policy), 200..220);
    run(&Config::default().flaps(policy.limit(1)), 220..260);
}

#[test]
fn random_commands_break_nothing_and_everything_settles_in_reference_mode() {
    // With a limit: without one, a dial that is never answered would block its link indefinitely.
    run(&Config::ticked().dial_timeout(Duration::from_secs(60)), 0..60);
}
