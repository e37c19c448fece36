//! The owner of the writer: runs turns.

use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::mem;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};
use std::time::Duration;

use super::common::Common;
use super::message::{CommitError, Job, Message};
use super::transaction::Transaction;
use crate::mailbox::{Priority, Receiver, TryRecvError};
use crate::sync::{self, StdArc};
use crate::table::hash::DefaultHashBuilder;
use crate::table::index::Index;
use crate::table::version::Version;
use crate::table::writer::Writer;
use crate::table::writer::reclaim::Reclaimed;
use crate::table::writer::savepoint::Savepoint;
use crate::unwind::contain;

/// The shortest and the longest pause between two attempts to publish a version that the table refuses.
const PUBLISH_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(64));

/// The shortest and the longest pause between two attempts to drop values that readers hold.
const RECLAIM_PAUSE: (Duration, Duration) = (Duration::from_millis(16), Duration::from_secs(4));

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
    writer: Writer<K, V, I, S>,
    receiver: Receiver<Message<K, V, I, S>>,
    common: StdArc<Common<K, V, I, S>>,
    batch: NonZeroUsize,
    /// Operations that were taken from the queue and are not yet applied.
    inbox: Vec<(Priority, Message<K, V, I, S>)>,
    /// Transactions that were applied and wait for the publish.
    done: Vec<Box<dyn Job<K, V, I, S>>>,
    /// Keys and values that the turn has replaced, to be dropped at its end.
    unneeded: Vec<Unneeded<K, V>>,
    /// The last version after which removed values have been dropped; `None` if there is none.
    reclaimed: Option<Version>,
    /// Whether the table has refused to publish: nothing is taken until it does.
    is_refused: bool,
    /// The next pause between two attempts.
    pause: Duration,
}

enum Unneeded<K, V> {
    #[allow(dead_code)] // Only dropped.
    Key(K),
    #[allow(dead_code)] // Only dropped.
    Value(V),
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
            writer,
            receiver,
            common,
            batch,
            inbox: Vec::new(),
            done: Vec::new(),
            unneeded: Vec::new(),
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
        let common = self.common.clone();
        let _turn = common.begin_turn();
        if common.is_aborted() {
            self.refuse_all();
            return Turn::Ended;
        }
        if self.writer.has_staged() && !self.publish() {
            return Turn::Later(self.next_pause(PUBLISH_PAUSE));
        }
        let room = self.batch.get().saturating_sub(self.inbox.len());
        let received = self.receiver.try_recv_batch(&mut self.inbox, room);
        if !self.inbox.is_empty() {
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
    /// Time does not wake it: after [`Turn::Later`], the caller sets a timer. The waker of the last call
    /// counts, and may be woken without a reason.
    ///
    /// # Panics
    /// If the waker's `clone` panics; the turn is complete by then.
    pub fn poll_turn(&mut self, context: &mut Context<'_>) -> Turn {
        // Requests to wake up to here are answered by this turn.
        self.receiver.take_wake();
        let turn = self.turn();
        match turn {
            Turn::Idle | Turn::Later(_) if self.poll_work(context).is_ready() => Turn::More,
            Turn::More => {
                // The caller runs the next turn at once, and may return from its poll in between.
                let _ = self.poll_work(context);
                turn
            }
            _ => turn,
        }
    }

    /// Returns whether the next turn has something to do that does not depend on readers: operations wait, or
    /// the shared writer is to end. While the table [refuses to
    /// publish](crate::TableBuilder::max_versions), only an abort counts.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.work().is_due(&self.receiver)
    }

    /// Waits until [`has_work`](Self::has_work), without running a turn. May complete without a reason.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: use it in a `select!`, beside a timer for [`Turn::Later`].
    pub async fn wait_for_work(&mut self) {
        poll_fn(|context| self.poll_work(context)).await;
    }

    /// Runs turns on this thread until the shared writer has ended, and returns the writer. Blocks while
    /// there is nothing to do.
    pub fn run(mut self) -> Writer<K, V, I, S> {
        loop {
            match self.turn() {
                Turn::More => {}
                Turn::Later(pause) => self.park(pause),
                Turn::Idle => self.park(Duration::MAX),
                Turn::Ended => return self.into_writer(),
            }
        }
    }

