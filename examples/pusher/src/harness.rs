//! What `smoke` and `storm` share: a server in another process, clients, and a receiver of webhooks.

mod client;
mod http;
mod process;
mod receiver;

pub use client::{Client, Received};
pub use http::request;
pub use process::{Process, Usage};
pub use receiver::{Hook, Receiver};

use std::io;
use std::net::SocketAddr;

use crate::auth::sign;
use crate::config::App;

/// A server, and an app of it.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub app: App,
}

impl Target {
    /// Returns the data of a subscription of `socket`, signed if the channel needs it.
    pub fn subscription(&self, socket: &str, channel: &str, user: Option<&str>) -> serde_json::Value {
        let mut data = serde_json::json!({ "channel": channel });
        if channel.starts_with("private-") || channel.starts_with("presence-") {
            let mut text = format!("{socket}:{channel}");
            if let Some(user) = user {
                let channel_data = serde_json::json!({ "user_id": user }).to_string();
                text = format!("{text}:{channel_data}");
                data["channel_data"] = channel_data.into();
            }
            data["auth"] = format!("{}:{}", self.app.key, sign(&self.app.secret, text.as_bytes())).into();
        }
        data
    }
}

pub fn failed(message: impl Into<String>) -> io::Error {
    io::Error::other(message.into())
}

/// Fails with a message unless both are equal.
pub fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> io::Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(failed(format!("{what}: {found:?} instead of {expected:?}")))
}
