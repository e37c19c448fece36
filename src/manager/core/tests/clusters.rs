//! Clusters, static peers and roles.

use super::*;

fn bench() -> Bench {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    bench
}

fn members(bench: &mut Bench, cluster: ClusterId) -> Vec<NodeAddr> {
    let snapshot = bench.snapshot();
    let mut members: Vec<_> = snapshot.cluster_members(cluster).copied().collect();
    assert_eq!(members.len(), snapshot.cluster_count(cluster));
    members.sort_unstable();
    members
}

fn statics(bench: &mut Bench, cluster: ClusterId) -> Vec<NodeAddr> {
    let snapshot = bench.snapshot();
    let mut peers: Vec<_> = snapshot.static_peers(cluster).copied().collect();
    assert_eq!(peers.len(), snapshot.static_count(cluster));
    peers.sort_unstable();
    peers
}

#[test]
fn a_cluster_is_associated_once_and_with_a_net_that_is_known() {
    let mut bench = Bench::new(Config::default().max_clusters(1));
    let associate = |net, cluster| Command::AssociateCluster { net, cluster, kind: ClusterKind::Embedded };
    assert_eq!(bench.apply(associate(NET, CLUSTER)), Err(CommandError::UnknownNet(NET)));
    bench.open(NET, 0);
    let main = ClusterId::main(NET);
    assert_eq!(bench.apply(associate(NET, main)), Err(CommandError::MainCluster(main)));
    assert_eq!(bench.apply(associate(NET, CLUSTER)), Ok(Outcome::Done));
    assert_eq!(bench.apply(associate(NET, CLUSTER)), Err(CommandError::ClusterExists(CLUSTER)));
    let full = Err(CommandError::LimitReached { of: "clusters", limit: 1 });
    assert_eq!(bench.apply(associate(NET, FOREIGN)), full);
    bench.done(Command::DissociateCluster { cluster: CLUSTER });
    let unknown = Err(CommandError::UnknownCluster(CLUSTER));
    assert_eq!(bench.apply(Command::DissociateCluster { cluster: CLUSTER }), unknown);
    assert_eq!(bench.join(CLUSTER, A), unknown);
    assert_eq!(bench.fix(CLUSTER, A), unknown);
    assert_eq!(bench.role(CLUSTER, A, true), unknown);
    assert_eq!(bench.apply(Command::LeaveCluster { cluster: CLUSTER, addr: A }), unknown);
    assert_eq!(bench.apply(Command::RemoveStaticPeer { cluster: CLUSTER, addr: A }), unknown);
    assert_eq!(bench.join(main, A), Err(CommandError::MainCluster(main)));
}

#[test]
fn a_cluster_is_enabled_while_its_net_is_on() {
    let mut bench = bench();
    bench.done(Command::AddNet { net: OTHER, config: NetConfig::new().min_links(0) });
    bench.associate(OTHER, FOREIGN);
    let status = |bench: &mut Bench, cluster| bench.snapshot().cluster(cluster).unwrap().status();
    // A cluster of an active net is enabled at once.
    assert_eq!(status(&mut bench, CLUSTER), ClusterStatus::Enabled);
    assert_eq!(status(&mut bench, FOREIGN), ClusterStatus::Disabled);
    bench.switch(OTHER, true);
    assert_eq!(status(&mut bench, FOREIGN), ClusterStatus::Enabled);
    bench.switch(NET, false);
    assert_eq!(status(&mut bench, CLUSTER), ClusterStatus::Disabled);
    assert_eq!(status(&mut bench, FOREIGN), ClusterStatus::Enabled);
    let snapshot = bench.snapshot();
    let listed: Vec<_> = snapshot.clusters().iter().map(|cluster| (cluster.id(), cluster.net())).collect();
    assert_eq!(listed, [(CLUSTER, NET), (FOREIGN, OTHER)]);
    assert_eq!(snapshot.cluster(CLUSTER).map(Cluster::kind), Some(ClusterKind::Autonomic));
    bench.done(Command::RemoveNet { net: NET });
    assert!(bench.snapshot().cluster(CLUSTER).is_none());
}

