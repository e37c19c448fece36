//! The waiting side of a future: a cell, and the place of the task among its waiters.

use std::task::{Poll, Waker};

use super::cell::SnapshotCell;
use super::tasks::Place;
use crate::sync::Arc;
use crate::table::version::Version;
use crate::table::waiters::WriterClosed;

/// A handle of a cell that one task at a time can wait with. Removes the task from the waiters when dropped.
pub(super) struct Watch<T> {
    cell: Arc<SnapshotCell<T>>,
    place: Option<Place>,
}

impl<T> Watch<T> {
    pub(super) fn new(cell: Arc<SnapshotCell<T>>) -> Self {
        Self { cell, place: None }
    }

    pub(super) fn cell(&self) -> &SnapshotCell<T> {
        &self.cell
    }

    /// Returns the newest version once it is `wanted` or later, or the end of the writer; otherwise `waker`
    /// is woken when one of them happens. Only the waker of the last poll is.
    ///
    /// `wanted` must not be smaller than in an earlier poll.
    pub(super) fn poll_reached(
        &mut self,
        wanted: Version,
        waker: &Waker,
    ) -> Poll<Result<Version, WriterClosed>> {
        self.cell.poll_reached(wanted, &mut self.place, waker)
    }

    /// Stops waiting for a version that has been published: the writer has removed the task, or is about to,
    /// so this takes no lock.
    pub(super) fn settle(&mut self) {
        self.place = None;
    }

    /// Stops waiting: the waker is dropped, unless it has been taken to be woken.
    pub(super) fn leave(&mut self) {
        self.cell.leave(&mut self.place);
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod models;

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;
    use crate::table::cell::Publisher;

    fn publish(publisher: &mut Publisher<u64>) {
        let next = publisher.cell().version().next();
        drop(publisher.publish_next(next.as_u64(), next));
    }

    #[test]
    fn a_publish_takes_the_lock_only_to_wake_someone() {
        let mut publisher = Publisher::new(0);
        let cell = publisher.cell().clone();
        let watch = || Watch::new(cell.clone());
        let (waker, target) = (Waker::noop(), |number: u64| Some(Version::from_u64(number)));
        assert_eq!(cell.waiting(), (0, None));
        let (mut near, mut far) = (watch(), watch());
        assert!(near.poll_reached(Version::from_u64(2), waker).is_pending());
        assert!(far.poll_reached(Version::from_u64(4), waker).is_pending());
        assert_eq!(cell.waiting(), (2, target(2)));
        publish(&mut publisher);
        assert_eq!(cell.waiting(), (2, target(2)), "nothing is due");
        publish(&mut publisher);
        assert_eq!(cell.waiting(), (1, target(4)), "the target of the task that still sleeps");
        publish(&mut publisher);
        publish(&mut publisher);
        assert_eq!(cell.waiting(), (0, None));
        // A wait that was cancelled costs one lock.
        let mut cancelled = watch();
        assert!(cancelled.poll_reached(Version::from_u64(5), waker).is_pending());
        drop(cancelled);
        assert_eq!(cell.waiting(), (0, target(5)));
        publish(&mut publisher);
        assert_eq!(cell.waiting(), (0, None));
    }

    /// The feed takes events by other calls in the meantime, so that it waits for a later version.
    #[test]
    fn a_wait_for_a_later_version_replaces_the_earlier_one() {
        let mut publisher = Publisher::new(0);
        let mut watch = Watch::new(publisher.cell().clone());
        for wanted in [1, 3, 3] {
            assert!(watch.poll_reached(Version::from_u64(wanted), Waker::noop()).is_pending());
            assert_eq!(publisher.cell().waiting().0, 1);
        }
        for left in [1, 1, 0] {
            publish(&mut publisher);
            assert_eq!(publisher.cell().waiting().0, left);
        }
        let last = Version::from_u64(3);
        assert_eq!(watch.poll_reached(last, Waker::noop()), Poll::Ready(Ok(last)));
    }
}
