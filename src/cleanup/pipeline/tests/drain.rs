//! The planned end.

use std::num::NonZeroU32;

use super::*;
use crate::cleanup::pipeline::drain::{DrainPhase, DrainReport, DrainStep, PendingEvents};

/// Steps until the drain is done: `ms` pass between two steps. Returns the report, and the number
/// of connections that were closed after each step.
fn drain(rig: &mut Rig, mut drain: crate::cleanup::Drain<Peer, Counted>, ms: u64) -> (DrainReport, Vec<u64>) {
    let mut closed = Vec::new();
    for _ in 0..100_000 {
        let step = drain.step();
        closed.push(drain.progress().unwrap().closed);
        match step {
            DrainStep::Done(report) => return (report, closed),
            DrainStep::WaitUntil(due) => assert!(due >= rig.clock.now()),
        }
        rig.turn();
        rig.clock.advance(Duration::from_millis(ms));
    }
    panic!("the drain does not end");
}

#[test]
fn r18_a_drain_closes_evenly_and_loses_nothing() {
    let mut rig = Rig::new(config());
    (0..50).for_each(|_| {
        rig.open(peer(1, &[1]));
    });
    rig.run();
    rig.seen();
    let plan = rig.cleanup.drain().rate(NonZeroU32::new(10));
    let (report, closed) = drain(&mut rig, plan, 100);
    assert_eq!((report.closed, report.done, report.deferred, report.lost), (50, 50, 0, 0), "{report}");
    assert!(report.is_complete, "{report:?}");
    assert!(closed.windows(2).all(|pair| pair[1] - pair[0] <= 2), "10 per second: {closed:?}");
    assert!(report.elapsed >= Duration::from_millis(4900) && report.elapsed < Duration::from_secs(6));
    assert_eq!(rig.seen(), [], "a shutdown is no event");
    rig.check_empty();
}

#[test]
fn r18_a_drain_opens_no_more_and_hands_everything_back() {
    let mut rig = Rig::new(config());
    let opening = rig.cleanup.open(peer(1, &[1]), None, Counted(rig.ended.clone())).unwrap();
    let mut plan = rig.cleanup.drain();
    assert_eq!(plan.progress(), None);
    let _ = plan.step();
    let refused = rig.cleanup.open(peer(2, &[2]), None, Counted(rig.ended.clone())).unwrap_err();
    assert_eq!(refused.kind, crate::cleanup::OpenErrorKind::Draining);
    // Relaxed: it would have been counted by this thread.
    assert_eq!((refused.value.app.0, refused.resources.0.load(Ordering::Relaxed)), (2, 0));
    drop(refused);
    // The one that was being opened is found.
    assert_eq!(plan.progress().unwrap().phase, DrainPhase::Removing);
    let (report, _) = drain(&mut rig, plan, 1);
    assert!(opening.wait().is_ok());
    assert_eq!((report.closed, report.done, report.lost, report.is_complete), (1, 1, 0, true), "{report}");
    rig.check_empty();
}

#[test]
fn r18_pending_events_are_fired_or_dropped() {
    for (pending, expected) in [(PendingEvents::Fire, 2), (PendingEvents::Drop, 1)] {
        let mut rig = Rig::new(Config { event_delay: Duration::from_secs(60), ..config() });
        let id = rig.open(peer(1, &[1]));
        rig.cleanup.close(id, Cause::Lost);
        rig.run();
        assert_eq!(rig.cleanup.pending_events(), (1, 0));
        let plan = rig.cleanup.drain().pending(pending);
        let (report, _) = drain(&mut rig, plan, 1);
        assert_eq!((report.is_complete, report.dropped), (true, 2 - expected as u64), "{report:?}");
        assert_eq!(rig.seen().len(), expected);
    }
}

#[test]
fn r18_events_of_a_shutdown_are_delivered_if_they_are_wanted() {
    let mut rig = Rig::new(Config { shutdown_events: true, ..config() });
    (0..3).for_each(|channel| {
        rig.open(peer(1, &[channel]));
    });
    rig.run();
    rig.seen();
    let plan = rig.cleanup.drain();
    let (report, _) = drain(&mut rig, plan, 1);
    assert_eq!((report.delivered, report.is_complete), (3, true));
    let mut seen = rig.seen();
    seen.sort_unstable_by_key(|(channel, _)| *channel);
    assert_eq!(seen, [(0, Change::Vacated), (1, Change::Vacated), (2, Change::Vacated)]);
    rig.check_empty();
}

/// The writer takes no turn: the time is up, and what is left is reported.
#[test]
fn r18_a_drain_ends_in_time_and_says_what_is_left() {
    let mut rig = Rig::new(Config { capacity: 2, batch_max: 2, overflow: Overflow::Defer, ..config() });
    (0..5).for_each(|_| {
        rig.open(peer(1, &[1]));
    });
    let mut plan = rig
        .cleanup
        .drain()
        .rate(NonZeroU32::new(1))
        .deadline(Duration::from_secs(2))
        .pending(PendingEvents::Drop);
    let report = loop {
        match plan.step() {
            DrainStep::Done(report) => break report,
            DrainStep::WaitUntil(_) => rig.clock.advance(Duration::from_millis(250)),
        }
    };
    assert_eq!((report.closed, report.done, report.deferred, report.lost), (5, 0, 5, 0), "{report}");
    assert!(!report.is_complete);
    assert_eq!(report.elapsed, Duration::from_secs(2));
    // Relaxed: counted by this thread.
    assert_eq!(rig.ended.load(Ordering::Relaxed), 5, "their resources were told");
    assert_eq!(plan.step(), DrainStep::Done(report), "it stays done");
    assert_eq!(rig.cleanup.run_batch(0), Progress::Waiting, "for the writer");
    while rig.cleanup.run_batch(0) != Progress::Ended {
        rig.turn();
    }
}
