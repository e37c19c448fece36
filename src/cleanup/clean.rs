//! The changes of the table: each is one transaction, which knows the groups that it has emptied or filled.

use std::hash::Hash;
use std::panic::AssertUnwindSafe;

use super::entry::{Entry, Groups, Subject, subjects};
use super::events::Dated;
use super::grace::Delay;
use super::slots::ConnectionId;
use super::transitions::Transitions;
use crate::table::DefaultHashBuilder;
use crate::table::shared::Transaction;
use crate::unwind::contain;

pub(crate) type Rows<'a, V> = Transaction<'a, ConnectionId, V, Groups<V>, DefaultHashBuilder>;

type SubjectOf<V> = Subject<<V as Entry>::App, <V as Entry>::Group>;

/// The result of a change.
pub(crate) struct Changed<V: Entry> {
    pub(crate) events: Vec<Dated<V::App, V::Group>>,
    /// Entries that were replaced or removed. Their destructors are user code, and run after everything else.
    pub(crate) old: Vec<V>,
}

/// Removes a batch of connections. The only way in which connections leave the table: for workers, callers, sweeps and
/// drains alike, whatever the size of the batch. One that is not there is no error.
pub(crate) fn remove<V: Entry>(table: &mut Rows<'_, V>, batch: &[(ConnectionId, Delay)]) -> Changed<V> {
    let mut noting = Noting::new(batch.len());
    table.look_ahead(batch.iter().map(|(id, _)| id));
    for (id, delay) in batch {
        if let Some(value) = table.get(id) {
            noting.touch_all(value, *delay, table);
        }
    }
    let mut old = Vec::with_capacity(batch.len());
    old.extend(batch.iter().filter_map(|(id, _)| table.remove(id)));
    Changed { events: noting.finish(table), old }
}

/// Removes a connection whose removal has panicked. The user's code that is not needed by the table itself may panic
/// again: then there are no events, or not all of them.
pub(crate) fn remove_bare<V: Entry>(table: &mut Rows<'_, V>, id: ConnectionId, delay: Delay) -> Changed<V> {
    // Unwind safety, here and below: the table is only read, and what was noted is dropped or not used.
    let found = contain(AssertUnwindSafe(|| table.get(&id).map(subjects))).flatten().unwrap_or_default();
    let noted = found.into_iter().filter_map(|subject| {
        contain(AssertUnwindSafe(|| {
            let mut noting = Noting::new(1);
            noting.touch(subject, delay, table);
            noting
        }))
    });
    let noted: Vec<_> = noted.collect();
    let old = table.remove(&id).into_iter().collect();
    let events = noted.into_iter().filter_map(|noting| contain(AssertUnwindSafe(|| noting.finish(table))));
    Changed { events: events.flatten().collect(), old }
}

/// Inserts a connection, or replaces its entry.
pub(crate) fn put<V: Entry>(table: &mut Rows<'_, V>, id: ConnectionId, value: V, delay: Delay) -> Changed<V> {
    let mut noting = Noting::new(1);
    if let Some(old) = table.get(&id) {
        noting.touch_all(old, delay, table);
    }
    noting.touch_all(&value, delay, table);
    let old = table.insert(id, value).into_iter().collect();
    Changed { events: noting.finish(table), old }
}

/// The groups that a change touches, and the longest delay for each.
struct Noting<A, G> {
    transitions: Transitions<Subject<A, G>, Delay>,
}

/// Groups per connection for which there is room from the start.
const GROUPS: usize = 4;

/// The largest room from the start.
const ROOM_MAX: usize = 1 << 12;

impl<A: Hash + Eq + Clone, G: Hash + Eq + Clone> Noting<A, G> {
    fn new(connections: usize) -> Self {
        let room = connections.saturating_mul(GROUPS).min(ROOM_MAX);
        Self { transitions: Transitions::with_capacity(room) }
    }

    fn touch_all<V>(&mut self, value: &V, delay: Delay, table: &Rows<'_, V>)
    where
        V: Entry<App = A, Group = G>,
    {
        value.groups(&mut |group| self.touch(Subject { app: value.app().clone(), group }, delay, table));
    }

    fn touch<V>(&mut self, subject: SubjectOf<V>, delay: Delay, table: &Rows<'_, V>)
    where
        V: Entry<App = A, Group = G>,
    {
        let longest = self.transitions.touch(subject, |subject| table.index().count(&subject.group) > 0);
        *longest = longest.merge(delay);
    }

    fn finish<V>(self, table: &Rows<'_, V>) -> Vec<Dated<A, G>>
    where
        V: Entry<App = A, Group = G>,
    {
        let changes = self.transitions.finish(|subject| table.index().count(&subject.group) > 0);
        changes.into_iter().map(|(subject, change, delay)| Dated { subject, change, delay }).collect()
    }
}
