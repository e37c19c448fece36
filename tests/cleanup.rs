//! What a disconnect cleanup pipeline promises, through its public interface: rules, and bugs that are impossible here.
#![allow(clippy::unwrap_used, clippy::disallowed_types)] // A panic fails the test; its state is behind locks.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use switchboard::SharedWriter;
use switchboard::cleanup::{
    Cause, Change, Cleanup, Closed, Config, ConnectionId, DeadLetter, DrainStep, Entry, Event, EventSink,
    Groups, Outcome, Overflow, Progress, Resources, Workers,
};
use switchboard::clock::ManualClock;
use switchboard::table::shared::{self, Driver, Turn};

/// A connection in some channels of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    app: u8,
    channels: BTreeSet<u8>,
}

impl Entry for Peer {
    type App = u8;
    type Group = (u8, u8);

    fn app(&self) -> &u8 {
        &self.app
    }

    fn groups(&self, visit: &mut dyn FnMut((u8, u8))) {
        self.channels.iter().for_each(|channel| visit((self.app, *channel)));
    }
}

fn peer(app: u8, channels: &[u8]) -> Peer {
    Peer { app, channels: channels.iter().copied().collect() }
}

type Call = Box<dyn FnMut(Cause) + Send>;

/// Calls a function when the connection is closed, and another one when it is dropped.
#[derive(Default)]
struct Socket {
    on_close: Option<Call>,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl Resources for Socket {
    fn closed(&mut self, cause: Cause) {
        if let Some(call) = &mut self.on_close {
            call(cause);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(call) = self.on_drop.take() {
            call();
        }
    }
}

type Seen = Arc<Mutex<Vec<((u8, u8), Change)>>>;
type OnEvent = Box<dyn Fn() + Send + Sync>;

/// Records events, after a call of a function.
struct Sink {
    seen: Seen,
    on_event: OnceLock<OnEvent>,
    outcome: Outcome,
    dead: AtomicU64,
}

impl EventSink<u8, Event<(u8, u8)>> for Sink {
    fn deliver(&self, _: &u8, events: &[Event<(u8, u8)>]) -> Vec<Outcome> {
        if let Some(call) = self.on_event.get() {
            call();
        }
        self.seen.lock().unwrap().extend(events.iter().map(|event| (event.group, event.change)));
        vec![self.outcome; events.len()]
    }

    fn dead_letter(&self, _: DeadLetter<u8, Event<(u8, u8)>>) {
        if let Some(call) = self.on_event.get() {
            call();
        }
        self.dead.fetch_add(1, Ordering::Relaxed);
    }
}

struct Rig {
    cleanup: Cleanup<Peer, Socket>,
    driver: Driver<ConnectionId, Peer, Groups<Peer>>,
    writer: SharedWriter<ConnectionId, Peer, Groups<Peer>>,
    sink: Arc<Sink>,
    clock: ManualClock,
}

fn config() -> Config {
    let mut config = Config::default();
    config.workers = Workers::Fixed(NonZeroUsize::MIN);
    config.event_delay = Duration::ZERO;
    config
}

fn changed(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = config();
    change(&mut config);
    config
}

impl Rig {
    fn new(config: Config) -> Self {
        Self::with(config, Outcome::Delivered)
    }

    fn with(config: Config, outcome: Outcome) -> Self {
        let (writer, _) = Cleanup::<Peer, Socket>::table_builder().build();
        let (writer, driver) = SharedWriter::new(writer, shared::Config::new());
        let seen = Seen::default();
        let sink = Arc::new(Sink { seen, on_event: OnceLock::new(), outcome, dead: AtomicU64::new(0) });
        let clock = ManualClock::new();
        let builder = Cleanup::builder().config(config).max_connections(64).clock(clock.clone());
        let cleanup = builder.build(writer.clone(), sink.clone()).unwrap();
        Self { cleanup, driver, writer, sink, clock }
    }

    fn turn(&mut self) {
        while self.driver.turn() == Turn::More {}
    }

    fn open_with(&mut self, peer: Peer, socket: Socket) -> ConnectionId {
        let ticket = self.cleanup.open(peer, None, socket).unwrap();
        self.turn();
        ticket.wait().unwrap().detach()
    }

    fn open(&mut self, peer: Peer) -> ConnectionId {
        self.open_with(peer, Socket::default())
    }

    fn run(&mut self) {
        for _ in 0..9 {
            self.turn();
            for worker in 0..self.cleanup.workers() {
                while matches!(self.cleanup.run_batch(worker), Progress::Cleaned(_)) {
                    self.turn();
                }
            }
            while self.cleanup.run_sink() {}
        }
    }

    /// Lets so much time pass that everything is swept and due.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.run();
            self.clock.advance(Duration::from_secs(60));
            self.cleanup.sweep();
        }
        self.run();
    }

