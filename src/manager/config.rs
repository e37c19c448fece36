//! What a link manager is told at construction.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::link::{AddressPolicy, RetryPolicy, UnstablePolicy};
use crate::mailbox::Capacities;

/// When the manager acts on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Timing {
    /// A link is dialled when it becomes dialable, a net that falls short asks at once (then once a tick),
    /// and an associated net is announced on whichever stream is there. The default.
    #[default]
    Prompt,
    /// As the reference system: everything waits for its tick, and ticks alternate between asking for
    /// candidates and waking links up. With the tick of 5 s each of the two runs every 10 s, and
    /// comparisons with the delay are strict.
    Reference,
}

/// The settings of a link manager. Every list and queue has a limit here.
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
    pub(crate) tick: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) retry: RetryPolicy,
    pub(crate) cooling: Duration,
    pub(crate) dial_timeout: Option<Duration>,
    pub(crate) addresses: AddressPolicy,
    pub(crate) capacities: Capacities,
    pub(crate) batch: usize,
    pub(crate) outbox: usize,
    pub(crate) max_links: usize,
    pub(crate) max_nets: usize,
    pub(crate) max_streams: usize,
    pub(crate) max_hot: usize,
    pub(crate) max_clusters: usize,
    pub(crate) max_roles: usize,
    pub(crate) max_permanent: usize,
    pub(crate) unstable: Option<UnstablePolicy>,
}

impl Config {
    /// The settings of the reference system: a tick of 5 s that alternates between its two phases, 1 attempt,
    /// 20 s between attempts, 900 s on the hot list, no limit on how long a dial takes.
    pub fn reference() -> Self {
        Self { timing: Timing::Reference, dial_timeout: None, ..Self::default() }
    }

    /// The name of the writer's thread; the transport's thread adds `-effects`. Default `switchboard`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// When the manager acts on time. Default [`Timing::Prompt`].
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The period of the tick. Default 5 s.
    pub fn tick(mut self, period: Duration) -> Self {
        self.tick = period;
        self
    }

    /// Dial cycles that may fail in a row before the nets of a link are told and give it up. Default 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The delay before a failed link is dialled again, longer than zero. Default 20 s.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// How long an address that was tried stays among the ignored ones. Default 900 s.
    pub fn cooling(mut self, period: Duration) -> Self {
        self.cooling = period;
        self
    }

    /// How long an answer to `Resolve` or `Dial` may take before the manager counts it as a failure: a
    /// connection without a stream has answered by half. Default 60 s; `None` waits for ever, as the
    /// reference does.
    pub fn dial_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.dial_timeout = timeout.into();
        self
    }

    /// Which endpoints may be dialled. Default: loopback is refused.
    pub fn addresses(mut self, policy: AddressPolicy) -> Self {
        self.addresses = policy;
        self
    }

    /// The lanes of the mailbox and what happens when one is full.
    pub fn capacities(mut self, capacities: Capacities) -> Self {
        self.capacities = capacities;
        self
    }

    /// Commands applied per published version at most. Default 256.
    pub fn batch(mut self, commands: NonZeroUsize) -> Self {
        self.batch = commands.get();
        self
    }

    /// Effects that may wait for the transport before the manager takes no further API command from its
    /// mailbox, but for one [batch](Self::batch) every 100 ms: a transport that waits for a command of its
    /// own gets its answer in the end. Default 65,536. Reports of streams and dials are always taken;
    /// endpoints and accounting travel with the API commands.
    pub fn outbox(mut self, effects: NonZeroUsize) -> Self {
        self.outbox = effects.get();
        self
    }

    /// Links at most. Default 1,000,000.
    pub fn max_links(mut self, links: usize) -> Self {
        self.max_links = links;
        self
    }

    /// Nets at most. Default 1,024.
    pub fn max_nets(mut self, nets: usize) -> Self {
        self.max_nets = nets;
        self
    }

    /// Streams per link at most. Default 8.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// Ignored addresses per net at most: beyond it the ones that would expire first go. Default 1,024.
    pub fn max_hot(mut self, addresses: usize) -> Self {
        self.max_hot = addresses;
        self
    }

    /// Clusters associated with nets at most, all nets together. Default 1,024.
    pub fn max_clusters(mut self, clusters: usize) -> Self {
        self.max_clusters = clusters;
        self
    }

    /// Role members per cluster at most, this node included. Default 1,024.
    pub fn max_roles(mut self, nodes: usize) -> Self {
        self.max_roles = nodes;
        self
    }

    /// Permanent peers per net at most. Default 1,024.
    pub fn max_permanent(mut self, peers: usize) -> Self {
        self.max_permanent = peers;
        self
    }

    /// What becomes of links that connect and drop, again and again. Default `None`: they are treated as all
    /// others.
    pub fn unstable(mut self, policy: impl Into<Option<UnstablePolicy>>) -> Self {
        self.unstable = policy.into();
        self
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`ConfigError`] lists every setting that cannot work, not only the first.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let checks = [
            (self.tick.is_zero(), "tick: must be longer than zero"),
            (self.max_attempts == 0, "max_attempts: must be at least 1"),
            (
                self.dial_timeout.is_some_and(|timeout| timeout.is_zero()),
                "dial_timeout: must be longer than zero",
            ),
            (self.retry.is_immediate(), "retry: the delay must be longer than zero"),
            (self.max_links == 0, "max_links: must be at least 1"),
            (self.max_nets == 0, "max_nets: must be at least 1"),
            (self.max_streams == 0, "max_streams: must be at least 1"),
            (self.max_hot == 0, "max_hot: must be at least 1"),
            (self.max_clusters == 0, "max_clusters: must be at least 1"),
            (self.max_roles == 0, "max_roles: must be at least 1"),
            (self.max_permanent == 0, "max_permanent: must be at least 1"),
            (
                self.unstable.is_some_and(|policy| !policy.is_valid()),
                "unstable: threshold, limit, delay and entries must be more than zero",
            ),
            (self.name.contains('\0'), "name: a thread name cannot contain a NUL byte"),
        ];
        let problems: Vec<_> = checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, what)| what).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::from("switchboard"),
            timing: Timing::Prompt,
            tick: Duration::from_secs(5),
            max_attempts: 1,
            retry: RetryPolicy::default(),
            cooling: Duration::from_secs(900),
            dial_timeout: Some(Duration::from_secs(60)),
            addresses: AddressPolicy::new(),
            capacities: Capacities::default(),
            batch: 256,
            outbox: 65_536,
            max_links: 1_000_000,
            max_nets: 1_024,
            max_streams: 8,
            max_hot: 1_024,
            max_clusters: 1_024,
            max_roles: 1_024,
            max_permanent: 1_024,
            unstable: None,
        }
    }
}

/// Settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    problems: Vec<&'static str>,
}

impl ConfigError {
    /// One line for each setting that cannot work.
    #[must_use]
    pub fn problems(&self) -> &[&'static str] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid configuration: {}", self.problems.join("; "))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
        assert_eq!(Config::reference().validate(), Ok(()));
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
            .max_hot(0)
            .max_clusters(0)
            .max_roles(0)
            .max_permanent(0)
            .unstable(UnstablePolicy::new().limit(0))
            .name("a\0b");
        let error = config.validate().unwrap_err();
        assert_eq!(error.problems().len(), 13);
        assert!(error.to_string().contains("tick: must be longer than zero"));
    }
}
