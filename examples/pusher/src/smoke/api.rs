//! The HTTP API.

use std::io;

use serde_json::{Value, json};

use super::done;
use crate::harness::{Client, Target, expect, request};

pub(super) async fn run(target: &Target) -> io::Result<()> {
    all_or_nothing(target).await?;
    refused(target).await?;
    attributes(target).await?;
    figures(target).await
}

async fn post(target: &Target, path: &str, body: &Value) -> io::Result<(u16, String)> {
    request(target, "POST", path, &[], body.to_string()).await
}

async fn all_or_nothing(target: &Target) -> io::Result<()> {
    let mut client = Client::connect(target).await?;
    client.subscribe("news", None).await?;
    let event = |change: &[(&str, Value)]| {
        let mut body = json!({ "name": "greet", "channels": ["news"], "data": "{}" });
        change.iter().for_each(|(name, value)| body[*name] = value.clone());
        body
    };
    let many = |number: usize| (0..number).map(|number| format!("c{number}")).collect::<Vec<_>>();
    let wrong = [
        ([("channels", json!(["news", "a b"]))], 400),
        ([("channels", json!(many(101)))], 400),
        ([("channels", json!(["news", "x".repeat(165)]))], 400),
        ([("name", json!("x".repeat(201)))], 400),
        ([("data", json!("x".repeat(10 * 1024 + 1)))], 413),
        ([("data", json!("x".repeat(70_000)))], 413),
        ([("socket_id", json!("1"))], 400),
        ([("info", json!("secrets"))], 400),
    ];
    for (change, status) in wrong {
        let (found, reason) = post(target, "/apps/1/events", &event(&change)).await?;
        expect(&reason, found, status)?;
        expect("a reason is given", reason.is_empty(), false)?;
    }
    let good = json!({ "name": "greet", "channel": "news", "data": "{}" });
    let bad = json!({ "name": "greet", "channel": "a b", "data": "{}" });
    for batch in [json!([good, bad]), json!(vec![&good; 11])] {
        let (status, reason) = post(target, "/apps/1/batch_events", &json!({ "batch": batch })).await?;
        expect(&reason, status, 400)?;
    }
    expect("events of wrong requests", client.ping().await?, Vec::new())?;
    let (status, _) = post(target, "/apps/1/events", &event(&[("socket_id", json!(client.id))])).await?;
    expect("excluded", (status, client.ping().await?.len()), (200, 0))?;
    let (status, _) = post(target, "/apps/1/batch_events", &json!({ "batch": vec![&good; 10] })).await?;
    expect("a batch", (status, client.ping().await?.len()), (200, 10))?;
    let (status, _) = post(target, "/apps/1/events", &event(&[("channels", json!(many(100)))])).await?;
    expect("100 channels", status, 200)?;
    done("events and batches: all or nothing");
    Ok(())
}

async fn refused(target: &Target) -> io::Result<()> {
    let wrong_secret = Target { app: crate::config::App::new("1", "key", "other"), ..target.clone() };
    let wrong_key = Target { app: crate::config::App::new("1", "other", "secret"), ..target.clone() };
    for target in [wrong_secret, wrong_key] {
        expect("wrong", request(&target, "GET", "/apps/1/channels", &[], String::new()).await?.0, 401)?;
        let body = json!({ "name": "a", "channels": ["b"], "data": "" });
        expect("wrong", post(&target, "/apps/1/events", &body).await?.0, 401)?;
    }
    expect("unknown app", request(target, "GET", "/apps/2/channels", &[], String::new()).await?.0, 404)?;
    // The digest of nothing, which some clients add.
    let more = [("body_md5", "d41d8cd98f00b204e9800998ecf8427e")];
    expect("with a digest", request(target, "GET", "/apps/1/channels", &more, String::new()).await?.0, 200)?;
    done("wrong signatures, keys and apps");
    Ok(())
}

async fn get(target: &Target, path: &str, more: &[(&str, &str)]) -> io::Result<(u16, Value)> {
    let (status, text) = request(target, "GET", path, more, String::new()).await?;
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

async fn attributes(target: &Target) -> io::Result<()> {
    let mut clients = Vec::new();
    for user in ["1", "1", "2"] {
        let mut client = Client::connect(target).await?;
        client.subscribe("presence-count", Some(user)).await?;
        client.subscribe("private-count", None).await?;
        clients.push(client);
    }
    let both = [("info", "user_count,subscription_count")];
    let one = get(target, "/apps/1/channels/presence-count", &both).await?;
    expect("a channel", one, (200, json!({ "occupied": true, "user_count": 2, "subscription_count": 3 })))?;
    let prefix = [("filter_by_prefix", "presence-count"), ("info", "user_count")];
    let list = get(target, "/apps/1/channels", &prefix).await?;
    expect("channels", list, (200, json!({ "channels": { "presence-count": { "user_count": 2 } } })))?;
    let prefix = [("filter_by_prefix", "private-count"), ("info", "subscription_count")];
    let list = get(target, "/apps/1/channels", &prefix).await?;
    expect("channels", list, (200, json!({ "channels": { "private-count": { "subscription_count": 3 } } })))?;
    expect("users need presence", get(target, "/apps/1/channels", &[("info", "user_count")]).await?.0, 400)?;
    expect("users need presence", get(target, "/apps/1/channels/private-count", &both).await?.0, 400)?;
    expect("users need presence", get(target, "/apps/1/channels/private-count/users", &[]).await?.0, 400)?;
    let (_, users) = get(target, "/apps/1/channels/presence-count/users", &[]).await?;
    let mut ids: Vec<_> =
        users["users"].as_array().into_iter().flatten().map(|user| user["id"].to_string()).collect();
    ids.sort();
    expect("users", ids.concat(), String::from("\"1\"\"2\""))?;
    let body = json!({ "name": "a", "channels": ["presence-count", "nothing"], "data": "", "info": "user_count,subscription_count" });
    let (status, answer) = post(target, "/apps/1/events", &body).await?;
    let expected = json!({ "channels": {
        "presence-count": { "user_count": 2, "subscription_count": 3 }, "nothing": { "subscription_count": 0 } } });
    expect("info of an event", (status, serde_json::from_str(&answer).unwrap_or_default()), (200, expected))?;
    done("channels, users and their numbers");
    Ok(())
}

async fn figures(target: &Target) -> io::Result<()> {
    for (path, text) in [
        ("/stats", "\"pressure\":"),
        ("/metrics", "pusher_connections "),
        ("/metrics", "pipeline=\"pusher\""),
        ("/", "<title>pusher"),
        ("/page.js", "/stats"),
    ] {
        let (status, body) = request(target, "GET", path, &[], String::new()).await?;
        expect(path, (status, body.contains(text)), (200, true))?;
    }
    done("figures and the page");
    Ok(())
}
