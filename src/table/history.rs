//! The batches that made the last versions, published with each version. Pure.
//!
//! A version that was published while somebody subscribed carries the operations of its own batch and of the
//! ones before it, back to a bound. So whoever has loaded a version has its history, without a lock and
//! without a word to the writer, and it goes when the version goes: on the thread of the writer.
//!
//! It is a list from the newest batch to the oldest, and a list that is shared cannot be cut at its end. So
//! there are two: when the young one is full it becomes the old one, and the old one is let go as a whole.
//! Two neighbours were too long for one list, or the first one was full: what fits into the bounds is always
//! there, and never more than twice as much.

use std::mem;

use super::op::Op;
use crate::sync::StdArc;
use crate::table::version::Version;

/// How much history there is at least, if there are as many versions; at most twice as much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) versions: usize,
    /// In all these versions together. A batch with more is not kept at all.
    pub(super) operations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        if cfg!(switchboard_model) {
            Self { versions: 2, operations: 4 }
        } else {
            Self { versions: 128, operations: 4096 }
        }
    }
}

/// The operations that led to one version from the one before, and the list of those before them.
pub(super) struct Link<K, V> {
    pub(super) version: Version,
    pub(super) ops: Vec<Op<K, V>>,
    previous: Option<StdArc<Link<K, V>>>,
}

impl<K, V> Link<K, V> {
    /// The operations, and the list of those before them.
    pub(super) fn take(&mut self) -> (Vec<Op<K, V>>, Option<StdArc<Self>>) {
        (mem::take(&mut self.ops), self.previous.take())
    }
}

/// The history with one batch more, and that batch; or the batch, given back because it is too long.
pub(super) type Pushed<K, V> = Result<(History<K, V>, StdArc<Link<K, V>>), Vec<Op<K, V>>>;

impl<K, V> Drop for Link<K, V> {
    /// One by one: the list may be longer than the stack is deep.
    fn drop(&mut self) {
        let mut previous = self.previous.take();
        while let Some(mut link) = previous.and_then(StdArc::into_inner) {
            previous = link.previous.take();
        }
    }
}

/// The batches that led to a version, without a gap, back to some older version. Two pointers.
pub(crate) struct History<K, V> {
    young: Option<StdArc<Link<K, V>>>,
    old: Option<StdArc<Link<K, V>>>,
    /// Versions and operations in the young list.
    versions: usize,
    operations: usize,
}

impl<K, V> Default for History<K, V> {
    fn default() -> Self {
        Self { young: None, old: None, versions: 0, operations: 0 }
    }
}

impl<K, V> Clone for History<K, V> {
    fn clone(&self) -> Self {
        Self { young: self.young.clone(), old: self.old.clone(), ..*self }
    }
}

impl<K, V> History<K, V> {
    /// This history and the batch that made `version`, the one after the newest here.
    ///
    /// Makes another one, so that nothing is dropped: operations have destructors, which are user code.
    pub(super) fn extended(&self, limits: Limits, version: Version, ops: Vec<Op<K, V>>) -> Pushed<K, V> {
        if limits.versions == 0 || ops.len() > limits.operations {
            return Err(ops);
        }
        let is_full = self.versions >= limits.versions || self.operations + ops.len() > limits.operations;
        let (young, old) = if is_full { (&None, &self.young) } else { (&self.young, &self.old) };
        let (versions, operations) = if is_full { (0, 0) } else { (self.versions, self.operations) };
        let (versions, operations) = (versions + 1, operations + ops.len());
        let link = StdArc::new(Link { version, ops, previous: young.clone() });
        let extended = Self { young: Some(link.clone()), old: old.clone(), versions, operations };
        Ok((extended, link))
    }

    /// The links, newest first.
    fn links(&self) -> impl Iterator<Item = &StdArc<Link<K, V>>> {
        let lists = [&self.young, &self.old].into_iter().flatten();
        lists.flat_map(|head| std::iter::successors(Some(head), |link| link.previous.as_ref()))
    }

