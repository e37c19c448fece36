//! A one-shot channel: one result, from the thread that produces it to the thread that asked for it.
//!
//! [`ticket`] creates the two ends. The [`Completion`] goes to the worker, which completes it exactly once;
//! the [`Ticket`] stays with the client, which waits for the result, polls it as a future, leaves a callback,
//! or drops the ticket if it does not need the result.
//!
//! ```
//! use switchboard::ticket::{Closed, ticket};
//!
//! let (completion, ticket) = ticket();
//! let worker = std::thread::spawn(move || completion.complete(6 * 7));
//! assert_eq!(ticket.wait(), Ok(42));
//! # drop(worker.join());
//!
//! let (completion, ticket) = switchboard::ticket::ticket::<u32>();
//! drop(completion);
//! assert_eq!(ticket.wait(), Err(Closed));
//! ```
//!
//! # Dropping an end
//!
//! * If the completion is dropped without a result, the ticket gets `Err(E::from(Closed))`. A worker that
//!   dies therefore leaves no client waiting, provided its completions are dropped; a completion that is
//!   leaked (`std::mem::forget`) leaves its ticket waiting forever.
//! * If the ticket is dropped, the completion is *abandoned*. The result is returned to the completer in
//!   [`Delivery::Abandoned`].
//!
//! # Where user code runs
//!
//! Wakers and callbacks run on the completing thread, after the result is in place and with no lock held, so
//! they may use any part of this crate. A panic in one of them does not unwind into the completer: it is
//! returned as [`Delivery::Panicked`]. A callback that is registered after the completion runs immediately on
//! the thread that registers it, and its panic unwinds there.
//!
//! # Progress
//!
//! Both ends share one lock, which is held only while a few values are moved, and never while user code
//! runs. Completing wakes a thread only if one waits. Waiting tries, spins briefly, and parks.

mod closed;
mod completion;
mod pool;
mod slot;
mod wait;

#[cfg(test)]
mod models;
#[cfg(all(test, not(switchboard_model)))]
mod tests;
use slot::Slot;

pub(crate) use completion::Settled;

pub use closed::Closed;
pub use completion::{Completion, Delivery};
pub use pool::{Pool, PoolStats};
pub use wait::{Ticket, WaitTimeout};

use crate::sync::Arc;

/// Creates a ticket whose only error is [`Closed`]. Allocates once.
///
/// # Examples
/// ```
/// use switchboard::ticket::ticket;
///
/// let (completion, mut ticket) = ticket();
/// assert_eq!(ticket.try_take(), None);
/// completion.complete("done");
/// assert_eq!(ticket.try_take(), Some(Ok("done")));
/// ```
pub fn ticket<T>() -> (Completion<T>, Ticket<T>)
where
    T: Send + 'static,
{
    ticket_with()
}

/// Creates a ticket with an error type of the caller's choice. Allocates once.
///
/// # Examples
/// ```
/// use switchboard::ticket::{Closed, ticket_with};
///
/// #[derive(Debug, PartialEq)]
/// enum Error {
///     NoSuchLink,
///     Closed,
/// }
///
/// impl From<Closed> for Error {
///     fn from(_: Closed) -> Self {
///         Self::Closed
///     }
/// }
///
/// let (completion, ticket) = ticket_with::<u32, Error>();
/// completion.fail(Error::NoSuchLink);
/// assert_eq!(ticket.wait(), Err(Error::NoSuchLink));
/// ```
pub fn ticket_with<T, E>() -> (Completion<T, E>, Ticket<T, E>)
where
    T: Send + 'static,
    E: From<Closed> + Send + 'static,
{
    ends(Arc::new(Slot::new()))
}

/// Returns the two ends of a slot that is pending and has no other user.
fn ends<T, E: From<Closed>>(slot: Arc<Slot<T, E>>) -> (Completion<T, E>, Ticket<T, E>) {
    (Completion::new(slot.clone()), Ticket::new(slot))
}
