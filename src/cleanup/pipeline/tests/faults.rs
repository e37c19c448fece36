//! User code that panics or blocks, queues that are full, clocks that jump.

use super::threads::{BOUND, Live, live, live_with, wait_until};
use super::*;
use crate::clock::MonotonicClock;
use crate::sync::Condvar;
use crate::sync::atomic::AtomicUsize;

/// Blocks in the events of one app until it is opened, counts those of the others.
struct Blocks {
    door: StdArc<(Mutex<bool>, Condvar)>,
    others: StdArc<AtomicUsize>,
}

impl EventSink<App, Event<(u8, u8)>> for Blocks {
    fn deliver(&self, app: &App, events: &[Event<(u8, u8)>]) -> Vec<Outcome> {
        if app.0 == 7 {
            let mut is_open = self.door.0.lock();
            while !*is_open {
                is_open = self.door.1.wait(is_open);
            }
        } else {
            // Relaxed: a counter.
            self.others.fetch_add(events.len(), Ordering::Relaxed);
        }
        vec![Outcome::Delivered; events.len()]
    }
}

/// N8: one app whose sink never returns holds up neither the table nor the other apps nor the end.
#[test]
fn r12_n8_a_sink_that_blocks_holds_up_one_app() {
    let door = StdArc::new((Mutex::new(&TEST_AUXILIARY, false), Condvar::new()));
    let others = StdArc::new(AtomicUsize::new(0));
    let live = live(config(), Blocks { door: door.clone(), others: others.clone() });
    let stuck = live.open(peer(7, &[1]));
    let ids: Vec<_> = (0..6).map(|app| live.open(peer(app, &[1]))).collect();
    ids.iter().for_each(|id| assert!(!live.cleanup.close(*id, Cause::Killed).is_refused()));
    live.cleanup.close(stuck, Cause::Killed);
    // Relaxed: asked until it is so.
    wait_until(|| others.load(Ordering::Relaxed) == 12 && live.cleanup.stats().done == 7);
    let report = live.cleanup.drain().deadline(Duration::from_millis(50)).run();
    assert!(!report.is_complete && report.deferred == 0 && report.lost == 0, "{report}");
    let Live { cleanup, threads, writer, .. } = live;
    drop(cleanup);
    let threads = threads.join_timeout(Duration::from_millis(10)).unwrap_err();
    assert!(threads.is_timeout(), "the thread of the sink is stuck");
    *door.0.lock() = true;
    door.1.notify_all();
    assert!(threads.into_inner().join_timeout(BOUND).is_ok());
    assert!(writer.join_timeout(BOUND).is_ok());
}

/// Panics in the first calls.
struct Panics(AtomicUsize, Recorder);

impl EventSink<App, Event<(u8, u8)>> for Panics {
    fn deliver(&self, app: &App, events: &[Event<(u8, u8)>]) -> Vec<Outcome> {
        // Relaxed: each call draws its own number.
        assert!(self.0.fetch_add(1, Ordering::Relaxed) >= 2, "a sink panics");
        self.1.deliver(app, events)
    }
}

#[test]
fn r12_a_sink_that_panics_gets_its_events_again() {
    let seen: Seen = StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new()));
    let sink = Panics(AtomicUsize::new(0), Recorder(seen.clone()));
    let live = live(Config { sink_backoff: Duration::from_millis(1), ..config() }, sink);
    let id = live.open(peer(1, &[1]));
    wait_until(|| seen.lock().len() == 1);
    live.cleanup.close(id, Cause::Killed);
    wait_until(|| seen.lock().len() == 2);
    let stats = live.cleanup.stats();
    assert_eq!((stats.sink_panics, stats.dead_letters, stats.worker_restarts), (2, 0, 0));
    live.join();
}

/// The system's clock, which panics in the threads of the workers while it is told to.
#[derive(Debug, Clone)]
struct Breaks(StdArc<AtomicUsize>);

