//! The sending end.

use std::fmt;
use std::time::Duration;

use super::control::Control;
use super::error::{SendError, SendTimeoutError, TrySendError};
use super::lane::Deadline;
use super::queue::Stopped;
use super::semaphore::Refused;
use super::sent::Sent;
use super::shared::Shared;
use super::{Backpressure, Priority, Stats};
use crate::sync::Arc;

/// The sending end of a mailbox: `Clone`, `Send` and `Sync`.
///
/// Clones send into the same lanes. When the last one is dropped, the mailbox closes: the receiver drains the
/// queued commands and then gets [`Closed`](super::RecvError::Closed).
///
/// A send that does not wait costs two atomic exchanges and a fence; see [progress](super#progress). Dropping
/// a sender takes no lock unless the receiver sleeps.
///
/// # Examples
/// ```
/// use switchboard::mailbox::{Config, Priority, mailbox};
///
/// let (sender, mut receiver) = mailbox(Config::new());
/// let other = sender.clone();
/// other.try_send(Priority::Low, "count")?;
/// sender.try_send(Priority::Critical, "stop")?;
/// assert_eq!(receiver.try_recv(), Ok((Priority::Critical, "stop")));
/// assert_eq!(receiver.try_recv(), Ok((Priority::Low, "count")));
/// # Ok::<(), switchboard::mailbox::TrySendError<&str>>(())
/// ```
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// Queues a command if there is room, without waiting or shedding, regardless of the policy. A room that
    /// other senders [wait for](super#waiting-for-room) does not count.
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::Closed`], with the command.
    pub fn try_send(&self, priority: Priority, value: T) -> Result<(), TrySendError<T>> {
        match self.shared.lane(priority).rooms.acquire() {
            Ok(()) => {
                self.shared.push(priority, priority, value);
                Ok(())
            }
            Err(Refused::Full) => {
                self.count_refused(priority);
                Err(TrySendError::Full(value))
            }
            Err(Refused::Closed) => Err(TrySendError::Closed(value)),
        }
    }

    /// Queues a command; if its lane is full, follows the [`Backpressure`] policy of the mailbox.
    ///
    /// Under [`Backpressure::Block`] it waits without a bound, in [the queue](super#waiting-for-room) of its
    /// lane, and must not be called on the receiver's thread. In a task, use
    /// [`send_async`](Self::send_async).
    ///
    /// # Errors
    /// [`SendError::Closed`], with the command. [`SendError::Full`] under [`Backpressure::Reject`], and under
    /// [`Backpressure::ShedLowest`] if no command that may be shed is queued in a lower lane.
    pub fn send(&self, priority: Priority, value: T) -> Result<Sent<T>, SendError<T>> {
        match self.shared.policy {
            Backpressure::Reject => {
                self.try_send(priority, value)?;
                Ok(Sent::Queued)
            }
            Backpressure::Block => match self.take_room(priority, Deadline::Never) {
                Ok(()) => {
                    self.shared.push(priority, priority, value);
                    Ok(Sent::Queued)
                }
                Err(_) => Err(SendError::Closed(value)),
            },
            Backpressure::ShedLowest => self.send_shedding(priority, value),
        }
    }

    /// Queues a command, waiting up to `timeout` for room, regardless of the policy. Sheds nothing.
    ///
    /// # Errors
    /// [`SendTimeoutError::Timeout`] and [`SendTimeoutError::Closed`], with the command.
    pub fn send_timeout(
        &self,
        priority: Priority,
        value: T,
        timeout: Duration,
    ) -> Result<(), SendTimeoutError<T>> {
        match self.take_room_within(priority, timeout) {
            Ok(()) => {
                self.shared.push(priority, priority, value);
                Ok(())
            }
            Err(Stopped::Timeout) => Err(SendTimeoutError::Timeout(value)),
            Err(Stopped::Closed) => Err(SendTimeoutError::Closed(value)),
        }
    }

    /// Makes the receiver return from [`recv_timeout`](super::Receiver::recv_timeout) without a command: the
    /// call in progress, or else the next one that finds no command.
    ///
    /// Requests are merged until one is answered. Everything that happened before this call is visible to the
    /// receiver when it is answered. [`recv`](super::Receiver::recv), which cannot report that it was woken,
    /// continues to wait and leaves the request pending.
    pub fn wake(&self) {
        self.shared.parking.ask_to_wake();
    }

    /// Returns the number of commands queued at `priority`. A statistic: it may be outdated at once.
    #[must_use]
    pub fn len(&self, priority: Priority) -> usize {
        self.shared.lane(priority).ring.len()
    }

    /// Returns the number of rooms in the lane of `priority`.
    #[must_use]
    pub fn capacity(&self, priority: Priority) -> usize {
        self.shared.lane(priority).rooms.capacity()
    }

    /// Returns whether every send is refused from now on. Once true, it stays true.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Number of commands that were handed back, for any reason: it rises after the counter of the reason.
    #[cfg(feature = "manager")]
    pub(crate) fn handed_back(&self) -> u64 {
        self.shared.handed_back()
    }

    /// Returns the statistics of the lanes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Returns the heap memory of the rings, without memory that queued commands own.
    #[cfg(feature = "manager")]
    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes()
    }

    /// Returns a handle that closes the mailbox and does not keep it open.
    pub(crate) fn control(&self) -> Control<T> {
        Control::new(self.shared.clone())
    }

    /// Returns whether the receiver was dropped. A hint: false may be stale.
    pub(super) fn is_receiver_gone(&self) -> bool {
        self.shared.parking.is_gone()
    }

    /// Queues a command in a room that now belongs to the command.
    pub(super) fn send_reserved(&self, priority: Priority, value: T) {
        self.shared.push(priority, priority, value);
    }

    /// Gives back a room that is not used after all.
    pub(super) fn release(&self, priority: Priority) {
        self.shared.release(priority, 1);
    }

    fn send_shedding(&self, priority: Priority, value: T) -> Result<Sent<T>, SendError<T>> {
        match self.shared.lane(priority).rooms.acquire() {
            Ok(()) => {
                self.shared.push(priority, priority, value);
                return Ok(Sent::Queued);
            }
            Err(Refused::Closed) => return Err(SendError::Closed(value)),
            Err(Refused::Full) => {}
        }
        let Some((victim, home)) = self.shared.shed_below(priority) else {
            self.count_refused(priority);
            return Err(SendError::Full(value));
        };
        // The room changes hands and is never free in between, so no count changes, and a mailbox that is
        // closed in the meantime is not drained before this command is received.
        self.shared.push(priority, home, value);
        Ok(Sent::Shed(victim))
    }

    pub(super) fn take_room_within(&self, priority: Priority, timeout: Duration) -> Result<(), Stopped> {
        // The clock is not read if there is room.
        match self.shared.lane(priority).rooms.acquire() {
            Ok(()) => Ok(()),
            Err(Refused::Closed) => Err(Stopped::Closed),
            Err(Refused::Full) => self.take_room(priority, Deadline::of(timeout)),
        }
    }

    pub(super) fn take_room(&self, priority: Priority, deadline: Deadline) -> Result<(), Stopped> {
        let lane = self.shared.lane(priority);
        let outcome = lane.take_room(deadline);
        if outcome == Err(Stopped::Timeout) {
            lane.counters.timed_out.add_one();
            self.shared.note_handed_back();
        }
        outcome
    }

    pub(super) fn count_refused(&self, priority: Priority) {
        self.shared.lane(priority).counters.refused.add_one();
        self.shared.note_handed_back();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let shared = self.shared.clone();
        shared.add_sender();
        Self { shared }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).field("stats", &self.stats()).finish()
    }
}
