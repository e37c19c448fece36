//! The settings of a new pipeline.

use std::error::Error;
use std::marker::PhantomData;
use std::{fmt, io};

use super::threads::{self, CleanupThreads};
use super::{Cleanup, Settings, Shared};
use crate::SharedWriter;
use crate::cleanup::config::{Config, ConfigError};
use crate::cleanup::entry::{Entry, Event, Groups, Resources};
use crate::cleanup::hooks::Hooks;
use crate::cleanup::marks::Crossing;
use crate::cleanup::sink::EventSink;
use crate::cleanup::slots::ConnectionId;
use crate::clock::{Clock, MonotonicClock};
use crate::sync::StdArc;
use crate::sync::atomic::Ordering;

/// The settings of a new pipeline: [`Cleanup::builder`].
///
/// # Examples
/// ```
/// use switchboard::SharedWriter;
/// use switchboard::cleanup::{Cause, Cleanup, Config, Entry, Event, EventSink, Outcome};
/// use switchboard::table::shared;
///
/// #[derive(Clone)]
/// struct Peer(Vec<String>);
///
/// impl Entry for Peer {
///     type App = ();
///     type Group = String;
///
///     fn app(&self) -> &() {
///         &()
///     }
///
///     fn groups(&self, visit: &mut dyn FnMut(String)) {
///         self.0.iter().for_each(|channel| visit(channel.clone()));
///     }
/// }
///
/// struct Log;
///
/// impl EventSink<(), Event<String>> for Log {
///     fn deliver(&self, (): &(), events: &[Event<String>]) -> Vec<Outcome> {
///         events.iter().for_each(|event| println!("{}: {:?}", event.group, event.change));
///         vec![Outcome::Delivered; events.len()]
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (writer, _table) = Cleanup::<Peer>::table_builder().build();
/// let (writer, writer_thread) = SharedWriter::spawn(writer, shared::Config::new())?;
/// let (cleanup, threads) = Cleanup::<Peer>::builder()
///     .config(Config::default())
///     .max_connections(10_000)
///     .on_poison(|id| eprintln!("{id:?} was removed without its events"))
///     .spawn(writer, Log)?;
///
/// let connection = cleanup.open(Peer(vec!["room".into()]), None, ())?.wait()?;
/// let room = String::from("room");
/// assert!(cleanup.table().snapshot().index().keys(&room).eq([&connection.id()]));
/// let _ = connection.close(Cause::Lost); // as would its drop
///
/// drop(cleanup); // the last handle: the threads remove what is queued, and end
/// threads.join()?;
/// assert_eq!(writer_thread.join()?.len(), 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing before `build` or `spawn`"]
pub struct Builder<V: Entry, R: Resources = ()> {
    config: Config,
    max_connections: u32,
    clock: StdArc<dyn Clock>,
    hooks: Hooks,
    name: String,
    _types: PhantomData<fn() -> (V, R)>,
}

type Writer<V> = SharedWriter<ConnectionId, V, Groups<V>>;

impl<V: Entry, R: Resources> Cleanup<V, R> {
    /// Returns the builder of a pipeline.
    pub fn builder() -> Builder<V, R> {
        Builder {
            config: Config::default(),
            max_connections: 100_000,
            clock: StdArc::new(MonotonicClock),
            hooks: Hooks::default(),
            name: String::from("cleanup"),
            _types: PhantomData,
        }
    }
}

impl<V: Entry, R: Resources> Builder<V, R> {
    /// Sets the settings that can come from a file or from the environment.
    pub fn config(self, config: Config) -> Self {
        Self { config, ..self }
    }

    /// Sets the number of connections that there can be, with those that are closed and not removed yet. By default
    /// 100,000, and at least 1.
    pub fn max_connections(self, max_connections: u32) -> Self {
        Self { max_connections, ..self }
    }