    fn seen(&self) -> Vec<((u8, u8), Change)> {
        std::mem::take(&mut *self.sink.seen.lock().unwrap())
    }

    fn check_empty(&self) {
        let stats = self.cleanup.stats();
        assert!(stats.adds_up(), "{stats:?}");
        assert_eq!((stats.open, stats.queued, stats.deferred), (0, 0, 0), "{stats:?}");
        let snapshot = self.cleanup.table().snapshot();
        assert_eq!(
            (snapshot.len(), snapshot.index().groups().count(), self.cleanup.connections()),
            (0, 0, 0)
        );
    }
}

#[test]
fn b1_the_queue_is_bounded() {
    let mut rig = Rig::new(changed(|config| {
        (config.capacity, config.batch_max, config.overflow) = (10, 10, Overflow::Defer);
    }));
    let ids: Vec<_> = (0..60).map(|_| rig.open(peer(1, &[1]))).collect();
    for id in ids {
        assert!(!rig.cleanup.close(id, Cause::Lost).is_lost());
        assert!(rig.cleanup.worker_stats()[0].len <= 10);
    }
    assert_eq!(rig.cleanup.stats().deferred, 50);
    rig.settle();
    rig.check_empty();
}

#[test]
fn b2_a_connection_that_no_queue_takes_is_not_in_limbo() {
    let mut rig = Rig::new(changed(|config| (config.capacity, config.batch_max) = (1, 1)));
    let ids = [(); 2].map(|()| rig.open(peer(1, &[1])));
    assert_eq!(rig.cleanup.try_close(ids[0], Cause::Lost), Closed::Queued);
    assert_eq!(rig.cleanup.try_close(ids[1], Cause::Lost), Closed::Full);
    assert!(rig.cleanup.is_open(ids[1]));
    rig.run();
    assert_eq!(rig.cleanup.try_close(ids[1], Cause::Lost), Closed::Queued, "it can be closed again");
    rig.run();
    rig.check_empty();
}

/// A close that comes while the connection is being changed, in the turn of the writer, takes effect.
#[test]
fn b4_n1_a_busy_connection_is_closed_nevertheless() {
    for overflow in [Overflow::Inline, Overflow::Defer] {
        let mut rig = Rig::new(changed(|config| {
            (config.capacity, config.batch_max, config.overflow) = (1, 1, overflow);
        }));
        let ids = [(); 2].map(|()| rig.open(peer(1, &[1])));
        let results = Arc::new(Mutex::new(Vec::new()));
        for id in ids {
            let (cleanup, noted) = (rig.cleanup.clone(), results.clone());
            let close = move |_: &mut Peer| noted.lock().unwrap().push(cleanup.close(id, Cause::Killed));
            drop(rig.cleanup.update(id, close).unwrap());
        }
        rig.turn();
        let results = results.lock().unwrap().clone();
        assert!(results.iter().all(|closed| !closed.is_lost() && !closed.is_refused()), "{results:?}");
        rig.settle();
        rig.check_empty();
    }
}

