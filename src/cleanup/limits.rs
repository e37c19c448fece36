//! Limits per source: an app, or a prefix of addresses, that disconnects too often is cleaned later than others.
//!
//! A limit never refuses a cleanup: refusing to release something only raises the load. It chooses
//! the [`Lane`]. The buckets are those of `governor`; what it does not have is here: a bounded
//! table of keys that fails open, and the time as a parameter.

mod store;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::hash::Hash;
use std::net::IpAddr;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use super::config::Rate;
use super::fair::Lane;
use super::moment::Moment;
use crate::sync::atomic::{AtomicU64, Ordering};
use store::Store;

/// The addresses that count as one source: one IPv4 address, or one IPv6 /64, which is what a single subscriber has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Prefix {
    V4(u32),
    V6(u64),
}

impl Prefix {
    /// An IPv4 address that is mapped to IPv6 is that IPv4 address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// The limits of a pipeline. Shared by all threads; a short lock per limit that is configured.
#[derive(Debug)]
pub(crate) struct Limits {
    apps: Option<Buckets<u64>>,
    prefixes: Option<Buckets<Prefix>>,
    is_dry_run: bool,
    limited: AtomicU64,
}

/// The buckets of one kind of source.
#[derive(Debug)]
struct Buckets<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, Store<K>, Store<K>, NoOpMiddleware<Nanos>>,
    store: Store<K>,
}

impl Limits {
    /// `keys` is the number of sources that are tracked, for each kind.
    pub(crate) fn new(apps: Option<Rate>, prefixes: Option<Rate>, keys: usize, is_dry_run: bool) -> Self {
        Self {
            apps: apps.map(|rate| Buckets::new(rate, keys)),
            prefixes: prefixes.map(|rate| Buckets::new(rate, keys)),
            is_dry_run,
            limited: AtomicU64::new(0),
        }
    }

    /// Counts a disconnect of both sources, and returns its lane. In a dry run always the prompt one.
    pub(crate) fn lane(&self, app: u64, prefix: Option<Prefix>, now: Moment) -> Lane {
        // Both are asked, so that each counts all of its disconnects.
        let is_app_within = self.apps.as_ref().is_none_or(|apps| apps.is_within(&app, now));
        let is_prefix_within = match (&self.prefixes, prefix) {
            (Some(prefixes), Some(prefix)) => prefixes.is_within(&prefix, now),
            _ => true,
        };
        if is_app_within && is_prefix_within {
            return Lane::Prompt;
        }
        // Relaxed: a statistic.
        self.limited.fetch_add(1, Ordering::Relaxed);
        if self.is_dry_run { Lane::Prompt } else { Lane::Late }
    }

    /// Returns the number of disconnects beyond a limit, also in a dry run.
    pub(crate) fn limited(&self) -> u64 {
        // Relaxed: a statistic.
        self.limited.load(Ordering::Relaxed)
    }

    /// Returns the number of disconnects of sources for which the tables had no room.
    pub(crate) fn untracked(&self) -> u64 {
        let apps = self.apps.as_ref().map_or(0, |apps| apps.store.untracked());
        apps + self.prefixes.as_ref().map_or(0, |prefixes| prefixes.store.untracked())
    }
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(rate: Rate, keys: usize) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let store = Store::new(keys);
        Self { limiter: RateLimiter::new(quota, store.clone(), store.clone()), store }
    }

    fn is_within(&self, key: &K, now: Moment) -> bool {
        self.store.advance(now);
        self.limiter.check_key(key).is_ok()
    }
}
