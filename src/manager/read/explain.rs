//! Explains, as data, why a link is kept or not dialled.

use std::time::Instant;

use super::snapshot::LinksSnapshot;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::failure::LinkFailure;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::stream::{Direction, StreamId};
use crate::manager::model::blockers::{DialBlocker, RequestBlocker};

/// A reason to keep a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeepReason {
    /// This net wants the link.
    WantedBy(NetId),
    /// The node is a member of the main cluster of this net.
    MemberOf(NetId),
    /// The node is a permanent peer of this net, which is on.
    PermanentPeerOf(NetId),
    /// The node is a static peer of this cluster.
    StaticPeerOf(ClusterId),
    /// The node is a member of this associated cluster.
    MemberOfCluster(ClusterId),
    /// The peer opened this stream, which is live.
    Downlink(StreamId),
}

/// A net on whose ignore list the address is, because it was tried recently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct IgnoreEntry {
    /// The net.
    pub net: NetId,
    /// The last instant at which the address is on the list.
    pub until: Instant,
    /// The cause for which the net lost the link since the address was tried. Unlike
    /// [`LinkExplanation::failure`], it remains when the link is removed.
    pub failure: Option<LinkFailure>,
}

/// An action that the manager takes for a link on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Asks the host for the endpoint of the node, in order to dial it.
    Resolve,
    /// Dials the node.
    Dial,
    /// Announces the nets of which the node is not yet a member.
    Announce,
    /// Stops waiting for an answer of the host, or for a stream, and counts a failure.
    TimeOut,
}

/// The action that follows unless a command intervenes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlannedAction {
    /// The action.
    pub action: Action,
    /// The earliest instant of the action, not before the one given to `explain`. With immediate timing the
    /// action is taken at this instant; with ticked timing in the first wake-up phase after it.
    pub at: Instant,
}

/// An explanation of why a link exists, why it is not dialled, and which action follows.
///
/// Returned by [`LinksSnapshot::explain`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkExplanation {
    /// The reasons to keep the link; empty if there is no link.
    pub reasons: Vec<KeepReason>,
    /// All conditions that prevent the manager from dialling it.
    pub blockers: Vec<DialBlocker>,
    /// The nets on whose ignore list the address is.
    pub ignored: Vec<IgnoreEntry>,
    /// The cause of the link's last failure, until the node is reached or admitted:
    /// [`Link::last_failure`](crate::Link::last_failure).
    pub failure: Option<LinkFailure>,
    /// The next action that the manager takes for the link on its own.
    pub next: Option<PlannedAction>,
}

impl LinkExplanation {
    /// Whether any condition prevents the link from being dialled. If `false`, the manager dials it (with
    /// ticked timing, in the next wake-up phase).
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.blockers.is_empty()
    }

    /// Whether the link exists.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.blockers.contains(&DialBlocker::NoLink)
    }
}

/// An explanation of whether a net is short of links, and when it requests candidates.
///
/// Returned by [`LinksSnapshot::explain_net`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetExplanation {
    /// The number of links needed to reach the minimum, counted in this version; 0 for an unknown net and for
    /// one that is reserved for its permanent peers.
    pub needed: usize,
    /// All conditions that prevent it from requesting candidates.
    pub blockers: Vec<RequestBlocker>,
    /// The earliest instant of the next request; with ticked timing, the net requests candidates in the first
    /// request phase after it. `None` while a condition other than the delay prevents it.
    pub next_request: Option<Instant>,
}

