//! The figures of a pipeline, and the settings that can change while it runs.

use std::time::Duration;

use super::{Cleanup, Shared};
use crate::cleanup::breaker::Breaker;
use crate::cleanup::config::{Config, ConfigError, Tuning};
use crate::cleanup::entry::{Entry, Resources};
use crate::cleanup::fair::Lane;
use crate::cleanup::limits::Limits;
use crate::cleanup::marks::pressure;
use crate::cleanup::recent::Ended;
use crate::cleanup::slots::{Cause, ConnectionId, End, Source};
use crate::cleanup::stats::Stats;
use crate::cleanup::worker::Worker;
use crate::sync::StdArc;
use crate::sync::atomic::Ordering;

/// The figures of one worker: [`Cleanup::worker_stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WorkerStats {
    /// Connections in its queue.
    pub len: usize,
    /// Connections that its queue can hold.
    pub capacity: usize,
    /// The largest number of connections that were in it.
    pub peak: usize,
    /// The age of the oldest of them; zero if there are none.
    pub oldest: Duration,
    /// Whether the queue is between its high-water mark and the low one.
    pub is_congested: bool,
    /// Whether the queue takes connections.
    pub is_open: bool,
}

impl<V: Entry, R: Resources> Cleanup<V, R> {
    /// Returns the figures of the pipeline. Wait-free.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let sum = |figure: fn(&Breaker) -> u64| shared.breakers.iter().map(figure).sum();
        Stats {
            breaker: shared.breakers.iter().map(Breaker::phase).max().unwrap_or_default(),
            breaker_opens: sum(Breaker::opens),
            breaker_probes: sum(Breaker::probes),
            breaker_refused: sum(Breaker::refused),
            ..shared.counters.snapshot()
        }
    }

    /// Returns the figures of each worker. Takes the lock of each queue for a moment.
    #[must_use]
    pub fn worker_stats(&self) -> Vec<WorkerStats> {
        let now = self.shared.now();
        let of_worker = |worker: &Worker<R>| {
            let depth = worker.depth();
            WorkerStats {
                len: depth.len,
                capacity: depth.capacity,
                peak: depth.peak,
                oldest: depth.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)),
                is_congested: depth.is_congested,
                is_open: worker.is_open(),
            }
        };
        self.shared.sender.workers().iter().map(of_worker).collect()
    }

    /// Returns the pressure, from 0 to 1: the largest of the fill of a queue, the age of its oldest task as a part of
    /// [`target_age`](Config::target_age), the part of the inline limit that is in use, and the connections that are left
    /// to the sweep as a part of what the queues hold. For the code that accepts connections, to slow down. Takes the lock
    /// of each queue for a moment.
    #[must_use]
    pub fn pressure(&self) -> f64 {
        let target = self.shared.config.target_age;
        let deferred = self.shared.counters.snapshot().deferred as f64;
        let workers = self.worker_stats();
        let capacity: usize = workers.iter().map(|worker| worker.capacity).sum();
        let of_all = self.shared.gate.share().max(deferred / capacity.max(1) as f64).min(1.0);
        let of_worker =
            |worker: WorkerStats| pressure(worker.len, worker.capacity, worker.oldest, target, 0.0);
        workers.into_iter().map(of_worker).fold(of_all, f64::max)
    }

    /// Returns the connections that were removed last, the latest one first: up to 128.
    #[must_use]
    pub fn recent(&self) -> Vec<Ended> {
        self.shared.recent.lock().read()
    }

    /// Returns the number of disconnects beyond a [limit](Config::app_rate), and of those whose source could not be
    /// tracked, since the limits were set.
    #[must_use]
    pub fn limited(&self) -> (u64, u64) {
        let limits = self.shared.limits.lock().clone();
        (limits.limited(), limits.untracked())
    }

    /// Returns the settings that can change.
    #[must_use]
    pub fn tuning(&self) -> Tuning {
        let tuning = self.shared.tuning();
        let rates = *self.shared.rates.lock();
        Tuning { batch_max: tuning.batch_max, linger: tuning.linger, ..rates }
    }

    /// Changes settings. Each batch sees those before or those after. New rates begin with full buckets.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is invalid; nothing has changed then.
    pub fn tune(&self, tuning: Tuning) -> Result<(), ConfigError> {
        let shared = &self.shared;
        let config = Config { ..shared.config.clone() }.with_tuning(tuning);
        config.validate()?;
        // Relaxed: one word, which orders no other memory.
        shared.tuning.store(pack(&config), Ordering::Relaxed);
        let old = std::mem::replace(&mut *shared.rates.lock(), tuning);
        if (old.app_rate, old.prefix_rate, old.rate_dry_run)
            != (tuning.app_rate, tuning.prefix_rate, tuning.rate_dry_run)
        {
            let limits = limits(&config);
            let old = std::mem::replace(&mut *shared.limits.lock(), limits);
            // Relaxed: a disconnect takes the limits as they are then.
            shared.is_limited.store(is_limited(&config), Ordering::Relaxed);
            drop(old);
        }
        Ok(())
    }

    /// Closes up to `max` connections that the predicate chooses, among those of the present
    /// version: all of a node that has failed, or those that a ban applies to. Returns their
    /// number.
    ///
    /// It is called with no lock held. Connections that are closed meanwhile are skipped, so it can be called again and
    /// again until it returns 0, also after an interruption. O(n) per call.
    #[allow(clippy::must_use_candidate)] // The connections are closed, whatever the number.
    pub fn purge(
        &self,
        cause: Cause,
        max: usize,
        mut is_chosen: impl FnMut(ConnectionId, &V) -> bool,
    ) -> usize {
        let snapshot = self.table().snapshot();
        let open = snapshot.iter().filter(|(id, _)| self.is_open(**id));
        let chosen = open.filter(|(id, value)| is_chosen(**id, value));
        let closed = chosen.filter(|(id, _)| {
            let closed = self.close(**id, cause);
            !closed.is_lost() && !closed.is_refused()
        });
        closed.take(max).count()
    }
}

