//! Link tables for network nodes and connection servers: one writer, wait-free readers, every index in one
//! version.
//!
//! * [`Table`] is a map that one [`Writer`] publishes in versions and all threads read. A [`Snapshot`] is a
//!   whole version and can be held for any time. A [`Reader`] looks up keys in the newest version, at the price of one
//!   atomic load more than a map. [Indexes](table::Index) are published in the same version. The table is available
//!   without default features.
//! * [`LinkManager`] (feature `manager`, on by default) is built on it: nets, links, streams, dialling and
//!   retrying. One writer takes commands through a [`Handle`], and all other threads read [`Links`].
//!   It speaks no wire protocol: its decisions are [`Effect`]s, which a transport carries out.
//! * [`mailbox`] and [`ticket`] are the parts in between: bounded priority lanes, and one result per command.
//!
//! The manager also keeps clusters with static and permanent peers. [`LinksSnapshot::explain`] says why a link
//! is kept and what happens to it next. [`LinksSnapshot::export`] and [`LinkManagerBuilder::import`](manager::LinkManagerBuilder::import) persist across
//! restarts the state that cannot be rediscovered. [`Metrics`] reports the state and the work of a manager, and a
//! [`Page`](metrics::Page) shows both to Prometheus. [`shadow`] runs an old manager and the new one side by side.
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
//! [`docs::guarantees`] has the argument and all tests for each of these, and the exceptions.
//!
//! * **Reads never wait**, neither for the writer nor for each other.
//!   [`docs::guarantees`](docs::guarantees#wait-free) lists the limits of "wait-free" with figures: the
//!   first load of a thread allocates, and a publish visits one record per reader thread, so read on a fixed
//!   pool of threads. (`tests/stress.rs`, `table::cell::models`, `tests/records.rs`)
//! * **A version is published as a whole.** Entries, indexes, counts and lists of a snapshot belong
//!   together. (`tests/stress.rs::readers_never_go_back_and_see_whole_batches`,
//!   `manager::models::two_producers_a_reader_and_a_shutdown`)
//! * **Versions never go backwards**, in any reader. (`table::cell::models::two_readers_never_go_backwards`,
//!   `tests/table.rs::readers_on_other_threads_never_go_backwards`)
//! * **Dropping a snapshot only decrements a reference count.** While any handle of the table lives,
//!   destructors run on the writer. (`tests/table.rs::a_reader_never_runs_a_destructor`)
//! * **Removed values are dropped later than they are removed**, by the writer: after the last version that
//!   contains them is released, and two more publishes or [`Writer::reclaim`]. Close sockets and files
//!   explicitly. (`tests/reclaim.rs`, `tests/promises.rs::a_removed_value_is_dropped_within_two_publishes`)
//! * **A publish costs what changed, not what the table holds.** Exceptions: the first operation after a
//!   large batch repeats up to an eighth of the entries, dropping the writer or the last handle is
//!   O(entries), and user code (an index of your own, a destructor) costs what it costs.
//!   [`docs::guarantees`](docs::guarantees#the-cost-of-a-publish) has all of them. (`tests/steps.rs`,
//!   `tests/promises.rs::the_first_operation_after_a_batch_repeats_up_to_an_eighth_of_the_entries`)
//! * **A ticket completes after its change is published**, and carries the version.
//!   (`manager::tests::a_ticket_completes_with_the_version_that_contains_its_change`,
//!   `table::cell::models::a_completion_follows_its_version`)
//! * **Every accepted command is applied, or its ticket says why not.** A command that is refused comes back
//!   in the error. (`manager::models::a_shutdown_applies_exactly_what_was_accepted`,
//!   `manager::tests::pressure`)
//! * **No lock is held while user code runs**: wakers, callbacks, transports and destructors may use every
//!   handle, but the callback of a ticket runs on the writer's thread and must not wait there. The exception
//!   is `Clone`, `Eq`, `Hash` and `Drop` of a node address, which must not call the manager.
//!   (`manager::tests::callbacks::every_call_from_every_callback_from_two_threads`,
//!   `ticket::tests::a_waker_and_a_destructor_may_use_other_tickets`)
//! * **A transport that blocks or panics stalls neither the writer nor a reader.** Commands of the host are
//!   slowed down while too many effects wait.
//!   (`manager::tests::a_transport_that_blocks_does_not_stall_the_writer`,
//!   `manager::tests::a_panic_in_the_transport_is_answered_with_a_failure`)
//! * **A feed delivers every version, or says that it has lagged.** It starts at an exact snapshot, never
//!   blocks the writer, and costs bounded memory. (`tests/feed.rs`, `table::feed::models`)
//! * **A panic in user code loses nothing that is staged**: in a key, a value, an index, a destructor or a
//!   command. (`tests/panics.rs`, `tests/fuse/main.rs`, `tests/fuse_manager.rs`)
//! * **Every queue and list is bounded** by a setting; [`docs::guarantees`](docs::guarantees#bounds) lists
//!   them. The number of held versions is bounded by your readers, or by [`TableBuilder::max_versions`].
//!   (`tests/backlog.rs`, `tests/max_versions.rs`,
//!   `manager::core::tests::commands::limits_on_links_and_streams_hold`)
//! * **No unsafe code** in this crate. (`tests/promises.rs::the_manifest_forbids_unsafe_code`)
//!
//! # Trade-offs
//! * **One writer.** Changes are serialized. Data that many threads write all the time belongs in a
//!   concurrent map such as papaya or dashmap.
//! * **Two copies alternate**, so that the retired one can be reused without copying: memory for two maps, and for
//!   three while readers stay behind. [`TableBuilder::recycle`] turns this off.
//! * **A held version stays in memory**, and costs what changed since. That includes the version of an idle
//!   [`Reader`].
//! * **Keys and values are cloned** when a page is copied: put large values into an `Arc`.
//!
//! [`docs::limitations`] lists all limits.
//!
//! # Features
//! * `manager` (default): the link manager and its metrics.
//! * `shadow`: an old manager beside the new one.
//! * `serde`: snapshots as maps, tables from maps, addresses and identities, exports of a manager.
//! * `tracing`: an event per command, errors with a code, message traces.
//! * `metrics`, `prometheus-client`: the figures of a manager, for these two crates.
//!
//! Features only add: none changes the behaviour of the rest.
//!
//! [`docs`] is the manual: design, guarantees with their tests and arguments, limitations, orderings, shutdown,
//! performance, metrics, logging, migration.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The manual is the same whichever features are on: some of its links need all of them.
#![cfg_attr(not(all(feature = "manager", feature = "shadow")), allow(rustdoc::broken_intra_doc_links))]

