//! The steps of a sequence, and their meaning at their place in it.

use super::*;

/// The settings that may change while the manager runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    attempts: u32,
    exponential: bool,
    flaps: Option<u32>,
    time_limit: bool,
    /// Whether all limits are low.
    narrow: bool,
    tick: u64,
}

impl Setup {
    pub(super) fn settings(self) -> Settings {
        let (one, cap) = (Duration::from_secs(5), Duration::from_secs(20));
        let retry =
            if self.exponential { RetryPolicy::exponential(one, cap) } else { RetryPolicy::fixed(cap) };
        let policy = FlapPolicy::new().threshold(cap).delay(Duration::from_secs(60));
        let settings = Settings::default()
            .tick(Duration::from_secs(self.tick))
            .max_attempts(self.attempts)
            .retry(retry)
            .ignore_period(Duration::from_secs(30))
            .dial_timeout(self.time_limit.then_some(Duration::from_secs(15)))
            .flaps(self.flaps.map(|limit| policy.limit(limit)));
        if !self.narrow {
            return settings;
        }
        settings
            .max_links(3)
            .max_nets(2)
            .max_streams(2)
            .max_ignored(2)
            .max_clusters(3)
            .max_roles(2)
            .max_permanent(1)
    }
}

pub(super) fn setup() -> impl Strategy<Value = Setup> {
    let flaps = prop_oneof![2 => Just(None), 1 => Just(Some(2)), 1 => Just(Some(1))];
    let narrow = prop::bool::weighted(0.25);
    (1..=2_u32, any::<bool>(), flaps, any::<bool>(), narrow, prop_oneof![3 => Just(5_u64), 1 => Just(7)])
        .prop_map(|(attempts, exponential, flaps, time_limit, narrow, tick)| Setup {
            attempts,
            exponential,
            flaps,
            time_limit,
            narrow,
            tick,
        })
}

/// An operation; with `turn`, the batch ends after it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) turn: bool,
}

/// The way in which the transport answers an effect.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Well,
    Badly,
    ByHalf,
    ByTheOtherHalf,
}

/// An operation. Streams, dials and resolutions are named by age: 0 is the newest one of the node, 1 the one
/// before.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Wait(u64),
    Answer { which: usize, how: How, again: bool },
    Create(Node, NetId),
    Endpoint(Node, u16),
    Delete(Node),
    ResolveFailed(Node, usize),
    Open(Node, Option<usize>, Direction),
    OpenOfDial(Node, Option<usize>, usize),
    Replace(Node, usize, Option<usize>, Direction),
    Lose(Node, usize),
    Account(NetId, Node, usize, bool),
    Connected(Node, usize),
    Failed(Node, usize, bool),
    AddNet(NetId, NetConfig),
    RemoveNet(NetId),
    Switch(NetId, bool),
    Configure(NetId, NetConfig),
    Manager(bool),
    Reconfigure(Setup),
    SetData(Node, Option<usize>),
    Associate(NetId, ClusterId, ClusterKind),
    Dissociate(ClusterId),
    Join(ClusterId, Node),
    Leave(ClusterId, Node),
    Fix(ClusterId, Node),
    Unfix(ClusterId, Node),
    Role(ClusterId, Node, bool),
    Keep(NetId, Node),
    Unkeep(NetId, Node),
    Request,
    WakeUp,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let op =
        prop_oneof![4 => wait(), 9 => answer(), 5 => asked(), 4 => reported(), 4 => kept(), 2 => managed()];
    (op, any::<bool>()).prop_map(|(op, turn)| Step { op, turn })
}

fn node() -> impl Strategy<Value = Node> + Clone {
    prop_oneof![6 => Just(A), 5 => Just(B), 3 => Just(C), 2 => Just(D)]
}

/// A node, or rarely an address that no link may have.
fn any_node() -> impl Strategy<Value = Node> + Clone {
    prop_oneof![20 => node(), 1 => Just(NodeAddr::BLANK), 1 => Just(OWN)]
}

