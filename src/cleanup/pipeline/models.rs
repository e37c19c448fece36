//! Models of closes, late changes, workers and sweeps against each other, with the writer of the table.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::num::NonZeroUsize;

use super::close::Closed;
use super::drain::DrainStep;
use super::*;
use crate::cleanup::config::{Overflow, Workers};
use crate::cleanup::sink::Outcome;
use crate::cleanup::transitions::Change;
use crate::clock::ManualClock;
use crate::sync::lock_order::TEST_AUXILIARY;
use crate::sync::model::{model, spawn};
use crate::table::shared::{self, Driver, Turn};

#[derive(Clone, Debug)]
struct Peer(Vec<u8>);

impl Entry for Peer {
    type App = ();
    type Group = u8;

    fn app(&self) -> &() {
        &()
    }

    fn groups(&self, visit: &mut dyn FnMut(u8)) {
        self.0.iter().for_each(|channel| visit(*channel));
    }
}

type Seen = StdArc<Mutex<Vec<(u8, Change)>>>;

struct Recorder(Seen);

impl EventSink<(), Event<u8>> for Recorder {
    fn deliver(&self, (): &(), events: &[Event<u8>]) -> Vec<Outcome> {
        self.0.lock().extend(events.iter().map(|event| (event.group, event.change)));
        vec![Outcome::Delivered; events.len()]
    }
}

struct Counted(StdArc<AtomicU64>);

impl Resources for Counted {
    fn closed(&mut self, _: Cause) {
        // Relaxed: a counter.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Rig {
    cleanup: Cleanup<Peer, Counted>,
    driver: Driver<ConnectionId, Peer, Groups<Peer>>,
    clock: ManualClock,
    seen: Seen,
    ended: StdArc<AtomicU64>,
}

impl Rig {
    /// Queues of one task, and two connections in channel 1.
    fn new(overflow: Overflow) -> (Self, [ConnectionId; 2]) {
        let config = Config {
            workers: Workers::Fixed(NonZeroUsize::MIN),
            capacity: 1,
            batch_max: 1,
            overflow,
            event_delay: Duration::ZERO,
            shutdown_events: true,
            ..Config::default()
        };
        let (writer, _) = Cleanup::<Peer, Counted>::table_builder().build();
        let (writer, mut driver) = SharedWriter::new(writer, shared::Config::new().capacity(8).unwrap());
        let (clock, seen) = (ManualClock::new(), StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new())));
        let cleanup = Cleanup::builder()
            .config(config)
            .max_connections(2)
            .clock(clock.clone())
            .build(writer, Recorder(seen.clone()))
            .unwrap();
        let ended = StdArc::new(AtomicU64::new(0));
        let opening = [(); 2].map(|()| cleanup.open(Peer(vec![1]), None, Counted(ended.clone())).unwrap());
        while driver.turn() == Turn::More {}
        let ids = opening.map(|ticket| ticket.wait().unwrap().detach());
        (Self { cleanup, driver, clock, seen, ended }, ids)
    }

    /// Does everything that is left, and checks that each connection has ended once and nothing remains.
    fn finish(mut self) {
        for _ in 0..3 {
            let _ = self.cleanup.run_batch(0);
            while self.driver.turn() == Turn::More {}
            self.clock.advance(Duration::from_secs(5));
            (0..2).for_each(|_| assert!(self.cleanup.sweep() <= 2));
            while self.driver.turn() == Turn::More {}
            while self.cleanup.run_sink() {}
        }
        let stats = self.cleanup.stats();
        assert!(stats.adds_up(), "{stats:?}");
        let figures = (stats.submitted, stats.done, stats.queued, stats.deferred, stats.failed);
        assert_eq!(figures, (2, 2, 0, 0, 0), "{stats:?}");
        // Relaxed: the threads have ended.
        assert_eq!((self.ended.load(Ordering::Relaxed), StdArc::strong_count(&self.ended)), (2, 1));
        assert_eq!((self.cleanup.connections(), self.driver.into_writer().len()), (0, 0));
        for channel in [1, 2] {
            let seen = self.seen.lock();
            let changes: Vec<_> =
                seen.iter().filter(|(of, _)| *of == channel).map(|(_, change)| *change).collect();
            assert!(changes.iter().step_by(2).all(|change| *change == Change::Occupied), "{changes:?}");
            assert!(
                changes.iter().skip(1).step_by(2).all(|change| *change == Change::Vacated),
                "{changes:?}"
            );
            assert!(changes.len() % 2 == 0 && (channel == 2 || changes.len() == 2), "{changes:?}");
        }
    }
}

