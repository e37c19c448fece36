//! The decision on a subscription, and on a client event.

use std::sync::Arc;

use crate::auth;
use crate::channel::{ChannelName, Kind, SocketId};
use crate::config::App;
use crate::entry::Connection;
use crate::protocol::{Frame, MAX_DATA, MAX_EVENT, Member, Subscribe, client_event, subscription_error};

/// A subscription that is allowed.
#[derive(Debug)]
pub struct Join {
    pub channel: ChannelName,
    pub member: Option<Arc<Member>>,
}

/// Decides whether the socket may subscribe. If not, returns the frame that says why; the socket stays.
pub fn decide(app: &App, socket: SocketId, request: &Subscribe) -> Result<Join, Frame> {
    let refuse = |kind, reason: &str, status| subscription_error(&request.channel, kind, reason, status);
    let channel = ChannelName::parse(&request.channel)
        .map_err(|error| refuse("InvalidChannel", &error.to_string(), 400))?;
    let kind = channel.kind();
    if kind == Kind::Public {
        return Ok(Join { channel, member: None });
    }
    // Before the signature is checked, so that a client learns that the data is missing, not that they do not fit.
    if kind == Kind::Presence && request.channel_data.is_none() {
        return Err(refuse("AuthError", "a presence channel requires channel_data", 401));
    }
    let auth = request.auth.as_deref().unwrap_or_default();
    let signed = match &request.channel_data {
        Some(data) => format!("{socket}:{channel}:{data}"),
        None => format!("{socket}:{channel}"),
    };
    if !auth::is_allowed(&app.key, &app.secret, auth, &signed) {
        return Err(refuse(
            "AuthError",
            "the signature in auth is not valid for this socket and channel",
            401,
        ));
    }
    if kind != Kind::Presence {
        return Ok(Join { channel, member: None });
    }
    match Member::parse(request.channel_data.as_deref()) {
        Ok(member) => Ok(Join { channel, member: Some(Arc::new(member)) }),
        Err(error) => Err(refuse("InvalidChannelData", &error.to_string(), 400)),
    }
}

/// The answer to a subscription beyond the limit of channels per connection.
pub fn too_many(channel: &str, max: usize) -> Frame {
    subscription_error(channel, "LimitReached", &format!("a connection has at most {max} channels"), 403)
}

/// An event of a client that is allowed.
#[derive(Debug)]
pub struct Relay {
    pub channel: ChannelName,
    pub frame: Frame,
}

/// Decides whether a client event is passed on.
pub fn relay(
    app: &App,
    connection: &Connection,
    event: &str,
    channel: &str,
    data: Option<&serde_json::value::RawValue>,
) -> Result<Relay, &'static str> {
    if !app.client_events {
        return Err("this app does not allow client events");
    }
    if event.chars().count() > MAX_EVENT {
        return Err("the name of the event is longer than 200 characters");
    }
    if data.is_some_and(|data| data.get().len() > MAX_DATA) {
        return Err("the data of the event is longer than 10 kB");
    }
    let membership = connection.membership(channel).ok_or("the client is not in this channel")?;
    match membership.channel.kind() {
        Kind::Private | Kind::Presence => {}
        Kind::Public | Kind::Encrypted => return Err("client events need a private or presence channel"),
    }
    let user = membership.member.as_ref().map(|member| &*member.user);
    let frame = client_event(&membership.channel, event, data, user);
    Ok(Relay { channel: membership.channel.clone(), frame })
}

/// The number of client events in the current second.
#[derive(Debug, Default)]
pub struct Rate {
    second: u64,
    events: u32,
}

impl Rate {
    /// Client events per second and client.
    pub const MAX: u32 = 10;

    /// Counts an event at `ms`, a time in milliseconds. Returns whether it is within the limit.
    pub fn admit(&mut self, ms: u64) -> bool {
        let second = ms / 1000;
        if second != self.second {
            *self = Self { second, events: 0 };
        }
        self.events += 1;
        self.events <= Self::MAX
    }
}

/// The changes that a client may make at once, and per second: a bucket that fills. Beyond it the client is not refused: the
/// next frame is read later.
#[derive(Debug)]
pub struct Changes {
    /// The moment at which the bucket is full, in milliseconds.
    full_at_ms: u64,
    burst: u64,
}

impl Changes {
    /// Time until there is room for one more.
    const EACH_MS: u64 = 20;

    pub fn new(burst: usize) -> Self {
        Self { full_at_ms: 0, burst: burst as u64 }
    }

