//! One connection: the greeting, then the conversation about nets.

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

/// How long a peer that connected may take to say who it is.
const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// How long a connection that hangs on purpose is kept: longer than any dialer waits.
const HANG_LIMIT: Duration = Duration::from_secs(10);

/// How often a stream asks whether the peer is there.
const PING_PERIOD: Duration = Duration::from_millis(400);

/// A stream on which nothing arrives, or nothing can be written, for so long is dead, whatever the socket
/// says.
const IDLE_LIMIT: Duration = Duration::from_secs(2);

/// A connection on which both sides have said hello.
pub(crate) struct Greeted {
    pub(crate) peer: NodeAddr,
    /// This end and the peer's. Asked for at once: a socket that broke no longer knows.
    pub(crate) ends: (SocketAddr, SocketAddr),
    pub(crate) wire: Wire<TcpStream>,
}

/// Connects to the node `peer`: `None` when nobody listens there, or somebody else does.
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

/// Greets whoever connected: `None` when it does not say who it is, or when this connection is to hang.
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
        // Not a word. Whatever comes next is the peer giving up.
        let _ = timeout(HANG_LIMIT, wire.next()).await;
        return None;
    }
    wire.send(Frame::Hello(local.addr)).await.ok()?;
    Some(Greeted { peer, ends, wire })
}

/// What a stream is told by its node. A stream whose orders end closes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Send this frame.
    Send(Frame),
    /// Announce every net that the link is a member of, again.
    Refresh,
    /// Break the connection without a word.
    Reset,
    /// Neither read nor write any more, as if the cable were pulled.
    Freeze,
}

/// Why a stream ended.
enum End {
    /// Its node closed it, or the peer did, or neither was heard from.
    Closed,
    /// The peer does not speak the protocol.
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
    /// Counts what the wire carries, from the moment that the manager knows the stream.
    pub(crate) meter: Option<Meter>,
    /// When the peer was asked whether it is there.
    pub(crate) asked: Option<Instant>,
}

/// However a stream ends, its traffic is booked.
impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(meter) = self.meter.take() {
            meter.close(self.wire.traffic());
        }
    }
}

impl Stream {
    /// Serves the stream from the moment that the manager knows it until it ends. `false`: the manager did
    /// not want it.
    pub(crate) async fn run(mut self, registered: Option<Submitted>) -> bool {
        let Some(registered) = registered else { return false };
        let accepted =
            self.local.applied(registered).await.is_ok_and(|applied| applied.outcome != Outcome::Stale);
        if accepted && self.attach().await && matches!(self.serve().await, Err(End::Malformed)) {
            self.local.totals.malformed.add(1);
        }
        accepted
    }

    /// Begins to count for the link, and names it; `false` when the link has lost this stream meanwhile.
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
                // Whatever it comes to, the peer is not waiting for an answer.
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

    /// The peer carries the net: so does this node, unless there is a reason not to. Announcements may be
    /// refused on purpose; an answer to an own one is not.
    async fn join(&mut self, net: NetId, refusable: bool) -> Result<Result<(), ErrorCode>, End> {
        let (peer, id) = (self.peer, self.id);
        // Most announcements repeat what is known. A look at the snapshot costs nanoseconds, a command
        // microseconds.
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

    /// Announces what this node believes to share with the peer, if this is the stream to do it on.
    ///
    /// Two nodes that have two streams with each other can lose one of them at different moments, and one of
    /// them may have given up a net that the other kept. What is said again and again needs no other repair.
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
        // The peer sees a reset in place of an orderly end.
        let _ = self.wire.socket().set_zero_linger();
        Ok(())
    }
}
