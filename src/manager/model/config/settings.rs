//! The settings that may change while the manager runs.

use std::time::Duration;

use super::problem::{ConfigError, Problem};
use crate::link::FlapPolicy;
use crate::link::retry::RetryPolicy;

/// Declares each setting once: its documentation, its name and its type. The second list has those that may be
/// absent.
macro_rules! each_setting {
    ($apply:ident) => {
        $apply! {
            {
                /// The period of the tick. Default 5 s.
                tick: Duration;
                /// Dial cycles that may fail in a row before the nets of a link are told and give it up. Default 1.
                max_attempts: u32;
                /// The delay before a failed link is dialled again. Default [`RetryPolicy::Fixed`] with 20 s.
                retry: RetryPolicy;
                /// How long an address that was tried stays among the ignored ones. Default 900 s.
                ignore_period: Duration;
                /// Links at most. Default 1,000,000.
                max_links: usize;
                /// Nets at most. Default 1,024.
                max_nets: usize;
                /// Streams per link at most. Default 8.
                max_streams: usize;
                /// Ignored addresses per net at most: beyond it the ones that would expire first go. Default 1,024.
                max_ignored: usize;
                /// Clusters associated with nets at most, all nets together. Default 1,024.
                max_clusters: usize;
                /// Role members per cluster at most, this node included. Default 1,024.
                max_roles: usize;
                /// Permanent peers per net at most. Default 1,024.
                max_permanent: usize;
            }
            {
                /// How long an answer to `Resolve` or `Dial` may take before the manager counts it as a failure: a
                /// connection without a stream has answered by half. Default 60 s; `None` waits for ever, as the
                /// reference does.
                dial_timeout: Option<Duration>;
                /// What becomes of links that connect and drop, again and again. Default `None`: they are treated as all
                /// others.
                flaps: Option<FlapPolicy>;
            }
        }
    };
}

pub(super) use each_setting;

/// A field and a method for each setting.
macro_rules! declare {
    (
        { $($(#[$doc:meta])* $name:ident: $kind:ty;)* }
        { $($(#[$note:meta])* $option:ident: $value:ty;)* }
    ) => {
        /// The settings that may change while the manager runs: the part of a [`Config`](crate::Config) that
        /// [`Handle::reconfigure`](crate::Handle::reconfigure) replaces.
        ///
        /// # What a change does
        /// The new settings are in force from the version that the ticket names; a snapshot shows
        /// [its own](crate::LinksSnapshot::settings).
        ///
        /// * *Retry policy.* A delay that is planned already stays, cut to the new policy's
        ///   [cap](RetryPolicy::cap) from now: what readers were told holds, and no link waits longer than the policy
        ///   in force allows.
        /// * *Attempts.* Count from the next failure on: failures that happened stay counted.
        /// * *Limits.* A limit below what is there refuses new entries and drops nothing. The list of ignored
        ///   addresses is cut when the next address enters it.
        /// * *Flapping links.* The policy goes for connections that are lost from now on; what is counted stays
        ///   counted. A rest that has begun stays, cut to the new delay from now, or to the cap of the retry policy
        ///   where links are no longer given a rest.
        /// * *Ignore period.* Goes for addresses that are tried from now on.
        /// * *Tick.* The tick that is planned stays; the new period counts from it.
        /// * *Dial time-out.* Goes for what is under way, too.
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
            $($(#[$doc])*
            pub $name: $kind,)*
            $($(#[$note])*
            pub $option: $value,)*
        }

        impl Settings {
            $($(#[$doc])*
            pub fn $name(mut self, $name: $kind) -> Self {
                self.$name = $name;
                self
            })*

            $($(#[$note])*
            pub fn $option(mut self, $option: impl Into<$value>) -> Self {
                self.$option = $option.into();
                self
            })*
        }
    };
}

each_setting!(declare);

impl Settings {
    /// The settings of the reference system, as in [`Config::ticked`](crate::Config::ticked): a tick of
    /// 5 s, 1 attempt, 20 s between attempts, 900 s on the ignore list, no limit on how long a dial takes. What to
    /// begin with to [reconfigure](crate::Handle::reconfigure) a manager with those timings.
    pub fn ticked() -> Self {
        Self::default().dial_timeout(None)
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`ConfigError`] lists every setting that cannot work, not only the first.
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

/// Without a delay, what fails at once is tried again at once, for ever.
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
