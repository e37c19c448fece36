//! One connection: the greeting, then the exchange about nets.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use switchboard::link::UserData;
use switchboard::{Applied, CommandError, NetId, NodeAddr, Outcome, StreamId};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::host;
use crate::ledger::Meter;
use crate::local::{Local, Submitted};
use crate::names::Name;
use crate::wire::{ErrorCode, Frame, Wire, WireError};

/// Time within which a connecting peer must send its hello.
const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// Time for which a connection is left hanging on purpose: longer than any dialer waits.
const HANG_LIMIT: Duration = Duration::from_secs(10);

/// Interval of the pings on a stream.
const PING_PERIOD: Duration = Duration::from_millis(400);

/// Time without received data, or of a blocked write, after which a stream is considered dead regardless of
/// the socket's state.
const IDLE_LIMIT: Duration = Duration::from_secs(2);

/// A connection on which both sides have said hello.
pub(crate) struct Greeted {
    pub(crate) peer: NodeAddr,
    /// The local and the remote endpoint, read early: a broken socket no longer knows them.
    pub(crate) ends: (SocketAddr, SocketAddr),
    pub(crate) wire: Wire<TcpStream>,
}

/// Connects to the node `peer`. `None` if no node listens at `endpoint`, or another one does.
pub(crate) async fn dial(own: NodeAddr, peer: NodeAddr, endpoint: SocketAddr) -> Option<Greeted> {
    let socket = TcpStream::connect(endpoint).await.ok()?;
    let ends = (socket.local_addr().ok()?, endpoint);
    socket.set_nodelay(true).ok()?;
    let mut wire = Wire::new(socket);
    wire.send(Frame::Hello(own)).await.ok()?;
    match wire.next().await {
        Ok(Some(Frame::Hello(addr))) if addr == peer => Some(Greeted { peer, ends, wire }),
        _ => None,
    }
}

/// Greets an incoming connection. `None` if the peer does not identify itself, or if it is left hanging.
pub(crate) async fn accept(
    local: Local,
    socket: TcpStream,
    remote: SocketAddr,
    hangs: bool,
) -> Option<Greeted> {
    let ends = (socket.local_addr().ok()?, remote);
    socket.set_nodelay(true).ok()?;
    let mut wire = Wire::new(socket);
    let hello = timeout(GREETING_LIMIT, wire.next()).await.ok()?;
    let Ok(Some(Frame::Hello(peer))) = hello else { return None };
    if hangs {
        local.totals.hung.add(1);
        // Send nothing. Any further event is the peer giving up.
        let _ = timeout(HANG_LIMIT, wire.next()).await;
        return None;
    }
    wire.send(Frame::Hello(local.addr)).await.ok()?;
    Some(Greeted { peer, ends, wire })
}

/// An order of the node to a stream. A stream closes when the channel of its orders closes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Send this frame.
    Send(Frame),
    /// Announce again every net that the link is a member of.
    Refresh,
    /// Break the connection without an orderly close.
    Reset,
    /// Stop reading and writing, as if the cable were pulled.
    Freeze,
}

/// The reason why a stream ended.
enum End {
    /// This node closed it, the peer closed it, or the connection failed.
    Closed,
    /// The peer violated the protocol.
    Malformed,
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Io(_) => Self::Closed,
            WireError::Length(_) | WireError::Body { .. } | WireError::Truncated => Self::Malformed,
        }
    }
}

/// One established connection with a peer.
pub(crate) struct Stream {
    pub(crate) local: Local,
    pub(crate) peer: NodeAddr,
    pub(crate) id: StreamId,
    pub(crate) wire: Wire<TcpStream>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) rng: Rng,
    /// Counts the traffic of the wire, once the manager knows the stream.
    pub(crate) meter: Option<Meter>,
    /// The time of the last ping that is not answered yet.
    pub(crate) asked: Option<Instant>,
}

/// The traffic of a stream is booked regardless of how it ends.
impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(meter) = self.meter.take() {
            meter.close(self.wire.traffic());
        }
    }
}

impl Stream {
    /// Serves the stream from its registration with the manager until its end. Returns `false` if the manager
    /// refused it.
    pub(crate) async fn run(mut self, registered: Option<Submitted>) -> bool {
        let Some(registered) = registered else { return false };
        let accepted =
            self.local.applied(registered).await.is_ok_and(|applied| applied.outcome != Outcome::Stale);
        if accepted && self.attach().await && matches!(self.serve().await, Err(End::Malformed)) {
            self.local.totals.malformed.add(1);
        }
        accepted
    }

    /// Starts counting for the link, and names it. `false` if the link has lost this stream in the meantime.
    async fn attach(&mut self) -> bool {
        let links = self.local.links.snapshot();
        let Some(link) = links.get(&self.peer) else { return false };
        if !link.streams().iter().any(|stream| stream.id == self.id) {
            return false;
        }
        self.meter = Some(self.local.ledger.open(link.counters(), self.wire.traffic()).await);
        let (peer, name) = (self.peer, UserData::new(Name::of(self.peer)));
        self.local.post(|handle| handle.set_user_data(peer, name.clone())).await;
        true
    }

