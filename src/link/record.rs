//! The record of one remote node.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use crate::link::cluster::{By, ClusterId, Designation};
use crate::link::counters::Counters;
use crate::link::data::UserData;
use crate::link::dial::{Dial, DialId, DialState};
use crate::link::failure::LinkFailure;
use crate::link::flaps::Flaps;
use crate::link::net::NetId;
use crate::link::stream::{Direction, Stream, StreamId};

/// The identity of one resolution, from the effect that requests it to the answer or the end of the wait for
/// it. Chosen by the manager, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResolveId(pub u64);

impl fmt::Display for ResolveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resolve {}", self.0)
    }
}

/// A resolution in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolve {
    pub(crate) id: ResolveId,
    /// The instant at which it was requested; bounds the wait for the answer.
    pub(crate) since: Instant,
}

/// The record of one remote node.
///
/// A record exists as long as there is a reason to keep it: a net that wants the link, a membership, a
/// cluster of which the node is a static peer, or a live stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<A> {
    pub(crate) addr: A,
    pub(crate) direction: Direction,
    pub(crate) state: DialState,
    pub(crate) dialable: bool,
    pub(crate) endpoint: Option<SocketAddr>,
    /// Whether the endpoint was supplied since the last failure and need not be resolved again.
    pub(crate) endpoint_fresh: bool,
    pub(crate) nets: Vec<NetId>,
    /// The nets in whose main cluster the node is a member.
    pub(crate) members: Vec<NetId>,
    /// The associated clusters of which the node is a member.
    pub(crate) clusters: Vec<ClusterId>,
    /// The clusters of which the node is a static peer, one entry each.
    pub(crate) designations: Vec<Designation>,
    /// The live streams; the first one is the primary stream.
    pub(crate) streams: Vec<Stream>,
    pub(crate) dial: Option<Dial>,
    pub(crate) resolving: Option<Resolve>,
    pub(crate) attempts: u32,
    pub(crate) not_before: Option<Instant>,
    /// Whether the link rests until `not_before`, because it was flapping.
    pub(crate) resting: bool,
    pub(crate) announce_not_before: Option<Instant>,
    /// Whether the dialer has had a connection since the record was created.
    pub(crate) proven: bool,
    pub(crate) flaps: Option<Flaps>,
    /// The instant at which the record was created.
    pub(crate) since: Instant,
    /// Failures since the last success, the argument of the retry policy. Unlike `attempts`, not reset when
    /// the nets are notified.
    pub(crate) failures: u32,
    /// The cause of the last failure, until the node is reached or admitted.
    pub(crate) last_failure: Option<LinkFailure>,
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
            flaps: None,
            since: now,
            failures: 0,
            last_failure: None,
            user_data: None,
            counters: Counters::new(now),
        }
    }

    /// The address of the remote node.
    #[must_use]
    pub fn addr(&self) -> &A {
        &self.addr
    }

    /// The direction of the primary stream; [`Direction::Downlink`] while there is none.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The state of the dialer.
    #[must_use]
    pub fn state(&self) -> DialState {
        self.state
    }

    /// Whether the manager may dial this node because a net or cluster wants it. `false` for a pure downlink.
    #[must_use]
    pub fn is_dialable(&self) -> bool {
        self.dialable
    }

    /// The last known endpoint of the node.
    #[must_use]
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// The nets that want this link, in the order in which they were added.
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

    /// Whether the node is a member of a main or associated cluster.
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

    /// The number of consecutive flaps that are remembered at `now`: see
    /// [`FlapPolicy`](crate::link::FlapPolicy).
    #[must_use]
    pub fn flaps(&self, now: Instant) -> u32 {
        self.flaps.filter(|flaps| now <= flaps.until).map_or(0, |flaps| flaps.count)
    }

    /// The live streams, the primary one first.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The primary stream, which announcements and messages use.
    #[must_use]
    pub fn primary(&self) -> Option<Stream> {
        self.streams.first().copied()
    }

    /// The identity of the dial that is in progress or holds the connection.
    #[must_use]
    pub fn dial_id(&self) -> Option<DialId> {
        self.dial.map(|dial| dial.id)
    }

    /// Whether the manager waits for the host to supply the endpoint of this node.
    #[must_use]
    pub fn is_resolving(&self) -> bool {
        self.resolving.is_some()
    }

    /// The identity of the resolution in progress.
    #[must_use]
    pub fn resolve_id(&self) -> Option<ResolveId> {
        self.resolving.map(|resolve| resolve.id)
    }

    /// The number of consecutive dial cycles that failed, out of those that
    /// [`Config::max_attempts`](crate::Config::max_attempts) allows.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The number of failures (dial cycles, and announcements that the peer refused) since the node was last
    /// reached or admitted: the argument of the [`RetryPolicy`](crate::RetryPolicy).
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The cause of the last failure since the node was last reached or admitted. `None` if there was none;
    /// not part of an [export](crate::LinksSnapshot::export).
    #[must_use]
    pub fn last_failure(&self) -> Option<LinkFailure> {
        self.last_failure
    }

    /// The instant before which no dial starts. `None` if there is no such limit.
    #[must_use]
    pub fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// The earliest instant of the next dial: the end of the retry delay, or an instant in the past if there
    /// is none. `None` while the record itself rules out a dial: the link is a pure downlink, the node is a
    /// member of a net or cluster, or a dial or resolution is in progress.
    ///
    /// Whether the node is dialled at that instant also depends on the nets and on live streams:
    /// [`LinksSnapshot::explain`](crate::LinksSnapshot::explain) takes these into account.
    #[must_use]
    pub fn next_attempt_at(&self) -> Option<Instant> {
        let idle = self.dialable && self.is_idle() && !self.is_active();
        idle.then(|| self.not_before.unwrap_or(self.since))
    }

    /// The instant at which the record was created. A link that is removed and created again has a new
    /// record.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The user value attached to the link, if it is a `T`.
    #[must_use]
    pub fn user_data<T: Any>(&self) -> Option<&T> {
        self.user_data.as_ref()?.downcast_ref()
    }

    /// The traffic counters of the link, which all versions of the record share and which are newer than any
    /// version.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Forbids dials before this instant, after a failure.
    pub(crate) fn delay_until(&mut self, at: Instant) {
        self.not_before = Some(at);
        self.resting = false;
    }

    /// Forbids dials before this instant, because the link is flapping.
    pub(crate) fn rest_until(&mut self, at: Instant) {
        self.not_before = Some(at);
        self.resting = true;
    }

    /// Ends a series of failures: the node was reached or admitted.
    pub(crate) fn clear_failures(&mut self) {
        self.failures = 0;
        self.last_failure = None;
    }

    /// Whether the dialer has neither a dial nor a resolution in progress, and holds no connection.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == DialState::Disconnected && self.dial.is_none() && self.resolving.is_none()
    }

    pub(crate) fn stream(&self, id: StreamId) -> Option<Stream> {
        self.streams.iter().copied().find(|stream| stream.id == id)
    }

    /// Joins the main cluster of `net`. Returns `false` if the node is already a member.
    pub(crate) fn join(&mut self, net: NetId) -> bool {
        let absent = !self.is_member(net);
        if absent {
            self.members.push(net);
        }
        absent
    }

    /// Leaves the main cluster of `net`. Returns `false` if the node was not a member.
    pub(crate) fn leave(&mut self, net: NetId) -> bool {
        let before = self.members.len();
        self.members.retain(|member| *member != net);
        self.members.len() != before
    }

    /// Joins an associated cluster. Returns `false` if the node is already a member.
    pub(crate) fn join_cluster(&mut self, cluster: ClusterId) -> bool {
        let absent = !self.clusters.contains(&cluster);
        if absent {
            self.clusters.push(cluster);
        }
        absent
    }

    /// Leaves an associated cluster. Returns `false` if the node was not a member.
    pub(crate) fn leave_cluster(&mut self, cluster: ClusterId) -> bool {
        let before = self.clusters.len();
        self.clusters.retain(|member| *member != cluster);
        self.clusters.len() != before
    }

    /// Leaves every cluster, as required of a link without a stream.
    pub(crate) fn leave_all(&mut self) {
        self.members.clear();
        self.clusters.clear();
    }

    /// Whether the node is a member of any cluster.
    pub(crate) fn is_active(&self) -> bool {
        !self.members.is_empty() || !self.clusters.is_empty()
    }

    /// Whether the node is a static peer of the cluster by this origin.
    pub(crate) fn is_designated(&self, cluster: ClusterId, by: By) -> bool {
        self.designations.iter().any(|designation| designation.cluster == cluster && designation.is_by(by))
    }

    /// Adds a designation of this origin for the cluster.
    pub(crate) fn designate(&mut self, cluster: ClusterId, by: By) {
        let known = self.designations.iter().position(|designation| designation.cluster == cluster);
        let index = known.unwrap_or_else(|| {
            self.designations.push(Designation { cluster, asked: false, role: false });
            self.designations.len() - 1
        });
        *self.designations[index].by(by) = true;
    }

    /// Withdraws the designation of this origin for the cluster.
    pub(crate) fn undesignate(&mut self, cluster: ClusterId, by: By) {
        for designation in self.designations.iter_mut().filter(|designation| designation.cluster == cluster) {
            *designation.by(by) = false;
        }
        self.designations.retain(|designation| designation.asked || designation.role);
    }

    /// Notes that the net no longer wants this link. Returns `false` if it did not want it.
    pub(crate) fn dissociate(&mut self, net: NetId) -> bool {
        let before = self.nets.len();
        self.nets.retain(|wanted| *wanted != net);
        self.nets.len() != before
    }

    /// Sets the direction to that of the present primary stream.
    pub(crate) fn follow_primary(&mut self) {
        self.direction = self.primary().map_or(Direction::Downlink, |stream| stream.direction);
    }

    /// Like [`follow_primary`](Self::follow_primary); if the primary stream has changed, also ends the delay
    /// of announcements, because those made on the earlier stream may have died with it.
    pub(crate) fn turn_to_primary(&mut self, before: Option<Stream>) {
        self.follow_primary();
        if self.primary().map(|stream| stream.id) != before.map(|stream| stream.id) {
            self.announce_not_before = None;
        }
    }

    /// Whether the link has a stream that this node opened.
    pub(crate) fn has_uplink(&self) -> bool {
        self.streams.iter().any(|stream| stream.direction == Direction::Uplink)
    }

    /// Turns the link into a pure downlink, because no net or cluster wants to dial it any more: only the
    /// streams that the peer opened remain.
    pub(crate) fn demote(&mut self) {
        self.dialable = false;
        self.state = DialState::Disconnected;
        self.dial = None;
        self.resolving = None;
        self.attempts = 0;
        self.clear_failures();
        self.streams.retain(|stream| stream.direction == Direction::Downlink);
        self.follow_primary();
    }

    /// Notes that the dialer has a connection, whose stream may not have been reported yet.
    pub(crate) fn establish(&mut self, now: Instant) {
        self.state = DialState::Established;
        self.attempts = 0;
        self.clear_failures();
        if let Some(dial) = &mut self.dial {
            dial.since = now;
        }
    }

    /// Notes that the connection of the dialer broke, while the dialer itself keeps trying.
    pub(crate) fn break_connection(&mut self, now: Instant) {
        self.state = DialState::Connecting;
        if let Some(dial) = &mut self.dial {
            dial.since = now;
        }
    }

    /// Heap memory of the shared record, without memory that the address owns.
    pub(crate) fn bytes(&self) -> usize {
        let nets = size_of_val(&*self.nets) + size_of_val(&*self.members);
        let clusters = size_of_val(&*self.clusters) + size_of_val(&*self.designations);
        let lists = nets + clusters + size_of_val(&*self.streams);
        size_of::<Self>() + 2 * size_of::<usize>() + lists + Counters::BYTES
    }

    /// Whether there is a reason to keep the record: a net that wants it, a membership, a designation, or,
    /// for a pure downlink, a stream.
    pub(crate) fn has_reason(&self) -> bool {
        !self.nets.is_empty()
            || self.is_active()
            || !self.designations.is_empty()
            || (!self.dialable && !self.streams.is_empty())
    }
}
