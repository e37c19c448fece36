//! Handshakes, subscriptions, client events, and frames that are wrong.

use std::io;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::done;
use crate::harness::{Client, Target, expect, request};

pub(super) async fn run(target: &Target) -> io::Result<()> {
    handshakes(target).await?;
    subscriptions(target).await?;
    presence(target).await?;
    client_events(target).await?;
    wrong_frames(target).await
}

async fn handshakes(target: &Target) -> io::Result<()> {
    let cases = [
        ("/app/unknown?protocol=7", 4001),
        ("/app/unknown", 4001),
        ("/app/key", 4006),
        ("/app/key?protocol=4", 4007),
        ("/app/key?protocol=8", 4007),
        ("/app/key?protocol=x", 4008),
    ];
    for (path, code) in cases {
        let mut client = Client::dial(target, path).await?;
        let frame = client.frame().await?;
        expect(path, &frame["event"], &json!("pusher:error"))?;
        expect(path, &frame["data"]["code"], &json!(code))?;
        expect(path, client.closed().await?, Some(code))?;
    }
    for protocol in 5..=7 {
        let mut client = Client::dial(target, &format!("/app/key?protocol={protocol}&client=x")).await?;
        expect("the first frame", &client.frame().await?["event"], &json!("pusher:connection_established"))?;
        expect("frames before the pong", client.ping().await?, Vec::new())?;
    }
    done("handshakes, unknown apps and protocols, ping");
    Ok(())
}

async fn subscriptions(target: &Target) -> io::Result<()> {
    let mut client = Client::connect(target).await?;
    expect("public", client.subscribe("news", None).await?, json!({}))?;
    expect("private", client.subscribe("private-a", None).await?, json!({}))?;
    let refused = [
        (json!({ "channel": "private-b", "auth": "key:00" }), "AuthError", 401),
        (json!({ "channel": "private-b" }), "AuthError", 401),
        (json!({ "channel": "private-b", "auth": "" }), "AuthError", 401),
        (json!({ "channel": "b c" }), "InvalidChannel", 400),
        (json!({ "channel": "x".repeat(165) }), "InvalidChannel", 400),
    ];
    for (data, kind, status) in refused {
        client.send(&json!({ "event": "pusher:subscribe", "data": data })).await?;
        let frame = client.frame().await?;
        expect("refused", &frame["event"], &json!("pusher:subscription_error"))?;
        expect(
            "refused",
            (&frame["data"]["type"], &frame["data"]["status"]),
            (&json!(kind), &json!(status)),
        )?;
    }
    // Twice: answered again, and one copy of each event.
    client.subscribe("news", None).await?;
    trigger(target, "news", "once").await?;
    expect("copies", client.ping().await?.len(), 1)?;
    // Unsubscribed, also from a channel that was never subscribed to.
    for channel in ["news", "never"] {
        client.send(&json!({ "event": "pusher:unsubscribe", "data": { "channel": channel } })).await?;
    }
    client.ping().await?;
    trigger(target, "news", "late").await?;
    expect("events after the end", client.ping().await?.len(), 0)?;
    done("subscriptions: refused, doubled and ended; the socket stays");
    Ok(())
}

