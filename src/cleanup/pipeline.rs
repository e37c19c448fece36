//! The pipeline, driven by its callers.

pub(super) mod builder;
pub(super) mod close;
pub(super) mod connection;
pub(super) mod drain;
pub(super) mod figures;
#[cfg(all(test, not(switchboard_loom)))] // Too large for loom: `cleanup::models` explores the parts.
mod models;
pub(super) mod open;
mod parts;
pub(super) mod run;
#[cfg(all(test, not(switchboard_model)))]
mod tests;
pub(super) mod threads;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use super::breaker::Breaker;
use super::clean::Changed;
use super::config::{Config, Tuning};
use super::entry::{Entry, Event, Groups, Resources, groups_of};
use super::events::{DeadLetters, Events};
use super::gate::Gate;
use super::grace::Delay;
use super::hooks::Hooks;
use super::limits::Limits;
use super::marks::Crossing;
use super::moment::Moment;
use super::recent::Recent;
use super::sender::Sender;
use super::sink::EventSink;
use super::slots::{Cause, ConnectionId, Slots};
use super::stats::Counters;
use super::worker::Worker;
use crate::clock::Clock;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, StdArc};
use crate::table::builder::TableBuilder;
use crate::table::shared::{CommitError, Committed};
use crate::table::{DefaultHashBuilder, GroupIndex};
use crate::unwind::contain;
use crate::{SharedWriter, Table};

/// A cleanup pipeline: the connections of one table, from their opening to the events of their end.
///
/// It is a handle; clones are the same pipeline. [`Builder::spawn`](super::Builder::spawn) starts threads that run it.
/// With [`Builder::build`](super::Builder::build), its callers run the [batches](Self::run_batch), the
/// [sweeps](Self::sweep) and the [sink](Self::run_sink). The writer of the table is driven by its own
/// [`Driver`](crate::table::shared::Driver) or thread.
///
/// When the last handle is dropped, the threads remove what is queued, and end.
///
/// # Progress
/// No method waits. [`close`](Self::close) is one exchange of the connection's slot, three short locks (of the slot, of
/// one worker's queue and of the limits, under which no user code runs), and [`Resources::closed`].
///
/// # Panics in user code
/// A panic of the resources, of the sink, or of an entry ends nothing. A batch in which an entry
/// panics is repeated one by one; the connection whose entry panics again is removed without its
/// events, and counted in [`Stats::failed`](crate::cleanup::Stats::failed).
///
/// # Examples
/// ```
/// use std::sync::Mutex;
/// use switchboard::SharedWriter;
/// use switchboard::cleanup::{Cause, Change, Cleanup, Closed, Entry, Event, EventSink, Outcome};
/// use switchboard::table::shared;
///
/// #[derive(Clone)]
/// struct Peer {
///     app: u32,
///     channels: Vec<&'static str>,
/// }
///
/// impl Entry for Peer {
///     type App = u32;
///     type Group = (u32, &'static str);
///
///     fn app(&self) -> &u32 {
///         &self.app
///     }
///
///     fn groups(&self, visit: &mut dyn FnMut(Self::Group)) {
///         self.channels.iter().for_each(|channel| visit((self.app, channel)));
///     }
/// }
///
/// struct Webhook(&'static Mutex<Vec<(&'static str, Change)>>);
///
/// impl EventSink<u32, Event<(u32, &'static str)>> for Webhook {
///     fn deliver(&self, _app: &u32, events: &[Event<(u32, &'static str)>]) -> Vec<Outcome> {
///         self.0.lock().unwrap().extend(events.iter().map(|event| (event.group.1, event.change)));
///         vec![Outcome::Delivered; events.len()]
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// static SENT: Mutex<Vec<(&str, Change)>> = Mutex::new(Vec::new());
/// let (writer, table) = Cleanup::<Peer>::table_builder().build();
/// let (writer, mut driver) = SharedWriter::new(writer, shared::Config::new());
/// let cleanup = Cleanup::<Peer>::builder().max_connections(1000).build(writer, Webhook(&SENT))?;
///
/// let peers = [(); 3].map(|()| Peer { app: 7, channels: vec!["room"] });
/// let opening = peers.map(|peer| cleanup.open(peer, None, ()));
/// let _ = driver.turn();
/// for ticket in opening {
///     assert_eq!(ticket?.wait()?.close(Cause::Closed), Closed::Queued);
/// }
/// assert_eq!((table.snapshot().len(), cleanup.stats().queued), (3, 3));
///
/// while cleanup.stats().queued > 0 {
///     for worker in 0..cleanup.workers() {
///         let _ = cleanup.run_batch(worker);
///     }
///     let _ = driver.turn();
/// }
/// assert_eq!((table.snapshot().len(), cleanup.stats().done), (0, 3));
/// while cleanup.run_sink() {}
/// assert_eq!(*SENT.lock().unwrap(), [("room", Change::Occupied), ("room", Change::Vacated)]);
/// # Ok(())
/// # }
/// ```
pub struct Cleanup<V: Entry, R: Resources = ()> {
    shared: StdArc<Shared<V, R>>,
    /// The handles, which own the pipeline together.
    _owner: StdArc<Owner<V, R>>,
}

