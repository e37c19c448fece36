//! Building a shadow.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::answer::Reply;
use super::engine::Engine;
use super::mismatch::Mismatch;
use super::operation::{Operation, Value};
use super::settings::Settings;
use super::side::Side;
use super::store::LinkStore;
use super::{Shadow, Worker};
use crate::clock::Clock;
use crate::sync::{self, Mutex, StdArc, lock_order};
use crate::ticket::ticket;

/// Builds a [`Shadow`].
#[must_use]
pub struct Builder<A, B>
where
    A: LinkStore,
    B: LinkStore<Addr = A::Addr>,
{
    pub(super) a: A,
    pub(super) b: B,
    pub(super) name: String,
    pub(super) settings: Settings<A::Addr>,
}

impl<A, B> Builder<A, B>
where
    A: LinkStore,
    B: LinkStore<Addr = A::Addr>,
{
    /// Sets the name of the worker threads, to which `-a` and `-b` are appended. Default `shadow`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the side whose answers callers get initially. Default [`Side::A`].
    pub fn serve(mut self, side: Side) -> Self {
        self.settings.serve = side;
        self
    }

    /// Sets the side whose effects the transport carries out; see [`Shadow`]. Default [`Side::A`].
    pub fn driven_by(mut self, side: Side) -> Self {
        self.settings.driven_by = side;
        self
    }

    /// Sets the number of operations that may wait for each side. Default 1,024.
    pub fn queue(mut self, operations: NonZeroUsize) -> Self {
        self.settings.queue = operations.get();
        self
    }

    /// Sets how long a caller waits for a side. Default 1 s. With `None` it waits indefinitely, without
    /// protection against a side that hangs.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.settings.deadline = deadline.into();
        self
    }

    /// Sets the number of mismatches to keep; beyond it the oldest are discarded. Default 256.
    pub fn keep(mut self, mismatches: NonZeroUsize) -> Self {
        self.settings.keep = mismatches.get();
        self
    }

    /// Sets the clock for [`Mismatch::at`] and the latencies. Default
    /// [`MonotonicClock`](crate::clock::MonotonicClock). Deadlines pass in real time.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = StdArc::new(clock);
        self
    }

    /// Sets a callback that is called with every mismatch, on the worker thread that found it. Keep it short:
    /// it blocks that worker. A panic in it is contained.
    pub fn on_mismatch(mut self, callback: impl Fn(&Mismatch<A::Addr>) + Send + Sync + 'static) -> Self {
        self.settings.sink = Some(Box::new(callback));
        self
    }

    /// Sets a rule that decides, instead of `==`, whether two answers agree; the answer of side A comes
    /// first. Use it if the old store is known to answer differently in the same situation. The rule runs
    /// where the callback of [`on_mismatch`](Self::on_mismatch) does; if it panics, the answers differ.
    pub fn compare_with(
        mut self,
        rule: impl Fn(&Operation<A::Addr>, &Reply<Value<A::Addr>>, &Reply<Value<A::Addr>>) -> bool
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.settings.agree = Some(Box::new(rule));
        self
    }

    /// Starts two named threads, one for each side.
    ///
    /// # Errors
    /// The error of the operating system if it cannot create a thread.
    pub fn spawn(self) -> std::io::Result<Shadow<A, B>> {
        let name = self.name.clone();
        let shadow = self.assemble(true);
        for (side, suffix) in Side::BOTH.into_iter().zip(["a", "b"]) {
            let (ending, ended) = ticket();
            let engine = shadow.engine.clone();
            // If the second thread cannot be created, dropping the shadow ends the first one.
            let thread = sync::spawn(format!("{name}-{suffix}"), move || {
                engine.work(side);
                drop(engine);
                ending.complete(());
            })?;
            shadow.workers.lock().push(Worker { thread, ended });
        }
        Ok(shadow)
    }

    /// Creates a shadow without threads, for tests and for embedders with one thread. Each caller performs
    /// the queued operations of both sides itself, one caller at a time, A before B.
    ///
    /// Such a shadow is deterministic, but has no protection against a side that hangs: there is no other
    /// thread to continue. A store that calls back into the shadow waits until the deadline and gets
    /// `TimedOut`.
    pub fn inline(self) -> Shadow<A, B> {
        self.assemble(false)
    }

    fn assemble(self, threads: bool) -> Shadow<A, B> {
        let (a, b) = (StdArc::new(self.a), StdArc::new(self.b));
        let stores: [StdArc<dyn LinkStore<Addr = A::Addr>>; 2] = [a.clone(), b.clone()];
        let engine = StdArc::new(Engine::new(stores, self.settings, threads));
        Shadow { a, b, engine, workers: Mutex::new(&lock_order::SHADOW_WORKERS, Vec::new()) }
    }
}

impl<A, B> fmt::Debug for Builder<A, B>
where
    A: LinkStore,
    B: LinkStore<Addr = A::Addr>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<A, B> Shadow<A, B>
where
    A: LinkStore,
    B: LinkStore<Addr = A::Addr>,
{
    /// Returns a builder of a shadow of the stores `a` and `b`.
    pub fn builder(a: A, b: B) -> Builder<A, B> {
        Builder { a, b, name: String::from("shadow"), settings: Settings::default() }
    }
}
