//! Queries on a version.

use super::*;

/// Scenario 15.
#[test]
fn addresses_come_uplinks_first_and_established_hides_unconnected_uplinks_only() {
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, true).unwrap();
    bench.uplink(B, NET, 2);
    // An uplink whose dialer has not reported the connection yet.
    bench.dial(C, NET);
    bench.done_stream(C, 3, Direction::Uplink);
    bench.account(NET, C, 3, true).unwrap();
    let snapshot = bench.snapshot();
    let list = |filter| snapshot.addrs(NET, filter).copied().collect::<Vec<_>>();
    assert_eq!(list(MemberFilter::All), [B, C, A]);
    assert_eq!(list(MemberFilter::Established), [B, A]);
    assert_eq!(snapshot.count(NET), 3);
    assert_eq!(snapshot.count_by(NET, Direction::Uplink, DialState::Connecting), 1);
    assert!(snapshot.contains(&B, NET) && !snapshot.contains(&A, NET));
    assert_eq!(snapshot.get(&B).map(Link::state), Some(DialState::Established));
    assert_eq!(list(MemberFilter::All).len(), snapshot.count(NET));
    assert_eq!(snapshot.addrs(OTHER, MemberFilter::All).count(), 0);
}

/// Scenario 13.
#[test]
fn tried_addresses_are_ignored_for_the_ignore_period() {
    let mut bench = Bench::immediate();
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
    let mut bench = Bench::immediate();
    bench.uplink(A, NET, 1);
    let old = bench.snapshot();
    bench.done(Command::RemoveNet { net: NET });
    let new = bench.snapshot();
    assert!(new.version() > old.version());
    assert_eq!((old.count(NET), old.min_links(NET), old.len()), (1, 0, 1));
    assert!(old.get(&A).is_some_and(|link| link.is_member(NET)));
    assert!(new.is_empty());
}