fn net() -> impl Strategy<Value = NetId> + Clone {
    prop_oneof![12 => Just(NET), 8 => Just(OTHER), 1 => Just(NetId(3))]
}

fn cluster() -> impl Strategy<Value = ClusterId> + Clone {
    let (third, main) = (ClusterId::new(NET, 9), ClusterId::main(NET));
    prop_oneof![12 => Just(CLUSTER), 8 => Just(FOREIGN), 3 => Just(third), 1 => Just(main)]
}

fn direction() -> impl Strategy<Value = Direction> + Clone {
    prop_oneof![Just(Direction::Downlink), Just(Direction::Uplink)]
}

/// An age: usually that of the newest one.
fn old() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![6 => Just(0_usize), 3 => Just(1), 1 => Just(2), 1 => Just(7)]
}

/// The age of a known stream, or usually `None`: a stream that was not reported before.
fn new() -> impl Strategy<Value = Option<usize>> + Clone {
    prop_oneof![5 => Just(None), 1 => old().prop_map(Some)]
}

fn config() -> impl Strategy<Value = NetConfig> {
    (0..3_u32, any::<bool>(), prop::bool::weighted(0.3)).prop_map(|(links, downlinks, reserved)| {
        NetConfig::new().min_links(links).count_downlinks(downlinks).reserved_only(reserved)
    })
}

fn wait() -> impl Strategy<Value = Op> {
    let millis = [5_000, 10_000, 1_u64, 1_000, 5_000, 15_000, 20_000, 20_001, 60_000];
    prop::sample::select(millis.to_vec()).prop_map(Op::Wait)
}

fn answer() -> impl Strategy<Value = Op> {
    let how = prop_oneof![6 => Just(How::Well), 2 => Just(How::Badly), 1 => Just(How::ByHalf), 1 => Just(How::ByTheOtherHalf)];
    (0..4_usize, how, prop::bool::weighted(0.15)).prop_map(|(which, how, again)| Op::Answer {
        which,
        how,
        again,
    })
}

fn asked() -> impl Strategy<Value = Op> {
    let port = prop_oneof![6 => Just(4_000_u16), 2 => Just(5_000), 1 => Just(0)];
    prop_oneof![
        5 => (any_node(), net()).prop_map(|(addr, net)| Op::Create(addr, net)),
        3 => (any_node(), port).prop_map(|(addr, port)| Op::Endpoint(addr, port)),
        1 => any_node().prop_map(Op::Delete),
        1 => (node(), prop::option::of(0..2_usize)).prop_map(|(addr, data)| Op::SetData(addr, data)),
        1 => Just(Op::Request),
        2 => Just(Op::WakeUp),
    ]
}

fn reported() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => (node(), old()).prop_map(|(addr, resolve)| Op::ResolveFailed(addr, resolve)),
        5 => (any_node(), new(), direction()).prop_map(|(addr, new, direction)| Op::Open(addr, new, direction)),
        1 => (node(), new(), old()).prop_map(|(addr, new, dial)| Op::OpenOfDial(addr, new, dial)),
        3 => (node(), old(), new(), direction()).prop_map(|(addr, old, new, way)| Op::Replace(addr, old, new, way)),
        3 => (node(), old()).prop_map(|(addr, old)| Op::Lose(addr, old)),
        5 => (net(), node(), old(), prop::bool::weighted(0.8)).prop_map(|(net, addr, old, ok)| Op::Account(net, addr, old, ok)),
        1 => (node(), old()).prop_map(|(addr, dial)| Op::Connected(addr, dial)),
        3 => (node(), old(), any::<bool>()).prop_map(|(addr, dial, last)| Op::Failed(addr, dial, last)),
    ]
}

