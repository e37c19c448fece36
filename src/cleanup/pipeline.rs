//! The pipeline, driven by its callers.

pub(super) mod close;
#[cfg(all(test, not(switchboard_loom)))] // Too large for loom: `cleanup::models` explores the parts.
mod models;
pub(super) mod run;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use super::batch::Tuning;
use super::breaker::{self, Breaker};
use super::clean::{self, Changed};
use super::config::{Config, ConfigError};
use super::delivery;
use super::entry::{Entry, Event, Groups, Resources, groups_of};
use super::events::{DeadLetters, Events};
use super::gate::Gate;
use super::grace::Delay;
use super::limits::{Limits, Prefix};
use super::marks::pressure;
use super::moment::Moment;
use super::queue::WorkQueue;
use super::sink::EventSink;
use super::slots::{Cause, Cleaning, ConnectionId, End, Slots, Source};
use super::stats::{Counters, Stats};
use crate::clock::Clock;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, StdArc, lock_order};
use crate::table::builder::TableBuilder;
use crate::table::shared::{CommitError, Committed};
use crate::table::{DefaultHashBuilder, GroupIndex};
use crate::ticket::{Ticket, ticket_with};
use crate::unwind::contain;
use crate::{SharedWriter, Table};

/// A cleanup pipeline without threads: the connections of one table, from their opening to the events of their end.
///
/// It is a handle; clones are the same pipeline. Its callers run the [batches](Self::run_batch), the
/// [sweeps](Self::sweep) and the [sink](Self::run_sink); the writer of the table is driven by its own
/// [`Driver`](crate::table::shared::Driver) or thread.
///
/// # Progress
/// No method waits. [`close`](Self::close) is one exchange of the connection's slot, three short locks (of the slot, of
/// one worker's queue and of the limits, under which no user code runs), and [`Resources::closed`].
///
/// # Panics in user code
/// A panic of the resources, of the sink, or of an entry ends nothing. A batch in which an entry panics is repeated one
/// by one; the connection whose entry panics again is removed without its events, and counted in [`Stats::failed`].
///
/// # Examples
/// ```
/// use std::sync::Mutex;
/// use switchboard::SharedWriter;
/// use switchboard::cleanup::{Cause, Change, Cleanup, Closed, Config, Entry, Event, EventSink, Outcome};
/// use switchboard::clock::MonotonicClock;
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
/// let (writer, table) = Cleanup::<Peer>::table().build();
/// let (writer, mut driver) = SharedWriter::new(writer, shared::Config::new());
/// let cleanup = Cleanup::new(Config::default(), 1000, writer, Webhook(&SENT), MonotonicClock)?;
///
/// let peers = [(); 3].map(|()| Peer { app: 7, channels: vec!["room"] });
/// let opening = peers.map(|peer| cleanup.open(peer, None, ()).unwrap());
/// let _ = driver.turn();
/// for ticket in opening {
///     assert_eq!(cleanup.close(ticket.wait()?, Cause::Closed), Closed::Queued);
/// }
/// assert_eq!((table.snapshot().len(), cleanup.stats().queued), (3, 3));
///
/// for worker in 0..cleanup.workers() {
///     let _ = cleanup.run_batch(worker);
/// }
/// let _ = driver.turn();
/// assert_eq!((table.snapshot().len(), cleanup.stats().done), (0, 3));
/// while cleanup.run_sink() {}
/// assert_eq!(*SENT.lock().unwrap(), [("room", Change::Occupied), ("room", Change::Vacated)]);
/// # Ok(())
/// # }
/// ```
pub struct Cleanup<V: Entry, R: Resources = ()> {
    shared: StdArc<Shared<V, R>>,
}

