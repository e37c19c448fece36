//! The owner of the writer: runs turns.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::common::Common;
use super::message::{CommitError, Job, Message};
use super::pending::{LARGE, Pending, Received, Unneeded};
use super::transaction::Transaction;
use crate::mailbox::{Priority, Receiver, TryRecvError};
use crate::sync::{self, StdArc};
use crate::table::hash::DefaultHashBuilder;
use crate::table::index::Index;
use crate::table::page_map::TOGETHER;
use crate::table::version::Version;
use crate::table::writer::Writer;
use crate::table::writer::reclaim::Reclaimed;
use crate::table::writer::savepoint::Savepoint;
use crate::unwind::contain;

/// The shortest and the longest pause between two attempts to publish a version that the table refuses.
const PUBLISH_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(64));

/// The shortest and the longest pause between two attempts to drop values that readers hold.
const RECLAIM_PAUSE: (Duration, Duration) = (Duration::from_millis(16), Duration::from_secs(4));

/// Attempts to open a batch. Each that panics has dropped what panicked.
const OPEN_ATTEMPTS: usize = 3;

/// The end of a [`SharedWriter`](crate::SharedWriter) that owns the [`Writer`], for callers that run the turns
/// themselves: it has no thread and no clock.
///
/// Dropping it closes the shared writer and the table; operations that are queued are dropped, and their
/// tickets say [`CommitError::Closed`]. [`into_writer`](Self::into_writer) returns the writer instead.
///
/// # Examples
/// In a task, with whatever else the task waits for:
/// ```
/// use switchboard::table::shared::{Config, Turn};
/// use switchboard::{SharedWriter, Table};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (writer, table) = Table::<u64, &str>::new();
/// let (links, mut driver) = SharedWriter::new(writer, Config::new());
/// let task = tokio::spawn(async move {
///     loop {
///         match driver.turn() {
///             Turn::More => tokio::task::yield_now().await,
///             Turn::Idle => driver.wait_for_work().await,
///             Turn::Later(pause) => tokio::select! {
///                 () = driver.wait_for_work() => {}
///                 () = tokio::time::sleep(pause) => {}
///             },
///             Turn::Ended => return driver.into_writer(),
///         }
///     }
/// });
/// links.insert_async(1, "one").await?;
/// let committed = links.transaction_async(|table| table.len()).await?.await?;
/// assert_eq!((committed.value, table.snapshot().len()), (1, 1));
/// drop(links);
/// assert_eq!(task.await?.len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Driver<K, V, I = (), S = DefaultHashBuilder> {
    /// First, so that it is dropped first: destructors may still send operations, which are refused then.
    pending: Pending<K, V, I, S>,
    writer: Writer<K, V, I, S>,
    batch: NonZeroUsize,
    /// The last version after which removed values have been dropped; `None` if there is none.
    reclaimed: Option<Version>,
    /// Whether the table has refused to publish: nothing is taken until it does.
    is_refused: bool,
    /// The next pause between two attempts.
    pause: Duration,
}

/// The result of a turn: when the next one is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says when the next turn is due"]
pub enum Turn {
    /// The turn has done something, and there may be more to do at once.
    More,
    /// The next turn is due when there is [work](Driver::has_work), or after this time: readers hold versions,
    /// which keep removed values alive or [forbid to publish](crate::TableBuilder::max_versions).
    Later(Duration),
    /// The next turn is due when there is [work](Driver::has_work).
    Idle,
    /// The shared writer is closed, and everything is applied and published.
    Ended,
}

