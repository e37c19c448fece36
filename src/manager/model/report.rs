//! Reports of a manager: its memory, and how it ended.

use crate::table::Memory;
use crate::table::version::Version;

/// Heap memory of a link manager, in bytes; see [`Handle::measure_memory`](crate::Handle::measure_memory) and
/// [`Driver::memory`](crate::Driver::memory).
///
/// What addresses own themselves is not counted, nor are the membership index and the timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryReport {
    /// The table: addresses, and pointers to the records.
    pub table: Memory,
    /// The records of the newest links. Those that only older versions have are not counted.
    pub records_bytes: usize,
    /// The lanes of the mailbox. Does not change.
    pub mailbox_bytes: usize,
    /// The tickets that are kept to be used again, and the places for them.
    pub tickets_bytes: usize,
    /// The effects that wait for the transport, and the places for them.
    pub outbox_bytes: usize,
}

impl MemoryReport {
    /// All of it.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        let queues = self.mailbox_bytes + self.tickets_bytes + self.outbox_bytes;
        self.table.total_bytes() + self.records_bytes + queues
    }
}

/// What [`Driver::shutdown`](crate::Driver::shutdown) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Accepted commands that were applied on the way out.
    pub drained: u64,
    /// Accepted commands that ended with [`CommandError::Closed`](crate::CommandError::Closed) because time ran out.
    pub refused: u64,
    /// Links that were closed.
    pub links_closed: usize,
    /// The last version: no links, no nets.
    pub version: Version,
}

/// What [`LinkManager::shutdown`](crate::LinkManager::shutdown) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// What the writer did on its way out. `None`: it did not answer in time, or had ended before.
    pub drain: Option<DrainReport>,
    /// The writer's thread has ended.
    pub writer_joined: bool,
    /// The transport's thread has ended.
    pub transport_joined: bool,
    /// Effects that the transport did not take in time.
    pub undelivered: usize,
    /// Panics of the transport that were contained.
    pub transport_panics: u64,
}

impl ShutdownReport {
    /// Whether every accepted command was applied, every effect delivered and every thread joined.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let drained = self.drain.is_some_and(|drain| drain.refused == 0);
        drained && self.writer_joined && self.transport_joined && self.undelivered == 0
    }
}
