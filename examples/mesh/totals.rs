//! What is counted over the whole run, by all nodes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchboard::{NodeAddr, StreamId};
use tokio::sync::mpsc;

use crate::names::index_of;

/// Counters of the whole process. They are plain counts that nothing is decided by, so every access is
/// relaxed.
#[derive(Debug)]
pub(crate) struct Totals {
    nodes: usize,
    /// How often each node (row) established a link to each other node (column). Lives longer than the nodes'
    /// tables: a node that comes back has forgotten its peers, but the mesh has not.
    established: Box<[AtomicU64]>,
    /// Streams opened so far.
    streams: Counter,
    /// Announcements that a node refused on purpose.
    pub(crate) refused: Counter,
    /// Connections that a node accepted and never answered, on purpose.
    pub(crate) hung: Counter,
    /// Streams that ended because of what the peer sent.
    pub(crate) malformed: Counter,
    /// Effects that need no action: `Disconnected`, `LinkError`, `LinkCountChanged`.
    pub(crate) notices: Counter,
    /// Commands that never reached a manager that lives, or that it lost.
    pub(crate) dropped_commands: Counter,
    /// Tickets that completed before their change could be seen.
    pub(crate) unseen: Counter,
    /// Managers that began with what an earlier one had exported.
    pub(crate) restarts: Counter,
    /// Links that they got back without being told where anybody is.
    pub(crate) restored_links: Counter,
    /// Managers that took new settings while they ran.
    pub(crate) reconfigured: Counter,
    /// Nodes that a host put into a cluster, or took out.
    pub(crate) host_joins: Counter,
    pub(crate) host_leaves: Counter,
    /// From submitting a command to seeing it in a snapshot. Some samples are lost when nobody takes them.
    visible: mpsc::Sender<Duration>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Totals {
    /// Counters for so many nodes, and the end where the samples of `visible` come out.
    pub(crate) fn new(nodes: u16) -> (Self, mpsc::Receiver<Duration>) {
        let nodes = usize::from(nodes);
        let (visible, samples) = mpsc::channel(4096);
        let totals = Self {
            nodes,
            established: (0..nodes * nodes).map(|_| AtomicU64::new(0)).collect(),
            streams: Counter::default(),
            refused: Counter::default(),
            hung: Counter::default(),
            malformed: Counter::default(),
            notices: Counter::default(),
            dropped_commands: Counter::default(),
            unseen: Counter::default(),
            restarts: Counter::default(),
            restored_links: Counter::default(),
            reconfigured: Counter::default(),
            host_joins: Counter::default(),
            host_leaves: Counter::default(),
            visible,
        };
        (totals, samples)
    }

    /// A node reached a peer and both said hello.
    pub(crate) fn count_established(&self, from: NodeAddr, to: NodeAddr) {
        let (Some(from), Some(to)) = (self.index_of(from), self.index_of(to)) else { return };
        if let Some(count) = self.established.get(from * self.nodes + to) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Links established, counted at the side that dialled, and how many of them to a peer to which the same
    /// node had one before.
    pub(crate) fn established(&self) -> (u64, u64) {
        let counts = self.established.iter().map(|count| count.load(Ordering::Relaxed));
        counts.fold((0, 0), |(all, again), count| (all + count, again + count.saturating_sub(1)))
    }

    /// A name for a stream that no other one of this process ever has.
    pub(crate) fn next_stream(&self) -> StreamId {
        StreamId(self.streams.0.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Notes how long a command took to become visible.
    pub(crate) fn sample_visible(&self, took: Duration) {
        // Full: there are samples enough.
        let _ = self.visible.try_send(took);
    }

    fn index_of(&self, addr: NodeAddr) -> Option<usize> {
        index_of(addr).map(usize::from).filter(|index| *index < self.nodes)
    }
}