async fn presence(target: &Target) -> io::Result<()> {
    let (mut ada, mut ben) = (Client::connect(target).await?, Client::connect(target).await?);
    for (channel_data, kind) in
        [(None, "AuthError"), (Some("{}"), "InvalidChannelData"), (Some("x"), "InvalidChannelData")]
    {
        let mut data = json!({ "channel": "presence-a" });
        let text = format!(
            "{}:presence-a{}",
            ada.id,
            channel_data.map(|data| format!(":{data}")).unwrap_or_default()
        );
        data["auth"] = format!("key:{}", crate::auth::sign("secret", text.as_bytes())).into();
        if let Some(channel_data) = channel_data {
            data["channel_data"] = channel_data.into();
        }
        ada.send(&json!({ "event": "pusher:subscribe", "data": data })).await?;
        expect("presence", &ada.frame().await?["data"]["type"], &json!(kind))?;
    }
    // A numeric id is its text, and two connections of a user are one member.
    let data = json!({ "user_id": 7 }).to_string();
    let auth = crate::auth::sign("secret", format!("{}:presence-a:{data}", ada.id).as_bytes());
    let data = json!({ "channel": "presence-a", "auth": format!("key:{auth}"), "channel_data": data });
    ada.send(&json!({ "event": "pusher:subscribe", "data": data })).await?;
    ada.until("pusher_internal:subscription_succeeded").await?;
    let list = ben.subscribe("presence-a", Some("7")).await?;
    expect("members", &list["presence"]["ids"], &json!(["7"]))?;
    let mut cleo = Client::connect(target).await?;
    let list = cleo.subscribe("presence-a", Some("cleo")).await?;
    expect("members", &list["presence"]["count"], &json!(2))?;
    for client in [&mut ada, &mut ben] {
        let frame = client.until("pusher_internal:member_added").await?;
        expect("added", &frame["data"], &json!(r#"{"user_id":"cleo"}"#))?;
    }
    drop(ben);
    drop(cleo);
    let frame = ada.until("pusher_internal:member_removed").await?;
    expect("removed", &frame["data"], &json!(r#"{"user_id":"cleo"}"#))?;
    expect("more", ada.ping().await?, Vec::new())?;
    done("presence: wrong data refused, numeric ids, each member announced once");
    Ok(())
}

async fn client_events(target: &Target) -> io::Result<()> {
    let (mut ada, mut ben) = (Client::connect(target).await?, Client::connect(target).await?);
    for client in [&mut ada, &mut ben] {
        client.subscribe("private-a", None).await?;
        client.subscribe("news", None).await?;
    }
    ada.subscribe("presence-b", Some("ada")).await?;
    ben.subscribe("presence-b", Some("ben")).await?;
    ada.until("pusher_internal:member_added").await?;
    let event = |channel: &str, data: Value| json!({ "event": "client-x", "channel": channel, "data": data });
    ada.send(&event("presence-b", json!({ "n": 1 }))).await?;
    let expected =
        json!({ "event": "client-x", "channel": "presence-b", "data": { "n": 1 }, "user_id": "ada" });
    expect("in presence", ben.frame().await?, expected)?;
    ada.send(&event("private-a", json!("text"))).await?;
    expect("in private", ben.frame().await?, event("private-a", json!("text")))?;
    for channel in ["news", "private-other"] {
        ada.send(&event(channel, json!(1))).await?;
        expect(channel, &ada.frame().await?["data"]["code"], &json!(4301))?;
    }
    // Ten per second. More than twice as many at once are beyond it, wherever the second begins.
    for number in 0..25 {
        ada.send(&event("private-a", json!(number))).await?;
    }
    let errors = ada.ping().await?;
    expect("errors", errors.iter().all(|frame| frame["data"]["code"] == 4301), true)?;
    let received = ben.ping().await?.len();
    expect("events and errors", received + errors.len(), 25)?;
    if received > 20 || errors.len() < 5 {
        return Err(crate::harness::failed(format!("{received} of 25 events were passed on")));
    }
    done("client events: to the others, with their user, ten per second");
    Ok(())
}

/// A wrong frame affects the connection that sends it, at most, and no other.
async fn wrong_frames(target: &Target) -> io::Result<()> {
    let mut bystander = Client::connect(target).await?;
    bystander.subscribe("news", None).await?;
    let mut client = Client::connect(target).await?;
    for text in [
        "",
        "x",
        "[]",
        "{}",
        r#"{"event":"pusher:subscribe"}"#,
        &"[".repeat(60_000),
        &r#"{"a":"#.repeat(10_000),
    ] {
        client.send_raw(Message::text(text.to_owned())).await?;
        expect("a wrong frame", &client.frame().await?["event"], &json!("pusher:error"))?;
    }
    client.send_raw(Message::text(r#"{"event":"unknown:event","data":{}}"#)).await?;
    client.send_raw(Message::text(r#"{"event":"pusher:signin","data":{}}"#)).await?;
    expect("signin", &client.frame().await?["event"], &json!("pusher:error"))?;
    expect("after wrong frames", client.ping().await?, Vec::new())?;
    let raw = |code, bytes: &[u8]| Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(code), true));
    let cases = [
        (Message::binary(vec![1, 2, 3]), 1003),
        (raw(Data::Text, &[0xff, 0xfe]), 1007),
        (Message::text("[".repeat(100_000)), 1009),
    ];
    for (message, code) in cases {
        let mut client = Client::connect(target).await?;
        client.send_raw(message).await?;
        expect("the code", client.closed().await?, Some(code))?;
    }
    trigger(target, "news", "still").await?;
    expect("others", &bystander.frame().await?["event"], &json!("still"))?;
    done("wrong frames: deep, binary, not UTF-8, too long");
    Ok(())
}

async fn trigger(target: &Target, channel: &str, name: &str) -> io::Result<()> {
    let body = json!({ "name": name, "channels": [channel], "data": "{}" }).to_string();
    let (status, answer) = request(target, "POST", "/apps/1/events", &[], body).await?;
    expect(&answer, status, 200)
}
