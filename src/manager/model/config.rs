//! The configuration of a link manager.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::link::retry::RetryPolicy;
use crate::link::{AddressPolicy, FlapPolicy};
use crate::mailbox::{self, Priority};

pub(crate) mod problem;
pub(crate) mod settings;

use problem::ConfigError;
use problem::Problem;
use settings::Settings;

/// The timing of the actions that the manager takes on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Timing {
    /// A link is dialled as soon as it becomes dialable, a net that is short of links requests candidates at
    /// once (and then once per tick), and an associated net is announced on the primary stream, even if the
    /// peer opened it. The default.
    #[default]
    Immediate,
    /// Every action waits for a tick, and ticks alternate between requesting candidates and waking up links.
    /// With a tick of 5 s, each of the two phases runs every 10 s. A time limit has passed only strictly
    /// after its instant.
    Ticked,
}

impl Timing {
    /// Whether a time limit is over: at its instant with immediate timing, strictly after it with ticked
    /// timing. All code that compares time limits calls this function.
    pub(crate) fn is_past(self, at: Instant, now: Instant) -> bool {
        match self {
            Self::Immediate => at <= now,
            Self::Ticked => at < now,
        }
    }
}

/// The configuration of a link manager, with a limit for every list and queue.
///
/// The settings in [`Settings`] may change while the manager runs.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::{Config, RetryPolicy};
///
/// let config = Config::default().max_links(10_000).retry(RetryPolicy::Fixed(Duration::from_secs(5)));
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Config {
    pub(crate) name: String,
    pub(crate) timing: Timing,
    pub(crate) settings: Settings,
    pub(crate) addresses: AddressPolicy,
    pub(crate) mailbox: mailbox::Config,
    pub(crate) batch: usize,
    pub(crate) outbox: usize,
    pub(crate) refused: usize,
    tickets: Option<NonZeroUsize>,
}

