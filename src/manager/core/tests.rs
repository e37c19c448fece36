//! The core under a manual clock: each test names its property.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic is how these fail.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Applying, Core};
use crate::clock::{Clock, ManualClock};
use crate::link::{
    AddressPolicy, DialId, Direction, EndpointError, Link, LinkState, NetConfig, NetId, NetStatus, NodeAddr,
    RetryPolicy, StreamId,
};
use crate::manager::command::{Command, CommandError, Outcome};
use crate::manager::config::Config;
use crate::manager::effect::{Effect, LinkCause};
use crate::manager::query::{Filter, Links, LinksSnapshot};

mod liveness;
mod random;

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
        let limit = self.now() + Duration::from_secs(20);
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

mod commands {
    use super::*;

    #[test]
    fn a_net_needs_a_valid_identity_and_is_added_once() {
        let mut bench = Bench::new(Config::default().max_nets(1));
        let add = |net| Command::AddNet { net: NetId(net), config: NetConfig::new() };
        assert_eq!(bench.apply(add(0)), Err(CommandError::InvalidNet(NetId(0))));
        assert_eq!(bench.apply(add(u64::MAX)), Err(CommandError::InvalidNet(NetId(u64::MAX))));
        assert_eq!(bench.apply(add(1)), Ok(Outcome::Done));
        assert_eq!(bench.apply(add(1)), Err(CommandError::NetExists(NET)));
        assert_eq!(bench.apply(add(2)), Err(CommandError::LimitReached { of: "nets", limit: 1 }));
    }

    #[test]
    fn an_unknown_net_is_refused_everywhere() {
        let mut bench = Bench::prompt();
        let unknown = Err(CommandError::UnknownNet(OTHER));
        assert_eq!(bench.create(A, OTHER), unknown);
        assert_eq!(bench.apply(Command::SetNetCondition { net: OTHER, active: true }), unknown);
        assert_eq!(bench.apply(Command::RemoveNet { net: OTHER }), unknown);
        assert_eq!(bench.account(OTHER, A, 1, true), unknown);
        assert!(!bench.has(A));
        assert_eq!(bench.snapshot().count(OTHER), 0);
        assert_eq!(bench.snapshot().required(OTHER), 0);
        assert!(!bench.snapshot().is_active(OTHER));
    }

    #[test]
    fn blank_and_own_addresses_are_refused() {
        let mut bench = Bench::prompt();
        assert_eq!(bench.create(NodeAddr::BLANK, NET), Err(CommandError::BlankAddr));
        assert_eq!(bench.create(OWN, NET), Err(CommandError::OwnAddr));
        assert_eq!(bench.stream(NodeAddr::BLANK, 1, Direction::Downlink), Err(CommandError::BlankAddr));
        assert_eq!(bench.stream(OWN, 2, Direction::Downlink), Err(CommandError::OwnAddr));
        // Refused streams are closed, and a refused address is not hot.
        let effects = bench.turn();
        let close = |addr, stream| Effect::CloseStreams { addr, streams: vec![StreamId(stream)] };
        assert_eq!(effects, [close(NodeAddr::BLANK, 1), close(OWN, 2)]);
        let now = bench.now();
        assert_eq!(bench.snapshot().ignored(NET, now).count(), 0);
    }

    #[test]
    fn creating_twice_is_an_outcome_and_not_an_error() {
        let mut bench = Bench::prompt();
        bench.open(OTHER, 0);
        assert_eq!(bench.create(A, NET), Ok(Outcome::Created));
        assert_eq!(bench.create(A, NET), Ok(Outcome::AlreadyAssociated));
        assert_eq!(bench.create(A, OTHER), Ok(Outcome::Associated));
        assert_eq!(bench.snapshot().len(), 1);
        assert_eq!(bench.link(A).nets(), [NET, OTHER]);
    }

    #[test]
    fn limits_on_links_and_streams_hold() {
        let mut bench = Bench::new(Config::default().max_links(1).max_streams(2));
        bench.open(NET, 0);
        bench.create(A, NET).unwrap();
        assert_eq!(bench.create(B, NET), Err(CommandError::LimitReached { of: "links", limit: 1 }));
        assert_eq!(
            bench.stream(C, 1, Direction::Downlink),
            Err(CommandError::LimitReached { of: "links", limit: 1 })
        );
        bench.done_stream(A, 2, Direction::Downlink);
        assert_eq!(bench.stream(A, 3, Direction::Downlink), Ok(Outcome::Secondary));
        assert_eq!(
            bench.stream(A, 4, Direction::Downlink),
            Err(CommandError::LimitReached { of: "streams", limit: 2 })
        );
    }

    #[test]
    fn an_endpoint_that_cannot_be_dialled_is_refused() {
        let mut bench = Bench::prompt();
        assert_eq!(bench.update(A), Err(CommandError::UnknownLink));
        bench.done_stream(B, 1, Direction::Downlink);
        assert_eq!(bench.update(B), Err(CommandError::NotDialable));
        bench.create(A, NET).unwrap();
        let mut with =
            |text: &str| bench.apply(Command::UpdateLink { addr: A, endpoint: text.parse().unwrap() });
        assert_eq!(with("192.0.2.1:0"), Err(CommandError::Endpoint(EndpointError::PortZero)));
        assert_eq!(with("127.0.0.1:1"), Err(CommandError::Endpoint(EndpointError::Loopback)));
        assert_eq!(with("0.0.0.0:1"), Err(CommandError::Endpoint(EndpointError::Unspecified)));
        assert_eq!(with("192.0.2.1:1"), Ok(Outcome::Done));
    }

