//! Ticked timing, as in the reference.

use super::*;
use crate::manager::model::config::Timing;

/// Scenario 1: request at 5, 15, 25 s; wake-up at 10, 20, 30 s.
#[test]
fn ticks_alternate_and_stand_still_while_the_manager_is_off() {
    let mut bench = Bench::new(Config::ticked());
    bench.open(NET, 1);
    bench.create(A, NET).unwrap();
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.after_seconds(5), [Effect::RequestLinks { net: NET, needed: 1 }]);
    assert_eq!(bench.after_seconds(5), [Effect::Resolve { addr: A, resolve: ResolveId(1) }]);
    bench.done(Command::SetActive { active: false });
    assert_eq!(bench.after_seconds(5), []);
    bench.done(Command::SetActive { active: true });
    assert_eq!(bench.after_seconds(5), [Effect::RequestLinks { net: NET, needed: 1 }]);
    assert_eq!(bench.after_seconds(5), []);
}

/// Scenario 2.
#[test]
fn what_is_needed_is_what_the_last_request_phase_counted() {
    let mut bench = Bench::new(Config::ticked());
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
    assert_eq!(bench.link(A).state(), DialState::Connecting);
    assert_eq!(bench.create(A, NET), Ok(Outcome::AlreadyAssociated));
    let now = bench.now();
    assert_eq!(bench.snapshot().ignored(NET, now).copied().collect::<Vec<_>>(), [A]);
}

#[test]
fn a_retry_waits_for_a_wake_up_strictly_after_the_delay() {
    let mut bench = Bench::new(Config::ticked().max_attempts(9));
    bench.open(NET, 0);
    bench.create(A, NET).unwrap();
    bench.after_seconds(5);
    bench.after_seconds(5);
    bench.update(A).unwrap();
    bench.turn();
    let dial = bench.link(A).dial_id().unwrap();
    // The dial fails exactly at a wake-up: 20 s later the delay ends at that instant, and is not over yet.
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

/// Wakes links up just before, at and just after the instant at which `limit` ends. Returns the step, from 0,
/// at which `happened` holds.
fn step_at_which(bench: &mut Bench, limit: Duration, happened: impl Fn(&Link<NodeAddr>) -> bool) -> usize {
    let instant = Duration::from_nanos(1);
    bench.clock.advance(limit - instant);
    for step in 0..3 {
        bench.done(Command::WakeUp);
        if happened(&bench.link(A)) {
            return step;
        }
        bench.clock.advance(instant);
    }
    panic!("it did not happen at any step");
}

/// All time limits are compared the same way: immediate timing acts at the instant, ticked timing strictly
/// after it.
#[test]
fn a_time_limit_is_over_at_its_instant_or_strictly_after_it_as_the_timing_says() {
    for (timing, over) in [(Timing::Immediate, 1), (Timing::Ticked, 2)] {
        let limit = Duration::from_secs(15);
        // The tick is so long that links are only woken by command.
        let config = Config::default().timing(timing).max_attempts(9).tick(Duration::from_secs(86_400));
        let mut bench = Bench::new(config.dial_timeout(limit).retry(RetryPolicy::fixed(limit)));
        bench.open(NET, 0);
        bench.create(A, NET).unwrap();
        bench.done(Command::WakeUp);
        assert!(bench.link(A).is_resolving(), "{timing:?}");
        let question = step_at_which(&mut bench, limit, |link| link.attempts() == 1);
        // The explanation agrees with the core.
        let at = bench.link(A).not_before().unwrap();
        let snapshot = bench.snapshot();
        let held = [0, 1, 2].map(|step| {
            let now = at - Duration::from_nanos(1) + Duration::from_nanos(step);
            snapshot.explain(&A, now).is_blocked()
        });
        assert_eq!(held, [true, over > 1, false], "{timing:?}");
        let delay = step_at_which(&mut bench, limit, Link::is_resolving);
        bench.update(A).unwrap();
        assert_eq!(bench.link(A).state(), DialState::Connecting);
        let dial = step_at_which(&mut bench, limit, |link| link.attempts() == 2);
        assert_eq!([question, delay, dial], [over; 3], "{timing:?}");
    }
}
