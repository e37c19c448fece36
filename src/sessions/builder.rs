//! The settings of a registry.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use super::common::Common;
use super::on_disconnect::OnDisconnect;
use super::registry::{Init, Sessions};
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
    clock: StdArc<dyn Clock>,
    on_disconnect: OnDisconnect,
    init: Init<K, D>,
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
        Self {
            clock: StdArc::new(MonotonicClock),
            on_disconnect: OnDisconnect::Cancel,
            init,
            _peer: PhantomData,
        }
    }

    /// Sets the clock, which is asked for the ages of runs and sessions. By default that of the operating
    /// system. Timeouts always use the latter.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: StdArc::new(clock), ..self }
    }

    /// Sets the treatment of a run whose connection ends. By default [`OnDisconnect::Cancel`].
    pub fn on_disconnect(self, on_disconnect: OnDisconnect) -> Self {
        Self { on_disconnect, ..self }
    }

    /// Sets the function that makes the data of a session when it is created or cleared. By default
    /// `D::default()`.
    ///
    /// It runs with nothing held. If several threads create a session at the same time, it may run on each of
    /// them; one result is used, and the others are dropped.
    pub fn init(self, init: impl Fn(&K) -> D + Send + Sync + 'static) -> Self {
        Self { init: Box::new(init), ..self }
    }

    /// Creates the registry.
    #[must_use]
    pub fn build(self) -> Sessions<K, D, C>
    where
        K: Hash + Eq + Clone,
    {
        Sessions::from_parts(Common::new(self.clock, self.on_disconnect), self.init)
    }
}

impl<K, D, C> fmt::Debug for SessionsBuilder<K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("clock", &self.clock)
            .field("on_disconnect", &self.on_disconnect)
            .finish_non_exhaustive()
    }
}
