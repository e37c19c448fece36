//! Explanations of links and nets.

use super::*;
use crate::manager::model::blockers::{DialBlocker, RequestBlocker};
use crate::manager::read::explain::{Action, IgnoreEntry, KeepReason, LinkExplanation, PlannedAction};

const SECOND: Duration = Duration::from_secs(1);

fn explain(bench: &mut Bench, addr: NodeAddr) -> LinkExplanation {
    let now = bench.now();
    bench.snapshot().explain(&addr, now)
}

fn next(action: Action, at: Instant) -> Option<PlannedAction> {
    Some(PlannedAction { action, at })
}

#[test]
fn nobody_knows_an_unknown_address() {
    let mut bench = Bench::immediate();
    let explanation = explain(&mut bench, A);
    assert!(explanation.is_blocked() && !explanation.is_known());
    assert_eq!((explanation.blockers, explanation.next), (vec![DialBlocker::NoLink], None));
    assert!(explanation.reasons.is_empty() && explanation.ignored.is_empty());
}

#[test]
fn the_life_of_an_uplink_is_explained_step_by_step() {
    let mut bench = Bench::new(Config::default().max_attempts(100));
    bench.done(Command::AddNet { net: NET, config: NetConfig::new().min_links(0) });
    bench.create(A, NET).unwrap();
    let ignored = vec![IgnoreEntry { net: NET, until: bench.now() + 900 * SECOND, failure: None }];
    let explanation = explain(&mut bench, A);
    assert_eq!(explanation.reasons, [KeepReason::WantedBy(NET)]);
    assert_eq!(explanation.blockers, [DialBlocker::NetInactive(NET)]);
    assert_eq!((explanation.ignored, explanation.next), (ignored.clone(), None));

    bench.done(Command::SetNetActive { net: NET, active: true });
    let explanation = explain(&mut bench, A);
    assert!(explanation.is_known() && !explanation.is_blocked());
    assert_eq!(explanation.next, next(Action::Resolve, bench.now()));

    bench.turn();
    let explanation = explain(&mut bench, A);
    assert_eq!(explanation.blockers, [DialBlocker::Resolving]);
    assert_eq!(explanation.next, next(Action::TimeOut, bench.now() + 60 * SECOND));

    bench.update(A).unwrap();
    assert_eq!(explain(&mut bench, A).blockers, [DialBlocker::Busy(DialState::Connecting)]);
    let dial = bench.link(A).dial_id().expect("a dial");
    bench.failed(A, dial, true).unwrap();
    let until = bench.now() + 20 * SECOND;
    let explanation = explain(&mut bench, A);
    assert_eq!(explanation.blockers, [DialBlocker::Delay { until }]);
    assert_eq!(explanation.next, next(Action::Resolve, until));
    assert!(!bench.snapshot().explain(&A, until).is_blocked(), "not blocked any more at that instant");

    bench.update(A).unwrap();
    assert_eq!(explain(&mut bench, A).next, next(Action::Dial, until), "the endpoint is known");
    bench.after_seconds(20);
    let dial = bench.link(A).dial_id().expect("a dial");
    bench.connected(A, dial).unwrap();
    bench.done_stream(A, 1, Direction::Uplink);
    let explanation = explain(&mut bench, A);
    assert_eq!(explanation.blockers, [DialBlocker::Busy(DialState::Established), DialBlocker::Connected]);
    assert_eq!(explanation.next, next(Action::Announce, bench.now() + 20 * SECOND), "once more");
    bench.account(NET, A, 1, true).unwrap();
    let explanation = explain(&mut bench, A);
    assert_eq!(explanation.reasons, [KeepReason::WantedBy(NET), KeepReason::MemberOf(NET)]);
    assert_eq!((explanation.ignored, explanation.next), (ignored, None));
}

