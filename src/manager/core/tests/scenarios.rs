//! Acceptance scenarios that no other file covers. The documentation of the parent module has the table.

use std::collections::BTreeSet;
use std::sync::mpsc;

use super::*;
use crate::manager::link_manager::LinkManager;
use crate::manager::model::config::Timing;
use crate::manager::run::handle::Handle;

/// A bench with a link that is being dialled.
fn dialling(config: Config) -> (Bench, DialId) {
    let mut bench = Bench::new(config);
    bench.open(NET, 0);
    bench.create(A, NET).unwrap();
    let dial = redial(&mut bench, A);
    (bench, dial)
}

/// Waits for the wake-up that resolves a node, and answers the resolution.
fn redial(bench: &mut Bench, addr: NodeAddr) -> DialId {
    let mut waited = 0;
    while resolved(&bench.after_seconds(5)) != [addr] {
        waited += 1;
        assert!(waited < 10, "the endpoint was never requested");
    }
    bench.update(addr).unwrap();
    assert_eq!(dialled(&bench.turn()), [addr]);
    bench.link(addr).dial_id().expect("a dial")
}

fn told(effects: &[Effect<NodeAddr>]) -> (usize, usize) {
    let errors = effects.iter().filter(|effect| matches!(effect, Effect::LinkError { .. })).count();
    let ends = effects.iter().filter(|effect| matches!(effect, Effect::Released { .. })).count();
    (errors, ends)
}

/// Scenario 5: of four tries, the manager sees the first and the last failure.
#[test]
fn a_dial_cycle_has_one_error_and_one_end_which_only_a_permanent_peer_survives() {
    for permanent in [false, true] {
        let (mut bench, dial) = dialling(Config::ticked());
        if permanent {
            bench.keep(NET, A).unwrap();
        }
        bench.failed(A, dial, false).unwrap();
        assert_eq!(bench.link(A).state(), DialState::Connecting);
        bench.failed(A, dial, true).unwrap();
        assert_eq!(told(&bench.turn()), (1, 1));
        assert_eq!(bench.has(A), permanent);
        if permanent {
            let link = bench.link(A);
            assert_eq!(
                (link.nets(), link.attempts(), link.state()),
                (&[NET][..], 0, DialState::Disconnected)
            );
            let failed = bench.now();
            redial(&mut bench, A);
            assert!(bench.now() > failed + Duration::from_secs(20));
        }
    }
}

/// Scenario 6.
#[test]
fn the_host_is_told_after_the_last_attempt_only() {
    let (mut bench, mut dial) = dialling(Config::ticked().max_attempts(3));
    for attempt in 1..3 {
        bench.failed(A, dial, true).unwrap();
        assert_eq!(told(&bench.turn()), (0, 0));
        let link = bench.link(A);
        assert_eq!((link.attempts(), link.nets()), (attempt, &[NET][..]));
        dial = redial(&mut bench, A);
    }
    bench.failed(A, dial, true).unwrap();
    assert_eq!(told(&bench.turn()), (0, 1));
    assert!(!bench.has(A));
}

/// Scenario 9.
#[test]
fn a_static_peer_is_dialled_without_a_net_and_survives_every_failure() {
    let mut bench = Bench::reference();
    bench.associate(NET, CLUSTER);
    bench.fix(CLUSTER, A).unwrap();
    for _ in 0..5 {
        let dial = redial(&mut bench, A);
        bench.failed(A, dial, false).unwrap();
        bench.failed(A, dial, true).unwrap();
        assert_eq!(told(&bench.turn()), (0, 0), "no net wants the link");
        assert!(bench.has(A));
    }
    let dial = redial(&mut bench, A);
    bench.done_stream(A, 1, Direction::Uplink);
    bench.connected(A, dial).unwrap();
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.cluster_count(CLUSTER), snapshot.count(NET)), (1, 0));
    // An active link stays when it loses its designation; an inactive one is removed.
    bench.done(Command::RemoveStaticPeer { cluster: CLUSTER, addr: A });
    assert!(bench.has(A));
    bench.fix(CLUSTER, A).unwrap();
    bench.failed(A, dial, true).unwrap();
    assert!(bench.has(A));
    bench.done(Command::RemoveStaticPeer { cluster: CLUSTER, addr: A });
    assert!(!bench.has(A));
}

