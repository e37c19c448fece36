//! One node: a manager, a listener, and the task between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use switchboard::{
    AddressPolicy, Config, LinkManager, Links, Metrics, NetConfig, NetId, NodeAddr, RetryPolicy,
    ShutdownReport,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::faults::Faults;
use crate::local::{AddressBook, Local};
use crate::run::Failure;
use crate::stream::Order;
use crate::totals::{Totals, addr_of};
use crate::transport::{MeshTransport, Request, Switch};
use crate::truth::Socket;

/// Effects that may wait for a node's task. More of them wait in the manager's own queue, where they are
/// merged.
const EFFECTS_MAX: usize = 256;

/// Requests of the supervisor that may wait for a node's task.
const REQUESTS_MAX: usize = 8;

/// How long a manager may take to end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// What all nodes are made of.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) nets: Vec<NetId>,
    pub(crate) min_links: u16,
    pub(crate) book: AddressBook,
    pub(crate) faults: Arc<Faults>,
    pub(crate) totals: Arc<Totals>,
}

impl Blueprint {
    /// Everything here is faster than it would be between hosts, so that a short run sees many failures.
    fn config(&self, index: u16) -> Config {
        Config::default()
            .name(format!("node-{index}"))
            .tick(Duration::from_millis(150))
            .cooling(Duration::from_millis(500))
            .max_attempts(2)
            .retry(RetryPolicy::Fixed(Duration::from_millis(200)))
            .dial_timeout(Duration::from_millis(1200))
            .addresses(AddressPolicy::new().allow_loopback(true))
            .outbox(NonZeroUsize::MIN.saturating_add(4095))
    }
}

/// A node that is alive.
pub(crate) struct Node {
    pub(crate) addr: NodeAddr,
    pub(crate) endpoint: SocketAddr,
    pub(crate) links: Links,
    pub(crate) metrics: Metrics,
    manager: LinkManager,
    requests: mpsc::Sender<Request>,
    switch: JoinHandle<()>,
}

impl Node {
    /// Starts a node: at the endpoint `wanted`, if that is still to be had.
    pub(crate) async fn start(
        blueprint: &Blueprint,
        index: u16,
        wanted: Option<SocketAddr>,
        rng: Rng,
    ) -> Result<Self, Failure> {
        let listener = listen(wanted).await?;
        let (endpoint, addr) = (listener.local_addr()?, addr_of(index));
        let (sender, effects) = mpsc::channel(EFFECTS_MAX);
        let manager = LinkManager::builder(blueprint.config(index))
            .own_addr(addr)
            .transport(MeshTransport { effects: sender })
            .spawn()?;
        let Blueprint { book, faults, totals, .. } = blueprint.clone();
        let local = Local { addr, handle: manager.handle(), links: manager.links(), book, faults, totals };
        let net_config = NetConfig::new().min_links(u32::from(blueprint.min_links));
        for net in blueprint.nets.iter().copied() {
            local.apply(|handle| handle.add_net(net, net_config)).await?;
            local.apply(|handle| handle.set_net_condition(net, true)).await?;
        }
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (links, metrics) = (manager.links(), Metrics::new(&manager));
        let switch = tokio::spawn(Switch::new(local, listener, effects, inbox, rng).run());
        Ok(Self { addr, endpoint, links, metrics, manager, requests, switch })
    }

    /// Breaks a random connection; `false` when there is none.
    pub(crate) async fn cut(&self, how: Order) -> bool {
        let (reply, cut) = oneshot::channel();
        self.requests.send(Request::Cut { how, reply }).await.is_ok() && cut.await.unwrap_or(false)
    }

    /// Deletes a random link; `false` when there is none.
    pub(crate) async fn forget(&self) -> bool {
        let (reply, forgotten) = oneshot::channel();
        self.requests.send(Request::Forget(reply)).await.is_ok() && forgotten.await.unwrap_or(false)
    }

    /// The connections that the transport has.
    pub(crate) async fn sockets(&self) -> Vec<Socket> {
        let (reply, sockets) = oneshot::channel();
        match self.requests.send(Request::Sockets(reply)).await {
            Ok(()) => sockets.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Whether the task that owns the connections has ended, which it does only when it is killed.
    pub(crate) fn is_broken(&self) -> bool {
        self.switch.is_finished()
    }

    /// Ends the node at once: its connections break without a word, its manager is told to end.
    pub(crate) async fn kill(self) -> ShutdownReport {
        self.switch.abort();
        // Cancelled, or it had panicked: either way its sockets are closed now.
        let _ = self.switch.await;
        let manager = self.manager;
        // The shutdown waits for threads, which is nothing for a task.
        let ended = tokio::task::spawn_blocking(move || manager.shutdown(SHUTDOWN_LIMIT)).await;
        ended.unwrap_or_default()
    }
}

async fn listen(wanted: Option<SocketAddr>) -> std::io::Result<TcpListener> {
    if let Some(endpoint) = wanted
        && let Ok(listener) = TcpListener::bind(endpoint).await
    {
        return Ok(listener);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}
