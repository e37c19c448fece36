//! Statistics of a mailbox.

use std::ops::Index;

use super::Priority;

/// The statistics of all lanes, each read at its own instant. Indexed by [`Priority`].
///
/// # Examples
/// ```
/// use switchboard::mailbox::{Config, Priority, mailbox};
///
/// let (sender, _receiver) = mailbox(Config::new());
/// sender.try_send(Priority::High, "closed").unwrap();
/// let stats = sender.stats();
/// assert_eq!(stats[Priority::High].len, 1);
/// assert_eq!(stats[Priority::High].rooms_peak, 1);
/// assert_eq!(stats[Priority::Low].refused, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    pub(super) lanes: [LaneStats; 4],
}

impl Stats {
    /// Returns the statistics of one lane.
    #[must_use]
    pub const fn lane(&self, priority: Priority) -> &LaneStats {
        &self.lanes[priority.index()]
    }
}

impl Index<Priority> for Stats {
    type Output = LaneStats;

    fn index(&self, priority: Priority) -> &LaneStats {
        self.lane(priority)
    }
}

/// The statistics of one lane. Counts start when the mailbox is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStats {
    /// Number of commands queued now at this priority. After shedding this may exceed the capacity of the
    /// lane, because some of them occupy rooms of lower lanes.
    pub len: usize,
    /// Number of rooms of the lane.
    pub capacity: usize,
    /// The most rooms of this lane that were ever taken at once, by commands and by permits; at most
    /// `capacity`.
    pub rooms_peak: usize,
    /// Number of sends and reservations that were refused because the lane was full.
    pub refused: u64,
    /// Number of commands of this priority that were shed for a more important one.
    pub shed: u64,
    /// Number of sends and reservations that timed out waiting for room.
    pub timed_out: u64,
}
