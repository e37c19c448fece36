//! Link tables for network nodes and connection servers: one writer, wait-free readers, every index in one version.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
pub mod docs;
pub mod mailbox;
mod sync;
mod table;
pub mod ticket;

pub use clock::{Clock, ManualClock, MonotonicClock};
pub use table::{
    Change, ChangeSet, Changes, DefaultHashBuilder, DefaultHasher, Feed, FeedEvent, GroupIndex, Index, Iter,
    Reader, Snapshot, Table, TableBuilder, TableMemory, TableStats, Version, WaitError, Writer,
};
