//! Why a version is as it is: data, not text.

use std::time::Instant;

use super::snapshot::LinksSnapshot;
use crate::link::{Addr, ClusterId, Direction, Link, NetId, StreamId};
use crate::manager::model::blockers::{Hold, RequestHold};

/// What keeps a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
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
    /// The peer has opened this stream, which is alive.
    Downlink(StreamId),
}

/// Candidates for a net leave the address out, because it was tried recently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ignored {
    /// The net.
    pub net: NetId,
    /// The last instant at which they do.
    pub until: Instant,
}

/// What the manager does about a link by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// It asks the host where the node listens, in order to dial it.
    Resolve,
    /// It dials.
    Dial,
    /// It announces the nets that the link is no member of.
    Announce,
    /// It stops waiting for an answer of the host, or for a stream, and counts a failure.
    TimeOut,
}

/// What happens next, if nothing comes between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextStep {
    /// What.
    pub step: Step,
    /// Not before this instant, and not before the one for which the explanation was asked. With prompt timing
    /// exactly then; with the reference timings in the first wake-up phase after it.
    pub at: Instant,
}

/// Why a link is there, why it is not dialled, and what happens next.
///
/// Made by [`LinksSnapshot::explain`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// What keeps the link; empty when there is none.
    pub reasons: Vec<Reason>,
    /// All that keeps the manager from dialling it.
    pub holds: Vec<Hold>,
    /// The nets whose candidates leave the address out.
    pub ignored: Vec<Ignored>,
    /// What the manager does next about the link by itself.
    pub next: Option<NextStep>,
}

impl Explanation {
    /// Whether something keeps the link from being dialled. `false`: the manager dials it (with the reference
    /// timings: in its next wake-up phase).
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.holds.is_empty()
    }

    /// Whether there is a link.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.holds.contains(&Hold::NoLink)
    }
}

/// Whether a net is short of links, and what it does about it.
///
/// Made by [`LinksSnapshot::explain_net`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetExplanation {
    /// Links short of the minimum, counted in this version; 0 for an unknown net and for one that
    /// is reserved to its permanent peers.
    pub short_of: usize,
    /// All that keeps it from asking for candidates.
    pub holds: Vec<RequestHold>,
    /// When it asks next: not before this instant; with the reference timings in the first request phase after
    /// it. `None` while something other than time keeps it from asking.
    pub next_request: Option<Instant>,
}

impl<A: Addr> LinksSnapshot<A> {
    /// Why the link of an address is there, why it is not dialled, and what happens next, seen from `now`.
    ///
    /// The answer comes from the rules by which the manager acts: what is not
    /// [held](Explanation::is_held) is dialled. O(nets of the link + ignored addresses of all nets);
    /// allocates the lists. Wait-free.
    ///
    /// # Examples
    /// ```
    /// use switchboard::{Clock, Config, Hold, LinkManager, ManualClock, NetConfig, NetId, NodeAddr, Reason};
    ///
    /// let clock = ManualClock::new();
    /// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
    /// let addr = NodeAddr(7);
    /// driver.handle().add_net(NetId(1), NetConfig::new())?;
    /// driver.handle().create_link(addr, NetId(1))?;
    /// let _ = driver.run_once(clock.now());
    ///
    /// let explanation = driver.links().snapshot().explain(&addr, clock.now());
    /// assert_eq!(explanation.reasons, [Reason::WantedBy(NetId(1))]);
    /// assert_eq!(explanation.holds, [Hold::NetInactive(NetId(1))]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn explain(&self, addr: &A, now: Instant) -> Explanation {
        let ignored = self.nets().iter().filter_map(|net| {
            let until = net.ignored_until(addr).filter(|until| *until >= now)?;
            Some(Ignored { net: net.id(), until })
        });
        let ignored = ignored.collect();
        let rules = self.rules();
        let Some(link) = self.get(addr) else {
            let holds = std::iter::once(Hold::NoLink).chain(rules.refusals(addr)).collect();
            return Explanation { reasons: Vec::new(), holds, ignored, next: None };
        };
        let mut holds: Vec<_> = rules.holds(link).collect();
        let delay = |until| if link.resting { Hold::Unstable { until } } else { Hold::Delay { until } };
        holds.extend(link.not_before.filter(|at| !rules.is_past(*at, now)).map(delay));
        Explanation { reasons: self.reasons(link).collect(), holds, ignored, next: self.next(link, now) }
    }

    /// Whether a net is short of links, and what it does about it, seen from `now`. O(1); allocates a list.
    /// Wait-free.
    #[must_use]
    pub fn explain_net(&self, net: NetId, now: Instant) -> NetExplanation {
        let Some(status) = self.net(net) else {
            return NetExplanation { short_of: 0, holds: vec![RequestHold::UnknownNet], next_request: None };
        };
        let rules = self.rules();
        let due = rules.request_due(status);
        let mut holds: Vec<_> = rules.request_holds(status).collect();
        holds.extend(
            due.filter(|until| !rules.is_past(*until, now)).map(|until| RequestHold::Delay { until }),
        );
        NetExplanation {
            short_of: rules.missing(status) as usize,
            holds,
            next_request: due.map(|due| due.max(now)),
        }
    }

    /// The first of all that is planned for the link.
    fn next(&self, link: &Link<A>, now: Instant) -> Option<NextStep> {
        let rules = self.rules();
        let dial = if rules.must_resolve(link) { Step::Resolve } else { Step::Dial };
        let planned = [
            (Step::TimeOut, rules.time_limit(link)),
            (Step::Announce, rules.announce_due(link)),
            (dial, rules.dial_due(link)),
        ];
        let planned = planned.into_iter().filter_map(|(step, at)| Some(NextStep { step, at: at?.max(now) }));
        planned.min_by_key(|next| next.at)
    }

    /// What keeps a link.
    fn reasons(&self, link: &Link<A>) -> impl Iterator<Item = Reason> {
        let wanted = link.nets.iter().map(|net| Reason::WantedBy(*net));
        let permanent = link.nets.iter().copied().filter(|net| {
            self.net(*net).is_some_and(|status| status.is_active() && status.is_permanent(&link.addr))
        });
        let fixed = link.static_clusters().map(Reason::StaticPeerOf);
        let member = link.members.iter().map(|net| Reason::MemberOf(*net));
        let clusters = link.clusters.iter().map(|cluster| Reason::MemberOfCluster(*cluster));
        let downlinks = link.streams.iter().filter(|stream| stream.direction == Direction::Downlink);
        let kept = wanted.chain(permanent.map(Reason::PermanentPeerOf)).chain(fixed);
        kept.chain(member).chain(clusters).chain(downlinks.map(|stream| Reason::Downlink(stream.id)))
    }
}