    #[test]
    fn deleting_a_link_closes_its_dialer_and_its_streams() {
        let mut bench = Bench::prompt();
        bench.uplink(A, NET, 1);
        assert_eq!(bench.stream(A, 2, Direction::Downlink), Ok(Outcome::Secondary));
        bench.turn();
        bench.done(Command::DeleteLink { addr: A });
        assert_eq!(
            bench.turn(),
            [
                Effect::CloseDialer { addr: A },
                Effect::CloseStreams { addr: A, streams: vec![StreamId(2)] },
                Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 0 },
            ]
        );
        assert!(!bench.has(A));
        assert_eq!(bench.apply(Command::DeleteLink { addr: A }), Err(CommandError::UnknownLink));
    }
}

mod prompt {
    use super::*;

    #[test]
    fn a_link_with_an_endpoint_is_dialled_in_the_same_turn() {
        let mut bench = Bench::prompt();
        bench.create(A, NET).unwrap();
        bench.update(A).unwrap();
        let effects = bench.turn();
        assert_eq!(effects, [Effect::Dial { addr: A, endpoint: endpoint(), attempt: 1, dial: DialId(1) }]);
        assert_eq!(bench.link(A).state(), LinkState::Connecting);
    }

    #[test]
    fn a_link_without_an_endpoint_is_resolved_once_and_then_dialled() {
        let mut bench = Bench::prompt();
        bench.create(A, NET).unwrap();
        assert_eq!(bench.turn(), [Effect::Resolve { addr: A }]);
        assert_eq!(bench.after_seconds(1), []);
        assert_eq!(bench.update(A), Ok(Outcome::Done));
        assert_eq!(dialled(&bench.turn()), [A]);
        // The endpoint of a link that is being dialled cannot change.
        assert_eq!(bench.update(A), Err(CommandError::LinkBusy(LinkState::Connecting)));
    }

    #[test]
    fn an_answer_that_cannot_be_used_counts_as_an_attempt_and_backs_off() {
        let mut bench = Bench::new(Config::default().max_attempts(2));
        bench.open(NET, 0);
        bench.create(A, NET).unwrap();
        assert_eq!(resolved(&bench.turn()), [A]);
        let endpoint = "127.0.0.1:1".parse().unwrap();
        assert!(bench.apply(Command::UpdateLink { addr: A, endpoint }).is_err());
        assert_eq!(bench.link(A).attempts(), 1);
        assert_eq!(bench.after_seconds(19), []);
        assert_eq!(resolved(&bench.after_seconds(1)), [A]);
    }

    #[test]
    fn an_unresolved_link_falls_back_to_the_endpoint_it_had() {
        let mut bench = Bench::new(Config::default().max_attempts(3));
        bench.open(NET, 0);
        let dial = bench.dial(A, NET);
        assert_eq!(bench.failed(A, dial, true), Ok(Outcome::Done));
        // After a failure the endpoint is asked for again.
        assert_eq!(resolved(&bench.after_seconds(20)), [A]);
        assert_eq!(bench.apply(Command::ResolveFailed { addr: A }), Ok(Outcome::Done));
        assert_eq!(dialled(&bench.turn()), [A]);
        assert_eq!(bench.apply(Command::ResolveFailed { addr: A }), Ok(Outcome::Stale));
    }

    #[test]
    fn a_link_that_cannot_be_resolved_is_given_up() {
        let mut bench = Bench::prompt();
        bench.create(A, NET).unwrap();
        bench.turn();
        assert_eq!(bench.apply(Command::ResolveFailed { addr: A }), Ok(Outcome::Done));
        let effects = bench.turn();
        assert_eq!(
            effects,
            [Effect::Disconnected { addr: A, net: NET, members: 0 }, Effect::CloseDialer { addr: A }]
        );
        assert!(!bench.has(A));
    }

    #[test]
    fn nothing_is_dialled_for_a_net_that_is_off() {
        let mut bench = Bench::prompt();
        bench.done(Command::AddNet { net: OTHER, config: NetConfig::new().min_links(0) });
        bench.create(A, OTHER).unwrap();
        bench.update(A).unwrap();
        assert_eq!(bench.after_seconds(60), []);
        bench.done(Command::SetNetCondition { net: OTHER, active: true });
        assert_eq!(dialled(&bench.turn()), [A]);
    }

    #[test]
    fn an_inactive_manager_does_nothing_by_itself() {
        let mut bench = Bench::prompt();
        bench.open(OTHER, 3);
        bench.done(Command::SetCondition { active: false });
        assert_eq!(bench.apply(Command::SetCondition { active: false }), Ok(Outcome::Unchanged));
        bench.create(A, NET).unwrap();
        bench.update(A).unwrap();
        assert_eq!(bench.after_seconds(100), []);
        assert_eq!(bench.stream(B, 1, Direction::Downlink), Err(CommandError::Inactive));
        bench.done(Command::SetCondition { active: true });
        let effects = bench.turn();
        assert_eq!(dialled(&effects), [A]);
        assert_eq!(requested(&effects), [(OTHER, 3)]);
    }

