//! The connections of a table, as the host describes them.

use std::hash::Hash;

use super::slots::{Cause, ConnectionId};
use super::transitions::Change;
use crate::table::GroupIndex;

/// The entry of a connection: everything that the connection is in.
///
/// It is the value of the [table](super::Cleanup::table), and all that has to be known to remove
/// the connection from every index: the table derives its indexes from it. Cloning should be cheap.
pub trait Entry: Clone + Send + Sync + 'static {
    /// The tenant that the connection belongs to. The events of one app are delivered in order, and
    /// apps share the workers fairly.
    type App: Hash + Eq + Clone + Send + Sync + 'static;

    /// A channel, or a user in a channel. Groups of different apps must differ.
    ///
    /// It is hashed, compared, cloned and dropped under a lock: that must be cheap and not block. A
    /// panic there loses events.
    type Group: Hash + Eq + Clone + Send + Sync + 'static;

    /// Returns the app.
    fn app(&self) -> &Self::App;

    /// Passes each group that the connection is in to `visit`. Depends only on the value.
    fn groups(&self, visit: &mut dyn FnMut(Self::Group));
}

/// The members of each group: the index of the table of connections.
pub type Groups<V> = GroupIndex<ConnectionId, V, <V as Entry>::Group>;

/// The resources that a connection holds until it has ended: permits of quotas, the handle of its socket, its run.
pub trait Resources: Send + 'static {
    /// Called once when the connection is closed, by the thread that closes it, before anything is
    /// queued. Releases what must not wait for the cleanup: permits, gauges, I/O. Must be short.
    /// The value itself is dropped after the version without the connection was published.
    fn closed(&mut self, cause: Cause);
}

impl Resources for () {
    fn closed(&mut self, _: Cause) {}
}

/// A change of a group, for the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Event<G> {
    /// The group.
    pub group: G,
    /// Whether it has members now.
    pub change: Change,
}

/// A group with its app, which its event is delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject<A, G> {
    pub(crate) app: A,
    pub(crate) group: G,
}

impl<A, G> Subject<A, G> {
    pub(crate) fn event(self, change: Change) -> (A, Event<G>) {
        (self.app, Event { group: self.group, change })
    }
}

/// The groups of an entry, for its index.
pub(crate) fn groups_of<V: Entry>(_: &ConnectionId, value: &V, visit: &mut dyn FnMut(V::Group)) {
    value.groups(visit);
}

/// The groups of an entry, with its app.
pub(crate) fn subjects<V: Entry>(value: &V) -> Vec<Subject<V::App, V::Group>> {
    let mut all = Vec::new();
    value.groups(&mut |group| all.push(Subject { app: value.app().clone(), group }));
    all
}
