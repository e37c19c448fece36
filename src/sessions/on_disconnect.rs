//! The policy for runs whose connection ends.

/// The treatment of a run when the connection to which it belongs ends. Such a run was begun by
/// [`Connection::try_begin`](super::Connection::try_begin).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDisconnect {
    /// The run is asked to stop.
    #[default]
    Cancel,
    /// The run continues; a later connection finds its result in the data.
    Keep,
}
