//! How much memory a manager takes.

use crate::table::TableMemory;

/// Heap memory of a link manager, in bytes; see [`Handle::measure_memory`](super::Handle::measure_memory) and
/// [`Driver::memory`](super::Driver::memory).
///
/// What addresses own themselves is not counted, nor are the membership index and the timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryReport {
    /// The table: addresses, and pointers to the records.
    pub table: TableMemory,
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
