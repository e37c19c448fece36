//! One writer for many threads and tasks.
//!
//! A table has one [`Writer`], which takes `&mut self`. A [`SharedWriter`](crate::SharedWriter) is a handle that
//! any number of threads and tasks can clone: it puts operations into a bounded queue, and the one owner of the
//! writer applies them in *turns*. A turn takes all operations that wait, up to a [limit](Config::batch),
//! and publishes them **once**, so a storm of changes costs few versions.
//!
//! ```
//! use switchboard::table::shared::Config;
//! use switchboard::{SharedWriter, Table};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (writer, table) = Table::<u64, &str>::new();
//! let (links, thread) = SharedWriter::spawn(writer, Config::new())?;
//!
//! // From any thread, without waiting for the result:
//! links.insert(7, "seven")?;
//! links.clone().insert(8, "eight")?;
//!
//! // Several changes that belong together, with a result:
//! let moved = links.transaction(|table| {
//!     let value = table.remove(&7)?;
//!     table.insert(70, value)
//! })?;
//! let committed = moved.wait()?;
//! assert_eq!(committed.value, None);
//! assert!(table.version() >= committed.version, "a ticket is completed after the publish");
//! assert!(table.snapshot().contains_key(&70));
//!
//! drop(links); // the last handle: the thread applies what is queued, and ends
//! let writer = thread.join()?;
//! assert_eq!(writer.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Forms
//!
//! [`SharedWriter::spawn`](crate::SharedWriter::spawn) starts a named thread that runs the turns.
//! [`SharedWriter::new`](crate::SharedWriter::new) returns a [`Driver`] instead, which the caller drives: in a
//! thread of its own ([`Driver::run`]), in a task ([`Driver::wait_for_work`]), or in a hand-written event loop
//! ([`Driver::turn`], [`Driver::poll_turn`]).
//!
//! # Order and visibility
//!
//! * Operations are applied in the order in which they are sent; an operation that is sent by a [`Permit`], when
//!   the permit is used.
//! * A turn is atomic for readers: they see all of its operations or none.
//! * The [ticket](CommitTicket) of a transaction is completed after the publish that contains its changes, and
//!   therefore those of all operations sent before it. `transaction(|_| ())` waits for them and changes nothing.
//!
//! # Bounds
//!
//! The queue has a [capacity](Config::capacity). When it is full, [`insert`](crate::SharedWriter::insert),
//! [`remove`](crate::SharedWriter::remove) and [`transaction`](crate::SharedWriter::transaction) block,
//! their `try_` forms are refused, and their `_async` forms wait without blocking; threads and tasks get room in
//! the order of one queue. Each refusal returns the operation. User code that runs in a turn (a transaction, a ticket's callback, a destructor)
//! never waits for room, because only the turn itself can free it: there, the blocking forms are refused, too.
//!
//! # Panics in user code
//!
//! A panic ends neither the turn nor the thread. It is counted in [`Stats::panics`], and reported by the panic hook.
//!
//! * **A transaction that panics has changed nothing**: what it staged is taken back, and its ticket says
//!   [`Panicked`](CommitError::Panicked). The other operations of the turn are not affected.
//! * An insertion or a removal that panics (in `Hash`, `Eq`, `Clone` or the index) has changed nothing; one in
//!   which the destructor of its key panics has done all or nothing.
//! * A destructor of another entry, or of an older version, that panics costs no operation.
//! * If user code panics *again* while a transaction is taken back, or in the publish because an index that
//!   panicked cannot be rebuilt, the whole turn is discarded: all its tickets say `Panicked`, and its insertions and
//!   removals are lost.
//!
//! Taking back costs nothing in advance while the batch is recorded, which it is up to its
//! [limit](crate::Writer#memory) in a table that [recycles](crate::TableBuilder::recycle) or has a feed: the
//! operations before the transaction are replayed on the published version. In any other batch, a transaction that
//! is not the first of its turn works on copies of the pages that it changes.
//!
//! # Removed values
//!
//! A value that an operation replaces or removes, and whose change was published, is dropped in the first idle
//! turn: a turn that finds the queue empty does a bounded part of [`Writer::reclaim`] each time, until only versions
//! that readers hold are left. These are all checked again later, at intervals of up to four seconds. What a
//! transaction has staged before it panicked is dropped in its turn or in the next ones, as parts of old versions are.
//!
//! # Full tables of held versions
//!
//! While a table with [`max_versions`](crate::TableBuilder::max_versions) refuses to publish, no further operation
//! is taken: they wait in the queue, tickets wait for the publish, and the driver tries again, at intervals of 1 ms
//! to 64 ms.
//!
//! # Shutdown
//!
//! [`close`](crate::SharedWriter::close) refuses new operations; those that were accepted are still applied. So does dropping the last
//! handle. [`WriterThread::join`] then waits for the thread and returns the [`Writer`];
//! [`WriterThread::shutdown`] limits the wait, and afterwards gives up what is still queued. The steps are in
//! [`docs::shutdown`](crate::docs::shutdown#a-shared-writer).
//!
//! # Cost
//!
//! An insertion or a removal allocates nothing; a transaction allocates its closure and its ticket. Sending is
//! lock-free unless the writer is asleep or the queue is full. [`docs::sharing`](crate::docs::sharing) has figures.
//!
//! [`Writer`]: crate::Writer
//! [`Writer::reclaim`]: crate::Writer::reclaim

mod common;
mod config;
mod driver;
mod message;
#[cfg(test)]
mod models;
mod pending;
mod permit;
mod stats;
#[cfg(all(test, not(switchboard_model)))]
mod tests;
mod thread;
mod transaction;
mod turns;
pub(crate) mod writer;

pub use config::Config;
pub use driver::{Driver, Turn};
pub use message::{CommitError, Committed};
pub use permit::{CommitTicket, Permit};
pub use stats::Stats;
pub use thread::{JoinError, SpawnError, WriterThread};
pub use transaction::Transaction;
