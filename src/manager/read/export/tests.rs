//! An import restores the exported state, and a malformed export changes nothing.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::link::ClusterKind;
use crate::link::addr::NodeAddr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetConfig;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::retry::RetryPolicy;
use crate::link::stream::{Direction, StreamId};
use crate::link::{EndpointError, FlapPolicy};
use crate::manager::link_manager::LinkManager;
use crate::manager::model::config::Config;
use crate::manager::model::export::SavedId;
use crate::manager::model::export::check::ImportError;
use crate::manager::run::driver::Driver;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

const NET: NetId = NetId(1);
const OTHER: NetId = NetId(2);
const A: NodeAddr = NodeAddr(1);
const B: NodeAddr = NodeAddr(2);
const OWN: NodeAddr = NodeAddr(999);
const SECOND: Duration = Duration::from_secs(1);

/// An instant in 2001.
fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_123)
}

fn config() -> Config {
    Config::default().max_attempts(3)
}

fn endpoint() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000))
}

fn built(config: Config, clock: &ManualClock, export: Export<NodeAddr>, wall: SystemTime) -> Driver {
    let builder = LinkManager::builder(config).own_addr(OWN).clock(clock.clone());
    builder.import(export, wall).unwrap().build().unwrap()
}

/// Builds two nets, one of them off; a link that failed once, one that both nets want, and a pure downlink.
fn lived(clock: &ManualClock) -> Driver {
    let builder = LinkManager::builder(config()).own_addr(OWN).clock(clock.clone());
    let mut driver = builder.build().unwrap();
    let handle = driver.handle();
    handle.add_net(NET, NetConfig::new().min_links(7)).unwrap();
    handle.add_net(OTHER, NetConfig::new().count_downlinks(false)).unwrap();
    handle.set_net_active(NET, true).unwrap();
    handle.create_link(A, NET).unwrap();
    handle.set_endpoint(A, endpoint()).unwrap();
    let _ = driver.run_once(clock.now());
    let dial = driver.links().snapshot().get(&A).unwrap().dial_id().unwrap();
    handle.dial_failed(A, dial, true).unwrap();
    let _ = driver.run_once(clock.now());
    clock.advance(Duration::from_micros(1_234_567));
    handle.create_link(B, NET).unwrap();
    handle.create_link(B, OTHER).unwrap();
    handle.add_stream(NodeAddr(3), StreamId(1), Direction::Downlink).unwrap();
    let _ = driver.run_once(clock.now());
    driver
}

const C: NodeAddr = NodeAddr(3);
const D: NodeAddr = NodeAddr(4);
const CLUSTER: ClusterId = ClusterId::new(NET, 7);
/// A cluster of a net that is off, regardless of the net in its identity.
const FOREIGN: ClusterId = ClusterId(u128::MAX);

/// The same, with permanent peers, a cluster in which this node has a role, and one with static peers of the
/// host.
fn kept(clock: &ManualClock) -> Driver {
    let mut driver = lived(clock);
    let handle = driver.handle();
    handle.configure_net(OTHER, NetConfig::new().reserved_only(true)).unwrap();
    handle.add_permanent_peer(OTHER, A).unwrap();
    handle.add_permanent_peer(NET, C).unwrap();
    handle.associate_cluster(NET, CLUSTER, ClusterKind::Autonomic).unwrap();
    for role in [OWN, A, D] {
        handle.set_role_member(CLUSTER, role, true).unwrap();
    }
    handle.associate_cluster(OTHER, FOREIGN, ClusterKind::Embedded).unwrap();
    handle.add_static_peer(FOREIGN, A).unwrap();
    handle.add_static_peer(FOREIGN, B).unwrap();
    handle.add_static_peer(CLUSTER, D).unwrap();
    handle.set_endpoint(C, endpoint()).unwrap();
    let _ = driver.run_once(clock.now());
    driver
}

fn kept_export() -> (Export<NodeAddr>, ManualClock) {
    let clock = ManualClock::new();
    let driver = kept(&clock);
    (driver.links().snapshot().export(clock.now(), wall()), clock)
}

fn place(export: &Export<NodeAddr>, addr: NodeAddr) -> usize {
    export.links.iter().position(|link| link.addr == addr).unwrap()
}

