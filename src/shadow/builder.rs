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
    /// The workers are called so, with `-a` and `-b` behind it. Default `shadow`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Whose answers the callers get at first. Default [`Side::A`].
    pub fn serve(mut self, side: Side) -> Self {
        self.settings.serve = side;
        self
    }

    /// Whose effects the transport carries out; see [`Shadow`]. Default [`Side::A`].
    pub fn driven_by(mut self, side: Side) -> Self {
        self.settings.driven_by = side;
        self
    }

    /// Operations that may wait for each side. Default 1,024.
    pub fn queue(mut self, operations: NonZeroUsize) -> Self {
        self.settings.queue = operations.get();
        self
    }

    /// How long a caller waits for a side. Default 1 s; `None` waits for ever, which gives up the protection
    /// against a side that hangs.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.settings.deadline = deadline.into();
        self
    }

    /// Mismatches that are kept: beyond it the oldest ones go. Default 256.
    pub fn keep(mut self, mismatches: NonZeroUsize) -> Self {
        self.settings.keep = mismatches.get();
        self
    }

    /// Where [`Mismatch::at`] and the latencies come from. Default
    /// [`MonotonicClock`](crate::clock::MonotonicClock). Deadlines pass in real time.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = StdArc::new(clock);
        self
    }

    /// Has `callback` called with every mismatch, on the worker's thread that found it. It should be short:
    /// the worker does nothing else meanwhile. A panic in it is contained.
    pub fn on_mismatch(mut self, callback: impl Fn(&Mismatch<A::Addr>) + Send + Sync + 'static) -> Self {
        self.settings.sink = Some(Box::new(callback));
        self
    }

    /// Has `rule` decide in place of `==` whether two answers agree, the one of side A first: where the old
    /// store is known to say something else for the same. Called as the callback of
    /// [`on_mismatch`](Self::on_mismatch); if it panics, the answers differ.
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
    /// The system refused a thread.
    pub fn spawn(self) -> std::io::Result<Shadow<A, B>> {
        let name = self.name.clone();
        let shadow = self.assemble(true);
        for (side, suffix) in Side::BOTH.into_iter().zip(["a", "b"]) {
            let (ending, ended) = ticket();
            let engine = shadow.engine.clone();
            // If the second thread cannot be made, dropping the shadow ends the first one.
            let thread = sync::spawn(format!("{name}-{suffix}"), move || {
                engine.work(side);
                drop(engine);
                ending.complete(());
            })?;
            shadow.workers.lock().push(Worker { thread, ended });
        }
        Ok(shadow)
    }

    /// A shadow without threads: each caller performs what is queued on both sides itself, one caller at a
    /// time, A before B. For tests, and for embedders with one thread.
    ///
    /// Deterministic, and without protection against a side that hangs: there is nobody else to go on. A
    /// store that calls the shadow back waits until the deadline and gets `TimedOut`.
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
    /// Begins to put two stores side by side.
    pub fn builder(a: A, b: B) -> Builder<A, B> {
        Builder { a, b, name: String::from("shadow"), settings: Settings::default() }
    }
}
