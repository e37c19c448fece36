//! The data behind the two locks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::link::addr::Addr;
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, DialState, ResolveId, Stream};
use crate::shadow::answer::LinkView;
use crate::table::DefaultHashBuilder;

/// The nets and their members.
#[derive(Debug)]
pub(super) struct Nets<A> {
    by_id: BTreeMap<NetId, Net<A>>,
}

/// One net.
#[derive(Debug)]
pub(super) struct Net<A> {
    pub(super) config: NetConfig,
    pub(super) active: bool,
    pub(super) request_not_before: Option<Instant>,
    /// The members whose primary stream this node opened.
    pub(super) uplinks: HashSet<A, DefaultHashBuilder>,
    /// The members whose primary stream the peer opened.
    pub(super) downlinks: HashSet<A, DefaultHashBuilder>,
}

impl<A: Addr> Net<A> {
    pub(super) fn members(&self) -> usize {
        self.uplinks.len() + self.downlinks.len()
    }

    /// Returns the number of links by which the net falls short of its minimum, whether switched on or not.
    pub(super) fn needed(&self) -> usize {
        let counted = if self.config.count_downlinks { self.members() } else { self.uplinks.len() };
        (self.config.min_links as usize).saturating_sub(counted)
    }

    pub(super) fn join(&mut self, addr: &A, direction: Direction) {
        match direction {
            Direction::Uplink => self.uplinks.insert(addr.clone()),
            Direction::Downlink => self.downlinks.insert(addr.clone()),
        };
    }

    pub(super) fn leave(&mut self, addr: &A) {
        self.uplinks.remove(addr);
        self.downlinks.remove(addr);
    }
}

impl<A: Addr> Nets<A> {
    pub(super) fn new() -> Self {
        Self { by_id: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: NetId) -> Option<&Net<A>> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: NetId) -> Option<&mut Net<A>> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NetId, &mut Net<A>)> {
        self.by_id.iter_mut().map(|(id, net)| (*id, net))
    }

    pub(super) fn is_active(&self, id: NetId) -> bool {
        self.get(id).is_some_and(|net| net.active)
    }

    pub(super) fn add(&mut self, id: NetId, config: NetConfig) {
        let (uplinks, downlinks) = (HashSet::default(), HashSet::default());
        let net = Net { config, active: false, request_not_before: None, uplinks, downlinks };
        self.by_id.insert(id, net);
    }

    pub(super) fn remove(&mut self, id: NetId) {
        self.by_id.remove(&id);
    }
}

/// The links by address.
#[derive(Debug)]
pub(super) struct Records<A> {
    by_addr: HashMap<A, Record, DefaultHashBuilder>,
    next_dial: u64,
    next_resolve: u64,
}

impl<A: Addr> Records<A> {
    pub(super) fn new() -> Self {
        Self { by_addr: HashMap::default(), next_dial: 1, next_resolve: 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.by_addr.len()
    }

    pub(super) fn get(&self, addr: &A) -> Option<&Record> {
        self.by_addr.get(addr)
    }

    pub(super) fn get_mut(&mut self, addr: &A) -> Option<&mut Record> {
        self.by_addr.get_mut(addr)
    }

    pub(super) fn get_or_insert(&mut self, addr: &A) -> &mut Record {
        self.by_addr.entry(addr.clone()).or_default()
    }

    pub(super) fn remove(&mut self, addr: &A) -> Option<Record> {
        self.by_addr.remove(addr)
    }

    pub(super) fn addrs(&self, which: impl Fn(&Record) -> bool) -> Vec<A> {
        self.by_addr.iter().filter(|(_, record)| which(record)).map(|(addr, _)| addr.clone()).collect()
    }

    pub(super) fn new_dial(&mut self) -> DialId {
        let dial = DialId(self.next_dial);
        self.next_dial += 1;
        dial
    }

    pub(super) fn new_resolve(&mut self) -> ResolveId {
        let resolve = ResolveId(self.next_resolve);
        self.next_resolve += 1;
        resolve
    }
}

/// One link.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Whether a net asked to dial the node.
    pub(super) dialable: bool,
    pub(super) state: DialState,
    pub(super) endpoint: Option<SocketAddr>,
    /// Whether the endpoint arrived since the last failure, so that no resolution is needed.
    pub(super) endpoint_fresh: bool,
    pub(super) nets: Vec<NetId>,
    pub(super) members: Vec<NetId>,
    /// The live streams, the primary one first.
    pub(super) streams: Vec<Stream>,
    /// The direction under which the nets list this link as a member.
    pub(super) filed: Direction,
    /// The dial, and the time at which it last began to wait.
    pub(super) dial: Option<(DialId, Instant)>,
    /// The resolution, and the time at which it was requested.
    pub(super) resolving: Option<(ResolveId, Instant)>,
    pub(super) attempts: u32,
    pub(super) not_before: Option<Instant>,
    pub(super) announce_not_before: Option<Instant>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            dialable: false,
            state: DialState::Disconnected,
            endpoint: None,
            endpoint_fresh: false,
            nets: Vec::new(),
            members: Vec::new(),
            streams: Vec::new(),
            filed: Direction::Downlink,
            dial: None,
            resolving: None,
            attempts: 0,
            not_before: None,
            announce_not_before: None,
        }
    }
}

impl Record {
    pub(super) fn direction(&self) -> Direction {
        self.streams.first().map_or(Direction::Downlink, |primary| primary.direction)
    }

    pub(super) fn has_stream(&self, id: StreamId) -> bool {
        self.streams.iter().any(|stream| stream.id == id)
    }

    pub(super) fn has_stream_of(&self, direction: Direction) -> bool {
        self.streams.iter().any(|stream| stream.direction == direction)
    }

    pub(super) fn close_uplinks(&mut self) {
        self.streams.retain(|stream| stream.direction == Direction::Downlink);
    }

    /// Returns whether anything keeps the record: a net, a membership, or the peer's stream on a link that is
    /// not dialled.
    pub(super) fn has_reason(&self) -> bool {
        let downlink = !self.dialable && !self.streams.is_empty();
        !self.nets.is_empty() || !self.members.is_empty() || downlink
    }

    /// Returns the time at which the awaited answer is overdue.
    pub(super) fn overdue_at(&self, timeout: Option<Duration>) -> Option<Instant> {
        let since = match (self.resolving, self.dial) {
            (Some((_, since)), _) => since,
            (None, Some((_, since))) if self.state == DialState::Connecting || self.streams.is_empty() => {
                since
            }
            _ => return None,
        };
        since.checked_add(timeout?)
    }

    pub(super) fn view<A: Addr>(&self, addr: &A) -> LinkView<A> {
        let mut view = LinkView::new(addr.clone());
        view.direction = self.direction();
        view.state = self.state;
        view.dialable = self.dialable;
        view.endpoint = self.endpoint;
        view.resolving = self.resolving.is_some();
        view.nets.clone_from(&self.nets);
        view.memberships.clone_from(&self.members);
        view.streams.clone_from(&self.streams);
        view.attempts = self.attempts;
        view.in_order()
    }
}
