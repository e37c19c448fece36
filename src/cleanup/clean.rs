//! The changes of the table: each is one transaction, which knows the groups that it has emptied or filled.

use std::collections::HashMap;
use std::hash::Hash;

use super::entry::{Entry, Groups, Subject, subjects};
use super::events::Dated;
use super::grace::Delay;
use super::slots::ConnectionId;
use super::transitions::Transitions;
use crate::table::DefaultHashBuilder;
use crate::table::shared::Transaction;

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
    let mut noting = Noting::new();
    for (id, delay) in batch {
        if let Some(value) = table.get(id) {
            subjects(value).into_iter().for_each(|subject| noting.touch(subject, *delay, table));
        }
    }
    let old = batch.iter().filter_map(|(id, _)| table.remove(id)).collect();
    Changed { events: noting.finish(table), old }
}

/// Removes a connection without calling more of the user's code than the table itself does. For one whose removal has
/// panicked: its events are lost.
pub(crate) fn remove_bare<V: Entry>(table: &mut Rows<'_, V>, id: ConnectionId) -> Changed<V> {
    Changed { events: Vec::new(), old: table.remove(&id).into_iter().collect() }
}

/// Inserts a connection, or replaces its entry.
pub(crate) fn put<V: Entry>(table: &mut Rows<'_, V>, id: ConnectionId, value: V, delay: Delay) -> Changed<V> {
    let mut noting = Noting::new();
    let old_subjects = table.get(&id).map(subjects).unwrap_or_default();
    let all = old_subjects.into_iter().chain(subjects(&value));
    all.for_each(|subject| noting.touch(subject, delay, table));
    let old = table.insert(id, value).into_iter().collect();
    Changed { events: noting.finish(table), old }
}

/// The groups that a change touches, and the longest delay for each.
struct Noting<A, G> {
    transitions: Transitions<Subject<A, G>>,
    delays: HashMap<Subject<A, G>, Delay>,
}

impl<A: Hash + Eq + Clone, G: Hash + Eq + Clone> Noting<A, G> {
    fn new() -> Self {
        Self { transitions: Transitions::new(), delays: HashMap::new() }
    }

    fn touch<V>(&mut self, subject: SubjectOf<V>, delay: Delay, table: &Rows<'_, V>)
    where
        V: Entry<App = A, Group = G>,
    {
        let longest = self.delays.entry(subject.clone()).or_insert(delay);
        *longest = longest.merge(delay);
        self.transitions.touch(subject, |subject| table.index().count(&subject.group) > 0);
    }

    fn finish<V>(self, table: &Rows<'_, V>) -> Vec<Dated<A, G>>
    where
        V: Entry<App = A, Group = G>,
    {
        let changes = self.transitions.finish(|subject| table.index().count(&subject.group) > 0);
        let dated = changes.into_iter().map(|(subject, change)| {
            let delay = self.delays.get(&subject).copied().unwrap_or(Delay::Suppress);
            Dated { subject, change, delay }
        });
        dated.collect()
    }
}
