//! The server in this process, without the parts that a test leaves out, and clients of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use crate::config::{App, Settings};
use crate::harness::{Client, Received, Target};
use crate::hub::Hub;
use crate::{announce, drain, server, until};

/// Only what is stuck takes as long.
const LIMIT: Duration = Duration::from_secs(60);

struct Server {
    hub: Arc<Hub>,
    target: Target,
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn settings() -> Settings {
    Settings::new(vec![App::for_trials()])
}

impl Server {
    /// Starts a server without an announcer. It accepts in `accepting`, and its sessions run in `main`.
    fn start(settings: Settings, accepting: &Runtime, main: &Runtime) -> Self {
        let app = settings.apps[0].clone();
        let hub = {
            let _in_it = main.enter();
            Hub::start(settings).unwrap()
        };
        let _in_it = accepting.enter();
        let listener = server::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        accepting.spawn(server::serve(hub.clone(), listener, std::future::pending()));
        Self { hub, target: Target { address, app } }
    }

    fn announce(self, main: &Runtime) -> Self {
        main.spawn(announce::run(self.hub.pipeline.subscribe(), self.hub.derived.clone()));
        self
    }

    /// Waits until nothing is left of the sessions.
    async fn empty(&self) {
        let left = || {
            let hub = &self.hub;
            (hub.tasks.get(), hub.pipeline.cleanup.connections(), hub.pipeline.snapshot().len())
        };
        let emptied = timeout(LIMIT, async {
            while left() != (0, 0, 0) {
                sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(emptied.await.is_ok(), "{:?}", left());
        assert_eq!(self.hub.pipeline.snapshot().index().groups().len(), 0);
    }
}

#[test]
fn a_subscription_without_an_answer_delays_neither_frames_nor_the_end() {
    let (accepting, main) = (runtime(), runtime());
    let server = Server::start(settings(), &accepting, &main);
    accepting.block_on(async {
        let mut client = Client::connect(&server.target).await.unwrap();
        client.request("news", None).await.unwrap();
        let channel = crate::channel::ChannelName::parse("news").unwrap();
        let frame = crate::protocol::event(&channel, "greet", "{}");
        while server.hub.broadcast(0, &channel, &frame, None) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(client.frame().await.unwrap()["event"], "greet");
        let report = drain::drain(&server.hub, |_| {});
        let (report, end) = tokio::join!(report, client.closed());
        assert_eq!(end.unwrap(), Some(4200));
        assert!(report.is_complete() && report.to_string().contains("0 cut"), "{report}");
        server.empty().await;
    });
}

#[test]
fn clients_that_subscribe_in_a_drain_learn_of_it() {
    let (accepting, main) = (runtime(), runtime());
    let server = Server::start(settings(), &accepting, &main).announce(&main);
    accepting.block_on(async {
        let mut clients = Vec::new();
        for number in 0..40 {
            let mut client = Client::connect(&server.target).await.unwrap();
            client.subscribe("presence-a", Some(&number.to_string())).await.unwrap();
            clients.push(tokio::spawn(async move {
                loop {
                    // Sending may fail when the end is under way. It is read in any case.
                    let _ = client.request("news", None).await;
                    loop {
                        match client.receive().await.unwrap() {
                            Received::Closed(code) => return code,
                            Received::Frame(frame) if frame["channel"] == "news" => break,
                            Received::Frame(_) => {}
                        }
                    }
                }
            }));
        }
        let report = drain::drain(&server.hub, |_| {}).await;
        for client in clients {
            assert_eq!(client.await.unwrap(), Some(4200));
        }
        assert!(report.to_string().contains("0 cut"), "{report}");
        server.empty().await;
    });
}

#[test]
fn what_changes_nothing_does_not_reach_the_writer() {
    let (accepting, main) = (runtime(), runtime());
    let server = Server::start(Settings { channels: 2, ..settings() }, &accepting, &main).announce(&main);
    accepting.block_on(async {
        let mut client = Client::connect(&server.target).await.unwrap();
        for channel in ["a", "b"] {
            client.subscribe(channel, None).await.unwrap();
        }
        let version = server.hub.pipeline.snapshot().version();
        for channel in ["c", "", "never"] {
            let data = json!({ "channel": channel });
            client.send(&json!({ "event": "pusher:unsubscribe", "data": data })).await.unwrap();
        }
        client.request("c", None).await.unwrap();
        let refused = client.frame().await.unwrap();
        assert_eq!(
            (&refused["event"], &refused["channel"]),
            (&json!("pusher:subscription_error"), &json!("c"))
        );
        assert_eq!(refused["data"]["type"], "LimitReached");
        assert_eq!(client.ping().await.unwrap(), Vec::<serde_json::Value>::new());
        assert_eq!(server.hub.pipeline.snapshot().version(), version);
        // One that is left makes room.
        let data = json!({ "channel": "a" });
        client.send(&json!({ "event": "pusher:unsubscribe", "data": data })).await.unwrap();
        client.subscribe("c", None).await.unwrap();
    });
}

#[test]
fn an_aborted_session_leaves_nothing() {
    let (accepting, main) = (runtime(), runtime());
    let server = Server::start(settings(), &accepting, &main);
    let server = server.announce(&accepting);
    accepting.block_on(async {
        let mut clients = Vec::new();
        for user in ["ada", "ben", "cleo"] {
            let mut client = Client::connect(&server.target).await.unwrap();
            client.subscribe("presence-a", Some(user)).await.unwrap();
            clients.push(client);
        }
        assert_eq!(server.hub.tasks.get(), 3);
        // Aborts all tasks of sessions.
        main.shutdown_background();
        server.empty().await;
        for client in &mut clients {
            assert_eq!(client.closed().await.unwrap(), None);
        }
        let derived = &server.hub.derived;
        while derived.removed.load(Ordering::Relaxed) < 3 || derived.vacated.load(Ordering::Relaxed) < 1 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(derived.added.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_session_that_panics_leaves_nothing_and_disturbs_no_other() {
    let (accepting, main) = (runtime(), runtime());
    let server = Server::start(settings(), &accepting, &main).announce(&main);
    accepting.block_on(async {
        let mut other = Client::connect(&server.target).await.unwrap();
        other.subscribe("presence-a", Some("other")).await.unwrap();
        let mut client = Client::connect(&server.target).await.unwrap();
        client.subscribe("presence-a", Some("ada")).await.unwrap();
        client.send(&json!({ "event": "test:panic" })).await.unwrap();
        assert_eq!(client.closed().await.unwrap(), None);
        let removed = other.until("pusher_internal:member_removed").await.unwrap();
        assert_eq!(removed["data"], r#"{"user_id":"ada"}"#);
        assert_eq!(other.ping().await.unwrap(), Vec::<serde_json::Value>::new());
        drop(other);
        server.empty().await;
    });
}

#[tokio::test]
async fn a_server_without_its_announcer_ends_with_an_error() {
    let announcer = tokio::spawn(async { panic!("as the test asks for") });
    assert!(until(std::future::pending::<io::Result<()>>(), announcer).await.is_err());
    let announcer = tokio::spawn(std::future::pending());
    assert!(until(async { Ok(()) }, announcer).await.is_ok());
}

/// Sends a text, and returns everything that the server answers until it closes the socket.
async fn exchange(server: &Server, text: &str) -> String {
    let mut socket = TcpStream::connect(server.target.address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let closed = timeout(LIMIT, socket.read_to_string(&mut answer)).await;
    assert!(closed.is_ok(), "the socket stays open after {text:?}");
    answer
}

#[test]
fn a_request_that_does_not_come_ends_its_socket_and_no_other() {
    let (accepting, main) = (runtime(), runtime());
    let settings = Settings { request_timeout: Duration::from_secs(1), ..settings() };
    let server = Server::start(settings, &accepting, &main).announce(&main);
    accepting.block_on(async {
        let mut client = Client::connect(&server.target).await.unwrap();
        for text in ["", "GET /sta", "GET /stats HTTP/1.1\r\nHost: x\r\nx"] {
            assert!(!exchange(&server, text).await.contains("200"), "{text}");
        }
        let answered = exchange(&server, "GET /page.js HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
        let head = "POST /apps/1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
        let late = exchange(&server, head).await;
        assert!(late.starts_with("HTTP/1.1 408"), "{late}");
        client.subscribe("news", None).await.unwrap();
    });
}

#[test]
fn sockets_without_a_request_are_limited() {
    let (accepting, main) = (runtime(), runtime());
    let settings = Settings { request_timeout: Duration::from_secs(1), ..settings() };
    let server = Server::start(settings, &accepting, &main).announce(&main);
    accepting.block_on(async {
        let mut sockets = Vec::new();
        for _ in 0..50 {
            sockets.push(TcpStream::connect(server.target.address).await.unwrap());
        }
        for mut socket in sockets {
            let mut answer = Vec::new();
            // With or without an error.
            let closed = timeout(LIMIT, socket.read_to_end(&mut answer)).await;
            assert!(closed.is_ok() && answer.is_empty());
        }
        assert!(server.hub.traffic.refused_busy.load(Ordering::Relaxed) > 0);
        let mut client = Client::connect(&server.target).await.unwrap();
        client.subscribe("news", None).await.unwrap();
    });
}

#[test]
fn a_drain_with_a_receiver_that_is_down_is_complete() {
    let (accepting, main) = (runtime(), runtime());
    let webhook = Some(String::from("http://127.0.0.1:1/"));
    let mut settings = Settings::new(vec![App { webhook, ..App::for_trials() }]);
    settings.cleanup.drain_timeout = Duration::from_millis(500);
    let server = Server::start(settings, &accepting, &main).announce(&main);
    accepting.block_on(async {
        let mut client = Client::connect(&server.target).await.unwrap();
        client.subscribe("news", None).await.unwrap();
        let (report, end) = tokio::join!(drain::drain(&server.hub, |_| {}), client.closed());
        assert_eq!(end.unwrap(), Some(4200));
        assert!(
            report.is_complete() && report.to_string().contains("1 connections closed, 0 left"),
            "{report}"
        );
        assert_eq!(server.hub.webhooks.posted.load(Ordering::Relaxed), 0);
    });
}
