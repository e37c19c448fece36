//! Frames of clients.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{MAX_NESTING, is_shallow};

/// A frame of a client.
#[derive(Debug)]
pub enum Incoming {
    Ping,
    Pong,
    Subscribe(Subscribe),
    Unsubscribe {
        channel: String,
    },
    /// An event for the other members of a channel.
    Client {
        event: String,
        channel: String,
        data: Option<Box<RawValue>>,
    },
    /// An event that the server does not know.
    Unknown(String),
}

/// A request to subscribe.
#[derive(Debug, Deserialize)]
pub struct Subscribe {
    pub channel: String,
    pub auth: Option<String>,
    /// JSON in a text, as it was signed.
    pub channel_data: Option<String>,
}

/// The reason why a frame is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    NotJson,
    TooDeep,
    Data,
}

#[derive(Deserialize)]
struct Envelope {
    event: String,
    channel: Option<String>,
    data: Option<Box<RawValue>>,
}

impl Incoming {
    /// Reads a frame.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if !is_shallow(text, MAX_NESTING) {
            return Err(Malformed::TooDeep);
        }
        let Envelope { event, channel, data } = serde_json::from_str(text).map_err(|_| Malformed::NotJson)?;
        match event.as_str() {
            "pusher:ping" => Ok(Self::Ping),
            "pusher:pong" => Ok(Self::Pong),
            "pusher:subscribe" => inner(data.as_deref()).map(Self::Subscribe),
            "pusher:unsubscribe" => {
                #[derive(Deserialize)]
                struct Data {
                    channel: String,
                }
                inner(data.as_deref()).map(|Data { channel }| Self::Unsubscribe { channel })
            }
            _ if event.starts_with("client-") => {
                let channel = channel.ok_or(Malformed::Data)?;
                Ok(Self::Client { event, channel, data })
            }
            _ => Ok(Self::Unknown(event)),
        }
    }
}

/// Reads the data of a frame: an object, or a text that has one.
fn inner<T: for<'a> Deserialize<'a>>(data: Option<&RawValue>) -> Result<T, Malformed> {
    let raw = data.ok_or(Malformed::Data)?.get();
    if !raw.starts_with('"') {
        return serde_json::from_str(raw).map_err(|_| Malformed::Data);
    }
    let text: String = serde_json::from_str(raw).map_err(|_| Malformed::Data)?;
    if !is_shallow(&text, MAX_NESTING) {
        return Err(Malformed::TooDeep);
    }
    serde_json::from_str(&text).map_err(|_| Malformed::Data)
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("the frame is not a JSON object with an event"),
            Self::TooDeep => write!(f, "the frame is nested deeper than {MAX_NESTING} levels"),
            Self::Data => f.write_str("the frame lacks a channel, or its data is not as documented"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_frames_are_understood() {
        assert!(matches!(Incoming::parse(r#"{"event":"pusher:ping","data":{}}"#), Ok(Incoming::Ping)));
        assert!(matches!(Incoming::parse(r#"{"event":"pusher:pong"}"#), Ok(Incoming::Pong)));
        for data in [r#"{"channel":"a","auth":"k:s"}"#, r#""{\"channel\":\"a\",\"auth\":\"k:s\"}""#] {
            let frame = Incoming::parse(&format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#));
            let Ok(Incoming::Subscribe(subscribe)) = frame else { panic!("{frame:?}") };
            assert_eq!((subscribe.channel.as_str(), subscribe.auth.as_deref()), ("a", Some("k:s")));
            assert_eq!(subscribe.channel_data, None);
        }
        let frame = Incoming::parse(r#"{"event":"pusher:unsubscribe","data":{"channel":"a"}}"#);
        assert!(matches!(frame, Ok(Incoming::Unsubscribe { channel }) if channel == "a"));
        let frame = Incoming::parse(r#"{"event":"client-x","channel":"private-a","data":{"y": 1}}"#);
        let Ok(Incoming::Client { event, channel, data }) = frame else { panic!("{frame:?}") };
        assert_eq!(
            (event.as_str(), channel.as_str(), data.unwrap().get()),
            ("client-x", "private-a", r#"{"y": 1}"#)
        );
        assert!(
            matches!(Incoming::parse(r#"{"event":"other"}"#), Ok(Incoming::Unknown(event)) if event == "other")
        );
    }

    #[test]
    fn other_frames_are_refused() {
        let cases = [
            ("", Malformed::NotJson),
            ("{}", Malformed::NotJson),
            ("[]", Malformed::NotJson),
            (r#"{"event":7}"#, Malformed::NotJson),
            (r#"{"event":"pusher:subscribe"}"#, Malformed::Data),
            (r#"{"event":"pusher:subscribe","data":[]}"#, Malformed::Data),
            (r#"{"event":"pusher:subscribe","data":{}}"#, Malformed::Data),
            (r#"{"event":"pusher:subscribe","data":"x"}"#, Malformed::Data),
            (r#"{"event":"pusher:unsubscribe","data":{"channel":1}}"#, Malformed::Data),
            (r#"{"event":"client-x","data":1}"#, Malformed::Data),
        ];
        for (text, error) in cases {
            assert_eq!(Incoming::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn deep_frames_are_refused_before_they_are_parsed() {
        assert_eq!(Incoming::parse(&"[".repeat(100_000)).unwrap_err(), Malformed::TooDeep);
        let deep =
            format!(r#"{{"event":"client-x","channel":"a","data":{}{}}}"#, "[".repeat(40), "]".repeat(40));
        assert_eq!(Incoming::parse(&deep).unwrap_err(), Malformed::TooDeep);
        let inner = format!(r#"{{"event":"pusher:subscribe","data":"{}"}}"#, "[".repeat(60_000));
        assert_eq!(Incoming::parse(&inner).unwrap_err(), Malformed::TooDeep);
    }
}
