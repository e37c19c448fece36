//! Link tables for network nodes and connection servers: one writer, wait-free readers, every index in one
//! version.
//!
//! * [`Table`] is a map that one [`Writer`] publishes in versions and everybody reads: a [`Snapshot`] is a
//!   whole version, to be held as long as you like; a [`Reader`] looks keys up in the newest one with one
//!   atomic load more than a map. [Indexes](Index) are published in the same version. It stands alone,
//!   without default features too.
//! * [`LinkManager`] (feature `manager`, on by default) is built on it: nets, links, streams, dialling and
//!   retrying, with one writer that takes commands through a [`Handle`] and everybody else reading [`Links`].
//!   It speaks no wire protocol: what is to be done comes out as [`Effect`]s.
//! * [`mailbox`] and [`ticket`] are the parts in between: bounded priority lanes, and one result each.
//!
//! Around the manager: clusters with static and permanent peers; [`LinksSnapshot::explain`] says why a link
//! is kept and what happens to it next; [`LinksSnapshot::export`] and [`Builder::import`] carry over a
//! restart what cannot be learned again; [`Metrics`] reports what a manager has and does, and a
//! [`MetricsPage`] shows it to Prometheus; [`shadow`] runs an old manager and the new one side by side.
//!
//! # Examples
//! ```
//! use switchboard::Table;
//!
//! let (mut writer, table) = Table::<u64, &str>::new();
//! writer.insert(7, "seven");
//! assert!(table.snapshot().is_empty());
//!
//! let version = writer.publish();
//! let snapshot = table.snapshot();
//! assert_eq!((snapshot.version(), snapshot.get(&7)), (version, Some(&"seven")));
//! ```
//!
//! # Guarantees
//! * A version is published as a whole: entries, indexes and counts of a snapshot belong together.
//! * Versions never go backwards in any reader, and no reader ever waits for the writer or makes it wait: with what
//!   limits, and at what price per thread, is in [`docs::guarantees`](docs::guarantees#wait-free).
//! * While a table or its writer lives, dropping a snapshot is a counter: destructors run on the writer.
//! * No publish is O(n).
//! * A ticket completes after the version that contains its change is published, and carries that version.
//! * Nothing is held while user code runs: wakers, callbacks, transports and destructors may use every
//!   handle.
//!
//! # Trade-offs
//! * One writer: changes are serialized. What many threads write all the time is better served by a
//!   concurrent map.
//! * Two versions leapfrog, so that a retired one is reused without copying: memory for two maps, and for
//!   three while readers stay behind. [`TableBuilder::recycle`] turns it off.
//! * A version that somebody holds stays, and costs what changed since.
//!
//! # Features
//! * `manager` (default): the link manager and its metrics.
//! * `shadow` (default): an old manager beside the new one.
//! * `serde`: snapshots as maps, tables from maps, addresses and identities, exports of a manager.
//! * `tracing`: an event per command, errors with a code, message traces.
//! * `metrics`, `prometheus-client`: the figures of a manager, for these two crates.
//!
//! Features add, and change nothing that is there without them.
//!
//! [`docs`] is the manual: design, guarantees with their arguments, orderings, shutdown, performance,
//! metrics, logging, migration.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
pub mod docs;
#[cfg(feature = "manager")]
mod link;
pub mod mailbox;
#[cfg(feature = "manager")]
mod manager;
#[cfg(feature = "manager")]
mod metrics;
#[cfg(feature = "shadow")]
pub mod shadow;
mod sync;
mod table;
pub mod ticket;
mod unwind;

pub use clock::{Clock, ManualClock, MonotonicClock};
#[cfg(feature = "manager")]
pub use link::{
    Addr, AddressPolicy, Cluster, ClusterId, ClusterKind, ClusterStatus, CustomRetry, DialId, Direction,
    EndpointError, Link, LinkCounters, LinkState, NetConfig, NetId, NetStatus, NodeAddr, ParseAddrError,
    ResolveId, Retry, RetryPolicy, Stream, StreamId, UnstablePolicy, UserData,
};
#[cfg(feature = "manager")]
pub use manager::{
    Applied, Asked, Bucket, Builder, Command, CommandError, CommandKind, Config, ConfigError, ConfigProblem,
    DrainReport, Driver, Effect, Explanation, Export, Filter, Handle, Histogram, Hold, Ignored, ImportError,
    LinkCause, LinkManager, Links, LinksReader, LinksSnapshot, ManagerStats, MemoryReport, NetExplanation,
    NextStep, Outcome, Reason, RequestHold, SendError, SendErrorKind, Settings, ShutdownReport, SpawnError,
    Step, Timing, Transport,
};
#[cfg(feature = "manager")]
pub use metrics::{Collector, LaneReport, Latency, Metrics, MetricsPage, MetricsReader, MetricsReport};
pub use table::{
    Change, ChangeSet, Changes, DefaultHashBuilder, DefaultHasher, Feed, FeedEvent, GroupIndex, Index, Iter,
    Reader, Snapshot, Table, TableBuilder, TableMemory, TableStats, TooManyVersions, Version, WaitError,
    Writer,
};

#[cfg(all(doctest, feature = "manager"))]
#[doc = include_str!("../README.md")]
struct Readme;