    #[test]
    fn a_short_net_asks_at_once_and_then_once_a_tick() {
        let mut bench = Bench::new(Config::default());
        bench.open(NET, 2);
        assert_eq!(requested(&bench.turn()), [(NET, 2)]);
        assert_eq!(requested(&bench.turn()), []);
        assert_eq!(requested(&bench.after_seconds(4)), []);
        assert_eq!(requested(&bench.after_seconds(1)), [(NET, 2)]);
        bench.uplink(A, NET, 1);
        assert_eq!(requested(&bench.after_seconds(5)), [(NET, 1)]);
        bench.uplink(B, NET, 2);
        assert_eq!(bench.snapshot().needed(NET), 0);
        assert_eq!(requested(&bench.after_seconds(100)), []);
        bench.unstream(A, 1).unwrap();
        assert_eq!(bench.snapshot().needed(NET), 1);
        assert_eq!(requested(&bench.turn()), [(NET, 1)]);
    }

    #[test]
    fn downlinks_count_unless_the_net_says_otherwise() {
        let mut bench = Bench::new(Config::default());
        let config = NetConfig::new().min_links(1).count_downlinks(false);
        bench.done(Command::AddNet { net: NET, config });
        bench.done(Command::SetNetCondition { net: NET, active: true });
        bench.done_stream(A, 1, Direction::Downlink);
        bench.account(NET, A, 1, true).unwrap();
        assert_eq!(bench.snapshot().count(NET), 1);
        assert_eq!(bench.snapshot().needed(NET), 1);
        assert_eq!(requested(&bench.turn()), [(NET, 1)]);
    }

    #[test]
    fn a_failed_link_waits_for_the_retry_delay() {
        let mut bench =
            Bench::new(Config::default().max_attempts(3).retry(RetryPolicy::Fixed(Duration::from_secs(7))));
        bench.open(NET, 0);
        for attempt in 1..3 {
            let dial = if attempt == 1 { bench.dial(A, NET) } else { bench.link(A).dial_id().unwrap() };
            bench.failed(A, dial, true).unwrap();
            assert_eq!(bench.link(A).attempts(), attempt);
            assert_eq!(bench.after(Duration::from_millis(6_999)), []);
            assert_eq!(resolved(&bench.after(Duration::from_millis(1))), [A]);
            bench.update(A).unwrap();
            bench.turn();
        }
        // The third failure is the last: the net lets go.
        let dial = bench.link(A).dial_id().unwrap();
        bench.failed(A, dial, true).unwrap();
        assert!(bench.turn().contains(&Effect::Disconnected { addr: A, net: NET, members: 0 }));
        assert!(!bench.has(A));
    }

    #[test]
    fn a_dial_that_nobody_answers_ends_after_its_limit() {
        let mut bench = Bench::new(Config::default().dial_timeout(Duration::from_secs(3)));
        bench.open(NET, 0);
        let dial = bench.dial(A, NET);
        assert_eq!(bench.after(Duration::from_millis(2_999)), []);
        let effects = bench.after(Duration::from_millis(1));
        assert!(effects.contains(&Effect::CancelDial { addr: A, dial }), "{effects:?}");
        assert!(!bench.has(A));
        assert_eq!(bench.snapshot().stats().dial_timeouts(), 1);
        // A resolution that nobody answers, likewise.
        bench.create(B, NET).unwrap();
        bench.turn();
        bench.after_seconds(3);
        assert!(!bench.has(B));
    }

    #[test]
    fn a_net_is_announced_on_the_stream_that_the_peer_opened() {
        let mut bench = Bench::prompt();
        bench.done_stream(A, 1, Direction::Downlink);
        assert_eq!(bench.turn(), []);
        assert_eq!(bench.create(A, NET), Ok(Outcome::Associated));
        let effects = bench.turn();
        assert_eq!(announced(&effects), [(A, NET, 1)]);
        assert_eq!(dialled(&effects), []);
        // Unanswered, it is repeated after the retry delay; answered, it is not.
        assert_eq!(announced(&bench.after_seconds(20)), [(A, NET, 1)]);
        bench.account(NET, A, 1, true).unwrap();
        assert_eq!(announced(&bench.after_seconds(60)), []);
        assert_eq!(bench.snapshot().count_by(NET, Direction::Downlink, LinkState::Disconnected), 1);
    }

    #[test]
    fn a_deadline_is_always_at_hand() {
        let mut bench = Bench::new(Config::default());
        let start = bench.now();
        assert_eq!(bench.core.next_deadline(), start + Duration::from_secs(5));
        bench.open(NET, 1);
        assert!(bench.core.next_deadline() <= start);
        bench.turn();
        assert_eq!(bench.core.next_deadline(), start + Duration::from_secs(5));
        bench.dial(A, NET);
        bench.after_seconds(4);
        let dial = bench.link(A).dial_id().unwrap();
        bench.failed(A, dial, true).unwrap();
        assert_eq!(bench.core.next_deadline(), start + Duration::from_secs(5));
    }
}

mod streams {
    use super::*;

