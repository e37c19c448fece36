//! The routes: sockets, the HTTP API, figures and the page.
//!
//! They run in a runtime of their own, with one thread, which accepts sockets and brings them up to the first frame. From
//! then on a socket is served in the main runtime, and so are all other requests. Thousands of tasks that become ready at
//! once, as when their clients vanish, are therefore not in the way of those who connect.

mod requests;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::{Request, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use switchboard::metrics::Page;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::warn;

use crate::connection;
use crate::entry::AppId;
use crate::hub::{Busy, Hub};
use crate::protocol::{Code, MAX_FRAME};
use crate::stats;

/// Sockets that the system keeps until they are accepted.
const BACKLOG: u32 = 4096;

/// Bytes that are read from a socket at once. Held by each connection.
const READ_BUFFER: usize = 2048;

pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sockets that have not sent a complete request yet, at most. Those beyond it are closed at once.
const PENDING_MAX: usize = if cfg!(test) { 8 } else { 8192 };

/// Pause after a socket could not be accepted, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` completes. Sockets that were accepted before that go on.
pub async fn serve(hub: Arc<Hub>, listener: TcpListener, stop: impl Future<Output = ()>) {
    let (router, pending) = (router(hub.clone()), Arc::new(Semaphore::new(PENDING_MAX)));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, from)) => match pending.clone().try_acquire_owned() {
                Ok(permit) => {
                    let serving = serve_socket(&hub, router.clone(), socket, from);
                    tokio::spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(_) => {
                    hub.traffic.refused_busy.fetch_add(1, Ordering::Relaxed);
                }
            },
            // The client has gone already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Serves the requests of a socket, until it is one of the protocol. A client that does not send a request in time is
/// disconnected.
fn serve_socket(
    hub: &Hub,
    router: Router,
    socket: TcpStream,
    from: SocketAddr,
) -> impl Future<Output = ()> + Send + use<> {
    // Only a delay, if it fails.
    let _ = socket.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let with_address = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        service.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(hub.settings.request_timeout);
    let serving = http.serve_connection(TokioIo::new(socket), with_address).with_upgrades();
    async move {
        // A client that has gone, or that was too slow.
        let _ = serving.await;
    }
}

fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/app/{key}", get(connect))
        .route("/apps/{id}/events", post(requests::events))
        .route("/apps/{id}/batch_events", post(requests::batch_events))
        .route("/apps/{id}/channels", get(requests::channels))
        .route("/apps/{id}/channels/{channel}", get(requests::channel))
        .route("/apps/{id}/channels/{channel}/users", get(requests::users))
        .route("/stats", get(figures))
        .route("/metrics", get(metrics))
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/page.js", get(script))
        // Bodies are limited where they are read, to answer with a reason.
        .layer(DefaultBodyLimit::disable())
        .with_state(hub)
}

/// Returns the app, or the reason why the socket is not served once its handshake has succeeded.
fn refusal(app: Option<AppId>, protocol: Option<&str>) -> Result<AppId, (Code, &'static str)> {
    let app = app.ok_or((Code::UnknownApp, "there is no app with this key"))?;
    let protocol = protocol.ok_or((Code::NoProtocol, "the parameter protocol is missing"))?;
    if protocol.is_empty() || !protocol.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err((Code::BadProtocol, "the protocol is not a number"));
    }
    // A number of any length.
    match protocol.parse::<u32>() {
        Ok(5..=7) => Ok(app),
        _ => Err((Code::OtherProtocol, "the server supports the protocols 5, 6 and 7")),
    }
}

async fn connect(
    State(hub): State<Arc<Hub>>,
    Path(key): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    if let Err(busy) = hub.admit(from.ip()) {
        return refuse(busy);
    }
    let app = hub.find(|app| app.key == key);
    let app = refusal(app, query.get("protocol").map(String::as_str));
    let upgrade = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME).read_buffer_size(READ_BUFFER);
    let task = hub.tasks.enter();
    upgrade.on_upgrade(move |socket| async move {
        match app {
            Ok(app) => {
                let main = hub.main.clone();
                if let Some(session) = connection::open(hub, socket, app, from.ip()).await {
                    // The task ends with its session, there.
                    main.spawn(async move {
                        session.run().await;
                        drop(task);
                    });
                }
            }
            Err((code, message)) => connection::refuse(socket, code, message).await,
        }
    })
}

/// Answers before the handshake: cheap, and understood by clients and proxies.
fn refuse(busy: Busy) -> Response {
    let (status, after, reason) = match busy {
        Busy::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "5", "the server restarts\n"),
        Busy::Pressure => (StatusCode::SERVICE_UNAVAILABLE, "1", "the server has too much to do\n"),
        Busy::Full => (StatusCode::SERVICE_UNAVAILABLE, "10", "there are too many connections\n"),
        Busy::Address => {
            (StatusCode::TOO_MANY_REQUESTS, "10", "there are too many connections from this address\n")
        }
    };
    (status, [(header::RETRY_AFTER, after)], reason).into_response()
}

async fn figures(State(hub): State<Arc<Hub>>) -> Response {
    let main = hub.main.clone();
    let json = main.spawn(async move { stats::json(&hub) }).await.unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

async fn metrics(State(hub): State<Arc<Hub>>) -> Response {
    let main = hub.main.clone();
    let text = main.spawn(async move { stats::metrics(&hub) }).await.unwrap_or_default();
    ([(header::CONTENT_TYPE, Page::CONTENT_TYPE)], text).into_response()
}

async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript")], include_str!("page.js")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_apps_and_protocols_have_their_codes() {
        assert_eq!(refusal(None, Some("7")).unwrap_err().0 as u16, 4001);
        assert_eq!(refusal(Some(0), None).unwrap_err().0 as u16, 4006);
        for other in ["0", "1", "4", "8", "4294967295", "4294967296"] {
            assert_eq!(refusal(Some(0), Some(other)).unwrap_err().0 as u16, 4007, "{other}");
        }
        for text in ["", "x", "7.0", "-7", " 7"] {
            assert_eq!(refusal(Some(0), Some(text)).unwrap_err().0 as u16, 4008, "{text}");
        }
        assert!(["5", "6", "7"].iter().all(|protocol| refusal(Some(3), Some(protocol)) == Ok(3)));
    }

    #[test]
    fn a_server_under_pressure_says_when_to_come_back() {
        for busy in [Busy::Stopping, Busy::Pressure, Busy::Full, Busy::Address] {
            let response = refuse(busy);
            assert!(matches!(response.status().as_u16(), 429 | 503));
            assert!(response.headers().contains_key(header::RETRY_AFTER));
        }
    }
}
