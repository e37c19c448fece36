//! A bounded queue with four priority lanes: many senders, one receiver.
//!
//! [`mailbox`] creates the two ends. Any number of [`Sender`]s put commands into the lane of a [`Priority`];
//! the one [`Receiver`] takes them, the most important lane first.
//!
//! ```
//! use switchboard::mailbox::{Config, Priority, mailbox};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (sender, mut receiver) = mailbox(Config::new().normal(256)?);
//! sender.try_send(Priority::Normal, "add link")?;
//! sender.try_send(Priority::Critical, "shut down")?;
//! receiver.close();
//! assert_eq!(receiver.recv()?, (Priority::Critical, "shut down"));
//! assert_eq!(receiver.recv()?, (Priority::Normal, "add link"));
//! assert!(receiver.recv().is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Bounds
//!
//! Each lane has as many *rooms* as its capacity. A command takes a room when it is accepted and gives it
//! back when it is received. A [`Permit`] holds a room from [`Sender::try_reserve`] on. When all rooms of a
//! lane are taken, the outcome depends on the call: [`try_send`](Sender::try_send) is refused,
//! [`send_timeout`](Sender::send_timeout) waits for a limited time, and [`send`](Sender::send) follows the
//! [`Backpressure`] policy of the mailbox. A command that is not accepted is returned in the error; a command
//! that is shed is returned to the sender it made room for.
//!
//! Shedding moves a room and does not create one: the commands of all lanes together never exceed the sum of
//! the capacities, and those of one lane and the lanes below it never exceed the sum of theirs.
//!
//! # Waiting for room
//!
//! Senders that wait for room in a lane form one queue per lane, threads and tasks alike, in the order in
//! which they began to wait. **A room that is given back belongs to the first of them**: neither
//! [`try_send`](Sender::try_send) nor a later sender overtakes the queue. A sender that leaves it, because
//! its timeout elapsed or its future was dropped, passes a room that it was already given to the next one.
//! Joining and leaving the queue costs O(log n) for n waiting senders, under the lock of the lane.
//!
//! The plain names are those of the blocking calls; the calls for tasks have the suffix `_async`
//! ([`send_async`](Sender::send_async), [`reserve_async`](Sender::reserve_async),
//! [`recv_async`](Receiver::recv_async)), as in flume, whose plain `send` and `recv` block too. (tokio and
//! async-channel, which were made for tasks, mark the blocking calls instead; kanal has a second pair of
//! types, and converts between them.) The futures use only the wakers of `core::task`: any runtime drives
//! them, and an end may change between threads and tasks from call to call.
//!
//! Wakers are user code. They are cloned, woken and dropped without a lock. A panic of `wake` or of a waker's
//! destructor is contained, so the send, the receive or the drop in which it runs is not affected; the panic
//! of a clone reaches the caller of the poll, whose future stays as it was.
//!
//! # Order and starvation
//!
//! Commands that one thread sends to one lane are received in that order. Between lanes, the more important
//! one is served first, with one exception: every take adds one to the count of each lane that was passed
//! over while it had a command waiting, and a lane whose count has reached the starvation limit (32 unless
//! [set](Config::starvation_limit)) is served next, the longest waiting first.
//!
//! Hence **of any `limit + 3` consecutive takes during which a lane has a command waiting, at least one is
//! from that lane** (35 by default), and with a limit of 3 or more the critical lane is passed over at most 3
//! times in a row.
//!
//! # Closing
//!
//! The mailbox *closes* when the receiver closes it or is dropped, or when the last sender is dropped. From
//! then on it accepts no command. The receiver still receives the commands accepted earlier, waits for
//! outstanding permits, and then gets [`Closed`](RecvError::Closed). When the receiver is dropped, the queued
//! commands are dropped with it.
//!
//! # Progress
//!
//! No operation takes a lock unless the other side waits: a receiver for a command, or a sender for room.
//! Taking a room is lock-free, and giving it back is wait-free if no sender waits for it. The rings are
//! `crossbeam_queue::ArrayQueue`, which is not lock-free: a receiver that meets a command whose sender was
//! preempted in the middle of the push waits for that sender, and vice versa. Commands are stored in the
//! rings, so only a sender that waits for room allocates after the mailbox is created.
//!
//! Not promised: an order between commands of different senders other than that of their pushes. Senders that
//! are given rooms in order may still push in another order.

mod config;
pub(crate) mod control;
mod error;
mod future;
mod lane;
mod parking;
mod permit;
mod queue;
mod receiver;
mod semaphore;
mod sender;
mod sent;
mod shared;
mod stats;
mod turns;

#[cfg(test)]
mod models;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

use crate::sync::Arc;

pub use config::{Backpressure, CapacityError, Config, Priority};
pub use error::{
    RecvError, RecvTimeoutError, ReserveError, ReserveTimeoutError, SendError, SendTimeoutError,
    TryRecvError, TryReserveError, TrySendError,
};
pub use future::{RecvFuture, ReserveFuture, SendFuture};
pub use permit::{OwnedPermit, Permit};
pub use receiver::Receiver;
pub use sender::Sender;
pub use sent::{Sent, Victim};
pub use stats::{LaneStats, Stats};

/// Creates a mailbox: its one receiver and its first sender.
///
/// Allocates the rings; see [`Config`].
///
/// # Examples
/// ```
/// use switchboard::mailbox::{Config, Priority, mailbox};
///
/// let (sender, mut receiver) = mailbox(Config::new());
/// sender.try_send(Priority::High, 1).unwrap();
/// drop(sender);
/// assert_eq!(receiver.recv(), Ok((Priority::High, 1)));
/// assert!(receiver.recv().is_err());
/// ```
#[must_use]
pub fn mailbox<T>(config: Config) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(shared::Shared::new(&config));
    (Sender::new(shared.clone()), Receiver::new(shared, &config))
}
