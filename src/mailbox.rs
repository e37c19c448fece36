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
//! No operation takes a lock unless a thread is asleep: a receiver that waits for a command, or a sender that
//! waits for room. Taking a room is lock-free. The rings are `crossbeam_queue::ArrayQueue`, which is not: a
//! receiver that meets a command whose sender was preempted in the middle of the push waits for that sender,
//! and vice versa. Commands are stored in the rings, so nothing is allocated after the mailbox is created.
//!
//! Not promised: an order among threads that wait for room, or an order between commands of different senders
//! other than that of their pushes.

mod config;
mod error;
mod lane;
mod parking;
mod permit;
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