    #[test]
    fn a_pure_downlink_comes_and_goes_with_its_stream() {
        let mut bench = Bench::prompt();
        bench.done_stream(A, 1, Direction::Downlink);
        assert!(!bench.link(A).is_dialable());
        assert_eq!(bench.account(NET, A, 1, true), Ok(Outcome::Done));
        assert_eq!(bench.account(NET, A, 1, true), Ok(Outcome::Unchanged));
        assert_eq!(bench.turn(), [Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 1 }]);
        assert_eq!(bench.unstream(A, 1), Ok(Outcome::Done));
        assert_eq!(bench.turn(), [Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 0 }]);
        assert!(!bench.has(A));
    }

    #[test]
    fn an_uplink_is_announced_once_per_active_net() {
        let mut bench = Bench::prompt();
        bench.open(OTHER, 0);
        bench.done(Command::AddNet { net: NetId(3), config: NetConfig::new() });
        for net in [NET, OTHER, NetId(3)] {
            bench.create(A, net).unwrap();
        }
        bench.update(A).unwrap();
        bench.turn();
        let dial = bench.link(A).dial_id().unwrap();
        bench.done_stream(A, 5, Direction::Uplink);
        bench.connected(A, dial).unwrap();
        assert_eq!(announced(&bench.turn()), [(A, NET, 5), (A, OTHER, 5)]);
        assert_eq!(bench.link(A).state(), LinkState::Established);
        bench.account(NET, A, 5, true).unwrap();
        assert_eq!(bench.turn(), [Effect::LinkCountChanged { net: NET, uplinks: 1, downlinks: 0 }]);
    }

    #[test]
    fn a_stream_of_ours_that_nobody_asked_for_is_closed() {
        let mut bench = Bench::prompt();
        assert_eq!(bench.stream(A, 1, Direction::Uplink), Err(CommandError::UnknownLink));
        bench.create(B, NET).unwrap();
        assert_eq!(bench.stream(B, 2, Direction::Uplink), Ok(Outcome::Stale));
        let close = |addr, stream| Effect::CloseStreams { addr, streams: vec![StreamId(stream)] };
        let effects = bench.turn();
        assert!(effects.contains(&close(A, 1)) && effects.contains(&close(B, 2)), "{effects:?}");
        assert!(!bench.has(A));
    }

    #[test]
    fn accounting_for_a_dead_stream_joins_nothing_in_either_order() {
        // B11: the deletion overtakes the accounting ...
        let mut bench = Bench::prompt();
        bench.done_stream(A, 1, Direction::Downlink);
        bench.unstream(A, 1).unwrap();
        assert_eq!(bench.account(NET, A, 1, true), Ok(Outcome::Stale));
        assert!(!bench.has(A));
        // ... or comes after it.
        bench.done_stream(A, 2, Direction::Downlink);
        bench.account(NET, A, 2, true).unwrap();
        bench.unstream(A, 2).unwrap();
        assert!(!bench.has(A));
        // A new stream of the same node does not vouch for the old one.
        bench.done_stream(A, 3, Direction::Downlink);
        assert_eq!(bench.account(NET, A, 2, true), Ok(Outcome::Stale));
        assert_eq!(bench.snapshot().count(NET), 0);
        assert_eq!(bench.snapshot().stats().stale_answers(), 2);
    }

    #[test]
    fn accounting_for_a_net_that_is_off_joins_nothing() {
        let mut bench = Bench::prompt();
        bench.done_stream(A, 1, Direction::Downlink);
        bench.done(Command::SetNetCondition { net: NET, active: false });
        assert_eq!(bench.account(NET, A, 1, true), Err(CommandError::NetInactive(NET)));
        assert_eq!(bench.snapshot().count(NET), 0);
    }

    #[test]
    fn the_second_stream_is_spare_and_takes_over() {
        // Scenario 10: uplink and downlink at the same time.
        let mut bench = Bench::prompt();
        let dial = bench.uplink(A, NET, 1);
        assert_eq!(bench.stream(A, 2, Direction::Downlink), Ok(Outcome::Secondary));
        assert_eq!(bench.stream(A, 2, Direction::Downlink), Ok(Outcome::Unchanged));
        assert_eq!(bench.turn(), []);
        let replace = Command::ReplaceStream {
            addr: A,
            old: StreamId(1),
            new: StreamId(2),
            direction: Direction::Downlink,
        };
        assert_eq!(bench.apply(replace.clone()), Ok(Outcome::Done));
        let link = bench.link(A);
        assert_eq!((link.direction(), link.state()), (Direction::Downlink, LinkState::Disconnected));
        assert!(link.is_member(NET));
        let effects = bench.turn();
        assert!(effects.contains(&Effect::CancelDial { addr: A, dial }), "{effects:?}");
        assert!(effects.contains(&Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 1 }));
        // Late news of the old stream and dial change nothing.
        assert_eq!(bench.apply(replace), Ok(Outcome::Unchanged));
        assert_eq!(bench.unstream(A, 1), Ok(Outcome::Stale));
        assert_eq!(bench.failed(A, dial, true), Ok(Outcome::Stale));
        assert_eq!(bench.connected(A, dial), Ok(Outcome::Stale));
        assert_eq!(bench.snapshot().count(NET), 1);
    }

    #[test]
    fn a_spare_stream_takes_over_when_the_primary_is_only_reported_dead() {
        let mut bench = Bench::prompt();
        let dial = bench.uplink(A, NET, 1);
        bench.stream(A, 2, Direction::Downlink).unwrap();
        assert_eq!(bench.unstream(A, 1), Ok(Outcome::Done));
        let link = bench.link(A);
        assert_eq!((link.direction(), link.state()), (Direction::Downlink, LinkState::Disconnected));
        assert!(link.is_member(NET));
        assert!(bench.turn().contains(&Effect::CancelDial { addr: A, dial }));
    }

    #[test]
    fn our_stream_takes_over_from_the_peers() {
        let mut bench = Bench::prompt();
        let dial = bench.dial(A, NET);
        bench.done_stream(A, 1, Direction::Downlink);
        bench.account(NET, A, 1, true).unwrap();
        assert_eq!(bench.stream(A, 2, Direction::Uplink), Ok(Outcome::Secondary));
        bench.connected(A, dial).unwrap();
        assert_eq!(bench.link(A).direction(), Direction::Downlink);
        bench.unstream(A, 1).unwrap();
        let link = bench.link(A);
        assert_eq!((link.direction(), link.state()), (Direction::Uplink, LinkState::Established));
        assert!(link.is_member(NET));
    }

    #[test]
    fn a_replacement_names_a_stream_that_the_link_has() {
        let mut bench = Bench::prompt();
        let replace = |addr, old, new| Command::ReplaceStream {
            addr,
            old: StreamId(old),
            new: StreamId(new),
            direction: Direction::Downlink,
        };
        assert_eq!(bench.apply(replace(A, 1, 2)), Ok(Outcome::Stale));
        bench.done_stream(A, 1, Direction::Downlink);
        assert_eq!(bench.apply(replace(A, 7, 8)), Ok(Outcome::Stale));
        assert_eq!(bench.apply(replace(A, 1, 2)), Ok(Outcome::Done));
        assert_eq!(bench.link(A).primary().map(|stream| stream.id), Some(StreamId(2)));
    }

    #[test]
    fn a_refusal_ends_the_association_and_closes_what_nothing_keeps() {
        // Scenario 11, for a net that does not keep the peer.
        let mut bench = Bench::prompt();
        bench.open(OTHER, 0);
        bench.uplink(A, NET, 1);
        bench.create(A, OTHER).unwrap();
        assert_eq!(announced(&bench.turn()), [(A, OTHER, 1)]);
        assert_eq!(bench.account(OTHER, A, 1, false), Ok(Outcome::Done));
        assert_eq!(bench.turn(), [Effect::Disconnected { addr: A, net: OTHER, members: 0 }]);
        assert_eq!(bench.link(A).nets(), [NET]);
        assert_eq!(bench.account(NET, A, 1, false), Ok(Outcome::Done));
        assert_eq!(
            bench.turn(),
            [
                Effect::Disconnected { addr: A, net: NET, members: 0 },
                Effect::CloseDialer { addr: A },
                Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 0 },
            ]
        );
        assert!(!bench.has(A));
    }

    #[test]
    fn a_refused_downlink_stays_as_a_member_of_nothing() {
        let mut bench = Bench::prompt();
        bench.done_stream(A, 1, Direction::Downlink);
        bench.create(A, NET).unwrap();
        bench.account(NET, A, 1, false).unwrap();
        let link = bench.link(A);
        assert!(!link.is_dialable() && link.nets().is_empty() && link.primary().is_some());
    }
}

