//! The settings of a shared writer.

use std::num::NonZeroUsize;

use crate::mailbox::{self, CapacityError, Priority};

/// The settings of a [`SharedWriter`](crate::SharedWriter): the size of its queue, the size of a turn, and
/// the name of its thread.
///
/// # Examples
/// ```
/// use std::num::NonZeroUsize;
/// use switchboard::table::shared::Config;
///
/// # fn main() -> Result<(), switchboard::mailbox::CapacityError> {
/// let config = Config::new().capacity(512)?.batch(NonZeroUsize::new(64).unwrap()).thread_name("links");
/// assert_eq!(config.queue_capacity(), 512);
/// assert!(Config::new().capacity(0).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until it is passed to a shared writer"]
pub struct Config {
    pub(super) mailbox: mailbox::Config,
    pub(super) batch: NonZeroUsize,
    pub(super) name: String,
}

impl Config {
    // The model checkers must reach full turns within a few steps.
    #[cfg(not(switchboard_model))]
    const BATCH: usize = 1024;
    #[cfg(switchboard_model)]
    const BATCH: usize = 2;

    /// Creates the default configuration: a queue of 4096 operations, turns of up to 1024, and a thread
    /// called `switchboard-writer`.
    pub fn new() -> Self {
        Self {
            mailbox: one_lane(mailbox::Config::new().capacity(Priority::Normal)).unwrap_or_default(),
            batch: NonZeroUsize::new(Self::BATCH).unwrap_or(NonZeroUsize::MIN),
            name: String::from("switchboard-writer"),
        }
    }

    /// Sets the number of operations that can wait. Senders wait for room, or are refused, beyond it. The
    /// memory of the queue, which is one slot per operation, is allocated when the writer is shared.
    ///
    /// # Errors
    /// [`CapacityError`] if it is zero or above [`mailbox::Config::MAX`].
    pub fn capacity(mut self, operations: usize) -> Result<Self, CapacityError> {
        self.mailbox = one_lane(operations)?;
        Ok(self)
    }

    /// Sets the number of operations, of which a transaction is one, that a turn takes and publishes
    /// together.
    ///
    /// The default of 1024 is the length up to which a batch is always recorded, so that the next one can
    /// [recycle](crate::TableBuilder::recycle) a version instead of copying pages. Smaller turns publish more
    /// often, and each publish costs about as much as a few operations; larger turns make the first operation
    /// of a turn wait longer for its publish.
    pub fn batch(mut self, operations: NonZeroUsize) -> Self {
        self.batch = operations;
        self
    }

    /// Sets the name of the thread of [`SharedWriter::spawn`](crate::SharedWriter::spawn).
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Returns the number of operations that can wait.
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        self.mailbox.capacity(Priority::Normal)
    }
}

/// All operations take one lane, so that they are applied in the order in which they were accepted.
/// Room for large operations; see [`Pending::take`](super::pending::Pending::take).
#[cfg(not(switchboard_model))]
const LARGE_CAPACITY: usize = 256;
#[cfg(switchboard_model)]
const LARGE_CAPACITY: usize = 2;

fn one_lane(operations: usize) -> Result<mailbox::Config, CapacityError> {
    mailbox::Config::try_from([1, 1, operations, LARGE_CAPACITY])
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