/// Two threads report the same ends, one also changes a connection that is closing, a third one works and sweeps, and
/// the writer takes its turns.
fn mixed(overflow: Overflow) {
    model(move || {
        let (mut rig, [first, second]) = Rig::new(overflow);
        let [one, two, three] = [(); 3].map(|()| rig.cleanup.clone());
        let clock = rig.clock.clone();
        let threads = [
            spawn(move || {
                one.close(first, Cause::Lost);
                one.close(second, Cause::Killed);
            }),
            spawn(move || {
                two.close(second, Cause::Lost);
                drop(two.update(first, |peer| peer.0.push(2)));
            }),
            spawn(move || {
                let _ = three.run_batch(0);
                clock.advance(Duration::from_secs(6));
                three.sweep();
                let _ = three.run_batch(0);
                assert!(three.stats().adds_up());
                three.run_sink();
            }),
        ];
        let _ = rig.driver.turn();
        let _ = rig.driver.turn();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        rig.finish();
    });
}

#[test]
fn r6_each_connection_is_cleaned_once_inline_by_a_worker_or_by_a_sweep() {
    mixed(Overflow::Inline);
}

#[test]
fn d1_each_connection_is_cleaned_once_by_a_worker_or_by_a_sweep() {
    mixed(Overflow::Defer);
}

/// A drain, two reports of ends and a worker: each connection ends once, and the drain loses none.
#[test]
fn r18_a_drain_and_reports_end_each_connection_once() {
    model(|| {
        let (mut rig, [first, second]) = Rig::new(Overflow::Defer);
        let [one, two, draining] = [(); 3].map(|()| rig.cleanup.clone());
        let draining = spawn(move || {
            let mut drain = draining.drain();
            let is_done = (0..3).any(|_| {
                let DrainStep::Done(report) = drain.step() else { return false };
                assert_eq!((report.lost, report.is_complete), (0, true), "{report}");
                true
            });
            (drain, is_done)
        });
        let threads = [
            spawn(move || {
                one.close(first, Cause::Lost);
            }),
            spawn(move || {
                let _ = two.run_batch(0);
                two.close(second, Cause::Killed);
                assert!(two.stats().adds_up());
            }),
        ];
        (0..3).for_each(|_| {
            let _ = rig.driver.turn();
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let (mut drain, mut is_done) = draining.join().unwrap();
        let mut steps = 0;
        while !is_done {
            while rig.driver.turn() == Turn::More {}
            if let DrainStep::Done(report) = drain.step() {
                assert_eq!((report.lost, report.deferred, report.is_complete), (0, 0, true), "{report}");
                is_done = true;
            }
            steps += 1;
            assert!(steps < 20, "the drain does not end");
        }
        drop(drain);
        rig.finish();
    });
}

/// All threads of a pipeline, its handle and the thread of its writer: work is done, and all end.
#[test]
fn r18_threads_end_with_the_last_handle() {
    model(|| {
        let config = Config {
            workers: Workers::Fixed(NonZeroUsize::MIN),
            sink_threads: 1,
            batch_max: 1,
            event_delay: Duration::ZERO,
            ..Config::default()
        };
        let (writer, _) = Cleanup::<Peer, Counted>::table_builder().build();
        let (writer, writer_thread) =
            SharedWriter::spawn(writer, shared::Config::new().capacity(8).unwrap()).unwrap();
        let seen = StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new()));
        let ended = StdArc::new(AtomicU64::new(0));
        let builder = Cleanup::builder().config(config).max_connections(2);
        let (cleanup, threads) = builder.spawn(writer, Recorder(seen)).unwrap();
        let opening = [(); 2].map(|()| cleanup.open(Peer(vec![1]), None, Counted(ended.clone())).unwrap());
        for ticket in opening {
            let id = ticket.wait().unwrap().detach();
            // The second one follows the first, or both come together.
            assert_eq!(cleanup.close(id, Cause::Killed), Closed::Queued);
        }
        drop(cleanup);
        assert!(threads.join().is_ok());
        assert_eq!(writer_thread.join().unwrap().len(), 0, "what was queued was removed");
        assert_eq!(StdArc::strong_count(&ended), 1);
    });
}