    /// Refuses new operations, as [`SharedWriter::close`](crate::SharedWriter::close) does.
    pub fn close(&self) {
        self.receiver.close();
    }

    /// Ends the shared writer and returns the writer, with nothing staged. Operations that are queued, or
    /// that were applied and could not be published, have not happened: their tickets say
    /// [`CommitError::Closed`].
    #[must_use = "to end the shared writer, drop the driver"]
    pub fn into_writer(mut self) -> Writer<K, V, I, S> {
        self.refuse_all();
        let Self { writer, receiver, .. } = self;
        // Senders with a permit may have pushed in the meantime. Unwind safety: it is only dropped.
        let _ = contain(AssertUnwindSafe(|| drop(receiver)));
        writer
    }

    /// Returns the writer of a driver that has run no turn and whose handles are gone, as it was.
    pub(super) fn into_unused_writer(self) -> Writer<K, V, I, S> {
        self.writer
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let work = self.work();
        self.receiver.poll_event(context, |receiver| work.is_due(receiver))
    }

    fn work(&self) -> Work<K, V, I, S> {
        Work {
            common: self.common.clone(),
            is_begun: !self.inbox.is_empty() || self.writer.has_staged(),
            is_refused: self.is_refused,
        }
    }

    /// Waits for an operation, for at most `timeout`. May return early.
    ///
    /// Woken by every send, by the drop of the last handle, by a close, and by an abort. A queue that has
    /// ended cannot wait any more: if the table still refuses to publish, time alone does.
    pub(super) fn park(&mut self, timeout: Duration) {
        if self.is_refused && self.receiver.is_drained() {
            return sync::sleep(timeout);
        }
        if let Ok(received) = self.receiver.recv_timeout(timeout) {
            self.inbox.push(received);
        }
    }

    /// Publishes what is staged, completes the tickets, and drops what was replaced. Returns `false` if the
    /// table refuses the version: everything stays as it is, and no operation is taken until it is published.
    fn publish(&mut self) -> bool {
        let before = self.writer.version();
        // Unwind safety: the writer is whole after a panic.
        match contain(AssertUnwindSafe(|| self.writer.try_publish().is_err())) {
            Some(false) => {}
            Some(true) => {
                self.common.counters.refused.add(1);
                self.is_refused = true;
                self.receiver.listen_down_to(Priority::Critical);
                return false;
            }
            None => {
                self.note_panic(true);
                if self.writer.has_staged() {
                    // The index panicked, and could not be rebuilt.
                    self.discard_turn(CommitError::Panicked);
                }
            }
        }
        self.receiver.listen_down_to(Priority::Low);
        self.is_refused = false;
        self.pause = Duration::ZERO;
        let version = self.writer.version();
        self.common.counters.publishes.add(u64::from(version > before));
        self.complete(Ok(version));
        self.drop_unneeded();
        true
    }

    /// Discards what is staged. The tickets of this turn say why.
    fn discard_turn(&mut self, error: CommitError) {
        // Unwind safety: the writer is whole after a panic.
        let is_discarded = contain(AssertUnwindSafe(|| self.writer.discard())).is_some();
        self.note_panic(!is_discarded);
        self.complete(Err(error));
    }

    fn complete(&mut self, outcome: Result<Version, CommitError>) {
        for job in mem::take(&mut self.done) {
            self.finish(job, outcome);
        }
    }

    /// Completes a ticket: runs its callback or waker, and may drop the result.
    fn finish(&self, job: Box<dyn Job<K, V, I, S>>, outcome: Result<Version, CommitError>) {
        // Unwind safety: no part of the job remains observable.
        self.note_panic(contain(AssertUnwindSafe(|| job.finish(outcome))).unwrap_or(true));
    }

