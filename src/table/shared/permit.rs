//! A reserved room in the queue of a shared writer.

use std::fmt;

use super::message::{Call, CommitError, Committed, Message};
use super::transaction::Transaction;
use crate::mailbox::{self, SendError};
use crate::table::hash::DefaultHashBuilder;
use crate::ticket::{Completion, Ticket, ticket_with};

/// The ticket of a transaction: yields the closure's result and the version that contains its changes, once
/// that version is published. It can be waited for, awaited, given a callback, or dropped if the result is not
/// needed.
pub type CommitTicket<R> = Ticket<Committed<R>, CommitError>;

/// A reserved room for one operation of a [`SharedWriter`](crate::SharedWriter): its methods neither wait nor
/// fail for lack of room.
///
/// The operation is built only when there is room for it, so nothing has to be handed back. Dropping the
/// permit gives the room back. A permit that was granted before the writer was closed stays valid: the
/// writer's thread waits for it.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::table::shared::Config;
/// use switchboard::{SharedWriter, Table};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (writer, table) = Table::<u64, String>::new();
/// let (names, thread) = SharedWriter::spawn(writer, Config::new())?;
/// let permit = names.reserve_timeout(Duration::from_millis(100))?;
/// permit.insert(7, "made only when there is room".to_owned())?;
/// names.close();
/// thread.join()?;
/// assert_eq!(table.snapshot().len(), 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a permit gives its room back"]
pub struct Permit<'a, K, V, I = (), S = DefaultHashBuilder> {
    room: mailbox::Permit<'a, Message<K, V, I, S>>,
}

impl<'a, K, V, I, S> Permit<'a, K, V, I, S> {
    pub(super) fn new(room: mailbox::Permit<'a, Message<K, V, I, S>>) -> Self {
        Self { room }
    }

    /// Sends an insertion: [`SharedWriter::insert`](crate::SharedWriter::insert).
    ///
    /// # Errors
    /// [`SendError::Closed`], with the entry, if the writer has ended. An entry that is sent while the writer
    /// ends may be accepted and dropped.
    pub fn insert(self, key: K, value: V) -> Result<(), SendError<(K, V)>> {
        if self.room.is_receiver_gone() {
            return Err(SendError::Closed((key, value)));
        }
        self.room.push(Message::Insert(key, value));
        Ok(())
    }

    /// Sends a removal: [`SharedWriter::remove`](crate::SharedWriter::remove).
    ///
    /// # Errors
    /// As [`insert`](Self::insert), with the key.
    pub fn remove(self, key: K) -> Result<(), SendError<K>> {
        if self.room.is_receiver_gone() {
            return Err(SendError::Closed(key));
        }
        self.room.push(Message::Remove(key));
        Ok(())
    }

    /// Sends a transaction: [`SharedWriter::transaction`](crate::SharedWriter::transaction).
    ///
    /// # Errors
    /// As [`insert`](Self::insert), with the closure. The ticket of a transaction that is dropped says
    /// [`CommitError::Closed`].
    pub fn transaction<F, R>(self, work: F) -> Result<CommitTicket<R>, SendError<F>>
    where
        F: FnOnce(&mut Transaction<'_, K, V, I, S>) -> R + Send + 'static,
        R: Send + 'static,
    {
        if self.room.is_receiver_gone() {
            return Err(SendError::Closed(work));
        }
        let (completion, ticket): (Completion<_, CommitError>, _) = ticket_with();
        self.room.push(Message::Transaction(Box::new(Call::new(work, completion))));
        Ok(ticket)
    }
}

impl<K, V, I, S> fmt::Debug for Permit<'_, K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
