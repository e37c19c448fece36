//! From the manager's effects to sockets: the transport, and the task that owns a node's connections.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fastrand::Rng;
use switchboard::link::{DialId, ResolveId};
use switchboard::{Direction, Effect, Handle, NetId, NodeAddr, StreamId, Transport};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::local::Local;
use crate::sockets::{Ended, Sockets};
use crate::stream::{self, Greeted, Order, Stream};
use crate::truth::Socket;
use crate::wire::Frame;

/// Number of incoming connections that may be in the greeting. Further ones wait in the listener's backlog.
const GREETINGS_MAX: usize = 64;

/// Number of attempts to restore a broken uplink.
const QUICK_TRIES: u32 = 2;

/// Pause before each of these attempts.
const QUICK_PAUSE: Duration = Duration::from_millis(60);

/// Time limit of about half of the dials: shorter than the manager's own limit.
const PATIENCE_SHORT: Duration = Duration::from_millis(700);

/// Time limit of the other dials: longer than the manager's limit, whose cancellation ends the dial.
const PATIENCE_LONG: Duration = Duration::from_secs(5);

/// Pause after a failure of the listener, so that a lasting failure does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Passes the effects of one manager to the task that carries them out.
pub(crate) struct MeshTransport {
    pub(crate) effects: mpsc::Sender<Effect<NodeAddr>>,
}

impl Transport<NodeAddr> for MeshTransport {
    /// Runs on the manager's effects thread, where blocking is allowed: it delays neither the writer nor the
    /// async runtime.
    fn on_effect(&mut self, effect: Effect<NodeAddr>, _handle: &Handle<NodeAddr>) {
        // An error means that the node was killed: its effects are no longer needed.
        let _ = self.effects.blocking_send(effect);
    }
}

/// A request of the supervisor to a node.
pub(crate) enum Request {
    /// Break a random connection, if there is one.
    Cut {
        /// `Order::Reset` or `Order::Freeze`.
        how: Order,
        /// Whether there was one.
        reply: oneshot::Sender<bool>,
    },
    /// Break all connections with this peer. The answer is whether there was one.
    CutPeer(NodeAddr, oneshot::Sender<bool>),
    /// Delete a random link, if there is one. The answer is whether there was one.
    Forget(oneshot::Sender<bool>),
    /// List the connections.
    Sockets(oneshot::Sender<Vec<Socket>>),
}

/// A dial of the manager, from the effect that started it to its end.
struct Dialer {
    dial: DialId,
    endpoint: SocketAddr,
    stage: Stage,
}

enum Stage {
    /// A task is connecting.
    Dialling(AbortHandle),
    /// The dial made this stream.
    Up(StreamId),
}

/// The result of a dialling task.
struct Dialled {
    addr: NodeAddr,
    dial: DialId,
    greeted: Option<Greeted>,
}

/// The owner of all connections of one node: a single task, so nothing needs a lock and the manager receives
/// the reports about each stream in the order of events.
pub(crate) struct Switch {
    local: Local,
    listener: TcpListener,
    effects: mpsc::Receiver<Effect<NodeAddr>>,
    requests: mpsc::Receiver<Request>,
    rng: Rng,
    dialers: HashMap<NodeAddr, Dialer>,
    dials: JoinSet<Dialled>,
    greetings: JoinSet<Option<Greeted>>,
    sockets: Sockets,
}

impl Switch {
    pub(crate) fn new(
        local: Local,
        listener: TcpListener,
        effects: mpsc::Receiver<Effect<NodeAddr>>,
        requests: mpsc::Receiver<Request>,
        rng: Rng,
    ) -> Self {
        Self {
            local,
            listener,
            effects,
            requests,
            rng,
            dialers: HashMap::new(),
            dials: JoinSet::new(),
            greetings: JoinSet::new(),
            sockets: Sockets::default(),
        }
    }

