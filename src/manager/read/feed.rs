//! Subscriptions to the links, nets and clusters of a manager.

pub(crate) mod next;

use std::fmt;
use std::time::Duration;

use super::diff::LinksDiff;
use super::snapshot::{Links, LinksSnapshot};
use crate::link::addr::{Addr, NodeAddr};
use crate::manager::model::config::Timing;
use crate::manager::model::directory::LinkFeed;
use crate::table::WaitError;
use crate::table::feed::Span;
use crate::table::version::Version;

/// A subscription to a manager: which links, nets and clusters changed, starting from an exact version.
///
/// Created by [`Links::subscribe`]. Each event starts at the version at which the one before it ended, so
/// nothing is missed and nothing is delivered twice. An event covers all versions that were published since:
/// a subscriber that is slower than the manager gets fewer, larger events, in which each link, net and
/// cluster is listed once.
///
/// # A slow subscriber
///
/// The manager never waits for a subscriber and keeps no queue for it. While there is a feed, versions are
/// published together with the changes that led to the last few of them. If that does not reach back to the
/// version at which the feed is, the event is [`LinksEvent::Lagged`]: `resync.diff(&from)` returns the same
/// changes at a higher cost, by comparing the two versions.
///
/// # Memory
///
/// A feed holds the version up to which it has delivered. While there is a feed, the removed values of the
/// last few versions are kept as well, including [user values](crate::link::UserData).
///
/// # Progress
///
/// [`try_next`](Self::try_next) takes no lock and is wait-free: one atomic load if there is no event,
/// otherwise O(versions since the last call, as far as they are known). [`next`](Self::next) waits as a task,
/// [`next_timeout`](Self::next_timeout) and [`events`](Self::events) block.
///
/// # Examples
/// ```
/// use switchboard::clock::{Clock, ManualClock};
/// use switchboard::manager::LinksEvent;
/// use switchboard::table::Change;
/// use switchboard::{Config, LinkManager, NetConfig, NetId, NodeAddr};
///
/// let clock = ManualClock::new();
/// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
/// let mut feed = driver.links().subscribe();
/// driver.handle().add_net(NetId(1), NetConfig::new())?;
/// driver.handle().create_link(NodeAddr(2), NetId(1))?;
/// let _ = driver.run_once(clock.now());
///
/// match feed.try_next() {
///     Some(LinksEvent::Changes(changes)) => {
///         assert_eq!(changes.to().version(), driver.links().version());
///         for change in changes.links() {
///             assert!(matches!(change, Change::Inserted { key: NodeAddr(2), .. }));
///         }
///         assert_eq!(changes.nets().count(), 1);
///     }
///     Some(LinksEvent::Lagged { resync, .. }) => println!("start again from {}", resync.version()),
///     _ => unreachable!("a version was published"),
/// }
/// assert!(feed.try_next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a feed makes the manager keep a history, which is wasted unless the feed is read"]
pub struct LinksFeed<A: Addr = NodeAddr> {
    feed: LinkFeed<A>,
    timing: Timing,
    /// Whether the end was returned to a task.
    ended: bool,
}

/// An event that a [`LinksFeed`] delivers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LinksEvent<A: Addr = NodeAddr> {
    /// The changes since the last event, up to the newest version.
    Changes(LinksDiff<A>),
    /// Some of the versions in between are not known; this feed continues from `resync`.
    #[non_exhaustive]
    Lagged {
        /// The version up to which everything was delivered.
        from: LinksSnapshot<A>,
        /// The newest version, with which the next event starts.
        resync: LinksSnapshot<A>,
    },
}

impl<A: Addr> LinksEvent<A> {
    /// The changes, regardless of whether the feed has lagged: of [`Lagged`](Self::Lagged), those that
    /// comparing the two versions shows.
    #[must_use]
    pub fn into_diff(self) -> LinksDiff<A> {
        match self {
            Self::Changes(changes) => changes,
            Self::Lagged { from, resync } => LinksDiff::new(from, resync),
        }
    }
}

impl<A: Addr> LinksFeed<A> {
    pub(super) fn new(feed: LinkFeed<A>, timing: Timing) -> Self {
        Self { feed, timing, ended: false }
    }

    /// The version up to which everything has been delivered.
    #[must_use]
    pub fn version(&self) -> Version {
        self.feed.version()
    }

    /// A snapshot of [that version](Self::version).
    #[must_use]
    pub fn snapshot(&self) -> LinksSnapshot<A> {
        LinksSnapshot { inner: self.feed.snapshot().clone(), timing: self.timing }
    }

    /// Whether the manager has ended and everything has been delivered: no event will follow.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.feed.is_closed()
    }

    /// Returns the changes since the last event, if a version was published since.
    ///
    /// `None` does not mean the end; check [`is_closed`](Self::is_closed) for that.
    pub fn try_next(&mut self) -> Option<LinksEvent<A>> {
        let Span { from, to, is_complete } = self.feed.take_all()?;
        let [from, to] = [from, to].map(|inner| LinksSnapshot { inner, timing: self.timing });
        Some(if is_complete {
            LinksEvent::Changes(LinksDiff::new(from, to))
        } else {
            LinksEvent::Lagged { from, resync: to }
        })
    }

    /// Waits up to `timeout` for the next event.
    ///
    /// # Errors
    /// [`WaitError::Timeout`] if nothing was published within `timeout` (a timeout that the clock cannot
    /// represent never expires), and [`WaitError::WriterClosed`] if the manager has ended and everything has
    /// been delivered.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<LinksEvent<A>, WaitError> {
        loop {
            if let Some(event) = self.try_next() {
                return Ok(event);
            }
            // Waits at most once: the awaited version is published when this returns.
            self.feed.wait_behind(timeout)?;
        }
    }
}

impl<A: Addr> fmt::Debug for LinksFeed<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinksFeed")
            .field("version", &self.version())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<A: Addr> Links<A> {
    /// Follows the manager from its newest version onwards: which links, nets and clusters change.
    ///
    /// The feed starts at an exact version, [`LinksFeed::snapshot`]. See [`LinksFeed`] for an example and for
    /// what happens to a slow subscriber. Wait-free, as [`snapshot`](Self::snapshot).
    pub fn subscribe(&self) -> LinksFeed<A> {
        LinksFeed::new(self.table().subscribe(), self.timing())
    }

    /// Follows the manager from `snapshot` onwards: continues where another feed, or a reader, stopped.
    ///
    /// If some of the versions since then are not known, because there was no feed when they were published
    /// or because they are too many, the first event is [`LinksEvent::Lagged`]. To miss nothing between two
    /// feeds, create the second one before the first is dropped. Wait-free, as [`snapshot`](Self::snapshot).
    ///
    /// # Panics
    /// If `snapshot` is of another manager.
    pub fn subscribe_from(&self, snapshot: LinksSnapshot<A>) -> LinksFeed<A> {
        LinksFeed::new(self.table().subscribe_from(snapshot.inner), self.timing())
    }
}