#[test]
fn clusters_and_peers_come_back() {
    let (export, clock) = kept_export();
    let restored = built(config(), &clock, export.clone(), wall());
    let snapshot = restored.links().snapshot();
    assert_eq!(snapshot.export(clock.now(), wall()), export);
    assert_eq!(snapshot.stats().links_created(), 4);

    let (near, far) = (snapshot.cluster(CLUSTER).unwrap(), snapshot.cluster(FOREIGN).unwrap());
    assert_eq!((near.net(), near.kind(), near.is_enabled()), (NET, ClusterKind::Autonomic, true));
    assert_eq!((far.net(), far.kind(), far.is_enabled()), (OTHER, ClusterKind::Embedded, false));
    assert_eq!(near.role_members().collect::<HashSet<_>>(), HashSet::from([&OWN, &A, &D]));
    assert_eq!(snapshot.static_peers(CLUSTER).collect::<HashSet<_>>(), HashSet::from([&A, &D]));
    assert_eq!(snapshot.static_peers(FOREIGN).collect::<HashSet<_>>(), HashSet::from([&A, &B]));
    assert!(snapshot.net(NET).unwrap().is_permanent(&C) && snapshot.net(OTHER).unwrap().is_permanent(&A));
    assert!(snapshot.net(OTHER).unwrap().config().reserved_only);
    assert!(snapshot.contains(&C, NET), "its net is on");
    assert_eq!(snapshot.get(&C).unwrap().endpoint(), Some(endpoint()));

    // Designations by the host and by a role are withdrawn separately.
    let mut restored = restored;
    restored.handle().set_role_member(CLUSTER, OWN, false).unwrap();
    let _ = restored.run_once(clock.now());
    let snapshot = restored.links().snapshot();
    assert_eq!(snapshot.static_peers(CLUSTER).collect::<Vec<_>>(), [&D]);
}

#[test]
fn whoever_is_kept_has_a_link_though_none_is_listed() {
    let (mut export, clock) = kept_export();
    export.links.clear();
    export.nets[0].permanent.push(OWN);
    export.clusters[0].roles.push(OWN);
    let driver = built(config(), &clock, export, wall());
    let snapshot = driver.links().snapshot();
    let known: HashSet<_> = snapshot.links().map(|link| *link.addr()).collect();
    assert_eq!(known, HashSet::from([A, C, D]));
    assert!(!snapshot.net(NET).unwrap().is_permanent(&OWN));
    assert!(snapshot.contains(&C, NET) && !snapshot.contains(&A, OTHER), "that net is off");
}

#[test]
fn a_role_goes_with_the_node_and_not_with_its_address() {
    let (export, clock) = kept_export();
    let import = |own: Option<NodeAddr>| {
        let builder = LinkManager::builder(config()).clock(clock.clone());
        let builder = match own {
            Some(own) => builder.own_addr(own),
            None => builder,
        };
        let driver = builder.import(export.clone(), wall()).unwrap().build().unwrap();
        let snapshot = driver.links().snapshot();
        let roles: HashSet<_> = snapshot.cluster(CLUSTER).unwrap().role_members().copied().collect();
        let fixed: HashSet<_> = snapshot.static_peers(CLUSTER).copied().collect();
        (roles, fixed)
    };
    let moved = NodeAddr(7);
    assert_eq!(import(Some(moved)), (HashSet::from([moved, A, D]), HashSet::from([A, D])));
    assert_eq!(import(None), (HashSet::from([A, D]), HashSet::from([D])), "no own address, no own role");
}

#[test]
fn a_rest_survives_a_restart_and_no_jump_of_the_clock_makes_it_longer() {
    let clock = ManualClock::new();
    let policy = FlapPolicy::new().limit(1).delay(100 * SECOND);
    let config = config().flaps(policy);
    let builder = LinkManager::builder(config.clone()).own_addr(OWN).clock(clock.clone());
    let mut driver = builder.build().unwrap();
    let handle = driver.handle();
    handle.add_net(NET, NetConfig::new()).unwrap();
    handle.set_net_active(NET, true).unwrap();
    handle.add_permanent_peer(NET, A).unwrap();
    handle.set_endpoint(A, endpoint()).unwrap();
    let _ = driver.run_once(clock.now());
    let dial = driver.links().snapshot().get(&A).and_then(Link::dial_id).unwrap();
    handle.dial_connected(A, dial).unwrap();
    handle.dial_failed(A, dial, false).unwrap();
    let _ = driver.run_once(clock.now());
    let export = driver.links().snapshot().export(clock.now(), wall());
    let hold = |config: Config, wall| {
        let driver = built(config, &clock, export.clone(), wall);
        driver.links().snapshot().explain(&A, clock.now()).blockers
    };
    let rest = |seconds| {
        [crate::manager::model::blockers::DialBlocker::Flapping { until: clock.now() + seconds * SECOND }]
    };
    assert_eq!(hold(config.clone(), wall()), rest(100));
    assert_eq!(hold(config.clone(), wall() - 1_000 * SECOND), rest(100));
    assert_eq!(hold(config.clone().flaps(policy.delay(50 * SECOND)), wall()), rest(50));
    let delay = crate::manager::model::blockers::DialBlocker::Delay { until: clock.now() + 20 * SECOND };
    assert_eq!(hold(config.flaps(None), wall()), [delay], "no link rests");
}

