//! One node: a manager, a listener, and the task that connects them.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use switchboard::manager::ShutdownReport;
use switchboard::manager::export::Export;
use switchboard::{Config, LinkManager, Links, Metrics, NodeAddr};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::faults::Faults;
use crate::host;
use crate::ledger::{Balance, Ledger};
use crate::local::{AddressBook, Local};
use crate::names::{Name, addr_of};
use crate::plan::Plan;
use crate::run::Failure;
use crate::stream::Order;
use crate::totals::Totals;
use crate::transport::{MeshTransport, Request, Switch};
use crate::truth::Socket;

/// Number of effects that may wait for a node's task. Further ones wait in the manager's own queue, where
/// they are coalesced.
const EFFECTS_MAX: usize = 256;

/// Number of requests of the supervisor that may wait for a node's task.
const REQUESTS_MAX: usize = 8;

/// Time limit for the shutdown of a manager.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Time for which a restarted node has no address book, only its imported state.
const ALONE: Duration = Duration::from_secs(1);

/// The parts that all nodes share.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) plan: Arc<Plan>,
    pub(crate) book: AddressBook,
    pub(crate) faults: Arc<Faults>,
    pub(crate) totals: Arc<Totals>,
}

impl Blueprint {
    fn config(&self, addr: NodeAddr) -> Config {
        Config::default()
            .name(Name::of(addr).0)
            .with_settings(self.plan.settings())
            .outbox(NonZeroUsize::MIN.saturating_add(4095))
    }
}

/// A living node.
pub(crate) struct Node {
    pub(crate) addr: NodeAddr,
    pub(crate) endpoint: SocketAddr,
    pub(crate) links: Links,
    pub(crate) metrics: Metrics,
    local: Local,
    manager: LinkManager,
    requests: mpsc::Sender<Request>,
    switch: JoinHandle<()>,
}

impl Node {
    /// Starts a node, at the endpoint `wanted` if it is free, with the exported state of an earlier life.
    pub(crate) async fn start(
        blueprint: &Blueprint,
        index: u16,
        wanted: Option<SocketAddr>,
        saved: Option<Export<NodeAddr>>,
        mut rng: Rng,
    ) -> Result<Self, Failure> {
        let listener = listen(wanted).await?;
        let (endpoint, addr) = (listener.local_addr()?, addr_of(index));
        let (sender, effects) = mpsc::channel(EFFECTS_MAX);
        let mut chance = rng.fork();
        let mut builder = LinkManager::builder(blueprint.config(addr))
            .own_addr(addr)
            .random(move || chance.u64(..))
            .transport(MeshTransport { effects: sender });
        let mut alone_until = Instant::now();
        let is_new = saved.is_none();
        if let Some(saved) = saved {
            builder = builder.import(saved, SystemTime::now())?;
            alone_until += ALONE;
            blueprint.totals.restarts.add(1);
        }
        let manager = builder.spawn()?;
        let local = Local::new(addr, &manager, blueprint, alone_until);
        if is_new {
            instruct(&local).await?;
        }
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (links, metrics) = (manager.links(), Metrics::new(&manager));
        let switch = tokio::spawn(Switch::new(local.clone(), listener, effects, inbox, rng).run());
        let node = Self { addr, endpoint, links, metrics, local, manager, requests, switch };
        if !is_new {
            // The export may predate the second half.
            node.configure_nets().await?;
        }
        Ok(node)
    }

    /// Gives the node the settings of the plan that are in force now.
    pub(crate) async fn reconfigure(&self) -> Result<(), Failure> {
        let settings = self.local.plan.settings();
        self.local.apply(|handle| handle.reconfigure(settings.clone())).await?;
        self.configure_nets().await?;
        // The hosts of the second half want other members.
        for link in self.links.snapshot().links() {
            host::sort_into_clusters(&self.local, link).await;
        }
        self.local.totals.reconfigured.add(1);
        Ok(())
    }

    async fn configure_nets(&self) -> Result<(), Failure> {
        let plan = &self.local.plan;
        for net in plan.nets().iter().copied() {
            self.local.apply(|handle| handle.configure_net(net, plan.net_config(net))).await?;
        }
        Ok(())
    }

    /// Exports the state that a later life of the node starts from.
    pub(crate) fn export(&self) -> Export<NodeAddr> {
        self.links.snapshot().export(Instant::now(), SystemTime::now())
    }

    /// Breaks all connections with a peer; `false` if there is none.
    pub(crate) async fn cut_peer(&self, peer: NodeAddr) -> bool {
        let (reply, cut) = oneshot::channel();
        self.requests.send(Request::CutPeer(peer, reply)).await.is_ok() && cut.await.unwrap_or(false)
    }

    /// Breaks a random connection; `false` if there is none.
    pub(crate) async fn cut(&self, how: Order) -> bool {
        let (reply, cut) = oneshot::channel();
        self.requests.send(Request::Cut { how, reply }).await.is_ok() && cut.await.unwrap_or(false)
    }

    /// Deletes a random link; `false` if there is none.
    pub(crate) async fn forget(&self) -> bool {
        let (reply, forgotten) = oneshot::channel();
        self.requests.send(Request::Forget(reply)).await.is_ok() && forgotten.await.unwrap_or(false)
    }

    /// Returns the connections of the transport.
    pub(crate) async fn sockets(&self) -> Vec<Socket> {
        let (reply, sockets) = oneshot::channel();
        match self.requests.send(Request::Sockets(reply)).await {
            Ok(()) => sockets.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Whether the task that owns the connections has ended. It ends only by a panic or an abort.
    pub(crate) fn is_broken(&self) -> bool {
        self.switch.is_finished()
    }

    /// Kills the node: breaks its connections without an orderly close, and shuts its manager down. Returns
    /// the traffic balance after everything has ended.
    pub(crate) async fn kill(self) -> (ShutdownReport, Balance) {
        let last = self.links.snapshot();
        self.switch.abort();
        // The task was cancelled or had panicked: either way its sockets are closed now.
        let _ = self.switch.await;
        let (manager, ledger): (_, Arc<Ledger>) = (self.manager, Arc::clone(&self.local.ledger));
        // The shutdown blocks until threads have ended, so it must not run in an async task.
        let ended = tokio::task::spawn_blocking(move || manager.shutdown(SHUTDOWN_LIMIT)).await;
        (ended.unwrap_or_default(), ledger.balance(&last).await)
    }
}

/// Configures a new node according to the plan. A restarted node has this from its export.
async fn instruct(local: &Local) -> Result<(), Failure> {
    let (plan, me) = (&local.plan, local.addr);
    for net in plan.nets().iter().copied() {
        local.apply(|handle| handle.add_net(net, plan.net_config(net))).await?;
        local.apply(|handle| handle.set_net_active(net, true)).await?;
    }
    if let Some(peer) = plan.permanent_peer(me) {
        local.apply(|handle| handle.add_permanent_peer(plan.first_net(), peer)).await?;
    }
    for (net, cluster, kind) in plan.clusters() {
        local.apply(|handle| handle.associate_cluster(net, cluster, kind)).await?;
    }
    for member in plan.role_members() {
        local.apply(|handle| handle.set_role_member(plan.static_cluster(), member, true)).await?;
    }
    Ok(())
}

async fn listen(wanted: Option<SocketAddr>) -> std::io::Result<TcpListener> {
    if let Some(endpoint) = wanted
        && let Ok(listener) = TcpListener::bind(endpoint).await
    {
        return Ok(listener);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}
