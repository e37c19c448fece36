//! The client's end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::closed::Closed;
use super::slot::{Slot, State, Waiter};
use crate::sync::{Arc, deadline_after};

/// The end that receives the result: by [`wait`](Self::wait), by [`try_take`](Self::try_take), as a `Future`,
/// or by [`on_complete`](Self::on_complete).
///
/// Dropping it declares that the result is not needed.
///
/// # As a future
/// A ticket is `Unpin`, may be polled by different tasks over time (the last waker counts), and needs no
/// runtime. Polling it after the result was returned panics.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::ticket::ticket;
///
/// let (completion, ticket) = ticket();
/// let Err(timeout) = ticket.wait_timeout(Duration::from_millis(1)) else { unreachable!() };
/// let ticket = timeout.into_ticket();
/// completion.complete(42);
/// assert_eq!(ticket.wait(), Ok(42));
/// ```
pub struct Ticket<T, E = Closed> {
    slot: Arc<Slot<T, E>>,
    /// The result was taken, or a callback was left instead of this ticket: dropping it has nothing to do.
    released: bool,
}

/// The timeout elapsed before the ticket was completed. Contains the ticket.
#[must_use = "it carries the ticket, which can be waited for again"]
pub struct WaitTimeout<T, E = Closed>(Ticket<T, E>);

impl<T, E> WaitTimeout<T, E> {
    /// Returns the ticket, to wait again or to drop.
    #[must_use]
    pub fn into_ticket(self) -> Ticket<T, E> {
        self.0
    }
}

impl<T, E> fmt::Debug for WaitTimeout<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaitTimeout").field(&self.0).finish()
    }
}

impl<T, E> fmt::Display for WaitTimeout<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out waiting for the result")
    }
}

impl<T, E> std::error::Error for WaitTimeout<T, E> {}

impl<T, E> Ticket<T, E> {
    pub(super) fn new(slot: Arc<Slot<T, E>>) -> Self {
        Self { slot, released: false }
    }

    /// Waits for the result without a bound. The completer wakes it, even by being dropped.
    ///
    /// Must not be called on the completing thread.
    ///
    /// # Errors
    /// The error that the ticket was completed with, or `E::from(Closed)`.
    ///
    /// # Panics
    /// If [`try_take`](Self::try_take) or a poll has already returned the result.
    pub fn wait(mut self) -> Result<T, E> {
        match self.wait_until(None) {
            Some(result) => result,
            None => unreachable!("an endless wait ends with a result"),
        }
    }

    /// Waits for the result up to `timeout`.
    ///
    /// # Errors
    /// [`WaitTimeout`], with the ticket. The result itself may also be an error, see [`wait`](Self::wait).
    ///
    /// # Panics
    /// If [`try_take`](Self::try_take) or a poll has already returned the result.
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<Result<T, E>, WaitTimeout<T, E>> {
        if let Some(result) = self.try_take() {
            return Ok(result);
        }
        // If the clock cannot represent the deadline, there is none.
        self.wait_until(deadline_after(timeout)).ok_or(WaitTimeout(self))
    }

    /// Returns the result if it is available: once, and `None` ever after.
    pub fn try_take(&mut self) -> Option<Result<T, E>> {
        if self.released || !self.slot.is_done() {
            return None;
        }
        let result = self.slot.lock().take_result();
        self.released = result.is_some();
        result
    }

