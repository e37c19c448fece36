//! The threads of a pipeline.
//!
//! | thread | does | waits for |
//! |---|---|---|
//! | one per worker | batches | tasks; room in the queue of the writer |
//! | those of the sink | events: the ends of graces, deliveries, retries | events that are due |
//! | one | sweeps | the time between two sweeps |
//!
//! Each wait ends when the pipeline is stopped. User code that panics in a step of a thread ends
//! the step, not the thread.

use std::panic::AssertUnwindSafe;
use std::time::Duration;
use std::{fmt, io};

use super::Shared;
use super::run::{Landing, Progress};
use crate::cleanup::config::Config;
use crate::cleanup::entry::{Entry, Resources};
use crate::mailbox::ReserveTimeoutError;
use crate::sync::{StdArc, StdWeak, deadline_after, thread};
use crate::ticket::{Completion, Ticket, ticket};
use crate::unwind::contain;

pub(super) type JoinHandle = thread::JoinHandle<()>;

/// The time for which a worker waits for room before it looks whether it is to end.
const ROOM_PAUSE: Duration = Duration::from_millis(100);

/// The time between two calls of a sweep that has found more than one batch.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// Number of such pauses without room after which a worker of a stopped pipeline gives up.
const LAST_PAUSES: u32 = 10;

/// The shortest and the longest pause of a thread whose steps panic again and again.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// The threads of a pipeline: [`Builder::spawn`](crate::cleanup::Builder::spawn).
///
/// They end once the last handle of the pipeline is dropped, or after a [`close`](Self::close). Dropping this value
/// detaches them, and never waits.
#[must_use = "dropping it detaches the threads"]
pub struct CleanupThreads<V: Entry, R: Resources = ()> {
    shared: StdWeak<Shared<V, R>>,
    threads: Vec<Running>,
}

/// A thread, until it is joined.
struct Running {
    thread: JoinHandle,
    end: Option<Ticket<()>>,
}

/// The task of one thread.
#[derive(Clone, Copy, Debug)]
enum Role {
    Worker(usize),
    Sink,
    Sweep,
}

/// Threads that were started, and wait for their pipeline. If this is dropped, they end.
pub(super) struct Waiting<V: Entry, R: Resources> {
    hand_over: Vec<Completion<StdArc<Shared<V, R>>>>,
    threads: Vec<Running>,
}

