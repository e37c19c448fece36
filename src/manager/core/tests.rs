//! The core under a manual clock: each test names its property.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic is how these fail.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Applying, Core};
use crate::clock::{Clock, ManualClock};
use crate::link::{
    AddressPolicy, DialId, Direction, EndpointError, Link, LinkState, NetConfig, NetId, NetStatus, NodeAddr,
    RetryPolicy, StreamId, later,
};
use crate::manager::command::{Command, CommandError, Outcome};
use crate::manager::config::Config;
use crate::manager::effect::{Effect, LinkCause};
use crate::manager::query::{Filter, Links, LinksSnapshot};

mod commands;
mod data;
mod explain;
mod failures;
mod liveness;
mod nets;
mod panics;
mod prompt;
mod queries;
mod random;
mod reference;
mod retry;
mod settings;
mod streams;

const OWN: NodeAddr = NodeAddr(0xFFFF);
const A: NodeAddr = NodeAddr(1);
const B: NodeAddr = NodeAddr(2);
const C: NodeAddr = NodeAddr(3);
const NET: NetId = NetId(1);
const OTHER: NetId = NetId(2);

struct Bench {
    clock: ManualClock,
    core: Core<NodeAddr>,
    links: Links<NodeAddr>,
}

impl Bench {
    fn new(config: Config) -> Self {
        let clock = ManualClock::new();
        let timing = config.timing;
        let (core, table) = Core::new(config, Some(OWN), clock.now());
        Self { clock, core, links: Links::new(table, timing) }
    }

    /// Prompt timing, with one active net that wants nothing by itself.
    fn prompt() -> Self {
        let mut bench = Self::new(Config::default());
        bench.open(NET, 0);
        bench
    }

    fn reference() -> Self {
        let mut bench = Self::new(Config::reference());
        bench.open(NET, 0);
        bench
    }

    fn open(&mut self, net: NetId, min_links: u32) {
        self.done(Command::AddNet { net, config: NetConfig::new().min_links(min_links) });
        self.done(Command::SetNetCondition { net, active: true });
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn apply(&mut self, command: Command<NodeAddr>) -> Applying {
        let result = self.core.apply(command, self.now());
        self.check();
        result
    }

    fn done(&mut self, command: Command<NodeAddr>) {
        assert_eq!(self.apply(command.clone()), Ok(Outcome::Done), "{command:?}");
    }

    fn create(&mut self, addr: NodeAddr, net: NetId) -> Applying {
        self.apply(Command::CreateLink { addr, net })
    }

    fn update(&mut self, addr: NodeAddr) -> Applying {
        self.apply(Command::UpdateLink { addr, endpoint: endpoint() })
    }

    fn stream(&mut self, addr: NodeAddr, stream: u64, direction: Direction) -> Applying {
        self.apply(Command::AddStream { addr, stream: StreamId(stream), direction })
    }

    fn unstream(&mut self, addr: NodeAddr, stream: u64) -> Applying {
        self.apply(Command::DeleteStream { addr, stream: StreamId(stream) })
    }

    fn account(&mut self, net: NetId, addr: NodeAddr, stream: u64, accepted: bool) -> Applying {
        self.apply(Command::AccountLink { net, addr, stream: StreamId(stream), accepted })
    }

    fn connected(&mut self, addr: NodeAddr, dial: DialId) -> Applying {
        self.apply(Command::DialConnected { addr, dial })
    }

    fn failed(&mut self, addr: NodeAddr, dial: DialId, last: bool) -> Applying {
        self.apply(Command::DialFailed { addr, dial, last })
    }

    /// Lets time do its part, publishes, and returns the effects.
    fn turn(&mut self) -> Vec<Effect<NodeAddr>> {
        self.core.advance(self.now());
        self.core.publish(self.now());
        self.check();
        self.core.drain_effects().collect()
    }

    fn after(&mut self, step: Duration) -> Vec<Effect<NodeAddr>> {
        self.clock.advance(step);
        self.turn()
    }

    fn after_seconds(&mut self, seconds: u64) -> Vec<Effect<NodeAddr>> {
        self.after(Duration::from_secs(seconds))
    }

    fn snapshot(&mut self) -> LinksSnapshot<NodeAddr> {
        self.core.publish(self.now());
        self.links.snapshot()
    }

    fn link(&mut self, addr: NodeAddr) -> Link<NodeAddr> {
        self.snapshot().get(&addr).expect("a link").clone()
    }

    fn has(&mut self, addr: NodeAddr) -> bool {
        self.snapshot().get(&addr).is_some()
    }

    /// Dials `addr` for `net` in prompt mode, up to the effect.
    fn dial(&mut self, addr: NodeAddr, net: NetId) -> DialId {
        self.create(addr, net).unwrap();
        self.update(addr).unwrap();
        self.turn();
        self.link(addr).dial_id().expect("a dial")
    }

    /// An established uplink that is a member of `net`.
    fn uplink(&mut self, addr: NodeAddr, net: NetId, stream: u64) -> DialId {
        let dial = self.dial(addr, net);
        self.done_stream(addr, stream, Direction::Uplink);
        assert_eq!(self.connected(addr, dial), Ok(Outcome::Done));
        assert_eq!(self.account(net, addr, stream, true), Ok(Outcome::Done));
        self.turn();
        dial
    }

    fn done_stream(&mut self, addr: NodeAddr, stream: u64, direction: Direction) {
        assert_eq!(self.stream(addr, stream, direction), Ok(Outcome::Done));
    }

    /// The invariants of the specification, on the staged state.
    fn check(&self) {
        let limit = later(self.now(), self.core.settings().retry.cap());
        let mut members = 0;
        for (addr, link) in self.core.writer.iter() {
            // I1: one record per address, and never for the own or the blank one.
            assert_eq!(addr, link.addr());
            assert!(*addr != OWN && *addr != NodeAddr::BLANK);
            // I3: a member has a live stream.
            assert!(link.memberships().is_empty() || link.primary().is_some(), "{link:?}");
            // I4: who is wanted can be dialled.
            assert!(link.nets().is_empty() || link.is_dialable(), "{link:?}");
            // I5: a net that is off has no members.
            for net in link.memberships() {
                assert!(self.core.directory().is_net_active(*net), "{link:?}");
            }
            // I6: no net twice.
            for list in [link.nets(), link.memberships()] {
                let mut unique = list.to_vec();
                unique.sort_unstable();
                unique.dedup();
                assert_eq!(unique.len(), list.len());
            }
            // I8: no retry later than the delay.
            assert!(link.not_before().is_none_or(|at| at <= limit));
            // A record has a reason, and a dial agrees with its state.
            assert!(link.has_reason(), "{link:?}");
            assert_eq!(link.dial_id().is_some(), link.state() != LinkState::Disconnected, "{link:?}");
            let direction = link.primary().map_or(Direction::Downlink, |stream| stream.direction);
            assert_eq!(link.direction(), direction);
            members += link.memberships().len();
        }
        // I2 and B14: the index is a recount of the records.
        let nets: Vec<_> = self.core.directory().nets().iter().map(NetStatus::id).collect();
        assert_eq!(nets.iter().map(|net| self.core.counts(*net).total()).sum::<usize>(), members);
    }
}

fn endpoint() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000))
}

