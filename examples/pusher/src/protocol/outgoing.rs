//! Frames of the server.

use std::collections::BTreeMap;

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Member;
use crate::channel::{ChannelName, SocketId};

/// A frame, serialized once for all its receivers: a clone shares the text.
pub type Frame = Utf8Bytes;

/// The code of an error or of the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The app does not exist.
    UnknownApp = 4001,
    /// The protocol is not a number.
    BadProtocol = 4008,
    /// The protocol is missing.
    NoProtocol = 4006,
    /// The protocol is not supported.
    OtherProtocol = 4007,
    /// There are too many connections: come back later.
    OverCapacity = 4100,
    /// The server shuts down: connect again at once.
    Restart = 4200,
    /// The client has not answered a ping.
    NoPong = 4201,
    /// A client event is refused.
    ClientEvent = 4301,
}

/// `channel` and `event` before `data`, as clients expect to read them in logs.
#[derive(Serialize)]
struct Envelope<'a, D> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    data: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

fn frame<D: Serialize>(event: &str, channel: Option<&ChannelName>, data: D, user_id: Option<&str>) -> Frame {
    json(&Envelope { event, channel: channel.map(ChannelName::as_str), data, user_id }).into()
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("texts, numbers and JSON can be serialized")
}

/// The first frame of a connection.
pub fn established(socket: SocketId, activity_timeout_s: u64) -> Frame {
    #[derive(Serialize)]
    struct Data {
        socket_id: String,
        activity_timeout: u64,
    }

    let data = Data { socket_id: socket.to_string(), activity_timeout: activity_timeout_s };
    frame("pusher:connection_established", None, json(&data), None)
}

pub fn error(code: Option<Code>, message: &str) -> Frame {
    #[derive(Serialize)]
    struct Data<'a> {
        code: Option<u16>,
        message: &'a str,
    }

    frame("pusher:error", None, Data { code: code.map(|code| code as u16), message }, None)
}

pub fn ping() -> Frame {
    Frame::from_static(r#"{"event":"pusher:ping","data":"{}"}"#)
}

pub fn pong() -> Frame {
    Frame::from_static(r#"{"event":"pusher:pong","data":"{}"}"#)
}

/// The answer to a subscription to a channel without presence.
pub fn subscribed(channel: &ChannelName) -> Frame {
    frame("pusher_internal:subscription_succeeded", Some(channel), "{}", None)
}

/// The answer to a subscription to a presence channel.
pub fn subscribed_with_members<'a>(
    channel: &ChannelName,
    members: impl Iterator<Item = &'a Member>,
) -> Frame {
    #[derive(Serialize)]
    struct Data<'a> {
        presence: Presence<'a>,
    }

    #[derive(Serialize)]
    struct Presence<'a> {
        ids: Vec<&'a str>,
        hash: BTreeMap<&'a str, Option<&'a RawValue>>,
        count: usize,
    }

    let (mut ids, mut hash) = (Vec::new(), BTreeMap::new());
    for member in members {
        ids.push(&*member.user);
        // As it was signed, and as `member_added` has it.
        hash.insert(&*member.user, member.info.as_deref());
    }
    let count = ids.len();
    let data = Data { presence: Presence { ids, hash, count } };
    frame("pusher_internal:subscription_succeeded", Some(channel), json(&data), None)
}

pub fn subscription_error(channel: &str, kind: &str, reason: &str, status: u16) -> Frame {
    #[derive(Serialize)]
    struct Data<'a> {
        r#type: &'a str,
        error: &'a str,
        status: u16,
    }

    let data = Data { r#type: kind, error: reason, status };
    let envelope =
        Envelope { event: "pusher:subscription_error", channel: Some(channel), data, user_id: None };
    json(&envelope).into()
}

pub fn member_added(channel: &ChannelName, member: &Member) -> Frame {
    #[derive(Serialize)]
    struct Data<'a> {
        user_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_info: Option<&'a RawValue>,
    }

    let data = Data { user_id: &member.user, user_info: member.info.as_deref() };
    frame("pusher_internal:member_added", Some(channel), json(&data), None)
}

pub fn member_removed(channel: &ChannelName, user: &str) -> Frame {
    #[derive(Serialize)]
    struct Data<'a> {
        user_id: &'a str,
    }

    frame("pusher_internal:member_removed", Some(channel), json(&Data { user_id: user }), None)
}

/// An event of the HTTP API.
pub fn event(channel: &ChannelName, name: &str, data: &str) -> Frame {
    frame(name, Some(channel), data, None)
}

/// An event of a client, for the other members. Its data stays as it is.
pub fn client_event(channel: &ChannelName, name: &str, data: Option<&RawValue>, user: Option<&str>) -> Frame {
    frame(name, Some(channel), data, user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    #[test]
    fn frames_are_as_documented() {
        let established = established(SocketId::new(1, 2), 120);
        let data = r#""{\"socket_id\":\"1.2\",\"activity_timeout\":120}""#;
        assert_eq!(
            established.as_str(),
            format!(r#"{{"event":"pusher:connection_established","data":{data}}}"#)
        );
        let error = error(Some(Code::UnknownApp), "no");
        assert_eq!(error.as_str(), r#"{"event":"pusher:error","data":{"code":4001,"message":"no"}}"#);
        let event = event(&channel("a"), "greet", r#"{"x":1}"#);
        assert_eq!(event.as_str(), r#"{"event":"greet","channel":"a","data":"{\"x\":1}"}"#);
        let refused = subscription_error("private-a", "AuthError", "no", 401);
        let data = r#"{"type":"AuthError","error":"no","status":401}"#;
        assert_eq!(
            refused.as_str(),
            format!(r#"{{"event":"pusher:subscription_error","channel":"private-a","data":{data}}}"#)
        );
    }

    #[test]
    fn client_events_keep_their_data_and_name_the_user() {
        let data: Box<RawValue> = serde_json::from_str(r#"{"x":  1}"#).unwrap();
        let frame = client_event(&channel("presence-a"), "client-x", Some(&data), Some("7"));
        assert_eq!(
            frame.as_str(),
            r#"{"event":"client-x","channel":"presence-a","data":{"x":  1},"user_id":"7"}"#
        );
    }

    #[test]
    fn members_are_listed_with_their_info() {
        let member = |data| Member::parse(Some(data)).unwrap();
        let members = [member(r#"{"user_id":1,"user_info":{"n":2}}"#), member(r#"{"user_id":"b"}"#)];
        let frame = subscribed_with_members(&channel("presence-a"), members.iter());
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        let data: serde_json::Value = serde_json::from_str(frame["data"].as_str().unwrap()).unwrap();
        let expected = serde_json::json!({"presence": {"ids": ["1", "b"], "hash": {"1": {"n": 2}, "b": null}, "count": 2}});
        assert_eq!(data, expected);
        // Numbers, spaces and the order stay as they are.
        let exact = [member(r#"{"user_id":1,"user_info":{"z":1.0e400,  "a":18446744073709551616}}"#)];
        let list = subscribed_with_members(&channel("presence-a"), exact.iter());
        assert!(list.contains(r#"{\"z\":1.0e400,  \"a\":18446744073709551616}"#), "{list}");
        let added = member_added(&channel("presence-a"), &members[0]);
        assert!(added.contains(r#""data":"{\"user_id\":\"1\",\"user_info\":{\"n\":2}}""#), "{added}");
    }
}
