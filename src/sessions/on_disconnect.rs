//! The policy for runs whose connection ends.

use std::time::Duration;

/// The treatment of a run when the connection to which it belongs ends. Such a run was begun by
/// [`Connection::try_begin`](super::Connection::try_begin), or
/// [adopted](super::Connection::adopt).
///
/// Under each policy, a connection that is displaced by a newer one leaves its run to that one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDisconnect {
    /// The run is asked to stop.
    #[default]
    Cancel,
    /// The run continues, and belongs to no connection; a later connection finds its result in the data.
    Keep,
    /// The run continues. A connection that comes within this time takes it over; otherwise the next call of
    /// [`Sessions::expire`](super::Sessions::expire) after it asks the run to stop.
    KeepForResume(Duration),
}