struct Shared<V: Entry, R> {
    config: Config,
    writer: SharedWriter<ConnectionId, V, Groups<V>>,
    slots: StdArc<Slots<R>>,
    queues: Box<[Mutex<WorkQueue<ConnectionId>>]>,
    breaker: Breaker,
    gate: Gate,
    limits: Limits,
    counters: Counters,
    /// Valid after a panic of a group's code: each step leaves its parts whole, and may lose its events.
    events: Mutex<Events<V::App, V::Group>>,
    /// Connections of batches that panicked, to be removed one by one. Valid after a panic: pushed and popped.
    again: Mutex<Vec<(Cleaning<R>, bool)>>,
    sink: Box<dyn EventSink<V::App, Event<V::Group>>>,
    clock: Box<dyn Clock>,
    origin: Instant,
    hasher: DefaultHashBuilder,
    /// The number of the next transaction.
    next: AtomicU64,
    random: AtomicU64,
    /// The slot at which the next sweep begins.
    cursor: AtomicUsize,
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

type Outcome<V> = Result<Committed<Changed<V>>, CommitError>;

impl<V: Entry, R: Resources> Cleanup<V, R> {
    /// Returns the builder of a table of connections.
    pub fn table() -> TableBuilder<ConnectionId, V, Groups<V>> {
        Table::<ConnectionId, V>::builder().index(GroupIndex::new(groups_of::<V> as _))
    }

    /// Creates a pipeline for up to `connections` connections in the table of `writer`.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is invalid.
    pub fn new(
        config: Config,
        connections: u32,
        writer: SharedWriter<ConnectionId, V, Groups<V>>,
        sink: impl EventSink<V::App, Event<V::Group>> + 'static,
        clock: impl Clock,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let workers = config.workers.count(crate::sync::processors());
        let origin = clock.now();
        let hasher = DefaultHashBuilder::default();
        let shared = Shared {
            slots: Slots::new(connections.max(1)),
            queues: (0..workers).map(|_| queue(&config)).collect(),
            breaker: Breaker::new(breaker_terms(&config)),
            gate: Gate::new(config.inline_limit(workers)),
            limits: Limits::new(config.app_rate, config.prefix_rate, config.rate_keys, config.rate_dry_run),
            counters: Counters::default(),
            events: Mutex::new(
                &lock_order::CLEANUP_EVENTS,
                Events::new(config.events_pending, delivery_terms(&config)),
            ),
            again: Mutex::new(&lock_order::CLEANUP_AGAIN, Vec::new()),
            sink: Box::new(sink),
            clock: Box::new(clock),
            origin,
            random: AtomicU64::new(hasher.hash_one(0_u64)),
            hasher,
            next: AtomicU64::new(0),
            cursor: AtomicUsize::new(0),
            config,
            writer,
        };
        Ok(Self { shared: StdArc::new(shared) })
    }

    /// Opens a connection. The ticket yields its identity once it is in a published version. `None` if there are too many
    /// connections, or the queue of the writer is full or closed. Does not wait.
    pub fn open(
        &self,
        value: V,
        address: Option<IpAddr>,
        resources: R,
    ) -> Option<Ticket<ConnectionId, CommitError>> {
        let shared = &self.shared;
        let source = Source {
            app: shared.hasher.hash_one(value.app()),
            prefix: address.map(Prefix::of),
            cost: 1 + u32::try_from(super::entry::subjects(&value).len()).unwrap_or(u32::MAX - 1),
        };
        let permit = shared.writer.try_reserve().ok()?;
        let reservation = shared.slots.reserve(source, resources).ok()?;
        let (number, here) = (Number::new(), shared.clone());
        let drawn = number.clone();
        let id = reservation.id();
        let sent = permit.transaction(move |table| {
            let changed = clean::put(table, id, value, Delay::After(Duration::ZERO));
            drawn.draw(&here.next);
            reservation.open();
            changed
        });
        let (completion, ticket) = ticket_with();
        let here = shared.clone();
        sent.ok()?.on_complete(move |outcome| {
            let opened = here.settle(&number, outcome).map(|()| id);
            if opened.is_err() && here.slots.close(id).is_ok() {
                // The slot was opened, and then the whole turn was discarded.
                here.end(id, End { cause: Cause::Lost, at: here.now(), is_parked: true });
            }
            let _ = completion.finish(opened);
        });
        Some(ticket)
    }

