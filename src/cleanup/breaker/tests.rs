#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const TERMS: Terms = Terms {
    failures: 3,
    window: Duration::from_secs(10),
    open: Duration::from_secs(5),
    jitter_percent: 20,
    probes: 1,
};

fn at(ms: u64) -> Moment {
    Moment::from_micros(ms * 1000)
}

/// Fails `number` times at that time.
fn fail(breaker: &Breaker, number: u32, ms: u64) {
    (0..number).for_each(|_| breaker.enter(at(ms)).unwrap().fail(at(ms), 0));
}

#[test]
fn r16_opens_after_enough_failures_within_the_window() {
    let breaker = Breaker::new(TERMS);
    fail(&breaker, 2, 0);
    // The first two are out of the window by now.
    fail(&breaker, 2, 10_001);
    assert_eq!(breaker.phase(), Phase::Closed);
    fail(&breaker, 1, 20_001);
    assert_eq!((breaker.phase(), breaker.opens()), (Phase::Open, 1), "three within exactly ten seconds");
}

#[test]
fn r16_a_success_does_not_reset_the_failures() {
    let breaker = Breaker::new(TERMS);
    for ms in 0..3 {
        breaker.enter(at(ms)).unwrap().succeed(at(ms));
        fail(&breaker, 1, ms);
    }
    assert_eq!(breaker.phase(), Phase::Open);
}

#[test]
fn r16_stays_open_for_the_pause_then_lets_one_probe_through() {
    let breaker = Breaker::new(TERMS);
    fail(&breaker, 3, 0);
    assert!(breaker.enter(at(4999)).is_none());
    let probe = breaker.enter(at(5000)).unwrap();
    assert!(probe.is_probe());
    assert!(breaker.enter(at(60_000)).is_none(), "one probe at a time");
    probe.succeed(at(5001));
    assert_eq!((breaker.phase(), breaker.probes(), breaker.refused()), (Phase::Closed, 1, 2));
    fail(&breaker, 2, 5002);
    assert_eq!(breaker.phase(), Phase::Closed, "failures of the period before do not count");
}

#[test]
fn r16_a_failed_probe_restarts_the_pause() {
    let breaker = Breaker::new(TERMS);
    fail(&breaker, 3, 0);
    breaker.enter(at(7000)).unwrap().fail(at(7500), 0);
    assert!(breaker.enter(at(12_499)).is_none());
    assert!(breaker.enter(at(12_500)).is_some());
    assert_eq!(breaker.opens(), 2);
}

#[test]
fn r16_a_probe_that_is_dropped_or_panics_is_free_again() {
    let breaker = Breaker::new(TERMS);
    fail(&breaker, 3, 0);
    drop(breaker.enter(at(5000)).unwrap());
    assert_eq!(breaker.phase(), Phase::HalfOpen);
    let entered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _probe = breaker.enter(at(5000)).unwrap();
        panic!("the caller panics");
    }));
    assert!(entered.is_err());
    breaker.enter(at(5000)).unwrap().succeed(at(5000));
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn r16_reports_of_an_earlier_period_are_ignored() {
    let terms = Terms { probes: 2, failures: 1, ..TERMS };
    let breaker = Breaker::new(terms);
    let early = breaker.enter(at(0)).unwrap();
    fail(&breaker, 1, 0);
    let (first, second) = (breaker.enter(at(5000)).unwrap(), breaker.enter(at(5000)).unwrap());
    assert!(breaker.enter(at(5000)).is_none());
    first.succeed(at(5000));
    second.fail(at(5000), 0);
    early.fail(at(5000), 0);
    assert_eq!((breaker.phase(), breaker.opens()), (Phase::Closed, 1));
}

#[test]
fn r16_a_probe_of_an_earlier_period_does_not_end_a_later_one() {
    let breaker = Breaker::new(Terms { probes: 2, failures: 1, ..TERMS });
    fail(&breaker, 1, 0);
    let (first, second) = (breaker.enter(at(5000)).unwrap(), breaker.enter(at(5000)).unwrap());
    first.fail(at(5000), 0);
    let third = breaker.enter(at(10_000)).unwrap();
    second.succeed(at(10_000));
    assert_eq!(breaker.phase(), Phase::HalfOpen);
    third.succeed(at(10_000));
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn r16_the_jitter_lengthens_the_pause_by_at_most_its_part() {
    let breaker = Breaker::new(TERMS);
    assert_eq!(breaker.pause_micros(0), 5_000_000);
    assert_eq!(breaker.pause_micros(u64::MAX), 5_999_999);
    assert_eq!(breaker.pause_micros(1 << 63), 5_500_000);
}

/// The breaker as a list of failures and one period, without words and rings.
struct Model {
    phase: Phase,
    failures: VecDeque<u64>,
    time: u64,
    probes: u8,
}

impl Model {
    fn fail(&mut self, now: u64, is_probe: bool) {
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|first| now - first > 10_000) {
            self.failures.pop_front();
        }
        if is_probe || self.failures.len() >= 3 {
            (self.phase, self.time, self.probes) = (Phase::Open, now + 5000, 0);
        }
    }

    /// Returns whether there is a pass, and whether it is a probe.
    fn enter(&mut self, now: u64) -> (bool, bool) {
        if self.phase == Phase::Open && now >= self.time {
            (self.phase, self.probes) = (Phase::HalfOpen, 0);
        }
        match self.phase {
            Phase::Closed => (true, false),
            Phase::HalfOpen if self.probes == 0 => {
                self.probes = 1;
                (true, true)
            }
            _ => (false, false),
        }
    }

    fn succeed(&mut self, is_probe: bool) {
        if is_probe {
            self.phase = Phase::Closed;
            self.failures.clear();
        }
    }
}

proptest! {
    /// One caller, who enters and reports each time after a while.
    #[test]
    fn r16_behaves_as_a_list_of_failures(steps in prop::collection::vec((0..4000_u64, 0..3_u8), 1..200)) {
        let breaker = Breaker::new(TERMS);
        let mut model = Model { phase: Phase::Closed, failures: VecDeque::new(), time: 0, probes: 0 };
        let mut now = 0;
        for (pause, report) in steps {
            // Never zero: a failure in the microsecond of the closing would count.
            now += pause + 1;
            let pass = breaker.enter(at(now));
            let (entered, is_probe) = model.enter(now);
            prop_assert_eq!(pass.as_ref().map(Pass::is_probe), entered.then_some(is_probe));
            let Some(pass) = pass else { continue };
            match report {
                0 => {
                    pass.succeed(at(now));
                    model.succeed(is_probe);
                }
                1 => {
                    pass.fail(at(now), 0);
                    model.fail(now, is_probe);
                }
                _ => {
                    drop(pass);
                    model.probes = 0;
                }
            }
            prop_assert_eq!(breaker.phase(), model.phase);
        }
    }
}
