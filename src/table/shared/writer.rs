//! The handle.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::io;
use std::time::Duration;

use super::common::Common;
use super::config::Config;
use super::driver::Driver;
use super::message::Message;
#[cfg(feature = "cleanup")]
use super::pending::LARGE;
use super::pending::SMALL;
use super::permit::{CommitTicket, Permit};
use super::stats::Stats;
use super::thread::{self, SpawnError, Spawned, WriterThread};
use super::transaction::Transaction;
use crate::mailbox::{
    self, ReserveError, ReserveTimeoutError, SendError, Sender, TryReserveError, TrySendError,
};
use crate::sync::thread::JoinHandle;
use crate::sync::{self, StdArc};
use crate::table::handle::Table;
use crate::table::hash::DefaultHashBuilder;
use crate::table::index::Index;
use crate::table::writer::Writer;

/// A handle through which any number of threads and tasks change one table.
///
/// Operations are queued, applied in order by the one owner of the [`Writer`], and published together, once
/// per turn. [`table::shared`](crate::table::shared) has an example and all promises;
/// [`docs::sharing`](crate::docs::sharing) explains when to use this, and what it costs.
///
/// Cloning is cheap. When the last handle is dropped, the writer applies what is queued, and ends.
///
/// | operation | waits for room | refused if full | awaits room |
/// |---|---|---|---|
/// | an entry | [`insert`](Self::insert) | [`try_insert`](Self::try_insert) | [`insert_async`](Self::insert_async) |
/// | a removal | [`remove`](Self::remove) | [`try_remove`](Self::try_remove) | [`remove_async`](Self::remove_async) |
/// | a closure, with a result | [`transaction`](Self::transaction) | [`try_transaction`](Self::try_transaction) | [`transaction_async`](Self::transaction_async) |
/// | any of these, built when there is room | [`reserve`](Self::reserve), [`reserve_timeout`](Self::reserve_timeout) | [`try_reserve`](Self::try_reserve) | [`reserve_async`](Self::reserve_async) |
///
/// # Progress
///
/// Sending is lock-free while there is room and the writer is awake. It allocates nothing for an entry or a
/// removal. Reading is that of the [`table`](Self::table), and never waits for the writer.
pub struct SharedWriter<K, V, I = (), S = DefaultHashBuilder> {
    sender: Sender<Message<K, V, I, S>>,
    common: StdArc<Common<K, V, I, S>>,
}

impl<K, V, I, S> SharedWriter<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Shares a writer whose turns the caller runs. Changes that are already staged are published with the
    /// first turn.
    ///
    /// # Examples
    /// ```
    /// use switchboard::table::shared::{Config, Turn};
    /// use switchboard::{SharedWriter, Table};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (writer, table) = Table::<u64, &str>::new();
    /// let (links, mut driver) = SharedWriter::new(writer, Config::new());
    /// links.insert(1, "one")?;
    /// links.insert(2, "two")?;
    /// assert_eq!(driver.turn(), Turn::More);
    /// assert_eq!((table.version().as_u64(), table.snapshot().len()), (1, 2));
    /// assert_eq!(driver.turn(), Turn::Idle);
    /// # Ok(())
    /// # }
    /// ```
    #[allow(clippy::new_ret_no_self)] // The two ends belong together.
    #[allow(clippy::type_complexity)]
    #[must_use]
    pub fn new(writer: Writer<K, V, I, S>, config: Config) -> (Self, Driver<K, V, I, S>) {
        let (sender, receiver) = mailbox::mailbox(config.mailbox);
        let common = StdArc::new(Common::new(writer.table()));
        let driver = Driver::new(writer, receiver, config.batch, common.clone());
        (Self { sender, common }, driver)
    }

    /// Shares a writer whose turns a thread of its own runs, until it is
    /// [closed](crate::table::shared#shutdown).
    ///
    /// # Errors
    /// [`SpawnError`] if the operating system cannot create a thread, with the writer.
    #[allow(clippy::type_complexity)] // The two ends belong together.
    pub fn spawn(
        writer: Writer<K, V, I, S>,
        config: Config,
    ) -> Result<(Self, WriterThread<K, V, I, S>), SpawnError<Writer<K, V, I, S>>> {
        let name = config.name.clone();
        Self::spawn_with(|body| sync::spawn(name, body), writer, config)
    }

    #[allow(clippy::type_complexity)] // As in `spawn`.
    pub(super) fn spawn_with(
        start: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>,
        writer: Writer<K, V, I, S>,
        config: Config,
    ) -> Spawned<(Self, WriterThread<K, V, I, S>), K, V, I, S> {
        let (shared, driver) = Self::new(writer, config);
        let thread = thread::spawn(start, driver, shared.sender.control(), shared.common.clone())?;
        Ok((shared, thread))
    }
}

