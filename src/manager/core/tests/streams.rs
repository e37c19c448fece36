//! Streams, and the answers to announcements.

use super::*;
use crate::manager::model::config::settings::Settings;

#[test]
fn a_pure_downlink_comes_and_goes_with_its_stream() {
    let mut bench = Bench::immediate();
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
    let mut bench = Bench::immediate();
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
    assert_eq!(bench.link(A).state(), DialState::Established);
    bench.account(NET, A, 5, true).unwrap();
    assert_eq!(bench.turn(), [Effect::LinkCountChanged { net: NET, uplinks: 1, downlinks: 0 }]);
}

#[test]
fn a_stream_of_ours_that_nobody_asked_for_is_closed() {
    let mut bench = Bench::immediate();
    assert_eq!(bench.stream(A, 1, Direction::Uplink), Err(CommandError::UnknownLink));
    bench.create(B, NET).unwrap();
    assert_eq!(bench.stream(B, 2, Direction::Uplink), Ok(Outcome::Stale));
    let close = |addr, stream| Effect::CloseStreams { addr, streams: vec![StreamId(stream)] };
    let effects = bench.turn();
    assert!(effects.contains(&close(A, 1)) && effects.contains(&close(B, 2)), "{effects:?}");
    assert!(!bench.has(A));
}

#[test]
fn a_late_stream_of_a_cancelled_dial_is_not_taken_for_one_of_the_next() {
    let mut bench = Bench::new(Config::default().max_attempts(9));
    bench.open(NET, 0);
    let old = bench.dial(A, NET);
    bench.after_seconds(60);
    bench.after_seconds(20);
    bench.update(A).unwrap();
    bench.turn();
    let new = bench.link(A).dial_id().unwrap();
    assert_ne!(old, new);
    let uplink = |stream, dial| Command::AddUplink { addr: A, stream: StreamId(stream), dial };
    assert_eq!(bench.apply(uplink(1, old)), Ok(Outcome::Stale));
    assert_eq!(bench.turn(), [Effect::CloseStreams { addr: A, streams: vec![StreamId(1)] }]);
    assert!(bench.link(A).streams().is_empty());
    assert_eq!(bench.apply(uplink(2, new)), Ok(Outcome::Done));
    assert_eq!(bench.apply(uplink(2, new)), Ok(Outcome::Unchanged));
    assert_eq!(bench.apply(uplink(3, old)), Ok(Outcome::Stale));
    assert_eq!(bench.link(A).streams().len(), 1);
}

#[test]
fn accounting_for_a_dead_stream_joins_nothing_in_either_order() {
    // B11: the deletion overtakes the accounting.
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.unstream(A, 1).unwrap();
    assert_eq!(bench.account(NET, A, 1, true), Ok(Outcome::Stale));
    assert!(!bench.has(A));
    // The deletion follows the accounting.
    bench.done_stream(A, 2, Direction::Downlink);
    bench.account(NET, A, 2, true).unwrap();
    bench.unstream(A, 2).unwrap();
    assert!(!bench.has(A));
    // An answer that names the old stream does not apply to a new stream of the same node.
    bench.done_stream(A, 3, Direction::Downlink);
    assert_eq!(bench.account(NET, A, 2, true), Ok(Outcome::Stale));
    assert_eq!(bench.snapshot().count(NET), 0);
    assert_eq!(bench.snapshot().stats().stale_answers(), 2);
}

#[test]
fn accounting_for_a_net_that_is_off_joins_nothing() {
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.done(Command::SetNetActive { net: NET, active: false });
    assert_eq!(bench.account(NET, A, 1, true), Err(CommandError::NetInactive(NET)));
    assert_eq!(bench.snapshot().count(NET), 0);
}

/// Scenario 10: uplink and downlink at the same time.
#[test]
fn the_second_stream_is_spare_and_takes_over() {
    let mut bench = Bench::immediate();
    let dial = bench.uplink(A, NET, 1);
    assert_eq!(bench.stream(A, 2, Direction::Downlink), Ok(Outcome::Spare));
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
    assert_eq!((link.direction(), link.state()), (Direction::Downlink, DialState::Disconnected));
    assert!(link.is_member(NET));
    let effects = bench.turn();
    assert!(effects.contains(&Effect::CancelDial { addr: A, dial }), "{effects:?}");
    assert!(effects.contains(&Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 1 }));
    // Late reports about the old stream and dial change nothing.
    assert_eq!(bench.apply(replace), Ok(Outcome::Unchanged));
    assert_eq!(bench.unstream(A, 1), Ok(Outcome::Stale));
    assert_eq!(bench.failed(A, dial, true), Ok(Outcome::Stale));
    assert_eq!(bench.connected(A, dial), Ok(Outcome::Stale));
    assert_eq!(bench.snapshot().count(NET), 1);
}