#[test]
fn every_defect_of_clusters_and_peers_is_named() {
    type Damage = fn(&mut Export<NodeAddr>);
    let unknown = ClusterId::new(NET, 8);
    let cases: [(Damage, ImportError); 12] = [
        (|export| export.clusters[0].id.service = 0, ImportError::MainCluster(ClusterId::main(NET))),
        (|export| export.clusters[1].id = SavedId::new(CLUSTER), ImportError::DuplicateCluster(CLUSTER)),
        (
            |export| export.clusters[1].net = NetId(3),
            ImportError::UnknownClusterNet { cluster: FOREIGN, net: NetId(3) },
        ),
        (|export| export.clusters[1].roles = vec![A], ImportError::NotAutonomic(FOREIGN)),
        (|export| export.clusters[1].own_role = true, ImportError::NotAutonomic(FOREIGN)),
        (|export| export.clusters[0].roles[0] = NodeAddr::BLANK, ImportError::BlankRole(CLUSTER)),
        (|export| export.clusters[0].roles = vec![A, A], ImportError::DuplicateRole(CLUSTER)),
        (|export| export.nets[1].permanent[0] = NodeAddr::BLANK, ImportError::BlankPermanent(OTHER)),
        (|export| export.nets[1].permanent = vec![A, A], ImportError::DuplicatePermanent(OTHER)),
        (
            |export| {
                let place = place(export, D);
                export.links.swap(0, place);
                export.links[0].nets = vec![OTHER];
            },
            ImportError::ReservedNet { index: 0, net: OTHER },
        ),
        (
            |export| {
                let place = place(export, D);
                export.links.swap(0, place);
                export.links[0].static_of[0].service = 8;
            },
            ImportError::UnknownCluster { index: 0, cluster: unknown },
        ),
        (
            |export| {
                let place = place(export, D);
                export.links.swap(0, place);
                export.links[0].static_of = vec![SavedId::new(CLUSTER); 2];
            },
            ImportError::RepeatedCluster { index: 0, cluster: CLUSTER },
        ),
    ];
    for (damage, expected) in cases {
        let (mut export, _) = kept_export();
        damage(&mut export);
        assert_eq!(export.check(&config()), Err(expected.clone()));
        let result = LinkManager::builder(config()).import(export, wall());
        assert_eq!(result.err(), Some(expected.clone()));
        assert!(!expected.to_string().is_empty());
    }
    // Without a role of this node, the link of a role member is not kept.
    let (mut export, _) = kept_export();
    let index = place(&export, D);
    export.links[index].static_of.clear();
    assert_eq!(export.check(&config()), Ok(()));
    export.clusters[0].own_role = false;
    assert_eq!(export.check(&config()), Err(ImportError::UnwantedLink { index }));
}

#[test]
fn clusters_and_peers_have_to_fit_the_limits() {
    let (mut export, _) = kept_export();
    let fits = config().max_clusters(2).max_roles(3).max_permanent(1).max_links(4);
    assert_eq!(export.check(&fits), Ok(()));
    let refused = |of, limit| Err(ImportError::LimitReached { of, limit });
    assert_eq!(export.check(&config().max_clusters(1)), refused("clusters", 1));
    assert_eq!(export.check(&config().max_roles(2)), refused("role members", 2));
    assert_eq!(export.check(&config().max_links(3)), refused("links", 3));
    // Peers that are kept count, listed or not.
    export.links.clear();
    assert_eq!(export.check(&config().max_links(2)), refused("links", 2));
    export.nets[0].permanent.push(A);
    assert_eq!(export.check(&config().max_permanent(1)), refused("permanent peers", 1));
}

fn exported() -> (Export<NodeAddr>, ManualClock) {
    let clock = ManualClock::new();
    let driver = lived(&clock);
    (driver.links().snapshot().export(clock.now(), wall()), clock)
}

