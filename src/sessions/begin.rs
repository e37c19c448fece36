//! The wait of a task for its run.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::error::BeginError;
use super::registry::Sessions;
use super::run::Run;
use super::session::Session;
use crate::claim::{ClaimRefused, Ticket, WaitRefused};
use crate::sync::Arc;

/// The future of [`Sessions::begin_async`] and [`Sessions::begin_or_replace_async`]. The waker of the last poll
/// counts. Dropping it before it completes begins no run.
#[must_use = "futures do nothing unless awaited or polled"]
pub struct Begin<'a, K, D, C> {
    sessions: &'a Sessions<K, D, C>,
    key: &'a K,
    replace: bool,
    seat: Option<Seat<K, D, C>>,
    is_done: bool,
}

/// A seat in the queue of a session. Given up when dropped, with the run that may have begun meanwhile.
struct Seat<K, D, C> {
    session: Arc<Session<K, D, C>>,
    ticket: Option<Ticket>,
}

impl<K, D, C> Drop for Seat<K, D, C> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            Session::leave_queue(&self.session, ticket);
        }
    }
}

impl<K, D, C> Seat<K, D, C> {
    fn poll(&mut self, ticket: Ticket, context: &Context<'_>) -> Poll<Result<Run<K, D, C>, WaitRefused>> {
        let result = ready!(self.session.poll_claim(ticket, context.waker()));
        self.ticket = None;
        Poll::Ready(result.map(|grant| Run::new(self.session.clone(), grant)))
    }
}

impl<K, D, C> Begin<'_, K, D, C>
where
    K: Hash + Eq + Clone,
{
    /// Begins the run, or takes a seat.
    fn first_poll(&mut self, context: &Context<'_>) -> Poll<Result<Run<K, D, C>, BeginError>> {
        loop {
            let session = self.sessions.session(self.key);
            match self.sessions.claim(self.key, &session) {
                Ok(run) => return Poll::Ready(Ok(run)),
                Err(ClaimRefused::Retired) => continue,
                Err(ClaimRefused::Busy(_) | ClaimRefused::Clearing) => {}
            }
            match session.begin_wait(self.replace, context.waker()) {
                Ok(Ok(grant)) => return Poll::Ready(Ok(Run::new(session, grant))),
                Ok(Err(ticket)) => {
                    self.seat = Some(Seat { session, ticket: Some(ticket) });
                    return Poll::Pending;
                }
                Err(WaitRefused::Retired) => self.sessions.forget(self.key, &session),
                Err(refused) => return Poll::Ready(Err(self.sessions.refused(refused))),
            }
        }
    }
}

impl<K, D, C> Unpin for Begin<'_, K, D, C> {}

impl<K, D, C> Future for Begin<'_, K, D, C>
where
    K: Hash + Eq + Clone,
{
    type Output = Result<Run<K, D, C>, BeginError>;

    /// # Panics
    /// If it has already completed.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(!this.is_done, "a future of a session was polled after it had completed");
        let result = match this.seat.as_mut().and_then(|seat| Some((seat.ticket?, seat))) {
            Some((ticket, seat)) => {
                let result = ready!(seat.poll(ticket, context));
                result.map_err(|refused| this.sessions.refused(refused))
            }
            None => ready!(this.first_poll(context)),
        };
        this.is_done = true;
        this.seat = None;
        Poll::Ready(result)
    }
}

impl<K, D, C> Sessions<K, D, C>
where
    K: Hash + Eq + Clone,
{
    /// Begins a run as soon as all that began to wait before have had theirs. The form of
    /// [`begin_timeout`](Self::begin_timeout) for tasks: the future waits without a bound, and needs no runtime.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes gives up its place in the queue, has begun no run and leaves
    /// no trace, except that the session may have been created.
    ///
    /// # Errors
    /// [`BeginError::Cleared`] and [`BeginError::Full`].
    ///
    /// # Panics
    /// The future, if it is polled after it has completed, and as [`try_begin`](Self::try_begin).
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::Sessions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<u32, String> = Sessions::new();
    /// let first = sessions.try_begin(&1)?;
    /// let thread = std::thread::spawn(move || drop(first));
    /// let second = sessions.begin_async(&1).await?;
    /// assert!(!second.is_cancelled());
    /// # assert!(thread.join().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn begin_async<'a>(&'a self, key: &'a K) -> Begin<'a, K, D, C> {
        Begin { sessions: self, key, replace: false, seat: None, is_done: false }
    }

    /// Asks the current run of the session to stop, and those that begin before this one, and begins a run when
    /// they have ended. The form of [`begin_or_replace`](Self::begin_or_replace) for tasks.
    ///
    /// # Cancel safety
    /// As [`begin_async`](Self::begin_async); runs that were asked to stop remain cancelled.
    ///
    /// # Errors
    /// As [`begin_async`](Self::begin_async).
    ///
    /// # Panics
    /// As [`begin_async`](Self::begin_async).
    pub fn begin_or_replace_async<'a>(&'a self, key: &'a K) -> Begin<'a, K, D, C> {
        Begin { replace: true, ..self.begin_async(key) }
    }
}

impl<K, D, C> fmt::Debug for Begin<'_, K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begin").field("done", &self.is_done).finish_non_exhaustive()
    }
}
