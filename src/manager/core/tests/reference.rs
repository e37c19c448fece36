//! The timings of the reference.

use super::*;

/// Scenario 1: request at 5, 15, 25 s; wake-up at 10, 20, 30 s.
#[test]
fn ticks_alternate_and_stand_still_while_the_manager_is_off() {
    let mut bench = Bench::new(Config::reference());
    bench.open(NET, 1);
    bench.create(A, NET).unwrap();
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.after_seconds(5), [Effect::RequestLinks { net: NET, needed: 1 }]);
    assert_eq!(bench.after_seconds(5), [Effect::Resolve { addr: A, resolve: ResolveId(1) }]);
    bench.done(Command::SetCondition { active: false });
    assert_eq!(bench.after_seconds(5), []);
    bench.done(Command::SetCondition { active: true });
    assert_eq!(bench.after_seconds(5), [Effect::RequestLinks { net: NET, needed: 1 }]);
    assert_eq!(bench.after_seconds(5), []);
}

/// Scenario 2.
#[test]
fn what_is_needed_is_what_the_last_request_phase_counted() {
    let mut bench = Bench::new(Config::reference());
    bench.open(NET, 3);
    for (addr, stream) in [(A, 1), (B, 2), (C, 3)] {
        bench.done_stream(addr, stream, Direction::Downlink);
    }
    bench.account(NET, A, 1, true).unwrap();
    assert_eq!(requested(&bench.after_seconds(5)), [(NET, 2)]);
    assert_eq!(bench.snapshot().needed(NET), 2);
    bench.account(NET, B, 2, true).unwrap();
    bench.account(NET, C, 3, true).unwrap();
    assert_eq!(bench.snapshot().count(NET), 3);
    assert_eq!(bench.snapshot().needed(NET), 2);
    bench.after_seconds(5);
    assert_eq!(requested(&bench.after_seconds(5)), []);
    assert_eq!(bench.snapshot().needed(NET), 0);
}

/// Scenario 3.
#[test]
fn a_link_is_dialled_at_a_wake_up_after_it_was_resolved() {
    let mut bench = Bench::reference();
    assert_eq!(bench.create(A, NET), Ok(Outcome::Created));
    assert_eq!(bench.update(A), Ok(Outcome::Done));
    assert_eq!(bench.after_seconds(5), []);
    assert_eq!(bench.after_seconds(5), [Effect::Resolve { addr: A, resolve: ResolveId(1) }]);
    assert_eq!(bench.update(A), Ok(Outcome::Done));
    assert_eq!(dialled(&bench.turn()), [A]);
    assert_eq!(bench.link(A).state(), LinkState::Connecting);
    assert_eq!(bench.create(A, NET), Ok(Outcome::AlreadyAssociated));
    let now = bench.now();
    assert_eq!(bench.snapshot().ignored(NET, now).copied().collect::<Vec<_>>(), [A]);
}

#[test]
fn a_retry_waits_for_a_wake_up_strictly_after_the_delay() {
    let mut bench = Bench::new(Config::reference().max_attempts(9));
    bench.open(NET, 0);
    bench.create(A, NET).unwrap();
    bench.after_seconds(5);
    bench.after_seconds(5);
    bench.update(A).unwrap();
    bench.turn();
    let dial = bench.link(A).dial_id().unwrap();
    // Fails exactly at a wake-up: 20 s later the delay is over but not past.
    assert_eq!(bench.failed(A, dial, true), Ok(Outcome::Done));
    for _ in 0..5 {
        assert_eq!(bench.after_seconds(5), []);
    }
    assert_eq!(bench.after_seconds(5), [Effect::Resolve { addr: A, resolve: ResolveId(2) }]);
}

#[test]
fn an_established_link_is_announced_again_at_every_wake_up() {
    let mut bench = Bench::reference();
    bench.create(A, NET).unwrap();
    bench.after_seconds(5);
    bench.after_seconds(5);
    bench.update(A).unwrap();
    bench.turn();
    let dial = bench.link(A).dial_id().unwrap();
    bench.done_stream(A, 1, Direction::Uplink);
    bench.connected(A, dial).unwrap();
    assert_eq!(announced(&bench.turn()), [(A, NET, 1)]);
    assert_eq!(announced(&bench.after_seconds(5)), []);
    assert_eq!(announced(&bench.after_seconds(5)), [(A, NET, 1)]);
    bench.account(NET, A, 1, true).unwrap();
    bench.after_seconds(5);
    assert_eq!(announced(&bench.after_seconds(5)), []);
}
