//! Cleanup after disconnects: many connections that end at once cost few versions, and no one waits for them.
//!
//! When thousands of clients vanish together, a server that removes them one by one, under the locks that it also
//! accepts with, stops accepting. Here, ending a connection is one atomic exchange; everything else is done later and
//! in batches, and each batch is one version of the table.
//!
//! # Structure
//!
//! The parts are state machines without threads, clocks or I/O: each takes the time and its randomness as parameters.
//!
//! | part | purpose |
//! |---|---|
//! | [`Config`] | one default, one validation that reports all problems |
//! | breaker | the admission breaker: stops trying queues that refuse |
//! | fair queue | one bounded queue per worker, shared fairly by the apps |
//! | batches | when a batch is taken: full, after a linger, or at once |
//! | limits | sources that disconnect too often are cleaned later, never refused |
//! | transitions, grace | the events of a removal, and those that a quick return cancels |
//! | delivery | events to an [`EventSink`], with retries and dead letters |
//! | slots | which connections are open, closed and to be cleaned: the truth, of which the queues only give hints |
//! | [`Cleanup`] | the pipeline that ties them together, driven by its callers |
//! | [`Stats`] | figures that add up at every moment |

// There are no workers and no drain yet, and so not everything is used.
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
pub use pipeline::drain::{Drain, DrainPhase, DrainProgress, DrainReport, DrainStep, PendingEvents};
pub use pipeline::figures::WorkerStats;
pub use pipeline::open::{OpenError, OpenErrorKind, UpdateError, UpdateErrorKind};
pub use pipeline::run::Progress;
pub use pipeline::threads::{CleanupThreads, JoinError};
pub use recent::Ended;
pub use sink::{DeadLetter, DeadReason, EventSink, Outcome};
pub use slots::{Cause, ConnectionId};
pub use stats::Stats;
pub use transitions::Change;