    /// Runs the destructors of the turn, one by one.
    fn drop_unneeded(&mut self) {
        for unneeded in mem::take(&mut self.unneeded) {
            // Unwind safety: no part of the value remains observable.
            self.note_panic(contain(AssertUnwindSafe(|| drop(unneeded))).is_none());
        }
    }

    fn note_panic(&self, panicked: bool) {
        if panicked {
            self.common.counters.panics.add(1);
        }
    }

    fn reclaim(&mut self) -> Turn {
        let version = self.writer.version();
        if self.reclaimed == Some(version) {
            return Turn::Idle;
        }
        // Unwind safety: what a panic leaves is dropped by the next call.
        match contain(AssertUnwindSafe(|| self.writer.reclaim_some())) {
            None => {
                self.note_panic(true);
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
        let mut inbox = mem::take(&mut self.inbox);
        let counters = &self.common.counters;
        counters.turns.add(1);
        counters.operations.add(inbox.len() as u64);
        counters.batch_max.raise(inbox.len() as u64);
        for (_, message) in inbox.drain(..) {
            if self.common.is_aborted() {
                self.refuse(message);
            } else {
                self.apply(message);
            }
        }
        self.inbox = inbox;
    }

    /// Drops an operation that is not applied.
    fn refuse(&self, message: Message<K, V, I, S>) {
        // Unwind safety: no part of the operation remains observable.
        self.note_panic(contain(AssertUnwindSafe(|| drop(message))).is_none());
    }

    fn apply(&mut self, message: Message<K, V, I, S>) {
        let Self { writer, unneeded, .. } = self;
        // Unwind safety: a call of the writer that panics has done all of its work, or none.
        match message {
            Message::Insert(key, value) => {
                let inserted = contain(AssertUnwindSafe(|| writer.insert(key, value)));
                match inserted {
                    Some(old) => keep(unneeded, old.map(Unneeded::Value)),
                    None => self.note_panic(true),
                }
            }
            Message::Remove(key) => {
                let removed = contain(AssertUnwindSafe(|| writer.remove(&key)));
                keep(unneeded, Some(Unneeded::Key(key)));
                match removed {
                    Some(old) => keep(unneeded, old.map(Unneeded::Value)),
                    None => self.note_panic(true),
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
            self.note_panic(true);
            return self.finish(job, Err(CommitError::Panicked));
        };
        // Unwind safety: the job has no result then, and the writer is returned to the savepoint.
        let ran = contain(AssertUnwindSafe(|| job.run(&mut Transaction::new(writer))));
        if ran.is_some() {
            writer.release(savepoint);
            self.done.push(job);
        } else {
            self.take_back(savepoint);
            self.finish(job, Err(CommitError::Panicked));
        }
    }

    #[cold]
    fn take_back(&mut self, savepoint: Savepoint<K, V, I, S>) {
        self.note_panic(true);
        if !self.writer.roll_back(savepoint) {
            // The whole batch is discarded.
            self.note_panic(true);
            self.complete(Err(CommitError::Panicked));
        }
    }

    /// Ends without applying what is queued, and discards what could not be published.
    #[cold]
    fn refuse_all(&mut self) {
        self.receiver.close();
        self.receiver.listen_down_to(Priority::Low);
        self.discard_turn(CommitError::Closed);
        loop {
            // A queue that is empty, or closed and drained, has nothing to refuse.
            let _ = self.receiver.try_recv_batch(&mut self.inbox, self.batch.get());
            if self.inbox.is_empty() {
                break;
            }
            mem::take(&mut self.inbox).into_iter().for_each(|(_, message)| self.refuse(message));
        }
        self.drop_unneeded();
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

/// Keeps a key or value until the end of the turn, if it has a destructor.
fn keep<K, V>(unneeded: &mut Vec<Unneeded<K, V>>, value: Option<Unneeded<K, V>>) {
    if mem::needs_drop::<Unneeded<K, V>>() {
        unneeded.extend(value);
    }
}

impl<K, V, I, S> fmt::Debug for Driver<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("version", &self.writer.version())
            .field("queue_len", &self.receiver.len_total())
            .finish_non_exhaustive()
    }
}
