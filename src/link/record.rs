//! The record of one remote node.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use crate::link::cluster::{By, ClusterId, Designation};
use crate::link::counters::Counters;
use crate::link::data::UserData;
use crate::link::dial::{Dial, DialId, DialState};
use crate::link::flaps::Flaps;
use crate::link::net::NetId;
use crate::link::stream::{Direction, Stream, StreamId};

/// The identity of one question for an endpoint: from the effect that asks it to the answer, or to the end of
/// the wait for one. Chosen by the manager, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResolveId(pub u64);

impl fmt::Display for ResolveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resolve {}", self.0)
    }
}

/// A question for the endpoint that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolve {
    pub(crate) id: ResolveId,
    /// When it was asked: bounds how long the answer may take.
    pub(crate) since: Instant,
}

/// Everything known about one remote node.
///
/// A record exists as long as there is a reason for it: a net that wants the link, a membership, a cluster of
/// which the node is a static peer, or a live stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<A> {
    pub(crate) addr: A,
    pub(crate) direction: Direction,
    pub(crate) state: DialState,
    pub(crate) dialable: bool,
    pub(crate) endpoint: Option<SocketAddr>,
    /// The endpoint was supplied since the last failure, so that it need not be asked for again.
    pub(crate) endpoint_fresh: bool,
    pub(crate) nets: Vec<NetId>,
    /// Main clusters, by their nets.
    pub(crate) members: Vec<NetId>,
    /// Associated clusters of which the node is a member.
    pub(crate) clusters: Vec<ClusterId>,
    /// Clusters of which the node is a static peer: one entry each.
    pub(crate) designations: Vec<Designation>,
    /// The first one is the primary stream.
    pub(crate) streams: Vec<Stream>,
    pub(crate) dial: Option<Dial>,
    pub(crate) resolving: Option<Resolve>,
    pub(crate) attempts: u32,
    pub(crate) not_before: Option<Instant>,
    /// Until then the link rests, because it was unstable.
    pub(crate) resting: bool,
    pub(crate) announce_not_before: Option<Instant>,
    /// The dialer has had a connection since the record was made.
    pub(crate) proven: bool,
    pub(crate) drops: Option<Flaps>,
    /// When the record was made.
    pub(crate) since: Instant,
    /// Failures since the last success: what the retry policy is asked with. Unlike `attempts` it does not
    /// start anew when the nets were told.
    pub(crate) failures: u32,
    pub(crate) user_data: Option<UserData>,
    /// Shared by all versions of the record.
    pub(crate) counters: Counters,
}

impl<A> Link<A> {
    pub(crate) fn new(addr: A, now: Instant) -> Self {
        Self {
            addr,
            direction: Direction::Downlink,
            state: DialState::Disconnected,
            dialable: false,
            endpoint: None,
            endpoint_fresh: false,
            nets: Vec::new(),
            members: Vec::new(),
            clusters: Vec::new(),
            designations: Vec::new(),
            streams: Vec::new(),
            dial: None,
            resolving: None,
            attempts: 0,
            not_before: None,
            resting: false,
            announce_not_before: None,
            proven: false,
            drops: None,
            since: now,
            failures: 0,
            user_data: None,
            counters: Counters::new(now),
        }
    }

    /// The address of the remote node.
    #[must_use]
    pub fn addr(&self) -> &A {
        &self.addr
    }

    /// Which side opened the primary stream; [`Direction::Downlink`] while there is none.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// How far the dialer has come.
    #[must_use]
    pub fn state(&self) -> DialState {
        self.state
    }

    /// Whether the manager may dial this node: some net or cluster asked for it. `false` for a pure downlink.
    #[must_use]
    pub fn is_dialable(&self) -> bool {
        self.dialable
    }

    /// Where the node was last known to listen.
    #[must_use]
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// The nets that want this link, in the order in which they asked.
    #[must_use]
    pub fn nets(&self) -> &[NetId] {
        &self.nets
    }

    /// The nets in whose main cluster the node is a member.
    #[must_use]
    pub fn memberships(&self) -> &[NetId] {
        &self.members
    }

    /// Whether the node is a member of the main cluster of `net`.
    #[must_use]
    pub fn is_member(&self, net: NetId) -> bool {
        self.members.contains(&net)
    }

    /// The associated clusters of which the node is a member.
    #[must_use]
    pub fn clusters(&self) -> &[ClusterId] {
        &self.clusters
    }

