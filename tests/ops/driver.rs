//! A link manager that is driven by hand, with commands and reports in any order, valid or not.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use switchboard::clock::{Clock, ManualClock};
use switchboard::link::{
    AddressPolicy, ClusterKind, ClusterStatus, DialId, DialState, FlapPolicy, ResolveId, UserData,
};
use switchboard::mailbox::{self, Backpressure};
use switchboard::manager::MemberFilter;
use switchboard::manager::config::{Settings, Timing};
use switchboard::ticket::Ticket;
use switchboard::{
    Applied, ClusterId, Command, CommandError, Config, Direction, Driver, Effect, Handle, LinkManager,
    LinksSnapshot, NetConfig, NetId, NodeAddr, RetryPolicy, StreamId,
};

use super::bytes::Bytes;

const OWN: NodeAddr = NodeAddr(1);

struct Case {
    driver: Driver<NodeAddr>,
    handle: Handle<NodeAddr>,
    clock: ManualClock,
    tickets: Vec<Ticket<Applied, CommandError>>,
    /// The identities of all dials so far, which are never reused.
    dials: HashSet<DialId>,
    last_dial: u64,
    last_resolve: u64,
    waiting: Vec<Effect<NodeAddr>>,
}

/// Runs a case. The first bytes choose the configuration, the others the operations.
pub fn run(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let clock = ManualClock::new();
    let driver =
        LinkManager::<NodeAddr>::builder(config(&mut bytes)).own_addr(OWN).clock(clock.clone()).build();
    let driver = driver.expect("the configuration is valid");
    let handle = driver.handle();
    let mut case = Case {
        driver,
        handle,
        clock,
        tickets: Vec::new(),
        dials: HashSet::new(),
        last_dial: 0,
        last_resolve: 0,
        waiting: Vec::new(),
    };
    while let Some(op) = bytes.next() {
        case.apply(op, &mut bytes);
    }
    case.end();
}

fn config(bytes: &mut Bytes<'_>) -> Config {
    let flags = bytes.byte();
    let some = |number| NonZeroUsize::new(number).expect("not zero");
    let capacities = if flags & 1 == 0 { [64; 4] } else { [2, 3, 2, 1] };
    let policy = match flags >> 1 & 3 {
        0 => Backpressure::Block,
        1 => Backpressure::ShedLowest,
        _ => Backpressure::Reject,
    };
    let capacities = mailbox::Config::try_from(capacities).expect("no capacity is zero").backpressure(policy);
    let config = Config::default()
        .mailbox(capacities)
        .timing(if flags & 8 == 0 { Timing::Immediate } else { Timing::Ticked })
        .addresses(AddressPolicy::new().allow_loopback(flags & 16 == 0))
        .max_attempts(u32::from(flags >> 5 & 1) + 1)
        .retry(RetryPolicy::Fixed(Duration::from_secs(if flags & 64 == 0 { 20 } else { 1 })))
        .batch(some(if flags & 128 == 0 { 256 } else { 2 }));
    let limits = bytes.byte();
    let dial_timeout = (limits & 1 == 0).then_some(Duration::from_secs(60));
    config
        .dial_timeout(dial_timeout)
        .max_links(if limits & 2 == 0 { 100 } else { 3 })
        .max_nets(if limits & 4 == 0 { 100 } else { 2 })
        .max_streams(if limits & 8 == 0 { 8 } else { 1 })
        .max_ignored(if limits & 16 == 0 { 100 } else { 2 })
        .max_permanent(if limits & 16 == 0 { 100 } else { 1 })
        .max_roles(if limits & 16 == 0 { 100 } else { 2 })
        .max_clusters(if limits & 4 == 0 { 100 } else { 2 })
        .flaps((limits & 64 != 0).then(|| FlapPolicy::new().entries(2)))
        .outbox(some(if limits & 32 == 0 { 1000 } else { 2 }))
}

impl Case {
    fn apply(&mut self, op: u8, bytes: &mut Bytes<'_>) {
        match op % 8 {
            0..4 => {
                let command = command(bytes, self.last_dial, self.last_resolve);
                self.submit(command);
            }
            4 | 5 => self.turn(),
            6 => self.answer(bytes),
            _ => {
                // From zero to a quarter of an hour.
                let seconds = [0, 1, 5, 10, 20, 60, 300, 901][bytes.below(8)];
                self.clock.advance(Duration::from_secs(seconds));
                self.turn();
            }
        }
    }

    fn submit(&mut self, command: Command<NodeAddr>) {
        match self.handle.submit(command.clone()) {
            Ok(ticket) => self.tickets.push(ticket),
            Err(error) => {
                assert!(error.is_full());
                assert_eq!(error.into_inner(), command);
            }
        }
    }

