//! Counters over the whole run and all nodes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchboard::{NodeAddr, StreamId};
use tokio::sync::mpsc;

use crate::names::index_of;

/// The counters of the process. No decision depends on them, so every access is relaxed.
#[derive(Debug)]
pub(crate) struct Totals {
    nodes: usize,
    /// Number of links established by each node (row) to each other node (column). Outlives the nodes' own
    /// tables: a killed node forgets its streams, but these counts stay.
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
    /// Commands that never reached a living manager, or that the manager dropped.
    pub(crate) dropped_commands: Counter,
    /// Tickets that completed before their change was visible.
    pub(crate) unseen: Counter,
    /// Managers started from an export.
    pub(crate) restarts: Counter,
    /// Links that they restored without the address book.
    pub(crate) restored_links: Counter,
    /// Managers reconfigured while running.
    pub(crate) reconfigured: Counter,
    /// Nodes that a host added to a cluster, and nodes that it removed.
    pub(crate) host_joins: Counter,
    pub(crate) host_leaves: Counter,
    /// Times from submitting a command to seeing its change. Samples are lost while the channel is full.
    visible: mpsc::Sender<Duration>,
}

/// A number that only increases.
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
    /// Creates the counters for `nodes` nodes, and the receiver of the samples of `visible`.
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

    /// Counts a link that a node established: both sides have said hello.
    pub(crate) fn count_established(&self, from: NodeAddr, to: NodeAddr) {
        let (Some(from), Some(to)) = (self.index_of(from), self.index_of(to)) else { return };
        if let Some(count) = self.established.get(from * self.nodes + to) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Number of links established, counted at the side that dialled, and number of those to a peer that the
    /// same node had been linked to before.
    pub(crate) fn established(&self) -> (u64, u64) {
        let counts = self.established.iter().map(|count| count.load(Ordering::Relaxed));
        counts.fold((0, 0), |(all, again), count| (all + count, again + count.saturating_sub(1)))
    }

    /// Returns an identity for a stream, unique in this process.
    pub(crate) fn next_stream(&self) -> StreamId {
        StreamId(self.streams.0.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Records the time that a command took to become visible.
    pub(crate) fn sample_visible(&self, took: Duration) {
        // If the channel is full, there are enough samples.
        let _ = self.visible.try_send(took);
    }

    fn index_of(&self, addr: NodeAddr) -> Option<usize> {
        index_of(addr).map(usize::from).filter(|index| *index < self.nodes)
    }
}