    /// Whether the node is a member of a cluster: a main one or an associated one.
    #[must_use]
    pub fn is_cluster_member(&self, cluster: ClusterId) -> bool {
        if cluster.is_main() { self.is_member(cluster.net()) } else { self.clusters.contains(&cluster) }
    }

    /// The clusters of which the node is a static peer, in the order in which it became one.
    pub fn static_clusters(&self) -> impl ExactSizeIterator<Item = ClusterId> {
        self.designations.iter().map(|designation| designation.cluster)
    }

    /// Whether the node is a static peer of `cluster`.
    #[must_use]
    pub fn is_static_peer(&self, cluster: ClusterId) -> bool {
        self.static_clusters().any(|other| other == cluster)
    }

    /// Flaps in a row that are remembered at `now`: see [`FlapPolicy`](crate::link::FlapPolicy).
    #[must_use]
    pub fn flaps(&self, now: Instant) -> u32 {
        self.drops.filter(|drops| now <= drops.until).map_or(0, |drops| drops.count)
    }

    /// The live streams, the primary one first.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The stream that announcements and messages use.
    #[must_use]
    pub fn primary(&self) -> Option<Stream> {
        self.streams.first().copied()
    }

    /// The dial that is under way or holds the connection.
    #[must_use]
    pub fn dial_id(&self) -> Option<DialId> {
        self.dial.map(|dial| dial.id)
    }

    /// Whether the manager waits for the host to say where this node listens.
    #[must_use]
    pub fn is_resolving(&self) -> bool {
        self.resolving.is_some()
    }

    /// The question for the endpoint that is under way.
    #[must_use]
    pub fn resolve_id(&self) -> Option<ResolveId> {
        self.resolving.map(|resolve| resolve.id)
    }

    /// Dial cycles that failed in a row, of those that [`Config::max_attempts`](crate::Config::max_attempts)
    /// grants.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Failures in a row (dial cycles, and announcements that the peer refused) since the node was last
    /// reached or accepted: what the [`RetryPolicy`](crate::RetryPolicy) is asked with.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// No dial starts before this instant. `None`: whenever there is a reason to.
    #[must_use]
    pub fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// The earliest instant for the next dial: the end of the retry delay, or one that has passed when there
    /// is none. `None` while the record itself rules a dial out: a pure downlink, a member of a net or
    /// cluster, a dial or a question for the endpoint under way.
    ///
    /// Whether the dial is then wanted is a matter of the nets and of live streams:
    /// [`LinksSnapshot::explain`](crate::LinksSnapshot::explain) looks at these, too.
    #[must_use]
    pub fn next_attempt_at(&self) -> Option<Instant> {
        let idle = self.dialable && self.is_idle() && !self.is_active();
        idle.then(|| self.not_before.unwrap_or(self.since))
    }

    /// When the record was made. A link that is forgotten and comes back has a new record.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// What the user has attached, if it is a `T`.
    #[must_use]
    pub fn user_data<T: Any>(&self) -> Option<&T> {
        self.user_data.as_ref()?.downcast_ref()
    }

    /// The traffic of the link: shared by all versions of the record, and newer than any of them.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// No dial before this instant, after a failure.
    pub(crate) fn delay_until(&mut self, at: Instant) {
        self.not_before = Some(at);
        self.resting = false;
    }

    /// No dial before this instant, because the link is unstable.
    pub(crate) fn rest_until(&mut self, at: Instant) {
        self.not_before = Some(at);
        self.resting = true;
    }