impl<K, V, I, S> SharedWriter<K, V, I, S> {
    /// Returns the table: for snapshots, readers and feeds.
    #[must_use]
    pub fn table(&self) -> &Table<K, V, I, S> {
        &self.common.table
    }

    /// Refuses new operations from all handles. The accepted ones are still applied; then the writer ends.
    pub fn close(&self) {
        self.sender.control().close();
    }

    /// Returns whether new operations are refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Returns the figures since the writer was shared.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.common.counters.stats(*self.sender.stats().lane(SMALL))
    }

    /// Inserts an entry, waiting for room if the queue is full. The replaced value, if any, is dropped.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the entry, if the writer was closed. [`SendError::Full`] only in user code
    /// that runs in a turn, which does not wait.
    pub fn insert(&self, key: K, value: V) -> Result<(), SendError<(K, V)>> {
        match self.reserve() {
            Ok(permit) => permit.insert(key, value),
            Err(error) => Err(refused(error, (key, value)).into()),
        }
    }

    /// Removes an entry, waiting for room if the queue is full. Its value is dropped; to close a resource
    /// that it stands for, remove it in a [`transaction`](Self::transaction) that returns the value.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), with the key.
    pub fn remove(&self, key: K) -> Result<(), SendError<K>> {
        match self.reserve() {
            Ok(permit) => permit.remove(key),
            Err(error) => Err(refused(error, key).into()),
        }
    }

    /// Runs `work` on the staged state, waiting for room if the queue is full. Returns the ticket of its
    /// result.
    ///
    /// No other operation is applied in between, and all changes of `work` are published together. If it
    /// panics, [none of them is](crate::table::shared#panics-in-user-code). It runs in the turn of the
    /// writer, which delays all operations behind it: it should be short, and must not wait for another
    /// operation of this writer.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), with the closure.
    ///
    /// # Examples
    /// ```
    /// use switchboard::table::shared::Config;
    /// use switchboard::{SharedWriter, Table};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (writer, table) = Table::<&str, u64>::new();
    /// let (accounts, _thread) = SharedWriter::spawn(writer, Config::new())?;
    /// accounts.insert("a", 10)?;
    /// let paid = accounts.transaction(|table| {
    ///     let has_enough = table.get("a").is_some_and(|balance| *balance >= 7);
    ///     if has_enough {
    ///         table.update("a", |balance| *balance -= 7);
    ///         table.upsert("b", |balance| balance.copied().unwrap_or(0) + 7);
    ///     }
    ///     has_enough
    /// })?;
    /// assert!(paid.await?.value);
    /// assert_eq!(table.snapshot()["b"], 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn transaction<F, R>(&self, work: F) -> Result<CommitTicket<R>, SendError<F>>
    where
        F: FnOnce(&mut Transaction<'_, K, V, I, S>) -> R + Send + 'static,
        R: Send + 'static,
    {
        match self.reserve() {
            Ok(permit) => permit.transaction(work),
            Err(error) => Err(refused(error, work).into()),
        }
    }

    /// As [`insert`](Self::insert), without waiting.
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::Closed`], with the entry.
    pub fn try_insert(&self, key: K, value: V) -> Result<(), TrySendError<(K, V)>> {
        match self.try_reserve() {
            Ok(permit) => permit.insert(key, value).map_err(closed),
            Err(error) => Err(refused(error, (key, value))),
        }
    }

    /// As [`remove`](Self::remove), without waiting.
    ///
    /// # Errors
    /// As [`try_insert`](Self::try_insert), with the key.
    pub fn try_remove(&self, key: K) -> Result<(), TrySendError<K>> {
        match self.try_reserve() {
            Ok(permit) => permit.remove(key).map_err(closed),
            Err(error) => Err(refused(error, key)),
        }
    }

    /// As [`transaction`](Self::transaction), without waiting for room.
    ///
    /// # Errors
    /// As [`try_insert`](Self::try_insert), with the closure.
    pub fn try_transaction<F, R>(&self, work: F) -> Result<CommitTicket<R>, TrySendError<F>>
    where
        F: FnOnce(&mut Transaction<'_, K, V, I, S>) -> R + Send + 'static,
        R: Send + 'static,
    {
        match self.try_reserve() {
            Ok(permit) => permit.transaction(work).map_err(closed),
            Err(error) => Err(refused(error, work)),
        }
    }

    /// As [`insert`](Self::insert), for tasks: awaits room and does not block.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes has sent nothing, and the entry is dropped with it. To
    /// keep the entry, use [`reserve_async`](Self::reserve_async).
    ///
    /// # Errors
    /// [`SendError::Closed`], with the entry.
    pub async fn insert_async(&self, key: K, value: V) -> Result<(), SendError<(K, V)>> {
        match self.reserve_async().await {
            Ok(permit) => permit.insert(key, value),
            Err(_) => Err(SendError::Closed((key, value))),
        }
    }

    /// As [`remove`](Self::remove), for tasks: awaits room and does not block.
    ///
    /// # Cancel safety
    /// As [`insert_async`](Self::insert_async).
    ///
    /// # Errors
    /// [`SendError::Closed`], with the key.
    pub async fn remove_async(&self, key: K) -> Result<(), SendError<K>> {
        match self.reserve_async().await {
            Ok(permit) => permit.remove(key),
            Err(_) => Err(SendError::Closed(key)),
        }
    }

    /// As [`transaction`](Self::transaction), for tasks: awaits room and does not block. The ticket that it
    /// returns is a future, too.
    ///
    /// # Cancel safety
    /// As [`insert_async`](Self::insert_async). Dropping the ticket does not cancel the transaction.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the closure.
    pub async fn transaction_async<F, R>(&self, work: F) -> Result<CommitTicket<R>, SendError<F>>
    where
        F: FnOnce(&mut Transaction<'_, K, V, I, S>) -> R + Send + 'static,
        R: Send + 'static,
    {
        match self.reserve_async().await {
            Ok(permit) => permit.transaction(work),
            Err(_) => Err(SendError::Closed(work)),
        }
    }

    /// Reserves room for one operation, waiting for it without a bound.
    ///
    /// # Errors
    /// [`TryReserveError::Closed`]. [`TryReserveError::Full`] only in user code that runs in a turn, which
    /// does not wait.
    pub fn reserve(&self) -> Result<Permit<'_, K, V, I, S>, TryReserveError> {
        if self.common.is_in_turn() {
            return self.try_reserve();
        }
        match self.sender.reserve(SMALL) {
            Ok(room) => Ok(Permit::new(room)),
            Err(_) => Err(TryReserveError::Closed),
        }
    }

    /// Reserves room for one operation, waiting for it up to `timeout`; in user code that runs in a turn,
    /// without waiting.
    ///
    /// # Errors
    /// [`ReserveTimeoutError::Timeout`] and [`ReserveTimeoutError::Closed`].
    pub fn reserve_timeout(&self, timeout: Duration) -> Result<Permit<'_, K, V, I, S>, ReserveTimeoutError> {
        let is_in_turn = self.common.is_in_turn();
        let timeout = if is_in_turn { Duration::ZERO } else { timeout };
        self.sender.reserve_timeout(SMALL, timeout).map(Permit::new)
    }

    /// Reserves room for one operation, without waiting.
    ///
    /// # Errors
    /// [`TryReserveError::Full`] and [`TryReserveError::Closed`].
    pub fn try_reserve(&self) -> Result<Permit<'_, K, V, I, S>, TryReserveError> {
        self.sender.try_reserve(SMALL).map(Permit::new)
    }

    /// Reserves room for one operation that takes long, and has a turn of its own; without waiting.
    #[cfg(feature = "cleanup")]
    pub(crate) fn try_reserve_large(&self) -> Result<Permit<'_, K, V, I, S>, TryReserveError> {
        self.sender.try_reserve(LARGE).map(Permit::new)
    }

    /// Waits for room for one operation that takes long, up to `timeout`. Not for user code in a turn.
    #[cfg(feature = "cleanup")]
    pub(crate) fn reserve_large(
        &self,
        timeout: Duration,
    ) -> Result<Permit<'_, K, V, I, S>, ReserveTimeoutError> {
        self.sender.reserve_timeout(LARGE, timeout).map(Permit::new)
    }

    /// Reserves room for one operation, for tasks: awaits it and does not block.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes holds no room, and has lost nothing but its place.
    ///
    /// # Errors
    /// [`ReserveError::Closed`].
    ///
    /// # Examples
    /// ```
    /// use switchboard::table::shared::Config;
    /// use switchboard::{SharedWriter, Table};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (writer, table) = Table::<u64, &str>::new();
    /// let (links, _thread) = SharedWriter::spawn(writer, Config::new())?;
    /// let permit = links.reserve_async().await?;
    /// let committed = permit.transaction(|table| table.insert(1, "one"))?.await?;
    /// assert_eq!((committed.value, table.version()), (None, committed.version));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reserve_async(&self) -> Result<Permit<'_, K, V, I, S>, ReserveError> {
        self.sender.reserve_async(SMALL).await.map(Permit::new)
    }
}

fn refused<T>(error: TryReserveError, operation: T) -> TrySendError<T> {
    if error.is_full() { TrySendError::Full(operation) } else { TrySendError::Closed(operation) }
}

fn closed<T>(error: SendError<T>) -> TrySendError<T> {
    TrySendError::Closed(error.into_inner())
}

impl<K, V, I, S> Clone for SharedWriter<K, V, I, S> {
    /// Returns another handle of the same writer.
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), common: self.common.clone() }
    }
}

impl<K, V, I, S> fmt::Debug for SharedWriter<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedWriter")
            .field("version", &self.table().version())
            .field("is_closed", &self.is_closed())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