    /// Counts a change at `ms`. Returns the milliseconds to wait before the next one.
    pub fn pause_ms(&mut self, ms: u64) -> u64 {
        self.full_at_ms = self.full_at_ms.max(ms) + Self::EACH_MS;
        (self.full_at_ms - ms).saturating_sub(self.burst * Self::EACH_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Outbox;

    fn app() -> App {
        App { client_events: true, ..App::new("1", "key", "secret") }
    }

    fn socket() -> SocketId {
        SocketId::new(1, 1)
    }

    fn request(channel: &str, auth: Option<&str>, data: Option<&str>) -> Subscribe {
        let own = |text: &str| text.to_owned();
        Subscribe { channel: own(channel), auth: auth.map(own), channel_data: data.map(own) }
    }

    fn signed(channel: &str, data: Option<&str>) -> Subscribe {
        let text = data.map_or(format!("1.1:{channel}"), |data| format!("1.1:{channel}:{data}"));
        request(channel, Some(&format!("key:{}", auth::sign("secret", text.as_bytes()))), data)
    }

    fn refusal(request: &Subscribe) -> (String, u16) {
        let frame: serde_json::Value =
            serde_json::from_str(&decide(&app(), socket(), request).unwrap_err()).unwrap();
        assert_eq!(frame["event"], "pusher:subscription_error");
        assert_eq!(frame["channel"], *request.channel);
        (frame["data"]["type"].as_str().unwrap().to_owned(), frame["data"]["status"].as_u64().unwrap() as u16)
    }

    #[test]
    fn public_channels_need_no_signature() {
        assert!(decide(&app(), socket(), &request("news", None, None)).unwrap().member.is_none());
        assert_eq!(refusal(&request("no such/name", None, None)), ("InvalidChannel".to_owned(), 400));
    }

    #[test]
    fn private_channels_need_the_signature_of_this_socket() {
        assert!(decide(&app(), socket(), &signed("private-a", None)).is_ok());
        let auth_error = (String::from("AuthError"), 401);
        assert_eq!(refusal(&request("private-a", None, None)), auth_error);
        assert_eq!(refusal(&request("private-a", Some("key:00"), None)), auth_error);
        let other = signed("private-a", None);
        assert_eq!(refusal(&Subscribe { channel: "private-b".to_owned(), ..other }), auth_error);
        let refused = decide(&app(), SocketId::new(1, 2), &signed("private-a", None));
        assert!(refused.is_err());
    }

    #[test]
    fn presence_channels_need_valid_channel_data_that_is_signed() {
        let join = decide(&app(), socket(), &signed("presence-a", Some(r#"{"user_id":7}"#))).unwrap();
        assert_eq!(&*join.member.unwrap().user, "7");
        assert_eq!(refusal(&signed("presence-a", None)), ("AuthError".to_owned(), 401));
        assert_eq!(refusal(&signed("presence-a", Some("{}"))), ("InvalidChannelData".to_owned(), 400));
        assert_eq!(refusal(&signed("presence-a", Some("["))), ("InvalidChannelData".to_owned(), 400));
        let mut changed = signed("presence-a", Some(r#"{"user_id":7}"#));
        changed.channel_data = Some(r#"{"user_id":8}"#.to_owned());
        assert_eq!(refusal(&changed), ("AuthError".to_owned(), 401));
    }

    fn connection() -> Connection {
        let mut connection = Connection::new(0, socket(), Outbox::new(1).0, None);
        for name in ["news", "private-a", "private-encrypted-a", "presence-a"] {
            let member = Member::parse(Some(r#"{"user_id":7}"#)).unwrap();
            let member = name.starts_with("presence-").then(|| Arc::new(member));
            assert!(connection.join(ChannelName::parse(name).unwrap(), member, 10));
        }
        connection
    }

    #[test]
    fn client_events_need_an_app_that_allows_them_and_a_private_channel() {
        let relay_in = |app: &App, channel| {
            relay(app, &connection(), "client-x", channel, None).map(|relay| relay.frame)
        };
        assert!(relay_in(&app(), "private-a").is_ok());
        assert!(relay_in(&app(), "presence-a").unwrap().contains(r#""user_id":"7""#));
        assert!(!relay_in(&app(), "private-a").unwrap().contains("user_id"));
        for channel in ["news", "private-encrypted-a", "private-b", ""] {
            assert!(relay_in(&app(), channel).is_err(), "{channel}");
        }
        assert!(relay_in(&App { client_events: false, ..app() }, "private-a").is_err());
    }

    #[test]
    fn client_events_have_the_limits_of_other_events() {
        let app = app();
        let long: Box<serde_json::value::RawValue> =
            serde_json::from_str(&format!("\"{}\"", "x".repeat(MAX_DATA))).unwrap();
        assert!(relay(&app, &connection(), "client-x", "private-a", Some(&long)).is_err());
        let name = format!("client-{}", "ö".repeat(MAX_EVENT - 7));
        assert!(relay(&app, &connection(), &name, "private-a", None).is_ok());
        let name = format!("client-{}", "x".repeat(MAX_EVENT));
        assert!(relay(&app, &connection(), &name, "private-a", None).is_err());
    }

    #[test]
    fn changes_beyond_a_burst_are_slowed_down() {
        let mut changes = Changes::new(3);
        assert_eq!([0, 0, 0, 0, 0].map(|ms| changes.pause_ms(ms)), [0, 0, 0, 20, 40]);
        assert_eq!(changes.pause_ms(60), 0);
        assert_eq!(changes.pause_ms(60), 20);
        assert_eq!([9000, 9000, 9000, 9000].map(|ms| changes.pause_ms(ms)), [0, 0, 0, 20]);
    }

    #[test]
    fn ten_client_events_per_second_are_allowed() {
        let mut rate = Rate::default();
        assert!((0..10).all(|event| rate.admit(5000 + event)));
        assert!(!rate.admit(5999));
        assert!(rate.admit(6000));
    }
}