impl Clock for Breaks {
    fn now(&self) -> Instant {
        let is_worker = crate::sync::thread::current().name().is_some_and(|name| name == "cleanup-0");
        // Relaxed, here and below: the one worker decreases it.
        if is_worker && self.0.load(Ordering::Relaxed) > 0 {
            self.0.fetch_sub(1, Ordering::Relaxed);
            panic!("a clock panics");
        }
        MonotonicClock.now()
    }
}

/// N9: a worker that panics goes on, and no task is lost.
#[test]
fn r13_n9_a_worker_that_panics_is_restarted_and_loses_nothing() {
    let breaks = StdArc::new(AtomicUsize::new(0));
    let seen: Seen = StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new()));
    let builder = Cleanup::builder().config(config()).clock(Breaks(breaks.clone()));
    let live = live_with(builder, Recorder(seen.clone()));
    let ids: Vec<_> = (0..20).map(|_| live.open(peer(1, &[1]))).collect();
    // Relaxed: the queue orders it for the worker.
    breaks.store(3, Ordering::Relaxed);
    ids.iter().for_each(|id| assert!(!live.cleanup.close(*id, Cause::Killed).is_refused()));
    // Relaxed: asked until it is so.
    wait_until(|| live.cleanup.stats().done == 20 && breaks.load(Ordering::Relaxed) == 0);
    // The clock is also asked when a panic is noted, and may panic there.
    assert!((1..=3).contains(&live.cleanup.stats().worker_restarts));
    wait_until(|| seen.lock().len() == 2);
    live.join();
}

/// All queues are full, the writer as well: nothing waits, nothing is lost.
#[test]
fn r1_r5_n1_with_all_queues_full_a_close_returns_and_the_sweep_finds_it() {
    let (table, _) = Cleanup::<Peer, Counted>::table_builder().build();
    let (writer, mut driver) = SharedWriter::new(table, shared::Config::new().capacity(2).unwrap());
    let seen: Seen = StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new()));
    let clock = ManualClock::new();
    let cleanup = Cleanup::builder()
        .config(Config { capacity: 1, batch_max: 1, ..config() })
        .clock(clock.clone())
        .build(writer, Recorder(seen))
        .unwrap();
    let ended = StdArc::new(AtomicU64::new(0));
    let mut ids = Vec::new();
    for _ in 0..6 {
        let ticket = cleanup.open(peer(1, &[1]), None, Counted(ended.clone())).unwrap();
        while driver.turn() == shared::Turn::More {}
        ids.push(ticket.wait().unwrap().detach());
    }
    let closed: Vec<_> = ids.iter().map(|id| cleanup.close(*id, Cause::Lost)).collect();
    let inline = closed.iter().filter(|closed| **closed == Closed::RanInline).count();
    let deferred = closed.iter().filter(|closed| **closed == Closed::Deferred).count();
    assert_eq!((closed[0], inline, deferred), (Closed::Queued, 2, 3), "{closed:?}");
    let rooms: Vec<_> = std::iter::from_fn(|| cleanup.shared.writer.try_reserve_large().ok()).collect();
    assert_eq!((cleanup.run_batch(0), rooms.is_empty()), (Progress::Busy, false), "the writer is full");
    drop(rooms);
    let full = cleanup.open(peer(1, &[]), None, Counted(ended.clone())).unwrap_err();
    assert_eq!((full.kind, full.is_temporary()), (crate::cleanup::OpenErrorKind::WriterFull, true));
    drop(full);
    assert!(
        cleanup
            .update(ids[0], |_| ())
            .is_err_and(|error| error.kind == crate::cleanup::UpdateErrorKind::WriterFull)
    );
    for _ in 0..9 {
        while driver.turn() == shared::Turn::More {}
        let _ = cleanup.run_batch(0);
        clock.advance(Duration::from_secs(6));
        cleanup.sweep();
    }
    while driver.turn() == shared::Turn::More {}
    let stats = cleanup.stats();
    assert_eq!((stats.done, stats.queued, stats.deferred, stats.open), (6, 0, 0, 0), "{stats:?}");
    assert_eq!(StdArc::strong_count(&ended), 1);
}

