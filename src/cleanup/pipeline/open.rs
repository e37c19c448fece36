//! Connections that are opened, and that change.

use std::error::Error;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use super::connection::Connection;
use super::{Cleanup, Number, Shared};
use crate::cleanup::clean::{self, Changed};
use crate::cleanup::entry::{Entry, Groups, Resources};
use crate::cleanup::grace::Delay;
use crate::cleanup::limits::Prefix;
use crate::cleanup::slots::{Cause, ConnectionId, End, Source};
use crate::mailbox::TryReserveError;
use crate::sync::StdArc;
use crate::sync::atomic::Ordering;
use crate::table::DefaultHashBuilder;
use crate::table::shared::{CommitError, Committed, Permit};
use crate::ticket::{Ticket, ticket_with};

/// A connection was not opened. Contains everything that was passed.
#[non_exhaustive]
pub struct OpenError<V, R> {
    /// The reason.
    pub kind: OpenErrorKind,
    /// The entry.
    pub value: V,
    /// The resources; they were not told of an end.
    pub resources: R,
}

/// The reason why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// There are as many connections as there can be.
    TooMany,
    /// The queue of the writer is full.
    WriterFull,
    /// The writer is closed.
    Closed,
    /// The pipeline drains, or has ended.
    Draining,
}

/// A change was not sent. Contains the change.
#[non_exhaustive]
pub struct UpdateError<F> {
    /// The reason.
    pub kind: UpdateErrorKind,
    /// The change, which was not called.
    pub change: F,
}

/// The reason why a change was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpdateErrorKind {
    /// The queue of the writer is full.
    WriterFull,
    /// The writer is closed.
    Closed,
}

/// The ticket of a connection that is being opened.
pub type Opening<V, R = ()> = Ticket<Connection<V, R>, CommitError>;

type Room<'a, V> = Permit<'a, ConnectionId, V, Groups<V>, DefaultHashBuilder>;

impl<V: Entry, R: Resources> Cleanup<V, R> {
    /// Opens a connection. The ticket yields it once it is in a published version. Does not wait.
    ///
    /// The `address` of the peer is for the [limit per prefix](crate::cleanup::Config::prefix_rate). If the ticket is
    /// dropped, the connection is closed as soon as it is open. If the ticket fails, there is no connection, and the
    /// resources are dropped.
    ///
    /// # Errors
    /// [`OpenError`], with everything that was passed.
    pub fn open(
        &self,
        value: V,
        address: Option<IpAddr>,
        resources: R,
    ) -> Result<Opening<V, R>, OpenError<V, R>> {
        if let Some(kind) = self.refusal() {
            return Err(OpenError { kind, value, resources });
        }
        match self.shared.writer.try_reserve() {
            Ok(room) => self.open_in(room, value, address, resources),
            Err(error) => Err(OpenError { kind: refused(error).into(), value, resources }),
        }
    }

    /// As [`open`](Self::open), for tasks: awaits room in the queue of the writer.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes has opened nothing, and drops the value and the resources.
    ///
    /// # Errors
    /// As [`open`](Self::open), but never for a full queue.
    pub async fn open_async(
        &self,
        value: V,
        address: Option<IpAddr>,
        resources: R,
    ) -> Result<Opening<V, R>, OpenError<V, R>> {
        if let Some(kind) = self.refusal() {
            return Err(OpenError { kind, value, resources });
        }
        match self.shared.writer.reserve_async().await {
            Ok(room) => self.open_in(room, value, address, resources),
            Err(_) => Err(OpenError { kind: OpenErrorKind::Closed, value, resources }),
        }
    }