    /// Changes the entry of a connection that is open: subscribes, unsubscribes. The ticket yields whether it was open when
    /// the change was made. `None` if the queue of the writer is full or closed. Does not wait.
    ///
    /// The state of the connection is looked at where the change is made, so no change follows its removal.
    pub fn update(
        &self,
        id: ConnectionId,
        change: impl FnOnce(&mut V) + Send + 'static,
    ) -> Option<Ticket<bool, CommitError>> {
        let permit = self.shared.writer.try_reserve().ok()?;
        let (number, here) = (Number::new(), self.shared.clone());
        let drawn = number.clone();
        let delay = self.shared.delay(Cause::Closed);
        let sent = permit.transaction(move |table| {
            let value = table.get(&id).filter(|_| here.slots.is_open(id)).cloned();
            let Some(mut value) = value else {
                return (false, Changed { events: Vec::new(), old: Vec::new() });
            };
            change(&mut value);
            let changed = clean::put(table, id, value, delay);
            drawn.draw(&here.next);
            (true, changed)
        });
        let (completion, ticket) = ticket_with();
        let here = self.shared.clone();
        sent.ok()?.on_complete(move |outcome| {
            let was_open = outcome.as_ref().is_ok_and(|committed| committed.value.0);
            let outcome =
                outcome.map(|Committed { value: (_, value), version, .. }| Committed { value, version });
            let _ = completion.finish(here.settle(&number, outcome).map(|()| was_open));
        });
        Some(ticket)
    }

    /// Returns the figures of the pipeline. Wait-free.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// Returns the pressure, from 0 to 1: the largest of the fill of a queue, the age of its oldest task as a part of
    /// [`target_age`](Config::target_age), and the part of the inline limit that is in use. For the code that accepts
    /// connections, to slow down. Takes the lock of each queue for a moment.
    #[must_use]
    pub fn pressure(&self) -> f64 {
        let now = self.shared.now();
        let of_queue = |queue: &Mutex<WorkQueue<ConnectionId>>| {
            let queue = queue.lock();
            let age = queue.oldest().map_or(Duration::ZERO, |oldest| now.since(oldest));
            pressure(queue.len(), queue.capacity(), age, self.shared.config.target_age, 0.0)
        };
        self.shared.queues.iter().map(of_queue).fold(self.shared.gate.share(), f64::max)
    }

    /// Returns the number of connections that are open or not cleaned yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.slots.len()
    }
}

impl<V: Entry, R: Resources> Shared<V, R> {
    fn now(&self) -> Moment {
        Moment::START.after(self.clock.now().saturating_duration_since(self.origin))
    }

    fn tuning(&self) -> Tuning {
        Tuning { batch_max: self.config.batch_max, linger: self.config.linger }
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

    /// Passes on the events of a transaction. Called once for each that was sent.
    fn settle(&self, number: &Number, outcome: Outcome<V>) -> Result<(), CommitError> {
        let (changed, result) = match outcome {
            Ok(Committed { value, .. }) => (Some(value), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let (events, old) = changed.map(|changed| (changed.events, changed.old)).unzip();
        if let Some(number) = number.get() {
            let now = self.now();
            let dead = self.events.lock().settle(number, events, now);
            self.report(dead);
        }
        // User code, and therefore last.
        let _ = contain(AssertUnwindSafe(|| drop(old)));
        result
    }

    fn report(&self, dead: DeadLetters<V::App, V::Group>) {
        self.counters.dead_letters.add(dead.len() as u64);
        for letter in dead {
            // Unwind safety: the sink is the user's.
            let _ = contain(AssertUnwindSafe(|| self.sink.dead_letter(letter)));
        }
    }
}

fn queue(config: &Config) -> Mutex<WorkQueue<ConnectionId>> {
    let queue = WorkQueue::new(config.capacity, config.high_water_percent, config.low_water_percent);
    Mutex::new(&lock_order::CLEANUP_QUEUE, queue)
}

fn breaker_terms(config: &Config) -> breaker::Terms {
    breaker::Terms {
        failures: config.breaker_failures,
        window: config.breaker_window,
        open: config.breaker_open,
        jitter_percent: config.breaker_jitter_percent,
        probes: config.breaker_probes,
    }
}

fn delivery_terms(config: &Config) -> delivery::Terms {
    delivery::Terms {
        capacity: config.sink_capacity,
        app_capacity: config.sink_capacity.div_ceil(4),
        batch: config.sink_batch,
        retries: config.sink_retries,
        backoff: config.sink_backoff,
        backoff_max: config.sink_backoff_max,
    }
}

impl<V: Entry, R: Resources> Clone for Cleanup<V, R> {
    /// Returns another handle of the same pipeline.
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<V: Entry, R: Resources> fmt::Debug for Cleanup<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleanup").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
