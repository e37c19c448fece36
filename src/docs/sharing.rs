//! Many threads change one table: how 5,000 connection tasks update one [`Writer`](crate::Writer).
//!
//! A table has one writer, and its methods take `&mut self`. Programs in which every connection changes the table
//! share it through a [`SharedWriter`](crate::SharedWriter): a handle that every task clones. Operations wait in a
//! bounded queue; the owner of the writer takes all that wait, applies them in order, and publishes them once.
//!
//! ```
//! use std::sync::Arc;
//! use switchboard::table::shared::Config;
//! use switchboard::{SharedWriter, Table};
//!
//! struct Socket;
//! # impl Socket { async fn serve(&self) {} fn close(&self) {} }
//!
//! async fn connection(id: u64, links: SharedWriter<u64, Arc<Socket>>) -> Result<(), Box<dyn std::error::Error>> {
//!     let socket = Arc::new(Socket);
//!     links.insert_async(id, socket.clone()).await?;
//!     socket.serve().await;
//!     // Completed once no new snapshot has the link.
//!     let removed = links.transaction_async(move |table| table.remove(&id)).await?.await?;
//!     if let Some(socket) = removed.value {
//!         socket.close(); // explicitly: a reader may hold the value for as long as it likes
//!     }
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (writer, table) = Table::new();
//! let (links, thread) = SharedWriter::spawn(writer, Config::new())?;
//! let tasks: Vec<_> = (0..100).map(|id| connection(id, links.clone())).collect();
//! for task in tasks {
//!     task.await?;
//! }
//! assert!(table.snapshot().is_empty());
//! drop(links);
//! # let writer =
//! thread.join()?; // waits for the thread, and returns the writer
//! # drop(writer);
//! # Ok(())
//! # }
//! ```
//!
//! # Which operation
//!
//! * [`insert`](crate::SharedWriter::insert) and [`remove`](crate::SharedWriter::remove) have no result. They allocate
//!   nothing, and are the cheapest.
//! * [`transaction`](crate::SharedWriter::transaction) runs a closure on the staged state, and returns a ticket with its
//!   result and the version that contains it: for decisions ("insert if there is room"), for several changes that belong
//!   together, for the removed value, and to read one's own writes. It allocates twice.
//! * `transaction(|_| ())` completes when everything sent before it by this thread is visible.
//!
//! Read through a snapshot of [`table`](crate::SharedWriter::table), and not in a transaction: a snapshot waits for no
//! one, and the transaction delays all operations behind it.
//!
//! # Who owns the writer
//!
//! | | when |
//! |---|---|
//! | [`SharedWriter::spawn`](crate::SharedWriter::spawn) | the default: a thread that sleeps while there is nothing to do |
//! | a task with [`Driver::wait_for_work`](crate::table::shared::Driver::wait_for_work) | the program has a runtime and wants no other threads |
//! | [`Driver::turn`](crate::table::shared::Driver::turn) in an existing loop | a sans-io program, a simulation, a test |
//!
//! # When to use something else
//!
//! * **A `Mutex<Writer>`**, if few threads write, and each waits until its change is visible before it makes the next
//!   one. Handing an operation to another thread and back costs two wake-ups, tens of microseconds, where an
//!   uncontended lock costs about one microsecond with the publish. Note what it does not do: each operation makes a
//!   version, which readers, feeds and tasks in [`Table::changed`](crate::Table::changed) follow one by one; a task that
//!   holds the lock blocks a thread of the runtime; and removed values stay alive until someone calls
//!   [`Writer::reclaim`](crate::Writer::reclaim).
//! * **The [mailbox](crate::mailbox) and a thread of your own**, if operations have priorities or deadlines, or must be
//!   shed.
//! * **A concurrent map**, if each entry stands alone: see the [limitations](crate::docs::limitations#table).
//!
//! # Figures
//!
//! 5,000 insertions, and then the removal of nine in ten, by 1, 2 or 8 threads, or by 5,000 tasks on one runtime; the time
//! until the table is right, and the number of versions (`compare --workload storm`, which measures all sides alternately).
//! *Sent*: nothing is waited for but the end. *Confirmed*: each thread or task waits until each change is visible, as with
//! a lock it always does.
//!
//! | ms, and versions | 1 thread | 2 threads | 8 threads | tasks |
//! |---|---|---|---|---|
//! | `SharedWriter`, sent | 3.0; 10 | 2.5; 10 | 3.1; 10 | 12; 171 |
//! | an actor behind `tokio::sync::mpsc` that batches, sent | 2.9; 11 | 2.6; 10 | 3.6; 10 | 13; 217 |
//! | `Mutex<Writer>`, a publish for each operation | 8.0; 9,500 | 19; 9,500 | 16; 9,500 | 25; 9,500 |
//! | `parking_lot::FairMutex<Writer>`, the same | 7.7; 9,500 | 194; 9,500 | 31; 9,300 | 30; 9,500 |
//! | `SharedWriter`, confirmed | 272; 9,500 | 223; 7,500 | 91; 3,400 | 18; 12 |
//! | the actor, confirmed | 207; 9,500 | 250; 7,600 | 81; 3,300 | 19; 34 |
//!
//! Medians of 21 rounds on two processors of a virtual machine; the ratio of the shared writer to a second one, the
//! control, was 0.7 to 1.3. So: for tasks, half the time of a lock or less, and as fast as the actor, with fewer versions;
//! the same for threads that send without waiting, with a thousandth of the versions of a lock; and if a few threads wait
//! for each change, 6 to 30 times slower than a lock, because each change then costs two wake-ups of a thread.
//!
//! # Why a transaction can be taken back
//!
//! A closure may panic halfway, and its changes must not be published by the turn that it was part of. Four ways were
//! considered:
//!
//! * Keep what was changed, as a `Mutex` without poisoning does. Readers would see half a transfer.
//! * Publish before each transaction, so that a discard loses only its own changes. That is a version per transaction, which
//!   is what the queue is there to avoid.
//! * Collect the changes and apply them at the end. Reads within the transaction would have to look in two places, and the
//!   index would not see the changes; and applying them can panic, too.
//! * Record how to undo each change. It costs a clone of a key and a value for each operation of each transaction, all
//!   for the case that one panics.
//!
//! The writer already records the batch, to [recycle](crate::TableBuilder::recycle) versions and to feed subscribers. So
//! the beginning of a transaction is a number, and to take it back, the operations before it are replayed on the published
//! version: O(operations of the turn), and nothing if no transaction panics. Where the batch is not recorded, a transaction
//! begins with a copy of the staged state, which shares all pages, and copies the pages that it changes.
