//! Managed nets.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::time::Instant;

use crate::sync::StdArc;

/// The identity of a managed net. 0 and `u64::MAX` name no net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetId(pub u64);

impl NetId {
    /// Whether this can name a net.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 != 0 && self.0 != u64::MAX
    }
}

impl fmt::Display for NetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net {:#018x}", self.0)
    }
}

/// What a managed net asks of the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct NetConfig {
    pub(crate) min_links: u32,
    pub(crate) count_downlinks: bool,
    pub(crate) reserved_only: bool,
}

impl NetConfig {
    /// A minimum of 3 links (the reference's `links_required`), to which downlinks count. Open to every peer.
    pub fn new() -> Self {
        Self { min_links: 3, count_downlinks: true, reserved_only: false }
    }

    /// While the net is active and has fewer links than this, the manager asks the host for candidates.
    pub fn min_links(mut self, links: u32) -> Self {
        self.min_links = links;
        self
    }

    /// Whether links that the peer opened count towards the minimum. With `false`, a well-known node goes on
    /// dialling even when many peers dial it.
    pub fn count_downlinks(mut self, count: bool) -> Self {
        self.count_downlinks = count;
        self
    }

    /// Whether the net is reserved to its permanent peers: no other link is created for it or accounted in
    /// it, and the manager asks for no candidates, however few links there are.
    pub fn reserved_only(mut self, reserved: bool) -> Self {
        self.reserved_only = reserved;
        self
    }

    /// What [`min_links`](Self::min_links) has set.
    #[must_use]
    pub fn links_required(&self) -> u32 {
        self.min_links
    }

    /// What [`count_downlinks`](Self::count_downlinks) has set.
    #[must_use]
    pub fn counts_downlinks(&self) -> bool {
        self.count_downlinks
    }

    /// What [`reserved_only`](Self::reserved_only) has set.
    #[must_use]
    pub fn is_reserved_only(&self) -> bool {
        self.reserved_only
    }
}

impl Default for NetConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// An address that was tried recently: candidates for the net leave it out until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IgnoredEntry<A> {
    pub(crate) addr: A,
    /// Still ignored at this instant, expired after it.
    pub(crate) until: Instant,
}

/// A managed net as one version shows it.
#[derive(Clone, Debug)]
pub struct NetStatus<A> {
    pub(crate) id: NetId,
    pub(crate) config: NetConfig,
    pub(crate) active: bool,
    /// Links counted by the last request phase (kept for ticked timing).
    pub(crate) counted: usize,
    /// No further request goes out before this instant.
    pub(crate) request_not_before: Option<Instant>,
    /// In order of expiry; bounded by the configuration.
    pub(crate) ignored: StdArc<VecDeque<IgnoredEntry<A>>>,
    /// Bounded by the configuration. Copied when it changes, which is rare.
    pub(crate) permanent: StdArc<HashSet<A>>,
}

impl<A> NetStatus<A> {
    pub(crate) fn new(id: NetId, config: NetConfig) -> Self {
        Self {
            id,
            config,
            active: false,
            counted: 0,
            request_not_before: None,
            ignored: StdArc::new(VecDeque::new()),
            permanent: StdArc::new(HashSet::new()),
        }
    }

    /// The identity of the net.
    #[must_use]
    pub fn id(&self) -> NetId {
        self.id
    }

    /// What the net asks for.
    pub fn config(&self) -> NetConfig {
        self.config
    }

    /// Whether the net is on.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// The minimum number of links.
    #[must_use]
    pub fn min_links(&self) -> u32 {
        self.config.min_links
    }

    /// The peers that the net keeps whatever happens, in no particular order.
    #[must_use]
    pub fn permanent_peers(&self) -> impl ExactSizeIterator<Item = &A> {
        self.permanent.iter()
    }
}

impl<A: Eq + Hash> NetStatus<A> {
    /// Whether the net keeps this peer whatever happens. O(1).
    #[must_use]
    pub fn is_permanent(&self, addr: &A) -> bool {
        self.permanent.contains(addr)
    }

