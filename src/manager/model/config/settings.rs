//! The settings that may change while the manager runs.

use std::time::Duration;

use super::problem::{ConfigError, Problem};
use crate::link::FlapPolicy;
use crate::link::retry::RetryPolicy;

/// Declares each setting once: its documentation, its name and its type. The second list contains the
/// optional settings. The documentation continues "The" for a field, and "Sets the" for a method.
macro_rules! each_setting {
    ($apply:ident) => {
        $apply! {
            {
                /// period of the tick. Default 5 s.
                tick: Duration;
                /// number of consecutive dial cycles that may fail before the nets of a link are notified
                /// and give it up. Default 1.
                max_attempts: u32;
                /// delay before a failed link is dialled again. Default [`RetryPolicy::Fixed`] with 20 s.
                retry: RetryPolicy;
                /// time for which an address that was tried stays on the ignore list. Default 900 s.
                ignore_period: Duration;
                /// maximum number of links. Default 1,000,000.
                max_links: usize;
                /// maximum number of nets. Default 1,024.
                max_nets: usize;
                /// maximum number of streams per link. Default 8.
                max_streams: usize;
                /// maximum number of ignored addresses per net; beyond it, the entries that expire first
                /// are removed. Default 1,024.
                max_ignored: usize;
                /// maximum number of associated clusters, over all nets. Default 1,024.
                max_clusters: usize;
                /// maximum number of role members per cluster, including this node. Default 1,024.
                max_roles: usize;
                /// maximum number of permanent peers per net. Default 1,024.
                max_permanent: usize;
            }
            {
                /// time within which `Resolve` or `Dial` must be answered before the manager counts a
                /// failure. A connection without a stream is not a complete answer. Default 60 s; with `None`
                /// the manager waits indefinitely, as the reference design does.
                dial_timeout: Option<Duration>;
                /// treatment of links that connect and drop repeatedly. Default `None`: they are treated
                /// like all others.
                flaps: Option<FlapPolicy>;
            }
        }
    };
}

pub(super) use each_setting;