#[test]
fn a_downlink_is_kept_by_its_streams_and_memberships() {
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.stream(A, 2, Direction::Downlink).unwrap();
    bench.account(NET, A, 1, true).unwrap();
    let explanation = explain(&mut bench, A);
    let streams = [KeepReason::Downlink(StreamId(1)), KeepReason::Downlink(StreamId(2))];
    assert_eq!(explanation.reasons, [&[KeepReason::MemberOf(NET)], &streams[..]].concat());
    assert_eq!(
        explanation.blockers,
        [DialBlocker::PureDownlink, DialBlocker::Connected, DialBlocker::Unwanted]
    );
    assert_eq!(explanation.next, None);
}

#[test]
fn an_inactive_manager_holds_everything() {
    let mut bench = Bench::immediate();
    bench.create(A, NET).unwrap();
    bench.done(Command::SetActive { active: false });
    assert_eq!(explain(&mut bench, A).blockers, [DialBlocker::ManagerInactive]);
    let now = bench.now();
    assert!(bench.snapshot().explain_net(NET, now).blockers.contains(&RequestBlocker::ManagerInactive));
}

#[test]
fn the_ignored_time_ends_with_its_period() {
    let mut bench = Bench::immediate();
    bench.create(A, NET).unwrap();
    let until = bench.now() + 900 * SECOND;
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.explain(&A, until).ignored, [IgnoreEntry { net: NET, until, failure: None }]);
    assert_eq!(snapshot.explain(&A, until + Duration::from_nanos(1)).ignored, []);
}

#[test]
fn the_reference_dials_strictly_after_the_delay_and_for_inactive_nets_too() {
    let mut bench = Bench::new(Config::ticked().max_attempts(100));
    bench.done(Command::AddNet { net: NET, config: NetConfig::new().min_links(0) });
    bench.create(A, NET).unwrap();
    assert!(!explain(&mut bench, A).is_blocked());
    bench.apply(Command::WakeUp).unwrap();
    bench.update(A).unwrap();
    let dial = bench.link(A).dial_id().expect("a dial");
    bench.failed(A, dial, true).unwrap();
    let until = bench.now() + 20 * SECOND;
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.explain(&A, until).blockers, [DialBlocker::Delay { until }]);
    assert!(!snapshot.explain(&A, until + Duration::from_nanos(1)).is_blocked());
}

#[test]
fn a_net_says_what_it_needs_and_when_it_asks() {
    let mut bench = Bench::immediate();
    let explain = |bench: &mut Bench, net| {
        let now = bench.now();
        bench.snapshot().explain_net(net, now)
    };
    let unknown = explain(&mut bench, OTHER);
    assert_eq!((unknown.needed, unknown.blockers), (0, vec![RequestBlocker::UnknownNet]));
    assert_eq!(explain(&mut bench, NET).blockers, [RequestBlocker::Enough]);

    let config = NetConfig::new().min_links(2);
    bench.done(Command::AddNet { net: OTHER, config });
    let off = explain(&mut bench, OTHER);
    assert_eq!((off.needed, off.blockers, off.next_request), (2, vec![RequestBlocker::NetInactive], None));
    bench.done(Command::SetNetActive { net: OTHER, active: true });
    let on = explain(&mut bench, OTHER);
    assert_eq!((on.needed, on.blockers, on.next_request), (2, vec![], Some(bench.now())));
    assert_eq!(requested(&bench.turn()), [(OTHER, 2)]);
    let asked = explain(&mut bench, OTHER);
    let until = bench.now() + 5 * SECOND;
    assert_eq!((asked.blockers, asked.next_request), (vec![RequestBlocker::Delay { until }], Some(until)));
}

