//! The builder of a manager, with its own threads or driven by the embedder.

use std::fmt;
use std::time::SystemTime;

use super::core::Core;
use super::model::config::Config;
use super::model::export::Export;
use super::read::snapshot::Links;
use super::run::driver::{Driver, write};
use super::run::handle::Handle;
use super::run::meters::Meters;
use super::run::request::Request;
use super::run::transport_worker::{Transport, TransportWorker};
use crate::clock::{Clock, MonotonicClock};
use crate::link::addr::Addr;
use crate::mailbox::{Priority, mailbox};
use crate::manager::link_manager::LinkManager;
use crate::manager::model::config::problem::ConfigError;
use crate::manager::model::export::check::ImportError;
use crate::sync::{self, StdArc};
use crate::ticket::{Pool, ticket};
use crate::util::random::Random;

impl<A: Addr> LinkManager<A> {
    /// Returns a builder with this configuration.
    pub fn builder(config: Config) -> LinkManagerBuilder<A> {
        let clock = StdArc::new(MonotonicClock);
        LinkManagerBuilder {
            config,
            own: None,
            transport: None,
            clock,
            random: Random::default(),
            import: None,
        }
    }
}

/// Builds a [`LinkManager`] or a [`Driver`].
#[must_use]
pub struct LinkManagerBuilder<A: Addr> {
    config: Config,
    own: Option<A>,
    transport: Option<Box<dyn Transport<A>>>,
    clock: StdArc<dyn Clock>,
    random: Random,
    /// The checked export, with the time on the wall clock.
    import: Option<(Export<A>, SystemTime)>,
}

impl<A: Addr> LinkManagerBuilder<A> {
    /// Sets the address of this node. Links to it are refused.
    pub fn own_addr(mut self, addr: A) -> Self {
        self.own = Some(addr);
        self
    }

    /// Sets the transport, which carries out the effects. Required by [`spawn`](Self::spawn); a [`Driver`]
    /// hands its effects to the embedder instead.
    pub fn transport(mut self, transport: impl Transport<A>) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// Sets the clock. Default [`MonotonicClock`].
    ///
    /// The writer's thread waits in real time: with a clock that stands still, it acts only when a command
    /// arrives.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = StdArc::new(clock);
        self
    }

    /// Sets the source of randomness for the retry policy: a function that returns 64 random bits per call.
    /// The default is a small generator seeded by the operating system; a generator with a fixed seed makes
    /// runs repeatable.
    ///
    /// The source is called on the writer's thread inside a command, and must be quick. A panic in it is
    /// contained.
    pub fn random(mut self, source: impl FnMut() -> u64 + Send + Sync + 'static) -> Self {
        self.random = Random::new(source);
        self
    }

    /// Builds a manager without threads, which the embedder drives.
    ///
    /// # Errors
    /// [`ConfigError`] lists the invalid settings.
    pub fn build(self) -> Result<Driver<A>, ConfigError> {
        self.driver(false)
    }

    /// Starts a manager with two named threads: the writer's, and the one that calls the transport.
    ///
    /// # Errors
    /// [`SpawnError`] if a setting is invalid, there is no transport, or the system could not create a
    /// thread.
    pub fn spawn(mut self) -> Result<LinkManager<A>, SpawnError> {
        let transport = self.transport.take().ok_or(SpawnError::NoTransport)?;
        let (clock, name) = (self.clock.clone(), self.config.name.clone());
        let resume_below = self.config.outbox;
        let driver = self.driver(true).map_err(SpawnError::Config)?;
        let (handle, links, outbox) = (driver.handle(), driver.links(), driver.outbox());

        let (ended, ticket) = ticket();
        let worker =
            TransportWorker { transport, handle: handle.clone(), outbox: outbox.clone(), resume_below };
        // If the second thread cannot be created, the driver is dropped with its closure, which ends the
        // first thread.
        let effects = sync::spawn(format!("{name}-effects"), move || {
            worker.run();
            let _ = ended.complete(());
        })
        .map_err(SpawnError::Thread)?;
        let request = StdArc::new(Request::new());
        let taken = request.clone();
        let writer = sync::spawn(name, move || write(driver, &*clock, &taken)).map_err(SpawnError::Thread)?;
        let (writer, effects) = (Some(writer), Some((effects, ticket)));
        Ok(LinkManager { handle, links, outbox, request, writer, effects })
    }

    fn driver(self, may_wait: bool) -> Result<Driver<A>, ConfigError> {
        self.config.validate()?;
        // Reports of a transport travel above the low lane, and must not be lost.
        let (sender, receiver) = mailbox(self.config.mailbox.shed_from(Priority::Low));
        let policy = self.config.mailbox.policy();
        let tickets = Pool::new(self.config.tickets());
        let meters = StdArc::new(Meters::new());
        let handle = Handle::new(sender, self.clock.clone(), tickets, meters.clone(), may_wait, policy);
        let now = self.clock.now();
        let (mut core, table) = Core::new(self.config.clone(), self.own, now);
        core.set_random(self.random);
        if let Some((export, wall)) = self.import {
            core.restore(export, wall, now);
        }
        let links = Links::new(table, self.config.timing);
        Ok(Driver::new(core, self.config, self.clock, meters, receiver, handle, links))
    }
}

impl<A: Addr> fmt::Debug for LinkManagerBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkManagerBuilder")
            .field("config", &self.config)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl<A: Addr> LinkManagerBuilder<A> {
    /// Starts from an exported state. `wall` is the time on the wall clock when the manager is built. If the
    /// wall clock was adjusted in the meantime, no link or ignored address waits longer than the settings in
    /// force allow.
    ///
    /// Ignored addresses beyond [`Config::max_ignored`](crate::Config::max_ignored) are left out, starting
    /// with those that expire first. Entries about [the address of this node](Self::own_addr) are also left
    /// out; the roles of this node are exported without its address. Endpoints are resolved again before they
    /// are dialled; if the resolution fails, the imported endpoint is used.
    ///
    /// The first version of the manager contains the whole import. A second import replaces the first.
    /// O(export).
    ///
    /// # Errors
    /// [`ImportError`] if the export is malformed, or does not fit the configuration. Nothing is imported.
    /// [`Export::check`] detects this beforehand, without consuming the builder.
    pub fn import(mut self, export: Export<A>, wall: SystemTime) -> Result<Self, ImportError> {
        export.check(&self.config)?;
        self.import = Some((export, wall));
        Ok(self)
    }
}

/// The reason why a manager could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnError {
    /// A setting is invalid.
    Config(ConfigError),
    /// There is no transport to carry out the effects: set one on the builder, or build a [`Driver`].
    NoTransport,
    /// The system could not create a thread.
    Thread(std::io::Error),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::NoTransport => f.write_str("no transport: set one on the builder, or build a driver"),
            Self::Thread(error) => write!(f, "the system could not create a thread: {error}"),
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
