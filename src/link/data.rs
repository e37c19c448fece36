//! User values attached to links.

use std::any::Any;
use std::fmt;

use crate::sync::StdArc;
use crate::util::defer_drop::DeferDrop;

/// A user value, attached to a link with [`Handle::set_user_data`](crate::Handle::set_user_data).
///
/// Clones share the value. Two instances are equal if one is a clone of the other.
///
/// The value is part of the version: a snapshot contains the value that was attached when its version was
/// published. For data that changes frequently, attach a value with atomics inside, or use
/// [`Counters`](crate::link::Counters).
///
/// # Dropping the value
/// The writer drops a value when it empties the last version that holds it, some publishes later. The
/// destructor runs on the writer's thread (for a [`Driver`](crate::Driver), inside one of its calls) at the
/// end of a turn. At that point all changes are complete and no lock is held: the destructor may read the
/// links and use a handle. Like any callback on that thread, it must not *wait* for the manager: neither for
/// a ticket, nor for room in a full mailbox, as a report of a stream or a dial may do. If a snapshot outlives
/// the manager and its read side, the values are dropped where the snapshot is dropped. A panic in a
/// destructor is always contained, and [counted](crate::manager::Stats::panics) if the writer runs the
/// destructor.
///
/// # Examples
/// ```
/// use switchboard::link::UserData;
///
/// let data = UserData::new(String::from("Lisbon"));
/// assert_eq!(data.downcast_ref::<String>().map(String::as_str), Some("Lisbon"));
/// assert!(data.downcast_ref::<u32>().is_none());
/// ```
#[derive(Clone)]
pub struct UserData(StdArc<DeferDrop<StdArc<dyn Any + Send + Sync>>>);

impl UserData {
    /// Wraps a value. This allocates.
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Self::from_arc(StdArc::new(value))
    }

    /// Wraps a value that is already shared. The holder of the last reference drops it.
    pub fn from_arc(value: StdArc<dyn Any + Send + Sync>) -> Self {
        Self(StdArc::new(DeferDrop::new(value)))
    }

    /// Returns the value if it is a `T`. O(1).
    #[must_use]
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        (**self.0.get()).downcast_ref()
    }

    /// Whether one is a clone of the other.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        StdArc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for UserData {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl Eq for UserData {}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserData").finish_non_exhaustive()
    }
}
