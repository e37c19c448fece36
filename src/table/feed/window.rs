//! Several versions that a feed has fetched together, and the changes of each. Pure.

use std::fmt;
use std::iter::FusedIterator;
use std::slice;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::sync::StdArc;
use crate::table::Change;
use crate::table::history::Link;
use crate::table::op::Op;
use crate::table::snapshot::Snapshot;
use crate::table::version::Version;

/// The versions after `base` up to `end`.
pub(super) struct Window<K, V, I, S> {
    // Dropped before `end`, which has the same links: these are therefore never the last references to them.
    links: Vec<StdArc<Link<K, V>>>,
    /// The changes of the links, one link after the other.
    changes: Vec<Touched>,
    /// The end of each link in `changes`.
    ends: Vec<usize>,
    base: Snapshot<K, V, I, S>,
    end: Snapshot<K, V, I, S>,
}

/// One change: the last operation of its link on the key, and the location of the value before it.
#[derive(Clone, Copy)]
pub(super) struct Touched {
    op: usize,
    old: Old,
}

#[derive(Clone, Copy)]
enum Old {
    Absent,
    /// In the version at the start of the window.
    Base,
    At(Place),
}

/// An operation of a link.
#[derive(Clone, Copy)]
struct Place {
    link: usize,
    op: usize,
}

/// A key that the window has touched: the last operation on it, and its change.
struct Seen {
    last: Place,
    change: usize,
}

impl<K, V, I, S> Window<K, V, I, S> {
    /// Returns the version of the link with this index.
    pub(super) fn version(&self, index: usize) -> Version {
        self.links[index].version
    }

    /// Returns the number of versions.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn end(&self) -> &Snapshot<K, V, I, S> {
        &self.end
    }

    pub(super) fn changes(&self, index: usize) -> &[Touched] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.changes[start..self.ends[index]]
    }

    fn op(&self, place: Place) -> &Op<K, V> {
        &self.links[place.link].ops[place.op]
    }
}

impl<K: Eq, V, I, S> Window<K, V, I, S> {
    /// Creates a window from `links`, which lead from `base` to `end` and belong to `end`. O(operations).
    pub(super) fn new(
        base: Snapshot<K, V, I, S>,
        end: Snapshot<K, V, I, S>,
        links: Vec<StdArc<Link<K, V>>>,
    ) -> Self {
        let ends = Vec::with_capacity(links.len());
        let mut window = Self { links, changes: Vec::new(), ends, base, end };
        let mut seen = HashTable::new();
        for link in 0..window.links.len() {
            window.touch(link, &mut seen);
        }
        window
    }

    /// Adds the changes of a link.
    fn touch(&mut self, link: usize, seen: &mut HashTable<Seen>) {
        let Self { links, changes, .. } = self;
        let start = changes.len();
        let at = |place: Place| &links[place.link].ops[place.op];
        for (index, op) in links[link].ops.iter().enumerate() {
            let last = Place { link, op: index };
            let change = changes.len();
            match seen.entry(op.hash, |seen| at(seen.last).key == op.key, |seen| at(seen.last).hash) {
                Entry::Vacant(place) => {
                    changes.push(Touched { op: index, old: Old::Base });
                    place.insert(Seen { last, change });
                }
                Entry::Occupied(mut place) => {
                    let seen = place.get_mut();
                    if seen.last.link == link {
                        changes[seen.change].op = index;
                    } else {
                        changes.push(Touched { op: index, old: Old::At(seen.last) });
                        seen.change = change;
                    }
                    seen.last = last;
                }
            }
        }
        self.finish_link(link, start);
    }

    /// Looks up the old values, and removes changes from absent to absent.
    fn finish_link(&mut self, link: usize, start: usize) {
        let mut kept = start;
        for index in start..self.changes.len() {
            let mut touched = self.changes[index];
            let was_there = self.old(link, touched).is_some();
            let is_there = self.op(Place { link, op: touched.op }).value.is_some();
            if !was_there {
                touched.old = Old::Absent;
            }
            if was_there || is_there {
                self.changes[kept] = touched;
                kept += 1;
            }
        }
        self.changes.truncate(kept);
        self.ends.push(kept);
    }

    fn old(&self, link: usize, touched: Touched) -> Option<&V> {
        match touched.old {
            Old::Absent => None,
            Old::Base => {
                let op = self.op(Place { link, op: touched.op });
                self.base.state().map.get(op.hash, &op.key)
            }
            Old::At(place) => self.op(place).value.as_ref(),
        }
    }

    pub(super) fn iter(&self, index: usize) -> Changes<'_, K, V, I, S> {
        Changes { window: self, link: index, touched: self.changes(index).iter() }
    }
}

/// An iterator over the changes of a [`ChangeSet`](super::ChangeSet).
#[must_use = "iterators are lazy"]
pub struct Changes<'a, K, V, I, S> {
    window: &'a Window<K, V, I, S>,
    link: usize,
    touched: slice::Iter<'a, Touched>,
}

impl<'a, K: Eq, V, I, S> Iterator for Changes<'a, K, V, I, S> {
    type Item = Change<'a, K, V>;

    fn next(&mut self) -> Option<Change<'a, K, V>> {
        loop {
            let touched = *self.touched.next()?;
            let Op { key, value, .. } = self.window.op(Place { link: self.link, op: touched.op });
            match (self.window.old(self.link, touched), value) {
                (None, Some(new)) => return Some(Change::Inserted { key, new }),
                (Some(old), Some(new)) => return Some(Change::Updated { key, old, new }),
                (Some(old), None) => return Some(Change::Removed { key, old }),
                // Only for keys that are not always equal to themselves.
                (None, None) => {}
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.touched.size_hint()
    }
}

impl<K: Eq, V, I, S> ExactSizeIterator for Changes<'_, K, V, I, S> {}
impl<K: Eq, V, I, S> FusedIterator for Changes<'_, K, V, I, S> {}

impl<K, V, I, S> Clone for Changes<'_, K, V, I, S> {
    fn clone(&self) -> Self {
        Self { window: self.window, link: self.link, touched: self.touched.clone() }
    }
}

impl<K, V, I, S> fmt::Debug for Changes<'_, K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("left", &self.touched.len()).finish_non_exhaustive()
    }
}
