//! What the user attaches to a link.

use std::any::Any;
use std::fmt;

use crate::sync::StdArc;
use crate::util::defer_drop::DeferDrop;

/// A value of the user, attached to a link with
/// [`Handle::set_user_data`](crate::Handle::set_user_data). Clones share the value; equal are those that do.
///
/// The value is part of the version: a snapshot shows what was attached when it was published. For what
/// changes all the time, attach something with atomics inside, or use [`Counters`](crate::link::Counters).
///
/// # Who drops the value
/// The version that holds a value last is emptied by the writer, some publishes later. Its destructor runs on
/// the writer's thread (of a [`Driver`](crate::Driver): inside a call of it) after the turn: nothing is half
/// changed and no lock is held, so it may read the links and use a handle. It must not *wait* for the
/// manager, as any callback on that thread: neither for a ticket, nor for room in a full mailbox, which is
/// what a report of a stream or a dial may do. A snapshot that outlives the manager and its read side drops
/// the values where it is dropped. A destructor that panics is contained everywhere, and
/// [counted](crate::manager::Stats::panics) where the writer runs it.
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
    /// Wraps a value. Allocates.
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Self::from_arc(StdArc::new(value))
    }

    /// Wraps a value that is shared already. It is dropped by whoever lets go of it last.
    pub fn from_arc(value: StdArc<dyn Any + Send + Sync>) -> Self {
        Self(StdArc::new(DeferDrop::new(value)))
    }

    /// The value, if it is a `T`. O(1).
    #[must_use]
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        (**self.0.get()).downcast_ref()
    }

    /// Whether both are the same value.
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
