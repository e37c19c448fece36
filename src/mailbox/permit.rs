//! A reserved room.

use std::fmt;

use super::error::ReserveError;
use super::error::ReserveTimeoutError;
use super::error::TryReserveError;
use super::lane::Deadline;
use super::queue::Stopped;
use super::semaphore::Refused;
use super::sender::Sender;
use super::{Priority, SendError};
use std::time::Duration;

/// A reserved room for one command: [`send`](Self::send) neither waits nor fails for lack of room.
///
/// Dropping it gives the room back and wakes a sender that waits for it. A permit that was granted before the
/// mailbox was closed stays valid: the receiver waits for it.
///
/// # Examples
/// ```
/// use switchboard::mailbox::{Config, Priority, mailbox};
///
/// let (sender, mut receiver) = mailbox(Config::new());
/// let permit = sender.try_reserve(Priority::High).unwrap();
/// receiver.close();
/// assert!(receiver.try_recv().is_err_and(|error| error.is_empty()));
/// permit.send("last words").unwrap();
/// assert_eq!(receiver.try_recv(), Ok((Priority::High, "last words")));
/// assert!(receiver.try_recv().is_err_and(|error| error.is_closed()));
/// ```
#[must_use = "dropping a permit gives its room back"]
pub struct Permit<'a, T> {
    sender: &'a Sender<T>,
    priority: Priority,
}

/// A [`Permit`] that owns its [`Sender`], so it can be kept or moved to another thread.
///
/// # Examples
/// ```
/// use switchboard::mailbox::{Config, Priority, mailbox};
///
/// let (sender, mut receiver) = mailbox(Config::new());
/// let permit = sender.try_reserve(Priority::High).unwrap().into_owned();
/// drop(sender);
/// let thread = std::thread::spawn(move || permit.send("from afar"));
/// assert_eq!(receiver.recv(), Ok((Priority::High, "from afar")));
/// assert!(receiver.recv().is_err_and(|error| error.is_closed()));
/// # assert!(thread.join().is_ok_and(|sent| sent.is_ok()));
/// ```
#[must_use = "dropping a permit gives its room back"]
pub struct OwnedPermit<T> {
    sender: Sender<T>,
    priority: Priority,
    /// Whether the permit still holds the room.
    held: bool,
}

impl<'a, T> Permit<'a, T> {
    pub(super) fn new(sender: &'a Sender<T>, priority: Priority) -> Self {
        Self { sender, priority }
    }

    /// Returns the lane that the room is in.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Queues a command in the reserved room.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the command, if the receiver was dropped. A command that is sent while the
    /// receiver is being dropped may be accepted and dropped with it, like all commands that were still
    /// queued.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        if self.sender.is_receiver_gone() {
            return Err(SendError::Closed(value));
        }
        self.push(value);
        Ok(())
    }

    /// Whether the receiver was dropped: a command that is pushed then is dropped. A hint: false may be stale.
    pub(crate) fn is_receiver_gone(&self) -> bool {
        self.sender.is_receiver_gone()
    }

    /// Queues a command in the reserved room, also if the receiver was dropped.
    pub(crate) fn push(self, value: T) {
        let (sender, priority) = (self.sender, self.priority);
        // The room now belongs to the command, even if the push finds the receiver gone and a value dropped
        // there panics.
        std::mem::forget(self);
        sender.send_reserved(priority, value);
    }

    /// Converts this into a permit for the same room that owns its sender.
    pub fn into_owned(self) -> OwnedPermit<T> {
        let owned = OwnedPermit { sender: self.sender.clone(), priority: self.priority, held: true };
        // The room now belongs to the other permit.
        std::mem::forget(self);
        owned
    }
}

impl<T> OwnedPermit<T> {
    /// Returns the lane that the room is in.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Queues a command in the reserved room.
    ///
    /// # Errors
    /// As [`Permit::send`].
    pub fn send(mut self, value: T) -> Result<(), SendError<T>> {
        if self.sender.is_receiver_gone() {
            return Err(SendError::Closed(value));
        }
        // As in `Permit::push`.
        self.held = false;
        self.sender.send_reserved(self.priority, value);
        Ok(())
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.sender.release(self.priority);
    }
}

impl<T> Drop for OwnedPermit<T> {
    fn drop(&mut self) {
        if self.held {
            self.sender.release(self.priority);
        }
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("priority", &self.priority).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for OwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").field("priority", &self.priority).finish_non_exhaustive()
    }
}

impl<T> Sender<T> {
    /// Reserves room for one command without waiting.
    ///
    /// # Errors
    /// [`TryReserveError::Full`] and [`TryReserveError::Closed`].
    pub fn try_reserve(&self, priority: Priority) -> Result<Permit<'_, T>, TryReserveError> {
        match self.shared.lane(priority).rooms.acquire() {
            Ok(()) => Ok(Permit::new(self, priority)),
            Err(Refused::Full) => {
                self.count_refused(priority);
                Err(TryReserveError::Full)
            }
            Err(Refused::Closed) => Err(TryReserveError::Closed),
        }
    }

    /// Reserves room for one command, waiting for it without a bound, regardless of the policy. Sheds
    /// nothing.
    ///
    /// Must not be called on the receiver's thread. In a task, use [`reserve_async`](Self::reserve_async).
    ///
    /// # Errors
    /// [`ReserveError::Closed`].
    pub fn reserve(&self, priority: Priority) -> Result<Permit<'_, T>, ReserveError> {
        match self.take_room(priority, Deadline::Never) {
            Ok(()) => Ok(Permit::new(self, priority)),
            Err(_) => Err(ReserveError::Closed),
        }
    }

    /// Reserves room for one command, waiting for it up to `timeout`.
    ///
    /// # Errors
    /// [`ReserveTimeoutError::Timeout`] and [`ReserveTimeoutError::Closed`].
    pub fn reserve_timeout(
        &self,
        priority: Priority,
        timeout: Duration,
    ) -> Result<Permit<'_, T>, ReserveTimeoutError> {
        match self.take_room_within(priority, timeout) {
            Ok(()) => Ok(Permit::new(self, priority)),
            Err(Stopped::Timeout) => Err(ReserveTimeoutError::Timeout),
            Err(Stopped::Closed) => Err(ReserveTimeoutError::Closed),
        }
    }
}