#[test]
fn a_static_peer_is_kept_by_its_cluster_and_idle_while_that_is_disabled() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    bench.fix(CLUSTER, A).unwrap();
    let explanation = explain(&mut bench, A);
    assert_eq!(explanation.reasons, [KeepReason::StaticPeerOf(CLUSTER)]);
    assert_eq!((explanation.blockers, explanation.next), (vec![], next(Action::Resolve, bench.now())));

    bench.switch(NET, false);
    let explanation = explain(&mut bench, A);
    assert_eq!(explanation.reasons, [KeepReason::StaticPeerOf(CLUSTER)]);
    assert_eq!((explanation.blockers, explanation.next), (vec![DialBlocker::ClusterDisabled(CLUSTER)], None));
    bench.create(A, NET).unwrap();
    assert_eq!(
        explain(&mut bench, A).blockers,
        [DialBlocker::NetInactive(NET), DialBlocker::ClusterDisabled(CLUSTER)]
    );
    bench.open(OTHER, 0);
    bench.create(A, OTHER).unwrap();
    assert_eq!(explain(&mut bench, A).blockers, [], "one reason is enough");

    bench.switch(NET, true);
    bench.done_stream(A, 1, Direction::Downlink);
    let explanation = explain(&mut bench, A);
    assert!(explanation.reasons.contains(&KeepReason::MemberOfCluster(CLUSTER)));
    assert_eq!(explanation.blockers, [DialBlocker::Connected]);
}

#[test]
fn the_reference_holds_a_static_peer_of_a_disabled_cluster_alone() {
    let mut bench = Bench::reference();
    bench.associate(NET, CLUSTER);
    bench.fix(CLUSTER, A).unwrap();
    bench.switch(NET, false);
    assert_eq!(explain(&mut bench, A).blockers, [DialBlocker::ClusterDisabled(CLUSTER)]);
    bench.create(A, NET).unwrap();
    assert_eq!(explain(&mut bench, A).blockers, []);
}

#[test]
fn a_permanent_peer_is_named_and_rests_while_it_flaps() {
    let policy = FlapPolicy::new().limit(1).delay(100 * SECOND);
    let mut bench = Bench::new(Config::default().flaps(policy));
    bench.open(NET, 0);
    bench.keep(NET, A).unwrap();
    assert_eq!(explain(&mut bench, A).reasons, [KeepReason::WantedBy(NET), KeepReason::PermanentPeerOf(NET)]);
    bench.turn();
    bench.update(A).unwrap();
    let dial = bench.link(A).dial_id().expect("a dial");
    bench.done_stream(A, 1, Direction::Uplink);
    bench.connected(A, dial).unwrap();
    bench.unstream(A, 1).unwrap();
    let until = bench.now() + 100 * SECOND;
    let explanation = explain(&mut bench, A);
    assert_eq!(explanation.blockers, [DialBlocker::Flapping { until }]);
    assert_eq!(explanation.next, next(Action::Resolve, until));
    // A failure after the rest leads to an ordinary retry delay.
    bench.after_seconds(100);
    bench.unresolved(A).unwrap();
    let until = bench.now();
    assert!(
        matches!(explain(&mut bench, A).blockers[..], [DialBlocker::Busy(DialState::Connecting)]),
        "{until:?}"
    );
    let dial = bench.link(A).dial_id().expect("a dial");
    bench.failed(A, dial, true).unwrap();
    assert_eq!(explain(&mut bench, A).blockers, [DialBlocker::Delay { until: until + 20 * SECOND }]);
}

#[test]
fn a_reserved_net_asks_for_nobody_and_wants_nobody_else() {
    let mut bench = Bench::new(Config::default());
    let config = NetConfig::new().min_links(2).reserved_only(true);
    bench.done(Command::AddNet { net: NET, config });
    bench.switch(NET, true);
    bench.keep(NET, A).unwrap();
    let now = bench.now();
    let net = bench.snapshot().explain_net(NET, now);
    assert_eq!((net.needed, net.blockers, net.next_request), (0, vec![RequestBlocker::Reserved], None));
    assert_eq!(explain(&mut bench, B).blockers, [DialBlocker::NoLink, DialBlocker::NetReserved(NET)]);
    bench.done_stream(B, 1, Direction::Downlink);
    let blockers = [
        DialBlocker::PureDownlink,
        DialBlocker::Connected,
        DialBlocker::Unwanted,
        DialBlocker::NetReserved(NET),
    ];
    assert_eq!(explain(&mut bench, B).blockers, blockers);
    assert_eq!(explain(&mut bench, A).blockers, []);
}
