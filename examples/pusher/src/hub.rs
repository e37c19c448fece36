//! The state that all connections and requests share.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::runtime::Handle;

use crate::announce::Derived;
use crate::channel::{ChannelName, SocketId};
use crate::config::{App, Settings};
use crate::entry::{AppId, Group, members};
use crate::pipeline::Pipeline;
use crate::protocol::Frame;
use crate::webhook::{Counts, Webhooks};

/// Pressure from which connections are refused for a moment.
const REFUSE_ABOVE: f64 = 0.95;

/// The state of the server. Connections, channels and users are in the table of the pipeline only.
#[derive(Debug)]
pub struct Hub {
    pub settings: Settings,
    pub pipeline: Pipeline,
    pub derived: Arc<Derived>,
    pub webhooks: Arc<Counts>,
    pub traffic: Traffic,
    pub tasks: Tasks,
    /// Runs everything but the accepting of connections, which no other work is to delay.
    pub main: Handle,
    pub started: Instant,
    stopping: AtomicBool,
    sockets: AtomicU64,
    random: RandomState,
}

/// The number of tasks of sockets: of those that are served, and of those that are told why not, or that it is over.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<AtomicUsize>);

/// One of them.
#[derive(Debug)]
pub struct Task(Tasks);

impl Tasks {
    pub fn enter(&self) -> Task {
        self.0.fetch_add(1, Ordering::Relaxed);
        Task(self.clone())
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Figures of connections and events.
#[derive(Debug, Default, serde::Serialize)]
pub struct Traffic {
    /// Connections that were accepted.
    pub accepted: AtomicU64,
    /// Connections that were refused because the server had too much to do, or stopped.
    pub refused_busy: AtomicU64,
    /// Connections that were refused because of a limit.
    pub refused_limit: AtomicU64,
    /// Connections that were ended because their client did not take its frames.
    pub slow: AtomicU64,
    /// Events of the HTTP API, one per channel.
    pub events: AtomicU64,
    /// Events of clients.
    pub client_events: AtomicU64,
    /// Frames that were queued for clients, of both kinds of events.
    pub frames: AtomicU64,
}

/// The reason why a connection is refused before its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    Stopping,
    Pressure,
    Full,
    Address,
}

impl Hub {
    /// Starts the threads of the pipeline. Called in the main runtime.
    pub fn start(settings: Settings) -> io::Result<Arc<Self>> {
        let counts = Arc::new(Counts::default());
        let webhooks = Webhooks::new(settings.apps.clone().into(), counts.clone());
        let pipeline = Pipeline::start(settings.cleanup.clone(), settings.connections, webhooks)?;
        Ok(Arc::new(Self {
            settings,
            pipeline,
            derived: Arc::default(),
            webhooks: counts,
            traffic: Traffic::default(),
            tasks: Tasks::default(),
            main: Handle::current(),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            sockets: AtomicU64::new(0),
            random: RandomState::new(),
        }))
    }

    pub fn app(&self, id: AppId) -> &App {
        &self.settings.apps[usize::from(id)]
    }

    /// Finds an app by its key or its id.
    pub fn find(&self, is_it: impl Fn(&App) -> bool) -> Option<AppId> {
        let position = self.settings.apps.iter().position(is_it)?;
        AppId::try_from(position).ok()
    }

    pub fn new_socket(&self) -> SocketId {
        let number = self.sockets.fetch_add(1, Ordering::Relaxed) + 1;
        SocketId::new(self.random.hash_one(number) as u32, number)
    }

    /// Sends a frame to the members of a channel. Returns the number of those whose queue has taken it.
    pub fn broadcast(
        &self,
        app: AppId,
        channel: &ChannelName,
        frame: &Frame,
        except: Option<SocketId>,
    ) -> usize {
        let snapshot = self.pipeline.snapshot();
        let receivers = members(&snapshot, app, channel).filter(|member| Some(member.socket) != except);
        let sent = receivers.filter(|member| member.outbox.send(frame.clone())).count();
        self.traffic.frames.fetch_add(sent as u64, Ordering::Relaxed);
        sent
    }

    /// Returns the address by which connections are counted, if they are. That of IPv6 is its network of 64 bits, as one
    /// host may have all of that.
    pub fn limited(&self, address: IpAddr) -> Option<IpAddr> {
        // Of an IPv4 client of a socket that also accepts IPv6.
        self.settings.limit_per_ip.map(|_| match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            address => address,
        })
    }

