//! The error of a ticket whose completion was dropped.

use std::fmt;

/// The error of a ticket whose completion was dropped without a result.
///
/// # Examples
/// ```
/// use switchboard::ticket::{Closed, ticket};
///
/// let (completion, ticket) = ticket::<()>();
/// drop(completion);
/// assert_eq!(ticket.wait(), Err(Closed));
/// assert_eq!(Closed.to_string(), "the completion was dropped without a result");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the completion was dropped without a result")
    }
}

impl std::error::Error for Closed {}
