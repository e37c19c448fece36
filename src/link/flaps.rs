//! Links that connect and drop repeatedly.

use std::time::{Duration, Instant};

/// The policy for links that connect and drop repeatedly.
///
/// A flap is the loss of a connection that this node made, within the [threshold](Self::threshold) of making
/// it and with no other stream to carry the link. At the [limit](Self::limit) the link is flapping: its nets
/// let it go and add it to their ignore lists. If it is kept nevertheless (a permanent or static peer), it is
/// not dialled for the [delay](Self::delay).
///
/// A physical drop counts once, regardless of the number of reports about it, and once per link, regardless
/// of the number of nets that it serves. A connection that lasts resets the count to zero, and so does the
/// passing of the delay after the last drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct FlapPolicy {
    pub(crate) threshold: Duration,
    pub(crate) limit: u32,
    pub(crate) delay: Duration,
    pub(crate) entries: usize,
}

impl FlapPolicy {
    /// The default policy: 2 drops, each within 120 s of connecting; a rest of 900 s; 1,024 nodes remembered.
    pub fn new() -> Self {
        Self {
            threshold: Duration::from_secs(120),
            limit: 2,
            delay: Duration::from_secs(900),
            entries: 1_024,
        }
    }

    /// The lifetime below which the loss of a connection counts as a flap.
    pub fn threshold(mut self, lifetime: Duration) -> Self {
        self.threshold = lifetime;
        self
    }

    /// The number of consecutive flaps that make a link flapping.
    pub fn limit(mut self, drops: u32) -> Self {
        self.limit = drops;
        self
    }

    /// The duration of a rest, and the time for which the flaps of a node are remembered after the last one.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The maximum number of nodes whose flaps are remembered; beyond it, the entries that expire first are
    /// removed.
    pub fn entries(mut self, nodes: usize) -> Self {
        self.entries = nodes;
        self
    }

    /// The lifetime set by [`threshold`](Self::threshold).
    #[must_use]
    pub fn drop_lifetime(&self) -> Duration {
        self.threshold
    }

    /// The number of flaps set by [`limit`](Self::limit).
    #[must_use]
    pub fn drops_limit(&self) -> u32 {
        self.limit
    }

    /// The duration set by [`delay`](Self::delay).
    #[must_use]
    pub fn rest_period(&self) -> Duration {
        self.delay
    }

    /// The number of nodes set by [`entries`](Self::entries).
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
    /// The last instant at which the flaps are remembered.
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
