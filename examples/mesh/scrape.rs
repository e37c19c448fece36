//! The metrics of all nodes over HTTP, for Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use switchboard::metrics::Page;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::query::Roster;
use crate::run::Failure;

/// Time limit for a request and its answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Length limit of a request.
const REQUEST_MAX: usize = 4096;

/// Pause after a connection could not be accepted, for example for lack of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// The task that serves the metrics.
pub(crate) struct Scrape(JoinHandle<()>);

impl Scrape {
    /// Listens at `endpoint` and prints the address to standard error: the system may choose the port.
    pub(crate) async fn start(endpoint: SocketAddr, roster: Roster) -> Result<Self, Failure> {
        let listener = TcpListener::bind(endpoint).await?;
        eprintln!("metrics at http://{}/metrics", listener.local_addr()?);
        Ok(Self(tokio::spawn(serve(listener, roster))))
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(listener: TcpListener, roster: Roster) {
    loop {
        let Ok((mut socket, _)) = listener.accept().await else {
            sleep(REST).await;
            continue;
        };
        // One request at a time. The time limit keeps a slow client from blocking the next one.
        let _ = timeout(LIMIT, answer(&mut socket, &roster)).await;
    }
}

async fn answer(socket: &mut TcpStream, roster: &Roster) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_MAX {
        if socket.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", page(roster))
    } else {
        ("404 Not Found", String::from("not found: try /metrics\n"))
    };
    let (kind, len) = (Page::CONTENT_TYPE, body.len());
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    socket.shutdown().await
}

/// Renders the metrics of all living nodes, by address.
fn page(roster: &Roster) -> String {
    let mut page = Page::new();
    let alive = roster.snapshot();
    let mut nodes: Vec<_> = alive.iter().collect();
    nodes.sort_by_key(|(index, _)| **index);
    for (_, node) in nodes {
        page = page.add(node.addr.to_string(), &node.metrics);
    }
    page.to_string()
}
