//! The guard of one connection.

use std::fmt;

use super::error::TryBeginError;
use super::id::{ConnectionId, RunId};
use super::run::Run;
use super::session::Session;
use crate::sync::{Arc, StdArc};

/// One connection of a session, created by [`Sessions::connect`](super::Sessions::connect).
///
/// Dropping it ends the connection, as [`disconnect`](Self::disconnect) does. The end names the connection: if
/// a newer one has displaced it, the end changes nothing.
#[must_use = "dropping a connection ends it"]
pub struct Connection<K, D, C> {
    session: Arc<Session<K, D, C>>,
    id: ConnectionId,
    peer: StdArc<C>,
    is_ended: bool,
}

/// The result of [`Sessions::connect`](super::Sessions::connect).
#[must_use = "dropping a connection ends it"]
pub struct Connected<K, D, C> {
    /// The new connection.
    pub connection: Connection<K, D, C>,
    /// The peer of the connection that was displaced, for the caller to close.
    pub displaced: Option<StdArc<C>>,
    /// The run that the new connection takes over from the one before; see
    /// [`OnDisconnect`](super::OnDisconnect).
    pub run: Option<RunId>,
}

/// The result of [`Connection::disconnect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnected {
    /// Whether the connection was still that of the session. If not, nothing has changed.
    pub was_current: bool,
    /// The run that was asked to stop, because it belonged to the connection; see
    /// [`OnDisconnect`](super::OnDisconnect).
    pub cancelled: Option<RunId>,
}

impl<K, D, C> Connection<K, D, C> {
    pub(super) fn new(session: Arc<Session<K, D, C>>, id: ConnectionId, peer: StdArc<C>) -> Self {
        Self { session, id, peer, is_ended: false }
    }

    /// Returns the identity of the connection.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Returns the peer that was given to [`Sessions::connect`](super::Sessions::connect).
    #[must_use]
    pub fn peer(&self) -> &StdArc<C> {
        &self.peer
    }

    /// Returns whether this is the connection of its session: no newer one has displaced it.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.session.connection().is_some_and(|(id, _)| id == self.id)
    }

    /// Begins a run that belongs to the connection of the session, if the session has none.
    ///
    /// When the connection ends while the run lives, the run is asked to stop if the policy is
    /// [`OnDisconnect::Cancel`](super::OnDisconnect::Cancel). A newer connection takes over the run: then the
    /// end of the old one does not stop it, and the end of the new one does.
    ///
    /// # Errors
    /// As [`Sessions::try_begin`](super::Sessions::try_begin), and [`TryBeginError::Disconnected`].
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::Sessions;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<u32, String, &str> = Sessions::new();
    /// let connection = sessions.connect(&1, "socket").connection;
    /// let run = connection.try_begin()?;
    /// let end = connection.disconnect();
    /// assert_eq!(end.cancelled, Some(run.id()));
    /// assert!(run.is_cancelled());
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_begin(&self) -> Result<Run<K, D, C>, TryBeginError> {
        let claimed = self.session.claim_for(self.id)?;
        Ok(Run::new(self.session.clone(), claimed))
    }

    /// Makes `run` belong to this connection, as if it had begun by [`try_begin`](Self::try_begin): for runs that
    /// had to wait for their session. Returns false, and changes nothing, if the connection is no longer that
    /// of the session, or the run is not.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use switchboard::sessions::Sessions;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<u32, String, &str> = Sessions::new();
    /// let connection = sessions.connect(&1, "socket").connection;
    /// let run = sessions.begin_timeout(&1, Duration::from_secs(1))?;
    /// assert!(connection.adopt(&run));
    /// drop(connection);
    /// assert!(run.is_cancelled());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "a run that was not adopted should end"]
    pub fn adopt(&self, run: &Run<K, D, C>) -> bool {
        run.is_of(&self.session).is_some_and(|session| session.adopt(self.id, run.claim()))
    }

    /// Ends the connection. Takes a short lock of the session.
    #[allow(clippy::must_use_candidate)] // The result is for those who are interested.
    pub fn disconnect(mut self) -> Disconnected {
        self.end()
    }

    fn end(&mut self) -> Disconnected {
        self.is_ended = true;
        let ended = Session::disconnect(&self.session, self.id);
        Disconnected { was_current: ended.was_current, cancelled: ended.cancelled }
    }
}

impl<K, D, C> fmt::Debug for Connected<K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("connection", &self.connection)
            .field("displaces", &self.displaced.is_some())
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl<K, D, C> Drop for Connection<K, D, C> {
    fn drop(&mut self) {
        if !self.is_ended {
            let _end = self.end();
        }
    }
}

impl<K, D, C> fmt::Debug for Connection<K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}