    fn turn(&mut self) {
        let now = self.clock.now();
        let before = self.driver.links().version();
        let next = self.driver.run_once(now);
        assert!(next.is_none_or(|next| next >= now));
        self.collect();
        let links = self.driver.links().snapshot();
        assert!(links.version().as_u64() <= before.as_u64() + 1, "one turn publishes once");
        check(&links);
        let settings = links.settings();
        let rest = settings.flaps.map_or(Duration::ZERO, |_| Duration::from_secs(900));
        let latest = now + settings.retry.cap().max(rest);
        assert!(links.links().all(|link| link.not_before().is_none_or(|at| at <= latest)));
        assert!(links.links().all(|link| links.explain(link.addr(), now).is_known()));
        let version = links.version();
        self.tickets.retain_mut(|ticket| match ticket.try_take() {
            None => true,
            Some(Ok(applied)) => {
                assert!(applied.version <= version, "a ticket completes after its version");
                false
            }
            Some(Err(error)) => {
                assert!(!matches!(error, CommandError::Panicked | CommandError::Closed), "{error}");
                false
            }
        });
    }

    fn collect(&mut self) {
        let effects: Vec<_> = self.driver.effects().collect();
        for effect in effects {
            if let Effect::Dial { dial, .. } = effect {
                assert!(self.dials.insert(dial), "{dial} was reused");
                self.last_dial = dial.0;
            }
            if let Effect::Resolve { resolve, .. } = effect {
                assert!(resolve.0 > self.last_resolve, "{resolve} was reused");
                self.last_resolve = resolve.0;
            }
            // A stream with such a node is refused, which closes it.
            if !matches!(effect, Effect::CloseStreams { .. }) {
                assert!(effect.addr().is_none_or(|addr| *addr != OWN && *addr != NodeAddr::BLANK));
            }
            self.waiting.push(effect);
        }
    }

    /// Answers a waiting effect with a success or a failure.
    fn answer(&mut self, bytes: &mut Bytes<'_>) {
        if self.waiting.is_empty() {
            return;
        }
        let index = bytes.below(self.waiting.len());
        let well = bytes.byte();
        match self.waiting.swap_remove(index) {
            Effect::Resolve { addr, .. } if well & 1 == 0 => {
                self.submit(Command::SetEndpoint { addr, endpoint: endpoint(well) });
            }
            Effect::Resolve { addr, resolve } => self.submit(Command::ResolveFailed { addr, resolve }),
            Effect::Dial { addr, dial, .. } if well & 1 == 0 => {
                let stream = StreamId(u64::from(well) + 100);
                self.submit(if well & 2 == 0 {
                    Command::AddStream { addr, stream, direction: Direction::Uplink }
                } else {
                    Command::AddUplink { addr, stream, dial }
                });
                self.submit(Command::DialConnected { addr, dial });
            }
            Effect::Dial { addr, dial, .. } => {
                self.submit(Command::DialFailed { addr, dial, last: well & 2 == 0 });
            }
            Effect::Announce { addr, net, stream } => {
                self.submit(Command::AccountLink { net, addr, stream, accepted: well & 1 == 0 });
            }
            Effect::CloseStreams { addr, streams } => {
                for stream in streams {
                    self.submit(Command::DeleteStream { addr, stream });
                }
            }
            Effect::RequestLinks { net, .. } => {
                self.submit(Command::CreateLink { addr: NodeAddr(u64::from(well) % 8), net });
            }
            _ => {}
        }
    }

    fn end(mut self) {
        self.turn();
        let report = self.driver.shutdown(self.clock.now());
        assert_eq!(report.refused, 0);
        let links = self.driver.links().snapshot();
        assert!(links.is_empty() && links.nets().is_empty());
        assert_eq!(links.version(), report.version);
        for mut ticket in self.tickets {
            assert!(ticket.try_take().is_some(), "every ticket ends");
        }
        let refused = self.handle.submit(Command::WakeUp);
        assert!(refused.is_err_and(|error| error.is_closed()));
    }
}

