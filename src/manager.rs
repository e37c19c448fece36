//! The link manager: one writer that owns the links of a node, and everybody else who reads them.
//!
//! Data flows one way:
//!
//! ```text
//! any thread --command--> mailbox --batch--> driver --> core --> publish --> tickets --> effects --> transport
//! any thread <------------ snapshot, reader <-----------------------'
//! ```
//!
//! * `command`: what goes in, and how it ends. `handle`: who sends it.
//! * `core`: the state machine. `driver`: one turn of it.
//! * `directory`: what a version holds beside the links. `query`: reading it. `explain`: why it is so.
//! * `rules`: when something is due; by them the core acts and a snapshot explains.
//! * `persist`: taking a version out, and beginning with it again.
//! * `effect`, `outbox`: what comes out, and how it gets to the transport.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, MonotonicClock};
use crate::link::{Addr, NodeAddr, Random};
use crate::mailbox::{Priority, mailbox};
use crate::sync::{self, StdArc, thread::JoinHandle};
use crate::ticket::{Pool, Ticket, ticket};
use crate::unwind::contain;

mod command;
mod config;
mod core;
mod directory;
mod driver;
mod effect;
mod explain;
mod handle;
mod memory;
mod meters;
#[cfg(test)]
mod models;
mod outbox;
mod persist;
mod query;
mod rules;
#[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
mod tests;
mod trace;

pub use command::{Applied, Command, CommandError, CommandKind, Outcome, SendError, SendErrorKind};
pub use config::{Config, ConfigError, ConfigProblem, Settings, Timing};
pub use driver::{DrainReport, Driver};
pub use effect::{Effect, LinkCause};
pub use explain::{Explanation, Hold, Ignored, NetExplanation, NextStep, Reason, RequestHold, Step};
pub use handle::{Asked, Handle};
pub use memory::MemoryReport;
pub use meters::{Bucket, Histogram};
pub use persist::{Export, ImportError};
pub use query::{Filter, Links, LinksReader, LinksSnapshot, ManagerStats};

use self::core::Core;
use command::{Message, Shutdown};
use outbox::{Next, SharedOutbox};

/// Carries effects out: the host's side of a link manager that has its own thread.
///
/// Called on a thread of its own, one effect at a time, in order, after the version that explains the effect
/// is published. It may block, call the handle and read the links: nothing is held while it runs, and the
/// writer never waits for it. A panic is contained and counted, and the effect is answered with a failure:
/// `Resolve` with `resolve_failed`, `Dial` with `dial_failed`, `Announce` with a refusal.
pub trait Transport<A>: Send + 'static
where
    A: Addr,
{
    /// Carries one effect out, or starts to.
    fn on_effect(&mut self, effect: Effect<A>, handle: &Handle<A>);
}

impl<A: Addr, F: FnMut(Effect<A>, &Handle<A>) + Send + 'static> Transport<A> for F {
    fn on_effect(&mut self, effect: Effect<A>, handle: &Handle<A>) {
        self(effect, handle);
    }
}

/// A link manager with a writer's thread of its own.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::{Config, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr, Outcome};
///
/// let transport = |effect: Effect<NodeAddr>, handle: &Handle| {
///     if let Effect::Dial { addr, dial, .. } = effect {
///         // Connect; here the node cannot be reached.
///         let _ = handle.dial_failed(addr, dial, true);
///     }
/// };
/// let manager = LinkManager::builder(Config::default())
///     .own_addr("0001::0001::0001::0001".parse::<NodeAddr>()?)
///     .transport(transport)
///     .spawn()?;
/// let handle = manager.handle();
/// handle.add_net(NetId(1), NetConfig::new().min_links(1))?.wait()?;
/// let addr: NodeAddr = "0002::0002::0002::0002".parse()?;
/// let applied = handle.create_link(addr, NetId(1))?.wait()?;
/// assert_eq!(applied.outcome, Outcome::Created);
/// assert!(manager.links().snapshot().contains(&addr, NetId(1)));
///
/// let report = manager.shutdown(Duration::from_secs(5));
/// assert!(report.is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Ending
/// [`shutdown`](Self::shutdown) drains and joins. Dropping the manager in its place asks the writer to end,
/// without waiting for it (but up to a second for room in the critical lane, should that be full); handles
/// then return `Closed`, and the links stay readable in their last version.
pub struct LinkManager<A: Addr = NodeAddr> {
    handle: Handle<A>,
    links: Links<A>,
    outbox: StdArc<SharedOutbox<A>>,
    writer: Option<JoinHandle<()>>,
    effects: Option<(JoinHandle<()>, Ticket<()>)>,
}

