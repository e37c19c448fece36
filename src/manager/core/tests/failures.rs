//! Dials that fail and connections that break.

use super::*;

/// Scenario 7 and B15.
#[test]
fn a_broken_uplink_connects_again_under_the_same_dial() {
    let mut bench = Bench::immediate();
    let dial = bench.uplink(A, NET, 1);
    assert_eq!(bench.failed(A, dial, false), Ok(Outcome::Done));
    let link = bench.link(A);
    assert_eq!((link.state(), link.memberships()), (DialState::Connecting, &[][..]));
    let effects = bench.turn();
    assert!(effects.contains(&Effect::LinkError { addr: A, net: NET, cause: LinkFailure::Broken }));
    // No net is announced on the dead stream, and no new dial starts.
    let effects = bench.after_seconds(30);
    assert!(announced(&effects).is_empty() && dialled(&effects).is_empty(), "{effects:?}");
    bench.done_stream(A, 2, Direction::Uplink);
    assert_eq!(bench.connected(A, dial), Ok(Outcome::Done));
    assert_eq!(announced(&bench.turn()), [(A, NET, 2)]);
    assert_eq!(bench.snapshot().stats().reconnects(), 1);
}

#[test]
fn the_death_of_the_stream_alone_makes_the_link_connecting() {
    let mut bench = Bench::immediate();
    let dial = bench.uplink(A, NET, 1);
    bench.unstream(A, 1).unwrap();
    assert_eq!(bench.link(A).state(), DialState::Connecting);
    assert_eq!(bench.snapshot().count(NET), 0);
    bench.failed(A, dial, true).unwrap();
    assert!(!bench.has(A));
}

#[test]
fn a_first_failure_leaves_the_dial_to_the_dialer() {
    let mut bench = Bench::immediate();
    let dial = bench.dial(A, NET);
    bench.failed(A, dial, false).unwrap();
    assert_eq!(bench.turn(), [Effect::LinkError { addr: A, net: NET, cause: LinkFailure::DialFailed }]);
    assert_eq!(bench.link(A).state(), DialState::Connecting);
    assert_eq!(bench.connected(A, dial), Ok(Outcome::Done));
}

#[test]
fn a_dial_is_abandoned_when_the_peers_stream_carries_the_link() {
    let mut bench = Bench::immediate();
    let dial = bench.dial(A, NET);
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, true).unwrap();
    bench.turn();
    bench.failed(A, dial, false).unwrap();
    let link = bench.link(A);
    assert_eq!((link.state(), link.dial_id()), (DialState::Disconnected, None));
    assert!(link.is_member(NET) && link.nets() == [NET]);
    assert!(bench.turn().contains(&Effect::CancelDial { addr: A, dial }));
    // The link is dialled again only after the stream has ended.
    assert_eq!(resolved(&bench.after_seconds(60)), []);
    bench.unstream(A, 1).unwrap();
    assert_eq!(resolved(&bench.turn()), [A]);
    bench.update(A).unwrap();
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
    assert_eq!(bench.link(A).state(), DialState::Connecting);
    assert_eq!(bench.snapshot().stats().stale_answers(), 3);
    assert_eq!(bench.connected(A, new), Ok(Outcome::Done));
    assert_eq!(bench.connected(A, new), Ok(Outcome::Unchanged));
}

#[test]
fn the_last_failure_is_kept_until_the_node_is_reached_or_admitted() {
    let mut bench = Bench::new(Config::default().max_attempts(9));
    bench.open(NET, 0);
    let last = |bench: &mut Bench| {
        let explained = explained(bench, A);
        assert_eq!(explained.0, bench.link(A).last_failure());
        explained
    };
    bench.create(A, NET).unwrap();
    assert_eq!(last(&mut bench), (None, None));
    bench.turn();
    let endpoint = "192.0.2.1:0".parse().unwrap();
    assert!(bench.apply(Command::SetEndpoint { addr: A, endpoint }).is_err());
    assert_eq!(last(&mut bench), (Some(LinkFailure::Endpoint(EndpointError::PortZero)), None));
    bench.after_seconds(20);
    assert_eq!(bench.unresolved(A), Ok(Outcome::Done));
    assert_eq!(last(&mut bench).0, Some(LinkFailure::Unresolved));
    bench.after_seconds(20);
    bench.after_seconds(60);
    assert_eq!(last(&mut bench).0, Some(LinkFailure::ResolveTimedOut));
    bench.after_seconds(20);
    bench.update(A).unwrap();
    bench.after_seconds(60);
    assert_eq!(last(&mut bench).0, Some(LinkFailure::DialTimedOut));
    bench.after_seconds(20);
    bench.update(A).unwrap();
    let dial = bench.link(A).dial_id().unwrap();
    bench.failed(A, dial, true).unwrap();
    assert_eq!(last(&mut bench).0, Some(LinkFailure::DialFailed));
    bench.after_seconds(20);
    bench.update(A).unwrap();
    let dial = bench.link(A).dial_id().unwrap();
    bench.connected(A, dial).unwrap();
    assert_eq!(last(&mut bench), (None, None), "the node is reached");
    bench.failed(A, dial, true).unwrap();
    assert_eq!(last(&mut bench).0, Some(LinkFailure::Broken));
}

/// A record that goes leaves the cause on the ignore list of each net that it was released from, and a new
/// attempt clears it.
#[test]
fn the_cause_outlives_the_record_until_the_address_is_tried_again() {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 0);
    let dial = bench.dial(A, NET);
    bench.create(A, OTHER).unwrap();
    bench.failed(A, dial, true).unwrap();
    assert!(!bench.has(A));
    let now = bench.now();
    let ignored = bench.snapshot().explain(&A, now).ignored;
    let noted: Vec<_> = ignored.iter().map(|ignored| (ignored.net, ignored.failure)).collect();
    assert_eq!(noted, [(NET, Some(LinkFailure::DialFailed)), (OTHER, Some(LinkFailure::DialFailed))]);
    bench.create(A, OTHER).unwrap();
    let ignored = bench.snapshot().explain(&A, now).ignored;
    let noted: Vec<_> = ignored.iter().map(|ignored| (ignored.net, ignored.failure)).collect();
    assert_eq!(noted, [(NET, Some(LinkFailure::DialFailed)), (OTHER, None)]);
}

/// The failure of the link by its explanation, and that on the ignore list of the net.
fn explained(bench: &mut Bench, addr: NodeAddr) -> (Option<LinkFailure>, Option<LinkFailure>) {
    let now = bench.now();
    let explanation = bench.snapshot().explain(&addr, now);
    (explanation.failure, explanation.ignored.first().and_then(|ignored| ignored.failure))
}
