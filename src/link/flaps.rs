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
#[non_exhaustive]
pub struct FlapPolicy {
    /// The lifetime below which the loss of a connection counts as a flap. Default 120 s.
    pub threshold: Duration,
    /// The number of consecutive flaps that make a link flapping. Default 2.
    pub limit: u32,
    /// The duration of a rest, and the time for which the flaps of a node are remembered after the last one.
    /// Default 900 s.
    pub delay: Duration,
    /// The maximum number of nodes whose flaps are remembered; beyond it, the entries that expire first are
    /// removed. Default 1,024.
    pub entries: usize,
}

impl FlapPolicy {
    /// The default policy: 2 flaps, each within 120 s of connecting; a rest of 900 s; 1,024 nodes remembered.
    pub fn new() -> Self {
        Self {
            threshold: Duration::from_secs(120),
            limit: 2,
            delay: Duration::from_secs(900),
            entries: 1_024,
        }
    }

    /// Sets the lifetime below which the loss of a connection counts as a flap.
    pub fn threshold(mut self, lifetime: Duration) -> Self {
        self.threshold = lifetime;
        self
    }

    /// Sets the number of consecutive flaps that make a link flapping.
    pub fn limit(mut self, flaps: u32) -> Self {
        self.limit = flaps;
        self
    }

    /// Sets the duration of a rest, and the time for which the flaps of a node are remembered after the last
    /// one.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the maximum number of nodes whose flaps are remembered; beyond it, the entries that expire first
    /// are removed.
    pub fn entries(mut self, nodes: usize) -> Self {
        self.entries = nodes;
        self
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
            let times = [policy.threshold.as_secs(), policy.delay.as_secs()];
            (times, policy.limit, policy.entries)
        };
        assert_eq!(read(FlapPolicy::new()), ([120, 900], 2, 1_024));
        let second = Duration::from_secs(1);
        let policy = FlapPolicy::new().threshold(second).delay(2 * second).limit(3).entries(4);
        assert_eq!(read(policy), ([1, 2], 3, 4));
    }
}
