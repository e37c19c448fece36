//! The connections of one node, in the order in which they were opened.

use std::collections::HashMap;
use std::future::Future;

use fastrand::Rng;
use switchboard::{Direction, NodeAddr, StreamId};
use tokio::sync::mpsc;
use tokio::task::{self, JoinSet};

use crate::stream::Order;
use crate::truth::Socket;

/// Number of orders that may wait for one stream. A stream that falls further behind is closed.
const ORDERS_MAX: usize = 64;

/// A connection that has ended.
pub(crate) struct Ended {
    pub(crate) id: StreamId,
    pub(crate) peer: NodeAddr,
    /// The stream that takes over, if the one that ended was the primary one and others are left.
    pub(crate) successor: Option<(StreamId, Direction)>,
    /// Whether it was in use and was not closed by this node.
    pub(crate) broke: bool,
}

struct Entry {
    socket: Socket,
    /// `None` once the stream was told to close.
    orders: Option<mpsc::Sender<Order>>,
}

/// The connections of one node. Each has its own task; its entry lives as long as the task.
#[derive(Default)]
pub(crate) struct Sockets {
    entries: HashMap<StreamId, Entry>,
    /// The streams with each peer, the primary one first.
    peers: HashMap<NodeAddr, Vec<StreamId>>,
    tasks: JoinSet<bool>,
    ids: HashMap<task::Id, StreamId>,
}

impl Sockets {
    /// Adds a connection and starts the task that `run` makes for it. The task returns whether the connection
    /// was ever in use.
    pub(crate) fn open<F>(&mut self, socket: Socket, run: impl FnOnce(mpsc::Receiver<Order>) -> F)
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let task = self.tasks.spawn(run(inbox));
        self.ids.insert(task.id(), socket.id);
        self.peers.entry(socket.peer).or_default().push(socket.id);
        self.entries.insert(socket.id, Entry { socket, orders: Some(orders) });
    }

    /// Tells a stream to close, if it exists. It stays listed until it has closed.
    pub(crate) fn close(&mut self, id: StreamId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.orders = None;
        }
    }

    /// Sends an order to a stream; `false` if the stream does not exist or is closing.
    pub(crate) fn tell(&mut self, id: StreamId, order: Order) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let told = entry.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok());
        if !told {
            entry.orders = None;
        }
        told
    }

    /// Sends an order to a random stream that is not closing; `false` if there is none.
    pub(crate) fn tell_any(&mut self, order: Order, rng: &mut Rng) -> bool {
        let mut open: Vec<StreamId> = self
            .entries
            .values()
            .filter(|entry| entry.orders.is_some())
            .map(|entry| entry.socket.id)
            .collect();
        // Map order is arbitrary: sorted, so that only the seed decides.
        open.sort_unstable();
        rng.choice(open).is_some_and(|id| self.tell(id, order))
    }

    /// Sends an order to all streams with a peer; `false` if none received it.
    pub(crate) fn tell_peer(&mut self, peer: NodeAddr, order: Order) -> bool {
        let streams = self.peers.get(&peer).cloned().unwrap_or_default();
        streams.into_iter().filter(|id| self.tell(*id, order)).count() > 0
    }

    /// Returns all connections.
    pub(crate) fn list(&self) -> Vec<Socket> {
        self.entries.values().map(|entry| entry.socket).collect()
    }

    /// Waits until a stream has ended; `None` if there are no streams. Cancel safe.
    pub(crate) async fn next_ended(&mut self) -> Option<Ended> {
        loop {
            let (task, used) = match self.tasks.join_next_with_id().await? {
                Ok(ended) => ended,
                Err(error) => (error.id(), true),
            };
            // Every task has an entry as soon as it is started.
            if let Some(ended) = self.ids.remove(&task).and_then(|id| self.remove(id, used)) {
                return Some(ended);
            }
        }
    }

    fn remove(&mut self, id: StreamId, used: bool) -> Option<Ended> {
        let Entry { socket, orders } = self.entries.remove(&id)?;
        let broke = used && orders.is_some();
        Some(Ended { id, peer: socket.peer, successor: self.succeed(socket), broke })
    }

    /// Removes a stream from its peer's list and returns the one that becomes primary instead.
    fn succeed(&mut self, ended: Socket) -> Option<(StreamId, Direction)> {
        let streams = self.peers.get_mut(&ended.peer)?;
        let was_primary = streams.first() == Some(&ended.id);
        streams.retain(|id| *id != ended.id);
        if streams.is_empty() {
            self.peers.remove(&ended.peer);
            return None;
        }
        // A stream that is closing cannot take over.
        let lives = |id: &StreamId| self.entries.get(id).is_some_and(|entry| entry.orders.is_some());
        let place = streams.iter().position(lives).filter(|_| was_primary)?;
        let id = streams.remove(place);
        streams.insert(0, id);
        Some((id, self.entries.get(&id)?.socket.direction))
    }
}