    /// The lists, to be let go one link after the other.
    pub(super) fn into_lists(self) -> impl Iterator<Item = StdArc<Link<K, V>>> {
        [self.young, self.old].into_iter().flatten()
    }

    /// Heap memory, without what keys and values own. O(versions).
    pub(super) fn bytes(&self) -> usize {
        let link =
            |link: &StdArc<Link<K, V>>| size_of::<Link<K, V>>() + link.ops.capacity() * size_of::<Op<K, V>>();
        self.links().map(link).sum()
    }

    /// The operations that lead from `version` to the newest here, batch by batch, newest first; `None` if
    /// that goes too far back.
    pub(super) fn ops_since(&self, version: Version) -> Option<Vec<&[Op<K, V>]>> {
        let mut batches = Vec::new();
        for link in self.links() {
            batches.push(&link.ops[..]);
            if link.version.previous() == version {
                return Some(batches);
            }
        }
        None
    }

    /// The batches that lead from `version` to the newest here, oldest first; `None` if that goes too far
    /// back.
    pub(super) fn since(&self, version: Version) -> Option<Vec<StdArc<Link<K, V>>>> {
        let mut links = Vec::new();
        for link in self.links() {
            links.push(link.clone());
            if link.version.previous() == version {
                links.reverse();
                return Some(links);
            }
        }
        None
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    fn push(history: &mut History<u64, u64>, limits: Limits, number: u64, len: usize) -> bool {
        let ops = (0..len as u64).map(|key| Op { hash: key, key, value: Some(number) }).collect();
        let extended = history.extended(limits, Version::from_u64(number), ops);
        let is_recorded = extended.is_ok();
        *history = extended.map_or_else(|_| History::default(), |(history, _)| history);
        is_recorded
    }

    fn reach(history: &History<u64, u64>, newest: u64) -> u64 {
        let reached = (0..newest).rev().take_while(|from| history.since(Version::from_u64(*from)).is_some());
        reached.count() as u64
    }

    #[test]
    fn what_fits_into_the_bounds_is_there_and_at_most_twice_as_much() {
        let limits = Limits { versions: 5, operations: 20 };
        let mut random = fastrand::Rng::with_seed(7);
        let mut history = History::default();
        let mut lens = vec![];
        let mut recorded = 0;
        for number in 1..=2_000 {
            let len = random.usize(0..=22);
            lens.push(len);
            recorded = if push(&mut history, limits, number, len) { recorded + 1 } else { 0 };
            let mut left = limits.operations;
            let fits = lens.iter().rev().take(limits.versions.min(recorded)).take_while(|len| {
                let fits = **len <= left;
                left = left.saturating_sub(**len);
                fits
            });
            let (fits, reach) = (fits.count() as u64, reach(&history, number));
            assert!((fits..=2 * limits.versions as u64).contains(&reach), "{reach} of {fits} at {number}");
            let kept: usize = lens.iter().rev().take(reach as usize).sum();
            assert!(kept <= 2 * limits.operations);
        }
    }

    #[test]
    fn the_batches_come_in_order_without_a_gap() {
        let limits = Limits { versions: 3, operations: 100 };
        let mut history = History::default();
        (1..=9).for_each(|number| assert!(push(&mut history, limits, number, 1)));
        let links = history.since(Version::from_u64(5)).unwrap();
        let versions: Vec<_> = links.iter().map(|link| link.version.as_u64()).collect();
        assert_eq!(versions, [6, 7, 8, 9]);
        assert!(history.since(Version::from_u64(2)).is_none());
    }

    #[test]
    fn a_long_list_is_dropped_without_recursion() {
        let limits = Limits { versions: 1_000_000, operations: 0 };
        let mut history = History::default();
        (1..=300_000).for_each(|number| assert!(push(&mut history, limits, number, 0)));
        drop(history);
    }
}