/// The setters of [`Settings`], forwarded by the configuration that holds them.
macro_rules! setters {
    (
        { $(#[doc = $noun:literal] $(#[doc = $doc:literal])* $name:ident: $kind:ty;)* }
        { $(#[doc = $phrase:literal] $(#[doc = $note:literal])* $option:ident: $value:ty;)* }
    ) => {
        $(#[doc = concat!(" Sets the", $noun)]
        $(#[doc = $doc])*
        pub fn $name(mut self, $name: $kind) -> Self {
            self.settings.$name = $name;
            self
        })*

        $(#[doc = concat!(" Sets the", $phrase)]
        $(#[doc = $note])*
        pub fn $option(mut self, $option: impl Into<$value>) -> Self {
            self.settings.$option = $option.into();
            self
        })*
    };
}

impl Config {
    settings::each_setting!(setters);

    /// Ticked timing with the settings of the reference design: a tick of 5 s that alternates between its two
    /// phases, 1 attempt, 20 s between attempts, 900 s on the ignore list, and no time-out for dials.
    pub fn ticked() -> Self {
        Self { timing: Timing::Ticked, settings: Settings::ticked(), ..Self::default() }
    }

    /// Replaces all settings that may change while the manager runs.
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The settings that may change while the manager runs.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sets the name of the writer's thread; the name of the transport's thread is this one with `-effects`
    /// appended. Default `switchboard`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the timing of the actions that the manager takes on its own. Default [`Timing::Immediate`].
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Sets the policy for endpoints that may be dialled. Default: [`AddressPolicy::new`], which accepts loopback;
    /// [`AddressPolicy::public`] refuses it.
    pub fn addresses(mut self, policy: AddressPolicy) -> Self {
        self.addresses = policy;
        self
    }

    /// Sets the capacities of the mailbox, and the policy for a full lane.
    ///
    /// Under [`ShedLowest`](crate::mailbox::Backpressure::ShedLowest) only commands in the low lane are shed,
    /// regardless of [`shed_from`](mailbox::Config::shed_from): reports of a transport travel in higher lanes
    /// and are never shed.
    pub fn mailbox(mut self, mailbox: mailbox::Config) -> Self {
        self.mailbox = mailbox;
        self
    }

    /// Sets the maximum number of commands applied per published version. Default 256. A list of
    /// [`submit_all`](crate::Handle::submit_all) is not divided: the last one of a version may exceed it.
    pub fn batch(mut self, commands: NonZeroUsize) -> Self {
        self.batch = commands.get();
        self
    }

    /// Sets the number of effects waiting for the transport at which the manager stops taking commands of the
    /// host from its mailbox, except for one [batch](Self::batch) every 100 ms, which lets a transport that
    /// waits for a command of its own make progress. Default 65,536. Reports of streams and dials are always
    /// taken; endpoints and the outcomes of announcements share their lane with the commands of the host.
    ///
    /// The number of waiting effects is bounded by this limit and the limits on links, nets and clusters:
    /// while the waiting effects and the streams to close are as many as this limit and
    /// [`max_links`](Self::max_links) together, no link, net, cluster or stream is added
    /// ([`CommandError::LimitReached`](crate::CommandError::LimitReached) of `"effects"`).
    /// [`docs::guarantees`](crate::docs::guarantees#what-waits-for-the-transport) lists the bounds by kind.
    pub fn outbox(mut self, effects: NonZeroUsize) -> Self {
        self.outbox = effects.get();
        self
    }

    /// Sets the number of waiting streams at which no further refused stream is queued to be closed. All
    /// streams that wait to be closed count, whether refused or left by removed links. Default 16,384.
    ///
    /// At the limit, the report of a refused stream fails with
    /// [`CommandError::TooManyRefused`](crate::CommandError::TooManyRefused), and the transport, which closes
    /// streams too slowly, must close that stream itself.
    pub fn refused_streams(mut self, streams: NonZeroUsize) -> Self {
        self.refused = streams.get();
        self
    }

    /// Sets the number of tickets that are pooled for reuse. While no more tickets than this are held, sending a
    /// command allocates nothing once the pool is filled; beyond it, each ticket costs an allocation.
    /// Default: the total capacity of the mailbox.
    pub fn pooled_tickets(mut self, tickets: NonZeroUsize) -> Self {
        self.tickets = Some(tickets);
        self
    }

    pub(crate) fn tickets(&self) -> NonZeroUsize {
        let rooms = Priority::ALL.map(|priority| self.mailbox.capacity(priority)).iter().sum();
        self.tickets.or(NonZeroUsize::new(rooms)).unwrap_or(NonZeroUsize::MIN)
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`ConfigError`] lists every invalid setting, not only the first.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let name = self.name.contains('\0').then_some(Problem::NameNul);
        ConfigError::unless_empty(self.settings.problems().chain(name).collect())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::from("switchboard"),
            timing: Timing::Immediate,
            settings: Settings::default(),
            addresses: AddressPolicy::new(),
            mailbox: mailbox::Config::default(),
            batch: 256,
            outbox: 65_536,
            refused: 16_384,
            tickets: None,
        }
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
        assert_eq!(Config::ticked().validate(), Ok(()));
    }

    #[test]
    fn every_problem_is_listed() {
        let config = Config::default()
            .tick(Duration::ZERO)
            .max_attempts(0)
            .dial_timeout(Duration::ZERO)
            .retry(RetryPolicy::Fixed(Duration::ZERO))
            .max_links(0)
            .max_nets(0)
            .max_streams(0)
            .max_ignored(0)
            .max_clusters(0)
            .max_roles(0)
            .max_permanent(0)
            .flaps(FlapPolicy::new().threshold(Duration::ZERO).limit(0).delay(Duration::ZERO).entries(0))
            .name("a\0b");
        let error = config.validate().unwrap_err();
        assert_eq!(
            error.problems(),
            [
                Problem::TickZero,
                Problem::MaxAttemptsZero,
                Problem::DialTimeoutZero,
                Problem::MaxLinksZero,
                Problem::MaxNetsZero,
                Problem::MaxStreamsZero,
                Problem::MaxIgnoredZero,
                Problem::MaxClustersZero,
                Problem::MaxRolesZero,
                Problem::MaxPermanentZero,
                Problem::FlapThresholdZero,
                Problem::FlapLimitZero,
                Problem::FlapDelayZero,
                Problem::FlapEntriesZero,
                Problem::RetryDelayZero,
                Problem::NameNul,
            ]
        );
        for problem in error.problems() {
            assert!(error.to_string().contains(&problem.to_string()));
        }
    }

    #[test]
    fn a_retry_policy_that_cannot_work_is_named() {
        let problems = |policy| match Settings::default().retry(policy).validate() {
            Ok(()) => Vec::new(),
            Err(error) => error.problems().to_vec(),
        };
        let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
        assert_eq!(problems(RetryPolicy::fixed(zero)), [Problem::RetryDelayZero]);
        assert_eq!(problems(RetryPolicy::exponential(zero, second)), [Problem::RetryBaseZero]);
        assert_eq!(problems(RetryPolicy::exponential(second, zero)), [Problem::RetryCapBelowBase]);
        assert_eq!(problems(RetryPolicy::exponential(second, second)), []);
        let custom = |cap| RetryPolicy::custom(|_: u32, _: &mut dyn FnMut() -> u64| Duration::ZERO, cap);
        assert_eq!(problems(custom(zero)), [Problem::RetryCapZero]);
        assert_eq!(problems(custom(second)), []);
    }

    #[test]
    fn the_settings_of_a_configuration_are_a_value_of_their_own() {
        let config = Config::default().tick(Duration::from_secs(1)).max_ignored(7);
        let settings = config.settings().clone();
        assert_eq!((settings.tick, settings.max_ignored), (Duration::from_secs(1), 7));
        assert_eq!(settings, Settings::default().tick(Duration::from_secs(1)).max_ignored(7));
    }

    #[test]
    fn the_settings_of_the_reference_are_those_of_its_configuration() {
        let reference = Settings::ticked();
        assert_eq!(*Config::ticked().settings(), reference);
        assert_ne!(reference, Settings::default());
        assert_eq!((reference.dial_timeout, reference.tick), (None, Duration::from_secs(5)));
        assert_eq!((reference.max_attempts, reference.ignore_period), (1, Duration::from_secs(900)));
        assert_eq!(reference.validate(), Ok(()));
    }
}