/// The batch size and the linger, which together fit into one word, so that no batch sees a part of a change. The batch
/// size is at most 2^30, and the linger at most 60 seconds.
pub(super) fn pack(config: &Config) -> u64 {
    let linger = u64::try_from(config.linger.as_micros()).unwrap_or(u64::MAX).min((1 << 32) - 1);
    (config.batch_max as u64) << 32 | linger
}

pub(super) fn is_limited(config: &Config) -> bool {
    config.app_rate.is_some() || config.prefix_rate.is_some()
}

pub(super) fn limits(config: &Config) -> StdArc<Limits> {
    let limits = Limits::new(config.app_rate, config.prefix_rate, config.rate_keys, config.rate_dry_run);
    StdArc::new(limits)
}

impl<V: Entry, R: Resources> Shared<V, R> {
    /// Counts a disconnect, and returns its lane.
    pub(super) fn lane(&self, source: Source, end: End) -> Lane {
        // Relaxed: as in `tune`.
        if !self.is_limited.load(Ordering::Relaxed) {
            return Lane::Prompt;
        }
        let limits = self.limits.lock().clone();
        match limits.lane(source.app, source.prefix, end.at) {
            // Someone waits for it.
            _ if end.cause == Cause::Killed => Lane::Prompt,
            lane => lane,
        }
    }

    pub(super) fn tuning(&self) -> crate::cleanup::batch::Tuning {
        // Relaxed: as in `tune`.
        let word = self.tuning.load(Ordering::Relaxed);
        let linger = Duration::from_micros(word & ((1 << 32) - 1));
        crate::cleanup::batch::Tuning { batch_max: (word >> 32) as usize, linger }
    }
}