    /// Whether a link to this peer may serve the net.
    pub(crate) fn admits(&self, addr: &A) -> bool {
        !self.config.reserved_only || self.is_permanent(addr)
    }
}

impl<A: Clone + PartialEq> NetStatus<A> {
    /// Notes that `addr` was tried; an entry that exists is moved to the new expiry. Keeps at most `limit`
    /// entries: the ones that would expire first go. O(entries). If the address panics, nothing has changed.
    pub(crate) fn ignore(&mut self, addr: &A, until: Instant, limit: usize) {
        let addr = addr.clone();
        let known = self.ignored.iter().position(|entry| entry.addr == addr);
        let hot = StdArc::make_mut(&mut self.ignored);
        if let Some(index) = known {
            hot.remove(index);
        }
        while hot.len() >= limit.max(1) {
            hot.pop_front();
        }
        // The ignore period is the same for all, so the newest entry expires last, unless time stood still
        // or the period was shortened: then its place is found.
        let place = hot.partition_point(|entry| entry.until <= until);
        hot.insert(place, IgnoredEntry { addr, until });
    }

    /// Drops the entries that have expired at `now`; `false` when there was none.
    pub(crate) fn expire_ignored(&mut self, now: Instant) -> bool {
        let expired = self.ignored.partition_point(|entry| entry.until < now);
        if expired > 0 {
            StdArc::make_mut(&mut self.ignored).drain(..expired);
        }
        expired > 0
    }

    /// When the address is on the list: how long it stays.
    pub(crate) fn ignored_until(&self, addr: &A) -> Option<Instant> {
        self.ignored.iter().find(|entry| entry.addr == *addr).map(|entry| entry.until)
    }

    /// The addresses that are still ignored at `now`.
    pub(crate) fn ignored(&self, now: Instant) -> impl Iterator<Item = &A> {
        self.ignored.iter().filter(move |entry| entry.until >= now).map(|entry| &entry.addr)
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use std::time::Duration;

    fn ignored(net: &NetStatus<u8>, now: Instant) -> Vec<u8> {
        net.ignored(now).copied().collect()
    }

    #[test]
    fn a_configuration_can_be_read() {
        let read = |config: NetConfig| {
            (config.links_required(), config.counts_downlinks(), config.is_reserved_only())
        };
        assert_eq!(read(NetConfig::new()), (3, true, false));
        assert_eq!(
            read(NetConfig::new().min_links(7).count_downlinks(false).reserved_only(true)),
            (7, false, true)
        );
    }

    #[test]
    fn an_entry_expires_strictly_after_its_period() {
        let now = ManualClock::new().now();
        let mut net = NetStatus::new(NetId(1), NetConfig::new());
        net.ignore(&7, now + Duration::from_secs(900), 8);
        assert_eq!(ignored(&net, now + Duration::from_secs(900)), [7]);
        assert!(!net.expire_ignored(now + Duration::from_secs(900)));
        let later = now + Duration::from_secs(900) + Duration::from_nanos(1);
        assert!(ignored(&net, later).is_empty());
        assert!(net.expire_ignored(later));
        assert!(net.ignored.is_empty());
    }

    #[test]
    fn heating_again_refreshes_and_never_duplicates() {
        let now = ManualClock::new().now();
        let mut net = NetStatus::new(NetId(1), NetConfig::new());
        net.ignore(&1, now + Duration::from_secs(1), 8);
        net.ignore(&2, now + Duration::from_secs(2), 8);
        net.ignore(&1, now + Duration::from_secs(3), 8);
        assert_eq!(ignored(&net, now), [2, 1]);
        assert_eq!(ignored(&net, now + Duration::from_secs(3)), [1]);
    }

    #[test]
    fn the_list_is_bounded_and_drops_what_expires_first() {
        let now = ManualClock::new().now();
        let mut net = NetStatus::new(NetId(1), NetConfig::new());
        for addr in 0..10 {
            net.ignore(&addr, now + Duration::from_secs(u64::from(addr)), 4);
        }
        assert_eq!(ignored(&net, now), [6, 7, 8, 9]);
    }
}