/// Ends the pipeline when it is dropped, with the last handle. Its threads and its callbacks have no handle.
struct Owner<V: Entry, R: Resources>(StdArc<Shared<V, R>>);

pub(super) struct Shared<V: Entry, R> {
    config: Config,
    writer: SharedWriter<ConnectionId, V, Groups<V>>,
    slots: StdArc<Slots<R>>,
    sender: Sender<R>,
    /// One per worker: that one queue is full says nothing about the others.
    breakers: Box<[Breaker]>,
    gate: StdArc<Gate>,
    limits: Mutex<StdArc<Limits>>,
    /// There is a limit.
    is_limited: AtomicBool,
    /// The batch size and the linger, see `figures::pack`.
    tuning: AtomicU64,
    /// The settings of `limits`.
    rates: Mutex<Tuning>,
    /// Valid after a panic: pushed to and read.
    recent: Mutex<Recent>,
    counters: Counters,
    /// Valid after a panic of a group's code: each step leaves its parts whole, and may lose its events.
    events: Mutex<Events<V::App, V::Group>>,
    /// Notified when there are new events, and when the pipeline is stopped.
    new_events: Condvar,
    /// For those that wait for an end: the number of times that something was removed or delivered while a drain ran.
    pause: Mutex<u64>,
    /// Notified when the pipeline is stopped, for the thread that sweeps.
    end_of_pause: Condvar,
    /// Notified when the number under `pause` has grown.
    drained: Condvar,
    sink: StdArc<dyn EventSink<V::App, Event<V::Group>>>,
    clock: StdArc<dyn Clock>,
    hooks: Hooks,
    origin: Instant,
    hasher: DefaultHashBuilder,
    /// The number of the next transaction.
    next: AtomicU64,
    random: AtomicU64,
    /// Connections that were opened or changed.
    asked: AtomicU64,
    /// The slot at which the next sweep begins.
    cursor: AtomicUsize,
    /// No connection is opened any more.
    is_draining: AtomicBool,
    /// Nothing is queued any more, and threads end.
    is_stopped: AtomicBool,
    /// There are threads. Otherwise the callers do all work.
    has_threads: AtomicBool,
}

/// The number of a transaction, once it has drawn one.
#[derive(Clone)]
struct Number(StdArc<AtomicU64>);

impl Number {
    fn new() -> Self {
        Self(StdArc::new(AtomicU64::new(0)))
    }

    /// Called in the transaction, as its last step but for the opening of a slot.
    fn draw(&self, next: &AtomicU64) {
        // Relaxed: the one writer draws; the completion of the ticket, or its failure, orders the store for `get`.
        self.0.store(next.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        // Relaxed: as in `draw`.
        self.0.load(Ordering::Relaxed).checked_sub(1)
    }
}

/// Entries whose destructors, which are the user's, run one by one: a second panic in one drop ends the process.
struct Old<V>(Vec<V>);

impl<V> Drop for Old<V> {
    fn drop(&mut self) {
        for old in self.0.drain(..) {
            // Unwind safety: nothing of it remains.
            let _ = contain(AssertUnwindSafe(|| drop(old)));
        }
    }
}

type Outcome<V> = Result<Committed<Changed<V>>, CommitError>;

impl<V: Entry, R: Resources> Cleanup<V, R> {
    /// Returns the builder of a table of connections. Its writer, shared, is given to the
    /// [builder](Self::builder) of the pipeline.
    pub fn table_builder() -> TableBuilder<ConnectionId, V, Groups<V>> {
        Table::<ConnectionId, V>::builder().index(GroupIndex::new(groups_of::<V> as _))
    }

    fn from_shared(shared: StdArc<Shared<V, R>>) -> Self {
        Self { _owner: StdArc::new(Owner(shared.clone())), shared }
    }

    /// Returns the table of connections: for snapshots, readers and feeds.
    ///
    /// The members of a group are the keys of the index: `table.snapshot().index().keys(&group)`, and their number is
    /// `count(&group)`; both are of one version. A connection stays in the table until its removal is published, so a
    /// member may have been closed already.
    #[must_use]
    pub fn table(&self) -> &Table<ConnectionId, V, Groups<V>> {
        self.shared.writer.table()
    }

    /// Returns whether the connection is open. It may be closed at any moment.
    #[must_use]
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.shared.slots.is_open(id)
    }