    /// Sets the clock. By default that of the operating system, by which threads wait in any case.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: StdArc::new(clock), ..self }
    }

    /// Sets a function that is called when the queue of a worker reaches its high-water mark, and
    /// when it has fallen to its low-water mark again. It is called by a thread that closes a connection, by a worker, or
    /// by the thread that drives the writer, with no lock held, and gets the number of the worker. It must not wait for
    /// the writer. By default there is none.
    ///
    /// Two crossings of one queue come in order, unless the second happens while the first call still runs.
    pub fn on_crossing(mut self, on_crossing: impl Fn(usize, Crossing) + Send + Sync + 'static) -> Self {
        self.hooks.on_crossing = Some(Box::new(on_crossing));
        self
    }

    /// Sets a function that is called with each connection whose removal has panicked twice, so that it was removed
    /// without its own code. It is called by the thread that drives the writer, with no lock held. By default there is
    /// none.
    pub fn on_poison(mut self, on_poison: impl Fn(ConnectionId) + Send + Sync + 'static) -> Self {
        self.hooks.on_poison = Some(Box::new(on_poison));
        self
    }

    /// Sets the first part of the names of the threads. By default `cleanup`.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Creates a pipeline without threads: its callers drive it.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems, if a setting is invalid.
    pub fn build(
        self,
        writer: Writer<V>,
        sink: impl EventSink<V::App, Event<V::Group>> + 'static,
    ) -> Result<Cleanup<V, R>, ConfigError> {
        self.config.validate()?;
        Ok(Cleanup::from_shared(Shared::new(self.settings(), writer, StdArc::new(sink))))
    }

    /// Creates a pipeline, and starts its threads: one per worker, those of the sink, and one that sweeps.
    ///
    /// # Errors
    /// [`SpawnError`] if a setting is invalid or the operating system cannot create a thread, with everything that was
    /// passed. No thread is left then.
    #[allow(clippy::type_complexity)] // The two ends belong together.
    pub fn spawn<S>(
        self,
        writer: Writer<V>,
        sink: S,
    ) -> Result<(Cleanup<V, R>, CleanupThreads<V, R>), SpawnError<V, R, S>>
    where
        S: EventSink<V::App, Event<V::Group>> + 'static,
    {
        self.spawn_with(crate::sync::spawn, writer, sink)
    }

    /// Starts threads by `start`, which is [`sync::spawn`](crate::sync::spawn) except in tests.
    #[allow(clippy::type_complexity)] // As in `spawn`.
    pub(super) fn spawn_with<S>(
        self,
        start: impl Fn(String, Box<dyn FnOnce() + Send>) -> io::Result<threads::JoinHandle>,
        writer: Writer<V>,
        sink: S,
    ) -> Result<(Cleanup<V, R>, CleanupThreads<V, R>), SpawnError<V, R, S>>
    where
        S: EventSink<V::App, Event<V::Group>> + 'static,
    {
        if let Err(error) = self.config.validate() {
            return Err(SpawnError {
                kind: SpawnErrorKind::Config(error),
                parts: Box::new((self, writer, sink)),
            });
        }
        match threads::Waiting::start(start, &self.name, &self.config) {
            Err(error) => {
                let kind = SpawnErrorKind::Thread(error);
                Err(SpawnError { kind, parts: Box::new((self, writer, sink)) })
            }
            Ok(waiting) => {
                let shared = Shared::new(self.settings(), writer, StdArc::new(sink));
                // Relaxed: handed over with the pipeline itself.
                shared.has_threads.store(true, Ordering::Relaxed);
                let threads = waiting.begin(&shared);
                Ok((Cleanup::from_shared(shared), threads))
            }
        }
    }

    fn settings(self) -> Settings {
        let Self { config, max_connections, clock, hooks, .. } = self;
        Settings { config, max_connections, clock, hooks }
    }
}

impl<V: Entry, R: Resources> fmt::Debug for Builder<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("max_connections", &self.max_connections)
            .field("clock", &self.clock)
            .field("hooks", &self.hooks)
            .field("name", &self.name)
            .finish()
    }
}

/// A pipeline was not started. Contains everything that was passed.
pub struct SpawnError<V: Entry, R: Resources, S> {
    kind: SpawnErrorKind,
    parts: Box<(Builder<V, R>, Writer<V>, S)>,
}

/// The reason why a pipeline was not started.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnErrorKind {
    /// A setting is invalid.
    Config(ConfigError),
    /// The operating system cannot create a thread.
    Thread(io::Error),
}

impl<V: Entry, R: Resources, S> SpawnError<V, R, S> {
    /// Returns the reason.
    #[must_use]
    pub fn kind(&self) -> &SpawnErrorKind {
        &self.kind
    }

    /// Returns the reason, and everything that was passed.
    pub fn into_parts(self) -> (SpawnErrorKind, Builder<V, R>, Writer<V>, S) {
        let (builder, writer, sink) = *self.parts;
        (self.kind, builder, writer, sink)
    }
}

impl fmt::Display for SpawnErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "the system could not create a thread: {error}"),
        }
    }
}

impl Error for SpawnErrorKind {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Thread(error) => Some(error),
        }
    }
}

impl<V: Entry, R: Resources, S> fmt::Debug for SpawnError<V, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<V: Entry, R: Resources, S> fmt::Display for SpawnError<V, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<V: Entry, R: Resources, S> Error for SpawnError<V, R, S> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}
