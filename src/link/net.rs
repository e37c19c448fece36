//! Managed nets.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::time::Instant;

use crate::link::failure::LinkFailure;
use crate::sync::StdArc;

/// The identity of a managed net. 0 and `u64::MAX` are not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetId(pub u64);

impl NetId {
    /// Whether this is a valid identity of a net.
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

/// The configuration of a managed net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct NetConfig {
    /// The minimum number of links. While the net is active and has fewer, the manager asks the host for
    /// candidates. Default 3.
    pub min_links: u32,
    /// Whether links that the peer opened count towards the minimum. With `false`, a well-known node keeps
    /// dialling even if many peers dial it. Default `true`.
    pub count_downlinks: bool,
    /// Whether the net is reserved for its permanent peers: no other link is created for it or admitted to
    /// it, and the manager requests no candidates, regardless of the number of links. Default `false`.
    pub reserved_only: bool,
}

impl NetConfig {
    /// The default configuration: a minimum of 3 links (the `links_required` of the reference design),
    /// including downlinks, and open to every peer.
    pub fn new() -> Self {
        Self { min_links: 3, count_downlinks: true, reserved_only: false }
    }

    /// Sets the minimum number of links. While the net is active and has fewer, the manager asks the host for
    /// candidates.
    pub fn min_links(mut self, links: u32) -> Self {
        self.min_links = links;
        self
    }

    /// Sets whether links that the peer opened count towards the minimum. With `false`, a well-known node
    /// keeps dialling even if many peers dial it.
    pub fn count_downlinks(mut self, count: bool) -> Self {
        self.count_downlinks = count;
        self
    }

    /// Sets whether the net is reserved for its permanent peers: no other link is created for it or admitted
    /// to it, and the manager requests no candidates, regardless of the number of links.
    pub fn reserved_only(mut self, reserved: bool) -> Self {
        self.reserved_only = reserved;
        self
    }
}

impl Default for NetConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// An address that was tried recently. It should not be offered as a candidate for the net until the entry
/// expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IgnoredEntry<A> {
    pub(crate) addr: A,
    /// The last instant at which the address is ignored.
    pub(crate) until: Instant,
    /// The cause for which the net lost the link since the address was tried.
    pub(crate) failure: Option<LinkFailure>,
}

/// A managed net, as of one version.
#[derive(Clone, Debug)]
pub struct NetStatus<A> {
    pub(crate) id: NetId,
    pub(crate) config: NetConfig,
    pub(crate) active: bool,
    /// Number of links counted by the last request phase (used with ticked timing).
    pub(crate) counted: usize,
    /// The earliest instant of the next request.
    pub(crate) request_not_before: Option<Instant>,
    /// Sorted by expiry; bounded by the configuration.
    pub(crate) ignored: StdArc<VecDeque<IgnoredEntry<A>>>,
    /// Bounded by the configuration. Copied on change, which is rare.
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

    /// The configuration of the net.
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

    /// The permanent peers of the net, in no particular order.
    #[must_use]
    pub fn permanent_peers(&self) -> impl ExactSizeIterator<Item = &A> {
        self.permanent.iter()
    }
}

impl<A: Eq + Hash> NetStatus<A> {
    /// Whether this is a permanent peer of the net. O(1).
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
    /// Notes that `addr` was tried; an existing entry moves to the new expiry. Keeps at most `limit` entries,
    /// and removes those that expire first. O(entries). A panic in the code of the address leaves the list
    /// unchanged.
    pub(crate) fn ignore(&mut self, addr: &A, until: Instant, failure: Option<LinkFailure>, limit: usize) {
        let addr = addr.clone();
        let known = self.ignored.iter().position(|entry| entry.addr == addr);
        let ignored = StdArc::make_mut(&mut self.ignored);
        if let Some(index) = known {
            ignored.remove(index);
        }
        while ignored.len() >= limit.max(1) {
            ignored.pop_front();
        }
        // The ignore period is the same for all entries, and the newest one usually expires last. The search
        // handles a clock that stood still and a period that was shortened.
        let place = ignored.partition_point(|entry| entry.until <= until);
        ignored.insert(place, IgnoredEntry { addr, until, failure });
    }

    /// Removes the entries that have expired at `now`. Returns `false` if there were none.
    pub(crate) fn expire_ignored(&mut self, now: Instant) -> bool {
        let expired = self.ignored.partition_point(|entry| entry.until < now);
        if expired > 0 {
            StdArc::make_mut(&mut self.ignored).drain(..expired);
        }
        expired > 0
    }

    /// The entry of the address, if it is on the list.
    pub(crate) fn ignored_entry(&self, addr: &A) -> Option<&IgnoredEntry<A>> {
        self.ignored.iter().find(|entry| entry.addr == *addr)
    }

    /// The place of the address on the list.
    pub(crate) fn ignored_index(&self, addr: &A) -> Option<usize> {
        self.ignored.iter().position(|entry| entry.addr == *addr)
    }

    /// Notes why the net lost the link to the address at this place.
    pub(crate) fn note_failure(&mut self, index: usize, cause: LinkFailure) {
        if let Some(entry) = StdArc::make_mut(&mut self.ignored).get_mut(index) {
            entry.failure = Some(cause);
        }
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
        let read = |config: NetConfig| (config.min_links, config.count_downlinks, config.reserved_only);
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
        net.ignore(&7, now + Duration::from_secs(900), None, 8);
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
        net.ignore(&1, now + Duration::from_secs(1), None, 8);
        net.ignore(&2, now + Duration::from_secs(2), None, 8);
        net.ignore(&1, now + Duration::from_secs(3), None, 8);
        assert_eq!(ignored(&net, now), [2, 1]);
        assert_eq!(ignored(&net, now + Duration::from_secs(3)), [1]);
    }

    #[test]
    fn the_list_is_bounded_and_drops_what_expires_first() {
        let now = ManualClock::new().now();
        let mut net = NetStatus::new(NetId(1), NetConfig::new());
        for addr in 0..10 {
            net.ignore(&addr, now + Duration::from_secs(u64::from(addr)), None, 4);
        }
        assert_eq!(ignored(&net, now), [6, 7, 8, 9]);
    }
}
