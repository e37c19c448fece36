//! The worker's end.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::closed::Closed;
use super::slot::{Callback, Finished, Slot, State};
use crate::sync::Arc;
use crate::unwind::discard;

/// The end that provides the result: exactly once, by [`complete`](Self::complete), [`fail`](Self::fail),
/// [`finish`](Self::finish), or by being dropped, which provides `Err(E::from(Closed))`.
///
/// Completing holds the lock of the ticket while it moves a few values, and then runs the waker or callback
/// left by the ticket, if any, on this thread. It never waits for the client.
///
/// The conversion from [`Closed`] runs wherever the completion is dropped, and must not panic.
///
/// # Examples
/// ```
/// use switchboard::ticket::{Delivery, ticket};
///
/// let (completion, ticket) = ticket();
/// drop(ticket);
/// assert!(completion.is_abandoned());
/// let Delivery::Abandoned(answer) = completion.complete(42) else { unreachable!() };
/// assert_eq!(answer, 42);
/// ```
#[must_use = "dropping a completion gives its ticket the error `Closed`"]
pub struct Completion<T, E = Closed> {
    // `None` once it has completed.
    slot: Option<Arc<Slot<T, E>>>,
    closed: fn() -> E,
}

/// The outcome of a completion. It may be ignored.
///
/// `R` is the type that was passed in: the value, the error, or the `Result`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Delivery<R> {
    /// The result is in the ticket, or was passed to the callback.
    Delivered,
    /// The ticket was dropped: the result can no longer be received, and is returned here.
    Abandoned(R),
    /// The ticket's callback or waker panicked, with this payload. The result is in the ticket, or was passed
    /// to the callback. The panic hook has already reported the panic.
    Panicked(Box<dyn Any + Send>),
}

impl<R> Delivery<R> {
    /// Returns whether this is [`Delivery::Delivered`].
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered)
    }

    /// Returns whether this is [`Delivery::Abandoned`].
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        matches!(self, Self::Abandoned(_))
    }

    /// Returns whether this is [`Delivery::Panicked`].
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Returns the result if the ticket was dropped before it could receive it.
    #[must_use]
    pub fn into_abandoned(self) -> Option<R> {
        match self {
            Self::Abandoned(result) => Some(result),
            Self::Delivered | Self::Panicked(_) => None,
        }
    }

    /// Returns whether a callback or a waker panicked. Drops the panic payload, containing any further panic.
    pub(crate) fn contained_panic(self) -> bool {
        match self {
            Self::Panicked(payload) => {
                discard(payload);
                true
            }
            Self::Delivered | Self::Abandoned(_) => false,
        }
    }

    fn map<S>(self, back: impl FnOnce(R) -> S) -> Delivery<S> {
        match self {
            Self::Delivered => Delivery::Delivered,
            Self::Abandoned(result) => Delivery::Abandoned(back(result)),
            Self::Panicked(payload) => Delivery::Panicked(payload),
        }
    }
}

impl<T, E> Completion<T, E> {
    pub(super) fn new(slot: Arc<Slot<T, E>>) -> Self
    where
        E: From<Closed>,
    {
        Self { slot: Some(slot), closed: || E::from(Closed) }
    }

    /// Completes the ticket with `Ok(value)`.
    pub fn complete(self, value: T) -> Delivery<T> {
        self.finish(Ok(value)).map(|result| match result {
            Ok(value) => value,
            Err(_) => unreachable!("the result is returned unchanged"),
        })
    }

    /// Completes the ticket with `Err(error)`.
    pub fn fail(self, error: E) -> Delivery<E> {
        self.finish(Err(error)).map(|result| match result {
            Err(error) => error,
            Ok(_) => unreachable!("the result is returned unchanged"),
        })
    }

