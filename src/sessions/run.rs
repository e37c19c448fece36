//! The guard of one run.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::error::Stale;
use super::id::RunId;
use super::session::{NotInstalled, Session};
use crate::claim::{ClaimId, Grant, Spot, State};
use crate::sync::{Arc, StdArc, deadline_after};
use crate::unwind::contain;

/// One run of a session: as long as it lives, no other run of the session begins.
///
/// Dropping it ends the run, on return, on error, in a panic, and when the future that owns it is dropped. The
/// end names the run, so it never ends a later one. It does not block: it is one exchange of a word and, if
/// someone waits, a short lock to wake them. If the data of the session is that of a new one, the session joins the
/// blank ones, and the oldest of them may be removed. Destructors that run then may not panic through it: their panics are
/// contained.
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
pub struct Run<K, D, C = ()> {
    session: Held<K, D, C>,
    claim: ClaimId,
    /// Number of clears before it.
    clears: u64,
    /// Its end was already reported.
    is_finished: bool,
}

impl<K, D, C> Run<K, D, C> {
    pub(super) fn new(session: Arc<Session<K, D, C>>, grant: Grant) -> Self {
        Self { session: Held(Some(session)), claim: grant.id, clears: grant.read, is_finished: false }
    }

    /// Returns the key of the session.
    #[must_use]
    pub fn key(&self) -> &K {
        self.session.key()
    }

    /// Returns the identity of the run.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.session.run_id(self.claim)
    }

    /// Returns the epoch in which the run began: each clear of the session begins a new one. The run writes in
    /// this epoch only.
    ///
    /// Epochs of one key never decrease, also if its session is removed and created again.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.session.epoch(self.clears)
    }

    /// Notes that the work begins, and the time, from which the age of the run is counted. Returns false if the run was
    /// asked to stop before: then it should end without doing anything. Optional. Lock-free.
    #[must_use = "a run that was cancelled before it starts should not start"]
    pub fn start(&self) -> bool {
        self.session.note_start(self.claim);
        self.session.place.start(self.claim)
    }

    /// Returns whether the run was asked to stop, or detached. Once true, it stays true. Wait-free: one load.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.session.place.state().is_cancelled(self.claim)
    }

    /// Blocks until the run is asked to stop, or the timeout expires. Returns whether it was asked.
    #[must_use]
    pub fn wait_cancelled(&self, timeout: Duration) -> bool {
        let look = |state: State| state.is_cancelled(self.claim).then_some(());
        self.session.place.wait(deadline_after(timeout), look).is_some()
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
    pub fn cancelled(&self) -> Cancelled<'_, K, D, C> {
        Cancelled { run: self, spot: None }
    }

    /// Returns the peer of the connection that the session has now, to which the run can send. That is not always
    /// the connection through which the run began: a newer one takes over. Takes a short lock of the session.
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::Sessions;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<u32, String, &str> = Sessions::new();
    /// let old = sessions.connect(&1, "old socket").connection;
    /// let run = old.try_begin()?;
    /// let new = sessions.connect(&1, "new socket").connection;
    /// drop(old);
    /// assert_eq!(run.peer().as_deref(), Some(&"new socket"));
    /// drop(new);
    /// assert_eq!(run.peer(), None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn peer(&self) -> Option<StdArc<C>> {
        self.session.connection().map(|(_, peer)| peer)
    }

    /// Returns the data of the session, as of now. Wait-free, as [`Sessions::read`](super::Sessions::read).
    ///
    /// # Errors
    /// [`Stale`] if the session was cleared since the run began.
    pub fn read(&self) -> Result<StdArc<D>, Stale> {
        self.session.read_in(self.clears)
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
    /// # Panics
    /// If `change` panics. If the destructor of the old data panics; the data was replaced then.
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
        // The last reference to the old data, if it is one, must not be a local variable here: the compiler leaks the
        // value that a function returns if a destructor of a local panics.
        drop(current);
        Session::write_in(&self.session, self.clears, data.clone())?;
        Ok(data)
    }

    pub(super) fn is_of<'a>(&self, session: &'a Arc<Session<K, D, C>>) -> Option<&'a Session<K, D, C>> {
        Arc::ptr_eq(self.session.get(), session).then_some(session)
    }

    /// Installs data that was stored before. No update is in progress, because the run is borrowed.
    pub(super) fn install(&mut self, version: u64, data: StdArc<D>) -> Result<(), NotInstalled> {
        self.session.install_in(self.clears, version, data)
    }

    pub(super) fn claim(&self) -> ClaimId {
        self.claim
    }

    /// Ends the run, as dropping it does, and returns whether it was still that of the session.
    ///
    /// # Errors
    /// [`Stale`] if the session was cleared without waiting for this run. Then the session may have another run
    /// by now, which is not affected.
    pub fn finish(mut self) -> Result<(), Stale> {
        self.is_finished = true;
        if Session::release(&self.session, self.claim) { Ok(()) } else { Err(Stale) }
    }
}

/// The session of a run. If this is the last reference, user data is dropped with it, whose panics are contained.
struct Held<K, D, C>(Option<Arc<Session<K, D, C>>>);

impl<K, D, C> Held<K, D, C> {
    fn get(&self) -> &Arc<Session<K, D, C>> {
        match &self.0 {
            Some(session) => session,
            None => unreachable!("only the destructor takes it out"),
        }
    }
}

impl<K, D, C> Deref for Held<K, D, C> {
    type Target = Arc<Session<K, D, C>>;

    fn deref(&self) -> &Self::Target {
        self.get()
    }
}

impl<K, D, C> Drop for Held<K, D, C> {
    fn drop(&mut self) {
        let session = self.0.take();
        // Unwind safety: nothing of the session remains observable.
        let _ = contain(AssertUnwindSafe(|| drop(session)));
    }
}

impl<K, D, C> Drop for Run<K, D, C> {
    fn drop(&mut self) {
        if !self.is_finished {
            let _is_current = Session::release(&self.session, self.claim);
        }
    }
}

impl<K, D, C> fmt::Debug for Run<K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("id", &self.id())
            .field("epoch", &self.epoch())
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The future of [`Run::cancelled`]. The waker of the last poll counts. May be polled again after it has
/// completed.
#[must_use = "futures do nothing unless awaited or polled"]
pub struct Cancelled<'a, K, D, C> {
    run: &'a Run<K, D, C>,
    spot: Option<Spot>,
}

impl<K, D, C> Future for Cancelled<'_, K, D, C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { run, spot } = self.get_mut();
        let look = |state: State| state.is_cancelled(run.claim).then_some(());
        run.session.place.poll(spot, context.waker(), look)
    }
}

impl<K, D, C> Drop for Cancelled<'_, K, D, C> {
    fn drop(&mut self) {
        self.run.session.place.leave(&mut self.spot);
    }
}

impl<K, D, C> fmt::Debug for Cancelled<'_, K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").field("run", self.run).finish_non_exhaustive()
    }
}