/// Scenario 11, for a net that keeps the peer.
#[test]
fn a_refused_permanent_peer_is_announced_again_after_the_delay() {
    for timing in [Timing::Ticked, Timing::Immediate] {
        let mut bench = Bench::new(Config::default().timing(timing));
        bench.open(NET, 0);
        bench.associate(NET, CLUSTER);
        bench.keep(NET, A).unwrap();
        bench.done(Command::WakeUp);
        bench.update(A).unwrap();
        let dial = bench.link(A).dial_id().unwrap();
        bench.done_stream(A, 1, Direction::Uplink);
        bench.connected(A, dial).unwrap();
        bench.account(NET, A, 1, true).unwrap();
        bench.join(CLUSTER, A).unwrap();
        bench.turn();
        bench.account(NET, A, 1, false).unwrap();
        let link = bench.link(A);
        assert!(link.memberships().is_empty() && link.clusters().is_empty());
        assert_eq!((link.nets(), link.state()), (&[NET][..], DialState::Established));
        let released = Effect::Released { addr: A, net: NET, members: 0, cause: LinkFailure::Refused };
        assert!(bench.turn().contains(&released));
        let (refused, mut waited) = (bench.now(), 0);
        while announced(&bench.after_seconds(5)).is_empty() {
            waited += 1;
            assert!(waited < 10, "never announced");
        }
        assert!(bench.now() >= refused + Duration::from_secs(20));
        assert_eq!(bench.account(NET, A, 1, true), Ok(Outcome::Done));
    }
}

/// Scenario 12, for associated clusters.
#[test]
fn a_net_that_goes_off_empties_and_disables_its_clusters() {
    let mut bench = Bench::reference();
    bench.associate(NET, CLUSTER);
    for (addr, stream) in [(A, 1), (B, 2)] {
        bench.done_stream(addr, stream, Direction::Downlink);
        bench.account(NET, addr, stream, true).unwrap();
        bench.join(CLUSTER, addr).unwrap();
    }
    bench.turn();
    bench.switch(NET, false);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.count(NET), snapshot.cluster_count(CLUSTER)), (0, 0));
    assert_eq!(snapshot.cluster(CLUSTER).map(Cluster::status), Some(ClusterStatus::Disabled));
    assert_eq!(bench.join(CLUSTER, A), Err(CommandError::ClusterDisabled(CLUSTER)));
    assert!(bench.link(A).primary().is_some(), "a downlink stays open");
    let effects = bench.turn();
    assert!(effects.contains(&Effect::ClusterCountChanged { cluster: CLUSTER, members: 0 }), "{effects:?}");
    // After the net is switched on again, nothing is dialled or joined until the next ticks.
    bench.keep(NET, C).unwrap();
    bench.switch(NET, true);
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.snapshot().cluster_count(CLUSTER), 0);
    bench.after_seconds(5);
    assert_eq!(resolved(&bench.after_seconds(5)), [C]);
}

/// Scenario 14.
#[test]
fn an_endpoint_is_refused_for_what_it_is_and_ignored_while_the_link_is_busy() {
    let mut bench = Bench::new(Config::ticked().addresses(AddressPolicy::public()));
    bench.open(NET, 0);
    bench.create(A, NET).unwrap();
    let mut with =
        |text: &str| bench.apply(Command::SetEndpoint { addr: A, endpoint: text.parse().unwrap() });
    for (text, error) in [
        ("192.0.2.1:0", EndpointError::PortZero),
        ("[::]:1", EndpointError::Unspecified),
        ("127.0.0.1:1", EndpointError::Loopback),
        ("[::1]:1", EndpointError::Loopback),
        ("255.255.255.255:1", EndpointError::Broadcast),
    ] {
        assert_eq!(with(text), Err(CommandError::Endpoint(error)));
    }
    assert_eq!(bench.link(A).endpoint(), None);
    assert_eq!(bench.update(B), Err(CommandError::UnknownLink));
    let dial = redial(&mut bench, A);
    let other = SocketAddr::from(([192, 0, 2, 9], 9));
    let update = Command::SetEndpoint { addr: A, endpoint: other };
    assert_eq!(bench.apply(update.clone()), Err(CommandError::LinkBusy(DialState::Connecting)));
    bench.connected(A, dial).unwrap();
    assert_eq!(bench.apply(update), Err(CommandError::LinkBusy(DialState::Established)));
    assert_eq!(bench.link(A).endpoint(), Some(endpoint()));
}

