// The README is the crate page. Its links come last in it, so that those that follow here win: on the crate page they
// are checked by rustdoc.
//! [table]: Table
//! [writer]: Writer
//! [snapshot]: Snapshot
//! [reader]: Reader
//! [index]: table::Index
//! [changed]: Table::changed
//! [subscribe]: Table::subscribe
//! [shared]: SharedWriter
//! [sharing]: docs::sharing
//! [reclaim]: Writer::reclaim
//! [recycle]: TableBuilder::recycle
//! [max_versions]: TableBuilder::max_versions
//! [explain]: LinksSnapshot::explain
//! [export]: LinksSnapshot::export
//! [import]: manager::LinkManagerBuilder::import
//! [reconfigure]: Handle::reconfigure
//! [cleanup]: cleanup
//! [sessions]: sessions::Sessions
//! [metrics]: Metrics
//! [driver]: Driver
//! [docs]: docs
//! [cookbook]: docs::cookbook
//! [guarantees]: docs::guarantees
//! [wait-free]: docs::guarantees#wait-free
//! [cost]: docs::guarantees#the-cost-of-a-publish
//! [bounds]: docs::guarantees#bounds
//! [limitations]: docs::limitations
//! [migration]: docs::migration
//! [performance]: docs::performance
//!
// Its examples need the manager, the sessions and the cleanup.
#![cfg_attr(any(not(doctest), all(feature = "manager", feature = "sessions", feature = "cleanup")), doc = include_str!("../README.md"))]
#![cfg_attr(docsrs, feature(doc_cfg))]
// The manual is the same whichever features are on: some of its links need all of them.
#![cfg_attr(
    not(all(feature = "manager", feature = "sessions", feature = "cleanup", feature = "shadow")),
    allow(rustdoc::broken_intra_doc_links)
)]

#[cfg(any(feature = "sessions", feature = "cleanup"))]
mod claim;
#[cfg(feature = "cleanup")]
pub mod cleanup;
pub mod clock;
pub mod docs;
#[cfg(feature = "manager")]
pub mod link;
pub mod mailbox;
#[cfg(feature = "manager")]
pub mod manager;
#[cfg(feature = "manager")]
pub mod metrics;
#[cfg(feature = "sessions")]
pub mod sessions;
#[cfg(feature = "shadow")]
pub mod shadow;
mod sync;
pub mod table;
pub mod ticket;
mod unwind;
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
    builder::TableBuilder, handle::Table, reader::Reader, shared::writer::SharedWriter, snapshot::Snapshot,
    version::Version, writer::Writer,
};