    /// Whether there are more connections from an address than allowed, `more` of them not counted yet.
    pub fn is_over_limit(&self, address: Option<IpAddr>, more: usize) -> bool {
        let Some((address, limit)) = address.zip(self.settings.limit_per_ip) else { return false };
        let snapshot = self.pipeline.snapshot();
        let apps = 0..self.settings.apps.len() as AppId;
        let held: usize = apps.map(|app| snapshot.index().count(&Group::Address(app, address))).sum();
        held + more > limit
    }

    /// Decides whether there is room for a connection.
    pub fn admit(&self, address: IpAddr) -> Result<(), Busy> {
        let refused = if self.is_stopping() {
            Some(Busy::Stopping)
        } else if self.is_over_limit(self.limited(address), 1) {
            Some(Busy::Address)
        } else if self.pipeline.cleanup.connections() >= self.settings.connections as usize {
            Some(Busy::Full)
        } else if self.pipeline.cleanup.pressure() > REFUSE_ABOVE {
            Some(Busy::Pressure)
        } else {
            None
        };
        let Some(refused) = refused else { return Ok(()) };
        let counter = match refused {
            Busy::Stopping | Busy::Pressure => &self.traffic.refused_busy,
            Busy::Full | Busy::Address => &self.traffic.refused_limit,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Err(refused)
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Accepts no further connections.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Connection;
    use crate::outbox::Outbox;
    use crate::pipeline::PipelineError;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_server_that_stops_or_is_full_refuses_connections() {
        let settings = Settings { connections: 1, ..Settings::new(vec![App::for_trials()]) };
        let hub = Hub::start(settings).unwrap();
        assert_eq!(hub.admit(HERE), Ok(()));
        let connection =
            |hub: &Hub| Connection::new(0, hub.new_socket(), Outbox::new(1).0, hub.limited(HERE));
        hub.pipeline.open(connection(&hub)).await.unwrap();
        assert_eq!(hub.admit(HERE), Err(Busy::Full));
        assert_eq!(hub.pipeline.open(connection(&hub)).await, Err(PipelineError::Full));
        hub.stop();
        assert_eq!(hub.admit(HERE), Err(Busy::Stopping));
        assert_eq!(hub.traffic.refused_busy.load(Ordering::Relaxed), 1);
        assert_eq!(hub.traffic.refused_limit.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn connections_are_limited_per_address() {
        let settings = Settings { limit_per_ip: Some(2), ..Settings::new(vec![App::for_trials()]) };
        let hub = Hub::start(settings).unwrap();
        for _ in 0..2 {
            assert_eq!(hub.admit(HERE), Ok(()));
            let connection = Connection::new(0, hub.new_socket(), Outbox::new(1).0, hub.limited(HERE));
            hub.pipeline.open(connection).await.unwrap();
        }
        assert_eq!(hub.admit(HERE), Err(Busy::Address));
        // The same address, as a socket shows it that accepts IPv6 as well.
        assert_eq!(hub.admit("::ffff:127.0.0.1".parse().unwrap()), Err(Busy::Address));
        assert_eq!(hub.admit("127.0.0.2".parse().unwrap()), Ok(()));
        assert!(!hub.is_over_limit(hub.limited(HERE), 0));
        let limited = |address: &str| hub.limited(address.parse().unwrap());
        assert_eq!(limited("2001:db8::1"), limited("2001:db8::ffff:1"));
        assert_ne!(limited("2001:db8::1"), limited("2001:db8:0:1::1"));
    }

    #[tokio::test]
    async fn the_connections_of_an_address_to_all_apps_count() {
        let apps = vec![App::for_trials(), App::new("2", "k2", "s2")];
        let hub = Hub::start(Settings { limit_per_ip: Some(2), ..Settings::new(apps) }).unwrap();
        for app in 0..2 {
            assert_eq!(hub.admit(HERE), Ok(()));
            let connection = Connection::new(app, hub.new_socket(), Outbox::new(1).0, hub.limited(HERE));
            hub.pipeline.open(connection).await.unwrap();
        }
        assert_eq!(hub.admit(HERE), Err(Busy::Address));
    }

    #[test]
    fn socket_ids_are_not_repeated() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _in_it = runtime.enter();
        let hub = Hub::start(Settings::new(vec![App::for_trials()])).unwrap();
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| hub.new_socket()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
