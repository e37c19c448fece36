//! A thread that saves.

use std::fmt;
use std::hash::Hash;
use std::io;
use std::time::Duration;

use super::core::Begin;
use super::error::ShutdownError;
use super::saver::Saver;
use super::shared::{Inner, Shared};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::JoinHandle;
use crate::sync::{MutexGuard, StdArc, deadline_after, spawn};

/// A thread that saves: [`Saver::spawn`].
///
/// Dropped, it asks the thread to end after its current call of the store, and does not wait; changes that are not saved
/// remain in the saver. [`shutdown`](Self::shutdown) saves them.
#[must_use = "dropping it ends the thread"]
pub struct SaverThread<K, D> {
    saver: Saver<K, D>,
    state: StdArc<State>,
    thread: Option<JoinHandle<()>>,
}

/// All are changed under the lock of the saver, so that no wait misses a change.
#[derive(Debug, Default)]
struct State {
    is_stopped: AtomicBool,
    /// The thread is in a call of the store, or is about to be.
    is_busy: AtomicBool,
}

impl<K, D> Saver<K, D>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    D: Send + Sync + 'static,
{
    /// Starts a thread that saves, and sleeps while nothing is due.
    ///
    /// # Errors
    /// The error of the operating system if it cannot create a thread.
    pub fn spawn(&self, name: impl Into<String>) -> io::Result<SaverThread<K, D>> {
        let state = StdArc::new(State::default());
        let thread = {
            let (shared, state) = (self.shared.clone(), state.clone());
            spawn(name.into(), move || run(&shared, &state))?
        };
        Ok(SaverThread { saver: self.clone(), state, thread: Some(thread) })
    }
}

impl<K, D> SaverThread<K, D>
where
    K: Hash + Eq + Clone,
{
    /// Saves all changes that were noted before this call, on the calling thread, and ends and joins the thread. Takes up
    /// to `timeout`, and the call of the store that is in progress then.
    ///
    /// # Errors
    /// [`ShutdownError`] if the time was over or the store failed for some sessions.
    pub fn shutdown(mut self, timeout: Duration) -> Result<(), ShutdownError> {
        let deadline = deadline_after(timeout);
        let flushed = self.saver.flush_all(timeout);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let shared = &self.saver.shared;
        stop(shared, &self.state);
        let mut inner = shared.inner.lock();
        // Relaxed: changed under the lock that is held here. A thread that is not busy ends at once: it is not waited for
        // by the clock.
        while self.state.is_busy.load(Ordering::Relaxed) {
            // Woken by `run`, which is only delayed by the store.
            let Some(deadline) = deadline else {
                inner = shared.done.wait(inner);
                continue;
            };
            let (guard, timed_out) = shared.done.wait_until(inner, deadline);
            inner = guard;
            // Relaxed: as above.
            if timed_out && self.state.is_busy.load(Ordering::Relaxed) {
                return Err(ShutdownError::Timeout(flushed.err()));
            }
        }
        drop(inner);
        // It does not panic: user code is contained.
        let _ = thread.join();
        flushed.map_err(ShutdownError::Unsaved)
    }
}

/// Ends and joins the thread, in models: without a deadline.
#[cfg(test)]
impl<K, D> SaverThread<K, D> {
    pub(super) fn join(mut self) {
        stop(&self.saver.shared, &self.state);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok());
        }
    }
}

fn run<K: Hash + Eq + Clone, D>(shared: &Shared<K, D>, state: &State) {
    loop {
        let now = shared.now();
        let mut inner = shared.inner.lock();
        // Relaxed: changed under the lock that is held here.
        if state.is_stopped.load(Ordering::Relaxed) {
            return;
        }
        match inner.core.begin(now) {
            Begin::Job(job) => {
                // Relaxed: changed and read under the lock that is held here.
                state.is_busy.store(true, Ordering::Relaxed);
                drop(inner);
                // A failure is noted, and repeated later.
                let _result = shared.perform(job);
                let inner = shared.inner.lock();
                // Relaxed: as above.
                state.is_busy.store(false, Ordering::Relaxed);
                drop(inner);
                shared.done.notify_all();
            }
            Begin::Idle(due) => wait(shared, inner, due.map(|due| due.saturating_duration_since(now))),
        }
    }
}

/// Waits until something is noted, or for so long. Woken by `note`, by the end of a job, and by `stop`.
fn wait<K, D>(shared: &Shared<K, D>, inner: MutexGuard<'_, Inner<K, D>>, time: Option<Duration>) {
    // On the real clock, by which threads wait.
    match time.and_then(deadline_after) {
        Some(deadline) => drop(shared.work.wait_until(inner, deadline)),
        None => drop(shared.work.wait(inner)),
    }
}

fn stop<K, D>(shared: &Shared<K, D>, state: &State) {
    let inner = shared.inner.lock();
    // Relaxed: read under the lock before each wait.
    state.is_stopped.store(true, Ordering::Relaxed);
    drop(inner);
    shared.work.notify_all();
}

impl<K, D> Drop for SaverThread<K, D> {
    fn drop(&mut self) {
        stop(&self.saver.shared, &self.state);
    }
}

impl<K, D> fmt::Debug for SaverThread<K, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaverThread").field("state", &self.state).finish_non_exhaustive()
    }
}