#[test]
fn who_is_connected_joins_and_leaves_a_cluster_beside_the_main_one() {
    let mut bench = bench();
    assert_eq!(bench.join(CLUSTER, A), Err(CommandError::UnknownLink));
    bench.create(A, NET).unwrap();
    assert_eq!(bench.join(CLUSTER, A), Err(CommandError::NotConnected));
    bench.done_stream(B, 1, Direction::Downlink);
    assert_eq!(bench.join(CLUSTER, B), Ok(Outcome::Done));
    assert_eq!(bench.join(CLUSTER, B), Ok(Outcome::Unchanged));
    assert_eq!(members(&mut bench, CLUSTER), [B]);
    assert_eq!(members(&mut bench, ClusterId::main(NET)), []);
    let link = bench.link(B);
    assert_eq!((link.clusters(), link.memberships()), (&[CLUSTER][..], &[][..]));
    assert!(bench.turn().contains(&Effect::ClusterCountChanged { cluster: CLUSTER, members: 1 }));

    bench.account(NET, B, 1, true).unwrap();
    assert_eq!(members(&mut bench, ClusterId::main(NET)), [B]);
    let leave = Command::LeaveCluster { cluster: CLUSTER, addr: B };
    assert_eq!(bench.apply(leave.clone()), Ok(Outcome::Done));
    assert_eq!(bench.apply(leave), Ok(Outcome::Unchanged));
    assert_eq!(members(&mut bench, CLUSTER), []);
    assert!(bench.link(B).is_member(NET));
    assert!(bench.turn().contains(&Effect::ClusterCountChanged { cluster: CLUSTER, members: 0 }));
}

#[test]
fn memberships_of_all_clusters_end_with_the_last_stream() {
    let mut bench = bench();
    bench.open(OTHER, 0);
    bench.associate(OTHER, FOREIGN);
    bench.uplink(A, NET, 1);
    bench.join(CLUSTER, A).unwrap();
    bench.join(FOREIGN, A).unwrap();
    bench.unstream(A, 1).unwrap();
    let link = bench.link(A);
    assert!(link.clusters().is_empty() && link.memberships().is_empty());
    assert_eq!(members(&mut bench, CLUSTER), []);
    assert_eq!(members(&mut bench, FOREIGN), []);
}

#[test]
fn a_refusal_ends_the_memberships_of_that_net_only() {
    let mut bench = bench();
    bench.open(OTHER, 0);
    bench.associate(OTHER, FOREIGN);
    bench.done_stream(A, 1, Direction::Downlink);
    for (net, cluster) in [(NET, CLUSTER), (OTHER, FOREIGN)] {
        bench.account(net, A, 1, true).unwrap();
        bench.join(cluster, A).unwrap();
    }
    bench.account(NET, A, 1, false).unwrap();
    let link = bench.link(A);
    assert_eq!((link.memberships(), link.clusters()), (&[OTHER][..], &[FOREIGN][..]));
}

#[test]
fn a_membership_in_a_cluster_alone_keeps_a_link() {
    let mut bench = bench();
    bench.open(OTHER, 0);
    bench.uplink(A, OTHER, 1);
    bench.join(CLUSTER, A).unwrap();
    bench.done(Command::RemoveNet { net: OTHER });
    assert!(bench.has(A));
    bench.done(Command::LeaveCluster { cluster: CLUSTER, addr: A });
    assert!(!bench.has(A));
    assert!(bench.turn().contains(&Effect::CloseDialer { addr: A }));
}

#[test]
fn a_static_peer_joins_its_cluster_with_its_stream_and_without_an_announcement() {
    let mut bench = bench();
    assert_eq!(bench.fix(CLUSTER, A), Ok(Outcome::Done));
    assert_eq!(resolved(&bench.turn()), [A]);
    bench.update(A).unwrap();
    let effects = bench.turn();
    assert_eq!(dialled(&effects), [A]);
    let dial = bench.link(A).dial_id().unwrap();
    let added = bench.apply(Command::AddUplink { addr: A, stream: StreamId(1), dial });
    assert_eq!(added, Ok(Outcome::Done));
    bench.connected(A, dial).unwrap();
    let effects = bench.turn();
    assert!(announced(&effects).is_empty(), "{effects:?}");
    assert_eq!(members(&mut bench, CLUSTER), [A]);
    assert_eq!(members(&mut bench, ClusterId::main(NET)), []);
}