impl<V: Entry, R: Resources> Waiting<V, R> {
    /// Starts all threads, or none.
    pub(super) fn start(
        start: impl Fn(String, Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle>,
        name: &str,
        config: &Config,
    ) -> io::Result<Self> {
        let workers = config.workers.count(crate::sync::processors());
        let workers = (0..workers).map(|worker| (format!("{name}-{worker}"), Role::Worker(worker)));
        let sinks = (0..config.sink_threads).map(|sink| (format!("{name}-sink-{sink}"), Role::Sink));
        let sweep = [(format!("{name}-sweep"), Role::Sweep)];
        let mut all = Self { hand_over: Vec::new(), threads: Vec::new() };
        for (name, role) in workers.chain(sinks).chain(sweep) {
            if let Err(error) = all.start_one(&start, name, role) {
                all.give_up();
                return Err(error);
            }
        }
        Ok(all)
    }

    fn start_one(
        &mut self,
        start: &impl Fn(String, Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle>,
        name: String,
        role: Role,
    ) -> io::Result<()> {
        let (hand_over, handed) = ticket::<StdArc<Shared<V, R>>>();
        let (ended, end) = ticket::<()>();
        let body = move || {
            if let Ok(shared) = handed.wait() {
                run(&shared, role);
                // Unwind safety: nothing of it remains. The last owner may be this thread.
                let _ = contain(AssertUnwindSafe(|| drop(shared)));
            }
            let _ = ended.complete(());
        };
        let thread = start(name, Box::new(body))?;
        self.hand_over.push(hand_over);
        self.threads.push(Running { thread, end: Some(end) });
        Ok(())
    }

    /// Gives the threads their pipeline.
    pub(super) fn begin(self, shared: &StdArc<Shared<V, R>>) -> CleanupThreads<V, R> {
        for hand_over in self.hand_over {
            let _ = hand_over.complete(shared.clone());
        }
        CleanupThreads { shared: StdArc::downgrade(shared), threads: self.threads }
    }

    /// Ends and joins the threads that were started.
    fn give_up(self) {
        drop(self.hand_over);
        for running in self.threads {
            let _ = running.thread.join(); // It has no user code to panic in.
        }
    }
}

fn run<V: Entry, R: Resources>(shared: &StdArc<Shared<V, R>>, role: Role) {
    let mut pause = RESTART_PAUSE.0;
    loop {
        // Unwind safety: a step that panics has done all of each part of its work, or none; a connection that it had in
        // hand is found by the sweep.
        let stepped = contain(AssertUnwindSafe(|| match role {
            Role::Worker(worker) => work(shared, worker),
            Role::Sink => serve(shared),
            Role::Sweep => sweep(shared),
        }));
        match stepped {
            Some(Step::More) => pause = RESTART_PAUSE.0,
            Some(Step::End) => return,
            None => {
                shared.note_restart(role);
                if shared.is_stopped() && pause >= RESTART_PAUSE.1 {
                    return;
                }
                crate::sync::sleep(pause);
                pause = (pause * 2).min(RESTART_PAUSE.1);
            }
        }
    }
}

enum Step {
    More,
    End,
}

fn work<V: Entry, R: Resources>(shared: &StdArc<Shared<V, R>>, worker: usize) -> Step {
    let deadline = match Shared::run_batch(shared, worker, Landing::Chain) {
        Progress::Cleaned(_) => return Step::More,
        Progress::Ended => return Step::End,
        Progress::Busy => return shared.wait_for_room(),
        Progress::Idle | Progress::Waiting => None,
        Progress::WaitUntil(due) => {
            // On the real clock, by which threads wait.
            deadline_after(due.saturating_duration_since(shared.clock.now()))
        }
    };
    if let Some(worker) = shared.sender.workers().get(worker) {
        worker.park(deadline);
    }
    Step::More
}

fn serve<V: Entry, R: Resources>(shared: &Shared<V, R>) -> Step {
    if shared.is_stopped() {
        shared.give_up_events();
        return Step::End;
    }
    if !shared.run_sink() {
        shared.wait_for_events();
    }
    Step::More
}

fn sweep<V: Entry, R: Resources>(shared: &StdArc<Shared<V, R>>) -> Step {
    // Without a deadline: never, which a valid interval is not.
    shared.wait_to_sweep(shared.config.sweep_every);
    while !shared.is_stopped() {
        if Shared::sweep(shared) <= shared.config.batch_max {
            return Step::More;
        }
        // There is more, which others need not wait for.
        shared.wait_to_sweep(SWEEP_PAUSE.min(shared.config.sweep_every));
    }
    Step::End
}

impl<V: Entry, R: Resources> Shared<V, R> {
    /// Waits until there is room in the queue of the writer, or for a while. Woken by the writer.
    fn wait_for_room(&self) -> Step {
        for _ in 0..LAST_PAUSES {
            match self.writer.reserve_large(ROOM_PAUSE) {
                Ok(_) => return Step::More,
                Err(ReserveTimeoutError::Closed) => return Step::End,
                // What is left then, no one can remove any more.
                Err(_) if self.is_stopped() => {}
                Err(_) => return Step::More,
            }
        }
        Step::End
    }

    /// Waits for this time, or until the pipeline is stopped.
    fn wait_to_sweep(&self, time: Duration) {
        // Without a deadline: never, which a valid interval is not.
        let Some(deadline) = deadline_after(time) else { return };
        let mut pause = self.pause.lock();
        let mut is_over = false;
        while !is_over && !self.is_stopped() {
            // Woken by `stop`.
            (pause, is_over) = self.end_of_pause.wait_until(pause, deadline);
        }
    }

    /// Waits until there is something to fire or to deliver. Woken by `settle` and by `stop`.
    fn wait_for_events(&self) {
        let now = self.now();
        let events = self.events.lock();
        if self.is_stopped() {
            return;
        }
        // On the real clock, by which threads wait.
        match events.next_due(now) {
            Some(due) if due <= now => {}
            Some(due) => {
                if let Some(deadline) = deadline_after(due.since(now)) {
                    drop(self.new_events.wait_until(events, deadline));
                }
            }
            None => drop(self.new_events.wait(events)),
        }
    }

    /// Counts a step of a thread that has panicked.
    fn note_restart(&self, role: Role) {
        self.counters.worker_restarts.add(1);
        let Role::Worker(worker) = role else { return };
        // As a queue that refuses: a worker that panics again and again is better left alone.
        // Unwind safety: the clock, of which nothing remains.
        let now = contain(AssertUnwindSafe(|| self.now()));
        if let Some((pass, now)) = now.and_then(|now| Some((self.breakers[worker].enter(now)?, now))) {
            pass.fail(now, self.random());
        }
    }
}

/// The reason why threads were not joined. `T` is the [`CleanupThreads`].
#[non_exhaustive]
pub enum JoinError<T> {
    /// They have not ended within the timeout.
    Timeout(T),
    /// The call was made on one of them.
    OwnThread(T),
}

impl<T> JoinError<T> {
    /// Returns the threads, to wait for them again.
    #[must_use]
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(threads) | Self::OwnThread(threads) => threads,
        }
    }

