//! The guard of one connection.

use std::fmt;

use super::Shared;
use super::close::Closed;
use crate::cleanup::entry::{Entry, Resources};
use crate::cleanup::slots::{Cause, ConnectionId};
use crate::sync::StdArc;

/// A connection that was opened, for the task that serves it.
///
/// Dropping it closes the connection with [`Cause::Lost`], also when the task panics or is aborted,
/// and when the ticket of [`Cleanup::open`](super::Cleanup::open) is dropped before it was read. So
/// no connection is left open that no one knows. It does not keep the pipeline running.
///
/// # Examples
/// ```
/// use switchboard::SharedWriter;
/// use switchboard::cleanup::{Cleanup, Config, Entry, Event, EventSink, Outcome};
/// use switchboard::table::shared;
///
/// # #[derive(Clone)]
/// # struct Peer;
/// # impl Entry for Peer {
/// #     type App = ();
/// #     type Group = u32;
/// #     fn app(&self) -> &() {
/// #         &()
/// #     }
/// #     fn groups(&self, _: &mut dyn FnMut(u32)) {}
/// # }
/// # struct Sink;
/// # impl EventSink<(), Event<u32>> for Sink {
/// #     fn deliver(&self, _: &(), events: &[Event<u32>]) -> Vec<Outcome> {
/// #         vec![Outcome::Delivered; events.len()]
/// #     }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (writer, table) = Cleanup::<Peer>::table_builder().build();
/// let (writer, mut driver) = SharedWriter::new(writer, shared::Config::new());
/// let cleanup: Cleanup<Peer> = Cleanup::builder().config(Config::default()).build(writer, Sink)?;
/// let ticket = cleanup.open(Peer, None, ())?;
/// let _ = driver.turn();
/// let connection = ticket.wait()?;
/// assert!(cleanup.is_open(connection.id()));
/// drop(connection);
/// assert_eq!((cleanup.stats().open, cleanup.stats().queued), (0, 1));
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it closes the connection"]
pub struct Connection<V: Entry, R: Resources = ()> {
    shared: StdArc<Shared<V, R>>,
    id: ConnectionId,
    is_detached: bool,
}

impl<V: Entry, R: Resources> Connection<V, R> {
    pub(super) fn new(shared: StdArc<Shared<V, R>>, id: ConnectionId) -> Self {
        Self { shared, id, is_detached: false }
    }

    /// Returns the identity of the connection: its key in the table.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Returns whether the connection is open: neither this guard nor anyone else has closed it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.is_open(self.id)
    }

    /// Closes the connection. As [`Cleanup::close`](super::Cleanup::close).
    #[allow(clippy::must_use_candidate)] // As there.
    pub fn close(mut self, cause: Cause) -> Closed {
        self.is_detached = true;
        Shared::close_by_policy(&self.shared, self.id, cause)
    }

    /// Returns the identity, and leaves the connection open until someone closes it by that.
    #[must_use = "without the identity no one can close the connection, except for a drain"]
    pub fn detach(mut self) -> ConnectionId {
        self.is_detached = true;
        self.id
    }
}

impl<V: Entry, R: Resources> Drop for Connection<V, R> {
    fn drop(&mut self) {
        if !self.is_detached {
            let _closed = Shared::close_by_policy(&self.shared, self.id, Cause::Lost);
        }
    }
}

impl<V: Entry, R: Resources> fmt::Debug for Connection<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}
