//! The published table: one writer stages and publishes, any number of readers hold versions.
//!
//! [`Table`](crate::Table), [`Writer`](crate::Writer), [`Reader`](crate::Reader) and
//! [`Snapshot`](crate::Snapshot) are at the crate root.

pub(crate) mod builder;
mod cell;
mod diff;
pub(crate) mod feed;
pub(crate) mod handle;
mod hash;
mod history;
mod index;
mod log;
#[cfg(test)]
mod models;
mod op;
mod page_map;
mod published;
pub(crate) mod reader;
#[cfg(feature = "serde")]
mod serialize;
pub mod shared;
pub(crate) mod snapshot;
mod state;
mod stats;
mod tasks;
pub(crate) mod version;
mod waiters;
mod watch;
pub(crate) mod writer;

#[cfg(feature = "sessions")]
pub(crate) use cell::slim::{Replaced, SlimCell, SlimGuard};
pub use diff::Change;
pub use feed::next::{Events, Next};
pub use feed::window::Changes;
pub use feed::{ChangeSet, Feed, FeedEvent};
pub use hash::{DefaultHashBuilder, DefaultHasher};
pub use index::{GroupIndex, Index};
pub use published::Published;
pub use snapshot::Iter;
pub use snapshot::get_each::GetEach;
pub use stats::{Memory, Stats};
pub use waiters::{WaitError, WriterClosed};
pub use writer::publish::TooManyVersions;
