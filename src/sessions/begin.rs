//! The wait of a task for its run.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::registry::Sessions;
use super::run::Run;
use super::session::Session;
use crate::claim::{ClaimRefused, Place, State};
use crate::sync::Arc;

/// The future of [`Sessions::begin_async`]. The waker of the last poll counts. Dropping it before it completes
/// begins no run.
#[must_use = "futures do nothing unless awaited or polled"]
pub struct Begin<'a, K, D, C> {
    sessions: &'a Sessions<K, D, C>,
    key: &'a K,
    wait: Wait<D, C>,
    is_contended: bool,
    is_done: bool,
}

/// The session that is waited for, and the place in its list.
struct Wait<D, C> {
    session: Option<Arc<Session<D, C>>>,
    place: Option<Place>,
}

impl<D, C> Wait<D, C> {
    fn leave(&mut self) {
        if let Some(session) = self.session.take() {
            session.waiters.leave(&mut self.place);
        }
    }
}

impl<D, C> Drop for Wait<D, C> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<'a, K, D, C> Begin<'a, K, D, C> {
    fn new(sessions: &'a Sessions<K, D, C>, key: &'a K) -> Self {
        Self { sessions, key, wait: Wait { session: None, place: None }, is_contended: false, is_done: false }
    }
}

impl<K, D, C> Unpin for Begin<'_, K, D, C> {}

impl<K, D, C> Future for Begin<'_, K, D, C>
where
    K: Hash + Eq + Clone,
{
    type Output = Run<D, C>;

    /// # Panics
    /// If it has already completed.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(!this.is_done, "a future of a session was polled after it had completed");
        loop {
            let session = match &this.wait.session {
                Some(session) => session.clone(),
                None => this.wait.session.insert(this.sessions.session(this.key)).clone(),
            };
            match this.sessions.claim(this.key, &session) {
                Ok(run) => {
                    this.is_done = true;
                    this.wait.leave();
                    return Poll::Ready(run);
                }
                Err(ClaimRefused::Retired) => {
                    this.wait.leave();
                    continue;
                }
                Err(ClaimRefused::Busy(_) | ClaimRefused::Clearing) => {}
            }
            if !this.is_contended {
                this.is_contended = true;
                this.sessions.note_contended();
            }
            let look = |state: State| state.is_worth_a_claim().then_some(());
            let place = &mut this.wait.place;
            if session.waiters.poll(&session.word, place, context.waker(), look).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<K, D, C> Sessions<K, D, C>
where
    K: Hash + Eq + Clone,
{
    /// Begins a run as soon as the session has none. The form of [`begin_timeout`](Self::begin_timeout) for
    /// tasks: the future waits without a bound, and needs no runtime.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes has begun no run and leaves no trace, except that the
    /// session may have been created.
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
    /// let second = sessions.begin_async(&1).await;
    /// assert!(!second.is_cancelled());
    /// # assert!(thread.join().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn begin_async<'a>(&'a self, key: &'a K) -> Begin<'a, K, D, C> {
        Begin::new(self, key)
    }
}

impl<K, D, C> fmt::Debug for Begin<'_, K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begin").field("done", &self.is_done).finish_non_exhaustive()
    }
}