#[test]
fn an_accounted_static_peer_joins_the_clusters_of_that_net_again() {
    let mut bench = bench();
    bench.fix(CLUSTER, A).unwrap();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, false).unwrap();
    assert_eq!(members(&mut bench, CLUSTER), []);
    bench.account(NET, A, 1, true).unwrap();
    assert_eq!(members(&mut bench, CLUSTER), [A]);
    assert_eq!(members(&mut bench, ClusterId::main(NET)), [A]);
}

#[test]
fn a_static_peer_waits_while_its_clusters_are_disabled() {
    let mut bench = bench();
    bench.fix(CLUSTER, A).unwrap();
    bench.update(A).unwrap();
    bench.turn();
    let dial = bench.link(A).dial_id().unwrap();
    bench.done_stream(A, 1, Direction::Uplink);
    bench.connected(A, dial).unwrap();
    bench.switch(NET, false);
    let link = bench.link(A);
    assert_eq!((link.state(), link.streams()), (DialState::Disconnected, &[][..]));
    assert!(bench.turn().contains(&Effect::CancelDial { addr: A, dial }));
    assert_eq!(bench.after_seconds(600), []);
    bench.switch(NET, true);
    assert_eq!(dialled(&bench.turn()), [A]);
}

#[test]
fn a_connected_static_peer_joins_when_its_cluster_is_enabled() {
    let mut bench = bench();
    bench.switch(NET, false);
    bench.done_stream(A, 1, Direction::Downlink);
    bench.fix(CLUSTER, A).unwrap();
    assert_eq!(members(&mut bench, CLUSTER), []);
    bench.switch(NET, true);
    assert_eq!(members(&mut bench, CLUSTER), [A]);
}

#[test]
fn a_static_peer_that_is_taken_back_stays_while_it_is_a_member() {
    let mut bench = bench();
    bench.fix(CLUSTER, A).unwrap();
    bench.done_stream(A, 1, Direction::Downlink);
    let unfix = Command::RemoveStaticPeer { cluster: CLUSTER, addr: A };
    assert_eq!(bench.apply(unfix.clone()), Ok(Outcome::Done));
    assert_eq!(bench.apply(unfix), Ok(Outcome::Unchanged));
    assert_eq!(members(&mut bench, CLUSTER), [A]);
    bench.unstream(A, 1).unwrap();
    assert!(!bench.has(A));
}

#[test]
fn a_static_peer_of_two_clusters_goes_with_the_last_one() {
    let mut bench = bench();
    bench.open(OTHER, 0);
    bench.associate(OTHER, FOREIGN);
    bench.fix(CLUSTER, A).unwrap();
    bench.fix(FOREIGN, A).unwrap();
    bench.done(Command::DissociateCluster { cluster: CLUSTER });
    assert!(bench.link(A).static_clusters().eq([FOREIGN]));
    bench.done(Command::RemoveNet { net: OTHER });
    assert!(!bench.has(A));
}

#[test]
fn a_deleted_static_peer_starts_anew_after_the_delay() {
    let mut bench = bench();
    bench.fix(CLUSTER, A).unwrap();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.turn();
    bench.done(Command::DeleteLink { addr: A });
    assert_eq!((statics(&mut bench, CLUSTER), members(&mut bench, CLUSTER)), (vec![A], vec![]));
    assert_eq!(
        bench.turn(),
        [
            Effect::CloseDialer { addr: A },
            Effect::CloseStreams { addr: A, streams: vec![StreamId(1)] },
            Effect::ClusterCountChanged { cluster: CLUSTER, members: 0 },
        ]
    );
    assert_eq!(resolved(&bench.after_seconds(19)), []);
    assert_eq!(resolved(&bench.after_seconds(1)), [A]);
}