/// Checks the invariants of every version.
pub(super) fn check(links: &LinksSnapshot<NodeAddr>) {
    let states = [DialState::Disconnected, DialState::Connecting, DialState::Established];
    for net in links.nets() {
        let id = net.id();
        let listed: HashSet<_> = links.addrs(id, MemberFilter::All).copied().collect();
        assert_eq!(links.count(id), links.addrs(id, MemberFilter::All).count());
        assert_eq!(links.count(id), listed.len(), "an address is listed twice");
        assert!(links.addrs(id, MemberFilter::Established).all(|addr| listed.contains(addr)));
        let by_kind: usize = [Direction::Uplink, Direction::Downlink]
            .iter()
            .flat_map(|direction| states.iter().map(|state| links.count_by(id, *direction, *state)))
            .sum();
        assert_eq!(by_kind, listed.len());
        for addr in &listed {
            let link = links.get(addr).expect("a member has a record");
            assert!(link.is_member(id));
            assert!(!link.streams().is_empty(), "a member has a live stream");
        }
        assert!(net.is_active() || listed.is_empty(), "an inactive net has no members");
    }
    check_clusters(links);
    assert_eq!(links.links().count(), links.len());
    for link in links.links() {
        let active = !link.memberships().is_empty() || !link.clusters().is_empty();
        let kept = !link.nets().is_empty() || active || link.static_clusters().len() > 0;
        assert!(kept || !link.is_dialable() && !link.streams().is_empty(), "every link has a reason");
        assert_ne!(*link.addr(), OWN);
        assert_ne!(*link.addr(), NodeAddr::BLANK);
        assert_eq!(links.get(link.addr()), Some(link));
        for net in link.memberships().iter().chain(link.nets()) {
            assert!(links.net(*net).is_some(), "a link names managed nets only");
        }
        let streams: HashSet<_> = link.streams().iter().map(|stream| stream.id).collect();
        assert_eq!(streams.len(), link.streams().len());
        assert_eq!(link.primary().map(|stream| stream.id), link.streams().first().map(|stream| stream.id));
    }
}

fn check_clusters(links: &LinksSnapshot<NodeAddr>) {
    for cluster in links.clusters() {
        let id = cluster.id();
        let listed: HashSet<_> = links.cluster_members(id).copied().collect();
        assert_eq!(listed.len(), links.cluster_members(id).count(), "an address is listed twice");
        assert_eq!(listed.len(), links.cluster_count(id));
        assert_eq!(cluster.status() == ClusterStatus::Enabled, links.is_active(cluster.net()));
        assert!(cluster.status() == ClusterStatus::Enabled || listed.is_empty());
        for addr in &listed {
            let link = links.get(addr).expect("a member has a record");
            assert!(link.is_cluster_member(id) && !link.streams().is_empty());
        }
        let fixed: HashSet<_> = links.static_peers(id).copied().collect();
        assert_eq!(fixed.len(), links.static_count(id));
        for link in links.links() {
            assert_eq!(link.is_cluster_member(id), listed.contains(link.addr()));
            assert_eq!(link.is_static_peer(id), fixed.contains(link.addr()));
        }
        if cluster.role_members().any(|addr| *addr == OWN) {
            assert!(cluster.role_members().all(|addr| *addr == OWN || fixed.contains(addr)));
        }
    }
    for net in links.nets().iter().filter(|net| net.is_active()) {
        for addr in net.permanent_peers() {
            assert!(links.contains(addr, net.id()), "a permanent peer is wanted while the net is active");
        }
    }
}

/// Settings, valid or not.
fn settings(bytes: &mut Bytes<'_>) -> Settings {
    let (flags, limits) = (bytes.byte(), bytes.byte());
    let delay = Duration::from_secs(u64::from(limits % 32));
    let retry = if flags & 1 == 0 {
        RetryPolicy::fixed(delay)
    } else {
        RetryPolicy::exponential(delay, Duration::from_secs(10))
    };
    Settings::default()
        .retry(retry)
        .tick(Duration::from_secs(if flags & 2 == 0 { 5 } else { 1 }))
        .max_attempts(u32::from(flags >> 2 & 3))
        .max_links(if flags & 16 == 0 { 100 } else { 2 })
        .max_nets(if flags & 32 == 0 { 100 } else { 1 })
        .max_streams(if flags & 64 == 0 { 8 } else { 1 })
        .dial_timeout((flags & 128 == 0).then_some(Duration::from_secs(30)))
        .flaps((limits & 32 != 0).then(|| FlapPolicy::new().entries(2)))
        .max_clusters(if limits & 64 == 0 { 100 } else { 1 })
        .max_roles(if limits & 64 == 0 { 100 } else { 1 })
        .max_permanent(if limits & 128 == 0 { 100 } else { 1 })
}

fn endpoint(byte: u8) -> SocketAddr {
    let port = u16::from(byte & 7);
    match byte >> 3 & 3 {
        0 => SocketAddr::from(([127, 0, 0, 1], port)),
        1 => SocketAddr::from(([0, 0, 0, 0], port)),
        _ => SocketAddr::from(([192, 0, 2, byte], port)),
    }
}