impl<K, V, I, S> Driver<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    pub(super) fn new(
        writer: Writer<K, V, I, S>,
        receiver: Receiver<Message<K, V, I, S>>,
        batch: NonZeroUsize,
        common: StdArc<Common<K, V, I, S>>,
    ) -> Self {
        Self {
            pending: Pending::new(receiver, common),
            writer,
            batch,
            reclaimed: None,
            is_refused: false,
            pause: Duration::ZERO,
        }
    }

    /// Runs one turn: takes the operations that wait, up to [`Config::batch`](super::Config::batch), applies
    /// them, publishes once, completes the tickets, and drops what was replaced.
    ///
    /// A turn that finds no operation drops a bounded part of the [removed
    /// values](crate::table::shared#removed-values).
    ///
    /// Never waits. Panics of user code are [contained](crate::table::shared#panics-in-user-code).
    pub fn turn(&mut self) -> Turn {
        let common = self.pending.common.clone();
        let _turn = common.begin_turn();
        if common.is_aborted() {
            self.refuse_all();
            return Turn::Ended;
        }
        if self.writer.has_staged() && !self.publish() {
            return Turn::Later(self.next_pause(PUBLISH_PAUSE));
        }
        let received = self.pending.take(self.batch);
        if self.pending.has_taken() {
            self.apply_all();
            return if self.publish() { Turn::More } else { Turn::Later(self.next_pause(PUBLISH_PAUSE)) };
        }
        match received {
            Err(TryRecvError::Closed) => Turn::Ended,
            _ => self.reclaim(),
        }
    }

    /// Runs one turn as [`turn`](Self::turn) does, and registers the task to be woken when there is more to
    /// do: by the next operation, and when the last handle is dropped or the shared writer is closed. For
    /// drivers that are part of a hand-written future; in an `async` block,
    /// [`wait_for_work`](Self::wait_for_work) is simpler.
    ///
    /// Only [`Turn::Idle`] and [`Turn::Later`] leave the task registered. After [`Turn::More`], call again
    /// before returning `Poll::Pending`, or wake the task.
    ///
    /// Time does not wake it: after [`Turn::Later`], the caller sets a timer. The waker of the last call
    /// counts, and may be woken without a reason.
    ///
    /// # Panics
    /// If the waker's `clone` panics; the turn is complete by then.
    pub fn poll_turn(&mut self, context: &mut Context<'_>) -> Turn {
        // Requests to wake up to here are answered by this turn.
        self.pending.receiver.take_wake();
        let turn = self.turn();
        match turn {
            Turn::Idle | Turn::Later(_) if self.poll_work(context).is_ready() => Turn::More,
            _ => turn,
        }
    }

    /// Returns whether the next turn has something to do that does not depend on readers: operations wait, or
    /// the shared writer is to end. While the table [refuses to
    /// publish](crate::TableBuilder::max_versions), only an abort counts.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.work().is_due(&self.pending.receiver)
    }

    /// Waits until [`has_work`](Self::has_work), without running a turn. May complete without a reason.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: use it in a `select!`, beside a timer for [`Turn::Later`].
    pub async fn wait_for_work(&mut self) {
        WaitForWork { driver: self, is_registered: false }.await;
    }

    /// Runs turns on this thread until the shared writer has ended, and returns the writer. Blocks while
    /// there is nothing to do.
    pub fn run(mut self) -> Writer<K, V, I, S> {
        loop {
            match self.turn() {
                Turn::More if self.pending.was_large() => sync::give_way(),
                Turn::More => {}
                Turn::Later(pause) => self.park(pause),
                Turn::Idle => self.park(Duration::MAX),
                Turn::Ended => return self.into_writer(),
            }
        }
    }

    /// Refuses new operations, as [`SharedWriter::close`](crate::SharedWriter::close) does.
    pub fn close(&self) {
        self.pending.receiver.close();
    }

    /// Ends the shared writer and returns the writer, with nothing staged. Operations that are queued, or
    /// that were applied and could not be published, have not happened: their tickets say
    /// [`CommitError::Closed`].
    #[must_use = "to end the shared writer, drop the driver"]
    pub fn into_writer(mut self) -> Writer<K, V, I, S> {
        self.refuse_all();
        let Self { writer, pending, .. } = self;
        // Senders with a permit may have pushed in the meantime. Unwind safety: it is only dropped.
        let _ = contain(AssertUnwindSafe(|| drop(pending)));
        writer
    }

    /// Returns the writer of a driver that has run no turn and whose handles are gone, as it was.
    pub(super) fn into_unused_writer(self) -> Writer<K, V, I, S> {
        self.writer
    }

    /// Waits for an operation, for at most `timeout`. May return early.
    ///
    /// Woken by every send, by the drop of the last handle, by a close, and by an abort. A queue that has
    /// ended cannot wait any more: if the table still refuses to publish, time alone does.
    pub(super) fn park(&mut self, timeout: Duration) {
        if self.is_refused && self.pending.receiver.is_drained() {
            return sync::sleep(timeout);
        }
        self.pending.take_one(timeout);
    }

    /// Publishes what is staged, completes the tickets, and drops what was replaced. Returns `false` if the
    /// table refuses the version: everything stays as it is, and no operation is taken until it is published.
    fn publish(&mut self) -> bool {
        let before = self.writer.version();
        if self.writer.has_staged() && self.writer.check_versions().is_err() {
            self.be_refused();
            return false;
        }
        // Not refused: a version that no one holds is not held again. Unwind safety: the writer is whole after
        // a panic.
        if contain(AssertUnwindSafe(|| self.writer.publish())).is_none() {
            self.pending.note_panic(true);
            if self.writer.has_staged() {
                // The index panicked, and could not be rebuilt.
                self.discard_turn(CommitError::Panicked);
            }
        }
        self.pending.receiver.listen_down_to(LARGE);
        self.is_refused = false;
        self.pause = Duration::ZERO;
        let version = self.writer.version();
        self.pending.common.counters.publishes.add(u64::from(version > before));
        self.pending.complete(Ok(version));
        self.pending.drop_unneeded();
        true
    }

    /// Stops taking operations until the table publishes, and drops part of what was released.
    #[cold]
    fn be_refused(&mut self) {
        if !self.is_refused {
            self.is_refused = true;
            self.pause = Duration::ZERO;
            self.pending.receiver.listen_down_to(Priority::Critical);
        }
        self.pending.common.counters.refused.add(1);
        // Unwind safety: what a panic leaves is dropped by the next call.
        let tidied = contain(AssertUnwindSafe(|| self.writer.tidy_refused()));
        self.pending.note_panic(tidied.is_none());
    }

    /// Discards what is staged. The tickets of this turn say why.
    fn discard_turn(&mut self, error: CommitError) {
        // Unwind safety: the writer is whole after a panic.
        let is_discarded = contain(AssertUnwindSafe(|| self.writer.discard())).is_some();
        self.pending.note_panic(!is_discarded);
        self.reclaimed = None;
        self.pending.complete(Err(error));
    }

    fn reclaim(&mut self) -> Turn {
        let version = self.writer.version();
        if self.reclaimed == Some(version) {
            return Turn::Idle;
        }
        // Unwind safety: what a panic leaves is dropped by the next call.
        match contain(AssertUnwindSafe(|| self.writer.reclaim_some())) {
            None => {
                self.pending.note_panic(true);
                Turn::More
            }
            Some(Reclaimed::Part) => Turn::More,
            Some(Reclaimed::ButHeld) => Turn::Later(self.next_pause(RECLAIM_PAUSE)),
            Some(Reclaimed::All) => {
                self.reclaimed = Some(version);
                self.pause = Duration::ZERO;
                Turn::Idle
            }
        }
    }

    /// Returns the next pause between two attempts: twice the last one, within the limits.
    fn next_pause(&mut self, (shortest, longest): (Duration, Duration)) -> Duration {
        self.pause = (self.pause * 2).clamp(shortest, longest);
        self.pause
    }
}

