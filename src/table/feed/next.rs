//! The events of a feed as a future, as a stream, and as an iterator that blocks.

use std::fmt;
use std::future::Future;
use std::iter::FusedIterator;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Feed, FeedEvent};
use crate::table::hash::DefaultHashBuilder;
use crate::table::waiters::WriterClosed;

impl<K: Eq, V, I, S> Feed<K, V, I, S> {
    /// Waits, as a task, for the next event. `None` if the writer was dropped and everything has been
    /// delivered.
    ///
    /// The future needs no runtime: it is woken by the next publish and by the drop of the writer. With
    /// feature `stream`, a feed is a `Stream` of the same events. [`next_timeout`](Self::next_timeout) and
    /// [`events`](Self::events) block instead.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time, for example by `select!`, and no event is lost: an event is
    /// taken from the feed by the poll that returns it.
    ///
    /// It does not yield while there are events: wrap it in `tokio::task::coop::cooperative`, or yield after every
    /// few events, where other tasks share the thread.
    ///
    /// # Complexity
    ///
    /// As [`try_next`](Self::try_next) if there is an event; otherwise as a poll of
    /// [`Published`](crate::table::Published).
    ///
    /// # Examples
    /// ```
    /// use switchboard::Table;
    /// use switchboard::table::FeedEvent;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (mut writer, table) = Table::<&str, u32>::new();
    /// let mut feed = table.subscribe();
    /// let follower = async move {
    ///     let mut versions = Vec::new();
    ///     while let Some(event) = feed.next().await {
    ///         match event {
    ///             FeedEvent::Changes(changes) => versions.push(changes.version().as_u64()),
    ///             FeedEvent::Lagged { resync, .. } => versions.push(resync.version().as_u64()),
    ///             _ => {}
    ///         }
    ///     }
    ///     versions
    /// };
    /// let publisher = async move {
    ///     for number in 0..3 {
    ///         writer.insert("a", number);
    ///         writer.publish();
    ///         tokio::task::yield_now().await;
    ///     }
    /// };
    /// let (versions, ()) = tokio::join!(follower, publisher);
    /// assert_eq!(versions, [1, 2, 3]);
    /// # });
    /// ```
    // Named as that of every stream. A feed is no iterator, so it hides nothing.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Next<'_, K, V, I, S> {
        Next { feed: self }
    }

    /// Iterates over the events, and blocks for each of them; ends when the writer was dropped and everything
    /// has been delivered.
    ///
    /// An iteration over `&mut feed` is the same.
    pub fn events(&mut self) -> Events<'_, K, V, I, S> {
        Events { feed: self }
    }

    /// Returns the next event, or arranges for the task to be woken.
    fn poll_event(&mut self, context: &Context<'_>) -> Poll<Option<FeedEvent<K, V, I, S>>> {
        loop {
            if let Some(event) = self.try_next() {
                self.settle();
                return Poll::Ready(Some(event));
            }
            // Repeats at most once: the awaited version is published when this is ready.
            if ready!(self.poll_behind(context)).is_err() {
                self.ended = true;
                return Poll::Ready(None);
            }
        }
    }
}

impl<K, V, I, S> Feed<K, V, I, S> {
    /// Returns once there is a newer version than the base, or the end of the writer; otherwise arranges for
    /// the task to be woken.
    pub(crate) fn poll_behind(&mut self, context: &Context<'_>) -> Poll<Result<(), WriterClosed>> {
        let wanted = self.base.version().next();
        self.follower.watch.poll_reached(wanted, context.waker()).map_ok(drop)
    }

    /// Ends the wait of a task for which there is an event: an earlier poll has waited for the version of this
    /// event or an earlier one.
    pub(crate) fn settle(&mut self) {
        self.follower.watch.settle();
    }

    /// Ends the wait of a task: its waker is dropped.
    pub(crate) fn leave(&mut self) {
        self.follower.watch.leave();
    }
}

/// The future of the next event of a [`Feed`], created by [`Feed::next`].
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Next<'a, K, V, I = (), S = DefaultHashBuilder> {
    feed: &'a mut Feed<K, V, I, S>,
}

impl<K: Eq, V, I, S> Future for Next<'_, K, V, I, S> {
    type Output = Option<FeedEvent<K, V, I, S>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.feed.poll_event(context)
    }
}

impl<K, V, I, S> Drop for Next<'_, K, V, I, S> {
    fn drop(&mut self) {
        self.feed.leave();
    }
}

impl<K, V, I, S> fmt::Debug for Next<'_, K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("feed", &self.feed).finish()
    }
}

/// The events of the feed; ends when the writer was dropped and everything has been delivered.
///
/// Cancel-safe, as [`Feed::next`](Feed::next): an event is taken from the feed by the poll that returns it.
/// The waker of the last poll is kept until the next publish, or until the feed is dropped.
#[cfg(feature = "stream")]
#[cfg_attr(docsrs, doc(cfg(feature = "stream")))]
impl<K: Eq, V, I, S> futures_core::Stream for Feed<K, V, I, S> {
    type Item = FeedEvent<K, V, I, S>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<FeedEvent<K, V, I, S>>> {
        self.poll_event(context)
    }
}

#[cfg(feature = "stream")]
#[cfg_attr(docsrs, doc(cfg(feature = "stream")))]
impl<K: Eq, V, I, S> futures_core::FusedStream for Feed<K, V, I, S> {
    /// Whether the stream has returned `None`. Unlike [`is_closed`](Feed::is_closed), this does not change while
    /// another thread drops the writer.
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// The events of a [`Feed`], each of which is blocked for. Created by [`Feed::events`].
#[must_use = "iterators do nothing unless consumed"]
#[derive(Debug)]
pub struct Events<'a, K, V, I = (), S = DefaultHashBuilder> {
    feed: &'a mut Feed<K, V, I, S>,
}

impl<K: Eq, V, I, S> Iterator for Events<'_, K, V, I, S> {
    type Item = FeedEvent<K, V, I, S>;

    fn next(&mut self) -> Option<FeedEvent<K, V, I, S>> {
        self.feed.next_timeout(Duration::MAX).ok()
    }
}

impl<K: Eq, V, I, S> FusedIterator for Events<'_, K, V, I, S> {}

/// Blocks for each event, as [`Feed::events`].
impl<'a, K: Eq, V, I, S> IntoIterator for &'a mut Feed<K, V, I, S> {
    type Item = FeedEvent<K, V, I, S>;
    type IntoIter = Events<'a, K, V, I, S>;

    fn into_iter(self) -> Events<'a, K, V, I, S> {
        self.events()
    }
}