    /// Returns whether this is [`JoinError::Timeout`].
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }
}

impl<V: Entry, R: Resources> CleanupThreads<V, R> {
    /// Ends the pipeline without a [drain](crate::cleanup): no connection is opened or queued any
    /// more, the workers hand out what is queued, and the threads end. Does not wait.
    ///
    /// Events that are not delivered become dead letters. Connections stay in the table.
    pub fn close(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.stop();
        }
    }

    /// Returns the number of threads.
    #[must_use]
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Returns whether there are no threads; there always are some.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// Returns whether all threads have ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(|running| running.end.as_ref().is_none_or(Ticket::is_complete))
    }

    /// Waits, as a task, for the end of all threads; after that, [`join`](Self::join) does not wait.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: it can be awaited again.
    pub async fn finished(&mut self) {
        for running in &mut self.threads {
            if let Some(end) = &mut running.end {
                let _ = end.await;
                running.end = None;
            }
        }
    }

    /// Waits for the end of all threads, without a bound. To end them, drop all handles or [`close`](Self::close).
    ///
    /// # Errors
    /// [`JoinError::OwnThread`] in user code that runs on one of them.
    pub fn join(self) -> Result<(), JoinError<Self>> {
        self.join_timeout(Duration::MAX)
    }

    /// Waits for the end of all threads, for up to `timeout`.
    ///
    /// A sink that never returns keeps its thread: after a timeout, dropping the value detaches it.
    ///
    /// # Errors
    /// [`JoinError::Timeout`] and [`JoinError::OwnThread`], with this value.
    pub fn join_timeout(mut self, timeout: Duration) -> Result<(), JoinError<Self>> {
        let own = thread::current().id();
        if self.threads.iter().any(|running| running.thread.thread().id() == own) {
            return Err(JoinError::OwnThread(self));
        }
        let deadline = deadline_after(timeout);
        let left = || deadline.map_or(Duration::MAX, crate::sync::time_left);
        for running in &mut self.threads {
            let Some(end) = running.end.take() else { continue };
            if let Err(pending) = end.wait_timeout(left()) {
                running.end = Some(pending.into_ticket());
                return Err(JoinError::Timeout(self));
            }
        }
        for running in self.threads {
            // It has nothing left to do but to end.
            let _ = running.thread.join();
        }
        Ok(())
    }

    /// [Closes](Self::close) the pipeline and joins its threads.
    ///
    /// # Errors
    /// As [`join_timeout`](Self::join_timeout).
    pub fn shutdown(self, timeout: Duration) -> Result<(), JoinError<Self>> {
        self.close();
        self.join_timeout(timeout)
    }
}

impl<V: Entry, R: Resources> fmt::Debug for CleanupThreads<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CleanupThreads")
            .field("len", &self.len())
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for JoinError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_timeout() { "Timeout" } else { "OwnThread" })
    }
}

impl<T> fmt::Display for JoinError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout(_) => "timed out waiting for the threads of the pipeline",
            Self::OwnThread(_) => "a thread of the pipeline cannot wait for itself",
        })
    }
}

impl<T> std::error::Error for JoinError<T> {}