fn command(bytes: &mut Bytes<'_>, last_dial: u64, last_resolve: u64) -> Command<NodeAddr> {
    let kind = bytes.byte();
    let (addr, net) = (NodeAddr(u64::from(bytes.byte() % 8)), bytes.byte());
    let net = NetId(if net == 255 { u64::MAX } else { u64::from(net % 4) });
    let stream = |bytes: &mut Bytes<'_>| StreamId(u64::from(bytes.byte() % 16));
    let direction = |bytes: &mut Bytes<'_>| {
        if bytes.byte() & 1 == 0 { Direction::Uplink } else { Direction::Downlink }
    };
    // Mostly the last dial, or a slightly older one.
    let dial = |bytes: &mut Bytes<'_>| DialId(last_dial.saturating_sub(u64::from(bytes.byte() % 4)));
    // In a range that the first findings do not use, so that they keep their meaning.
    match kind {
        240..245 => return Command::Reconfigure { settings: Box::new(settings(bytes)) },
        245..250 => {
            let flags = bytes.byte();
            let config = NetConfig::new().min_links(u32::from(flags % 4)).reserved_only(flags & 4 != 0);
            return Command::ConfigureNet { net, config };
        }
        250.. => return Command::SetUserData { addr, data: Some(UserData::new(bytes.byte())) },
        _ => {}
    }
    if kind >= KEEPING {
        return keeping(kind - KEEPING, addr, net, bytes, last_dial);
    }
    match kind % 20 {
        0 => Command::AddNet { net, config: NetConfig::new().min_links(u32::from(bytes.byte() % 4)) },
        1 => Command::AddNet { net, config: NetConfig::new().count_downlinks(false) },
        2 => Command::RemoveNet { net },
        3 | 4 => Command::SetNetActive { net, active: bytes.byte() & 3 != 0 },
        5 => Command::SetActive { active: bytes.byte() & 3 != 0 },
        6 | 7 => Command::CreateLink { addr, net },
        8 => Command::SetEndpoint { addr, endpoint: endpoint(bytes.byte()) },
        9 => Command::DeleteLink { addr },
        10 => {
            // The age of the resolution comes from a byte that is decoded anyway, so that old findings keep
            // their meaning.
            let resolve = ResolveId(last_resolve.saturating_sub(u64::from(kind / 20 % 4)));
            Command::ResolveFailed { addr, resolve }
        }
        11 | 12 => Command::AddStream { addr, stream: stream(bytes), direction: direction(bytes) },
        13 => Command::ReplaceStream {
            addr,
            old: stream(bytes),
            new: stream(bytes),
            direction: direction(bytes),
        },
        14 => Command::DeleteStream { addr, stream: stream(bytes) },
        15 | 16 => Command::AccountLink { net, addr, stream: stream(bytes), accepted: bytes.byte() & 3 != 0 },
        17 => Command::DialConnected { addr, dial: dial(bytes) },
        18 => Command::DialFailed { addr, dial: dial(bytes), last: bytes.byte() & 1 == 0 },
        _ if kind & 1 == 0 => Command::CheckNets,
        _ => Command::WakeUp,
    }
}

/// Kinds of commands from here on concern clusters and lasting peers.
const KEEPING: u8 = 180;

fn keeping(kind: u8, addr: NodeAddr, net: NetId, bytes: &mut Bytes<'_>, last_dial: u64) -> Command<NodeAddr> {
    let choice = bytes.byte();
    // Service 0 is the main cluster, which all of these commands refuse.
    let cluster = ClusterId::new(net, u64::from(choice >> 6));
    match kind % 12 {
        0 | 1 => {
            let kind = if choice & 3 == 0 { ClusterKind::Embedded } else { ClusterKind::Autonomic };
            Command::AssociateCluster { net, cluster, kind }
        }
        2 => Command::DissociateCluster { cluster },
        3 => Command::JoinCluster { cluster, addr },
        4 => Command::LeaveCluster { cluster, addr },
        5 => Command::AddStaticPeer { cluster, addr },
        6 => Command::RemoveStaticPeer { cluster, addr },
        7 => Command::SetRoleMember { cluster, addr, member: choice & 3 != 0 },
        8 => Command::AddPermanentPeer { net, addr },
        9 => Command::RemovePermanentPeer { net, addr },
        10 => Command::AddNet { net, config: NetConfig::new().reserved_only(choice & 1 == 0) },
        _ => {
            let dial = DialId(last_dial.saturating_sub(u64::from(choice % 4)));
            Command::AddUplink { addr, stream: StreamId(u64::from(choice >> 4)), dial }
        }
    }
}
