//! Pipelines with threads. Waits have a bound that only a stuck test reaches.

use std::io;

use super::*;
use crate::cleanup::pipeline::builder::SpawnErrorKind;
use crate::cleanup::pipeline::threads::{CleanupThreads, JoinError};
use crate::sync::atomic::AtomicUsize;

pub(super) const BOUND: Duration = Duration::from_secs(60);

/// A pipeline with threads, whose writer has one as well.
pub(super) struct Live {
    pub(super) cleanup: Cleanup<Peer, Counted>,
    pub(super) threads: CleanupThreads<Peer, Counted>,
    pub(super) writer: shared::WriterThread<ConnectionId, Peer, Groups<Peer>>,
    pub(super) ended: StdArc<AtomicU64>,
}

pub(super) fn live(config: Config, sink: impl EventSink<App, Event<(u8, u8)>> + 'static) -> Live {
    live_with(Cleanup::builder().config(config), sink)
}

pub(super) fn live_with(
    builder: crate::cleanup::Builder<Peer, Counted>,
    sink: impl EventSink<App, Event<(u8, u8)>> + 'static,
) -> Live {
    let (writer, _) = Cleanup::<Peer, Counted>::table_builder().build();
    let (shared, writer) = SharedWriter::spawn(writer, shared::Config::new()).unwrap();
    let (cleanup, threads) = builder.max_connections(256).spawn(shared, sink).unwrap();
    Live { cleanup, threads, writer, ended: StdArc::new(AtomicU64::new(0)) }
}

impl Live {
    pub(super) fn open(&self, peer: Peer) -> ConnectionId {
        let ticket = self.cleanup.open(peer, None, Counted(self.ended.clone())).unwrap();
        ticket.wait_timeout(BOUND).unwrap().unwrap().detach()
    }

    /// Drops the last handle, and joins all threads.
    pub(super) fn join(self) {
        drop(self.cleanup);
        assert!(self.threads.join_timeout(BOUND).is_ok(), "a thread is stuck");
        assert_eq!(self.writer.join_timeout(BOUND).unwrap().len(), 0);
        assert_eq!(StdArc::strong_count(&self.ended), 1, "resources are left");
    }
}

/// Waits until `is_done`, and no longer than a stuck test takes.
pub(super) fn wait_until(is_done: impl Fn() -> bool) {
    let deadline = crate::sync::deadline_after(BOUND);
    while !is_done() {
        assert!(deadline.is_some_and(|deadline| !crate::sync::time_left(deadline).is_zero()), "stuck");
        crate::sync::sleep(Duration::from_millis(1));
    }
}

fn recorder() -> (Recorder, Seen) {
    let seen = StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new()));
    (Recorder(seen.clone()), seen)
}

#[test]
fn r19_threads_remove_and_deliver() {
    for workers in [1, 2, 4] {
        let (sink, seen) = recorder();
        let workers = Workers::Fixed(NonZeroUsize::new(workers).unwrap());
        let live = live(Config { workers, ..config() }, sink);
        let ids: Vec<_> = (0..40_u8).map(|number| live.open(peer(number % 8, &[number % 8]))).collect();
        ids.iter().for_each(|id| assert!(!live.cleanup.close(*id, Cause::Killed).is_refused()));
        wait_until(|| live.cleanup.stats().done == 40 && seen.lock().len() == 16);
        assert_eq!((live.cleanup.connections(), live.cleanup.stats().worker_restarts), (0, 0));
        live.join();
    }
}

#[test]
fn r18_dropping_everything_ends_all_threads() {
    let (sink, _) = recorder();
    let live =
        live(Config { sweep_every: Duration::from_secs(3600), linger: BOUND, ..config() }, Muted(sink));
    let id = live.open(peer(1, &[1]));
    live.cleanup.close(id, Cause::Lost);
    live.join();
}

/// A recorder that takes dead letters.
struct Muted(Recorder);

impl EventSink<App, Event<(u8, u8)>> for Muted {
    fn deliver(&self, app: &App, events: &[Event<(u8, u8)>]) -> Vec<Outcome> {
        self.0.deliver(app, events)
    }
}

