//! Cleanup after disconnects: many connections that end at once cost few versions, and no one waits for them.
//!
//! When thousands of clients vanish together, a server that removes them one by one, under the locks that it also
//! accepts with, stops accepting. Here, ending a connection is one atomic exchange; everything else is done later and
//! in batches, and each batch is one version of the table.
//!
//! # A connection
//!
//! A connection is an entry of a [table](Cleanup::table_builder), whose [index](Groups) has the members of each group: a
//! channel, or a user in a channel. Everything that a connection is in follows from its [`Entry`], so removing one key
//! removes it from everywhere.
//!
//! ```text
//!  open ----> open connection ----------- close ----------> closing ----- batch ----> removed
//!             |       ^                    | winner only      |  ^                      |
//!             +update-+                    v                  v  | sweep: whatever      v
//!                                    Resources::closed     a queue is only a hint     Vacated, after its grace ----> sink
//! ```
//!
//! 1. [`Cleanup::close`] decides by one exchange of the connection's *slot* which of several reports wins. The winner calls
//!    [`Resources::closed`], which releases what must not wait, and queues 16 bytes for a worker.
//! 2. A worker takes what is queued, at most [`batch_max`](Config::batch_max), and removes it in one transaction of the
//!    [`SharedWriter`](crate::SharedWriter). While a batch is under way the next one grows, so load makes the batches
//!    larger, and no timer delays the first. A batch has a turn of the writer to itself, and every other turn at most: a
//!    connection that is opened waits for one batch, which is small then, whatever the number of those that end. After a
//!    batch, the thread of the writer takes the next one itself, without waiting until the worker is awake.
//! 3. The transaction compares each group before and after: what it has emptied is an event, once. Events come out after the
//!    version is published.
//! 4. A vacated group waits for a grace, by the [`Cause`]; a return cancels the event. What is due goes to the
//!    [`EventSink`], in order per app, with retries, and ends as a dead letter if the sink does not take it.
//!
//! The slot is the truth. If a queue is full, a worker panics or a thread dies, the slot still says that the connection is
//! closed, and a sweep finds it. Each way (worker, caller, sweep, drain) runs the same removal.
//!
//! # Overload
//!
//! Nothing waits and nothing is refused for lack of room: a close that no queue takes is handed to the writer by its caller
//! ([`Overflow::Inline`], up to a [limit](Config::inline_max)), or left to the sweep. Each queue has a breaker, which
//! stops asking it while it refuses. The queues share the workers fairly among the apps, and keep some room for apps that
//! have less than their share; an app or a source of addresses that disconnects too often is
//! cleaned later, and never refused. [`Cleanup::pressure`] tells the code that accepts connections when to slow down.
//!
//! # Without threads
//!
//! [`Builder::spawn`] starts threads. With [`Builder::build`] there are none: an event loop calls
//! [`run_batch`](Cleanup::run_batch) or [`run_for`](Cleanup::run_for), [`sweep`](Cleanup::sweep) and
//! [`run_sink`](Cleanup::run_sink) when it suits it, with a clock of its choice.
//!
//! # The end
//!
//! [`Cleanup::drain`] closes all connections, at a rate if one is set, waits for their removal and the delivery of the
//! events, and reports. When the last handle is dropped without a drain, the threads remove what is queued, and end; events
//! that are not delivered become dead letters.
//!
//! # Structure
//!
//! The parts are state machines without threads, clocks or I/O: each takes the time and its randomness as parameters.
//!
//! | part | purpose |
//! |---|---|
//! | [`Config`], [`Tuning`] | one default, one validation that reports all problems; what can change while it runs |
//! | breakers | one per queue: stops trying it while it refuses |
//! | fair queue | one bounded queue per worker, shared fairly by the apps |
//! | batches | when a batch is taken: full, after a linger, or at once |
//! | limits | sources that disconnect too often are cleaned later, never refused |
//! | transitions, grace | the events of a removal, and those that a quick return cancels |
//! | delivery | events to an [`EventSink`], with retries and dead letters |
//! | slots | which connections are open, closed and to be cleaned: the truth, of which the queues only give hints |
//! | [`Cleanup`], [`Builder`] | the pipeline that ties them together |
//! | [`CleanupThreads`] | the threads that run it |
//! | [`Drain`] | its planned end |
//! | [`Stats`], [`WorkerStats`] | figures that add up at every moment |
//!
//! There is no separate type to send with: a [`Cleanup`] is a cheap handle, and chooses the worker by the app itself.

// A few functions are for tests.
#![cfg_attr(not(test), allow(dead_code))]

mod batch;
mod breaker;
mod clean;
mod config;
mod delivery;
mod entry;
mod events;
mod fair;
mod gate;
mod grace;
mod histogram;
mod hooks;
mod limits;
mod marks;
mod moment;
mod pipeline;
mod queue;
mod recent;
mod route;
mod sender;
mod sequence;
mod sink;
mod slots;
mod stats;
mod transitions;
mod worker;

#[cfg(test)]
mod models;

pub use breaker::Phase as BreakerPhase;
pub use config::{Config, ConfigError, Overflow, ParseWorkersError, Problem, Rate, Tuning, Workers};
pub use entry::{Entry, Event, Groups, Resources};
pub use histogram::Histogram;
pub use marks::Crossing;
pub use pipeline::Cleanup;
pub use pipeline::builder::{Builder, SpawnError, SpawnErrorKind};
pub use pipeline::close::Closed;
pub use pipeline::connection::Connection;
pub use pipeline::drain::{Drain, DrainPhase, DrainProgress, DrainReport, DrainStep, PendingEvents};
pub use pipeline::figures::WorkerStats;
pub use pipeline::open::{OpenError, OpenErrorKind, Opening, UpdateError, UpdateErrorKind};
pub use pipeline::run::Progress;
pub use pipeline::threads::{CleanupThreads, JoinError};
pub use recent::Ended;
pub use sink::{DeadLetter, DeadReason, EventSink, Outcome};
pub use slots::{Cause, ConnectionId};
pub use stats::Stats;
pub use transitions::Change;
