#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use proptest::prelude::*;

use super::*;
use crate::cleanup::sink::{EventSink, deliver};

const TERMS: Terms = Terms {
    capacity: 16,
    app_capacity: 8,
    batch: 4,
    retries: 2,
    backoff: Duration::from_millis(50),
    backoff_max: Duration::from_millis(80),
};

fn at(ms: u64) -> Moment {
    Moment::from_micros(ms * 1000)
}

fn delivery(events: &[(u8, u32)]) -> Delivery<u8, u32> {
    let mut delivery = Delivery::new(TERMS);
    events.iter().for_each(|&(app, event)| delivery.push(app, event, at(0)).unwrap());
    delivery
}

fn dead(app: u8, event: u32, reason: DeadReason) -> DeadLetter<u8, u32> {
    DeadLetter { app, event, reason }
}

#[test]
fn r12_a_batch_holds_the_events_of_one_app() {
    let mut delivery = delivery(&[(1, 10), (2, 20), (1, 11)]);
    let (first, second) = (delivery.next(at(0)).unwrap(), delivery.next(at(0)).unwrap());
    assert_eq!((first.app, &first.events[..]), (1, &[10, 11][..]));
    assert_eq!((second.app, &second.events[..]), (2, &[20][..]));
    assert!(delivery.next(at(0)).is_none());
}

#[test]
fn r12_a_slow_app_holds_up_no_other() {
    let mut delivery = delivery(&[(1, 10), (2, 20)]);
    let slow = delivery.next(at(0)).unwrap();
    delivery.push(1, 11, at(0)).unwrap();
    let quick = delivery.next(at(0)).unwrap();
    assert_eq!(delivery.finish(quick, &[Outcome::Delivered], at(0), |_| {}), []);
    assert!(delivery.next(at(0)).is_none(), "the next events of the slow app wait for its attempt");
    assert_eq!(delivery.finish(slow, &[Outcome::Delivered], at(9), |_| {}), []);
    assert_eq!(delivery.next(at(9)).unwrap().events, [11]);
}

#[test]
fn r12_a_failure_is_repeated_with_a_growing_pause_and_then_a_dead_letter() {
    let mut delivery = delivery(&[(1, 10), (1, 11)]);
    for (now, due) in [(0, 50), (50, 130)] {
        let attempt = delivery.next(at(now)).unwrap();
        assert_eq!(delivery.finish(attempt, &[Outcome::Retry, Outcome::Retry], at(now), |_| {}), []);
        assert_eq!(delivery.next_due(at(now)), Some(at(due)));
        assert!(delivery.next(at(due - 1)).is_none());
    }
    let attempt = delivery.next(at(130)).unwrap();
    let given_up = delivery.finish(attempt, &[Outcome::Retry, Outcome::Delivered], at(130), |_| {});
    assert_eq!(given_up, [dead(1, 10, DeadReason::Exhausted)]);
    assert_eq!((delivery.len(), delivery.next_due(at(130))), (0, None));
}

#[test]
fn r12_results_are_per_event_and_order_is_kept() {
    let mut delivery = delivery(&[(1, 10), (1, 11), (1, 12), (1, 13), (1, 14)]);
    let attempt = delivery.next(at(0)).unwrap();
    let outcomes = [Outcome::Delivered, Outcome::Retry, Outcome::Refused];
    assert_eq!(delivery.finish(attempt, &outcomes, at(0), |_| {}), [dead(1, 12, DeadReason::Refused)]);
    assert_eq!(delivery.next(at(50)).unwrap().events, [11, 13, 14]);
}

#[test]
fn r12_events_that_were_not_tried_are_due_at_once() {
    let mut delivery = delivery(&[(1, 10), (1, 11)]);
    let attempt = delivery.next(at(0)).unwrap();
    assert_eq!(delivery.finish(attempt, &[Outcome::Delivered], at(0), |_| {}), []);
    assert_eq!((delivery.figures().retries, delivery.next_due(at(0))), (0, Some(at(0))));
    assert_eq!(delivery.next(at(0)).unwrap().events, [11]);
}

#[test]
fn r12_a_sink_that_tries_nothing_has_failed() {
    let mut delivery = delivery(&[(1, 10), (1, 11)]);
    for now in [0, 1000, 2000] {
        let attempt = delivery.next(at(now)).unwrap();
        delivery.finish(attempt, &[], at(now), |_| {});
    }
    assert_eq!((delivery.figures().dead, delivery.len()), (2, 0));
}

#[test]
fn r12_one_app_cannot_fill_the_queue() {
    let mut delivery = delivery(&[]);
    (0..8).for_each(|event| delivery.push(1, event, at(0)).unwrap());
    assert_eq!(delivery.push(1, 8, at(0)), Err(dead(1, 8, DeadReason::Full)));
    (0..8).for_each(|event| delivery.push(2, event, at(0)).unwrap());
    assert_eq!(delivery.push(3, 0, at(0)), Err(dead(3, 0, DeadReason::Full)));
    assert_eq!(delivery.figures().refused, 2);
}

#[test]
fn r18_a_close_gives_up_what_waits_and_takes_no_more() {
    let mut delivery = delivery(&[(1, 10), (1, 11), (2, 20)]);
    let attempt = delivery.next(at(0)).unwrap();
    assert_eq!(delivery.close(), [dead(2, 20, DeadReason::Closed)]);
    assert_eq!(delivery.push(2, 21, at(0)), Err(dead(2, 21, DeadReason::Closed)));
    let given_up = delivery.finish(attempt, &[Outcome::Delivered, Outcome::Retry], at(0), |_| {});
    assert_eq!((given_up, delivery.len()), (vec![dead(1, 11, DeadReason::Exhausted)], 0));
}

