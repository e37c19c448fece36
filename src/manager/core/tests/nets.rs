//! Nets that are switched off or removed, and the shutdown.

use super::*;

/// Scenario 12 and B26.
#[test]
fn a_net_that_goes_off_takes_its_own_uplinks_and_leaves_the_rest() {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 0);
    bench.uplink(A, NET, 1);
    bench.uplink(B, NET, 2);
    bench.account(OTHER, B, 2, true).unwrap();
    bench.done_stream(C, 3, Direction::Downlink);
    bench.account(NET, C, 3, true).unwrap();
    bench.turn();
    bench.done(Command::SetNetActive { net: NET, active: false });
    let effects = bench.turn();
    assert!(effects.contains(&Effect::CloseDialer { addr: A }));
    assert_eq!(effects.len(), 2, "{effects:?}");
    assert!(!bench.has(A));
    assert_eq!(bench.link(B).memberships(), [OTHER]);
    assert_eq!(bench.link(C).memberships(), []);
    assert_eq!(bench.snapshot().count(NET), 0);
    // After it is switched on again, the net has no members.
    bench.done(Command::SetNetActive { net: NET, active: true });
    assert_eq!(bench.apply(Command::SetNetActive { net: NET, active: true }), Ok(Outcome::Unchanged));
    assert_eq!(bench.snapshot().count(NET), 0);
    // A record that only a membership kept ends with it.
    bench.unstream(B, 2).unwrap();
    assert!(!bench.has(B));
}

#[test]
fn a_removed_net_is_unknown_and_keeps_nothing() {
    let mut bench = Bench::immediate();
    bench.uplink(A, NET, 1);
    bench.done(Command::RemoveNet { net: NET });
    assert!(!bench.has(A));
    assert!(bench.snapshot().nets().is_empty());
    bench.turn();
    // Links that were created for the net while it was off are released, too.
    bench.done(Command::AddNet { net: NET, config: NetConfig::new() });
    bench.create(B, NET).unwrap();
    bench.done(Command::RemoveNet { net: NET });
    assert!(!bench.has(B));
}

#[test]
fn the_count_is_told_once_per_net_and_version() {
    let mut bench = Bench::immediate();
    for (addr, stream) in [(A, 1), (B, 2), (C, 3)] {
        bench.done_stream(addr, stream, Direction::Downlink);
        bench.account(NET, addr, stream, true).unwrap();
    }
    assert_eq!(bench.turn(), [Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 3 }]);
    assert_eq!(bench.turn(), []);
}

#[test]
fn closing_ends_every_link_and_net() {
    let mut bench = Bench::immediate();
    bench.uplink(A, NET, 1);
    bench.done_stream(B, 2, Direction::Downlink);
    assert_eq!(bench.core.close(), 2);
    let effects = bench.turn();
    assert!(effects.contains(&Effect::CloseDialer { addr: A }));
    assert!(effects.contains(&Effect::CloseStreams { addr: B, streams: vec![StreamId(2)] }));
    let snapshot = bench.snapshot();
    assert!(snapshot.is_empty() && snapshot.nets().is_empty());
}

/// The last report is zero, so the host's own count is right when the net is added again.
#[test]
fn a_net_that_is_removed_with_members_reports_its_last_count() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, true).unwrap();
    bench.join(CLUSTER, A).unwrap();
    bench.turn();
    bench.done(Command::RemoveNet { net: NET });
    let last = [
        Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 0 },
        Effect::ClusterCountChanged { cluster: CLUSTER, members: 0 },
    ];
    assert_eq!(bench.turn(), last);
    bench.open(NET, 0);
    assert_eq!(bench.turn(), []);
    bench.done(Command::RemoveNet { net: NET });
    assert_eq!(bench.turn(), [], "the count was zero before");
    // Switched off and removed within one version: only the final count, zero, is reported.
    bench.open(NET, 0);
    bench.account(NET, A, 1, true).unwrap();
    bench.turn();
    bench.switch(NET, false);
    bench.done(Command::RemoveNet { net: NET });
    assert_eq!(bench.turn(), last[..1]);
}
