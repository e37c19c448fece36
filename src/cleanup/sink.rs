//! The receiver of events.

use std::panic::AssertUnwindSafe;

use crate::sync::StdArc;
use crate::unwind::contain;

/// The receiver of the events of a pipeline: webhooks, other nodes, a log.
///
/// It is called with no lock held, by threads that do nothing else. The table never waits for it
/// and is never taken back by it. A call that takes long delays the later events of the same app,
/// and no others as long as there is another thread that calls the sink.
///
/// # Panics
/// A panic is contained. All events of that call count as [`Outcome::Retry`].
///
/// # Examples
/// ```
/// use switchboard::cleanup::{EventSink, Outcome};
///
/// struct Log;
///
/// impl EventSink<String, u32> for Log {
///     fn deliver(&self, app: &String, events: &[u32]) -> Vec<Outcome> {
///         assert!(!app.is_empty());
///         vec![Outcome::Delivered; events.len()]
///     }
/// }
///
/// assert_eq!(Log.deliver(&"app".into(), &[1, 2]), [Outcome::Delivered; 2]);
/// ```
pub trait EventSink<A, E>: Send + Sync {
    /// Delivers events of one app, in order. Returns one outcome per event. Events for which there is none were not
    /// tried: they are tried again, and that counts as no attempt. If there is no outcome at all, all have failed.
    ///
    /// The same event may come again if an earlier attempt took effect but did not return: delivery is *at least once*.
    fn deliver(&self, app: &A, events: &[E]) -> Vec<Outcome>;

    /// Takes an event that will not be delivered. The default implementation drops it; it is counted in any case.
    fn dead_letter(&self, letter: DeadLetter<A, E>) {
        drop(letter);
    }
}

impl<A, E, S: EventSink<A, E> + ?Sized> EventSink<A, E> for StdArc<S> {
    fn deliver(&self, app: &A, events: &[E]) -> Vec<Outcome> {
        (**self).deliver(app, events)
    }

    fn dead_letter(&self, letter: DeadLetter<A, E>) {
        (**self).dead_letter(letter);
    }
}

/// The outcome of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The event was taken.
    Delivered,
    /// The event is to be tried again, after a pause, unless it has no retries left.
    Retry,
    /// The event will never be taken. It becomes a dead letter.
    Refused,
}

/// The reason why an event was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// Too many events wait for the sink, of its app or of all.
    Full,
    /// The sink has refused it.
    Refused,
    /// The last retry has failed.
    Exhausted,
    /// The pipeline was shut down before it was delivered.
    Closed,
}

/// An event that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter<A, E> {
    /// The app of the event.
    pub app: A,
    /// The event.
    pub event: E,
    /// The reason why it was not delivered.
    pub reason: DeadReason,
}

/// Calls the sink. If it panics, all events are to be tried again.
pub(crate) fn deliver<A, E>(sink: &dyn EventSink<A, E>, app: &A, events: &[E]) -> Delivered {
    // Unwind safety: the sink and the events are the user's, and this code keeps nothing of the call.
    match contain(AssertUnwindSafe(|| sink.deliver(app, events))) {
        Some(outcomes) => Delivered { outcomes, is_panicked: false },
        None => Delivered { outcomes: vec![Outcome::Retry; events.len()], is_panicked: true },
    }
}

/// The result of one call of a sink.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) is_panicked: bool,
}