fn kept() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![2 => Just(ClusterKind::Autonomic), 1 => Just(ClusterKind::Embedded)];
    let role = prop_oneof![2 => node(), 1 => Just(OWN)];
    prop_oneof![
        1 => (net(), cluster(), kind).prop_map(|(net, cluster, kind)| Op::Associate(net, cluster, kind)),
        1 => cluster().prop_map(Op::Dissociate),
        2 => (cluster(), node()).prop_map(|(cluster, addr)| Op::Join(cluster, addr)),
        2 => (cluster(), node()).prop_map(|(cluster, addr)| Op::Leave(cluster, addr)),
        3 => (cluster(), any_node()).prop_map(|(cluster, addr)| Op::Fix(cluster, addr)),
        2 => (cluster(), node()).prop_map(|(cluster, addr)| Op::Unfix(cluster, addr)),
        4 => (cluster(), role, prop::bool::weighted(0.7)).prop_map(|(cluster, addr, member)| Op::Role(cluster, addr, member)),
        3 => (net(), any_node()).prop_map(|(net, addr)| Op::Keep(net, addr)),
        1 => (net(), node()).prop_map(|(net, addr)| Op::Unkeep(net, addr)),
    ]
}

fn managed() -> impl Strategy<Value = Op> {
    let net_or_none = prop_oneof![9 => net(), 1 => Just(NetId(0))];
    prop_oneof![
        4 => (net_or_none, config()).prop_map(|(net, config)| Op::AddNet(net, config)),
        1 => net().prop_map(Op::RemoveNet),
        5 => (net(), prop::bool::weighted(0.6)).prop_map(|(net, on)| Op::Switch(net, on)),
        3 => (net(), config()).prop_map(|(net, config)| Op::Configure(net, config)),
        2 => prop::bool::weighted(0.6).prop_map(Op::Manager),
        2 => setup().prop_map(Op::Reconfigure),
    ]
}

impl Run {
    /// Returns the commands that an operation stands for at this place. Lets time pass immediately.
    pub(super) fn commands(&mut self, op: &Op) -> Vec<Command<Node>> {
        match op.clone() {
            Op::Wait(millis) => {
                self.bench.clock.advance(Duration::from_millis(millis));
                self.model.now = self.bench.now();
                Vec::new()
            }
            Op::Answer { which, how, again } => self.answer(which, how, again),
            op => vec![self.command(op)],
        }
    }

    fn command(&mut self, op: Op) -> Command<Node> {
        match op {
            Op::Create(addr, net) => Command::CreateLink { addr, net },
            Op::Endpoint(addr, port) => Command::SetEndpoint { addr, endpoint: at(port) },
            Op::Delete(addr) => Command::DeleteLink { addr },
            Op::ResolveFailed(addr, resolve) => {
                Command::ResolveFailed { addr, resolve: self.resolve(addr, resolve) }
            }
            Op::Open(addr, new, direction) => {
                Command::AddStream { addr, stream: self.new_stream(addr, new), direction }
            }
            Op::OpenOfDial(addr, new, dial) => {
                Command::AddUplink { addr, stream: self.new_stream(addr, new), dial: self.dial(addr, dial) }
            }
            Op::Replace(addr, old, new, direction) => {
                let old = self.stream(addr, old);
                Command::ReplaceStream { addr, old, new: self.new_stream(addr, new), direction }
            }
            Op::Lose(addr, old) => Command::DeleteStream { addr, stream: self.stream(addr, old) },
            Op::Account(net, addr, stream, accepted) => {
                Command::AccountLink { net, addr, stream: self.stream(addr, stream), accepted }
            }
            Op::Connected(addr, dial) => Command::DialConnected { addr, dial: self.dial(addr, dial) },
            Op::Failed(addr, dial, last) => Command::DialFailed { addr, dial: self.dial(addr, dial), last },
            Op::AddNet(net, config) => Command::AddNet { net, config },
            Op::RemoveNet(net) => Command::RemoveNet { net },
            Op::Switch(net, active) => Command::SetNetActive { net, active },
            Op::Configure(net, config) => Command::ConfigureNet { net, config },
            Op::Manager(active) => Command::SetActive { active },
            Op::Reconfigure(setup) => Command::Reconfigure { settings: Box::new(setup.settings()) },
            Op::SetData(addr, data) => {
                Command::SetUserData { addr, data: data.map(|index| self.data[index].clone()) }
            }
            Op::Associate(net, cluster, kind) => Command::AssociateCluster { net, cluster, kind },
            Op::Dissociate(cluster) => Command::DissociateCluster { cluster },
            Op::Join(cluster, addr) => Command::JoinCluster { cluster, addr },
            Op::Leave(cluster, addr) => Command::LeaveCluster { cluster, addr },
            Op::Fix(cluster, addr) => Command::AddStaticPeer { cluster, addr },
            Op::Unfix(cluster, addr) => Command::RemoveStaticPeer { cluster, addr },
            Op::Role(cluster, addr, member) => Command::SetRoleMember { cluster, addr, member },
            Op::Keep(net, addr) => Command::AddPermanentPeer { net, addr },
            Op::Unkeep(net, addr) => Command::RemovePermanentPeer { net, addr },
            Op::Request => Command::CheckNets,
            Op::WakeUp | Op::Wait(_) | Op::Answer { .. } => Command::WakeUp,
        }
    }