mod failures {
    use super::*;

    #[test]
    fn a_broken_uplink_connects_again_under_the_same_dial() {
        // Scenario 7 and B15.
        let mut bench = Bench::prompt();
        let dial = bench.uplink(A, NET, 1);
        assert_eq!(bench.failed(A, dial, false), Ok(Outcome::Done));
        let link = bench.link(A);
        assert_eq!((link.state(), link.memberships()), (LinkState::Connecting, &[][..]));
        let effects = bench.turn();
        assert!(effects.contains(&Effect::LinkError { addr: A, net: NET, cause: LinkCause::Broken }));
        // Nothing is announced on the dead stream, and nothing is dialled anew.
        let effects = bench.after_seconds(30);
        assert!(announced(&effects).is_empty() && dialled(&effects).is_empty(), "{effects:?}");
        bench.done_stream(A, 2, Direction::Uplink);
        assert_eq!(bench.connected(A, dial), Ok(Outcome::Done));
        assert_eq!(announced(&bench.turn()), [(A, NET, 2)]);
        assert_eq!(bench.snapshot().stats().reconnects(), 1);
    }

    #[test]
    fn the_death_of_the_stream_alone_makes_the_link_connecting() {
        let mut bench = Bench::prompt();
        let dial = bench.uplink(A, NET, 1);
        bench.unstream(A, 1).unwrap();
        assert_eq!(bench.link(A).state(), LinkState::Connecting);
        assert_eq!(bench.snapshot().count(NET), 0);
        bench.failed(A, dial, true).unwrap();
        assert!(!bench.has(A));
    }

    #[test]
    fn a_first_failure_leaves_the_dial_to_the_dialer() {
        let mut bench = Bench::prompt();
        let dial = bench.dial(A, NET);
        bench.failed(A, dial, false).unwrap();
        assert_eq!(bench.turn(), [Effect::LinkError { addr: A, net: NET, cause: LinkCause::DialFailed }]);
        assert_eq!(bench.link(A).state(), LinkState::Connecting);
        assert_eq!(bench.connected(A, dial), Ok(Outcome::Done));
    }

    #[test]
    fn a_dial_is_abandoned_when_the_peers_stream_carries_the_link() {
        let mut bench = Bench::prompt();
        let dial = bench.dial(A, NET);
        bench.done_stream(A, 1, Direction::Downlink);
        bench.account(NET, A, 1, true).unwrap();
        bench.turn();
        bench.failed(A, dial, false).unwrap();
        let link = bench.link(A);
        assert_eq!((link.state(), link.dial_id()), (LinkState::Disconnected, None));
        assert!(link.is_member(NET) && link.nets() == [NET]);
        assert!(bench.turn().contains(&Effect::CancelDial { addr: A, dial }));
        // Not dialled again while the stream lives, dialled again when it is gone.
        assert_eq!(dialled(&bench.after_seconds(60)), []);
        bench.unstream(A, 1).unwrap();
        assert_eq!(dialled(&bench.turn()), [A]);
    }

