//! What a mailbox is made from: lanes, sizes, policies.

use std::fmt;
use std::num::NonZeroU32;

/// The lane that a command takes. `Critical` is first, in `Ord` too.
///
/// # Examples
/// ```
/// use switchboard::mailbox::Priority;
///
/// assert!(Priority::Critical < Priority::Low);
/// assert_eq!(Priority::ALL.len(), 4);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before everything else: shutdown, errors.
    Critical,
    /// Before regular work: what frees resources or unblocks somebody.
    High,
    /// Regular work.
    #[default]
    Normal,
    /// What can wait: statistics, housekeeping.
    Low,
}

impl Priority {
    /// All priorities, first to last.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        })
    }
}

/// What [`Sender::send`](super::Sender::send) does when the lane is full. The other ways to send say
/// themselves what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backpressure {
    /// Hand the command back at once.
    #[default]
    Reject,
    /// Wait until there is room, without a bound.
    Block,
    /// Take over the room of the oldest command of the lowest non-empty lane below that may be
    /// [shed](Config::shed_from), and hand that command to the sender. When there is none, hand the new
    /// command back.
    ShedLowest,
}

/// How many commands each lane holds, and the two policies of a mailbox.
///
/// Capacities are between 1 and [`Config::MAX`], checked when they are set, so that making the mailbox
/// cannot fail. Rings are allocated when the mailbox is made: one slot per command of capacity, and under
/// [`Backpressure::ShedLowest`] each lane has the slots of the lanes below it as well (at most 4 times the
/// slots).
///
/// # Examples
/// ```
/// use switchboard::mailbox::{Backpressure, Config, CapacityError, Priority};
///
/// # fn main() -> Result<(), CapacityError> {
/// let config = Config::new().high(1024)?.low(64)?.backpressure(Backpressure::Block);
/// assert_eq!(config.capacity(Priority::High), 1024);
/// assert_eq!(config.capacity(Priority::Critical), 64);
/// assert!(Config::new().normal(0).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    lanes: [usize; 4],
    backpressure: Backpressure,
    starvation_limit: NonZeroU32,
    /// The first lane that may be shed.
    shed_from: Priority,
}

impl Config {
    /// The largest capacity of one lane: 1 048 576 commands.
    pub const MAX: usize = 1 << 20;

    // The checkers need every wrap-around and every full lane within a few steps.
    #[cfg(not(switchboard_model))]
    const DEFAULT: ([usize; 4], u32) = ([64, 4096, 4096, 1024], 32);
    #[cfg(switchboard_model)]
    const DEFAULT: ([usize; 4], u32) = ([1, 2, 2, 1], 2);

    /// The defaults: 64 critical, 4096 high, 4096 normal and 1024 low commands; [`Backpressure::Reject`]; a
    /// starvation limit of 32.
    #[must_use]
    pub const fn new() -> Self {
        let (lanes, limit) = Self::DEFAULT;
        let starvation_limit = match NonZeroU32::new(limit) {
            Some(limit) => limit,
            None => NonZeroU32::MIN,
        };
        Self { lanes, backpressure: Backpressure::Reject, starvation_limit, shed_from: Priority::High }
    }

    /// Sets the capacity of the critical lane.
    ///
    /// # Errors
    /// [`CapacityError`] when it is zero or above [`Config::MAX`].
    pub const fn critical(self, capacity: usize) -> Result<Self, CapacityError> {
        self.lane(Priority::Critical, capacity)
    }

    /// Sets the capacity of the high lane.
    ///
    /// # Errors
    /// [`CapacityError`] when it is zero or above [`Config::MAX`].
    pub const fn high(self, capacity: usize) -> Result<Self, CapacityError> {
        self.lane(Priority::High, capacity)
    }

    /// Sets the capacity of the normal lane.
    ///
    /// # Errors
    /// [`CapacityError`] when it is zero or above [`Config::MAX`].
    pub const fn normal(self, capacity: usize) -> Result<Self, CapacityError> {
        self.lane(Priority::Normal, capacity)
    }

    /// Sets the capacity of the low lane.
    ///
    /// # Errors
    /// [`CapacityError`] when it is zero or above [`Config::MAX`].
    pub const fn low(self, capacity: usize) -> Result<Self, CapacityError> {
        self.lane(Priority::Low, capacity)
    }

