//! The future of a version.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::cell::SnapshotCell;
use super::state::State;
use super::watch::Watch;
use crate::sync::Arc;
use crate::table::hash::DefaultHashBuilder;
#[cfg(feature = "manager")]
use crate::table::snapshot::Snapshot;
use crate::table::version::Version;
use crate::table::waiters::WriterClosed;

/// A future that waits for a version to be published, and returns the newest version by then.
///
/// Created by [`Table::changed`](crate::Table::changed) and [`Table::reached`](crate::Table::reached). Any
/// snapshot taken after it is ready is of the returned version or newer. If the writer is dropped first, it
/// returns [`WriterClosed`].
///
/// It needs no runtime, no thread and no timer: the publish, or the drop of the writer, wakes the task that
/// polled last. It owns a handle of the table, so it can be stored and moved to another thread.
///
/// # Cancel safety
///
/// It can be dropped at any time, for example by `select!`: nothing is lost, because a later call finds every
/// version that was published in the meantime. Its waker is dropped with it.
///
/// Once ready, it stays ready: it may be polled again, and then returns what is the newest version by then.
///
/// # Complexity
///
/// A poll of a version that has been published is two atomic loads. Otherwise it takes a lock and is
/// O(log waiting tasks), and so is dropping the future while it waits. It is not wait-free. It allocates only
/// if another task waits. The writer takes this lock to wake someone, and once after a wait that was cancelled.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Published<K, V, I = (), S = DefaultHashBuilder> {
    watch: Watch<State<K, V, I, S>>,
    wanted: Version,
}

impl<K, V, I, S> Published<K, V, I, S> {
    pub(super) fn new(cell: Arc<SnapshotCell<State<K, V, I, S>>>, wanted: Version) -> Self {
        Self { watch: Watch::new(cell), wanted }
    }

    /// Returns a snapshot of the newest version.
    #[cfg(feature = "manager")]
    pub(crate) fn snapshot(&self) -> Snapshot<K, V, I, S> {
        Snapshot::new(self.watch.cell().load())
    }
}

impl<K, V, I, S> Future for Published<K, V, I, S> {
    type Output = Result<Version, WriterClosed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let wanted = self.wanted;
        self.watch.poll_reached(wanted, context.waker())
    }
}

impl<K, V, I, S> fmt::Debug for Published<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("wanted", &self.wanted)
            .field("newest", &self.watch.cell().version())
            .finish_non_exhaustive()
    }
}