    #[test]
    fn answers_to_an_old_dial_are_counted_and_ignored() {
        let mut bench = Bench::new(Config::default().max_attempts(9));
        bench.open(NET, 0);
        let old = bench.dial(A, NET);
        bench.failed(A, old, true).unwrap();
        bench.after_seconds(20);
        bench.update(A).unwrap();
        bench.turn();
        let new = bench.link(A).dial_id().unwrap();
        assert_ne!(old, new);
        assert_eq!(bench.connected(A, old), Ok(Outcome::Stale));
        assert_eq!(bench.failed(A, old, true), Ok(Outcome::Stale));
        assert_eq!(bench.failed(B, old, true), Ok(Outcome::Stale));
        assert_eq!(bench.link(A).state(), LinkState::Connecting);
        assert_eq!(bench.snapshot().stats().stale_answers(), 3);
        assert_eq!(bench.connected(A, new), Ok(Outcome::Done));
        assert_eq!(bench.connected(A, new), Ok(Outcome::Unchanged));
    }
}

mod nets {
    use super::*;

    #[test]
    fn a_net_that_goes_off_takes_its_own_uplinks_and_leaves_the_rest() {
        // Scenario 12 and B26.
        let mut bench = Bench::prompt();
        bench.open(OTHER, 0);
        bench.uplink(A, NET, 1);
        bench.uplink(B, NET, 2);
        bench.account(OTHER, B, 2, true).unwrap();
        bench.done_stream(C, 3, Direction::Downlink);
        bench.account(NET, C, 3, true).unwrap();
        bench.turn();
        bench.done(Command::SetNetCondition { net: NET, active: false });
        let effects = bench.turn();
        assert!(effects.contains(&Effect::CloseDialer { addr: A }));
        assert_eq!(effects.len(), 2, "{effects:?}");
        assert!(!bench.has(A));
        assert_eq!(bench.link(B).memberships(), [OTHER]);
        assert_eq!(bench.link(C).memberships(), []);
        assert_eq!(bench.snapshot().count(NET), 0);
        // On again: nothing is a member by itself.
        bench.done(Command::SetNetCondition { net: NET, active: true });
        assert_eq!(bench.apply(Command::SetNetCondition { net: NET, active: true }), Ok(Outcome::Unchanged));
        assert_eq!(bench.snapshot().count(NET), 0);
        // What only a membership kept ends with it.
        bench.unstream(B, 2).unwrap();
        assert!(!bench.has(B));
    }

    #[test]
    fn a_removed_net_is_unknown_and_keeps_nothing() {
        let mut bench = Bench::prompt();
        bench.uplink(A, NET, 1);
        bench.done(Command::RemoveNet { net: NET });
        assert!(!bench.has(A));
        assert!(bench.snapshot().nets().is_empty());
        bench.turn();
        // Also links that were created for it while it was off.
        bench.done(Command::AddNet { net: NET, config: NetConfig::new() });
        bench.create(B, NET).unwrap();
        bench.done(Command::RemoveNet { net: NET });
        assert!(!bench.has(B));
    }

    #[test]
    fn the_count_is_told_once_per_net_and_version() {
        let mut bench = Bench::prompt();
        for (addr, stream) in [(A, 1), (B, 2), (C, 3)] {
            bench.done_stream(addr, stream, Direction::Downlink);
            bench.account(NET, addr, stream, true).unwrap();
        }
        assert_eq!(bench.turn(), [Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 3 }]);
        assert_eq!(bench.turn(), []);
    }

    #[test]
    fn closing_ends_every_link_and_net() {
        let mut bench = Bench::prompt();
        bench.uplink(A, NET, 1);
        bench.done_stream(B, 2, Direction::Downlink);
        assert_eq!(bench.core.close(), 2);
        let effects = bench.turn();
        assert!(effects.contains(&Effect::CloseDialer { addr: A }));
        assert!(effects.contains(&Effect::CloseStreams { addr: B, streams: vec![StreamId(2)] }));
        let snapshot = bench.snapshot();
        assert!(snapshot.is_empty() && snapshot.nets().is_empty());
    }
}

mod queries {
    use super::*;

    #[test]
    fn addresses_come_uplinks_first_and_established_hides_unconnected_uplinks_only() {
        // Scenario 15.
        let mut bench = Bench::prompt();
        bench.done_stream(A, 1, Direction::Downlink);
        bench.account(NET, A, 1, true).unwrap();
        bench.uplink(B, NET, 2);
        // An uplink whose dialer has not reported yet.
        bench.dial(C, NET);
        bench.done_stream(C, 3, Direction::Uplink);
        bench.account(NET, C, 3, true).unwrap();
        let snapshot = bench.snapshot();
        let list = |filter| snapshot.addrs(NET, filter).copied().collect::<Vec<_>>();
        assert_eq!(list(Filter::All), [B, C, A]);
        assert_eq!(list(Filter::Established), [B, A]);
        assert_eq!(snapshot.count(NET), 3);
        assert_eq!(snapshot.count_by(NET, Direction::Uplink, LinkState::Connecting), 1);
        assert!(snapshot.contains(&B, NET) && !snapshot.contains(&A, NET));
        assert_eq!(snapshot.get(&B).map(Link::state), Some(LinkState::Established));
        assert_eq!(list(Filter::All).len(), snapshot.count(NET));
        assert_eq!(snapshot.addrs(OTHER, Filter::All).count(), 0);
    }