    async fn serve(&mut self) -> Result<(), End> {
        let mut ping = interval(PING_PERIOD);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_until = Instant::now() + IDLE_LIMIT;
        let mut frozen = false;
        loop {
            if let Some(meter) = &mut self.meter {
                meter.follow(self.wire.traffic());
            }
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Send(frame)) if !frozen => self.send(frame).await?,
                    Some(Order::Refresh) if !frozen => self.refresh().await?,
                    Some(Order::Send(_) | Order::Refresh) => {}
                    Some(Order::Freeze) => frozen = true,
                    Some(Order::Reset) => return self.reset(),
                    None => return Ok(()),
                },
                frame = self.wire.next(), if !frozen => {
                    let Some(frame) = frame? else { return Ok(()) };
                    let now = Instant::now();
                    silent_until = now + IDLE_LIMIT;
                    if let Some(meter) = &self.meter {
                        meter.counters().seen(now.into_std());
                    }
                    self.answer(frame).await?;
                }
                _ = ping.tick(), if !frozen => {
                    self.asked = Some(Instant::now());
                    self.send(Frame::Ping).await?;
                    self.refresh().await?;
                }
                () = sleep_until(silent_until) => return Ok(()),
            }
        }
    }

    async fn answer(&mut self, frame: Frame) -> Result<(), End> {
        match frame {
            Frame::Announce(net) => {
                let reply = match self.join(net, true).await? {
                    Ok(()) => Frame::AnnounceAck(net),
                    Err(code) => Frame::Error(net, code),
                };
                self.send(reply).await
            }
            Frame::AnnounceAck(net) => match self.join(net, false).await? {
                Ok(()) => Ok(()),
                Err(code) => self.send(Frame::Error(net, code)).await,
            },
            Frame::Error(net, _) => {
                let (peer, id) = (self.peer, self.id);
                // The peer does not wait for an answer, so the result is ignored.
                let _ = self.local.apply(|handle| handle.refuse(net, peer, id)).await;
                Ok(())
            }
            Frame::Ping => self.send(Frame::Pong).await,
            Frame::Pong => {
                if let (Some(asked), Some(meter)) = (self.asked.take(), &self.meter) {
                    meter.counters().set_round_trip(asked.elapsed());
                }
                Ok(())
            }
            Frame::Hello(_) => Err(End::Malformed),
        }
    }

    /// Joins a net that the peer carries, unless there is a reason not to. An announcement may be refused on
    /// purpose; the acknowledgement of this node's own announcement is not.
    async fn join(&mut self, net: NetId, refusable: bool) -> Result<Result<(), ErrorCode>, End> {
        let (peer, id) = (self.peer, self.id);
        // Most announcements repeat a known membership. A snapshot costs nanoseconds, a command microseconds.
        if self.local.links.snapshot().get(&peer).is_some_and(|link| link.is_member(net)) {
            return Ok(Ok(()));
        }
        if refusable && self.local.faults.refuses(&mut self.rng) {
            self.local.totals.refused.add(1);
            return Ok(Err(ErrorCode::NOT_WANTED));
        }
        match self.local.apply(|handle| handle.admit(net, peer, id)).await {
            // The manager no longer has this stream: it is being closed.
            Ok(Applied { outcome: Outcome::Stale, .. }) | Err(CommandError::Closed) => Err(End::Closed),
            Ok(_) => Ok(Ok(())),
            Err(CommandError::UnknownNet(_)) => Ok(Err(ErrorCode::UNKNOWN_NET)),
            Err(CommandError::NetInactive(_) | CommandError::Inactive) => Ok(Err(ErrorCode::OFFLINE)),
            Err(_) => Ok(Err(ErrorCode::NOT_WANTED)),
        }
    }

    /// Announces the nets that this node shares with the peer, if this is the primary stream.
    ///
    /// Two nodes that have two streams with each other can lose one of them at different moments, and one
    /// node may have given up a net that the other kept. Repeating the announcements repairs this.
    async fn refresh(&mut self) -> Result<(), End> {
        let snapshot = self.local.links.snapshot();
        let Some(link) = snapshot.get(&self.peer) else { return Ok(()) };
        if link.primary().is_none_or(|primary| primary.id != self.id) {
            return Ok(());
        }
        for net in link.memberships() {
            self.send(Frame::Announce(*net)).await?;
        }
        host::sort_into_clusters(&self.local, link).await;
        Ok(())
    }

    async fn send(&mut self, frame: Frame) -> Result<(), End> {
        timeout(IDLE_LIMIT, self.wire.send(frame)).await.map_err(|_| End::Closed)??;
        Ok(())
    }

    fn reset(&mut self) -> Result<(), End> {
        // The peer sees a reset instead of an orderly close.
        let _ = self.wire.socket().set_zero_linger();
        Ok(())
    }
}
