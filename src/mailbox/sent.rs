//! The outcome of an accepted send.

use super::config::Priority;

/// The outcome of a command that was accepted.
///
/// # Examples
/// ```
/// use switchboard::mailbox::{Backpressure, Config, Priority, Sent, mailbox};
///
/// let config = Config::try_from([1, 1, 1, 1]).unwrap().backpressure(Backpressure::ShedLowest);
/// let (sender, mut receiver) = mailbox(config);
/// assert_eq!(sender.send(Priority::Low, "count"), Ok(Sent::Queued));
/// assert_eq!(sender.send(Priority::High, "close 1"), Ok(Sent::Queued));
///
/// let Ok(Sent::Shed(victim)) = sender.send(Priority::High, "close 2") else { unreachable!() };
/// assert_eq!((victim.priority, victim.value), (Priority::Low, "count"));
/// assert_eq!(receiver.try_recv(), Ok((Priority::High, "close 1")));
/// assert_eq!(receiver.try_recv(), Ok((Priority::High, "close 2")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a shed command is returned to the sender, which has to handle it"]
pub enum Sent<T> {
    /// The command is queued in its lane.
    Queued,
    /// The command is queued in its lane, in the room of another command, which will not be received.
    Shed(Victim<T>),
}

impl<T> Sent<T> {
    /// Returns the command that was shed, if any.
    #[must_use]
    pub fn into_victim(self) -> Option<Victim<T>> {
        match self {
            Self::Queued => None,
            Self::Shed(victim) => Some(victim),
        }
    }
}

/// A command that gave its room to a more important one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Victim<T> {
    /// The lane that it was queued in.
    pub priority: Priority,
    /// The command.
    pub value: T,
}
