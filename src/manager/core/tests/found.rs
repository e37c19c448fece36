//! Failures that the comparison of sequences with the model has found, each as a test of its own.

use super::*;
use crate::manager::model::config::settings::Settings;
use Direction::{Downlink, Uplink};

/// A bench whose link has a stream of the peer and a spare stream of this node.
fn with_spare_uplink() -> Bench {
    let mut bench = Bench::immediate();
    let dial = bench.dial(A, NET);
    bench.done_stream(A, 1, Downlink);
    assert_eq!(bench.stream(A, 2, Uplink), Ok(Outcome::Spare));
    assert_eq!(bench.connected(A, dial), Ok(Outcome::Done));
    bench
}

#[test]
fn a_spare_uplink_that_the_peers_stream_replaces_takes_the_connection_with_it() {
    let mut bench = with_spare_uplink();
    let (old, new) = (StreamId(2), StreamId(3));
    bench.done(Command::ReplaceStream { addr: A, old, new, direction: Downlink });
    assert_eq!(bench.link(A).state(), DialState::Connecting);
}

#[test]
fn a_known_stream_that_takes_over_keeps_its_direction_whatever_the_report_says() {
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Downlink);
    assert_eq!(bench.stream(A, 2, Downlink), Ok(Outcome::Spare));
    bench.done(Command::ReplaceStream { addr: A, old: StreamId(1), new: StreamId(2), direction: Uplink });
    assert_eq!(bench.link(A).direction(), Downlink);

    let mut bench = with_spare_uplink();
    bench.done(Command::ReplaceStream { addr: A, old: StreamId(1), new: StreamId(2), direction: Downlink });
    let link = bench.link(A);
    assert_eq!((link.direction(), link.state()), (Uplink, DialState::Established));
}

#[test]
fn a_net_is_announced_on_the_stream_that_is_left_when_a_dial_fails() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    let dial = bench.dial(A, NET);
    bench.done_stream(A, 1, Uplink);
    assert_eq!(bench.stream(A, 2, Downlink), Ok(Outcome::Spare));
    // The stream of the peer carries the membership on.
    assert_eq!(bench.join(CLUSTER, A), Ok(Outcome::Done));
    assert_eq!(announced(&bench.turn()), [(A, NET, 1)]);
    assert_eq!(bench.failed(A, dial, true), Ok(Outcome::Done));
    assert_eq!(announced(&bench.turn()), [(A, NET, 2)]);
}

#[test]
fn a_limit_below_the_links_that_are_there_refuses_nothing_that_needs_no_record() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    bench.create(A, NET).unwrap();
    bench.create(B, NET).unwrap();
    bench.done(Command::Reconfigure { settings: Box::new(Settings::default().max_links(1)) });
    bench.done(Command::AddNet { net: OTHER, config: NetConfig::new() });
    bench.switch(OTHER, true);
    assert_eq!(bench.role(CLUSTER, A, true), Ok(Outcome::Done));
    assert_eq!(bench.role(CLUSTER, OWN, true), Ok(Outcome::Done));
    assert!(bench.link(A).is_static_peer(CLUSTER));
    // A node without a record is still refused.
    let full = CommandError::LimitReached { of: "links", limit: 1 };
    assert_eq!(bench.role(CLUSTER, C, true), Err(full.clone()));
    assert_eq!(bench.keep(OTHER, C), Err(full));
}

/// A bench with a static peer of clusters of two nets, which has left the cluster of the other net.
fn with_cluster_left() -> Bench {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 0);
    bench.associate(NET, CLUSTER);
    bench.associate(OTHER, FOREIGN);
    bench.done_stream(A, 1, Downlink);
    bench.fix(CLUSTER, A).unwrap();
    bench.fix(FOREIGN, A).unwrap();
    bench.done(Command::LeaveCluster { cluster: FOREIGN, addr: A });
    bench
}

#[test]
fn a_net_that_becomes_reserved_makes_nobody_join_the_clusters_of_another() {
    let mut bench = with_cluster_left();
    assert_eq!(bench.account(NET, A, 1, true), Ok(Outcome::Done));
    bench.done(Command::ConfigureNet { net: NET, config: NetConfig::new().reserved_only(true) });
    assert_eq!(bench.link(A).clusters(), [CLUSTER]);
}

#[test]
fn a_net_that_goes_on_makes_nobody_join_the_clusters_of_another() {
    let mut bench = with_cluster_left();
    bench.switch(NET, false);
    assert_eq!(bench.link(A).clusters(), []);
    bench.switch(NET, true);
    assert_eq!(bench.link(A).clusters(), [CLUSTER]);
}
