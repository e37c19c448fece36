//! The operations in the queue.

use std::fmt;

use super::transaction::Transaction;
use crate::table::version::Version;
use crate::ticket::{Closed, Completion, Settled};

/// An operation that was accepted.
pub(super) enum Message<K, V, I, S> {
    Insert(K, V),
    Remove(K),
    Transaction(Box<dyn Job<K, V, I, S>>),
}

/// A transaction and its ticket.
pub(super) trait Job<K, V, I, S>: Send {
    /// Runs the closure and keeps its result. Panics if the closure panics.
    fn run(&mut self, transaction: &mut Transaction<'_, K, V, I, S>);

    /// Puts the outcome in the ticket: the result, which `version` contains, or the error. Runs no user code.
    fn settle(&mut self, outcome: Result<Version, CommitError>);

    /// Tells the ticket, which runs its waker or callback. Returns whether user code panicked.
    fn tell(self: Box<Self>) -> bool;
}

/// A transaction that returns an `R`.
pub(super) struct Call<F, R> {
    /// Taken when it is run.
    work: Option<F>,
    result: Option<R>,
    /// Taken when it is settled.
    completion: Option<Completion<Committed<R>, CommitError>>,
    settled: Option<Settled<Committed<R>, CommitError>>,
}

impl<F, R> Call<F, R> {
    pub(super) fn new(work: F, completion: Completion<Committed<R>, CommitError>) -> Self {
        Self { work: Some(work), result: None, completion: Some(completion), settled: None }
    }
}

impl<K, V, I, S, F, R> Job<K, V, I, S> for Call<F, R>
where
    F: FnOnce(&mut Transaction<'_, K, V, I, S>) -> R + Send,
    R: Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_, K, V, I, S>) {
        if let Some(work) = self.work.take() {
            self.result = Some(work(transaction));
        }
    }

    fn settle(&mut self, outcome: Result<Version, CommitError>) {
        let Some(completion) = self.completion.take() else { return };
        let outcome = outcome.and_then(|version| match self.result.take() {
            Some(value) => Ok(Committed { value, version }),
            // A job without a result was not run.
            None => Err(CommitError::Closed),
        });
        self.settled = Some(completion.settle(outcome));
    }

    fn tell(self: Box<Self>) -> bool {
        let Self { work, result, completion, settled } = *self;
        drop(completion);
        let panicked = settled.is_some_and(|settled| settled.tell().contained_panic());
        // Dropped last: both have destructors of the user.
        drop((work, result));
        panicked
    }
}

/// The result of a transaction whose changes were published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed<R> {
    /// The value that the closure returned.
    pub value: R,
    /// The version that contains the changes. Every snapshot that is taken from now on is of this version or
    /// a newer one.
    pub version: Version,
}

/// The reason why a transaction has changed nothing: the error of its ticket.
///
/// # Examples
/// ```
/// use switchboard::table::shared::{CommitError, Config};
/// use switchboard::{SharedWriter, Table};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # std::panic::set_hook(Box::new(|_| ()));
/// let (writer, table) = Table::<u64, &str>::new();
/// let (links, _thread) = SharedWriter::spawn(writer, Config::new())?;
/// let ticket = links.transaction(|table| -> () {
///     table.insert(1, "one");
///     panic!("after the first change");
/// });
/// assert_eq!(ticket.unwrap().wait(), Err(CommitError::Panicked));
/// assert!(table.snapshot().is_empty(), "nothing of it was published");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// The closure panicked, and its changes were taken back; or user code panicked while the changes of
    /// another transaction were taken back, or while the turn was published, and the whole turn was
    /// discarded. The panic hook has reported the panic.
    Panicked,
    /// The writer ended before the transaction was applied and published.
    Closed,
}

impl CommitError {
    /// Returns whether this is [`CommitError::Panicked`].
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        matches!(self, Self::Panicked)
    }

    /// Returns whether this is [`CommitError::Closed`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl From<Closed> for CommitError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panicked => "the transaction panicked, and nothing was changed",
            Self::Closed => "the writer ended before the transaction was published",
        })
    }
}

impl std::error::Error for CommitError {}
