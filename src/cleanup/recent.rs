//! The connections that were removed last.

use std::collections::VecDeque;
use std::time::Duration;

use super::slots::{Cause, ConnectionId};

/// Number of connections that are kept.
const LEN: usize = 128;

/// A connection that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Its former identity.
    pub id: ConnectionId,
    /// The reason why it was closed.
    pub cause: Cause,
    /// The time from its closing to the publication of its removal.
    pub latency: Duration,
}

/// A ring of the last ones.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<Ended>);

impl Recent {
    pub(crate) fn push(&mut self, ended: impl Iterator<Item = Ended>) {
        for ended in ended {
            if self.0.len() >= LEN {
                self.0.pop_back();
            }
            self.0.push_front(ended);
        }
    }

    /// Returns them, the latest first.
    pub(crate) fn read(&self) -> Vec<Ended> {
        self.0.iter().copied().collect()
    }
}