/// When the sink is told that a group is vacated, no version that it can see has a member of it.
#[test]
fn b5_r9_events_come_after_the_publication() {
    let mut rig = Rig::new(config());
    let id = rig.open(peer(1, &[7]));
    rig.run();
    let counts = Arc::new(Mutex::new(Vec::new()));
    let (cleanup, noted) = (rig.cleanup.clone(), counts.clone());
    let look = move || noted.lock().unwrap().push(cleanup.table().snapshot().index().count(&(1, 7)));
    assert!(rig.sink.on_event.set(Box::new(look)).is_ok());
    rig.cleanup.close(id, Cause::Lost);
    rig.run();
    assert_eq!(*counts.lock().unwrap(), [0]);
}

/// R9: a change that was sent before the close is not overtaken by the removal, and one after it does nothing.
#[test]
fn r9_r15_n12_registrations_come_before_removals() {
    let mut rig = Rig::new(config());
    let id = rig.open(peer(1, &[]));
    let subscribe = |channel| move |peer: &mut Peer| peer.channels.insert(channel);
    let early = rig.cleanup.update(id, subscribe(1)).unwrap();
    rig.turn();
    rig.cleanup.close(id, Cause::Lost);
    let late = rig.cleanup.update(id, subscribe(2)).unwrap();
    assert_eq!(rig.cleanup.run_batch(0), Progress::Cleaned(1));
    let later = rig.cleanup.update(id, subscribe(3)).unwrap();
    rig.run();
    assert_eq!([early, late, later].map(|ticket| ticket.wait().unwrap()), [Some(true), None, None]);
    assert_eq!(rig.seen(), [((1, 1), Change::Occupied), ((1, 1), Change::Vacated)]);
    rig.check_empty();
}