    /// Sets the capacity of the lane of `priority`.
    ///
    /// # Errors
    /// [`CapacityError`] when it is zero or above [`Config::MAX`].
    pub const fn lane(mut self, priority: Priority, capacity: usize) -> Result<Self, CapacityError> {
        if capacity == 0 {
            return Err(CapacityError::Zero { priority });
        }
        if capacity > Self::MAX {
            return Err(CapacityError::TooLarge { priority, capacity });
        }
        self.lanes[priority.index()] = capacity;
        Ok(self)
    }

    /// Sets what [`Sender::send`](super::Sender::send) does when the lane is full.
    #[must_use]
    pub const fn backpressure(mut self, backpressure: Backpressure) -> Self {
        self.backpressure = backpressure;
        self
    }

    /// Sets the first lane that [`Backpressure::ShedLowest`] may shed from: this one and those below it. What
    /// waits above it is as safe as under [`Backpressure::Reject`]. Default: the high lane, which leaves out
    /// nothing that could be shed.
    ///
    /// # Examples
    /// ```
    /// use switchboard::mailbox::{Backpressure, Config, Priority, mailbox};
    ///
    /// let config = Config::try_from([1, 1, 1, 1]).unwrap().backpressure(Backpressure::ShedLowest);
    /// let (sender, _receiver) = mailbox(config.shed_from(Priority::Low));
    /// for priority in [Priority::Critical, Priority::High, Priority::Normal] {
    ///     assert!(sender.send(priority, "kept").is_ok());
    /// }
    /// // There is nothing in the low lane.
    /// assert!(sender.send(Priority::Critical, "one more").is_err_and(|error| error.is_full()));
    /// ```
    #[must_use]
    pub const fn shed_from(mut self, priority: Priority) -> Self {
        self.shed_from = priority;
        self
    }

    /// Sets how many takes in a row may pass over a waiting lane before it has its turn: see
    /// [the rule](super#order-and-starvation).
    #[must_use]
    pub const fn starvation_limit(mut self, takes: NonZeroU32) -> Self {
        self.starvation_limit = takes;
        self
    }

    /// The capacity of the lane of `priority`.
    #[must_use]
    pub const fn capacity(&self, priority: Priority) -> usize {
        self.lanes[priority.index()]
    }

    pub(crate) const fn policy(&self) -> Backpressure {
        self.backpressure
    }

    /// The lanes, first to last, that a full lane of `priority` may shed from.
    pub(super) fn sheddable(&self, priority: Priority) -> &'static [Priority] {
        match self.backpressure {
            Backpressure::ShedLowest => &Priority::ALL[self.shed_from.index().max(priority.index() + 1)..],
            Backpressure::Reject | Backpressure::Block => &[],
        }
    }

    pub(super) const fn limit(&self) -> NonZeroU32 {
        self.starvation_limit
    }

    /// The slots that the ring of `priority` needs. An entry occupies the room of the lane that it came to be
    /// accounted in, which is its own or, after shedding, a lower one.
    pub(super) fn slots(&self, priority: Priority) -> usize {
        let below = self.sheddable(priority).iter().map(|lane| self.lanes[lane.index()]).sum::<usize>();
        self.lanes[priority.index()] + below
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// The capacities in the order of [`Priority::ALL`], the policies as in [`Config::new`].
impl TryFrom<[usize; 4]> for Config {
    type Error = CapacityError;

    fn try_from(lanes: [usize; 4]) -> Result<Self, CapacityError> {
        let mut config = Self::new();
        for (priority, capacity) in Priority::ALL.into_iter().zip(lanes) {
            config = config.lane(priority, capacity)?;
        }
        Ok(config)
    }
}

/// A capacity that no lane can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapacityError {
    /// The lane could never hold a command.
    #[non_exhaustive]
    Zero {
        /// The lane.
        priority: Priority,
    },
    /// More than [`Config::MAX`].
    #[non_exhaustive]
    TooLarge {
        /// The lane.
        priority: Priority,
        /// What was asked for.
        capacity: usize,
    },
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero { priority } => write!(f, "the capacity of the {priority} lane is zero"),
            Self::TooLarge { priority, capacity } => {
                let max = Config::MAX;
                write!(f, "the capacity of the {priority} lane is {capacity}, above the largest of {max}")
            }
        }
    }
}

impl std::error::Error for CapacityError {}