#[test]
fn what_is_exported_comes_back_in_the_first_version() {
    let (export, clock) = exported();
    assert_eq!((export.nets.len(), export.links.len()), (2, 2), "the downlink ends with its stream");
    let restored = built(config(), &clock, export.clone(), wall());
    let snapshot = restored.links().snapshot();
    assert_eq!(snapshot.version().as_u64(), 1);
    assert_eq!(snapshot.export(clock.now(), wall()), export);

    assert!(snapshot.is_active(NET) && !snapshot.is_active(OTHER) && snapshot.is_manager_active());
    assert_eq!(snapshot.min_links(NET), 7);
    assert!(!snapshot.net(OTHER).unwrap().config().count_downlinks);
    let link = snapshot.get(&A).unwrap();
    assert_eq!((link.attempts(), link.failures(), link.endpoint()), (1, 1, Some(endpoint())));
    assert_eq!(snapshot.get(&B).unwrap().nets(), [NET, OTHER]);
    assert_eq!(snapshot.ignored(NET, clock.now()).collect::<Vec<_>>(), [&A, &B]);
    assert_eq!(snapshot.ignored(OTHER, clock.now()).collect::<Vec<_>>(), [&B]);
}

#[test]
fn points_in_time_survive_a_restart() {
    let (export, _) = exported();
    // Another process, ten seconds later, whose clock has an arbitrary origin.
    let clock = ManualClock::new();
    clock.advance(12_345 * SECOND);
    let mut restored = built(config(), &clock, export, wall() + 10 * SECOND);
    let links = restored.links();
    let at = links.snapshot().get(&A).unwrap().next_attempt_at().unwrap();
    // 20 s after the failure, of which 1.234567 s and then 10 s have passed; rounded up to a millisecond.
    let exact = 20 * SECOND - Duration::from_micros(1_234_567) - 10 * SECOND;
    let left = at - clock.now();
    assert!(left >= exact && left < exact + Duration::from_millis(1), "{left:?}");
    let ignored = links.snapshot().explain(&A, clock.now()).ignored[0].until - clock.now();
    assert!(ignored > 888 * SECOND && ignored < 889 * SECOND, "{ignored:?}");

    // The manager acts on the imported times.
    let asked = |restored: &mut Driver| {
        let _ = restored.run_once(clock.now());
        let asked = restored
            .effects()
            .filter(|effect| matches!(effect, crate::manager::model::effect::Effect::Resolve { .. }));
        asked.filter_map(|effect| effect.addr().copied()).collect::<Vec<_>>()
    };
    assert_eq!(asked(&mut restored), [B]);
    clock.advance(left);
    assert_eq!(asked(&mut restored), [A]);
}

#[test]
fn a_wall_clock_that_jumps_makes_nothing_wait_longer_than_allowed() {
    let (export, clock) = exported();
    let year = 365 * 86_400 * SECOND;
    let shorter = config().retry(RetryPolicy::fixed(5 * SECOND)).ignore_period(60 * SECOND);
    for (config, retry, ignore_period) in [(config(), 20, 900), (shorter, 5, 60)] {
        // The wall clock is set back, even to before 1970.
        for wall in [wall() - year, SystemTime::UNIX_EPOCH - SECOND] {
            let driver = built(config.clone(), &clock, export.clone(), wall);
            let explanation = driver.links().snapshot().explain(&A, clock.now());
            let link = driver.links().snapshot().get(&A).unwrap().next_attempt_at();
            assert_eq!(link, Some(clock.now() + retry * SECOND));
            assert_eq!(explanation.ignored[0].until, clock.now() + ignore_period * SECOND);
        }
        // The wall clock is set forward: all delays have passed.
        let driver = built(config, &clock, export.clone(), wall() + year);
        let snapshot = driver.links().snapshot();
        assert_eq!(snapshot.get(&A).unwrap().not_before(), None);
        assert_eq!(snapshot.ignored(NET, clock.now()).count(), 0);
    }
}

#[test]
fn what_has_passed_is_not_exported() {
    let clock = ManualClock::new();
    let driver = lived(&clock);
    clock.advance(1_000 * SECOND);
    let export = driver.links().snapshot().export(clock.now(), wall());
    assert!(export.nets.iter().all(|net| net.ignored.is_empty()));
    assert!(export.links.iter().all(|link| link.next_attempt.is_none()));
}

