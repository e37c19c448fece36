//! The receiving end.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use super::error::{RecvError, RecvTimeoutError, TryRecvError};
use super::lane::{Deadline, Entry};
use super::shared::Shared;
use super::turns::{LaneSet, Turns};
use super::{Config, Priority, Stats};
use crate::sync::{Arc, Spin};

/// The only receiving end of a mailbox.
///
/// Commands are received in lane order, and in the order in which they were sent within a lane, except as
/// [the rule against starvation](super#order-and-starvation) requires.
///
/// Dropping it closes the mailbox and drops the queued commands on the dropping thread; from then on senders
/// get their commands back.
///
/// # Examples
/// ```
/// use switchboard::mailbox::{Config, Priority, RecvError, mailbox};
///
/// let (sender, mut receiver) = mailbox(Config::new());
/// let thread = std::thread::spawn(move || sender.try_send(Priority::Normal, 7));
/// assert_eq!(receiver.recv(), Ok((Priority::Normal, 7)));
/// assert_eq!(receiver.recv(), Err(RecvError::Closed));
/// # assert!(thread.join().is_ok_and(|sent| sent.is_ok()));
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    turns: Turns,
    /// The lanes that commands are taken from.
    open: LaneSet,
}

/// Rooms of commands that were taken, given back together even if the buffer fails to grow.
struct Freed<'a, T> {
    shared: &'a Shared<T>,
    rooms: [usize; 4],
}