    /// Returns whether the completion has happened. Once true, it stays true, even after the result was
    /// taken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.slot.is_done()
    }

    /// Arranges for `callback` to be called with the result, exactly once: immediately on this thread if the
    /// result is available, else on the completing thread. No lock is held in either case.
    ///
    /// On the completing thread the callback delays every thread that waits for that thread: it should be
    /// short and must not block. A panic there does not unwind into the completer, which receives it as
    /// [`Delivery::Panicked`](super::Delivery::Panicked).
    ///
    /// # Panics
    /// If [`try_take`](Self::try_take) or a poll has already returned the result. A panic of `callback` on
    /// this thread unwinds.
    ///
    /// # Examples
    /// ```
    /// use std::sync::mpsc;
    /// use switchboard::ticket::ticket;
    ///
    /// let (completion, ticket) = ticket();
    /// let (sender, results) = mpsc::channel();
    /// ticket.on_complete(move |result| sender.send(result).unwrap());
    /// completion.complete(42);
    /// assert_eq!(results.recv(), Ok(Ok(42)));
    /// ```
    pub fn on_complete<F>(mut self, callback: F)
    where
        F: FnOnce(Result<T, E>) + Send + 'static,
    {
        self.check_not_released();
        if let Some(result) = self.try_take() {
            return callback(result);
        }
        // Allocated before the lock is taken.
        let callback = Waiter::Callback(Box::new(callback));
        let mut state = self.slot.lock();
        let result = state.take_result();
        // If the result is available, this returns the callback.
        let waiter = state.set_waiter(callback);
        drop(state);
        self.released = true;
        match (result, waiter) {
            (Some(result), Waiter::Callback(callback)) => callback(result),
            // The waiter replaced by the callback.
            (_, waiter) => drop(waiter),
        }
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Option<Result<T, E>> {
        self.check_not_released();
        self.slot.spin();
        let mut state = self.slot.lock();
        if matches!(*state, State::Pending(Waiter::Task(_))) {
            // The waker of an earlier poll is dropped without the lock, and before there is a result to lose.
            let waker = state.set_waiter(Waiter::Nobody);
            drop(state);
            drop(waker);
            state = self.slot.lock();
        }
        let mut timed_out = false;
        let result = loop {
            if let Some(result) = state.take_result() {
                break Some(result);
            }
            if timed_out {
                let _thread = state.set_waiter(Waiter::Nobody);
                break None;
            }
            // The replaced waiter is none or this thread: only this end sets a waiter.
            let _thread = state.set_waiter(Waiter::Thread);
            (state, timed_out) = match deadline {
                None => (self.slot.completed().wait(state), false),
                Some(deadline) => self.slot.completed().wait_until(state, deadline),
            };
        };
        drop(state);
        self.released = result.is_some();
        result
    }

    /// A result is taken once; waiting for it again would never end.
    fn check_not_released(&self) {
        assert!(!self.released, "the result of this ticket was already taken");
    }
}

impl<T, E> Future for Ticket<T, E> {
    type Output = Result<T, E>;

    /// # Panics
    /// If the result was already returned.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.check_not_released();
        let mut waker: Option<Waker> = None;
        // At most three iterations: cloning and dropping a waker is user code, so it is done between two
        // looks.
        loop {
            let mut state = self.slot.lock();
            if matches!(*state, State::Complete(_)) && waker.is_some() {
                // Completed between the two looks. The clone is dropped first, so the result is not lost to a
                // destructor that panics.
                drop(state);
                drop(waker.take());
                continue;
            }
            if let Some(result) = state.take_result() {
                drop(state);
                self.released = true;
                return Poll::Ready(result);
            }
            if let State::Pending(Waiter::Task(known)) = &*state
                && known.will_wake(context.waker())
            {
                return Poll::Pending;
            }
            if let Some(waker) = waker.take() {
                // Registered under the lock that the completer takes: the completer finds this waker, or has
                // already completed.
                let replaced = state.set_waiter(Waiter::Task(waker));
                drop(state);
                drop(replaced);
                return Poll::Pending;
            }
            drop(state);
            waker = Some(context.waker().clone());
        }
    }
}

impl<T, E> Drop for Ticket<T, E> {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        // A result or a waker is dropped after the lock is released.
        let old = std::mem::replace(&mut *self.slot.lock(), State::Abandoned);
        drop(old);
    }
}

impl<T, E> fmt::Debug for Ticket<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("complete", &self.is_complete()).finish_non_exhaustive()
    }
}