impl<K, V, I, S> Driver<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    fn apply_all(&mut self) {
        self.open_batch();
        let mut inbox = self.pending.begin_batch();
        let mut applied = 0;
        let mut messages = inbox.drain(..);
        for number in 0.. {
            if number % TOGETHER == 0 {
                self.look_ahead(messages.as_slice());
            }
            let Some((_, message)) = messages.next() else { break };
            if self.pending.common.is_aborted() {
                self.pending.refuse(message);
            } else {
                self.apply(message);
                applied += 1;
            }
        }
        drop(messages);
        self.pending.end_batch(inbox, applied);
    }

    /// Reads the entries that the next operations are going to change; see [`Writer::look_ahead`].
    fn look_ahead(&self, messages: &[Received<K, V, I, S>]) {
        let keys = messages.iter().take(TOGETHER).filter_map(|(_, message)| match message {
            Message::Insert(key, _) | Message::Remove(key) => Some(key),
            Message::Transaction(_) => None,
        });
        // Unwind safety: it only reads. An operation whose key panics does so again, and is counted then.
        let _ = contain(AssertUnwindSafe(|| self.writer.look_ahead(keys)));
    }

    /// Does what the first operation would do for the batches before it, so that user code that panics there
    /// (the destructor of an older value, say) costs no operation.
    fn open_batch(&mut self) {
        for _ in 0..OPEN_ATTEMPTS {
            // Unwind safety: the writer is whole after a panic.
            if contain(AssertUnwindSafe(|| self.writer.open_batch())).is_some() {
                return;
            }
            self.pending.note_panic(true);
        }
    }

    fn apply(&mut self, message: Message<K, V, I, S>) {
        let Self { writer, pending, .. } = self;
        // Unwind safety: a call of the writer that panics has done all of its work, or none.
        match message {
            Message::Insert(key, value) => {
                let inserted = contain(AssertUnwindSafe(|| writer.insert(key, value)));
                match inserted {
                    Some(old) => pending.keep(old.map(Unneeded::Value)),
                    None => pending.note_panic(true),
                }
            }
            Message::Remove(key) => {
                let removed = contain(AssertUnwindSafe(|| writer.remove(&key)));
                pending.keep(Some(Unneeded::Key(key)));
                match removed {
                    Some(old) => pending.keep(old.map(Unneeded::Value)),
                    None => pending.note_panic(true),
                }
            }
            Message::Transaction(job) => self.transact(job),
        }
    }

    /// Runs a transaction. If it panics, its changes are taken back.
    fn transact(&mut self, mut job: Box<dyn Job<K, V, I, S>>) {
        let writer = &mut self.writer;
        // Unwind safety: nothing has changed.
        let Some(savepoint) = contain(AssertUnwindSafe(|| writer.savepoint())) else {
            self.pending.note_panic(true);
            return self.pending.finish(job, Err(CommitError::Panicked));
        };
        // Unwind safety: the job has no result then, and the writer is returned to the savepoint.
        let ran = contain(AssertUnwindSafe(|| job.run(&mut Transaction::new(writer))));
        if ran.is_some() {
            writer.release(savepoint);
            self.pending.wait_for_publish(job);
        } else {
            self.take_back(savepoint);
            self.pending.finish(job, Err(CommitError::Panicked));
        }
    }

    #[cold]
    fn take_back(&mut self, savepoint: Savepoint<K, V, I, S>) {
        self.pending.note_panic(true);
        if !self.writer.roll_back(savepoint) {
            // The whole batch is discarded.
            self.pending.note_panic(true);
            self.pending.complete(Err(CommitError::Panicked));
        }
        // The publish that follows may be a long way off, or there may be none.
        self.reclaimed = None;
        // Unwind safety: what a panic leaves is dropped by the next call.
        let tidied = contain(AssertUnwindSafe(|| self.writer.tidy_undone()));
        self.pending.note_panic(tidied.is_none());
    }

    /// Ends without applying what is queued, and discards what could not be published.
    #[cold]
    fn refuse_all(&mut self) {
        self.pending.close();
        self.discard_turn(CommitError::Closed);
        self.pending.refuse_all();
    }
}

