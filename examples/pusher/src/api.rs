//! The bodies of the HTTP API: everything is checked before anything is sent.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;

use crate::channel::{ChannelName, Kind, SocketId};
use crate::protocol::{MAX_DATA, MAX_EVENT, MAX_NESTING, is_shallow};

/// The longest body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Channels of one event.
pub const MAX_CHANNELS: usize = 100;

/// Events of one batch.
pub const MAX_BATCH: usize = 10;

/// An event for some channels, checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Trigger {
    pub name: String,
    /// At least one, each once.
    pub channels: Vec<ChannelName>,
    pub data: String,
    /// The socket that does not receive the event.
    pub except: Option<SocketId>,
    pub info: Info,
}

/// The attributes of channels that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    pub user_count: bool,
    pub subscription_count: bool,
}

/// The reason why a request is refused, with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: u16,
    pub reason: String,
}

#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    data: Option<serde_json::Value>,
    channels: Option<Vec<String>>,
    channel: Option<String>,
    socket_id: Option<String>,
    info: Option<String>,
}

impl ApiError {
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    fn bad(reason: impl Into<String>) -> Self {
        Self::new(400, reason)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Reads the body of `events`.
pub fn event(body: &[u8]) -> Result<Trigger, ApiError> {
    trigger(json(body)?)
}

/// Reads the body of `batch_events`. If one event is wrong, all are refused.
pub fn batch(body: &[u8]) -> Result<Vec<Trigger>, ApiError> {
    #[derive(Deserialize)]
    struct Batch {
        batch: Vec<Body>,
    }

    let Batch { batch } = json(body)?;
    if batch.len() > MAX_BATCH {
        return Err(ApiError::bad(format!("a batch has at most {MAX_BATCH} events")));
    }
    let numbered = batch.into_iter().enumerate().map(|(number, body)| {
        let event = match body.channels {
            Some(_) => Err(ApiError::bad("an event of a batch has one channel")),
            None => trigger(body),
        };
        event.map_err(|error| ApiError::new(error.status, format!("event {number}: {}", error.reason)))
    });
    numbered.collect()
}

fn json<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, ApiError> {
    let text = str::from_utf8(body).map_err(|_| ApiError::bad("the body is not UTF-8"))?;
    if !is_shallow(text, MAX_NESTING) {
        return Err(ApiError::bad("the body is nested too deep"));
    }
    serde_json::from_str(text)
        .map_err(|error| ApiError::bad(format!("the body is not as documented: {error}")))
}

fn trigger(body: Body) -> Result<Trigger, ApiError> {
    let name = body.name.filter(|name| !name.is_empty()).ok_or_else(|| ApiError::bad("name is missing"))?;
    if name.chars().count() > MAX_EVENT {
        return Err(ApiError::bad(format!("name is longer than {MAX_EVENT} characters")));
    }
    let names = match (body.channels, body.channel) {
        (Some(channels), None) => channels,
        (None, Some(channel)) => vec![channel],
        (None, None) => return Err(ApiError::bad("channels is missing")),
        (Some(_), Some(_)) => return Err(ApiError::bad("channel and channels exclude each other")),
    };
    if names.is_empty() || names.len() > MAX_CHANNELS {
        return Err(ApiError::bad(format!("an event has 1 to {MAX_CHANNELS} channels")));
    }
    let mut seen = HashSet::new();
    let mut channels = names.iter().map(|name| channel(name)).collect::<Result<Vec<_>, _>>()?;
    channels.retain(|channel| seen.insert(channel.clone()));
    let data = match body.data {
        Some(serde_json::Value::String(data)) => data,
        Some(_) => return Err(ApiError::bad("data is not a text")),
        None => return Err(ApiError::bad("data is missing")),
    };
    if data.len() > MAX_DATA {
        return Err(ApiError::new(413, format!("data is longer than {MAX_DATA} bytes")));
    }
    let except = match body.socket_id {
        Some(id) => SocketId::parse(&id).ok_or_else(|| ApiError::bad("socket_id does not look like one"))?,
        None => None,
    };
    Ok(Trigger { name, channels, data, except, info: info(body.info.as_deref())? })
}

/// Checks the name of a channel.
pub fn channel(name: &str) -> Result<ChannelName, ApiError> {
    ChannelName::parse(name).map_err(|error| ApiError::bad(error.to_string()))
}

/// Reads the parameter `info`.
pub fn info(text: Option<&str>) -> Result<Info, ApiError> {
    let mut info = Info::default();
    for name in text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name {
            "user_count" => info.user_count = true,
            "subscription_count" => info.subscription_count = true,
            _ => return Err(ApiError::bad(format!("info does not know {name:.50}"))),
        }
    }
    Ok(info)
}

impl Info {
    /// Checks that users are only counted in presence channels.
    pub fn check(self, is_presence: bool) -> Result<Self, ApiError> {
        if self.user_count && !is_presence {
            return Err(ApiError::bad("user_count needs presence channels"));
        }
        Ok(self)
    }

    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// Checks that a channel has users.
pub fn presence(channel: &ChannelName) -> Result<(), ApiError> {
    match channel.kind() {
        Kind::Presence => Ok(()),
        _ => Err(ApiError::bad("only a presence channel has users")),
    }
}
