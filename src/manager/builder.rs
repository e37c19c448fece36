//! Building a manager: with threads of its own, or to be driven by the embedder.

use std::fmt;
use std::time::SystemTime;

use super::core::Core;
use super::model::config::Config;
use super::model::export::Export;
use super::read::snapshot::Links;
use super::run::driver::{Driver, write};
use super::run::handle::Handle;
use super::run::meters::Meters;
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
    /// Begins to build a manager.
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
    /// With the time on the wall clock. Checked.
    import: Option<(Export<A>, SystemTime)>,
}

impl<A: Addr> LinkManagerBuilder<A> {
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
        let worker =
            TransportWorker { transport, handle: handle.clone(), outbox: outbox.clone(), resume_below };
        // If the second thread cannot be made, the driver is dropped with its closure, which ends the first
        // one.
        let effects = sync::spawn(format!("{name}-effects"), move || {
            worker.run();
            let _ = ended.complete(());
        })
        .map_err(SpawnError::Thread)?;
        let writer = sync::spawn(name, move || write(driver, &*clock)).map_err(SpawnError::Thread)?;
        Ok(LinkManager { handle, links, outbox, writer: Some(writer), effects: Some((effects, ticket)) })
    }

    fn driver(self, may_wait: bool) -> Result<Driver<A>, ConfigError> {
        self.config.validate()?;
        // What a transport reports travels above the low lane, and must not be lost.
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
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl<A: Addr> LinkManagerBuilder<A> {
    /// Begins with what a manager remembered. `wall` is the time on the wall clock when the manager is built;
    /// a wall clock that was set back or forth in the meantime makes nothing wait longer than the retry policy
    /// and the ignore period allow.
    ///
    /// Ignored addresses beyond [`Config::max_ignored`](crate::Config::max_ignored) are left out, the ones that expire
    /// first; so is what concerns [the own address](Self::own_addr): that this node has a role is remembered
    /// without its address. Endpoints are asked for anew before they
    /// are dialled, and used if the host answers that it knows no better.
    ///
    /// The first version of the manager contains all of it. A second import replaces the first. O(export).
    ///
    /// # Errors
    /// [`ImportError`]: the export is malformed, or does not fit the configuration. Nothing is imported.
    /// [`Export::check`] tells beforehand, and keeps the builder.
    pub fn import(mut self, export: Export<A>, wall: SystemTime) -> Result<Self, ImportError> {
        export.check(&self.config)?;
        self.import = Some((export, wall));
        Ok(self)
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