/// A clock that jumps by a year, as after a suspension, and one that stands still.
#[test]
fn n3_a_clock_that_jumps_or_stands_still_loses_nothing() {
    let mut rig = Rig::new(Config {
        event_delay: Duration::from_secs(3),
        breaker_failures: 1,
        capacity: 1,
        batch_max: 1,
        ..config()
    });
    for _ in 0..4 {
        let ids = [(); 4].map(|()| rig.open(peer(1, &[1])));
        ids.iter().for_each(|id| assert!(!rig.cleanup.close(*id, Cause::Lost).is_refused()));
        rig.run();
        for _ in 0..2 {
            rig.clock.advance(Duration::from_secs(365 * 86_400));
            rig.cleanup.sweep();
            rig.run();
        }
    }
    rig.check_empty();
    let seen = rig.seen();
    assert!(seen.len() == 8 && seen.chunks(2).all(|pair| pair[0].1 != pair[1].1), "{seen:?}");
}

/// A pipeline that is dropped with work in all its parts: resources and entries are dropped, events are reported.
#[test]
fn r18_n9_a_drop_without_a_drain_reports_its_events() {
    struct Dead(StdArc<AtomicUsize>);
    impl EventSink<App, Event<(u8, u8)>> for Dead {
        fn deliver(&self, _: &App, _: &[Event<(u8, u8)>]) -> Vec<Outcome> {
            Vec::new()
        }
        fn dead_letter(&self, letter: DeadLetter<App, Event<(u8, u8)>>) {
            assert_eq!(letter.reason, DeadReason::Closed);
            // Relaxed: a counter.
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (table, _) = Cleanup::<Peer, Counted>::table_builder().build();
    let (writer, mut driver) = SharedWriter::new(table, shared::Config::new());
    let (dead, ended) = (StdArc::new(AtomicUsize::new(0)), StdArc::new(AtomicU64::new(0)));
    let cleanup = Cleanup::builder()
        .config(Config { event_delay: BOUND, ..config() })
        .build(writer, Dead(dead.clone()))
        .unwrap();
    let opening = [1, 2].map(|app| cleanup.open(peer(app, &[app]), None, Counted(ended.clone())).unwrap());
    while driver.turn() == shared::Turn::More {}
    let ids = opening.map(|ticket| ticket.wait().unwrap().detach());
    cleanup.close(ids[0], Cause::Lost);
    let _ = cleanup.run_batch(0);
    while driver.turn() == shared::Turn::More {}
    cleanup.close(ids[1], Cause::Lost);
    assert_eq!(cleanup.pending_events(), (1, 2));
    drop(cleanup);
    // Relaxed: counted by this thread.
    assert_eq!(dead.load(Ordering::Relaxed), 3, "two were ready and one was pending");
    assert_eq!(driver.turn(), shared::Turn::Ended);
    assert_eq!(StdArc::strong_count(&ended), 1, "resources were dropped");
}

/// B8: whoever is to serve a connection may be gone before it is open, and at any time later.
#[test]
fn b8_b13_a_connection_that_no_one_has_is_closed() {
    let mut rig = Rig::new(config());
    let open = |rig: &Rig| rig.cleanup.open(peer(1, &[1]), None, Counted(rig.ended.clone())).unwrap();
    drop(open(&rig)); // before its turn
    let ticket = open(&rig);
    rig.turn();
    drop(ticket); // after its turn, and not read
    let ticket = open(&rig);
    rig.turn();
    drop(ticket.wait().unwrap()); // by the guard
    let ticket = open(&rig);
    rig.turn();
    let kept = ticket.wait().unwrap();
    let result = std::panic::catch_unwind(AssertUnwindSafe(move || {
        assert!(!kept.is_open(), "the task that serves it panics");
    }));
    assert!(result.is_err());
    // Relaxed: counted by this thread.
    assert_eq!((rig.cleanup.stats().open, rig.ended.load(Ordering::Relaxed)), (0, 4));
    rig.clock.advance(Duration::from_secs(60));
    rig.run();
    rig.check_empty();
}