impl<T> Drop for Freed<'_, T> {
    fn drop(&mut self) {
        for (priority, rooms) in Priority::ALL.into_iter().zip(self.rooms) {
            if rooms > 0 {
                self.shared.release(priority, rooms);
            }
        }
    }
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, config: &Config) -> Self {
        Self { shared, turns: Turns::new(config.limit()), open: LaneSet::down_to(Priority::Low) }
    }

    /// Takes the next command, if any.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`], even if permits are outstanding; [`TryRecvError::Closed`] if the mailbox is
    /// closed and drained.
    pub fn try_recv(&mut self) -> Result<(Priority, T), TryRecvError> {
        if let Some((priority, entry)) = take(&self.shared, &mut self.turns, self.open) {
            self.shared.release(entry.home, 1);
            return Ok((priority, entry.value));
        }
        Err(self.nothing())
    }

    /// Appends up to `limit` commands to `buffer` without waiting, and returns their number.
    ///
    /// Equivalent to as many calls of [`try_recv`](Self::try_recv), but gives their rooms back together at
    /// the end: one atomic exchange per lane instead of one per command.
    ///
    /// # Errors
    /// If no command is queued, the errors of [`try_recv`](Self::try_recv). A `limit` of zero is not an
    /// error.
    ///
    /// # Examples
    /// ```
    /// use switchboard::mailbox::{Config, Priority, TryRecvError, mailbox};
    ///
    /// let (sender, mut receiver) = mailbox(Config::new());
    /// for number in 0..5 {
    ///     sender.try_send(Priority::Normal, number).unwrap();
    /// }
    /// let mut batch = Vec::with_capacity(4);
    /// assert_eq!(receiver.try_recv_batch(&mut batch, 4), Ok(4));
    /// assert_eq!(batch[3], (Priority::Normal, 3));
    /// assert_eq!(receiver.try_recv_batch(&mut batch, 4), Ok(1));
    /// assert_eq!(receiver.try_recv_batch(&mut batch, 4), Err(TryRecvError::Empty));
    /// ```
    pub fn try_recv_batch(
        &mut self,
        buffer: &mut Vec<(Priority, T)>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        let before = buffer.len();
        let mut freed = Freed { shared: &self.shared, rooms: [0; 4] };
        while buffer.len() - before < limit {
            let Some((priority, entry)) = take(&self.shared, &mut self.turns, self.open) else { break };
            freed.rooms[entry.home.index()] += 1;
            buffer.push((priority, entry.value));
        }
        drop(freed);
        match buffer.len() - before {
            0 if limit > 0 => Err(self.nothing()),
            taken => Ok(taken),
        }
    }

    /// Takes the next command, waiting for it without a bound. In a task, use
    /// [`recv_async`](Self::recv_async).
    ///
    /// # Errors
    /// [`RecvError::Closed`] if the mailbox is closed and drained.
    pub fn recv(&mut self) -> Result<(Priority, T), RecvError> {
        loop {
            match self.wait(Deadline::Never, false) {
                Ok(received) => return Ok(received),
                Err(RecvTimeoutError::Closed) => return Err(RecvError::Closed),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Woken) => {}
            }
        }
    }

    /// Takes the next command, waiting for it up to `timeout`.
    ///
    /// # Errors
    /// [`RecvTimeoutError::Timeout`]; [`RecvTimeoutError::Woken`] if no command is queued and
    /// [`Sender::wake`](super::Sender::wake) was called since a wake was last reported;
    /// [`RecvTimeoutError::Closed`] if the mailbox is closed and drained.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use switchboard::mailbox::{Config, Priority, RecvTimeoutError, mailbox};
    ///
    /// let (sender, mut receiver) = mailbox::<u32>(Config::new());
    /// assert_eq!(receiver.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    /// sender.wake();
    /// assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Err(RecvTimeoutError::Woken));
    /// drop(sender);
    /// assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Err(RecvTimeoutError::Closed));
    /// ```
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<(Priority, T), RecvTimeoutError> {
        // The clock is not read if a result is available at once.
        match self.look(true) {
            Some(outcome) => outcome,
            None => self.wait(Deadline::of(timeout), true),
        }
    }

    /// Takes the next command, or registers the task to be woken when there is one.
    ///
    /// Returns `Pending` if no command is queued; the waker of the last such call is woken by the next
    /// command, by the close, and when the last permit of a closed mailbox ends. It may also be woken without
    /// a reason. [`recv_async`](Self::recv_async) is the same as a future. As [`recv`](Self::recv), it leaves
    /// [`wake`](super::Sender::wake) requests pending.
    ///
    /// # Errors
    /// [`RecvError::Closed`] if the mailbox is closed and drained.
    ///
    /// # Examples
    /// ```
    /// use std::task::{Context, Poll, Waker};
    /// use switchboard::mailbox::{Config, Priority, mailbox};
    ///
    /// let (sender, mut receiver) = mailbox(Config::new());
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert_eq!(receiver.poll_recv(&mut context), Poll::Pending);
    /// sender.try_send(Priority::Normal, 1).unwrap();
    /// assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(Ok((Priority::Normal, 1))));
    /// ```
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<(Priority, T), RecvError>> {
        if let Some(outcome) = self.look_for_task() {
            return Poll::Ready(outcome);
        }
        self.shared.parking.prepare_task(context.waker());
        let Some(outcome) = self.look_for_task() else { return Poll::Pending };
        self.forget_task();
        Poll::Ready(outcome)
    }

    /// [`poll_event`](Self::poll_event) for a command or the close of the mailbox.
    /// Takes the next command of this lane, whatever waits in the others.
    pub(crate) fn try_recv_from(&mut self, priority: Priority) -> Option<T> {
        let entry = self.shared.pop(priority)?;
        self.shared.release(entry.home, 1);
        Some(entry.value)
    }

    #[cfg(feature = "manager")]
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_event(context, |receiver| !receiver.is_empty() || receiver.is_closed())
    }

    /// Registers the task, and then returns whether `is_due`, or the receiver was asked to wake. If `Pending`,
    /// the task is woken by the next command in the lanes that are listened to, the close of the mailbox, the
    /// end of the last permit of a closed one, and a request to wake.
    pub(crate) fn poll_event(
        &mut self,
        context: &mut Context<'_>,
        is_due: impl FnOnce(&Self) -> bool,
    ) -> Poll<()> {
        self.shared.parking.prepare_task(context.waker());
        // Both are read: a request to wake is answered together with the commands that it announced.
        let was_asked = self.shared.parking.take_wake();
        if is_due(self) || was_asked {
            self.shared.parking.cancel();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Ends the requests to wake that were made until now.
    pub(crate) fn take_wake(&self) -> bool {
        self.shared.parking.take_wake()
    }

    /// Returns whether the mailbox is closed, no command is queued in any lane, and no permit is
    /// outstanding.
    pub(crate) fn is_drained(&self) -> bool {
        self.nothing().is_closed()
    }

    /// Ends the registration of a task that no longer waits: its waker is dropped.
    pub(crate) fn forget_task(&self) {
        self.shared.parking.forget_task();
    }

    /// As [`forget_task`](Self::forget_task), if the last poll has returned `Pending`.
    pub(super) fn forget_sleeping_task(&self) {
        self.shared.parking.forget_sleeping_task();
    }

    /// Closes the mailbox: new sends are refused, and senders that wait for room give up. Commands accepted
    /// before can still be received, and outstanding permits stay valid.
    ///
    /// The lanes are closed one after another; all are closed when this returns.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Returns whether every send is refused from now on. Once true, it stays true.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Returns the number of commands queued at `priority`. A statistic: it may be outdated at once.
    #[must_use]
    pub fn len(&self, priority: Priority) -> usize {
        self.shared.lane(priority).ring.len()
    }

    /// Returns the number of commands queued in all lanes together, each read at its own instant.
    #[must_use]
    pub fn len_total(&self) -> usize {
        Priority::ALL.into_iter().map(|priority| self.len(priority)).sum()
    }

    /// Returns whether no command is queued in the lanes that are [listened to](Self::listen_down_to).
    /// Permits may be outstanding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.waiting().and(self.open).is_empty()
    }

    /// Takes only from the lanes down to `lowest` from now on, as if the lanes below were empty. This applies
    /// backpressure to less urgent commands while urgent ones still get through. Initially all lanes are
    /// listened to.
    ///
    /// Commands stay queued in the lanes that are left out, and fill them; a closed mailbox is not drained
    /// before they are taken.
    ///
    /// # Examples
    /// ```
    /// use switchboard::mailbox::{Config, Priority, TryRecvError, mailbox};
    ///
    /// let (sender, mut receiver) = mailbox(Config::new());
    /// sender.try_send(Priority::Normal, 1).unwrap();
    /// receiver.listen_down_to(Priority::High);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// receiver.listen_down_to(Priority::Low);
    /// assert_eq!(receiver.try_recv(), Ok((Priority::Normal, 1)));
    /// ```
    pub fn listen_down_to(&mut self, lowest: Priority) {
        self.open = LaneSet::down_to(lowest);
    }

    /// Returns the number of rooms in the lane of `priority`.
    #[must_use]
    pub fn capacity(&self, priority: Priority) -> usize {
        self.shared.lane(priority).rooms.capacity()
    }

    /// Returns the statistics of the lanes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    fn nothing(&self) -> TryRecvError {
        // Checked last: a command that arrived after the look holds a room, so the mailbox is not drained.
        if self.shared.is_drained() { TryRecvError::Closed } else { TryRecvError::Empty }
    }

    fn look_for_task(&mut self) -> Option<Result<(Priority, T), RecvError>> {
        match self.try_recv() {
            Ok(received) => Some(Ok(received)),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
            Err(TryRecvError::Empty) => None,
        }
    }

    /// Looks around once: for a command, the end, or a request to wake.
    fn look(&mut self, heeds_wake: bool) -> Option<Result<(Priority, T), RecvTimeoutError>> {
        match self.try_recv() {
            Ok(received) => Some(Ok(received)),
            Err(TryRecvError::Closed) => Some(Err(RecvTimeoutError::Closed)),
            Err(TryRecvError::Empty) if heeds_wake && self.shared.parking.take_wake() => {
                Some(Err(RecvTimeoutError::Woken))
            }
            Err(TryRecvError::Empty) => None,
        }
    }

    /// Waits in three steps: tries, spins, parks. `parking` lists the threads that wake it.
    fn wait(&mut self, deadline: Deadline, heeds_wake: bool) -> Result<(Priority, T), RecvTimeoutError> {
        let mut spin = Spin::new();
        loop {
            if let Some(outcome) = self.look(heeds_wake) {
                return outcome;
            }
            if !spin.spin() {
                break;
            }
        }
        loop {
            self.shared.parking.prepare();
            if let Some(outcome) = self.look(heeds_wake) {
                self.shared.parking.cancel();
                return outcome;
            }
            if !self.shared.parking.park(deadline) {
                self.shared.parking.cancel();
                return self.look(heeds_wake).unwrap_or(Err(RecvTimeoutError::Timeout));
            }
        }
    }
}

/// Takes from the lane that is due. The room stays taken.
fn take<T>(shared: &Shared<T>, turns: &mut Turns, open: LaneSet) -> Option<(Priority, Entry<T>)> {
    let mut waiting = shared.waiting().and(open);
    while let Some(priority) = turns.choose(waiting) {
        if let Some(entry) = shared.pop(priority) {
            turns.took(priority, waiting);
            return Some((priority, entry));
        }
        // A sender shed the lane's last command just now. This happens at most once per lane.
        waiting.remove(priority);
    }
    None
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("closed", &self.is_closed()).field("stats", &self.stats()).finish()
    }
}