    #[test]
    fn tried_addresses_are_ignored_for_the_cooling_period() {
        // Scenario 13.
        let mut bench = Bench::prompt();
        bench.open(OTHER, 0);
        bench.create(A, NET).unwrap();
        let ignored = |bench: &mut Bench, net| {
            let now = bench.now();
            bench.snapshot().ignored(net, now).copied().collect::<Vec<_>>()
        };
        assert_eq!(ignored(&mut bench, NET), [A]);
        assert_eq!(ignored(&mut bench, OTHER), []);
        bench.clock.advance(Duration::from_secs(900));
        assert_eq!(ignored(&mut bench, NET), [A]);
        bench.clock.advance(Duration::from_nanos(1));
        assert_eq!(ignored(&mut bench, NET), []);
        assert_eq!(bench.create(A, NET), Ok(Outcome::AlreadyAssociated));
        assert_eq!(ignored(&mut bench, NET), [A]);
    }

    #[test]
    fn an_old_snapshot_stays_what_it_was() {
        let mut bench = Bench::prompt();
        bench.uplink(A, NET, 1);
        let old = bench.snapshot();
        bench.done(Command::RemoveNet { net: NET });
        let new = bench.snapshot();
        assert!(new.version() > old.version());
        assert_eq!((old.count(NET), old.required(NET), old.len()), (1, 0, 1));
        assert!(old.get(&A).is_some_and(|link| link.is_member(NET)));
        assert!(new.is_empty());
    }
}

mod reference {
    use super::*;

    #[test]
    fn ticks_alternate_and_stand_still_while_the_manager_is_off() {
        // Scenario 1: request at 5, 15, 25 s; wake-up at 10, 20, 30 s.
        let mut bench = Bench::new(Config::reference());
        bench.open(NET, 1);
        bench.create(A, NET).unwrap();
        assert_eq!(bench.turn(), []);
        assert_eq!(bench.after_seconds(5), [Effect::RequestLinks { net: NET, needed: 1 }]);
        assert_eq!(bench.after_seconds(5), [Effect::Resolve { addr: A }]);
        bench.done(Command::SetCondition { active: false });
        assert_eq!(bench.after_seconds(5), []);
        bench.done(Command::SetCondition { active: true });
        assert_eq!(bench.after_seconds(5), [Effect::RequestLinks { net: NET, needed: 1 }]);
        assert_eq!(bench.after_seconds(5), []);
    }

    #[test]
    fn what_is_needed_is_what_the_last_request_phase_counted() {
        // Scenario 2.
        let mut bench = Bench::new(Config::reference());
        bench.open(NET, 3);
        for (addr, stream) in [(A, 1), (B, 2), (C, 3)] {
            bench.done_stream(addr, stream, Direction::Downlink);
        }
        bench.account(NET, A, 1, true).unwrap();
        assert_eq!(requested(&bench.after_seconds(5)), [(NET, 2)]);
        assert_eq!(bench.snapshot().needed(NET), 2);
        bench.account(NET, B, 2, true).unwrap();
        bench.account(NET, C, 3, true).unwrap();
        assert_eq!(bench.snapshot().count(NET), 3);
        assert_eq!(bench.snapshot().needed(NET), 2);
        bench.after_seconds(5);
        assert_eq!(requested(&bench.after_seconds(5)), []);
        assert_eq!(bench.snapshot().needed(NET), 0);
    }

    #[test]
    fn a_link_is_dialled_at_a_wake_up_after_it_was_resolved() {
        // Scenario 3.
        let mut bench = Bench::reference();
        assert_eq!(bench.create(A, NET), Ok(Outcome::Created));
        assert_eq!(bench.update(A), Ok(Outcome::Done));
        assert_eq!(bench.after_seconds(5), []);
        assert_eq!(bench.after_seconds(5), [Effect::Resolve { addr: A }]);
        assert_eq!(bench.update(A), Ok(Outcome::Done));
        assert_eq!(dialled(&bench.turn()), [A]);
        assert_eq!(bench.link(A).state(), LinkState::Connecting);
        assert_eq!(bench.create(A, NET), Ok(Outcome::AlreadyAssociated));
        let now = bench.now();
        assert_eq!(bench.snapshot().ignored(NET, now).copied().collect::<Vec<_>>(), [A]);
    }

    #[test]
    fn a_retry_waits_for_a_wake_up_strictly_after_the_delay() {
        let mut bench = Bench::new(Config::reference().max_attempts(9));
        bench.open(NET, 0);
        bench.create(A, NET).unwrap();
        bench.after_seconds(5);
        bench.after_seconds(5);
        bench.update(A).unwrap();
        bench.turn();
        let dial = bench.link(A).dial_id().unwrap();
        // Fails exactly at a wake-up: 20 s later the delay is over but not past.
        assert_eq!(bench.failed(A, dial, true), Ok(Outcome::Done));
        for _ in 0..5 {
            assert_eq!(bench.after_seconds(5), []);
        }
        assert_eq!(bench.after_seconds(5), [Effect::Resolve { addr: A }]);
    }

