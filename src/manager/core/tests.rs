//! Tests of the core under a manual clock. Each test is named after the property that it checks.
//!
//! # Acceptance scenarios
//!
//! | # | scenario | test |
//! |---|---|---|
//! | 1 | ticks alternate | `reference::ticks_alternate_and_stand_still_while_the_manager_is_off` |
//! | 2 | a net that is short asks | `reference::what_is_needed_is_what_the_last_request_phase_counted` |
//! | 3 | create, update, wake up | `reference::a_link_is_dialled_at_a_wake_up_after_it_was_resolved` |
//! | 4 | stream, then connected | `streams::an_uplink_is_announced_once_per_active_net` |
//! | 5 | one error, one final | `scenarios::a_dial_cycle_has_one_error_and_one_end_which_only_a_permanent_peer_survives` |
//! | 6 | three attempts | `scenarios::the_host_is_told_after_the_last_attempt_only` |
//! | 7 | break and recovery | `failures::a_broken_uplink_connects_again_under_the_same_dial` |
//! | 8 | a downlink's life | `streams::a_pure_downlink_comes_and_goes_with_its_stream` |
//! | 9 | a static peer's life | `scenarios::a_static_peer_is_dialled_without_a_net_and_survives_every_failure` |
//! | 10 | up and down at once | `streams::the_second_stream_is_spare_and_takes_over` |
//! | 11 | refusal | `streams::a_refusal_ends_the_association_and_closes_what_nothing_keeps`, `scenarios::a_refused_permanent_peer_is_announced_again_after_the_delay` |
//! | 12 | net off and on | `nets::a_net_that_goes_off_takes_its_own_uplinks_and_leaves_the_rest`, `scenarios::a_net_that_goes_off_empties_and_disables_its_clusters` |
//! | 13 | ignore list | `queries::tried_addresses_are_ignored_for_the_ignore_period` |
//! | 14 | refused endpoints | `scenarios::an_endpoint_is_refused_for_what_it_is_and_ignored_while_the_link_is_busy` |
//! | 15 | order of addresses | `queries::addresses_come_uplinks_first_and_established_hides_unconnected_uplinks_only` |
//! | 16 | re-entrancy | `scenarios::every_call_is_legal_from_inside_every_callback` |
//! | 17 | order of deletion and accounting | `scenarios::a_deletion_and_an_accounting_in_either_order_leave_no_member` |
//!
//! `divergences` lists each defect of the reference that is not reproduced, with its test. `transitions` is
//! the table of states and events; `sequences` compares the core with `model` over whole sequences of events,
//! and `found` has the failures which that comparison has found. The `invariants` are checked after every
//! command of every test.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic is how these fail.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::staged::Core;
use crate::clock::{Clock, ManualClock};
use crate::link::addr::NodeAddr;
use crate::link::cluster::ClusterId;
use crate::link::failure::LinkFailure;
use crate::link::net::{NetConfig, NetId};
use crate::link::record::Link;
use crate::link::retry::RetryPolicy;
use crate::link::stream::{Direction, StreamId};
use crate::link::{
    AddressPolicy, Cluster, ClusterKind, ClusterStatus, DialId, DialState, EndpointError, FlapPolicy,
    NetStatus, ResolveId,
};
use crate::manager::model::command::Applying;
use crate::manager::model::command::{Command, CommandError, Outcome};
use crate::manager::model::config::Config;
use crate::manager::model::effect::Effect;
use crate::manager::read::snapshot::{Links, LinksSnapshot, MemberFilter};
use crate::util::time::later;

mod clusters;
mod commands;
mod data;
mod divergences;
mod explain;
mod failures;
mod flaps;
mod found;
mod immediate;
mod invariants;
mod liveness;
mod model;
mod nets;
mod panics;
mod permanent;
mod queries;
mod random;
mod reference;
mod retry;
mod scenarios;
mod sequences;
mod settings;
mod streams;
mod transitions;
mod work;

