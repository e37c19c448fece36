//! The task of one socket: reads frames, writes frames, asks silent clients whether they still live.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use switchboard::cleanup::{Cause, ConnectionId};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite;
use tracing::debug;

use crate::channel::SocketId;
use crate::entry::{AppId, Connection};
use crate::hub::Hub;
use crate::outbox::{End, Frames, Inbox, Outbox, Signals, size};
use crate::pipeline::PipelineError;
use crate::protocol::{Code, Frame, Incoming, Subscribe, error, established, ping, pong};
use crate::subscribe::{self, Changes, Rate, Relay};

/// Time that a client has to answer the end of its connection.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// The reason why a task ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finish {
    /// The client has closed its socket in order.
    Left,
    /// The socket is gone.
    Lost,
    /// The client is not heard from.
    Silent,
    /// The server ends the connection.
    Ended(End),
    /// The client has sent what it must not.
    Violation(u16, &'static str),
}

/// A connection in the table. However its task ends, the connection is closed.
struct Opened {
    hub: Arc<Hub>,
    id: ConnectionId,
    cause: Cause,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.hub.pipeline.close(self.id, self.cause);
    }
}

struct Client {
    app: AppId,
    socket: SocketId,
    opened: Opened,
    rate: Rate,
    started: Instant,
    /// Whether a subscription waits for its answer. Nothing is read from the client meanwhile.
    is_subscribing: bool,
    changes: Changes,
    /// The moment from which it is read on, after too many changes.
    paused: Option<Instant>,
}

/// A connection that is in the table, and established.
pub struct Session {
    hub: Arc<Hub>,
    socket: WebSocket,
    inbox: Inbox,
    client: Client,
}

/// Opens a connection. `None` if it is not to be served; its client was told why.
pub async fn open(hub: Arc<Hub>, mut socket: WebSocket, app: AppId, address: IpAddr) -> Option<Session> {
    let (outbox, inbox) = Outbox::new(hub.settings.outbox);
    let id = hub.new_socket();
    let address = hub.limited(address);
    let opened = match hub.pipeline.open(Connection::new(app, id, outbox, address)).await {
        Ok(connection) => Opened { hub: hub.clone(), id: connection, cause: Cause::Lost },
        Err(error) => {
            let (code, message) = match error {
                PipelineError::Full => (Code::OverCapacity, "there are too many connections"),
                PipelineError::Closed => (Code::Restart, "the server restarts"),
            };
            refuse(socket, code, message).await;
            return None;
        }
    };
    // Connections from one address that came at the same time are all counted now.
    if hub.is_over_limit(address, 0) {
        hub.traffic.refused_limit.fetch_add(1, Ordering::Relaxed);
        drop(opened);
        refuse(socket, Code::OverCapacity, "there are too many connections from this address").await;
        return None;
    }
    let first = established(id, hub.settings.activity_timeout.as_secs());
    let sent = timeout(hub.settings.pong_timeout, socket.send(Message::Text(first))).await;
    if !matches!(sent, Ok(Ok(()))) {
        return None;
    }
    hub.traffic.accepted.fetch_add(1, Ordering::Relaxed);
    let client = Client {
        app,
        socket: id,
        opened,
        rate: Rate::default(),
        started: Instant::now(),
        is_subscribing: false,
        changes: Changes::new(2 * hub.settings.channels),
        paused: None,
    };
    Some(Session { hub, socket, inbox, client })
}

impl Session {
    /// Serves the client until one of both ends the connection.
    pub async fn run(self) {
        let Self { hub, mut socket, inbox, mut client } = self;
        let finish = client.run(&hub, &mut socket, inbox).await;
        client.opened.cause = match finish {
            Finish::Left => Cause::Closed,
            Finish::Ended(End::Shutdown) => Cause::Shutdown,
            Finish::Lost | Finish::Silent | Finish::Violation(..) | Finish::Ended(End::Slow) => Cause::Lost,
        };
        if finish == Finish::Ended(End::Slow) {
            hub.traffic.slow.fetch_add(1, Ordering::Relaxed);
        }
        // The connection is closed before its client is told: that may take a while.
        drop(client);
        match finish {
            Finish::Left | Finish::Lost => {}
            Finish::Silent => close(socket, Code::NoPong as u16, "there was no answer to a ping").await,
            Finish::Ended(end) => close(socket, end.code() as u16, end.message()).await,
            Finish::Violation(code, message) => close(socket, code, message).await,
        }
    }
}

/// Tells a client why it is not served.
pub async fn refuse(mut socket: WebSocket, code: Code, message: &'static str) {
    let told = timeout(FAREWELL, socket.send(Message::Text(error(Some(code), message)))).await;
    if matches!(told, Ok(Ok(()))) {
        close(socket, code as u16, message).await;
    }
}

