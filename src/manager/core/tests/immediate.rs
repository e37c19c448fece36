//! Immediate timing.

use super::*;

#[test]
fn a_link_with_an_endpoint_is_dialled_in_the_same_turn() {
    let mut bench = Bench::immediate();
    bench.create(A, NET).unwrap();
    bench.update(A).unwrap();
    let effects = bench.turn();
    assert_eq!(effects, [Effect::Dial { addr: A, endpoint: endpoint(), attempt: 1, dial: DialId(1) }]);
    assert_eq!(bench.link(A).state(), DialState::Connecting);
}

#[test]
fn a_link_without_an_endpoint_is_resolved_once_and_then_dialled() {
    let mut bench = Bench::immediate();
    bench.create(A, NET).unwrap();
    assert_eq!(bench.turn(), [Effect::Resolve { addr: A, resolve: ResolveId(1) }]);
    assert_eq!(bench.after_seconds(1), []);
    assert_eq!(bench.update(A), Ok(Outcome::Done));
    assert_eq!(dialled(&bench.turn()), [A]);
    // The endpoint cannot change while the link is being dialled.
    assert_eq!(bench.update(A), Err(CommandError::LinkBusy(DialState::Connecting)));
}

#[test]
fn an_answer_that_cannot_be_used_counts_as_an_attempt_and_backs_off() {
    let mut bench = Bench::new(Config::default().max_attempts(2));
    bench.open(NET, 0);
    bench.create(A, NET).unwrap();
    assert_eq!(resolved(&bench.turn()), [A]);
    let endpoint = "0.0.0.0:1".parse().unwrap();
    assert!(bench.apply(Command::SetEndpoint { addr: A, endpoint }).is_err());
    assert_eq!(bench.link(A).attempts(), 1);
    assert_eq!(bench.after_seconds(19), []);
    assert_eq!(resolved(&bench.after_seconds(1)), [A]);
}

#[test]
fn an_unresolved_link_falls_back_to_the_endpoint_it_had() {
    let mut bench = Bench::new(Config::default().max_attempts(3));
    bench.open(NET, 0);
    let dial = bench.dial(A, NET);
    assert_eq!(bench.failed(A, dial, true), Ok(Outcome::Done));
    // After a failure the endpoint is requested again.
    assert_eq!(resolved(&bench.after_seconds(20)), [A]);
    let resolve = bench.link(A).resolve_id().unwrap();
    assert_eq!(bench.unresolved(A), Ok(Outcome::Done));
    assert_eq!(dialled(&bench.turn()), [A]);
    assert_eq!(bench.apply(Command::ResolveFailed { addr: A, resolve }), Ok(Outcome::Stale));
}

#[test]
fn a_link_that_cannot_be_resolved_is_given_up() {
    let mut bench = Bench::immediate();
    bench.create(A, NET).unwrap();
    bench.turn();
    assert_eq!(bench.unresolved(A), Ok(Outcome::Done));
    let effects = bench.turn();
    assert_eq!(
        effects,
        [
            Effect::Released { addr: A, net: NET, members: 0, cause: LinkFailure::Unresolved },
            Effect::CloseDialer { addr: A }
        ]
    );
    assert!(!bench.has(A));
}

#[test]
fn nothing_is_dialled_for_a_net_that_is_off() {
    let mut bench = Bench::immediate();
    bench.done(Command::AddNet { net: OTHER, config: NetConfig::new().min_links(0) });
    bench.create(A, OTHER).unwrap();
    bench.update(A).unwrap();
    assert_eq!(bench.after_seconds(60), []);
    bench.done(Command::SetNetActive { net: OTHER, active: true });
    assert_eq!(dialled(&bench.turn()), [A]);
}

#[test]
fn an_inactive_manager_does_nothing_by_itself() {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 3);
    bench.done(Command::SetActive { active: false });
    assert_eq!(bench.apply(Command::SetActive { active: false }), Ok(Outcome::Unchanged));
    bench.create(A, NET).unwrap();
    bench.update(A).unwrap();
    assert_eq!(bench.after_seconds(100), []);
    assert_eq!(bench.stream(B, 1, Direction::Downlink), Err(CommandError::Inactive));
    bench.done(Command::SetActive { active: true });
    let effects = bench.turn();
    assert_eq!(dialled(&effects), [A]);
    assert_eq!(requested(&effects), [(OTHER, 3)]);
}

#[test]
fn a_short_net_asks_at_once_and_then_once_a_tick() {
    let mut bench = Bench::new(Config::default());
    bench.open(NET, 2);
    assert_eq!(requested(&bench.turn()), [(NET, 2)]);
    assert_eq!(requested(&bench.turn()), []);
    assert_eq!(requested(&bench.after_seconds(4)), []);
    assert_eq!(requested(&bench.after_seconds(1)), [(NET, 2)]);
    bench.uplink(A, NET, 1);
    assert_eq!(requested(&bench.after_seconds(5)), [(NET, 1)]);
    bench.uplink(B, NET, 2);
    assert_eq!(bench.snapshot().needed(NET), 0);
    assert_eq!(requested(&bench.after_seconds(100)), []);
    bench.unstream(A, 1).unwrap();
    assert_eq!(bench.snapshot().needed(NET), 1);
    assert_eq!(requested(&bench.turn()), [(NET, 1)]);
}