impl<K, V, I, S> Driver<K, V, I, S> {
    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let work = self.work();
        self.pending.receiver.poll_event(context, |receiver| work.is_due(receiver))
    }

    fn work(&self) -> Work<K, V, I, S> {
        Work {
            common: self.pending.common.clone(),
            is_begun: self.pending.has_taken() || self.writer.has_staged(),
            is_refused: self.is_refused,
        }
    }
}

/// The wait of [`Driver::wait_for_work`].
struct WaitForWork<'a, K, V, I, S> {
    driver: &'a mut Driver<K, V, I, S>,
    is_registered: bool,
}

impl<K, V, I, S> Future for WaitForWork<'_, K, V, I, S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { driver, is_registered } = self.get_mut();
        let polled = driver.poll_work(context);
        *is_registered = polled.is_pending();
        polled
    }
}

impl<K, V, I, S> Drop for WaitForWork<'_, K, V, I, S> {
    fn drop(&mut self) {
        if self.is_registered {
            self.driver.pending.receiver.forget_task();
        }
    }
}

/// The part of a driver that, with the queue, decides whether it has work.
struct Work<K, V, I, S> {
    common: StdArc<Common<K, V, I, S>>,
    /// Operations were taken from the queue.
    is_begun: bool,
    is_refused: bool,
}

impl<K, V, I, S> Work<K, V, I, S> {
    fn is_due(&self, receiver: &Receiver<Message<K, V, I, S>>) -> bool {
        let has_mail = || !receiver.is_empty() || receiver.is_drained();
        self.common.is_aborted() || !self.is_refused && (self.is_begun || has_mail())
    }
}

impl<K, V, I, S> fmt::Debug for Driver<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("version", &self.writer.version())
            .field("queue_len", &self.pending.receiver.len_total())
            .finish_non_exhaustive()
    }
}
