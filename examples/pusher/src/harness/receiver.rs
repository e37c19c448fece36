//! A receiver of webhooks.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::auth;
use crate::config::App;

/// One event of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Hook {
    pub name: String,
    pub channel: String,
    pub user_id: Option<String>,
}

/// Collects webhooks whose signature is right, and counts the others.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Shared>,
}

struct Shared {
    app: App,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    hooks: Vec<Hook>,
    forged: usize,
    /// Requests that are refused before the next one is accepted.
    refuse: usize,
}

impl Receiver {
    pub async fn start(app: App, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Shared { app, inner: Mutex::default() });
        let service = Router::new().fallback(post(receive)).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, service).await });
        Ok(Self { address, state })
    }

    pub fn url(&self) -> String {
        format!("http://{}/webhook", self.address)
    }

    pub fn hooks(&self) -> Vec<Hook> {
        self.state.lock().hooks.clone()
    }

    /// Returns the number of requests with a wrong signature or body.
    pub fn forged(&self) -> usize {
        self.state.lock().forged
    }

    /// Refuses the next requests.
    pub fn refuse(&self, requests: usize) {
        self.state.lock().refuse = requests;
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(State(state): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    #[derive(Deserialize)]
    struct Body {
        time_ms: u64,
        events: Vec<Hook>,
    }

    let header = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let is_signed = header("x-pusher-key") == Some(&state.app.key)
        && header("x-pusher-signature") == Some(&auth::sign(&state.app.secret, &body));
    let mut inner = state.lock();
    if inner.refuse > 0 {
        inner.refuse -= 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    match serde_json::from_slice::<Body>(&body) {
        Ok(body) if is_signed && body.time_ms > 1_000_000_000_000 => inner.hooks.extend(body.events),
        _ => inner.forged += 1,
    }
    StatusCode::OK
}
