//! A thread that does one thing again and again, until it is told to stop.

use crate::sync::thread::{self, JoinHandle};
use crate::sync::{self, Arc, Condvar, Mutex, lock_order};
use std::time::Duration;

/// The owner's end.
#[derive(Debug)]
pub(super) struct Ticker {
    signal: Arc<Signal>,
    /// Taken by the one that joins it. Valid after a panic: it changes by one assignment.
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Signal {
    /// Valid after a panic: plain flags.
    asked: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    stop: bool,
    tick: bool,
}

impl Ticker {
    /// Starts a thread that calls `body` every `period` (one too long for the clock: only when asked to).
    ///
    /// # Errors
    /// The system refused the thread.
    pub(super) fn start(
        name: String,
        period: Duration,
        mut body: impl FnMut() + Send + 'static,
    ) -> std::io::Result<Self> {
        let signal = Arc::new(Signal {
            asked: Mutex::new(&lock_order::TICKER, Asked::default()),
            changed: Condvar::new(),
        });
        let heard = signal.clone();
        let thread = sync::spawn(name, move || {
            while heard.wait(period) {
                body();
            }
        })?;
        Ok(Self { signal, thread: Mutex::new(&lock_order::TICKER_THREAD, Some(thread)) })
    }

    /// Has the thread tick now. Requests are merged until one is heeded.
    pub(super) fn tick(&self) {
        self.signal.ask(|asked| asked.tick = true);
    }

    /// Tells the thread to stop, without waiting for it.
    pub(super) fn ask_to_stop(&self) {
        self.signal.ask(|asked| asked.stop = true);
    }

    /// Tells the thread to stop, and waits for its end: until the call of `body` that is under way returns.
    /// Idempotent. Of several calls at once one waits; the thread itself does not.
    ///
    /// Steps: signal, release, join. Nothing is held while it waits.
    pub(super) fn stop(&self) {
        self.ask_to_stop();
        let mut place = self.thread.lock();
        let own = place.as_ref().is_some_and(|thread| thread.thread().id() == thread::current().id());
        let thread = if own { None } else { place.take() };
        drop(place);
        if let Some(thread) = thread {
            // It contains the panics of what it calls; one of its own has been reported by the hook.
            let _ = thread.join();
        }
    }
}

impl Signal {
    fn ask(&self, what: impl FnOnce(&mut Asked)) {
        what(&mut self.asked.lock());
        self.changed.notify_all();
    }

    /// Waits for the next tick; false to stop. Woken by `tick` and `ask_to_stop`, which the owner calls on
    /// its way out.
    fn wait(&self, period: Duration) -> bool {
        let deadline = sync::deadline_after(period);
        let mut asked = self.asked.lock();
        loop {
            if asked.stop {
                return false;
            }
            if std::mem::take(&mut asked.tick) {
                return true;
            }
            let timed_out;
            (asked, timed_out) = match deadline {
                None => (self.changed.wait(asked), false),
                Some(deadline) => self.changed.wait_until(asked, deadline),
            };
            if timed_out {
                return !asked.stop;
            }
        }
    }
}

impl Drop for Ticker {
    /// Does not wait.
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}
