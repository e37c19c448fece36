//! Permanent peers and reserved nets.

use super::*;

fn reserved() -> Bench {
    let mut bench = Bench::new(Config::default());
    let config = NetConfig::new().min_links(3).reserved_only(true);
    bench.done(Command::AddNet { net: NET, config });
    bench.switch(NET, true);
    bench
}

#[test]
fn a_permanent_peer_is_wanted_whenever_its_net_is_on() {
    let mut bench = Bench::immediate();
    assert_eq!(bench.keep(NET, A), Ok(Outcome::Done));
    assert_eq!(bench.keep(NET, A), Ok(Outcome::Unchanged));
    assert_eq!(bench.link(A).nets(), [NET]);
    // No host command created the link, so the address is not on the ignore list.
    let now = bench.now();
    assert_eq!(bench.snapshot().ignored(NET, now).count(), 0);
    assert_eq!(resolved(&bench.turn()), [A]);
    bench.switch(NET, false);
    assert!(!bench.has(A));
    bench.switch(NET, true);
    assert_eq!(bench.link(A).nets(), [NET]);
    assert_eq!(bench.create(A, NET), Ok(Outcome::AlreadyAssociated));
}

#[test]
fn permanent_peers_are_bounded_and_need_room() {
    let mut bench = Bench::new(Config::default().max_permanent(2).max_links(2));
    assert_eq!(bench.keep(NET, A), Err(CommandError::UnknownNet(NET)));
    bench.open(NET, 0);
    assert_eq!(bench.keep(NET, OWN), Err(CommandError::OwnAddr));
    bench.keep(NET, A).unwrap();
    bench.keep(NET, B).unwrap();
    let full = Err(CommandError::LimitReached { of: "permanent peers", limit: 2 });
    assert_eq!(bench.keep(NET, C), full);
    bench.switch(NET, false);
    bench.done_stream(C, 1, Direction::Downlink);
    let on = Command::SetNetActive { net: NET, active: true };
    let no_room = Err(CommandError::LimitReached { of: "links", limit: 2 });
    assert_eq!(bench.apply(on), no_room);
    assert!(!bench.snapshot().is_active(NET) && !bench.has(A));
}

#[test]
fn a_former_permanent_peer_is_wanted_until_it_fails() {
    let mut bench = Bench::immediate();
    bench.keep(NET, A).unwrap();
    bench.update(A).unwrap();
    bench.turn();
    let unkeep = Command::RemovePermanentPeer { net: NET, addr: A };
    assert_eq!(bench.apply(unkeep.clone()), Ok(Outcome::Done));
    assert_eq!(bench.apply(unkeep), Ok(Outcome::Unchanged));
    assert_eq!(bench.link(A).nets(), [NET]);
    let dial = bench.link(A).dial_id().unwrap();
    bench.failed(A, dial, true).unwrap();
    assert!(!bench.has(A));
}

#[test]
fn a_deleted_permanent_peer_starts_anew_after_the_delay() {
    let mut bench = Bench::immediate();
    bench.keep(NET, A).unwrap();
    bench.turn();
    bench.done(Command::DeleteLink { addr: A });
    assert_eq!(bench.turn(), [Effect::CloseDialer { addr: A }]);
    assert_eq!(resolved(&bench.after_seconds(19)), []);
    assert_eq!(resolved(&bench.after_seconds(1)), [A]);
}

#[test]
fn a_reserved_net_asks_for_nobody_and_takes_nobody_else() {
    let mut bench = reserved();
    assert_eq!(requested(&bench.after_seconds(60)), []);
    bench.done(Command::CheckNets);
    assert_eq!(requested(&bench.turn()), []);
    assert_eq!(bench.snapshot().needed(NET), 0);
    let refused = Err(CommandError::ReservedNet(NET));
    assert_eq!(bench.create(A, NET), refused);
    bench.done_stream(A, 1, Direction::Downlink);
    assert_eq!(announced(&bench.turn()), []);
    assert_eq!(bench.account(NET, A, 1, true), refused);
    assert_eq!(bench.snapshot().count(NET), 0);
    // A permanent peer is announced on its present stream.
    bench.keep(NET, A).unwrap();
    assert_eq!(announced(&bench.turn()), [(A, NET, 1)]);
    assert_eq!(bench.account(NET, A, 1, true), Ok(Outcome::Done));
    assert_eq!(bench.snapshot().count(NET), 1);
}

#[test]
fn a_reserved_net_lets_a_former_permanent_peer_go_at_once() {
    let mut bench = reserved();
    bench.associate(NET, CLUSTER);
    bench.keep(NET, A).unwrap();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, true).unwrap();
    bench.join(CLUSTER, A).unwrap();
    bench.done(Command::RemovePermanentPeer { net: NET, addr: A });
    let link = bench.link(A);
    assert!(link.nets().is_empty() && link.memberships().is_empty() && link.clusters().is_empty());
}