fn dialled(effects: &[Effect<NodeAddr>]) -> Vec<NodeAddr> {
    let dials = effects.iter().filter(|effect| matches!(effect, Effect::Dial { .. }));
    dials.filter_map(|effect| effect.addr().copied()).collect()
}

fn announced(effects: &[Effect<NodeAddr>]) -> Vec<(NodeAddr, NetId, u64)> {
    let announced = |effect: &Effect<NodeAddr>| match effect {
        Effect::Announce { addr, net, stream } => Some((*addr, *net, stream.0)),
        _ => None,
    };
    effects.iter().filter_map(announced).collect()
}

fn requested(effects: &[Effect<NodeAddr>]) -> Vec<(NetId, u32)> {
    let requested = |effect: &Effect<NodeAddr>| match effect {
        Effect::RequestLinks { net, needed } => Some((*net, *needed)),
        _ => None,
    };
    effects.iter().filter_map(requested).collect()
}

fn resolved(effects: &[Effect<NodeAddr>]) -> Vec<NodeAddr> {
    let asked = effects.iter().filter(|effect| matches!(effect, Effect::Resolve { .. }));
    asked.filter_map(|effect| effect.addr().copied()).collect()
}

#[test]
fn addresses_other_than_node_addresses_work() {
    let clock = ManualClock::new();
    let config = Config::default().addresses(AddressPolicy::new().allow_loopback(true));
    let key = [7; 32];
    let (mut core, _table) = Core::<[u8; 32]>::new(config.clone(), Some([1; 32]), clock.now());
    core.apply(Command::AddNet { net: NET, config: NetConfig::new() }, clock.now()).unwrap();
    assert_eq!(
        core.apply(Command::CreateLink { addr: [0; 32], net: NET }, clock.now()),
        Err(CommandError::BlankAddr)
    );
    assert_eq!(
        core.apply(Command::CreateLink { addr: [1; 32], net: NET }, clock.now()),
        Err(CommandError::OwnAddr)
    );
    assert_eq!(core.apply(Command::CreateLink { addr: key, net: NET }, clock.now()), Ok(Outcome::Created));

    let (mut core, _table) = Core::<SocketAddr>::new(config, None, clock.now());
    core.apply(Command::AddNet { net: NET, config: NetConfig::new() }, clock.now()).unwrap();
    assert_eq!(
        core.apply(Command::CreateLink { addr: endpoint(), net: NET }, clock.now()),
        Ok(Outcome::Created)
    );
}
