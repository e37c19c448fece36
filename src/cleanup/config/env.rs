//! Settings from environment variables.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use super::problem::{ConfigError, Problem};
use super::{Config, Overflow, Workers};

impl Config {
    /// Returns the default settings, changed by the environment variables `CLEANUP_*` that `lookup` finds, and
    /// checked.
    ///
    /// A variable that is empty counts as absent. White space around a value is ignored.
    ///
    /// # Errors
    /// [`ConfigError`] with every variable that cannot be read, and then everything that
    /// [`validate`](Self::validate) finds.
    ///
    /// # Examples
    /// ```
    /// use switchboard::cleanup::Config;
    ///
    /// # fn main() -> Result<(), switchboard::cleanup::ConfigError> {
    /// let config = Config::from_env(|name| std::env::var(name).ok())?;
    /// assert!(config.validate().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut problems = config.override_from(&lookup);
        if let Err(error) = config.validate() {
            problems.extend(error.problems());
        }
        ConfigError::check(problems)?;
        Ok(config)
    }

    /// Returns the variables that cannot be read.
    fn override_from(&mut self, lookup: &impl Fn(&str) -> Option<String>) -> Vec<Problem> {
        let mut problems = Vec::new();
        read(lookup, &mut problems, "CLEANUP_ASYNC_ENABLED", parse_bool, |value| self.async_enabled = value);
        read(lookup, &mut problems, "CLEANUP_FALLBACK_TO_SYNC", parse_bool, |is_inline| {
            self.overflow = Overflow::of_fallback(is_inline);
        });
        read(lookup, &mut problems, "CLEANUP_QUEUE_BUFFER_SIZE", parse, |value| self.capacity = value);
        read(lookup, &mut problems, "CLEANUP_BATCH_SIZE", parse, |value| self.batch_max = value);
        read(lookup, &mut problems, "CLEANUP_BATCH_TIMEOUT_MS", parse, |ms| {
            self.linger = Duration::from_millis(ms);
        });
        read(lookup, &mut problems, "CLEANUP_WORKER_THREADS", parse, |value| self.workers = value);
        read(lookup, &mut problems, "CLEANUP_MAX_RETRY_ATTEMPTS", parse, |value| self.sink_retries = value);
        problems
    }
}

impl Overflow {
    /// Returns the policy for the setting `fallback_to_sync`.
    pub(super) fn of_fallback(is_inline: bool) -> Self {
        if is_inline { Self::Inline } else { Self::Defer }
    }
}

impl FromStr for Workers {
    type Err = ParseWorkersError;

    /// Parses `auto`, in any case, or a number from 1 to [`Workers::MAX`].
    fn from_str(text: &str) -> Result<Self, ParseWorkersError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        text.parse().ok().and_then(Self::from_count).ok_or(ParseWorkersError)
    }
}

impl Workers {
    pub(super) fn from_count(number: u64) -> Option<Self> {
        let number = NonZeroUsize::new(usize::try_from(number).ok()?)?;
        (number.get() <= Self::MAX).then_some(Self::Fixed(number))
    }
}

/// The error of a number of workers that is neither `auto` nor a number from 1 to [`Workers::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseWorkersError;

impl std::fmt::Display for ParseWorkersError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected \"auto\" or a number from 1 to 64")
    }
}

impl std::error::Error for ParseWorkersError {}

fn read<T>(
    lookup: impl Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
    name: &'static str,
    parse: impl Fn(&str) -> Option<T>,
    set: impl FnOnce(T),
) {
    let Some(text) = lookup(name) else { return };
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    match parse(text) {
        Some(value) => set(value),
        None => problems.push(Problem::Variable(name)),
    }
}

fn parse<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn parse_bool(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "1", "yes", "on"]) {
        return Some(true);
    }
    is(["false", "0", "no", "off"]).then_some(false)
}