impl<A: Addr> LinkManager<A> {
    /// Begins to build a manager.
    pub fn builder(config: Config) -> Builder<A> {
        let clock = StdArc::new(MonotonicClock);
        Builder { config, own: None, transport: None, clock, random: Random::default(), import: None }
    }

    /// The read side.
    #[must_use]
    pub fn links(&self) -> Links<A> {
        self.links.clone()
    }

    /// The write side.
    #[must_use]
    pub fn handle(&self) -> Handle<A> {
        self.handle.clone()
    }

    /// Ends the manager.
    ///
    /// 1. New commands are refused with `Closed`.
    /// 2. Accepted commands are applied; those left when `timeout` has passed end with `Closed`.
    /// 3. All links are closed, and the empty table is published.
    /// 4. The writer's thread is joined.
    /// 5. The effects that still wait go to the transport; its thread is joined.
    ///
    /// Waits up to `timeout` for all of it, and up to a second more only where the critical lane has had no
    /// room for the order until then. A thread that is stuck in a callback of the host by then is left
    /// behind, and the report says so.
    ///
    /// A callback of the transport or of a ticket that calls this does not wait for the thread that it runs on:
    /// that thread ends when the callback returns, and the report says that it was not joined. On the writer's
    /// thread it waits for nothing at all.
    #[allow(clippy::must_use_candidate)] // The report may be of no interest; the end is the point.
    pub fn shutdown(mut self, timeout: Duration) -> ShutdownReport {
        let deadline = sync::deadline_after(timeout);
        let left = || deadline.map_or(timeout, sync::time_left);
        let (completion, drained) = ticket();
        let order = Message::Shutdown(Shutdown { deadline, completion });
        let mut report = ShutdownReport::default();
        let on_writer = self.writer.as_ref().is_some_and(is_current);
        if self.handle.send_shutdown(order, timeout) {
            // The order is on its way: dropping this manager must not send another one, without a deadline.
            let writer = self.writer.take();
            if !on_writer && let Ok(Ok(drain)) = drained.wait_timeout(left()) {
                report.drain = Some(drain);
                report.writer_joined = writer.is_some_and(|writer| writer.join().is_ok());
            }
        }
        // The transport's thread ends after the writer.
        if !on_writer
            && let Some((thread, ended)) = self.effects.take()
            && !is_current(&thread)
            && matches!(ended.wait_timeout(left()), Ok(Ok(())))
        {
            report.transport_joined = thread.join().is_ok();
        }
        report.undelivered = self.outbox.len();
        report.transport_panics = self.outbox.panics();
        report
    }
}

/// Whether this is the thread that runs: it cannot wait for itself.
fn is_current(thread: &JoinHandle<()>) -> bool {
    thread.thread().id() == sync::thread::current().id()
}

impl<A: Addr> Drop for LinkManager<A> {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let (completion, _) = ticket();
            let order = Message::Shutdown(Shutdown { deadline: None, completion });
            // The lane is emptied by a writer that never waits: a second is for ever.
            let _ = self.handle.send_shutdown(order, Duration::from_secs(1));
        }
    }
}

impl<A: Addr> fmt::Debug for LinkManager<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkManager").field("links", &self.links).finish_non_exhaustive()
    }
}

