//! The thread of a shared writer.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use super::common::Common;
use super::driver::Driver;
use super::message::Message;
use crate::mailbox::control::Control;
use crate::sync::thread::JoinHandle;
use crate::sync::{self, StdArc};
use crate::table::hash::DefaultHashBuilder;
use crate::table::index::Index;
use crate::table::writer::Writer;
use crate::ticket::{Closed, Delivery, Ticket, ticket};
use crate::unwind::contain;

/// The thread that owns the writer of a [`SharedWriter`](crate::SharedWriter):
/// [`SharedWriter::spawn`](crate::SharedWriter::spawn).
///
/// Dropping it detaches the thread, which ends, and closes the table, once the shared writer is closed or its
/// last handle is dropped, and everything is applied. If it has already ended, the writer is dropped here.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::table::shared::{Config, JoinError};
/// use switchboard::{SharedWriter, Table};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (writer, table) = Table::<u64, &str>::new();
/// let (links, thread) = SharedWriter::spawn(writer, Config::new())?;
/// links.insert(1, "one")?;
/// match thread.shutdown(Duration::from_secs(5)) {
///     Ok(writer) => assert_eq!(writer.len(), 1),
///     Err(JoinError::Timeout(thread)) => eprintln!("an operation takes long: {thread:?}"),
///     Err(error) => eprintln!("{error}"),
/// }
/// assert!(links.insert(2, "two").is_err_and(|error| error.is_closed()));
/// # Ok(())
/// # }
/// ```
pub struct WriterThread<K, V, I = (), S = DefaultHashBuilder> {
    control: Control<Message<K, V, I, S>>,
    common: StdArc<Common<K, V, I, S>>,
    thread: JoinHandle<()>,
    end: End<K, V, I, S>,
}

/// The writer that the thread leaves.
enum End<K, V, I, S> {
    Pending(Ticket<Writer<K, V, I, S>>),
    /// `Err` if the thread has panicked.
    Known(Box<Result<Writer<K, V, I, S>, Closed>>),
}

/// A result that contains the writer if there is no thread.
pub(super) type Spawned<T, K, V, I, S> = Result<T, SpawnError<Writer<K, V, I, S>>>;

/// Starts the thread by `start`, which is [`sync::spawn`] except in tests.
pub(super) fn spawn<K, V, I, S>(
    start: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>,
    driver: Driver<K, V, I, S>,
    control: Control<Message<K, V, I, S>>,
    common: StdArc<Common<K, V, I, S>>,
) -> Spawned<WriterThread<K, V, I, S>, K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    let (completion, ended) = ticket();
    // Handed over once the thread exists: a closure that cannot be started is dropped.
    let (hand_over, handed) = ticket::<Driver<K, V, I, S>>();
    let started = start(Box::new(move || {
        let Ok(driver) = handed.wait() else { return };
        if let Delivery::Abandoned(writer) = completion.complete(driver.run()) {
            // The thread was detached. Unwind safety: no part of the writer remains observable.
            let _ = contain(AssertUnwindSafe(|| drop(writer)));
        }
    }));
    match started {
        Ok(thread) => {
            hand_over.complete(driver);
            Ok(WriterThread { control, common, thread, end: End::Pending(ended) })
        }
        Err(error) => Err(SpawnError { error, writer: Box::new(driver.into_unused_writer()) }),
    }
}

impl<K, V, I, S> WriterThread<K, V, I, S> {
    /// Refuses new operations, as [`SharedWriter::close`](crate::SharedWriter::close) does. The accepted ones
    /// are still applied; then the thread ends.
    pub fn close(&self) {
        self.control.close();
    }

    /// Refuses new operations, and gives up those that are not applied yet: they are dropped, and their
    /// tickets say [`CommitError::Closed`](super::CommitError::Closed). The thread ends after the turn in
    /// progress. So does a turn that cannot be published because too many versions are held.
    pub fn abort(&self) {
        self.control.close();
        self.common.abort();
        // After the flag: the driver looks for it when it has been woken.
        self.control.wake();
    }

