//! The settings of a registry.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use super::attach::{Attach, Attached, attach};
use super::common::{Common, Settings};
use super::id::RunId;
use super::on_disconnect::OnDisconnect;
use super::registry::{Init, Sessions};
use super::saving;
use super::store::SessionStore;
use crate::clock::{Clock, MonotonicClock};
use crate::sync::StdArc;

/// The settings of a new registry: [`Sessions::builder`].
///
/// # Examples
/// ```
/// use switchboard::sessions::{OnDisconnect, Sessions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions: Sessions<String, Vec<String>> = Sessions::builder()
///     .on_disconnect(OnDisconnect::Keep)
///     .init(|key| vec![format!("hello {key}")])
///     .build();
/// let run = sessions.try_begin(&String::from("you"))?;
/// assert_eq!(*run.read()?, ["hello you"]);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing before `build`"]
pub struct SessionsBuilder<K, D, C = ()> {
    settings: Settings<K>,
    init: Init<K, D>,
    attach: Option<Attach<K, D, C>>,
    saving: saving::Config,
    _peer: PhantomData<fn() -> C>,
}

impl<K, D, C> Sessions<K, D, C>
where
    K: Hash + Eq + Clone,
{
    /// Creates a registry in which the data of a new session is `D::default()`.
    #[must_use]
    pub fn new() -> Self
    where
        D: Default + 'static,
        K: 'static,
    {
        Self::builder().build()
    }

    /// Returns a builder, to set the clock, the policy and the data of new sessions.
    pub fn builder() -> SessionsBuilder<K, D, C>
    where
        D: Default + 'static,
        K: 'static,
    {
        SessionsBuilder::new(Box::new(|_| D::default()))
    }

    /// Returns a builder of a registry in which `init` makes the data of a new or cleared session, so `D` needs no
    /// default. As [`SessionsBuilder::init`].
    pub fn with_init(init: impl Fn(&K) -> D + Send + Sync + 'static) -> SessionsBuilder<K, D, C> {
        SessionsBuilder::new(Box::new(init))
    }
}

impl<K, D, C> Default for Sessions<K, D, C>
where
    K: Hash + Eq + Clone + 'static,
    D: Default + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<K, D, C> SessionsBuilder<K, D, C> {
    fn new(init: Init<K, D>) -> Self {
        let settings = Settings {
            clock: None,
            on_disconnect: OnDisconnect::Cancel,
            on_release: None,
            max_waiting: 1024,
            max_blank: 1024,
            max_idle: usize::MAX,
        };
        Self { settings, init, attach: None, saving: saving::Config::default(), _peer: PhantomData }
    }

    /// Sets the clock, which is asked for the ages of runs and sessions. By default that of the operating
    /// system. Timeouts always use the latter.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Some(StdArc::new(clock));
        self
    }

    /// Sets the treatment of a run whose connection ends. By default [`OnDisconnect::Cancel`].
    pub fn on_disconnect(mut self, on_disconnect: OnDisconnect) -> Self {
        self.settings.on_disconnect = on_disconnect;
        self
    }

    /// Sets the number of callers that may wait for a run of one session. By default 1,024. With zero, no one
    /// waits: each begin succeeds at once or fails.
    pub fn max_waiting(mut self, max_waiting: usize) -> Self {
        self.settings.max_waiting = max_waiting;
        self
    }

    /// Sets the number of blank sessions that are kept: those without a run, a connection and data of their own.
    /// By default 1,024; with zero, they are removed at once. At most 1,048,576, which larger numbers are taken for: the
    /// registry has a place of 16 bytes for each of them from the start.
    ///
    /// The data of such a session is that of a new one, so nothing is lost when the registry removes it: the
    /// next begin creates it again. The one that became idle first goes first.
    ///
    /// Creating a session costs about twenty times as much as beginning a run in one that exists. Set this above the
    /// number of idle sessions without data that are used again and again; connected ones are not counted.
    pub fn max_blank(mut self, max_blank: usize) -> Self {
        self.settings.max_blank = max_blank;
        self
    }

    /// Sets the number of sessions without a run and a connection that are kept, whatever their data. By default
    /// there is no limit.
    ///
    /// The creation of a session removes idle ones when there are an eighth more sessions than after the last time, in
    /// the order of [`Sessions::prune_to`], so its cost, of O(n log n), is spread over many creations. The session that
    /// is created is not among them. The data of removed sessions is dropped. Without a limit, call
    /// [`Sessions::prune`] or [`Sessions::prune_to`] now and then.
    pub fn max_idle(mut self, max_idle: usize) -> Self {
        self.settings.max_idle = max_idle;
        self
    }

    /// Sets a function that is called at the end of each run, with the key and the run, by the thread that ends
    /// it. By default there is none.
    ///
    /// It runs with nothing held: it may begin the next run of the same session. If others wait for the session,
    /// the run of the first of them has begun. A panic of it is contained, because runs end in destructors.
    ///
    /// A run that has begun for someone who waits no longer, such as a future that was dropped before it noticed, ends
    /// like every other one: the function is called for it as well.
    pub fn on_release(mut self, on_release: impl Fn(&K, RunId) + Send + Sync + 'static) -> Self {
        self.settings.on_release = Some(Box::new(on_release));
        self
    }

    /// Sets the function that makes the data of a session when it is created or cleared. By default
    /// `D::default()`.
    ///
    /// It runs with nothing held. If several threads create a session at the same time, it may run on each of
    /// them; one result is used, and the others are dropped.
    pub fn init(self, init: impl Fn(&K) -> D + Send + Sync + 'static) -> Self {
        Self { init: Box::new(init), ..self }
    }

    /// Sets the store of the sessions. By default there is none, and sessions are lost with the process.
    ///
    /// Every change of a session is saved behind the runs: see [`saving`]. [`Sessions::saver`] does it, and
    /// [`Sessions::load`] reads the store.
    pub fn store(self, store: impl SessionStore<K, D> + 'static) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        D: Send + Sync + 'static,
        C: Send + Sync + 'static,
    {
        Self { attach: Some(attach(store)), ..self }
    }

    /// Sets the delays of the saver. They have no effect without a [`store`](Self::store).
    pub fn saving(self, saving: saving::Config) -> Self {
        Self { saving, ..self }
    }

    /// Creates the registry.
    #[must_use]
    pub fn build(self) -> Sessions<K, D, C>
    where
        K: Hash + Eq + Clone,
    {
        let (saver, watch) = match self.attach {
            Some(attach) => {
                let clock = self.settings.clock.clone().unwrap_or_else(|| StdArc::new(MonotonicClock));
                let Attached { saver, watch } = attach(self.saving, clock);
                (Some(saver), Some(watch))
            }
            None => (None, None),
        };
        Sessions::from_parts(Common::new(self.settings, watch), self.init, saver)
    }
}

impl<K, D, C> fmt::Debug for SessionsBuilder<K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("clock", &self.settings.clock)
            .field("on_disconnect", &self.settings.on_disconnect)
            .field("max_waiting", &self.settings.max_waiting)
            .field("max_blank", &self.settings.max_blank)
            .field("max_idle", &self.settings.max_idle)
            .finish_non_exhaustive()
    }
}