#[test]
fn the_own_address_and_surplus_ignored_addresses_are_left_out() {
    let (mut export, clock) = exported();
    export.links[0].addr = OWN;
    let left = export.links[1].addr;
    export.nets[1].ignored[0].addr = OWN;
    let config = config().max_ignored(1);
    let driver = built(config, &clock, export, wall());
    let snapshot = driver.links().snapshot();
    assert!(snapshot.get(&OWN).is_none());
    assert_eq!(snapshot.links().map(|link| *link.addr()).collect::<Vec<_>>(), [left]);
    // The entry that expires last.
    assert_eq!(snapshot.ignored(NET, clock.now()).collect::<Vec<_>>(), [&B]);
    assert_eq!(snapshot.ignored(OTHER, clock.now()).count(), 0);
}

#[test]
fn an_inactive_manager_stays_inactive() {
    let clock = ManualClock::new();
    let mut driver = lived(&clock);
    driver.handle().set_active(false).unwrap();
    let _ = driver.run_once(clock.now());
    let export = driver.links().snapshot().export(clock.now(), wall());
    let mut restored = built(config(), &clock, export, wall());
    let _ = restored.run_once(clock.now());
    assert!(!restored.links().snapshot().is_manager_active());
    assert_eq!(restored.effects().count(), 0);
}

#[test]
fn every_defect_is_named() {
    type Damage = fn(&mut Export<NodeAddr>);
    let twice = |export: &mut Export<NodeAddr>| {
        let first = export.links[0].clone();
        export.links.push(first);
    };
    let cases: [(Damage, ImportError); 13] = [
        (|export| export.format = 2, ImportError::UnknownFormat { found: 2, supported: 1 }),
        (|export| export.format = 0, ImportError::UnknownFormat { found: 0, supported: 1 }),
        (|export| export.nets[0].id = NetId(0), ImportError::InvalidNet(NetId(0))),
        (|export| export.nets[1].id = NetId(u64::MAX), ImportError::InvalidNet(NetId(u64::MAX))),
        (|export| export.nets[1].id = NET, ImportError::DuplicateNet(NET)),
        (|export| export.nets[0].ignored[0].addr = NodeAddr::BLANK, ImportError::BlankIgnored(NET)),
        (|export| export.nets[0].ignored[0].addr = B, ImportError::DuplicateIgnored(NET)),
        (|export| export.links[1].addr = NodeAddr::BLANK, ImportError::BlankLink { index: 1 }),
        (twice, ImportError::DuplicateLink { index: 2 }),
        (|export| export.links[0].nets.clear(), ImportError::UnwantedLink { index: 0 }),
        (
            |export| export.links[1].nets = vec![NET, NetId(3)],
            ImportError::UnknownNet { index: 1, net: NetId(3) },
        ),
        (|export| export.links[1].nets = vec![NET, NET], ImportError::RepeatedNet { index: 1, net: NET }),
        (
            |export| export.links[0].endpoint = Some(SocketAddr::from(([192, 0, 2, 1], 0))),
            ImportError::Endpoint { index: 0, error: EndpointError::PortZero },
        ),
    ];
    for (damage, expected) in cases {
        let (mut export, _) = exported();
        damage(&mut export);
        assert_eq!(export.check(&config()), Err(expected.clone()));
        let result = LinkManager::builder(config()).import(export, wall());
        assert_eq!(result.err(), Some(expected.clone()));
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn an_export_has_to_fit_the_limits() {
    let (export, _) = exported();
    assert_eq!(export.check(&config()), Ok(()));
    let links = config().max_links(1);
    assert_eq!(export.check(&links), Err(ImportError::LimitReached { of: "links", limit: 1 }));
    let nets = config().max_nets(1);
    assert_eq!(export.check(&nets), Err(ImportError::LimitReached { of: "nets", limit: 1 }));
}

#[test]
fn exports_are_equal_whatever_their_order() {
    let (export, _) = kept_export();
    let mut turned = export.clone();
    turned.links.reverse();
    turned.clusters[0].roles.reverse();
    assert_eq!(export, turned);
    turned.links[0].failures += 1;
    assert_ne!(export, turned);
    turned.links.pop();
    assert_ne!(export, turned);
}

#[test]
fn exports_differ_by_their_clusters_and_peers() {
    let (export, _) = kept_export();
    let damages: [fn(&mut Export<NodeAddr>); 6] = [
        |export| export.clusters[0].roles[0] = C,
        |export| export.clusters[0].own_role = false,
        |export| export.clusters.truncate(1),
        |export| export.nets[0].permanent[0] = D,
        |export| export.nets[1].reserved_only = false,
        |export| export.links.iter_mut().for_each(|link| link.static_of.clear()),
    ];
    for damage in damages {
        let mut other = export.clone();
        damage(&mut other);
        assert_ne!(export, other);
    }
}