/// Closes a socket, and waits for a while until the client has done the same, so that it reads the reason.
async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: Frame::from_static(reason) };
    let _too_late = timeout(FAREWELL, async {
        socket.send(Message::Close(Some(frame))).await.ok()?;
        while let Some(Ok(_)) = socket.recv().await {}
        Some(())
    })
    .await;
}

impl Client {
    async fn run(&mut self, hub: &Hub, socket: &mut WebSocket, inbox: Inbox) -> Finish {
        let Inbox { mut frames, signals } = inbox;
        let (mut heard, mut is_asked) = (Instant::now(), false);
        let timer = sleep_until(heard + hub.settings.activity_timeout);
        tokio::pin!(timer);
        loop {
            let (first, last) = tokio::select! {
                end = signals.ended() => return Finish::Ended(end),
                Some(frame) = frames.recv() => (Some(frame), None),
                () = signals.answered(), if self.is_subscribing => {
                    self.is_subscribing = false;
                    continue;
                }
                () = sleep_until(self.paused.unwrap_or(heard)), if self.paused.is_some() => {
                    self.paused = None;
                    continue;
                }
                message = socket.recv(), if !self.is_subscribing && self.paused.is_none() => {
                    (heard, is_asked) = (Instant::now(), false);
                    let received = match text(message) {
                        Ok(Some(text)) => self.receive(hub, &text, &signals).await,
                        Ok(None) => Ok(None),
                        Err(finish) => Err(finish),
                    };
                    match received {
                        Ok(answer) => (None, answer),
                        Err(finish) => return finish,
                    }
                }
                () = &mut timer => {
                    let patience = if is_asked { hub.settings.pong_timeout } else { Duration::ZERO };
                    let limit = hub.settings.activity_timeout + patience;
                    if heard.elapsed() < limit {
                        // Reset only here, and not by each frame.
                        timer.as_mut().reset(heard + limit);
                        continue;
                    }
                    if is_asked {
                        return Finish::Silent;
                    }
                    is_asked = true;
                    timer.as_mut().reset(Instant::now() + hub.settings.pong_timeout);
                    (None, Some(ping()))
                }
            };
            if first.is_none() && last.is_none() {
                continue;
            }
            let written = tokio::select! {
                written = write(socket, &mut frames, first, last, hub.settings.pong_timeout) => written,
                end = signals.ended() => Err(Finish::Ended(end)),
            };
            if let Err(finish) = written {
                return finish;
            }
        }
    }

    /// Does what a frame asks for. Returns the answer, unless it comes from elsewhere.
    async fn receive(&mut self, hub: &Hub, text: &str, signals: &Signals) -> Result<Option<Frame>, Finish> {
        let answer = match Incoming::parse(text) {
            Ok(Incoming::Ping) => Some(pong()),
            Ok(Incoming::Pong) => None,
            Ok(Incoming::Subscribe(request)) => self.subscribe(hub, &request, signals).await?,
            Ok(Incoming::Unsubscribe { channel }) => {
                // Only this task changes its channels. So the newest version has them, and the writer is asked only if
                // there is something to change.
                if self.channels(hub, &channel).1 {
                    self.change(hub, signals, move |connection| connection.leave(&channel)).await?;
                }
                None
            }
            Ok(Incoming::Client { event, channel, data }) => {
                self.relay(hub, &event, &channel, data.as_deref())
            }
            #[cfg(test)]
            Ok(Incoming::Unknown(event)) if event == "test:panic" => panic!("as the test asks for"),
            // A client waits for the answer.
            Ok(Incoming::Unknown(event)) if event == "pusher:signin" => {
                Some(error(None, "users cannot sign in here"))
            }
            Ok(Incoming::Unknown(event)) => {
                debug!(socket = %self.socket, event = format!("{event:.50}"), "unknown event");
                None
            }
            Err(malformed) => Some(error(None, &malformed.to_string())),
        };
        Ok(answer)
    }

    /// Subscribes. The answer to a subscription that is allowed comes from the announcer: no frame of this client is read
    /// before that, but everything else goes on.
    async fn subscribe(
        &mut self,
        hub: &Hub,
        request: &Subscribe,
        signals: &Signals,
    ) -> Result<Option<Frame>, Finish> {
        let max = hub.settings.channels;
        // Before the signature, which costs more; and without the writer, which would find the same.
        let (held, is_held) = self.channels(hub, &request.channel);
        if held >= max && !is_held {
            return Ok(Some(subscribe::too_many(&request.channel, max)));
        }
        let join = match subscribe::decide(hub.app(self.app), self.socket, request) {
            Ok(join) => join,
            Err(refused) => return Ok(Some(refused)),
        };
        let change = move |connection: &mut Connection| connection.join(join.channel, join.member, max);
        if !self.change(hub, signals, change).await? {
            return Ok(Some(subscribe::too_many(&request.channel, max)));
        }
        self.is_subscribing = true;
        Ok(None)
    }