/// What [`LinkManager::shutdown`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// What the writer did on its way out. `None`: it did not answer in time, or had ended before.
    pub drain: Option<DrainReport>,
    /// The writer's thread has ended.
    pub writer_joined: bool,
    /// The transport's thread has ended.
    pub transport_joined: bool,
    /// Effects that the transport did not take in time.
    pub undelivered: usize,
    /// Panics of the transport that were contained.
    pub transport_panics: u64,
}

impl ShutdownReport {
    /// Whether every accepted command was applied, every effect delivered and every thread joined.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let drained = self.drain.is_some_and(|drain| drain.refused == 0);
        drained && self.writer_joined && self.transport_joined && self.undelivered == 0
    }
}

/// Builds a [`LinkManager`] or a [`Driver`].
#[must_use]
pub struct Builder<A: Addr> {
    config: Config,
    own: Option<A>,
    transport: Option<Box<dyn Transport<A>>>,
    clock: StdArc<dyn Clock>,
    random: Random,
    /// With the time on the wall clock. Checked.
    import: Option<(Export<A>, SystemTime)>,
}

impl<A: Addr> Builder<A> {
    /// The address of this node: links to it are refused.
    pub fn own_addr(mut self, addr: A) -> Self {
        self.own = Some(addr);
        self
    }

    /// What carries the effects out. Needed by [`spawn`](Self::spawn); a [`Driver`] hands its effects to the
    /// embedder instead.
    pub fn transport(mut self, transport: impl Transport<A>) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// Where time comes from. Default [`MonotonicClock`].
    ///
    /// A writer's thread waits in real time: with a clock that stands still, it acts when a command arrives.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = StdArc::new(clock);
        self
    }

    /// Where the retry policy takes chance from: 64 random bits for each call. By default a small generator,
    /// seeded by the operating system; with a generator that has a seed of your own, runs can be repeated.
    ///
    /// Called on the writer's thread inside a command: it must be quick. A panic in it is contained.
    pub fn random(mut self, source: impl FnMut() -> u64 + Send + Sync + 'static) -> Self {
        self.random = Random::new(source);
        self
    }

    /// A manager without threads, for the embedder to drive.
    ///
    /// # Errors
    /// [`ConfigError`] lists the settings that cannot work.
    pub fn build(self) -> Result<Driver<A>, ConfigError> {
        self.driver(false)
    }

    /// A manager with two named threads: the writer's, and the one that calls the transport.
    ///
    /// # Errors
    /// [`SpawnError`]: a setting cannot work, there is no transport, or the system refused a thread.
    pub fn spawn(mut self) -> Result<LinkManager<A>, SpawnError> {
        let transport = self.transport.take().ok_or(SpawnError::NoTransport)?;
        let (clock, name) = (self.clock.clone(), self.config.name.clone());
        let resume_below = self.config.outbox;
        let driver = self.driver(true).map_err(SpawnError::Config)?;
        let (handle, links, outbox) = (driver.handle(), driver.links(), driver.outbox());

        let (ended, ticket) = ticket();
        let courier = Courier { transport, handle: handle.clone(), outbox: outbox.clone(), resume_below };
        // If the second thread cannot be made, the driver is dropped with its closure, which ends the first
        // one.
        let effects = sync::spawn(format!("{name}-effects"), move || {
            courier.run();
            let _ = ended.complete(());
        })
        .map_err(SpawnError::Thread)?;
        let writer = sync::spawn(name, move || write(driver, &*clock)).map_err(SpawnError::Thread)?;
        Ok(LinkManager { handle, links, outbox, writer: Some(writer), effects: Some((effects, ticket)) })
    }

    fn driver(self, may_wait: bool) -> Result<Driver<A>, ConfigError> {
        self.config.validate()?;
        // What a transport reports travels above the low lane, and must not be lost.
        let (sender, receiver) = mailbox(self.config.capacities.shed_from(Priority::Low));
        let policy = self.config.capacities.policy();
        let tickets = Pool::new(self.config.tickets());
        let handle = Handle::new(sender, self.clock.clone(), tickets, may_wait, policy);
        let now = self.clock.now();
        let (mut core, table) = Core::new(self.config.clone(), self.own, now);
        core.set_random(self.random);
        if let Some((export, wall)) = self.import {
            core.restore(export, wall, now);
        }
        let links = Links::new(table, self.config.timing);
        Ok(Driver::new(core, self.config, receiver, handle, links))
    }
}