    /// Runs until the task is aborted.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                Some(effect) = self.effects.recv() => self.carry_out(effect).await,
                Some(request) = self.requests.recv() => self.comply(request).await,
                Some(ended) = self.sockets.next_ended() => self.stream_ended(ended).await,
                // A cancelled dial and a panicked greeting need no further action.
                Some(dialled) = self.dials.join_next() => if let Ok(dialled) = dialled {
                    self.dial_ended(dialled).await;
                },
                Some(greeted) = self.greetings.join_next() => if let Ok(Some(greeted)) = greeted {
                    self.open(greeted, None).await;
                },
                accepted = self.listener.accept(), if self.greetings.len() < GREETINGS_MAX => {
                    self.greet(accepted).await;
                }
            }
        }
    }

    async fn carry_out(&mut self, effect: Effect<NodeAddr>) {
        match effect {
            Effect::Resolve { addr, resolve } => self.resolve(addr, resolve).await,
            Effect::Dial { addr, endpoint, dial, .. } => self.dial(addr, endpoint, dial, None),
            Effect::CancelDial { addr, dial } => {
                if self.dialers.get(&addr).is_some_and(|dialer| dialer.dial == dial) {
                    self.hang_up(addr);
                }
            }
            Effect::CloseDialer { addr } => self.hang_up(addr),
            // The report follows when the stream has ended, as for every stream.
            Effect::CloseStreams { streams, .. } => streams.into_iter().for_each(|id| self.sockets.close(id)),
            Effect::Announce { addr, net, stream } => self.announce(addr, net, stream).await,
            Effect::RequestLinks { net, needed } => self.offer(net, needed).await,
            _ => self.local.totals.notices.add(1),
        }
    }

    async fn comply(&mut self, request: Request) {
        // If the send fails, the supervisor no longer waits for the answer.
        match request {
            Request::Cut { how, reply } => drop(reply.send(self.sockets.tell_any(how, &mut self.rng))),
            Request::CutPeer(peer, reply) => drop(reply.send(self.sockets.tell_peer(peer, Order::Reset))),
            Request::Forget(reply) => drop(reply.send(self.forget_any().await)),
            Request::Sockets(reply) => drop(reply.send(self.sockets.list())),
        }
    }

    async fn forget_any(&mut self) -> bool {
        let links = self.local.links.snapshot();
        let mut peers: Vec<NodeAddr> = links.links().map(|link| *link.addr()).collect();
        // Table order is arbitrary: sorted, so that only the seed decides.
        peers.sort_unstable();
        let Some(peer) = self.rng.choice(peers) else { return false };
        self.local.post(|handle| handle.delete_link(peer)).await;
        true
    }

    async fn resolve(&self, addr: NodeAddr, resolve: ResolveId) {
        match self.local.book().and_then(|book| book.get(&addr).copied()) {
            Some(endpoint) => self.local.post(|handle| handle.set_endpoint(addr, endpoint)).await,
            None => self.local.post(|handle| handle.resolve_failed(addr, resolve)).await,
        }
    }

    /// Offers peers to a net that is short of links: those in the address book that are neither ignored nor
    /// members nor already wanted by the net.
    async fn offer(&mut self, net: NetId, needed: u32) {
        let Some(book) = self.local.book() else { return };
        let links = self.local.links.snapshot();
        let ignored: Vec<NodeAddr> = links.ignored(net, Instant::now()).copied().collect();
        let is_candidate = |addr: &NodeAddr| {
            *addr != self.local.addr
                && !ignored.contains(addr)
                && links.get(addr).is_none_or(|link| !link.is_member(net) && !link.nets().contains(&net))
        };
        let mut candidates: Vec<(NodeAddr, SocketAddr)> = book
            .iter()
            .filter(|(addr, _)| is_candidate(addr))
            .map(|(addr, endpoint)| (*addr, *endpoint))
            .collect();
        // Table order is arbitrary: sorted, so that only the seed decides.
        candidates.sort_unstable();
        self.rng.shuffle(&mut candidates);
        for (addr, endpoint) in candidates.into_iter().take(needed as usize) {
            self.local.post(|handle| handle.create_link(addr, net)).await;
            // One time in four the endpoint is left out, so that the manager has to resolve it.
            if self.rng.u8(..4) > 0 {
                // Both commands use the same lane, so the link exists when its endpoint arrives.
                self.local.post(|handle| handle.set_endpoint(addr, endpoint)).await;
            }
        }
    }

    /// Starts a dial: one attempt, or up to `quick` attempts to restore a broken uplink.
    fn dial(&mut self, addr: NodeAddr, endpoint: SocketAddr, dial: DialId, quick: Option<u32>) {
        self.hang_up(addr);
        let own = self.local.addr;
        let patience = if self.rng.bool() { PATIENCE_SHORT } else { PATIENCE_LONG };
        let task = self.dials.spawn(async move {
            let mut greeted = None;
            for _ in 0..quick.unwrap_or(1) {
                if quick.is_some() {
                    sleep(QUICK_PAUSE).await;
                }
                greeted = timeout(patience, stream::dial(own, addr, endpoint)).await.ok().flatten();
                if greeted.is_some() {
                    break;
                }
            }
            Dialled { addr, dial, greeted }
        });
        self.dialers.insert(addr, Dialer { dial, endpoint, stage: Stage::Dialling(task) });
    }

    async fn dial_ended(&mut self, Dialled { addr, dial, greeted }: Dialled) {
        // If the dial was cancelled just after it succeeded, its connection is dropped here.
        let Some(dialer) = self.dialers.get(&addr).filter(|dialer| dialer.dial == dial) else { return };
        let endpoint = dialer.endpoint;
        let Some(greeted) = greeted else {
            self.dialers.remove(&addr);
            return self.local.post(|handle| handle.dial_failed(addr, dial, true)).await;
        };
        self.local.totals.count_established(self.local.addr, addr);
        if self.local.is_alone() {
            self.local.totals.restored_links.add(1);
        }
        // The stream is reported first, then the success of the dial that made it.
        let id = self.open(greeted, Some(dial)).await;
        self.dialers.insert(addr, Dialer { dial, endpoint, stage: Stage::Up(id) });
        self.local.post(|handle| handle.dial_connected(addr, dial)).await;
    }

    /// Ends the dial to a node and closes the connection that it made.
    fn hang_up(&mut self, addr: NodeAddr) {
        match self.dialers.remove(&addr).map(|dialer| dialer.stage) {
            Some(Stage::Dialling(task)) => task.abort(),
            Some(Stage::Up(id)) => self.sockets.close(id),
            None => {}
        }
    }

    async fn greet(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let Ok((socket, remote)) = accepted else { return sleep(ACCEPT_PAUSE).await };
        let hangs = self.local.faults.hangs(&mut self.rng);
        self.greetings.spawn(stream::accept(self.local.clone(), socket, remote, hangs));
    }

    /// Registers a ready connection, made by a dial or by the peer, with the manager, and starts its task.
    async fn open(&mut self, Greeted { peer, ends, wire }: Greeted, dial: Option<DialId>) -> StreamId {
        let id = self.local.totals.next_stream();
        let direction = if dial.is_some() { Direction::Uplink } else { Direction::Downlink };
        let added = |handle: &Handle<NodeAddr>| match dial {
            Some(dial) => handle.add_uplink(peer, id, dial),
            None => handle.add_stream(peer, id, direction),
        };
        let registered = self.local.submit(added).await;
        let (local, rng) = (self.local.clone(), self.rng.fork());
        let socket = Socket { id, peer, direction, ends };
        self.sockets.open(socket, |orders| {
            Stream { local, peer, id, wire, orders, rng, meter: None, asked: None }.run(registered)
        });
        id
    }

    async fn announce(&mut self, addr: NodeAddr, net: NetId, stream: StreamId) {
        if !self.sockets.tell(stream, Order::Send(Frame::Announce(net))) {
            self.local.post(|handle| handle.refuse(net, addr, stream)).await;
        }
    }

    /// Handles the end of a stream: reports the stream that takes over, if any, and redials a broken uplink.
    async fn stream_ended(&mut self, Ended { id, peer, successor, broke }: Ended) {
        match successor {
            Some((new, direction)) => {
                let _ = self.local.apply(|handle| handle.replace_stream(peer, id, new, direction)).await;
                // The memberships of the old stream must be announced again on the new one: the peer may have
                // seen the old stream end before the new one arrived, and dropped them.
                self.sockets.tell(new, Order::Refresh);
            }
            None => self.local.post(|handle| handle.delete_stream(peer, id)).await,
        }
        let Some(dialer) = self.dialers.get(&peer) else { return };
        let Stage::Up(stream) = dialer.stage else { return };
        if stream != id {
            return;
        }
        let (dial, endpoint) = (dialer.dial, dialer.endpoint);
        self.dialers.remove(&peer);
        self.local.post(|handle| handle.dial_failed(peer, dial, !broke)).await;
        if broke {
            self.dial(peer, endpoint, dial, Some(QUICK_TRIES));
        }
    }
}
