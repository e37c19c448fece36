//! The rules for when a link is dialled or announced, and when a net requests candidates. The core acts on
//! them, and snapshots use them to explain their state.

use std::time::Instant;

use super::blockers::{DialBlocker, RequestBlocker};
use super::config::Timing;
use super::directory::{Counts, Directory, Indexes, Membership, counts};
use crate::link::addr::Addr;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::{DialState, NetStatus};

/// The rules, evaluated on one state of the nets, published or staged.
pub(crate) struct Rules<'a, A> {
    members: &'a Membership<A>,
    directory: &'a Directory<A>,
    timing: Timing,
}

impl<'a, A: Addr> Rules<'a, A> {
    pub(crate) fn new(indexes: &'a Indexes<A>, timing: Timing) -> Self {
        Self { members: &indexes.0, directory: &indexes.1, timing }
    }

    /// The conditions that prevent the link from being dialled, except for the retry delay.
    pub(crate) fn blockers(&self, link: &'a Link<A>) -> impl Iterator<Item = DialBlocker> + 'a {
        let directory = self.directory;
        // A live stream of the peer makes a dial superfluous. The reference design considers memberships
        // only, and wakes up links of inactive nets.
        let immediate = self.timing == Timing::Immediate;
        let connected = link.is_active() || (immediate && !link.streams.is_empty());
        let unwanted = link.nets.is_empty() && link.designations.is_empty();
        let by_net = link.nets.iter().any(|net| !immediate || directory.is_net_active(*net));
        let idle = !unwanted && !by_net && !self.has_enabled_static(link);
        let blockers = [
            (!directory.active).then_some(DialBlocker::ManagerInactive),
            (!link.dialable).then_some(DialBlocker::PureDownlink),
            (link.dial.is_some() || link.state != DialState::Disconnected)
                .then_some(DialBlocker::Busy(link.state)),
            link.resolving.is_some().then_some(DialBlocker::Resolving),
            connected.then_some(DialBlocker::Connected),
            unwanted.then_some(DialBlocker::Unwanted),
        ];
        let nets = link.nets.iter().filter(move |_| idle).map(|net| DialBlocker::NetInactive(*net));
        let clusters = link.static_clusters().filter(move |_| idle).map(DialBlocker::ClusterDisabled);
        let reserved = unwanted.then(|| self.refusals(&link.addr)).into_iter().flatten();
        blockers.into_iter().flatten().chain(nets).chain(clusters).chain(reserved)
    }

    /// The nets that cannot want the address, because they are reserved for other peers.
    pub(crate) fn refusals(&self, addr: &'a A) -> impl Iterator<Item = DialBlocker> + 'a {
        let nets = self.directory.nets().iter().filter(move |net| !net.admits(addr));
        nets.map(|net| DialBlocker::NetReserved(net.id()))
    }

    /// Whether the node is a static peer of an enabled cluster.
    pub(crate) fn has_enabled_static(&self, link: &Link<A>) -> bool {
        link.static_clusters().any(|cluster| self.directory.is_cluster_enabled(cluster))
    }

    /// Whether there is a reason to dial the link and nothing prevents it, except perhaps the retry delay.
    pub(crate) fn may_dial(&self, link: &Link<A>) -> bool {
        self.blockers(link).next().is_none()
    }

    /// Whether the retry delay is over. It may have restarted while the endpoint was being resolved.
    pub(crate) fn is_ripe(&self, link: &Link<A>, now: Instant) -> bool {
        link.not_before.is_none_or(|at| self.is_past(at, now))
    }

    /// The instant at which the link is dialled.
    pub(crate) fn dial_due(&self, link: &Link<A>) -> Option<Instant> {
        self.may_dial(link).then(|| link.not_before.unwrap_or(self.directory.epoch))
    }

    /// Whether the endpoint is resolved before the dial. The reference design resolves it each time.
    pub(crate) fn must_resolve(&self, link: &Link<A>) -> bool {
        link.endpoint.is_none() || !link.endpoint_fresh || self.timing == Timing::Ticked
    }

    /// The instant at which nets that are not yet announced are announced.
    pub(crate) fn announce_due(&self, link: &Link<A>) -> Option<Instant> {
        // The reference design repeats announcements only on links that it dialled, at every wake-up after
        // the delay.
        let after = match self.timing {
            Timing::Immediate => link.announce_not_before,
            Timing::Ticked if link.state == DialState::Established => link.not_before,
            Timing::Ticked => return None,
        };
        let open =
            self.directory.active && link.primary().is_some() && self.unannounced(link).next().is_some();
        open.then(|| after.unwrap_or(self.directory.epoch))
    }

    /// The active nets that want the link and of which it is not a member.
    pub(crate) fn unannounced<'l>(&'l self, link: &'l Link<A>) -> impl Iterator<Item = NetId> + 'l {
        let open = |net: &NetId| self.directory.is_net_active(*net) && !link.is_member(*net);
        link.nets.iter().copied().filter(open)
    }

    /// The instant at which the resolution or dial in progress times out.
    pub(crate) fn time_limit(&self, link: &Link<A>) -> Option<Instant> {
        // A connection whose stream was never reported, or was refused, does not count as connected.
        let awaited = link.state == DialState::Connecting || link.streams.is_empty();
        let connecting = link.dial.filter(|_| awaited).map(|dial| dial.since);
        let resolving = link.resolving.map(|resolve| resolve.since);
        resolving.or(connecting)?.checked_add(self.directory.settings.dial_timeout?)
    }

    /// The instant at which the link must be processed next.
    pub(crate) fn due(&self, link: &Link<A>) -> Option<Instant> {
        let dues = [self.time_limit(link), self.announce_due(link), self.dial_due(link)];
        dues.into_iter().flatten().min()
    }

    /// Whether a time limit is over: see [`Timing::is_past`].
    pub(crate) fn is_past(&self, at: Instant, now: Instant) -> bool {
        self.timing.is_past(at, now)
    }

    /// The number of links that count towards the minimum.
    pub(crate) fn counted(&self, net: &NetStatus<A>) -> usize {
        let Counts { uplinks, downlinks } = counts(self.members, net.id());
        if net.config().count_downlinks { uplinks + downlinks } else { uplinks }
    }

    /// The number of links that an active net is short of; 0 for an inactive one.
    pub(crate) fn needed(&self, net: &NetStatus<A>) -> u32 {
        if net.is_active() && self.directory.active { self.needed_if_active(net) } else { 0 }
    }

    /// The number of links that a net is short of, regardless of whether it is active; 0 for a reserved net.
    pub(crate) fn needed_if_active(&self, net: &NetStatus<A>) -> u32 {
        // A minimum of zero needs no count.
        if net.config().reserved_only || net.min_links() == 0 {
            return 0;
        }
        let counted = u32::try_from(self.counted(net)).unwrap_or(u32::MAX);
        net.min_links().saturating_sub(counted)
    }

    /// The instant at which a net that is short of links requests candidates. The reference design requests
    /// them in each request phase.
    pub(crate) fn request_due(&self, net: &NetStatus<A>) -> Option<Instant> {
        let after = net.request_not_before.filter(|_| self.timing == Timing::Immediate);
        (self.needed(net) > 0).then(|| after.unwrap_or(self.directory.epoch))
    }

    /// The conditions that prevent a net from requesting candidates, except for the delay.
    pub(crate) fn request_blockers(&self, net: &NetStatus<A>) -> impl Iterator<Item = RequestBlocker> {
        let enough = self.counted(net) >= net.min_links() as usize;
        let blockers = [
            (!self.directory.active).then_some(RequestBlocker::ManagerInactive),
            (!net.is_active()).then_some(RequestBlocker::NetInactive),
            net.config().reserved_only.then_some(RequestBlocker::Reserved),
            enough.then_some(RequestBlocker::Enough),
        ];
        blockers.into_iter().flatten()
    }
}