struct Panics;

impl EventSink<u8, u32> for Panics {
    fn deliver(&self, _: &u8, _: &[u32]) -> Vec<Outcome> {
        panic!("the sink panics");
    }
}

#[test]
fn r12_a_panic_of_the_sink_is_contained_and_repeated() {
    let mut queue = delivery(&[(1, 10)]);
    for now in [0, 1000, 2000] {
        let attempt = queue.next(at(now)).unwrap();
        let result = deliver(&Panics, &attempt.app, &attempt.events);
        assert!(result.is_panicked);
        queue.finish(attempt, &result.outcomes, at(now), |_| {});
    }
    assert_eq!((queue.figures().dead, queue.len()), (1, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    /// Take an attempt, after a pause.
    Next(u64),
    /// Finish one of the attempts, with these outcomes.
    Finish(usize, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u8).prop_map(Step::Push),
        1 => (0..100_u64).prop_map(Step::Next),
        1 => (0..4_usize, prop::collection::vec(0..3_u8, 0..5)).prop_map(|(which, outcomes)| Step::Finish(which, outcomes)),
    ]
}

/// An event is delivered, dead or neither.
#[derive(Default)]
struct Fates {
    delivered: Vec<u32>,
    dead: Vec<u32>,
    pushed: u32,
}

proptest! {
    /// Each event has one fate; apps have one attempt at a time; figures add up; nothing is left in the end.
    #[test]
    fn r12_no_event_is_lost_or_doubled(steps in prop::collection::vec(step(), 1..150)) {
        let mut delivery = Delivery::new(TERMS);
        let mut attempts: Vec<Attempt<u8, u32>> = Vec::new();
        let (mut fates, mut now) = (Fates::default(), 0);
        // At the end, all attempts are made and succeed.
        let endings = (0..200).flat_map(|_| [Step::Finish(0, vec![0; 4]), Step::Next(100)]);
        for step in steps.into_iter().chain(endings) {
            match step {
                Step::Push(app) => {
                    let pushed = delivery.push(app, fates.pushed, at(0));
                    fates.dead.extend(pushed.err().map(|letter| letter.event));
                    fates.pushed += 1;
                }
                Step::Next(pause) => {
                    now += pause;
                    let due = delivery.next_due(at(now));
                    let attempt = delivery.next(at(now));
                    prop_assert_eq!(due.is_some_and(|due| due <= at(now)), attempt.is_some());
                    let is_second = |attempt: &Attempt<u8, u32>| attempts.iter().any(|other| other.app == attempt.app);
                    prop_assert!(!attempt.as_ref().is_some_and(is_second), "two attempts of one app");
                    attempts.extend(attempt);
                }
                Step::Finish(which, outcomes) if !attempts.is_empty() => {
                    let attempt = attempts.remove(which % attempts.len());
                    let all = [Outcome::Delivered, Outcome::Retry, Outcome::Refused];
                    let outcomes: Vec<_> = outcomes.iter().map(|&outcome| all[usize::from(outcome)]).collect();
                    let pairs = attempt.events.iter().zip(&outcomes);
                    fates.delivered.extend(pairs.filter(|(_, outcome)| **outcome == Outcome::Delivered).map(|(event, _)| event));
                    fates.dead.extend(delivery.finish(attempt, &outcomes, at(now), |_| {}).into_iter().map(|letter| letter.event));
                }
                Step::Finish(..) => {}
            }
            let figures = delivery.figures();
            let waiting = (figures.waiting + figures.in_flight) as u64;
            prop_assert_eq!(figures.accepted, figures.delivered + figures.dead + waiting);
            prop_assert_eq!(u64::from(fates.pushed), figures.accepted + figures.refused);
            prop_assert!(figures.waiting + figures.in_flight <= TERMS.capacity);
        }
        let mut all: Vec<_> = fates.delivered.into_iter().chain(fates.dead).collect();
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..fates.pushed));
        prop_assert!(delivery.len() == 0 && delivery.apps.is_empty(), "something is left");
    }

    /// Without refusals and failures beyond the retries, the events of each app arrive in order.
    #[test]
    fn r12_the_events_of_an_app_arrive_in_order(outcomes in prop::collection::vec(any::<bool>(), 1..100)) {
        let mut delivery = Delivery::new(Terms { retries: u32::MAX, ..TERMS });
        (0..8).for_each(|event| delivery.push(0, event, at(0)).unwrap());
        let (mut arrived, mut now) = (Vec::<u32>::new(), 0);
        let mut outcomes = outcomes.into_iter().chain(std::iter::repeat(true));
        while let Some(due) = delivery.next_due(at(now)) {
            now = due.as_micros() / 1000;
            let attempt = delivery.next(at(now)).unwrap();
            // A sink that stops at the first failure.
            let tried = outcomes.by_ref().take_while(|is_good| *is_good).take(attempt.events.len()).count();
            arrived.extend(&attempt.events[..tried]);
            let mut results = vec![Outcome::Delivered; tried];
            results.extend((tried < attempt.events.len()).then_some(Outcome::Retry));
            prop_assert_eq!(delivery.finish(attempt, &results, at(now), |_| {}), []);
        }
        prop_assert!(arrived.into_iter().eq(0..8));
    }
}