    /// Completes the ticket with `result`.
    ///
    /// # Examples
    /// ```
    /// let (completion, ticket) = switchboard::ticket::ticket_with();
    /// let answer = "7".parse::<u32>().map_err(|_| switchboard::ticket::Closed);
    /// assert!(completion.finish(answer).is_delivered());
    /// assert_eq!(ticket.wait(), Ok(7));
    /// ```
    pub fn finish(self, result: Result<T, E>) -> Delivery<Result<T, E>> {
        self.settle(result).tell()
    }

    /// Puts `result` in place, and leaves it to the caller to [tell](Settled::tell) the ticket. A worker that
    /// completes several tickets at once settles them all first: a thread that waits for one after the other
    /// then sleeps once.
    pub(crate) fn settle(mut self, result: Result<T, E>) -> Settled<T, E> {
        match self.slot.take() {
            Some(slot) => Settled::new(slot, result),
            None => unreachable!("only `settle` and `drop` take the slot"),
        }
    }

    /// Returns whether the ticket was dropped without leaving a callback, in which case the result is not
    /// needed. Once true, it stays true.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| matches!(*slot.lock(), State::Abandoned))
    }
}

/// A ticket whose result is in place, and that is still to be told. Dropping it tells the ticket as well.
///
/// Keeps the slot only while a thread waits for it: the pool may reuse it otherwise.
#[must_use = "a thread or task may wait for the ticket"]
pub(crate) struct Settled<T, E>(Rest<T, E>);

/// The rest of the work for a settled ticket.
enum Rest<T, E> {
    Nothing,
    Notify(Arc<Slot<T, E>>),
    Wake(Waker),
    Call(Callback<T, E>, Result<T, E>),
    Abandoned(Result<T, E>),
}

impl<T, E> Settled<T, E> {
    fn new(slot: Arc<Slot<T, E>>, result: Result<T, E>) -> Self {
        Self(match slot.finish(result) {
            Finished::Nothing => Rest::Nothing,
            Finished::Notify => Rest::Notify(slot),
            Finished::Wake(waker) => Rest::Wake(waker),
            Finished::Call(callback, result) => Rest::Call(callback, result),
            Finished::Abandoned(result) => Rest::Abandoned(result),
        })
    }

    /// Returns whether the ticket waits to be told: a thread waits, or it has left a waker or a callback.
    #[cfg(feature = "manager")]
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self.0, Rest::Notify(_) | Rest::Wake(_) | Rest::Call(..))
    }

    /// Notifies the thread, or runs the waker or callback, whose panic is contained.
    pub(crate) fn tell(mut self) -> Delivery<Result<T, E>> {
        std::mem::replace(&mut self.0, Rest::Nothing).tell()
    }
}

impl<T, E> Rest<T, E> {
    fn tell(self) -> Delivery<Result<T, E>> {
        // Unwind safety: the slot is no longer used when the user code starts, and the call consumes the user
        // code.
        let told = match self {
            Self::Nothing => Ok(()),
            Self::Notify(slot) => {
                slot.completed().notify_one();
                Ok(())
            }
            Self::Wake(waker) => catch_unwind(AssertUnwindSafe(|| waker.wake())),
            Self::Call(callback, result) => catch_unwind(AssertUnwindSafe(|| callback(result))),
            Self::Abandoned(result) => return Delivery::Abandoned(result),
        };
        match told {
            Ok(()) => Delivery::Delivered,
            Err(payload) => Delivery::Panicked(payload),
        }
    }
}

impl<T, E> Drop for Settled<T, E> {
    fn drop(&mut self) {
        if matches!(self.0, Rest::Nothing) {
            return;
        }
        // No caller can see a panic of the callback; the panic hook has reported it.
        if let Delivery::Panicked(payload) = std::mem::replace(&mut self.0, Rest::Nothing).tell() {
            discard(payload);
        }
    }
}

impl<T, E> Drop for Completion<T, E> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            drop(Settled::new(slot, Err((self.closed)())));
        }
    }
}

impl<T, E> fmt::Debug for Completion<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("abandoned", &self.is_abandoned()).finish_non_exhaustive()
    }
}
