//! A thread that repeats one action until it is told to stop.

use crate::sync::thread::{self, JoinHandle};
use crate::sync::{self, Arc, Condvar, Mutex, lock_order};
use std::time::Duration;

/// The owner's end of a repeating thread.
#[derive(Debug)]
pub(super) struct Ticker {
    signal: Arc<Signal>,
    /// Taken by the call that joins it. Valid after a panic: it changes by one assignment.
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
    /// Starts a thread that calls `body` every `period`, or only when asked to if the clock cannot represent
    /// `period`.
    ///
    /// # Errors
    /// The error of the operating system if it cannot create the thread.
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

    /// Makes the thread tick now. Requests are merged until one is handled.
    pub(super) fn tick(&self) {
        self.signal.ask(|asked| asked.tick = true);
    }

    /// Tells the thread to stop, without waiting for it.
    pub(super) fn ask_to_stop(&self) {
        self.signal.ask(|asked| asked.stop = true);
    }

    /// Tells the thread to stop, and waits until it has ended: a call of `body` in progress is completed.
    /// Idempotent. Of several concurrent calls one waits; a call from the thread itself does not.
    ///
    /// Steps: signal, release, join. No lock is held while it waits.
    pub(super) fn stop(&self) {
        self.ask_to_stop();
        let mut place = self.thread.lock();
        let own = place.as_ref().is_some_and(|thread| thread.thread().id() == thread::current().id());
        let thread = if own { None } else { place.take() };
        drop(place);
        if let Some(thread) = thread {
            // The thread contains panics of the code it calls; the panic hook has reported one of its own.
            let _ = thread.join();
        }
    }
}

impl Signal {
    fn ask(&self, what: impl FnOnce(&mut Asked)) {
        what(&mut self.asked.lock());
        self.changed.notify_all();
    }

    /// Waits for the next tick; returns false to stop. Woken by `tick` and `ask_to_stop`; the owner calls the
    /// latter when it is dropped.
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
    /// Asks the thread to stop, without waiting for it.
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}