/// R20: user code that calls the pipeline again, from each place where it is called.
#[test]
fn r20_b7_user_code_may_call_the_pipeline() {
    let mut rig = Rig::with(changed(|config| config.sink_retries = 0), Outcome::Retry);
    let entered = Arc::new(AtomicU64::new(0));
    let call = {
        let (cleanup, entered) = (rig.cleanup.clone(), entered.clone());
        move || {
            let _ = cleanup.stats();
            let _ = cleanup.pressure();
            let _ = cleanup.pending_events();
            let _ = cleanup.recent();
            let _ = cleanup.purge(Cause::Killed, 9, |_, peer| peer.app == 9);
            cleanup.sweep();
            let _ = cleanup.run_batch(0);
            let opened = cleanup.open(peer(9, &[9]), None, Socket::default());
            assert!(opened.is_ok(), "no lock is held");
            entered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (on_close, on_drop, on_event) = (call.clone(), call.clone(), call);
    assert!(rig.sink.on_event.set(Box::new(on_event)).is_ok());
    let socket = Socket { on_close: Some(Box::new(move |_| on_close())), on_drop: Some(Box::new(on_drop)) };
    let id = rig.open_with(peer(1, &[1]), socket);
    rig.cleanup.close(id, Cause::Lost);
    for _ in 0..20 {
        let _ = rig.cleanup.run_batch(0);
        let _ = rig.driver.turn();
        rig.cleanup.run_sink();
    }
    assert!(entered.load(Ordering::Relaxed) >= 4, "close, drop, sink, dead letter");
    assert!(rig.sink.dead.load(Ordering::Relaxed) > 0 && rig.cleanup.stats().sink_panics == 0);
}

/// B3: the whole batch was removed under the lock that accepts take.
#[test]
fn b3_a_batch_that_is_being_removed_holds_no_lock() {
    let mut rig = Rig::new(config());
    let ids: Vec<_> = (0..3).map(|number| rig.open(peer(1, &[number]))).collect();
    ids[..2].iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    // The same thread goes on with everything else, which would wait for a lock that the batch holds.
    assert_eq!(rig.cleanup.run_batch(0), Progress::Cleaned(2));
    let opening = rig.cleanup.open(peer(1, &[7]), None, Socket::default()).unwrap();
    assert_eq!(rig.cleanup.close(ids[2], Cause::Lost), Closed::Queued);
    assert_eq!(rig.cleanup.close(ids[0], Cause::Lost), Closed::AlreadyClosing);
    assert_eq!(rig.cleanup.worker_stats()[0].len, 1);
    assert_eq!((rig.cleanup.sweep(), rig.cleanup.run_batch(0)), (0, Progress::Waiting));
    assert_eq!(rig.cleanup.table().snapshot().len(), 3, "nothing is published yet");
    rig.turn();
    assert_eq!(
        rig.cleanup.table().snapshot().len(),
        2,
        "the connection that was opened, and the last of the old ones"
    );
    drop(opening);
    rig.settle();
    rig.check_empty();
}

/// B11: the peer was told of another reason than the one for which it was closed, or of none.
#[test]
fn b11_the_cause_of_the_first_close_is_the_one_that_counts() {
    let mut rig = Rig::new(config());
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = told.clone();
    let on_close = move |cause| noted.lock().unwrap().push(cause);
    let id = rig.open_with(peer(1, &[1]), Socket { on_close: Some(Box::new(on_close)), on_drop: None });
    assert_eq!(rig.cleanup.close(id, Cause::Killed), Closed::Queued);
    assert_eq!(*told.lock().unwrap(), [Cause::Killed], "told before the connection is queued");
    for cause in [Cause::Closed, Cause::Lost, Cause::Shutdown] {
        assert_eq!(rig.cleanup.close(id, cause), Closed::AlreadyClosing);
    }
    rig.settle();
    assert_eq!(*told.lock().unwrap(), [Cause::Killed]);
    assert_eq!(rig.cleanup.recent().iter().map(|ended| ended.cause).collect::<Vec<_>>(), [Cause::Killed]);
    rig.check_empty();
}

/// R3: what must not wait is released by the call itself, once, on each path.
#[test]
fn r3_b9_n13_quotas_are_released_at_once_and_once() {
    for (overflow, inline) in [(Overflow::Inline, 9), (Overflow::Defer, 1)] {
        let mut rig = Rig::new(changed(|config| {
            (config.capacity, config.batch_max, config.overflow) = (1, 1, overflow);
            config.inline_max = NonZeroUsize::new(inline);
        }));
        let quota = Arc::new(AtomicU64::new(0));
        let mut ids = Vec::new();
        for _ in 0..5 {
            let held = quota.clone();
            held.fetch_add(1, Ordering::Relaxed);
            let on_close = move |_| {
                held.fetch_sub(1, Ordering::Relaxed);
            };
            ids.push(
                rig.open_with(peer(1, &[1]), Socket { on_close: Some(Box::new(on_close)), on_drop: None }),
            );
        }
        for (number, id) in ids.iter().enumerate() {
            assert!(!rig.cleanup.close(*id, Cause::Lost).is_lost());
            assert_eq!(rig.cleanup.close(*id, Cause::Killed), Closed::AlreadyClosing);
            assert_eq!(quota.load(Ordering::Relaxed), 4 - number as u64, "released by the call");
            assert_eq!(rig.cleanup.stats().open, 4 - number as u64);
        }
        rig.settle();
        assert!(ids.iter().all(|id| rig.cleanup.close(*id, Cause::Lost) == Closed::NotFound));
        assert_eq!((rig.cleanup.stats().stale, rig.cleanup.stats().not_found), (5, 0));
        assert_eq!(quota.load(Ordering::Relaxed), 0);
        rig.check_empty();
    }
}

/// B10: the entry is gone already, because the host has removed it: the slot and the resources are freed all the same.
#[test]
fn r14_b10_an_entry_that_is_gone_holds_up_nothing() {
    let mut rig = Rig::new(config());
    let dropped = Arc::new(AtomicU64::new(0));
    let counted = dropped.clone();
    let on_drop = move || {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let id = rig.open_with(peer(1, &[1]), Socket { on_close: None, on_drop: Some(Box::new(on_drop)) });
    rig.writer.remove(id).unwrap();
    rig.turn();
    assert_eq!(rig.cleanup.close(id, Cause::Lost), Closed::Queued);
    rig.run();
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    rig.check_empty();
}

/// B13: all connections of a node that has failed.
#[test]
fn p1_b12_b13_the_connections_of_a_dead_node_are_purged() {
    let mut rig = Rig::new(config());
    (0..20).for_each(|number| {
        rig.open(peer(number % 4, &[number]));
    });
    assert_eq!(rig.cleanup.purge(Cause::Lost, usize::MAX, |_, peer| peer.app == 3), 5);
    rig.settle();
    assert_eq!(rig.cleanup.table().snapshot().len(), 15);
    assert_eq!(rig.cleanup.purge(Cause::Lost, usize::MAX, |_, _| true), 15);
    rig.settle();
    rig.check_empty();
}

/// N4: a report that unwinds in the middle, as one whose task is cancelled there, leaves nothing half done.
#[test]
fn r13_n4_a_report_that_panics_is_cleaned() {
    let mut rig = Rig::new(config());
    let on_close = |_| panic!("the socket panics");
    let on_drop = || panic!("and its destructor");
    let id = rig.open_with(
        peer(1, &[1]),
        Socket { on_close: Some(Box::new(on_close)), on_drop: Some(Box::new(on_drop)) },
    );
    assert_eq!(rig.cleanup.close(id, Cause::Lost), Closed::Queued);
    rig.run();
    assert_eq!(rig.cleanup.stats().done, 1);
    rig.check_empty();
}

/// N5, N6, N11: on each path the same events, exactly one per group, and the same resources.
#[test]
fn r6_n5_n6_n11_each_path_has_the_same_effects() {
    let mut all = Vec::new();
    for path in 0..4 {
        let mut rig = Rig::new(changed(|config| {
            config.shutdown_events = true;
            match path {
                0 => {}
                1 => (config.async_enabled, config.inline_max) = (false, NonZeroUsize::new(99)),
                _ => (config.overflow, config.capacity, config.batch_max) = (Overflow::Defer, 1, 1),
            }
        }));
        let dropped = Arc::new(AtomicU64::new(0));
        let mut ids = Vec::new();
        for number in 0..12 {
            let counted = dropped.clone();
            let on_drop = move || {
                counted.fetch_add(1, Ordering::Relaxed);
            };
            let socket = Socket { on_close: None, on_drop: Some(Box::new(on_drop)) };
            ids.push(rig.open_with(peer(1, &[number % 3, 7]), socket));
        }
        rig.run();
        rig.seen();
        if path == 3 {
            let mut drain = rig.cleanup.drain();
            while let DrainStep::WaitUntil(_) = drain.step() {
                rig.turn();
            }
        } else {
            ids.iter().for_each(|id| assert!(!rig.cleanup.close(*id, Cause::Killed).is_refused()));
        }
        rig.settle();
        assert_eq!(dropped.load(Ordering::Relaxed), 12);
        rig.check_empty();
        let mut seen = rig.seen();
        seen.sort_unstable_by_key(|(group, _)| *group);
        all.push(seen);
    }
    let expected: Vec<_> = [0, 1, 2, 7].map(|channel| ((1, channel), Change::Vacated)).to_vec();
    assert!(all.iter().all(|seen| *seen == expected), "{all:?}");
}

/// N2: refusals count although their callers clean, and a report of a closed connection does not reset them.
#[test]
fn r16_n2_overflow_opens_the_breaker() {
    let mut rig = Rig::new(changed(|config| {
        (config.capacity, config.batch_max, config.breaker_failures) = (1, 1, 3);
    }));
    let ids: Vec<_> = (0..6).map(|_| rig.open(peer(1, &[1]))).collect();
    for id in &ids {
        rig.cleanup.close(*id, Cause::Lost);
        assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::AlreadyClosing);
    }
    let stats = rig.cleanup.stats();
    assert_eq!((stats.breaker_opens, stats.breaker), (1, switchboard::cleanup::BreakerPhase::Open));
    rig.settle();
    rig.check_empty();
}

/// N14, B6: nothing is kept per app, channel or user that has come and gone, and no event is left behind.
#[test]
fn n14_b6_nothing_is_kept_of_what_has_gone() {
    let mut rig = Rig::new(config());
    for round in 0..=255 {
        let id = rig.open(peer(round, &[round]));
        rig.cleanup.close(id, Cause::Lost);
        rig.run();
    }
    assert_eq!(rig.cleanup.pending_events(), (0, 0));
    assert_eq!(rig.seen().len(), 512);
    rig.check_empty();
}

#[cfg(feature = "sessions")]
mod sessions {
    use switchboard::sessions::{Connection, Run, Sessions};

    use super::*;

    /// A socket with its connection of a session, and its run.
    struct Held {
        connection: Option<Connection<u32, u64, ()>>,
        run: Run<u32, u64, ()>,
        cancelled: Arc<AtomicU64>,
    }

    impl Resources for Held {
        fn closed(&mut self, _: Cause) {
            // The end of the connection asks the run to stop; both are released with the batch.
            if let Some(connection) = self.connection.take() {
                let _ = connection.disconnect();
            }
            self.cancelled.fetch_add(u64::from(self.run.is_cancelled()), Ordering::Relaxed);
        }
    }

    /// The run of a session is asked to stop when the connection is closed, and released in the batch that removes it: not
    /// before its entry has left the table.
    #[test]
    fn r3_r14_runs_are_released_in_the_batch_of_their_connection() {
        let sessions: Sessions<u32, u64> = Sessions::new();
        let (writer, _) = Cleanup::<Peer, Held>::table_builder().build();
        let (writer, mut driver) = SharedWriter::new(writer, shared::Config::new());
        let sink = Sink {
            seen: Seen::default(),
            on_event: OnceLock::new(),
            outcome: Outcome::Delivered,
            dead: AtomicU64::new(0),
        };
        let cleanup =
            Cleanup::<Peer, Held>::builder().config(config()).build(writer, Arc::new(sink)).unwrap();
        let cancelled = Arc::new(AtomicU64::new(0));
        let mut ids = Vec::new();
        for key in 0..8 {
            let connection = sessions.connect(&key, ()).connection;
            let run = connection.try_begin().unwrap();
            assert!(run.start());
            let held = Held { connection: Some(connection), run, cancelled: cancelled.clone() };
            let ticket = cleanup.open(peer(1, &[1]), None, held).unwrap();
            while driver.turn() == Turn::More {}
            ids.push(ticket.wait().unwrap().detach());
        }
        // No connection is opened any longer, so that batches are large.
        (0..300).for_each(|_| assert_eq!(cleanup.run_batch(0), Progress::Idle));
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(cleanup.close(*id, Cause::Lost), Closed::Queued);
            assert_eq!(cancelled.load(Ordering::Relaxed), number as u64 + 1, "asked at once");
        }
        assert!((0..8).all(|key| sessions.try_begin(&key).is_err()), "still running");
        let before = cleanup.table().version().as_u64();
        assert_eq!(cleanup.run_batch(0), Progress::Cleaned(8));
        assert!((0..8).all(|key| sessions.try_begin(&key).is_err()), "not before the publication");
        while driver.turn() == Turn::More {}
        assert_eq!(cleanup.table().version().as_u64(), before + 1, "one version");
        assert!((0..8).all(|key| sessions.try_begin(&key).is_ok()), "released with the batch");
    }
}
