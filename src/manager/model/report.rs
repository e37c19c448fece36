//! Reports of a manager about its memory and its shutdown.

use crate::table::Memory;
use crate::table::version::Version;

/// Heap memory of a link manager, in bytes; see [`Handle::measure_memory`](crate::Handle::measure_memory) and
/// [`Driver::memory`](crate::Driver::memory).
///
/// Heap memory that addresses own is not counted, nor are the membership index and the timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryReport {
    /// The table: addresses, and pointers to the records.
    pub table: Memory,
    /// The records of the newest version. Records that only older versions hold are not counted.
    pub records_bytes: usize,
    /// The lanes of the mailbox; constant.
    pub mailbox_bytes: usize,
    /// The pooled tickets, and the slots for them.
    pub tickets_bytes: usize,
    /// The effects that wait for the transport, and the slots for them.
    pub outbox_bytes: usize,
    /// Number of versions alive: the newest, and the older ones that snapshots, readers and feeds hold.
    pub versions_alive: usize,
    /// Number of [`LinksReader`](crate::manager::LinksReader)s that hold a version. If it grows with the number
    /// of tasks instead of that of threads, each of them has a reader of its own: see
    /// [`Reader`](crate::Reader#tasks).
    pub readers: usize,
}

impl MemoryReport {
    /// The sum of all fields that are bytes.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        let queues = self.mailbox_bytes + self.tickets_bytes + self.outbox_bytes;
        self.table.total_bytes() + self.records_bytes + queues
    }
}

/// The result of [`Driver::shutdown`](crate::Driver::shutdown).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Number of accepted commands that were applied during the shutdown.
    pub drained: u64,
    /// Number of accepted commands that failed with [`CommandError::Closed`](crate::CommandError::Closed)
    /// because time ran out.
    pub refused: u64,
    /// Number of links that were closed.
    pub links_closed: usize,
    /// The last version, which has no links and no nets.
    pub version: Version,
}

/// The result of [`LinkManager::shutdown`](crate::LinkManager::shutdown).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The report of the writer. `None` if it did not answer in time, or had already ended.
    pub drain: Option<DrainReport>,
    /// Whether the writer's thread has ended.
    pub writer_joined: bool,
    /// Whether the transport's thread has ended.
    pub transport_joined: bool,
    /// Number of effects that the transport did not take in time.
    pub undelivered: usize,
    /// Number of panics of the transport that were contained.
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