const OWN: NodeAddr = NodeAddr(0xFFFF);
const A: NodeAddr = NodeAddr(1);
const B: NodeAddr = NodeAddr(2);
const C: NodeAddr = NodeAddr(3);
const NET: NetId = NetId(1);
const OTHER: NetId = NetId(2);
/// A cluster of `NET`; `FOREIGN` is one of `OTHER`.
const CLUSTER: ClusterId = ClusterId::new(NET, 7);
const FOREIGN: ClusterId = ClusterId::new(OTHER, 7);

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

    /// A bench with immediate timing and one active net, which requests no candidates.
    fn immediate() -> Self {
        let mut bench = Self::new(Config::default());
        bench.open(NET, 0);
        bench
    }

    fn reference() -> Self {
        let mut bench = Self::new(Config::ticked());
        bench.open(NET, 0);
        bench
    }

    fn open(&mut self, net: NetId, min_links: u32) {
        self.done(Command::AddNet { net, config: NetConfig::new().min_links(min_links) });
        self.done(Command::SetNetActive { net, active: true });
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn apply(&mut self, command: Command<NodeAddr>) -> Applying {
        let known = self.core.effects.len();
        let result = self.core.apply(command, self.now());
        self.check_dials(known);
        self.check_closed_streams(known);
        self.check();
        result
    }

    /// Does everything that is due now.
    fn advance(&mut self) {
        let known = self.core.effects.len();
        self.core.advance(self.now());
        self.check_dials(known);
        self.check_closed_streams(known);
        self.check();
    }

    fn associate(&mut self, net: NetId, cluster: ClusterId) {
        self.done(Command::AssociateCluster { net, cluster, kind: ClusterKind::Autonomic });
    }

    fn join(&mut self, cluster: ClusterId, addr: NodeAddr) -> Applying {
        self.apply(Command::JoinCluster { cluster, addr })
    }

    fn fix(&mut self, cluster: ClusterId, addr: NodeAddr) -> Applying {
        self.apply(Command::AddStaticPeer { cluster, addr })
    }

    fn role(&mut self, cluster: ClusterId, addr: NodeAddr, member: bool) -> Applying {
        self.apply(Command::SetRoleMember { cluster, addr, member })
    }

    fn keep(&mut self, net: NetId, addr: NodeAddr) -> Applying {
        self.apply(Command::AddPermanentPeer { net, addr })
    }

    fn switch(&mut self, net: NetId, active: bool) {
        self.done(Command::SetNetActive { net, active });
    }

    fn done(&mut self, command: Command<NodeAddr>) {
        assert_eq!(self.apply(command.clone()), Ok(Outcome::Done), "{command:?}");
    }

    fn create(&mut self, addr: NodeAddr, net: NetId) -> Applying {
        self.apply(Command::CreateLink { addr, net })
    }

    fn update(&mut self, addr: NodeAddr) -> Applying {
        self.apply(Command::SetEndpoint { addr, endpoint: endpoint() })
    }

    /// Reports that the current resolution of `addr` has failed.
    fn unresolved(&mut self, addr: NodeAddr) -> Applying {
        let resolve = self.link(addr).resolve_id().expect("a resolution");
        self.apply(Command::ResolveFailed { addr, resolve })
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

    /// Does everything that is due, publishes, and returns the effects.
    fn turn(&mut self) -> Vec<Effect<NodeAddr>> {
        self.advance();
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

    /// Makes the core dial `addr` for `net` with immediate timing, up to the `Dial` effect.
    fn dial(&mut self, addr: NodeAddr, net: NetId) -> DialId {
        self.create(addr, net).unwrap();
        self.update(addr).unwrap();
        self.turn();
        self.link(addr).dial_id().expect("a dial")
    }

    /// Makes `addr` an established uplink that is a member of `net`.
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
    let config = Config::default();
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