    /// Returns whether the thread has ended; [`join`](Self::join) does not wait then.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.end {
            End::Pending(ended) => ended.is_complete(),
            End::Known(_) => true,
        }
    }

    /// Waits, as a task, for the end of the thread; after that, [`join`](Self::join) does not wait. To end the
    /// thread, [`close`](Self::close) the shared writer or drop all its handles. Needs no runtime.
    ///
    /// A task that user code of the thread itself waits for never sees the end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: it can be awaited again.
    ///
    /// # Examples
    /// ```
    /// use switchboard::table::shared::Config;
    /// use switchboard::{SharedWriter, Table};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (writer, _table) = Table::<u64, &str>::new();
    /// let (links, mut thread) = SharedWriter::spawn(writer, Config::new())?;
    /// links.insert_async(1, "one").await?;
    /// links.close();
    /// thread.finished().await;
    /// assert_eq!(thread.join()?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn finished(&mut self) {
        if let End::Pending(ended) = &mut self.end {
            let ended = ended.await;
            self.end = End::Known(Box::new(ended));
        }
    }

    /// Waits for the end of the thread, without a bound, and returns the writer. To end the thread,
    /// [`close`](Self::close) the shared writer or drop all its handles.
    ///
    /// Blocks the thread: a task waits for [`finished`](Self::finished) first.
    ///
    /// # Errors
    /// [`JoinError::OwnThread`] in user code that runs on this thread: it cannot wait for itself.
    pub fn join(self) -> Result<Writer<K, V, I, S>, JoinError<Self>> {
        self.join_timeout(Duration::MAX)
    }

    /// Waits for the end of the thread, for up to `timeout`, and returns the writer.
    ///
    /// # Errors
    /// [`JoinError::Timeout`] and [`JoinError::OwnThread`], with this value.
    pub fn join_timeout(self, timeout: Duration) -> Result<Writer<K, V, I, S>, JoinError<Self>> {
        if self.thread.thread().id() == sync::thread::current().id() {
            return Err(JoinError::OwnThread(self));
        }
        let Self { control, common, thread, end } = self;
        let ended = match end {
            End::Known(ended) => Ok(*ended),
            End::Pending(ended) => ended.wait_timeout(timeout),
        };
        match ended {
            Err(pending) => {
                let end = End::Pending(pending.into_ticket());
                Err(JoinError::Timeout(Self { control, common, thread, end }))
            }
            Ok(ended) => {
                // The thread has nothing left to do but to end.
                let joined = thread.join();
                ended.ok().filter(|_| joined.is_ok()).ok_or(JoinError::Panicked)
            }
        }
    }

    /// Ends the shared writer: [closes](Self::close) it, waits up to `timeout` for the accepted operations
    /// to be applied, and returns the writer. If the time is up, [gives up](Self::abort) the operations that
    /// are still queued.
    ///
    /// In user code that runs on this thread, it closes the shared writer and does not wait.
    ///
    /// # Errors
    /// As [`join_timeout`](Self::join_timeout). After a timeout the thread ends by itself, as soon as the
    /// turn in progress ends.
    pub fn shutdown(self, timeout: Duration) -> Result<Writer<K, V, I, S>, JoinError<Self>> {
        self.close();
        let joined = self.join_timeout(timeout);
        if let Err(JoinError::Timeout(thread)) = &joined {
            thread.abort();
        }
        joined
    }
}

impl<K, V, I, S> fmt::Debug for WriterThread<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterThread")
            .field("version", &self.common.table.version())
            .field("is_closed", &self.control.is_closed())
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// The system could not create the thread of a shared writer. Contains the writer. `T` is the [`Writer`].
pub struct SpawnError<T> {
    error: io::Error,
    writer: Box<T>,
}

impl<T> SpawnError<T> {
    /// Returns the writer as it was, with what it had staged.
    #[must_use]
    pub fn into_writer(self) -> T {
        *self.writer
    }
}

impl<T> fmt::Debug for SpawnError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SpawnError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system could not create a thread: {}", self.error)
    }
}

impl<T> std::error::Error for SpawnError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The reason why a thread was not joined. `T` is the [`WriterThread`].
#[non_exhaustive]
pub enum JoinError<T> {
    /// The thread has not ended within the timeout.
    Timeout(T),
    /// The call was made on the thread itself.
    OwnThread(T),
    /// The thread has panicked outside of user code. The table is closed.
    Panicked,
}

impl<T> JoinError<T> {
    /// Returns the thread, to wait for it again, unless it has panicked.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        match self {
            Self::Timeout(thread) | Self::OwnThread(thread) => Some(thread),
            Self::Panicked => None,
        }
    }

    /// Returns whether this is [`JoinError::Timeout`].
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Returns whether this is [`JoinError::OwnThread`].
    #[must_use]
    pub fn is_own_thread(&self) -> bool {
        matches!(self, Self::OwnThread(_))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "Timeout",
            Self::OwnThread(_) => "OwnThread",
            Self::Panicked => "Panicked",
        }
    }
}

impl<T> fmt::Debug for JoinError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<T> fmt::Display for JoinError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout(_) => "timed out waiting for the writer's thread",
            Self::OwnThread(_) => "the writer's thread cannot wait for itself",
            Self::Panicked => "the writer's thread has panicked",
        })
    }
}

impl<T> std::error::Error for JoinError<T> {}
