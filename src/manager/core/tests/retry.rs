//! Retry policies in use.

use super::*;
use crate::util::random::Random;

const SECOND: Duration = Duration::from_secs(1);

/// A bench whose source of randomness always returns the same number.
fn bench(policy: RetryPolicy, random: u64) -> Bench {
    let mut bench = Bench::new(Config::default().max_attempts(100).retry(policy));
    bench.core.set_random(Random::new(move || random));
    bench.open(NET, 0);
    bench
}

/// Waits until the link is dialled again, and makes the dial fail.
fn fail_again(bench: &mut Bench) -> Duration {
    let before = bench.now();
    let at = bench.link(A).next_attempt_at().expect("a delay");
    bench.clock.advance(at.saturating_duration_since(before));
    bench.turn();
    assert!(bench.link(A).is_resolving());
    bench.update(A).unwrap();
    let dial = bench.link(A).dial_id().expect("a dial");
    bench.failed(A, dial, true).unwrap();
    at - before
}

#[test]
fn exponential_delays_double_up_to_the_cap_and_start_anew_after_a_success() {
    let mut bench = bench(RetryPolicy::exponential(SECOND, 8 * SECOND), u64::MAX);
    let dial = bench.dial(A, NET);
    bench.failed(A, dial, true).unwrap();
    let delays: Vec<_> = (0..6).map(|_| fail_again(&mut bench).as_secs()).collect();
    assert_eq!(delays, [1, 2, 4, 8, 8, 8]);
    assert_eq!(bench.link(A).failures(), 7);

    bench.after_seconds(8);
    bench.update(A).unwrap();
    let dial = bench.link(A).dial_id().expect("a dial");
    bench.connected(A, dial).unwrap();
    assert_eq!(bench.link(A).failures(), 0);
    bench.failed(A, dial, true).unwrap();
    assert_eq!(fail_again(&mut bench), SECOND);
    assert_eq!(bench.snapshot().stats().retry_faults(), 0);
}

#[test]
fn the_same_chance_gives_the_same_delays() {
    let delays = |seed| {
        let mut bench = bench(RetryPolicy::exponential(SECOND, 60 * SECOND), 0);
        let mut rng = fastrand::Rng::with_seed(seed);
        bench.core.set_random(Random::new(move || rng.u64(..)));
        let dial = bench.dial(A, NET);
        bench.failed(A, dial, true).unwrap();
        (0..8).map(|_| fail_again(&mut bench)).collect::<Vec<_>>()
    };
    assert_eq!(delays(1), delays(1));
    assert_ne!(delays(1), delays(2));
}

#[test]
fn a_custom_policy_sees_the_failures_in_a_row_and_its_faults_are_counted() {
    let policy = |attempts: u32, random: &mut dyn FnMut() -> u64| match attempts {
        1 => SECOND * u32::try_from(random()).unwrap(),
        2 => Duration::MAX,
        3 => panic!("the policy panics"),
        _ => Duration::ZERO,
    };
    let mut bench = bench(RetryPolicy::custom(policy, 10 * SECOND), 7);
    let dial = bench.dial(A, NET);
    bench.failed(A, dial, true).unwrap();
    let delays: Vec<_> = (0..4).map(|_| fail_again(&mut bench)).collect();
    assert_eq!(delays, [7 * SECOND, 10 * SECOND, 10 * SECOND, Duration::from_millis(1)]);
    // The fifth failure has called the policy as well.
    assert_eq!(bench.snapshot().stats().retry_faults(), 4);
    assert_eq!(bench.snapshot().stats().panics(), 0, "no command has panicked");
}

#[test]
fn a_source_of_chance_that_panics_leaves_the_longest_delay() {
    let mut bench = bench(RetryPolicy::exponential(SECOND, 8 * SECOND), 0);
    // Resumed instead of raised, to bypass the panic hook.
    bench.core.set_random(Random::new(|| std::panic::resume_unwind(Box::new("no randomness"))));
    let dial = bench.dial(A, NET);
    bench.failed(A, dial, true).unwrap();
    assert_eq!(bench.link(A).next_attempt_at(), Some(bench.now() + 8 * SECOND));
    assert_eq!(bench.snapshot().stats().retry_faults(), 1);
}

#[test]
fn the_next_attempt_is_visible() {
    let mut bench = bench(RetryPolicy::fixed(20 * SECOND), 0);
    bench.done_stream(B, 1, Direction::Downlink);
    assert_eq!(bench.link(B).next_attempt_at(), None, "a pure downlink is never dialled");

    bench.create(A, NET).unwrap();
    assert_eq!(bench.link(A).next_attempt_at(), Some(bench.now()), "at once");
    bench.turn();
    assert_eq!(bench.link(A).next_attempt_at(), None, "a resolution is in progress");
    bench.update(A).unwrap();
    let dial = bench.link(A).dial_id().expect("a dial");
    assert_eq!(bench.link(A).next_attempt_at(), None, "a dial is in progress");
    bench.failed(A, dial, true).unwrap();
    let at = bench.now() + 20 * SECOND;
    assert_eq!((bench.link(A).next_attempt_at(), bench.link(A).not_before()), (Some(at), Some(at)));
    assert_eq!(resolved(&bench.after(20 * SECOND - Duration::from_nanos(1))), []);
    assert_eq!(resolved(&bench.after(Duration::from_nanos(1))), [A]);

    bench.update(A).unwrap();
    bench.done_stream(A, 2, Direction::Downlink);
    bench.account(NET, A, 2, true).unwrap();
    let dial = bench.link(A).dial_id().expect("a dial");
    bench.failed(A, dial, true).unwrap();
    assert_eq!(bench.link(A).next_attempt_at(), None, "a member needs no dial");
}

#[test]
fn an_announcement_is_repeated_after_the_cap_and_not_by_chance() {
    let mut bench = bench(RetryPolicy::exponential(SECOND, 8 * SECOND), 0);
    bench.done_stream(A, 1, Direction::Downlink);
    bench.create(A, NET).unwrap();
    assert_eq!(announced(&bench.turn()), [(A, NET, 1)]);
    assert_eq!(announced(&bench.after(8 * SECOND - Duration::from_nanos(1))), []);
    assert_eq!(announced(&bench.after(Duration::from_nanos(1))), [(A, NET, 1)]);
}