/// A field and a method for each setting.
macro_rules! declare {
    (
        { $(#[doc = $noun:literal] $(#[doc = $doc:literal])* $name:ident: $kind:ty;)* }
        { $(#[doc = $phrase:literal] $(#[doc = $note:literal])* $option:ident: $value:ty;)* }
    ) => {
        /// The settings that may change while the manager runs: the part of a [`Config`](crate::Config) that
        /// [`Handle::reconfigure`](crate::Handle::reconfigure) replaces.
        ///
        /// # Effect of a change
        /// The new settings are in force from the version that the ticket names; a snapshot contains [the
        /// settings of its version](crate::LinksSnapshot::settings).
        ///
        /// * *Retry policy.* A planned delay ends at the instant that readers have seen, or, if that is
        ///   earlier, when the new policy's [cap](RetryPolicy::cap) has passed from now: no link waits longer
        ///   than the policy in force allows.
        /// * *Attempts.* The new limit applies from the next failure on; earlier failures stay counted.
        /// * *Limits.* A limit below the present number refuses new entries and removes none. The ignore list
        ///   is cut when the next address is added.
        /// * *Flapping links.* The new policy applies to connections that are lost from now on; flaps already
        ///   counted stay counted. A rest in progress stays, cut to the new delay from now, or to the cap of
        ///   the retry policy if there is no longer a flap policy.
        /// * *Ignore period.* Applies to addresses that are tried from now on.
        /// * *Tick.* The next tick stays as scheduled; the new period applies from then on.
        /// * *Dial time-out.* Also applies to resolutions and dials in progress.
        ///
        /// # Examples
        /// ```
        /// use std::time::Duration;
        /// use switchboard::{Config, RetryPolicy};
        /// use switchboard::manager::config::Settings;
        ///
        /// let settings = Settings::default()
        ///     .retry(RetryPolicy::exponential(Duration::from_secs(1), Duration::from_secs(300)))
        ///     .max_links(10_000);
        /// assert!(settings.validate().is_ok());
        /// assert_eq!(*Config::default().with_settings(settings.clone()).settings(), settings);
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[must_use]
        #[non_exhaustive]
        pub struct Settings {
            $(#[doc = concat!(" The", $noun)]
            $(#[doc = $doc])*
            pub $name: $kind,)*
            $(#[doc = concat!(" The", $phrase)]
            $(#[doc = $note])*
            pub $option: $value,)*
        }

        impl Settings {
            $(#[doc = concat!(" Sets the", $noun)]
            $(#[doc = $doc])*
            pub fn $name(mut self, $name: $kind) -> Self {
                self.$name = $name;
                self
            })*

            $(#[doc = concat!(" Sets the", $phrase)]
            $(#[doc = $note])*
            pub fn $option(mut self, $option: impl Into<$value>) -> Self {
                self.$option = $option.into();
                self
            })*
        }
    };
}

each_setting!(declare);

impl Settings {
    /// The settings of the reference design, as in [`Config::ticked`](crate::Config::ticked): a tick of 5 s,
    /// 1 attempt, 20 s between attempts, 900 s on the ignore list, and no time-out for dials. The starting
    /// point for [reconfiguring](crate::Handle::reconfigure) a manager with ticked timing.
    pub fn ticked() -> Self {
        Self::default().dial_timeout(None)
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`ConfigError`] lists every invalid setting, not only the first.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::unless_empty(self.problems().collect())
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> {
        let checks = [
            (self.tick.is_zero(), Problem::TickZero),
            (self.max_attempts == 0, Problem::MaxAttemptsZero),
            (self.dial_timeout.is_some_and(|timeout| timeout.is_zero()), Problem::DialTimeoutZero),
            (self.max_links == 0, Problem::MaxLinksZero),
            (self.max_nets == 0, Problem::MaxNetsZero),
            (self.max_streams == 0, Problem::MaxStreamsZero),
            (self.max_ignored == 0, Problem::MaxIgnoredZero),
            (self.max_clusters == 0, Problem::MaxClustersZero),
            (self.max_roles == 0, Problem::MaxRolesZero),
            (self.max_permanent == 0, Problem::MaxPermanentZero),
        ];
        let wrong = checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, problem)| problem);
        wrong.chain(self.flaps.into_iter().flat_map(flap_problems)).chain(retry_problems(&self.retry))
    }
}

fn flap_problems(policy: FlapPolicy) -> impl Iterator<Item = Problem> {
    let checks = [
        (policy.threshold.is_zero(), Problem::FlapThresholdZero),
        (policy.limit == 0, Problem::FlapLimitZero),
        (policy.delay.is_zero(), Problem::FlapDelayZero),
        (policy.entries == 0, Problem::FlapEntriesZero),
    ];
    checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, problem)| problem)
}

/// A delay of zero is invalid: a dial that fails immediately would be retried in an endless loop.
fn retry_problems(retry: &RetryPolicy) -> impl Iterator<Item = Problem> {
    let (zero, inverted) = match retry {
        RetryPolicy::Exponential { base, cap } => {
            (base.is_zero().then_some(Problem::RetryBaseZero), cap < base)
        }
        RetryPolicy::Fixed(delay) => (delay.is_zero().then_some(Problem::RetryDelayZero), false),
        RetryPolicy::Custom(_) => (retry.cap().is_zero().then_some(Problem::RetryCapZero), false),
    };
    zero.into_iter().chain(inverted.then_some(Problem::RetryCapBelowBase))
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(5),
            max_attempts: 1,
            retry: RetryPolicy::default(),
            ignore_period: Duration::from_secs(900),
            dial_timeout: Some(Duration::from_secs(60)),
            max_links: 1_000_000,
            max_nets: 1_024,
            max_streams: 8,
            max_ignored: 1_024,
            max_clusters: 1_024,
            max_roles: 1_024,
            max_permanent: 1_024,
            flaps: None,
        }
    }
}