#[test]
fn a_spare_stream_takes_over_when_the_primary_is_only_reported_dead() {
    let mut bench = Bench::immediate();
    let dial = bench.uplink(A, NET, 1);
    bench.stream(A, 2, Direction::Downlink).unwrap();
    assert_eq!(bench.unstream(A, 1), Ok(Outcome::Done));
    let link = bench.link(A);
    assert_eq!((link.direction(), link.state()), (Direction::Downlink, DialState::Disconnected));
    assert!(link.is_member(NET));
    assert!(bench.turn().contains(&Effect::CancelDial { addr: A, dial }));
}

#[test]
fn our_stream_takes_over_from_the_peers() {
    let mut bench = Bench::immediate();
    let dial = bench.dial(A, NET);
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, true).unwrap();
    assert_eq!(bench.stream(A, 2, Direction::Uplink), Ok(Outcome::Spare));
    bench.connected(A, dial).unwrap();
    assert_eq!(bench.link(A).direction(), Direction::Downlink);
    bench.unstream(A, 1).unwrap();
    let link = bench.link(A);
    assert_eq!((link.direction(), link.state()), (Direction::Uplink, DialState::Established));
    assert!(link.is_member(NET));
}

#[test]
fn a_replacement_names_a_stream_that_the_link_has() {
    let mut bench = Bench::immediate();
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

/// Scenario 11, for a net that does not keep the peer.
#[test]
fn a_refusal_ends_the_association_and_closes_what_nothing_keeps() {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 0);
    bench.uplink(A, NET, 1);
    bench.create(A, OTHER).unwrap();
    assert_eq!(announced(&bench.turn()), [(A, OTHER, 1)]);
    assert_eq!(bench.account(OTHER, A, 1, false), Ok(Outcome::Done));
    let cause = LinkFailure::Refused;
    assert_eq!(bench.turn(), [Effect::Released { addr: A, net: OTHER, members: 0, cause }]);
    assert_eq!(bench.link(A).nets(), [NET]);
    assert_eq!(bench.account(NET, A, 1, false), Ok(Outcome::Done));
    assert_eq!(
        bench.turn(),
        [
            Effect::Released { addr: A, net: NET, members: 0, cause },
            Effect::CloseDialer { addr: A },
            Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 0 },
        ]
    );
    assert!(!bench.has(A));
}

#[test]
fn a_refused_downlink_stays_as_a_member_of_nothing() {
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.create(A, NET).unwrap();
    bench.account(NET, A, 1, false).unwrap();
    let link = bench.link(A);
    assert!(!link.is_dialable() && link.nets().is_empty() && link.primary().is_some());
}

/// A repeated report of a live stream changes nothing, even while a new stream would be refused.
#[test]
fn a_stream_that_is_reported_again_stays_open_whatever_is_off() {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 0);
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, true).unwrap();
    let dial = bench.uplink(B, OTHER, 2);
    let settings = Settings::default().max_links(1).max_streams(1);
    for off in [
        Command::Reconfigure { settings: Box::new(settings) },
        Command::SetNetActive { net: NET, active: false },
        Command::SetActive { active: false },
    ] {
        bench.done(off.clone());
        bench.turn();
        assert_eq!(bench.stream(A, 1, Direction::Downlink), Ok(Outcome::Unchanged), "{off:?}");
        assert_eq!(bench.stream(B, 2, Direction::Uplink), Ok(Outcome::Unchanged), "{off:?}");
        let of_dial = Command::AddUplink { addr: B, stream: StreamId(2), dial };
        assert_eq!(bench.apply(of_dial), Ok(Outcome::Unchanged), "{off:?}");
        assert_eq!(bench.turn(), [], "{off:?}");
        assert_eq!((bench.link(A).streams().len(), bench.link(B).streams().len()), (1, 1));
    }
    // A new stream is refused and closed.
    assert_eq!(bench.stream(A, 3, Direction::Downlink), Err(CommandError::Inactive));
    assert_eq!(bench.turn(), [Effect::CloseStreams { addr: A, streams: vec![StreamId(3)] }]);
}