    /// Returns the settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Returns the number of connections that are open, being opened, or not cleaned yet. Those that are open are
    /// [`Stats::open`](super::Stats::open).
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.slots.len()
    }

    /// Returns the number of connections that there can be.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.shared.slots.capacity()
    }
}

impl<V: Entry, R: Resources> Shared<V, R> {
    pub(super) fn is_open(&self, id: ConnectionId) -> bool {
        self.slots.is_open(id)
    }

    fn now(&self) -> Moment {
        Moment::START.after(self.clock.now().saturating_duration_since(self.origin))
    }

    fn delay(&self, cause: Cause) -> Delay {
        match cause {
            Cause::Closed => Delay::After(self.config.event_delay_closed),
            Cause::Lost => Delay::After(self.config.event_delay),
            Cause::Killed => Delay::After(Duration::ZERO),
            Cause::Shutdown if self.config.shutdown_events => Delay::After(Duration::ZERO),
            Cause::Shutdown => Delay::Suppress,
        }
    }

    /// Passes on the events of a transaction. Called once for each that was sent. Returns the
    /// entries that were replaced or removed, for the caller to drop at last.
    fn settle(&self, number: &Number, outcome: Outcome<V>) -> (Result<(), CommitError>, Old<V>) {
        let (changed, result) = match outcome {
            Ok(Committed { value, .. }) => (Some(value), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let (events, old) = changed.map(|changed| (changed.events, changed.old)).unzip();
        if let Some(number) = number.get() {
            // Unwind safety: the clock, of which nothing remains. If it panics the graces are over
            // at once; without this number, no later event would come out.
            let now = contain(AssertUnwindSafe(|| self.now())).unwrap_or(Moment::START);
            let mut all = self.events.lock();
            let due_before = all.next_due(now);
            let dead = all.settle(number, events, now);
            self.counters.dead_letters.add(dead.len() as u64);
            // This may be the thread of the writer, in its turn: the sink is called later, by those that call it.
            let letters = all.keep_letters(dead);
            let due = all.next_due(now);
            let is_news = due.is_some_and(|due| due <= now || due_before.is_none_or(|before| due < before));
            all.publish(&self.counters.events);
            drop(all);
            if is_news {
                self.new_events.notify_all();
            }
            self.tell(letters);
        }
        (result, Old(old.unwrap_or_default()))
    }

    fn report(&self, dead: DeadLetters<V::App, V::Group>) {
        self.counters.dead_letters.add(dead.len() as u64);
        self.tell(dead);
    }

    /// Passes dead letters, which are counted, to the sink.
    fn tell(&self, dead: DeadLetters<V::App, V::Group>) {
        for letter in dead {
            // Unwind safety: the sink is the user's.
            let _ = contain(AssertUnwindSafe(|| self.sink.dead_letter(letter)));
        }
    }
}

impl<V: Entry, R: Resources> Shared<V, R> {
    /// Ends the threads, once the workers have handed out what is queued. Queues nothing any more.
    fn stop(&self) {
        self.stop_admission();
        // Release: pairs with the acquire load in `is_stopped`. The locks below order it for those that wait.
        self.is_stopped.store(true, Ordering::Release);
        self.sender.workers().iter().for_each(Worker::close);
        drop(self.events.lock());
        self.new_events.notify_all();
        drop(self.pause.lock());
        self.end_of_pause.notify_all();
    }

    /// Returns the number of connections that were opened or changed so far.
    fn asked(&self) -> u64 {
        // Relaxed, here and below: only a hint, for the size of batches.
        self.asked.load(Ordering::Relaxed)
    }

    fn note_asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        // Acquire: pairs with the release store in `stop`.
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Opens no connection any more.
    fn stop_admission(&self) {
        // Relaxed: those that are being opened are found when they are open.
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Calls the hook of a mark, with no lock held.
    fn cross(&self, worker: usize, crossing: Option<Crossing>) {
        if let Some(crossing) = crossing {
            self.hooks.crossing(worker, crossing);
        }
    }
}

/// The settings of a pipeline, whatever its types.
struct Settings {
    config: Config,
    max_connections: u32,
    clock: StdArc<dyn Clock>,
    hooks: Hooks,
}

impl<V: Entry, R: Resources> Clone for Cleanup<V, R> {
    /// Returns another handle of the same pipeline.
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), _owner: self._owner.clone() }
    }
}

impl<V: Entry, R: Resources> Drop for Owner<V, R> {
    fn drop(&mut self) {
        self.0.stop();
        // Relaxed: set before there is a handle.
        if !self.0.has_threads.load(Ordering::Relaxed) {
            self.0.give_up_events();
        }
    }
}

impl<V: Entry, R: Resources> fmt::Debug for Cleanup<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleanup")
            .field("workers", &self.shared.sender.workers().len())
            .field("stats", &self.shared.counters.snapshot())
            .finish_non_exhaustive()
    }
}
