//! The events of a feed of links as a future, as a stream, and as an iterator that blocks.

use std::fmt;
use std::future::Future;
use std::iter::FusedIterator;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{LinksEvent, LinksFeed};
use crate::link::addr::{Addr, NodeAddr};

impl<A: Addr> LinksFeed<A> {
    /// Waits, as a task, for the next event. `None` if the manager has ended and everything has been
    /// delivered.
    ///
    /// The future needs no runtime: it is woken by the next publish and by the end of the manager. With
    /// feature `stream`, a feed is a `Stream` of the same events. [`next_timeout`](Self::next_timeout) and
    /// [`events`](Self::events) block instead.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time, for example by `select!`, and no event is lost: an event is
    /// taken from the feed by the poll that returns it. It does not yield while there are events, as
    /// [`Feed::next`](crate::table::Feed::next).
    ///
    /// # Complexity
    ///
    /// As [`try_next`](Self::try_next) if there is an event; otherwise it takes a lock and is O(log waiting
    /// tasks), and so is dropping the future while it waits.
    ///
    /// # Examples
    /// ```
    /// use switchboard::{Config, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let nothing = |_: Effect<NodeAddr>, _: &Handle| {};
    /// let manager = LinkManager::builder(Config::default()).transport(nothing).spawn()?;
    /// let mut feed = manager.links().subscribe();
    /// manager.handle().add_net(NetId(1), NetConfig::new())?;
    /// while let Some(event) = feed.next().await {
    ///     if event.into_diff().to().net(NetId(1)).is_some() {
    ///         break;
    ///     }
    /// }
    /// # assert!(!feed.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    // Named as that of every stream. A feed is no iterator, so it hides nothing.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> LinksNext<'_, A> {
        LinksNext { feed: self }
    }

    /// Iterates over the events, and blocks for each of them; ends when the manager has ended and everything
    /// has been delivered.
    ///
    /// An iteration over `&mut feed` is the same.
    pub fn events(&mut self) -> LinksEvents<'_, A> {
        LinksEvents { feed: self }
    }

    /// Returns the next event, or arranges for the task to be woken.
    fn poll_event(&mut self, context: &Context<'_>) -> Poll<Option<LinksEvent<A>>> {
        loop {
            if let Some(event) = self.try_next() {
                self.feed.settle();
                return Poll::Ready(Some(event));
            }
            // Repeats at most once: the awaited version is published when this is ready.
            if ready!(self.feed.poll_behind(context)).is_err() {
                self.ended = true;
                return Poll::Ready(None);
            }
        }
    }
}

/// The future of the next event of a [`LinksFeed`], created by [`LinksFeed::next`].
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct LinksNext<'a, A: Addr = NodeAddr> {
    feed: &'a mut LinksFeed<A>,
}

impl<A: Addr> Future for LinksNext<'_, A> {
    type Output = Option<LinksEvent<A>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.feed.poll_event(context)
    }
}

impl<A: Addr> Drop for LinksNext<'_, A> {
    fn drop(&mut self) {
        self.feed.feed.leave();
    }
}

impl<A: Addr> fmt::Debug for LinksNext<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinksNext").field("feed", &self.feed).finish()
    }
}

/// The events of the feed; ends when the manager has ended and everything has been delivered.
///
/// Cancel-safe, as [`LinksFeed::next`](LinksFeed::next): an event is taken from the feed by the poll that
/// returns it. The waker of the last poll is kept until the next publish, or until the feed is dropped.
#[cfg(feature = "stream")]
#[cfg_attr(docsrs, doc(cfg(feature = "stream")))]
impl<A: Addr> futures_core::Stream for LinksFeed<A> {
    type Item = LinksEvent<A>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<LinksEvent<A>>> {
        self.poll_event(context)
    }
}

#[cfg(feature = "stream")]
#[cfg_attr(docsrs, doc(cfg(feature = "stream")))]
impl<A: Addr> futures_core::FusedStream for LinksFeed<A> {
    /// Whether the stream has returned `None`. Unlike [`is_closed`](LinksFeed::is_closed), this does not change
    /// while the manager ends on another thread.
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// The events of a [`LinksFeed`], each of which is blocked for. Created by [`LinksFeed::events`].
#[must_use = "iterators do nothing unless consumed"]
#[derive(Debug)]
pub struct LinksEvents<'a, A: Addr = NodeAddr> {
    feed: &'a mut LinksFeed<A>,
}

impl<A: Addr> Iterator for LinksEvents<'_, A> {
    type Item = LinksEvent<A>;

    fn next(&mut self) -> Option<LinksEvent<A>> {
        self.feed.next_timeout(Duration::MAX).ok()
    }
}

impl<A: Addr> FusedIterator for LinksEvents<'_, A> {}

/// Blocks for each event, as [`LinksFeed::events`].
impl<'a, A: Addr> IntoIterator for &'a mut LinksFeed<A> {
    type Item = LinksEvent<A>;
    type IntoIter = LinksEvents<'a, A>;

    fn into_iter(self) -> LinksEvents<'a, A> {
        self.events()
    }
}