#[test]
fn r18_threads_drain_on_their_own() {
    let (sink, seen) = recorder();
    let live = live(Config { shutdown_events: true, ..config() }, sink);
    (0..100).for_each(|number| {
        live.open(peer(number % 4, &[1]));
    });
    let steps = StdArc::new(AtomicUsize::new(0));
    let counted = steps.clone();
    let report = live
        .cleanup
        .drain()
        .deadline(BOUND)
        .on_progress(move |progress| {
            assert!(progress.open + progress.closing <= 100);
            // Relaxed: a counter.
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .run();
    assert_eq!(
        (report.closed, report.done, report.lost, report.is_complete),
        (100, 100, 0, true),
        "{report}"
    );
    // Relaxed: the drain has ended.
    assert!(steps.load(Ordering::Relaxed) >= 2 && seen.lock().len() == 8);
    // The threads have ended although there is a handle.
    let Live { cleanup, threads, writer, .. } = live;
    assert!(threads.join_timeout(BOUND).is_ok());
    assert_eq!(cleanup.connections(), 0);
    drop(cleanup);
    assert!(writer.join_timeout(BOUND).is_ok());
}

#[test]
fn r19_a_drain_is_awaited_by_any_runtime() {
    let (sink, _) = recorder();
    let live = live(config(), sink);
    (0..20).for_each(|number| {
        live.open(peer(number % 4, &[1]));
    });
    let mut sleeps = 0;
    let sleep = |time: Duration| {
        assert!(time <= Duration::from_millis(10));
        sleeps += 1;
        crate::sync::sleep(time);
        std::future::ready(())
    };
    let report = crate::sync::model::block_on(live.cleanup.drain().deadline(BOUND).run_async(sleep));
    assert!(report.is_complete && sleeps > 0, "{report}");
    live.join();
}

#[test]
fn r18_if_a_thread_cannot_be_started_everything_comes_back() {
    let (table, _) = Cleanup::<Peer, Counted>::table_builder().build();
    let (writer, driver) = SharedWriter::new(table, shared::Config::new());
    for fails in 0..5 {
        let started = AtomicUsize::new(0);
        let start = |name: String, body: Box<dyn FnOnce() + Send>| {
            // Relaxed: a counter of one thread.
            if started.fetch_add(1, Ordering::Relaxed) == fails {
                return Err(io::Error::from(io::ErrorKind::WouldBlock));
            }
            crate::sync::spawn(name, body)
        };
        let (sink, seen) = recorder();
        let builder = Cleanup::<Peer, Counted>::builder().config(Config { sink_threads: 3, ..config() });
        let error = builder.spawn_with(start, writer.clone(), sink).unwrap_err();
        assert!(error.to_string().starts_with("the system could not create a thread"));
        let (kind, builder, _writer, sink) = error.into_parts();
        assert!(matches!(kind, SpawnErrorKind::Thread(_)));
        assert_eq!(StdArc::strong_count(&seen), 2, "the threads that were started have ended");
        assert!(builder.build(writer.clone(), sink).is_ok());
    }
    let invalid = Cleanup::<Peer, Counted>::builder().config(Config { batch_max: 0, ..Config::default() });
    let (kind, ..) = invalid.spawn(writer, recorder().0).unwrap_err().into_parts();
    assert!(matches!(kind, SpawnErrorKind::Config(error) if error.problems().len() == 1));
    drop(driver);
}

/// A sink that joins the threads it runs on, once it has them.
struct Joins(StdArc<Mutex<Option<CleanupThreads<Peer, Counted>>>>, StdArc<AtomicUsize>);

impl EventSink<App, Event<(u8, u8)>> for Joins {
    fn deliver(&self, _: &App, events: &[Event<(u8, u8)>]) -> Vec<Outcome> {
        let Some(threads) = self.0.lock().take() else { return Vec::new() };
        match threads.join() {
            // Dropped here, on one of the threads.
            Err(JoinError::OwnThread(threads)) => drop(threads),
            _ => return vec![Outcome::Refused; events.len()],
        }
        // Relaxed: a counter.
        self.1.fetch_add(1, Ordering::Relaxed);
        vec![Outcome::Delivered; events.len()]
    }
}

#[test]
fn r19_a_thread_does_not_wait_for_itself() {
    let place = StdArc::new(Mutex::new(&TEST_AUXILIARY, None));
    let joined = StdArc::new(AtomicUsize::new(0));
    let Live { cleanup, threads, writer, ended } = live(config(), Joins(place.clone(), joined.clone()));
    *place.lock() = Some(threads);
    let ticket = cleanup.open(peer(1, &[1]), None, Counted(ended)).unwrap();
    let id = ticket.wait_timeout(BOUND).unwrap().unwrap().detach();
    // Relaxed: asked until it is so.
    wait_until(|| joined.load(Ordering::Relaxed) == 1);
    cleanup.close(id, Cause::Killed);
    wait_until(|| cleanup.stats().done == 1);
    drop(cleanup);
    assert!(writer.join_timeout(BOUND).is_ok(), "the detached threads have ended");
}

#[test]
fn r4_the_marks_are_reported_with_hysteresis() {
    let seen = StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new()));
    let (table, _) = Cleanup::<Peer, Counted>::table_builder().build();
    let (writer, mut driver) = SharedWriter::new(table, shared::Config::new());
    let noted = seen.clone();
    let cleanup = Cleanup::<Peer, Counted>::builder()
        .config(Config { capacity: 10, batch_max: 3, ..config() })
        .on_crossing(move |worker, crossing| noted.lock().push((worker, crossing)))
        .build(writer, recorder().0)
        .unwrap();
    let ended = StdArc::new(AtomicU64::new(0));
    let opening: Vec<_> =
        (0..10).map(|_| cleanup.open(peer(1, &[]), None, Counted(ended.clone())).unwrap()).collect();
    while driver.turn() == shared::Turn::More {}
    for ticket in opening {
        assert_eq!(ticket.wait().unwrap().close(Cause::Lost), Closed::Queued);
    }
    for _ in 0..4 {
        assert!(matches!(cleanup.run_batch(0), Progress::Cleaned(_)));
        while driver.turn() == shared::Turn::More {}
    }
    assert_eq!(*seen.lock(), [(0, Crossing::High), (0, Crossing::Low)]);
}