    /// Returns the number of channels of this connection, and whether `channel` is one of them.
    fn channels(&self, hub: &Hub, channel: &str) -> (usize, bool) {
        let snapshot = hub.pipeline.snapshot();
        let Some(connection) = snapshot.get(&self.opened.id) else { return (0, false) };
        (connection.memberships().len(), connection.membership(channel).is_some())
    }

    /// Changes the entry of this connection.
    async fn change<T: Send + 'static>(
        &mut self,
        hub: &Hub,
        signals: &Signals,
        change: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Finish> {
        let pause = self.changes.pause_ms(self.started.elapsed().as_millis() as u64);
        self.paused = (pause > 0).then(|| Instant::now() + Duration::from_millis(pause));
        let changed = tokio::select! {
            changed = hub.pipeline.update(self.opened.id, change) => changed,
            end = signals.ended() => return Err(Finish::Ended(end)),
        };
        match changed {
            Ok(Some(result)) => Ok(result),
            // Closed by a drain, which tells why.
            Ok(None) => Err(timeout(FAREWELL, signals.ended()).await.map_or(Finish::Lost, Finish::Ended)),
            Err(_) => Err(Finish::Ended(End::Shutdown)),
        }
    }

    /// Passes a client event on. Returns the frame that says why not.
    fn relay(
        &mut self,
        hub: &Hub,
        event: &str,
        channel: &str,
        data: Option<&serde_json::value::RawValue>,
    ) -> Option<Frame> {
        let refuse = |reason: &str| Some(error(Some(Code::ClientEvent), reason));
        if !self.rate.admit(self.started.elapsed().as_millis() as u64) {
            return refuse("a client may send 10 events per second");
        }
        let snapshot = hub.pipeline.snapshot();
        let connection = snapshot.get(&self.opened.id)?;
        match subscribe::relay(hub.app(self.app), connection, event, channel, data) {
            Ok(Relay { channel, frame }) => {
                hub.traffic.client_events.fetch_add(1, Ordering::Relaxed);
                hub.broadcast(self.app, &channel, &frame, Some(self.socket));
                None
            }
            Err(reason) => refuse(reason),
        }
    }
}

/// Writes frames, and those that wait, and then `last`: an answer comes after everything that was sent before it. Fails if
/// the client takes nothing for the time of `patience`.
async fn write(
    socket: &mut WebSocket,
    frames: &mut Frames,
    first: Option<Frame>,
    last: Option<Frame>,
    patience: Duration,
) -> Result<(), Finish> {
    if let Some(frame) = first {
        feed(socket, frame, patience).await?;
    }
    // Those that wait now, and no later ones, so that what the client sends is read as well, however much comes.
    let mut bytes = frames.bytes();
    while bytes > 0 {
        let Some(frame) = frames.try_recv() else { break };
        bytes = bytes.saturating_sub(size(&frame));
        feed(socket, frame, patience).await?;
    }
    if let Some(frame) = last {
        feed(socket, frame, patience).await?;
    }
    progress(socket.flush(), patience).await
}

async fn feed(socket: &mut WebSocket, frame: Frame, patience: Duration) -> Result<(), Finish> {
    progress(socket.feed(Message::Text(frame)), patience).await
}

async fn progress(
    written: impl Future<Output = Result<(), axum::Error>>,
    patience: Duration,
) -> Result<(), Finish> {
    match timeout(patience, written).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Finish::Lost),
        Err(_) => Err(Finish::Ended(End::Slow)),
    }
}

/// Returns the text of a message, if it has one for the server.
fn text(message: Option<Result<Message, axum::Error>>) -> Result<Option<Frame>, Finish> {
    match message {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Binary(_))) => Err(Finish::Violation(1003, "frames are text")),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) => Err(Finish::Left),
        None => Err(Finish::Lost),
        Some(Err(error)) => Err(violation(error)),
    }
}

fn violation(error: axum::Error) -> Finish {
    match error.into_inner().downcast_ref() {
        Some(tungstenite::Error::Utf8(_)) => Finish::Violation(1007, "a text is not UTF-8"),
        Some(tungstenite::Error::Capacity(_)) => Finish::Violation(1009, "a frame is longer than 64 kB"),
        Some(tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )) => Finish::Lost,
        Some(tungstenite::Error::Protocol(_)) => {
            Finish::Violation(1002, "a frame does not follow the protocol")
        }
        _ => Finish::Lost,
    }
}