#[test]
fn downlinks_count_unless_the_net_says_otherwise() {
    let mut bench = Bench::new(Config::default());
    let config = NetConfig::new().min_links(1).count_downlinks(false);
    bench.done(Command::AddNet { net: NET, config });
    bench.done(Command::SetNetActive { net: NET, active: true });
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, true).unwrap();
    assert_eq!(bench.snapshot().count(NET), 1);
    assert_eq!(bench.snapshot().needed(NET), 1);
    assert_eq!(requested(&bench.turn()), [(NET, 1)]);
}

#[test]
fn a_failed_link_waits_for_the_retry_delay() {
    let mut bench =
        Bench::new(Config::default().max_attempts(3).retry(RetryPolicy::Fixed(Duration::from_secs(7))));
    bench.open(NET, 0);
    for attempt in 1..3 {
        let dial = if attempt == 1 { bench.dial(A, NET) } else { bench.link(A).dial_id().unwrap() };
        bench.failed(A, dial, true).unwrap();
        assert_eq!(bench.link(A).attempts(), attempt);
        assert_eq!(bench.after(Duration::from_millis(6_999)), []);
        assert_eq!(resolved(&bench.after(Duration::from_millis(1))), [A]);
        bench.update(A).unwrap();
        bench.turn();
    }
    // After the third failure, the last one granted, the net lets the link go.
    let dial = bench.link(A).dial_id().unwrap();
    bench.failed(A, dial, true).unwrap();
    let released = Effect::Released { addr: A, net: NET, members: 0, cause: LinkFailure::DialFailed };
    assert!(bench.turn().contains(&released));
    assert!(!bench.has(A));
}

#[test]
fn a_dial_that_nobody_answers_ends_after_its_limit() {
    let mut bench = Bench::new(Config::default().dial_timeout(Duration::from_secs(3)));
    bench.open(NET, 0);
    let dial = bench.dial(A, NET);
    assert_eq!(bench.after(Duration::from_millis(2_999)), []);
    let effects = bench.after(Duration::from_millis(1));
    assert!(effects.contains(&Effect::CancelDial { addr: A, dial }), "{effects:?}");
    assert!(!bench.has(A));
    assert_eq!(bench.snapshot().stats().dial_timeouts(), 1);
    // The same applies to a resolution without an answer.
    bench.create(B, NET).unwrap();
    bench.turn();
    bench.after_seconds(3);
    assert!(!bench.has(B));
}

#[test]
fn a_net_is_announced_on_the_stream_that_the_peer_opened() {
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Direction::Downlink);
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.create(A, NET), Ok(Outcome::Associated));
    let effects = bench.turn();
    assert_eq!(announced(&effects), [(A, NET, 1)]);
    assert_eq!(dialled(&effects), []);
    // An announcement is repeated after the retry delay, unless it was answered.
    assert_eq!(announced(&bench.after_seconds(20)), [(A, NET, 1)]);
    bench.account(NET, A, 1, true).unwrap();
    assert_eq!(announced(&bench.after_seconds(60)), []);
    assert_eq!(bench.snapshot().count_by(NET, Direction::Downlink, DialState::Disconnected), 1);
}

#[test]
fn a_deadline_is_always_at_hand() {
    let mut bench = Bench::new(Config::default());
    let start = bench.now();
    assert_eq!(bench.core.next_deadline(), start + Duration::from_secs(5));
    bench.open(NET, 1);
    assert!(bench.core.next_deadline() <= start);
    bench.turn();
    assert_eq!(bench.core.next_deadline(), start + Duration::from_secs(5));
    bench.dial(A, NET);
    bench.after_seconds(4);
    let dial = bench.link(A).dial_id().unwrap();
    bench.failed(A, dial, true).unwrap();
    assert_eq!(bench.core.next_deadline(), start + Duration::from_secs(5));
}

/// The host reports that it knows no endpoint after the resolution has timed out and the next one has begun.
#[test]
fn a_late_answer_does_not_count_against_the_next_resolution() {
    let mut bench = Bench::new(Config::default().max_attempts(2).dial_timeout(Duration::from_secs(3)));
    bench.open(NET, 0);
    bench.create(A, NET).unwrap();
    bench.turn();
    let late = bench.link(A).resolve_id().unwrap();
    bench.after_seconds(3);
    assert_eq!((bench.link(A).attempts(), bench.link(A).resolve_id()), (1, None));
    let answer = |resolve| Command::ResolveFailed { addr: A, resolve };
    assert_eq!(bench.apply(answer(late)), Ok(Outcome::Stale), "no resolution is in progress");
    assert_eq!(resolved(&bench.after_seconds(20)), [A]);
    let present = bench.link(A).resolve_id().unwrap();
    assert_ne!(late, present);
    let before = bench.link(A);
    assert_eq!(bench.apply(answer(late)), Ok(Outcome::Stale));
    assert_eq!(bench.link(A), before);
    assert_eq!(bench.snapshot().stats().stale_answers(), 2);
    // The second failure uses up the last attempt.
    assert_eq!(bench.apply(answer(present)), Ok(Outcome::Done));
    assert!(!bench.has(A));
}

#[test]
fn a_late_endpoint_is_as_good_as_one_in_time() {
    let mut bench = Bench::new(Config::default().max_attempts(2).dial_timeout(Duration::from_secs(3)));
    bench.open(NET, 0);
    bench.create(A, NET).unwrap();
    bench.turn();
    bench.after_seconds(3);
    assert_eq!(bench.update(A), Ok(Outcome::Done));
    assert_eq!(bench.link(A).endpoint(), Some(endpoint()));
    assert_eq!(dialled(&bench.after_seconds(20)), [A], "the endpoint is not requested again");
}
