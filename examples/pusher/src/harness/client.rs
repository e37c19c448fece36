//! A client of the protocol.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{Target, failed};

/// Longer than any answer takes, unless the server is stuck.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Client {
    pub stream: WebSocketStream<TcpStream>,
    target: Target,
    /// The id of the socket, once the connection is established.
    pub id: String,
    /// Whether pings of the server are answered, and not returned.
    pub answers_pings: bool,
}

/// A frame that a client receives, or the end.
#[derive(Debug, PartialEq)]
pub enum Received {
    Frame(Value),
    /// The end, with the code of the server.
    Closed(Option<u16>),
}

impl Client {
    /// Connects, up to the handshake.
    pub async fn dial(target: &Target, path: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(target.address).await?;
        socket.set_nodelay(true)?;
        let config = WebSocketConfig::default().read_buffer_size(2048);
        let url = format!("ws://{}{path}", target.address);
        let (stream, _) =
            client_async_with_config(url, socket, Some(config)).await.map_err(io::Error::other)?;
        Ok(Self { stream, target: target.clone(), id: String::new(), answers_pings: true })
    }

    /// Connects, and waits until the connection is established.
    pub async fn connect(target: &Target) -> io::Result<Self> {
        let path = format!("/app/{}?protocol=7&client=pusher-harness&version=1.0", target.app.key);
        let mut client = Self::dial(target, &path).await?;
        let first = client.frame().await?;
        if first["event"] != "pusher:connection_established" {
            return Err(failed(format!("{first} instead of an established connection")));
        }
        let data = inner(&first)?;
        client.id = data["socket_id"].as_str().ok_or_else(|| failed("there is no socket_id"))?.to_owned();
        Ok(client)
    }

    pub async fn send(&mut self, frame: &Value) -> io::Result<()> {
        self.send_raw(Message::text(frame.to_string())).await
    }

    pub async fn send_raw(&mut self, message: Message) -> io::Result<()> {
        self.stream.send(message).await.map_err(io::Error::other)
    }

    pub async fn request(&mut self, channel: &str, user: Option<&str>) -> io::Result<()> {
        let data = self.target.subscription(&self.id, channel, user);
        self.send(&json!({ "event": "pusher:subscribe", "data": data })).await
    }

    /// Subscribes, and waits for the answer. Returns its data.
    pub async fn subscribe(&mut self, channel: &str, user: Option<&str>) -> io::Result<Value> {
        self.request(channel, user).await?;
        let answer = self.until("pusher_internal:subscription_succeeded").await?;
        super::expect("the channel of the answer", answer["channel"].as_str(), Some(channel))?;
        inner(&answer)
    }

    /// Returns the next frame or the end.
    pub async fn receive(&mut self) -> io::Result<Received> {
        loop {
            let message = timeout(LIMIT, self.stream.next()).await?;
            return match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).map_err(io::Error::other)?;
                    if self.answers_pings && frame["event"] == "pusher:ping" {
                        // If it cannot be sent, the end is read next.
                        let _ = self.send(&json!({ "event": "pusher:pong" })).await;
                        continue;
                    }
                    Ok(Received::Frame(frame))
                }
                Some(Ok(Message::Close(frame))) => Ok(Received::Closed(frame.map(|frame| frame.code.into()))),
                Some(Ok(_)) => continue,
                None
                | Some(Err(
                    Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_) | Error::Io(_),
                )) => Ok(Received::Closed(None)),
                Some(Err(error)) => Err(io::Error::other(error)),
            };
        }
    }

    pub async fn frame(&mut self) -> io::Result<Value> {
        match self.receive().await? {
            Received::Frame(frame) => Ok(frame),
            Received::Closed(code) => Err(failed(format!("closed with {code:?} instead of a frame"))),
        }
    }

    /// Returns the next frame of that event, and skips others.
    pub async fn until(&mut self, event: &str) -> io::Result<Value> {
        loop {
            let frame = self.frame().await?;
            if frame["event"] == event {
                return Ok(frame);
            }
            if frame["event"] == "pusher:error" || frame["event"] == "pusher:subscription_error" {
                return Err(failed(format!("{frame} instead of {event}")));
            }
        }
    }

    /// Waits for the end, and returns its code.
    pub async fn closed(&mut self) -> io::Result<Option<u16>> {
        loop {
            if let Received::Closed(code) = self.receive().await? {
                return Ok(code);
            }
        }
    }

    /// Shows that the connection lives, and returns the frames before the answer.
    pub async fn ping(&mut self) -> io::Result<Vec<Value>> {
        self.send(&json!({ "event": "pusher:ping", "data": {} })).await?;
        let mut before = Vec::new();
        loop {
            let frame = self.frame().await?;
            if frame["event"] == "pusher:pong" {
                return Ok(before);
            }
            before.push(frame);
        }
    }
}

/// Returns the data of a frame, which is JSON in a text.
fn inner(frame: &Value) -> io::Result<Value> {
    let text = frame["data"].as_str().ok_or_else(|| failed(format!("{frame} has no data in a text")))?;
    serde_json::from_str(text).map_err(io::Error::other)
}