    /// Changes the entry of a connection that is open: subscribes, unsubscribes. The ticket yields
    /// the result of `change` once it is in a published version, or `None` if the connection was
    /// not open when it was the turn of the change. Does not wait.
    ///
    /// The state of the connection is looked at where the change is made, so no change follows its
    /// removal. A group that the connection leaves is vacated without a grace if
    /// [`event_delay_closed`](crate::cleanup::Config::event_delay_closed) is zero, as by default.
    ///
    /// # Errors
    /// [`UpdateError`], with the change.
    pub fn update<F, T>(
        &self,
        id: ConnectionId,
        change: F,
    ) -> Result<Ticket<Option<T>, CommitError>, UpdateError<F>>
    where
        F: FnOnce(&mut V) -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.shared.writer.try_reserve() {
            Ok(room) => self.update_in(room, id, change),
            Err(error) => Err(UpdateError { kind: refused(error), change }),
        }
    }

    /// As [`update`](Self::update), for tasks: awaits room in the queue of the writer.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes has changed nothing.
    ///
    /// # Errors
    /// As [`update`](Self::update), but never for a full queue.
    pub async fn update_async<F, T>(
        &self,
        id: ConnectionId,
        change: F,
    ) -> Result<Ticket<Option<T>, CommitError>, UpdateError<F>>
    where
        F: FnOnce(&mut V) -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.shared.writer.reserve_async().await {
            Ok(room) => self.update_in(room, id, change),
            Err(_) => Err(UpdateError { kind: UpdateErrorKind::Closed, change }),
        }
    }

    fn refusal(&self) -> Option<OpenErrorKind> {
        // Relaxed: a drain finds those that are opened meanwhile.
        let is_draining = self.shared.is_draining.load(Ordering::Relaxed);
        is_draining.then_some(OpenErrorKind::Draining)
    }

    fn open_in(
        &self,
        room: Room<'_, V>,
        value: V,
        address: Option<IpAddr>,
        resources: R,
    ) -> Result<Opening<V, R>, OpenError<V, R>> {
        let shared = &self.shared;
        let source = shared.source(&value, address);
        let reservation = match shared.slots.reserve(source, resources) {
            Ok(reservation) => reservation,
            Err(resources) => return Err(OpenError { kind: OpenErrorKind::TooMany, value, resources }),
        };
        shared.note_asked();
        let (number, here) = (Number::new(), shared.clone());
        let drawn = number.clone();
        let id = reservation.id();
        let sent = room.transaction(move |table| {
            let changed = clean::put(table, id, value, Delay::After(Duration::ZERO));
            drawn.draw(&here.next);
            here.counters.opened();
            reservation.open();
            changed
        });
        let (completion, ticket) = ticket_with();
        let here = shared.clone();
        // The driver has just been dropped: the ticket says so.
        let Ok(sent) = sent else { return Ok(ticket) };
        sent.on_complete(move |outcome| {
            let opened = outcome.is_ok();
            // Before code that may panic: whatever happens, the connection is closed, or someone has it.
            let connection = opened.then(|| Connection::new(here.clone(), id));
            let (settled, _old) = here.settle(&number, outcome);
            if !opened && here.slots.close(id).is_ok() {
                // The slot was opened, and then the whole turn was discarded.
                here.end(id, End { cause: Cause::Lost, at: here.now(), is_parked: true });
            }
            let result = settled.and_then(|()| connection.ok_or(CommitError::Closed));
            // No one waits any longer: the connection is dropped, and thereby closed.
            drop(completion.finish(result));
            here.note_progress();
        });
        Ok(ticket)
    }

    fn update_in<F, T>(
        &self,
        room: Room<'_, V>,
        id: ConnectionId,
        change: F,
    ) -> Result<Ticket<Option<T>, CommitError>, UpdateError<F>>
    where
        F: FnOnce(&mut V) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.shared.note_asked();
        let (number, here) = (Number::new(), self.shared.clone());
        let drawn = number.clone();
        let delay = self.shared.delay(Cause::Closed);
        let sent = room.transaction(move |table| {
            let value = table.get(&id).filter(|_| here.slots.is_open(id)).cloned();
            let Some(mut value) = value else {
                return (None, Changed { events: Vec::new(), old: Vec::new() });
            };
            let result = change(&mut value);
            here.slots.set_cost(id, cost(&value));
            let changed = clean::put(table, id, value, delay);
            drawn.draw(&here.next);
            (Some(result), changed)
        });
        let (completion, ticket) = ticket_with();
        let here = self.shared.clone();
        // As in `open_in`.
        let Ok(sent) = sent else { return Ok(ticket) };
        sent.on_complete(move |outcome| {
            let (result, outcome) = match outcome {
                Ok(Committed { value: (result, changed), version, .. }) => {
                    (result, Ok(Committed { value: changed, version }))
                }
                Err(error) => (None, Err(error)),
            };
            let (settled, _old) = here.settle(&number, outcome);
            let _ = completion.finish(settled.map(|()| result));
        });
        Ok(ticket)
    }
}

impl<V: Entry, R: Resources> Shared<V, R> {
    fn source(self: &StdArc<Self>, value: &V, address: Option<IpAddr>) -> Source {
        Source { app: self.hasher.hash_one(value.app()), prefix: address.map(Prefix::of), cost: cost(value) }
    }
}

/// The cost of the removal of a connection.
fn cost<V: Entry>(value: &V) -> u32 {
    let mut cost = 1_u32;
    value.groups(&mut |_| cost = cost.saturating_add(1));
    cost
}

fn refused(error: TryReserveError) -> UpdateErrorKind {
    if error.is_full() { UpdateErrorKind::WriterFull } else { UpdateErrorKind::Closed }
}

impl From<UpdateErrorKind> for OpenErrorKind {
    fn from(kind: UpdateErrorKind) -> Self {
        match kind {
            UpdateErrorKind::WriterFull => Self::WriterFull,
            UpdateErrorKind::Closed => Self::Closed,
        }
    }
}

impl<V, R> OpenError<V, R> {
    /// Returns whether it may succeed later: there are too many connections, or the queue of the writer is full.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, OpenErrorKind::TooMany | OpenErrorKind::WriterFull)
    }
}

impl fmt::Display for OpenErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "there are too many connections",
            Self::WriterFull => "the queue of the writer is full",
            Self::Closed => "the writer is closed",
            Self::Draining => "the server shuts down",
        })
    }
}

impl fmt::Display for UpdateErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OpenErrorKind::from(*self).fmt(f)
    }
}

impl<V, R> fmt::Debug for OpenError<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<V, R> fmt::Display for OpenError<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<V, R> Error for OpenError<V, R> {}

impl<F> fmt::Debug for UpdateError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for UpdateError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<F> Error for UpdateError<F> {}