pub mod clock;
pub mod docs;
#[cfg(feature = "manager")]
pub mod link;
pub mod mailbox;
#[cfg(feature = "manager")]
pub mod manager;
#[cfg(feature = "manager")]
pub mod metrics;
#[cfg(feature = "shadow")]
pub mod shadow;
mod sync;
pub mod table;
pub mod ticket;
mod unwind;
#[cfg(feature = "manager")]
mod util;

#[cfg(feature = "manager")]
pub use link::{
    addr::{Addr, NodeAddr},
    cluster::ClusterId,
    net::{NetConfig, NetId},
    record::Link,
    retry::RetryPolicy,
    stream::{Direction, StreamId},
};
#[cfg(feature = "manager")]
pub use manager::{
    link_manager::LinkManager,
    model::{
        command::{Applied, Command, CommandError, Outcome, kind::CommandKind},
        config::{Config, problem::ConfigError},
        effect::Effect,
    },
    read::snapshot::{Links, LinksSnapshot},
    run::{driver::Driver, handle::Handle, transport_worker::Transport},
};
#[cfg(feature = "manager")]
pub use metrics::{collector::MetricsCollector, handle::Metrics, report::MetricsReport};
pub use table::{
    builder::TableBuilder, handle::Table, reader::Reader, snapshot::Snapshot, version::Version,
    writer::Writer,
};

#[cfg(all(doctest, feature = "manager"))]
#[doc = include_str!("../README.md")]
struct Readme;