/// Returns every command once, for the given node and a net of its own.
fn every_command(addr: NodeAddr) -> Vec<Command<NodeAddr>> {
    let (net, stream, dial) = (NetId(8), StreamId(70), DialId(1));
    let cluster = ClusterId::new(net, 1);
    vec![
        Command::AddNet { net, config: NetConfig::new().min_links(0) },
        Command::SetNetActive { net, active: true },
        Command::AssociateCluster { net, cluster, kind: ClusterKind::Autonomic },
        Command::CreateLink { addr, net },
        Command::SetEndpoint { addr, endpoint: endpoint() },
        Command::AddStream { addr, stream, direction: Direction::Downlink },
        Command::AddUplink { addr, stream: StreamId(71), dial },
        Command::AccountLink { net, addr, stream, accepted: true },
        Command::JoinCluster { cluster, addr },
        Command::AddStaticPeer { cluster, addr },
        Command::SetRoleMember { cluster, addr, member: true },
        Command::AddPermanentPeer { net, addr },
        Command::ReplaceStream { addr, old: stream, new: StreamId(72), direction: Direction::Downlink },
        Command::DialConnected { addr, dial },
        Command::DialFailed { addr, dial, last: false },
        Command::ResolveFailed { addr, resolve: ResolveId(1) },
        Command::LeaveCluster { cluster, addr },
        Command::RemoveStaticPeer { cluster, addr },
        Command::RemovePermanentPeer { net, addr },
        Command::DissociateCluster { cluster },
        Command::DeleteStream { addr, stream: StreamId(72) },
        Command::DeleteLink { addr },
        Command::CheckNets,
        Command::WakeUp,
        Command::SetActive { active: true },
        Command::SetNetActive { net, active: false },
        Command::RemoveNet { net },
    ]
}

fn assert_consistent(snapshot: &LinksSnapshot<NodeAddr>) {
    for net in snapshot.nets() {
        let listed: BTreeSet<_> = snapshot.addrs(net.id(), MemberFilter::All).collect();
        assert_eq!(listed.len(), snapshot.count(net.id()));
        assert!(listed.iter().all(|addr| snapshot.get(addr).unwrap().is_member(net.id())));
    }
}