#[test]
fn roles_are_replayed_when_this_node_gets_one_and_as_they_come() {
    let mut bench = bench();
    assert_eq!(bench.role(CLUSTER, A, true), Ok(Outcome::Done));
    assert_eq!(bench.role(CLUSTER, B, true), Ok(Outcome::Done));
    assert_eq!(bench.role(CLUSTER, B, true), Ok(Outcome::Unchanged));
    assert_eq!(statics(&mut bench, CLUSTER), []);
    assert!(!bench.has(A));
    assert_eq!(bench.role(CLUSTER, OWN, true), Ok(Outcome::Done));
    assert_eq!(statics(&mut bench, CLUSTER), [A, B]);
    assert_eq!(bench.snapshot().cluster(CLUSTER).unwrap().role_members().len(), 3);
    bench.role(CLUSTER, C, true).unwrap();
    assert_eq!(statics(&mut bench, CLUSTER), [A, B, C]);
    bench.role(CLUSTER, A, false).unwrap();
    assert_eq!(statics(&mut bench, CLUSTER), [B, C]);
    assert!(!bench.has(A));
    bench.role(CLUSTER, OWN, false).unwrap();
    assert_eq!(statics(&mut bench, CLUSTER), []);
    assert!(!bench.has(B) && !bench.has(C));
    // The others keep their roles: the role of this node designates them again.
    bench.role(CLUSTER, OWN, true).unwrap();
    assert_eq!(statics(&mut bench, CLUSTER), [B, C]);
}

#[test]
fn a_static_peer_that_the_host_asked_for_outlives_its_role() {
    let mut bench = bench();
    bench.role(CLUSTER, OWN, true).unwrap();
    bench.fix(CLUSTER, A).unwrap();
    bench.role(CLUSTER, A, true).unwrap();
    bench.role(CLUSTER, B, true).unwrap();
    bench.role(CLUSTER, OWN, false).unwrap();
    assert_eq!(statics(&mut bench, CLUSTER), [A]);
    // And in the opposite order.
    bench.role(CLUSTER, OWN, true).unwrap();
    bench.done(Command::RemoveStaticPeer { cluster: CLUSTER, addr: A });
    assert_eq!(statics(&mut bench, CLUSTER), [A, B]);
}

#[test]
fn roles_belong_to_autonomic_clusters_and_are_bounded() {
    let mut bench = Bench::new(Config::default().max_roles(2).max_links(1));
    bench.open(NET, 0);
    let service = ClusterId::new(NET, 9);
    bench.done(Command::AssociateCluster { net: NET, cluster: service, kind: ClusterKind::Embedded });
    assert_eq!(bench.role(service, A, true), Err(CommandError::NotAutonomic(service)));
    bench.associate(NET, CLUSTER);
    assert_eq!(bench.role(CLUSTER, NodeAddr::BLANK, true), Err(CommandError::BlankAddr));
    bench.role(CLUSTER, A, true).unwrap();
    bench.role(CLUSTER, B, true).unwrap();
    let full = Err(CommandError::LimitReached { of: "role members", limit: 2 });
    assert_eq!(bench.role(CLUSTER, C, true), full);
    // There is no room for both links: the command changes nothing.
    bench.done(Command::SetRoleMember { cluster: CLUSTER, addr: B, member: false });
    bench.create(C, NET).unwrap();
    let no_room = Err(CommandError::LimitReached { of: "links", limit: 1 });
    assert_eq!(bench.role(CLUSTER, OWN, true), no_room);
    assert_eq!(bench.snapshot().cluster(CLUSTER).unwrap().role_members().len(), 1);
    assert_eq!(bench.fix(CLUSTER, OWN), Err(CommandError::OwnAddr));
    assert_eq!(bench.fix(CLUSTER, A), no_room);
}

#[test]
fn an_old_snapshot_keeps_its_clusters() {
    let mut bench = bench();
    bench.fix(CLUSTER, A).unwrap();
    bench.done_stream(A, 1, Direction::Downlink);
    let old = bench.snapshot();
    bench.done(Command::DissociateCluster { cluster: CLUSTER });
    assert_eq!(bench.snapshot().cluster_count(CLUSTER), 0);
    assert_eq!((old.cluster_count(CLUSTER), old.static_count(CLUSTER)), (1, 1));
    assert!(old.get(&A).is_some_and(|link| link.is_cluster_member(CLUSTER)));
}

#[test]
fn a_cluster_that_is_dissociated_with_members_reports_its_last_count() {
    let mut bench = bench();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.join(CLUSTER, A).unwrap();
    bench.turn();
    bench.done(Command::DissociateCluster { cluster: CLUSTER });
    assert_eq!(bench.turn(), [Effect::ClusterCountChanged { cluster: CLUSTER, members: 0 }]);
    bench.associate(NET, CLUSTER);
    bench.done(Command::DissociateCluster { cluster: CLUSTER });
    assert_eq!(bench.turn(), [], "the count was zero before");
}
