//! The cases in which each command is accepted or refused.

use super::*;

#[test]
fn a_net_needs_a_valid_identity_and_is_added_once() {
    let mut bench = Bench::new(Config::default().max_nets(1));
    let add = |net| Command::AddNet { net: NetId(net), config: NetConfig::new() };
    assert_eq!(bench.apply(add(0)), Err(CommandError::InvalidNet(NetId(0))));
    assert_eq!(bench.apply(add(u64::MAX)), Err(CommandError::InvalidNet(NetId(u64::MAX))));
    assert_eq!(bench.apply(add(1)), Ok(Outcome::Done));
    assert_eq!(bench.apply(add(1)), Err(CommandError::NetExists(NET)));
    assert_eq!(bench.apply(add(2)), Err(CommandError::LimitReached { of: "nets", limit: 1 }));
}

#[test]
fn an_unknown_net_is_refused_everywhere() {
    let mut bench = Bench::immediate();
    let unknown = Err(CommandError::UnknownNet(OTHER));
    assert_eq!(bench.create(A, OTHER), unknown);
    assert_eq!(bench.apply(Command::SetNetActive { net: OTHER, active: true }), unknown);
    assert_eq!(bench.apply(Command::RemoveNet { net: OTHER }), unknown);
    assert_eq!(bench.account(OTHER, A, 1, true), unknown);
    assert!(!bench.has(A));
    assert_eq!(bench.snapshot().count(OTHER), 0);
    assert_eq!(bench.snapshot().min_links(OTHER), 0);
    assert!(!bench.snapshot().is_active(OTHER));
}

#[test]
fn blank_and_own_addresses_are_refused() {
    let mut bench = Bench::immediate();
    assert_eq!(bench.create(NodeAddr::BLANK, NET), Err(CommandError::BlankAddr));
    assert_eq!(bench.create(OWN, NET), Err(CommandError::OwnAddr));
    assert_eq!(bench.stream(NodeAddr::BLANK, 1, Direction::Downlink), Err(CommandError::BlankAddr));
    assert_eq!(bench.stream(OWN, 2, Direction::Downlink), Err(CommandError::OwnAddr));
    // Refused streams are closed, and a refused address is not put on the ignore list.
    let effects = bench.turn();
    let close = |addr, stream| Effect::CloseStreams { addr, streams: vec![StreamId(stream)] };
    assert_eq!(effects, [close(NodeAddr::BLANK, 1), close(OWN, 2)]);
    let now = bench.now();
    assert_eq!(bench.snapshot().ignored(NET, now).count(), 0);
}

#[test]
fn creating_twice_is_an_outcome_and_not_an_error() {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 0);
    assert_eq!(bench.create(A, NET), Ok(Outcome::Created));
    assert_eq!(bench.create(A, NET), Ok(Outcome::AlreadyAssociated));
    assert_eq!(bench.create(A, OTHER), Ok(Outcome::Associated));
    assert_eq!(bench.snapshot().len(), 1);
    assert_eq!(bench.link(A).nets(), [NET, OTHER]);
}

#[test]
fn limits_on_links_and_streams_hold() {
    let mut bench = Bench::new(Config::default().max_links(1).max_streams(2));
    bench.open(NET, 0);
    bench.create(A, NET).unwrap();
    assert_eq!(bench.create(B, NET), Err(CommandError::LimitReached { of: "links", limit: 1 }));
    assert_eq!(
        bench.stream(C, 1, Direction::Downlink),
        Err(CommandError::LimitReached { of: "links", limit: 1 })
    );
    bench.done_stream(A, 2, Direction::Downlink);
    assert_eq!(bench.stream(A, 3, Direction::Downlink), Ok(Outcome::Spare));
    assert_eq!(
        bench.stream(A, 4, Direction::Downlink),
        Err(CommandError::LimitReached { of: "streams", limit: 2 })
    );
}

#[test]
fn an_endpoint_that_cannot_be_dialled_is_refused() {
    let mut bench = Bench::new(Config::default().addresses(AddressPolicy::public()));
    bench.open(NET, 0);
    assert_eq!(bench.update(A), Err(CommandError::UnknownLink));
    bench.done_stream(B, 1, Direction::Downlink);
    assert_eq!(bench.update(B), Err(CommandError::NotDialable));
    bench.create(A, NET).unwrap();
    let mut with =
        |text: &str| bench.apply(Command::SetEndpoint { addr: A, endpoint: text.parse().unwrap() });
    assert_eq!(with("192.0.2.1:0"), Err(CommandError::Endpoint(EndpointError::PortZero)));
    assert_eq!(with("127.0.0.1:1"), Err(CommandError::Endpoint(EndpointError::Loopback)));
    assert_eq!(with("0.0.0.0:1"), Err(CommandError::Endpoint(EndpointError::Unspecified)));
    assert_eq!(with("192.0.2.1:1"), Ok(Outcome::Done));
}

#[test]
fn deleting_a_link_closes_its_dialer_and_its_streams() {
    let mut bench = Bench::immediate();
    bench.uplink(A, NET, 1);
    assert_eq!(bench.stream(A, 2, Direction::Downlink), Ok(Outcome::Spare));
    bench.turn();
    bench.done(Command::DeleteLink { addr: A });
    assert_eq!(
        bench.turn(),
        [
            Effect::CloseDialer { addr: A },
            Effect::CloseStreams { addr: A, streams: vec![StreamId(2)] },
            Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 0 },
        ]
    );
    assert!(!bench.has(A));
    assert_eq!(bench.apply(Command::DeleteLink { addr: A }), Err(CommandError::UnknownLink));
}
