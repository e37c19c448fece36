//! The guard of one run.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::error::Stale;
use super::id::RunId;
use super::session::Session;
use crate::claim::{ClaimId, Place};
use crate::sync::{Arc, StdArc, deadline_after};

/// One run of a session: as long as it lives, no other run of the session begins.
///
/// Dropping it ends the run, on return, on error, in a panic, and when the future that owns it is dropped. The
/// end names the run, so it never ends a later one. It does not block: it is one exchange of a word and, if
/// someone waits, a short lock to wake them.
///
/// Created by [`Sessions::try_begin`](super::Sessions::try_begin) and its variants. `Send`, so it can be moved
/// into the thread or task that works.
///
/// # Cancellation
/// Cancelling is a request: the run notices it by [`is_cancelled`](Self::is_cancelled),
/// [`wait_cancelled`](Self::wait_cancelled) or [`cancelled`](Self::cancelled), and ends itself. A request that
/// comes between the begin and the start of the work is not lost: [`start`](Self::start) returns it.
///
/// A run that a clear has *detached* is cancelled, too, and what it writes is rejected as [`Stale`].
#[must_use = "dropping a run ends it"]
pub struct Run<D, C = ()> {
    session: Arc<Session<D, C>>,
    claim: ClaimId,
    epoch: u64,
    /// Its end was already reported.
    is_finished: bool,
}

impl<D, C> Run<D, C> {
    pub(super) fn new(session: Arc<Session<D, C>>, (claim, epoch): (ClaimId, u64)) -> Self {
        Self { session, claim, epoch, is_finished: false }
    }

    /// Returns the identity of the run.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.session.run_id(self.claim)
    }

    /// Returns the number of clears of the session before this run began. The run writes in this epoch only.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Notes that the work begins. Returns false if the run was asked to stop before: then it should end
    /// without doing anything. Optional. Lock-free.
    #[must_use = "a run that was cancelled before it starts should not start"]
    pub fn start(&self) -> bool {
        self.session.word.start(self.claim)
    }

    /// Returns whether the run was asked to stop, or detached. Once true, it stays true. Wait-free: one load.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.session.word.state().is_cancelled(self.claim)
    }

    /// Blocks until the run is asked to stop, or the timeout expires. Returns whether it was asked.
    #[must_use]
    pub fn wait_cancelled(&self, timeout: Duration) -> bool {
        let look = |state: crate::claim::State| state.is_cancelled(self.claim).then_some(());
        let waiters = &self.session.waiters;
        waiters.wait(&self.session.word, deadline_after(timeout), look).is_some()
    }

    /// Waits until the run is asked to stop. The future borrows the run and needs no runtime.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time and created again.
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::Sessions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<u32, String> = Sessions::new();
    /// let run = sessions.try_begin(&1)?;
    /// let canceller = sessions.clone();
    /// let thread = std::thread::spawn(move || canceller.cancel(&1));
    /// run.cancelled().await;
    /// assert!(run.is_cancelled());
    /// # assert!(thread.join().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancelled(&self) -> Cancelled<'_, D, C> {
        Cancelled { run: self, place: None }
    }

    /// Returns the data of the session, as of now.
    ///
    /// # Errors
    /// [`Stale`] if the session was cleared since the run began.
    pub fn read(&self) -> Result<StdArc<D>, Stale> {
        self.session.read_in(self.epoch)
    }

    /// Replaces the data of the session by what `change` makes of it, and returns the new data. Only the run of
    /// a session writes its data, so no update is lost.
    ///
    /// `change` runs with no lock held. Readers see the old data until it returns. If it panics, the data stays
    /// as it was.
    ///
    /// # Errors
    /// [`Stale`] if the session was cleared since the run began: the data is not changed.
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::{ClearPolicy, Sessions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<&str, Vec<&str>> = Sessions::new();
    /// let mut run = sessions.try_begin(&"a")?;
    /// run.update(|lines| lines.iter().copied().chain(["one"]).collect())?;
    /// assert_eq!(*run.read()?, ["one"]);
    ///
    /// sessions.clear(&"a", ClearPolicy::CancelAndDetach)?;
    /// assert!(run.update(|_| vec!["too late"]).is_err());
    /// assert_eq!(sessions.read(&"a").as_deref(), Some(&vec![]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn update(&mut self, change: impl FnOnce(&D) -> D) -> Result<StdArc<D>, Stale> {
        let current = self.read()?;
        let data = StdArc::new(change(&current));
        match self.session.write_in(self.epoch, data.clone()) {
            // The last reference may be this one; destructors run here, with nothing held.
            Ok(_old) => Ok(data),
            Err(_rejected) => Err(Stale),
        }
    }

    /// Ends the run, as dropping it does, and returns whether it was still that of the session.
    ///
    /// # Errors
    /// [`Stale`] if the session was cleared without waiting for this run. Then the session may have another run
    /// by now, which is not affected.
    pub fn finish(mut self) -> Result<(), Stale> {
        self.is_finished = true;
        if self.session.release(self.claim) { Ok(()) } else { Err(Stale) }
    }
}

impl<D, C> Drop for Run<D, C> {
    fn drop(&mut self) {
        if !self.is_finished {
            let _is_current = self.session.release(self.claim);
        }
    }
}

impl<D, C> fmt::Debug for Run<D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("id", &self.id())
            .field("epoch", &self.epoch)
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The future of [`Run::cancelled`]. The waker of the last poll counts. May be polled again after it has
/// completed.
#[must_use = "futures do nothing unless awaited or polled"]
pub struct Cancelled<'a, D, C> {
    run: &'a Run<D, C>,
    place: Option<Place>,
}

impl<D, C> Future for Cancelled<'_, D, C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { run, place } = self.get_mut();
        let look = |state: crate::claim::State| state.is_cancelled(run.claim).then_some(());
        run.session.waiters.poll(&run.session.word, place, context.waker(), look)
    }
}

impl<D, C> Drop for Cancelled<'_, D, C> {
    fn drop(&mut self) {
        self.run.session.waiters.leave(&mut self.place);
    }
}

impl<D, C> fmt::Debug for Cancelled<'_, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").field("run", self.run).finish_non_exhaustive()
    }
}