    /// The answer to one of the effects. With `again`, the effect may be answered once more.
    fn answer(&mut self, which: usize, how: How, again: bool) -> Vec<Command<Node>> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let index = self.waiting.len() - 1 - which % self.waiting.len();
        let effect = if again { self.waiting[index].clone() } else { self.waiting.remove(index) };
        let good = matches!(how, How::Well | How::ByHalf);
        match effect {
            Effect::Resolve { addr, .. } if good => vec![Command::SetEndpoint { addr, endpoint: at(4_000) }],
            Effect::Resolve { addr, resolve } => vec![Command::ResolveFailed { addr, resolve }],
            Effect::Dial { addr, dial, .. } => {
                let connected = Command::DialConnected { addr, dial };
                match how {
                    How::Well => {
                        let stream = self.new_stream(addr, None);
                        vec![Command::AddUplink { addr, stream, dial }, connected]
                    }
                    How::Badly => vec![Command::DialFailed { addr, dial, last: true }],
                    How::ByHalf => vec![connected],
                    How::ByTheOtherHalf => vec![Command::DialFailed { addr, dial, last: false }],
                }
            }
            Effect::Announce { addr, net, stream } => {
                vec![Command::AccountLink { net, addr, stream, accepted: good }]
            }
            Effect::CloseStreams { addr, streams } => {
                streams.into_iter().map(|stream| Command::DeleteStream { addr, stream }).collect()
            }
            Effect::RequestLinks { net, .. } => vec![Command::CreateLink { addr: A, net }],
            _ => Vec::new(),
        }
    }

    fn new_stream(&mut self, addr: Node, new: Option<usize>) -> StreamId {
        if let Some(old) = new {
            return self.stream(addr, old);
        }
        let stream = StreamId(self.next_stream);
        self.next_stream += 1;
        self.streams.entry(addr).or_default().push(stream);
        stream
    }

    fn stream(&self, addr: Node, old: usize) -> StreamId {
        let known = self.streams.get(&addr).and_then(|streams| streams.iter().rev().nth(old));
        known.copied().unwrap_or(StreamId(9_000_000))
    }

    fn dial(&self, addr: Node, old: usize) -> DialId {
        nth_dial(addr, number(self.dials.get(&addr).map_or(0, Vec::len), old))
    }

    fn resolve(&self, addr: Node, old: usize) -> ResolveId {
        nth_resolve(addr, number(self.resolves.get(&addr).map_or(0, Vec::len), old))
    }
}

/// The number of the identity of age `old` among `known` ones, or a number that was never given.
fn number(known: usize, old: usize) -> u64 {
    known.checked_sub(old).filter(|number| *number > 0).unwrap_or(9_999) as u64
}

/// Whether a transport answers an effect.
pub(super) fn is_question(effect: &Effect<Node>) -> bool {
    use Effect::{Announce, CloseStreams, Dial, RequestLinks, Resolve};
    matches!(
        effect,
        Resolve { .. } | Dial { .. } | Announce { .. } | CloseStreams { .. } | RequestLinks { .. }
    )
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}