/// Scenario 16: every call that the host makes from inside a callback is answered, and counts and lists
/// agree.
#[test]
fn every_call_is_legal_from_inside_every_callback() {
    let (sender, receiver) = mpsc::channel();
    let (give, given) = mpsc::channel::<Links<NodeAddr>>();
    let (mut links, mut seen) = (None, Vec::new());
    let transport = move |effect: Effect<NodeAddr>, handle: &Handle<NodeAddr>| {
        let links = links.get_or_insert_with(|| given.recv().unwrap());
        let kind = std::mem::discriminant(&effect);
        if !seen.contains(&kind) {
            seen.push(kind);
            for command in every_command(B) {
                // A callback may wait for the writer, which never waits for the transport.
                let _ = handle.submit(command).unwrap().wait();
                assert_consistent(&links.snapshot());
            }
        }
        sender.send(effect).unwrap();
    };
    let manager = LinkManager::builder(Config::default()).own_addr(OWN).transport(transport).spawn().unwrap();
    give.send(manager.links()).unwrap();
    let handle = manager.handle();
    // Provokes one kind of effect after the other, and waits until its callback has returned.
    let expect = |what: &str, matches: fn(&Effect<NodeAddr>) -> bool| {
        while !matches(&receiver.recv_timeout(Duration::from_secs(60)).expect(what)) {}
    };
    handle.add_net(NET, NetConfig::new().min_links(1)).unwrap();
    handle.associate_cluster(NET, CLUSTER, ClusterKind::Embedded).unwrap();
    handle.set_net_active(NET, true).unwrap();
    expect("request", |effect| matches!(effect, Effect::RequestLinks { .. }));
    handle.create_link(A, NET).unwrap();
    expect("resolve", |effect| matches!(effect, Effect::Resolve { addr: A, .. }));
    handle.set_endpoint(A, endpoint()).unwrap();
    expect("dial", |effect| matches!(effect, Effect::Dial { addr: A, .. }));
    let dial = manager.links().snapshot().get(&A).and_then(Link::dial_id).expect("a dial");
    handle.dial_failed(A, dial, false).unwrap();
    expect("error", |effect| matches!(effect, Effect::LinkError { .. }));
    let (up, down) = (StreamId(1), StreamId(2));
    handle.add_uplink(A, up, dial).unwrap();
    handle.dial_connected(A, dial).unwrap();
    expect("announcement", |effect| matches!(effect, Effect::Announce { addr: A, .. }));
    handle.admit(NET, A, up).unwrap();
    expect("count", |effect| matches!(effect, Effect::LinkCountChanged { net: NET, .. }));
    handle.join_cluster(CLUSTER, A).unwrap();
    expect("cluster", |effect| *effect == Effect::ClusterCountChanged { cluster: CLUSTER, members: 1 });
    handle.add_stream(A, down, Direction::Downlink).unwrap();
    handle.delete_stream(A, up).unwrap();
    expect("cancellation", |effect| matches!(effect, Effect::CancelDial { addr: A, .. }));
    handle.refuse(NET, A, down).unwrap();
    expect("end", |effect| matches!(effect, Effect::Released { addr: A, .. }));
    expect("dialer", |effect| *effect == Effect::CloseDialer { addr: A });
    handle.delete_link(A).unwrap();
    expect("streams", |effect| matches!(effect, Effect::CloseStreams { addr: A, .. }));
    assert_eq!(manager.shutdown(Duration::from_secs(60)).transport_panics, 0);
}

/// Scenario 17 and B11: through the lanes of the mailbox, where the deletion overtakes the accounting, and
/// through two turns, where it does not.
#[test]
fn a_deletion_and_an_accounting_in_either_order_leave_no_member() {
    for one_batch in [true, false] {
        for deletion_first in [true, false] {
            let clock = ManualClock::new();
            let builder = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone());
            let mut driver = builder.build().unwrap();
            let (handle, links) = (driver.handle(), driver.links());
            handle.add_net(NET, NetConfig::new().min_links(0)).unwrap();
            handle.set_net_active(NET, true).unwrap();
            let stream = StreamId(1);
            handle.add_stream(A, stream, Direction::Downlink).unwrap();
            let _ = driver.run_once(clock.now());
            assert_eq!(links.snapshot().len(), 1);
            let delete = || handle.delete_stream(A, stream).unwrap();
            let account = || handle.admit(NET, A, stream).unwrap();
            let first = if deletion_first { delete() } else { account() };
            if !one_batch {
                let _ = driver.run_once(clock.now());
            }
            let second = if deletion_first { account() } else { delete() };
            let _ = driver.run_once(clock.now());
            let (first, second) = (first.wait().unwrap().outcome, second.wait().unwrap().outcome);
            let (deleted, accounted) = if deletion_first { (first, second) } else { (second, first) };
            assert_eq!(deleted, Outcome::Done);
            let overtaken = one_batch || deletion_first;
            assert_eq!(accounted, if overtaken { Outcome::Stale } else { Outcome::Done });
            let snapshot = links.snapshot();
            assert_eq!((snapshot.count(NET), snapshot.len()), (0, 0));
        }
    }
}
