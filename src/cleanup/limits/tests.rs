#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    Some(Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() })
}

fn at(ms: u64) -> Moment {
    Moment::from_micros(ms * 1000)
}

fn prefix(text: &str) -> Prefix {
    Prefix::of(text.parse().unwrap())
}

#[test]
fn r17b_a_source_beyond_its_rate_is_late_and_recovers() {
    let limits = Limits::new(rate(10, 3), None, 16, false);
    let lanes = |ms: u64| [(); 4].map(|()| limits.lane(1, None, at(ms)));
    assert_eq!(lanes(0), [Lane::Prompt, Lane::Prompt, Lane::Prompt, Lane::Late]);
    assert_eq!(limits.lane(2, None, at(0)), Lane::Prompt, "another app");
    assert_eq!(lanes(100), [Lane::Prompt, Lane::Late, Lane::Late, Lane::Late]);
    assert_eq!(limits.limited(), 4);
}

#[test]
fn r17b_addresses_count_by_prefix() {
    assert_eq!(prefix("2001:db8:1:2::3"), prefix("2001:db8:1:2:ffff::"));
    assert_ne!(prefix("2001:db8:1:2::3"), prefix("2001:db8:1:3::3"));
    assert_ne!(prefix("192.0.2.1"), prefix("192.0.2.2"));
    assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.1"));
    let limits = Limits::new(None, rate(1, 1), 16, false);
    assert_eq!(limits.lane(1, Some(prefix("::1")), at(0)), Lane::Prompt);
    assert_eq!(limits.lane(2, Some(prefix("::2")), at(0)), Lane::Late);
    assert_eq!(limits.lane(2, None, at(0)), Lane::Prompt);
}

#[test]
fn r17b_a_dry_run_only_counts() {
    let limits = Limits::new(rate(1, 1), None, 16, true);
    let lanes = [(); 3].map(|()| limits.lane(1, None, at(0)));
    assert_eq!((lanes, limits.limited()), ([Lane::Prompt; 3], 2));
}

#[test]
fn r17b_beyond_the_bound_sources_are_not_limited() {
    let limits = Limits::new(rate(1, 1), None, 2, false);
    for app in 0..10 {
        assert_eq!(limits.lane(app, None, at(0)), Lane::Prompt);
    }
    assert_eq!(limits.lane(0, None, at(0)), Lane::Late, "tracked");
    assert_eq!(limits.lane(9, None, at(0)), Lane::Prompt, "not tracked");
    assert_eq!((limits.untracked(), limits.apps.as_ref().unwrap().store.len()), (9, 2));
    // The buckets are full again, so their places are free.
    assert_eq!(limits.lane(9, None, at(1000)), Lane::Prompt);
    assert_eq!(limits.lane(9, None, at(1000)), Lane::Late);
    assert_eq!(limits.untracked(), 9);
}

#[test]
fn r17b_a_clock_that_goes_back_gives_nothing_away() {
    let limits = Limits::new(rate(1, 1), None, 2, false);
    assert_eq!(limits.lane(1, None, at(5000)), Lane::Prompt);
    assert_eq!(limits.lane(1, None, at(0)), Lane::Late);
    assert_eq!(limits.lane(1, None, at(6000)), Lane::Prompt);
}

proptest! {
    /// A bucket of tokens per source, filled continuously.
    #[test]
    fn r17b_behaves_as_a_token_bucket(steps in prop::collection::vec((0..4_u64, 0..300_u64), 1..200)) {
        let limits = Limits::new(rate(10, 5), None, 64, false);
        // In tenths of a millisecond worth of tokens: one token is 100 ms.
        let mut buckets: HashMap<u64, (u64, u64)> = HashMap::new();
        let mut now = 0;
        for (app, pause) in steps {
            now += pause;
            let (tokens, last) = buckets.entry(app).or_insert((500, now));
            *tokens = (*tokens + (now - *last)).min(500);
            *last = now;
            let is_within = *tokens >= 100;
            *tokens -= if is_within { 100 } else { 0 };
            prop_assert_eq!(limits.lane(app, None, at(now)) == Lane::Prompt, is_within);
        }
    }
}