impl<A: Addr> LinksSnapshot<A> {
    /// Explains why the link of an address exists, why it is not dialled, and which action follows, as of
    /// `now`.
    ///
    /// The answer follows from the rules on which the manager acts: a link that is not
    /// [blocked](LinkExplanation::is_blocked) is dialled. O(nets of the link + ignored addresses of all
    /// nets); allocates the lists. Wait-free.
    ///
    /// # Examples
    /// ```
    /// use switchboard::{Config, LinkManager, NetConfig, NetId, NodeAddr};
    /// use switchboard::clock::{Clock, ManualClock};
    /// use switchboard::manager::explain::{DialBlocker, KeepReason};
    ///
    /// let clock = ManualClock::new();
    /// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
    /// let addr = NodeAddr(7);
    /// driver.handle().add_net(NetId(1), NetConfig::new())?;
    /// driver.handle().create_link(addr, NetId(1))?;
    /// let _ = driver.run_once(clock.now());
    ///
    /// let explanation = driver.links().snapshot().explain(&addr, clock.now());
    /// assert_eq!(explanation.reasons, [KeepReason::WantedBy(NetId(1))]);
    /// assert_eq!(explanation.blockers, [DialBlocker::NetInactive(NetId(1))]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn explain(&self, addr: &A, now: Instant) -> LinkExplanation {
        let ignored = self.nets().iter().filter_map(|net| {
            let entry = net.ignored_entry(addr).filter(|entry| entry.until >= now)?;
            Some(IgnoreEntry { net: net.id(), until: entry.until, failure: entry.failure })
        });
        let ignored = ignored.collect();
        let rules = self.rules();
        let Some(link) = self.get(addr) else {
            let none = [
                Some(DialBlocker::NoLink),
                addr.is_blank().then_some(DialBlocker::BlankAddr),
                (self.own() == Some(addr)).then_some(DialBlocker::OwnAddr),
            ];
            let blockers = none.into_iter().flatten().chain(rules.refusals(addr)).collect();
            return LinkExplanation { reasons: Vec::new(), blockers, ignored, failure: None, next: None };
        };
        let mut blockers: Vec<_> = rules.blockers(link).collect();
        let delay =
            |until| if link.resting { DialBlocker::Flapping { until } } else { DialBlocker::Delay { until } };
        blockers.extend(link.not_before.filter(|at| !rules.is_past(*at, now)).map(delay));
        LinkExplanation {
            reasons: self.reasons(link).collect(),
            blockers,
            ignored,
            failure: link.last_failure,
            next: self.next(link, now),
        }
    }

    /// Explains whether a net is short of links, and when it requests candidates, as of `now`. O(1);
    /// allocates a list. Wait-free.
    #[must_use]
    pub fn explain_net(&self, net: NetId, now: Instant) -> NetExplanation {
        let Some(status) = self.net(net) else {
            return NetExplanation {
                needed: 0,
                blockers: vec![RequestBlocker::UnknownNet],
                next_request: None,
            };
        };
        let rules = self.rules();
        let due = rules.request_due(status);
        let mut blockers: Vec<_> = rules.request_blockers(status).collect();
        blockers.extend(
            due.filter(|until| !rules.is_past(*until, now)).map(|until| RequestBlocker::Delay { until }),
        );
        NetExplanation {
            needed: rules.needed_if_active(status) as usize,
            blockers,
            next_request: due.map(|due| due.max(now)),
        }
    }

    /// The earliest of all actions planned for the link.
    fn next(&self, link: &Link<A>, now: Instant) -> Option<PlannedAction> {
        let rules = self.rules();
        let dial = if rules.must_resolve(link) { Action::Resolve } else { Action::Dial };
        let planned = [
            (Action::TimeOut, rules.time_limit(link)),
            (Action::Announce, rules.announce_due(link)),
            (dial, rules.dial_due(link)),
        ];
        let planned =
            planned.into_iter().filter_map(|(action, at)| Some(PlannedAction { action, at: at?.max(now) }));
        planned.min_by_key(|next| next.at)
    }

    /// The reasons to keep a link.
    fn reasons(&self, link: &Link<A>) -> impl Iterator<Item = KeepReason> {
        let wanted = link.nets.iter().map(|net| KeepReason::WantedBy(*net));
        let permanent = link.nets.iter().copied().filter(|net| {
            self.net(*net).is_some_and(|status| status.is_active() && status.is_permanent(&link.addr))
        });
        let fixed = link.static_clusters().map(KeepReason::StaticPeerOf);
        let member = link.members.iter().map(|net| KeepReason::MemberOf(*net));
        let clusters = link.clusters.iter().map(|cluster| KeepReason::MemberOfCluster(*cluster));
        let downlinks = link.streams.iter().filter(|stream| stream.direction == Direction::Downlink);
        let kept = wanted.chain(permanent.map(KeepReason::PermanentPeerOf)).chain(fixed);
        kept.chain(member).chain(clusters).chain(downlinks.map(|stream| KeepReason::Downlink(stream.id)))
    }
}
