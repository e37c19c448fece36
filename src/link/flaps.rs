//! Links that connect and drop, again and again.

use std::time::{Duration, Instant};

/// What counts as a flapping link, and what becomes of it.
///
/// A connection of this node that is lost within the [threshold](Self::threshold) of being made, with no
/// other stream to carry the link, is a flap. At the [limit](Self::limit) the link is unstable: its
/// nets let it go and put it on their ignore lists, and what keeps it all the same (a permanent or static peer)
/// is not dialled for the [delay](Self::delay).
///
/// A physical drop counts once, however many reports tell of it, and once per link, however many nets it
/// serves. A connection that lasts takes the count back to zero, and so does the delay since the last drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct FlapPolicy {
    pub(crate) threshold: Duration,
    pub(crate) limit: u32,
    pub(crate) delay: Duration,
    pub(crate) entries: usize,
}

impl FlapPolicy {
    /// 2 drops within 120 s of connecting each; 900 s of rest; 1,024 nodes remembered.
    pub fn new() -> Self {
        Self {
            threshold: Duration::from_secs(120),
            limit: 2,
            delay: Duration::from_secs(900),
            entries: 1_024,
        }
    }

    /// A connection that lasts shorter than this drops quickly.
    pub fn threshold(mut self, lifetime: Duration) -> Self {
        self.threshold = lifetime;
        self
    }

    /// Flaps in a row that make a link unstable.
    pub fn limit(mut self, drops: u32) -> Self {
        self.limit = drops;
        self
    }

    /// How long a flapping link rests, and how long after the last one the drops of a node are remembered.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Nodes whose drops are remembered at most: beyond it the ones that would be forgotten first go.
    pub fn entries(mut self, nodes: usize) -> Self {
        self.entries = nodes;
        self
    }

    /// What [`threshold`](Self::threshold) has set.
    #[must_use]
    pub fn drop_lifetime(&self) -> Duration {
        self.threshold
    }

    /// What [`limit`](Self::limit) has set.
    #[must_use]
    pub fn drops_limit(&self) -> u32 {
        self.limit
    }

    /// What [`delay`](Self::delay) has set.
    #[must_use]
    pub fn rest_period(&self) -> Duration {
        self.delay
    }

    /// What [`entries`](Self::entries) has set.
    #[must_use]
    pub fn entries_limit(&self) -> usize {
        self.entries
    }
}

impl Default for FlapPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// The flaps of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaps {
    pub(crate) count: u32,
    /// Still remembered at this instant, forgotten after it.
    pub(crate) until: Instant,
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    #[test]
    fn a_policy_can_be_read() {
        let read = |policy: FlapPolicy| {
            let times = [policy.drop_lifetime().as_secs(), policy.rest_period().as_secs()];
            (times, policy.drops_limit(), policy.entries_limit())
        };
        assert_eq!(read(FlapPolicy::new()), ([120, 900], 2, 1_024));
        let second = Duration::from_secs(1);
        let policy = FlapPolicy::new().threshold(second).delay(2 * second).limit(3).entries(4);
        assert_eq!(read(policy), ([1, 2], 3, 4));
    }
}