    #[test]
    fn an_established_link_is_announced_again_at_every_wake_up() {
        let mut bench = Bench::reference();
        bench.create(A, NET).unwrap();
        bench.after_seconds(5);
        bench.after_seconds(5);
        bench.update(A).unwrap();
        bench.turn();
        let dial = bench.link(A).dial_id().unwrap();
        bench.done_stream(A, 1, Direction::Uplink);
        bench.connected(A, dial).unwrap();
        assert_eq!(announced(&bench.turn()), [(A, NET, 1)]);
        assert_eq!(announced(&bench.after_seconds(5)), []);
        assert_eq!(announced(&bench.after_seconds(5)), [(A, NET, 1)]);
        bench.account(NET, A, 1, true).unwrap();
        bench.after_seconds(5);
        assert_eq!(announced(&bench.after_seconds(5)), []);
    }
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

mod panics {
    use std::cell::Cell;
    use std::hash::{Hash, Hasher};

    use super::*;
    use crate::link::Addr;
    use crate::manager::directory::LinkTable;

    thread_local! {
        /// Operations on addresses until one panics; `None` for never.
        static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
    }

    fn burn() {
        FUSE.with(|fuse| {
            if let Some(left) = fuse.get() {
                fuse.set(left.checked_sub(1));
                if left == 0 {
                    // Without the noise of the panic hook.
                    std::panic::resume_unwind(Box::new("an address that panics"));
                }
            }
        });
    }

    #[derive(Debug)]
    struct Fragile(u64);

    impl Clone for Fragile {
        fn clone(&self) -> Self {
            burn();
            Self(self.0)
        }
    }

    impl PartialEq for Fragile {
        fn eq(&self, other: &Self) -> bool {
            burn();
            self.0 == other.0
        }
    }

    impl Eq for Fragile {}

    impl Hash for Fragile {
        fn hash<H: Hasher>(&self, state: &mut H) {
            burn();
            self.0.hash(state);
        }
    }

    impl Addr for Fragile {
        fn is_blank(&self) -> bool {
            self.0 == 0
        }
    }

    /// The version that holds all that is staged.
    fn view(core: &mut Core<Fragile>, table: &LinkTable<Fragile>, now: Instant) -> String {
        core.publish(now);
        let links = Links::new(table.clone(), Config::default().timing);
        let snapshot = links.snapshot();
        let mut all: Vec<_> = snapshot.links().map(|link| format!("{link:?}")).collect();
        all.sort();
        let mut listed: Vec<_> = snapshot.addrs(NET, Filter::All).map(|addr| addr.0).collect();
        listed.sort_unstable();
        let ignored: Vec<_> = snapshot.ignored(NET, now).map(|addr| addr.0).collect();
        format!("{all:?} {listed:?} {ignored:?} {}", snapshot.count(NET))
    }

    /// Two nets and three links; a published part, and a part that is staged only.
    fn staged(now: Instant) -> (Core<Fragile>, LinkTable<Fragile>) {
        let (mut core, table) = Core::<Fragile>::new(Config::default(), None, now);
        for net in [NET, OTHER] {
            core.apply(Command::AddNet { net, config: NetConfig::new() }, now).unwrap();
            core.apply(Command::SetNetCondition { net, active: true }, now).unwrap();
        }
        for node in 1..4 {
            if node == 2 {
                core.publish(now);
            }
            let (addr, stream) = (Fragile(node), StreamId(node * 10));
            core.apply(Command::AddStream { addr, stream, direction: Direction::Downlink }, now).unwrap();
            core.apply(Command::CreateLink { addr: Fragile(node), net: NET }, now).unwrap();
            let accounted = Command::AccountLink { net: NET, addr: Fragile(node), stream, accepted: true };
            core.apply(accounted, now).unwrap();
        }
        (core, table)
    }

    /// Every command, with a panic at every place where an address can panic: the state before it stays,
    /// published or not.
    #[test]
    fn a_command_that_panics_changes_nothing() {
        let clock = ManualClock::new();
        let now = clock.now();
        let (mut core, table) = staged(now);
        let before = view(&mut core, &table, now);
        let commands: [fn() -> Command<Fragile>; 6] = [
            || Command::CreateLink { addr: Fragile(5), net: NET },
            || Command::CreateLink { addr: Fragile(1), net: OTHER },
            || Command::AddStream { addr: Fragile(6), stream: StreamId(60), direction: Direction::Downlink },
            || Command::DeleteStream { addr: Fragile(1), stream: StreamId(10) },
            || Command::SetNetCondition { net: NET, active: false },
            || Command::DeleteLink { addr: Fragile(1) },
        ];
        let mut contained = 0;
        for command in commands {
            for fuse in 0.. {
                let (mut core, table) = staged(now);
                let effects = core.effects.len();
                assert_ne!(effects, 0);

                let command = command();
                FUSE.set(Some(fuse));
                let result = core.apply(command, now);
                let panicked = FUSE.take().is_none();
                if !panicked {
                    assert!(result.is_ok());
                    break;
                }
                contained += 1;
                assert_eq!(result, Err(CommandError::Panicked));
                // What was applied before it in the same batch stays, and its effects.
                assert_eq!(core.effects.len(), effects);
                assert_eq!(view(&mut core, &table, now), before);
                // The core works on.
                let again = Command::CreateLink { addr: Fragile(9), net: NET };
                assert_eq!(core.apply(again, now), Ok(Outcome::Created));
            }
        }
        assert!(contained > 30, "{contained}");
    }
}
