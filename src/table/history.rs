//! The batches that led to the last versions, published with each version. Pure.
//!
//! A version that is published while there is a subscriber carries the operations of its own batch and of the
//! batches before it, up to a bound. A thread that has loaded a version therefore has its history, without a
//! lock and without contacting the writer; the history is dropped with its version, on the thread of the
//! writer.
//!
//! It is a list from the newest batch to the oldest, and a shared list cannot be cut at its end. There are
//! therefore two: when the young one is full it becomes the old one, and the old one is released as a whole.
//! The lists change roles only when a batch does not fit into the young one, so all that fits into the bounds
//! is always present, and never more than twice as much.

use std::mem;

use super::op::Op;
use crate::sync::StdArc;
use crate::table::version::Version;

/// The guaranteed length of a history, if there are that many versions; it is at most twice as long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) versions: usize,
    /// Total number in all these versions. A batch with more is not kept at all.
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

/// The operations that led to one version from the version before it, and the list of earlier ones.
pub(super) struct Link<K, V> {
    pub(super) version: Version,
    pub(super) ops: Vec<Op<K, V>>,
    previous: Option<StdArc<Link<K, V>>>,
}

impl<K, V> Link<K, V> {
    /// Takes the operations, and the list of earlier ones.
    pub(super) fn take(&mut self) -> (Vec<Op<K, V>>, Option<StdArc<Self>>) {
        (mem::take(&mut self.ops), self.previous.take())
    }
}

/// The history extended by a batch, and that batch; or the batch itself, returned because it is too long.
pub(super) type Pushed<K, V> = Result<(History<K, V>, StdArc<Link<K, V>>), Vec<Op<K, V>>>;

impl<K, V> Drop for Link<K, V> {
    /// Drops the links one by one: recursion over a long list would overflow the stack.
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
    /// Numbers of versions and operations in the young list.
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
    /// Returns this history extended by the batch that made `version`, which follows the newest one here.
    ///
    /// Builds a new history, so that nothing is dropped: operations have destructors, which are user code.
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

    /// Iterates over the links, newest first.
    fn links(&self) -> impl Iterator<Item = &StdArc<Link<K, V>>> {
        let lists = [&self.young, &self.old].into_iter().flatten();
        lists.flat_map(|head| std::iter::successors(Some(head), |link| link.previous.as_ref()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.young.is_none() && self.old.is_none()
    }

    /// Returns the lists, to be released one link after the other.
    pub(super) fn into_lists(self) -> impl Iterator<Item = StdArc<Link<K, V>>> {
        [self.young, self.old].into_iter().flatten()
    }

    /// Returns the heap memory, without what keys and values own. O(versions).
    pub(super) fn bytes(&self) -> usize {
        let link =
            |link: &StdArc<Link<K, V>>| size_of::<Link<K, V>>() + link.ops.capacity() * size_of::<Op<K, V>>();
        self.links().map(link).sum()
    }

    /// Returns the operations that lead from `version` to the newest one here, batch by batch, newest first;
    /// `None` if the history does not reach back to `version`.
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

    /// Returns the batches that lead from `version` to the newest one here, oldest first; `None` if the
    /// history does not reach back to `version`.
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
