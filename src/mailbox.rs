//! Four bounded lanes from many threads to one: the way into a single writer.
//!
//! [`mailbox`] makes the two ends. Any number of [`Sender`]s put commands into the lane of a [`Priority`];
//! the one [`Receiver`] takes them, most important lane first.
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
//! Each lane has as many *rooms* as its capacity. A command takes a room when it is accepted, and gives it
//! back when it is received; so does a [`Permit`], from [`Sender::try_reserve`] on. What happens when all
//! rooms of a lane are taken is up to the sender: [`try_send`](Sender::try_send) is refused,
//! [`send_timeout`](Sender::send_timeout) waits for a while, and [`send`](Sender::send) follows the
//! [`Backpressure`] that the mailbox was made with. A command that is not accepted comes back in the error; a
//! command that is shed comes back to the sender it made room for.
//!
//! Shedding moves a room, it does not make one: the commands of all lanes together never exceed the sum of
//! the capacities, nor those of one lane and the lanes below it the sum of theirs.
//!
//! # Order and starvation
//!
//! Commands that one thread sends to one lane are received in that order. Between lanes the more important
//! one is first, but for this rule: every take adds one to the count of each lane that has a command waiting
//! and was passed over, and a lane whose count has reached the starvation limit (32 unless
//! [set](Config::starvation_limit)) is taken from next, the longest waiting first.
//!
//! Hence **of any `limit + 3` takes in a row during which a lane has a command waiting, at least one is from
//! that lane** (35 by default), and with a limit of 3 or more the critical lane is passed over at most 3
//! times in a row.
//!
//! # The ends
//!
//! The mailbox *closes* when the receiver says so or is dropped, or when the last sender is dropped. From
//! then on nothing is accepted. What was accepted before is received, permits that are out are waited for,
//! and then the receiver is told [`Closed`](RecvError::Closed). When the receiver is dropped, what is queued
//! is dropped with it.
//!
//! # Progress
//!
//! No operation takes a lock unless somebody sleeps: a receiver that waits for a command, or a sender that
//! waits for room. Taking a room is lock-free. The rings are `crossbeam_queue::ArrayQueue`, which is not: a
//! receiver that meets a command whose sender was preempted in the middle of the push waits for that sender,
//! and the other way round. Commands live in the rings, so nothing is allocated after the mailbox was made.
//!
//! Not promised: an order among threads that wait for room, and an order between commands of different
//! senders other than that of their pushes.

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

/// Makes a mailbox: its one receiver, and a first sender.
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