    /// The dialer does nothing and holds nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == DialState::Disconnected && self.dial.is_none() && self.resolving.is_none()
    }

    pub(crate) fn stream(&self, id: StreamId) -> Option<Stream> {
        self.streams.iter().copied().find(|stream| stream.id == id)
    }

    /// Joins the main cluster of `net`; `false` when it is a member already.
    pub(crate) fn join(&mut self, net: NetId) -> bool {
        let absent = !self.is_member(net);
        if absent {
            self.members.push(net);
        }
        absent
    }

    /// Leaves the main cluster of `net`; `false` when it was no member.
    pub(crate) fn leave(&mut self, net: NetId) -> bool {
        let before = self.members.len();
        self.members.retain(|member| *member != net);
        self.members.len() != before
    }

    /// Joins an associated cluster; `false` when it is a member already.
    pub(crate) fn join_cluster(&mut self, cluster: ClusterId) -> bool {
        let absent = !self.clusters.contains(&cluster);
        if absent {
            self.clusters.push(cluster);
        }
        absent
    }

    /// Leaves an associated cluster; `false` when it was no member.
    pub(crate) fn leave_cluster(&mut self, cluster: ClusterId) -> bool {
        let before = self.clusters.len();
        self.clusters.retain(|member| *member != cluster);
        self.clusters.len() != before
    }

    /// Leaves every cluster, as a link without a stream does.
    pub(crate) fn leave_all(&mut self) {
        self.members.clear();
        self.clusters.clear();
    }

    /// Whether the node is a member of any cluster.
    pub(crate) fn is_active(&self) -> bool {
        !self.members.is_empty() || !self.clusters.is_empty()
    }

    /// Whether the node is a static peer of the cluster by this word.
    pub(crate) fn is_designated(&self, cluster: ClusterId, by: By) -> bool {
        self.designations.iter().any(|designation| designation.cluster == cluster && designation.is_by(by))
    }

    /// Makes the node a static peer of the cluster.
    pub(crate) fn designate(&mut self, cluster: ClusterId, by: By) {
        let known = self.designations.iter().position(|designation| designation.cluster == cluster);
        let index = known.unwrap_or_else(|| {
            self.designations.push(Designation { cluster, asked: false, role: false });
            self.designations.len() - 1
        });
        *self.designations[index].by(by) = true;
    }

    /// Takes a designation by this word back.
    pub(crate) fn undesignate(&mut self, cluster: ClusterId, by: By) {
        for designation in self.designations.iter_mut().filter(|designation| designation.cluster == cluster) {
            *designation.by(by) = false;
        }
        self.designations.retain(|designation| designation.asked || designation.role);
    }

    /// The net no longer wants this link; `false` when it did not.
    pub(crate) fn dissociate(&mut self, net: NetId) -> bool {
        let before = self.nets.len();
        self.nets.retain(|wanted| *wanted != net);
        self.nets.len() != before
    }

    /// Puts the first of the remaining streams in the place of the primary one.
    pub(crate) fn follow_primary(&mut self) {
        self.direction = self.primary().map_or(Direction::Downlink, |stream| stream.direction);
    }

    /// As [`follow_primary`](Self::follow_primary). What was announced on another stream may have died with it.
    pub(crate) fn turn_to_primary(&mut self, before: Option<Stream>) {
        self.follow_primary();
        if self.primary().map(|stream| stream.id) != before.map(|stream| stream.id) {
            self.announce_not_before = None;
        }
    }

    /// Whether there is a stream that this node opened.
    pub(crate) fn has_uplink(&self) -> bool {
        self.streams.iter().any(|stream| stream.direction == Direction::Uplink)
    }

    /// Nobody asks to dial the node any more: what is left is the streams that it opened.
    pub(crate) fn demote(&mut self) {
        self.dialable = false;
        self.state = DialState::Disconnected;
        self.dial = None;
        self.resolving = None;
        self.attempts = 0;
        self.failures = 0;
        self.streams.retain(|stream| stream.direction == Direction::Downlink);
        self.follow_primary();
    }

    /// The dialer has a connection. Its stream may still have to come.
    pub(crate) fn establish(&mut self, now: Instant) {
        self.state = DialState::Established;
        self.attempts = 0;
        self.failures = 0;
        if let Some(dial) = &mut self.dial {
            dial.since = now;
        }
    }

    /// The connection of the dialer is gone; the dialer itself goes on.
    pub(crate) fn break_connection(&mut self, now: Instant) {
        self.state = DialState::Connecting;
        if let Some(dial) = &mut self.dial {
            dial.since = now;
        }
    }

    /// Heap memory of the record where it is shared, without what the address owns.
    pub(crate) fn bytes(&self) -> usize {
        let nets = size_of_val(&*self.nets) + size_of_val(&*self.members);
        let clusters = size_of_val(&*self.clusters) + size_of_val(&*self.designations);
        let lists = nets + clusters + size_of_val(&*self.streams);
        size_of::<Self>() + 2 * size_of::<usize>() + lists + Counters::BYTES
    }

    /// Whether anything keeps the record: a net that wants it, a membership, a designation, or, for a pure
    /// downlink, a stream.
    pub(crate) fn has_reason(&self) -> bool {
        !self.nets.is_empty()
            || self.is_active()
            || !self.designations.is_empty()
            || (!self.dialable && !self.streams.is_empty())
    }
}
