//! The configuration of a mailbox: lanes, sizes, policies.

use std::fmt;
use std::num::NonZeroU32;

/// The lane that a command takes. `Critical` is the first, and the least in `Ord`.
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
    /// Before regular work: commands that free resources or unblock a thread.
    High,
    /// Regular work.
    #[default]
    Normal,
    /// Deferrable work: statistics, housekeeping.
    Low,
}

impl Priority {
    /// All priorities, from first to last.
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

/// The behaviour of [`Sender::send`](super::Sender::send) when the lane is full. The other send methods
/// document their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backpressure {
    /// Return the command at once.
    #[default]
    Reject,
    /// Wait for room, without a bound.
    Block,
    /// Take over the room of the oldest command in the lowest non-empty lane below that may be
    /// [shed](Config::shed_from), and return that command to the sender. If there is none, return the new
    /// command.
    ShedLowest,
}

/// The capacity of each lane, and the two policies of a mailbox.
///
/// Capacities are between 1 and [`Config::MAX`] and are checked when they are set, so creating the mailbox
/// cannot fail. The rings are allocated when the mailbox is created: one slot per command of capacity; under
/// [`Backpressure::ShedLowest`] each lane also has the slots of the lanes below it (at most 4 times the
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
    /// The first lane that may be shed from.
    shed_from: Priority,
}

impl Config {
    /// The largest capacity of one lane: 1 048 576 commands.
    pub const MAX: usize = 1 << 20;

    // The model checkers must reach every wrap-around and every full lane within a few steps.
    #[cfg(not(switchboard_model))]
    const DEFAULT: ([usize; 4], u32) = ([64, 4096, 4096, 1024], 32);
    #[cfg(switchboard_model)]
    const DEFAULT: ([usize; 4], u32) = ([1, 2, 2, 1], 2);

    /// Creates the default configuration: 64 critical, 4096 high, 4096 normal and 1024 low commands;
    /// [`Backpressure::Reject`]; a starvation limit of 32.
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
    /// [`CapacityError`] if it is zero or above [`Config::MAX`].
    pub const fn critical(self, capacity: usize) -> Result<Self, CapacityError> {
        self.lane(Priority::Critical, capacity)
    }

    /// Sets the capacity of the high lane.
    ///
    /// # Errors
    /// [`CapacityError`] if it is zero or above [`Config::MAX`].
    pub const fn high(self, capacity: usize) -> Result<Self, CapacityError> {
        self.lane(Priority::High, capacity)
    }

    /// Sets the capacity of the normal lane.
    ///
    /// # Errors
    /// [`CapacityError`] if it is zero or above [`Config::MAX`].
    pub const fn normal(self, capacity: usize) -> Result<Self, CapacityError> {
        self.lane(Priority::Normal, capacity)
    }

    /// Sets the capacity of the low lane.
    ///
    /// # Errors
    /// [`CapacityError`] if it is zero or above [`Config::MAX`].
    pub const fn low(self, capacity: usize) -> Result<Self, CapacityError> {
        self.lane(Priority::Low, capacity)
    }

    /// Sets the capacity of the lane of `priority`.
    ///
    /// # Errors
    /// [`CapacityError`] if it is zero or above [`Config::MAX`].
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

    /// Sets the behaviour of [`Sender::send`](super::Sender::send) when the lane is full.
    #[must_use]
    pub const fn backpressure(mut self, backpressure: Backpressure) -> Self {
        self.backpressure = backpressure;
        self
    }

    /// Sets the first lane that [`Backpressure::ShedLowest`] may shed from: this one and those below it.
    /// Commands in the lanes above it are as safe as under [`Backpressure::Reject`]. Default: the high lane,
    /// so every lane that can be shed from is.
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
    /// // The low lane is empty.
    /// assert!(sender.send(Priority::Critical, "one more").is_err_and(|error| error.is_full()));
    /// ```
    #[must_use]
    pub const fn shed_from(mut self, priority: Priority) -> Self {
        self.shed_from = priority;
        self
    }

    /// Sets the number of consecutive takes that may pass over a waiting lane before it is served: see [the
    /// rule](super#order-and-starvation).
    #[must_use]
    pub const fn starvation_limit(mut self, takes: NonZeroU32) -> Self {
        self.starvation_limit = takes;
        self
    }

    /// Returns the capacity of the lane of `priority`.
    #[must_use]
    pub const fn capacity(&self, priority: Priority) -> usize {
        self.lanes[priority.index()]
    }

    pub(crate) const fn policy(&self) -> Backpressure {
        self.backpressure
    }

    /// Returns the lanes, from first to last, that a full lane of `priority` may shed from.
    pub(super) fn sheddable(&self, priority: Priority) -> &'static [Priority] {
        match self.backpressure {
            Backpressure::ShedLowest => &Priority::ALL[self.shed_from.index().max(priority.index() + 1)..],
            Backpressure::Reject | Backpressure::Block => &[],
        }
    }

    pub(super) const fn limit(&self) -> NonZeroU32 {
        self.starvation_limit
    }

    /// Returns the number of slots that the ring of `priority` needs. An entry occupies a room of the lane
    /// that it is accounted in, which is its own or, after shedding, a lower one.
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

/// Takes the capacities in the order of [`Priority::ALL`]; the policies are those of [`Config::new`].
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
    /// A lane of capacity zero could never hold a command.
    #[non_exhaustive]
    Zero {
        /// The lane.
        priority: Priority,
    },
    /// The capacity is above [`Config::MAX`].
    #[non_exhaustive]
    TooLarge {
        /// The lane.
        priority: Priority,
        /// The requested capacity.
        capacity: usize,
    },
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero { priority } => write!(f, "the capacity of the {priority} lane is zero"),
            Self::TooLarge { priority, capacity } => {
                let max = Config::MAX;
                write!(f, "the capacity of the {priority} lane is {capacity}, above the maximum of {max}")
            }
        }
    }
}

impl std::error::Error for CapacityError {}