impl<A: Addr> fmt::Debug for Builder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// Why a manager could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnError {
    /// Settings that cannot work.
    Config(ConfigError),
    /// Nothing would carry the effects out: give the builder a transport, or build a [`Driver`].
    NoTransport,
    /// The system refused a thread.
    Thread(std::io::Error),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::NoTransport => f.write_str("no transport: give the builder one, or build a driver"),
            Self::Thread(error) => write!(f, "the system refused a thread: {error}"),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::NoTransport => None,
            Self::Thread(error) => Some(error),
        }
    }
}

/// The writer's thread: turns until it is told to end.
///
/// It waits for commands only: woken by every send, by the shutdown order, and by the courier when a
/// congested outbox has drained.
fn write<A: Addr>(mut driver: Driver<A>, clock: &dyn Clock) {
    loop {
        let now = clock.now();
        let next = driver.run_once(now);
        if let Some(order) = driver.take_shutdown() {
            let report = driver.close(clock.now(), order.deadline);
            driver.outbox().end(order.deadline);
            // Everything that handles and tickets can see is done before the order is. Unwind safety: what a
            // destructor of the host's (a source of chance, say) leaves is not looked at again.
            let _ = contain(AssertUnwindSafe(|| drop(driver)));
            let _ = order.completion.complete(report);
            return;
        }
        let Some(next) = next else { return };
        if next > now {
            driver.park(next - now);
        }
    }
}

/// The transport's thread: carries effects from the outbox to the transport.
struct Courier<A: Addr> {
    transport: Box<dyn Transport<A>>,
    handle: Handle<A>,
    outbox: StdArc<SharedOutbox<A>>,
    /// The writer is woken when the outbox falls below this.
    resume_below: usize,
}

impl<A: Addr> Courier<A> {
    fn run(mut self) {
        while let Next::Effect { effect, left } = self.outbox.next() {
            // Exactly once on the way down: what makes the outbox longer again is the writer, which looks
            // for itself.
            if left + 1 == self.resume_below {
                self.handle.wake_writer();
            }
            self.deliver(effect);
            if self.outbox.deadline().is_some_and(|deadline| sync::time_left(deadline).is_zero()) {
                break;
            }
        }
        let Self { transport, outbox, .. } = self;
        // Whoever waits for this thread hears of its end, also when the destructor panics.
        if contain(AssertUnwindSafe(|| drop(transport))).is_none() {
            outbox.count_panic();
        }
    }

    fn deliver(&mut self, effect: Effect<A>) {
        trace::delivered(&effect);
        let failure = failure(&effect);
        let Self { transport, handle, .. } = self;
        if contain(AssertUnwindSafe(|| transport.on_effect(effect, handle))).is_some() {
            return;
        }
        self.outbox.count_panic();
        trace::transport_panicked();
        if let Some(command) = failure {
            // Refused only by a manager that has ended, which needs no answer.
            let _ = self.handle.submit(command);
        }
    }
}

/// The answer to an effect that nobody carried out.
fn failure<A: Addr>(effect: &Effect<A>) -> Option<Command<A>> {
    match effect {
        Effect::Resolve { addr, resolve } => {
            Some(Command::ResolveFailed { addr: addr.clone(), resolve: *resolve })
        }
        Effect::Dial { addr, dial, .. } => {
            Some(Command::DialFailed { addr: addr.clone(), dial: *dial, last: true })
        }
        Effect::Announce { addr, net, stream } => {
            Some(Command::AccountLink { net: *net, addr: addr.clone(), stream: *stream, accepted: false })
        }
        _ => None,
    }
}
