//! Limits, wrong settings, and the planned end.

use std::io;

use serde_json::json;

use super::done;
use crate::config::App;
use crate::harness::{Client, Process, Received, Target, expect, failed, request};

const SHORT: &str = r#"
activity_timeout_s = 3
pong_timeout_s = 2

[[apps]]
id = "1"
key = "key"
secret = "secret"
"#;

pub(super) async fn run() -> io::Result<()> {
    settings().await?;
    per_address().await?;
    bursts().await?;
    slow_and_silent().await?;
    end().await
}

async fn settings() -> io::Result<()> {
    let wrong =
        ["--listen", "here", "--app", "a", "--limit-per-ip", "0", "--webhook", "nowhere", "--grace-ms", "x"];
    let (status, errors) = Process::fail(&wrong).await?;
    expect("the exit code", status.code(), Some(2))?;
    for name in ["listen ", "--app ", "limit_per_ip ", "webhook ", "grace_ms "] {
        expect(name, errors.contains(name), true)?;
    }
    done("wrong settings are all reported, and end the server with 2");
    Ok(())
}

async fn per_address() -> io::Result<()> {
    let server = Process::start(&["--app", "1:key:secret", "--limit-per-ip", "2"]).await?;
    let target = Target { address: server.address, app: App::new("1", "key", "secret") };
    let first = Client::connect(&target).await?;
    let mut second = Client::connect(&target).await?;
    if Client::connect(&target).await.is_ok() {
        return Err(failed("a third connection was accepted"));
    }
    // Client events are not allowed here.
    second.subscribe("private-a", None).await?;
    second.send(&json!({ "event": "client-x", "channel": "private-a", "data": {} })).await?;
    expect("client events", &second.frame().await?["data"]["code"], &json!(4301))?;
    drop(first);
    // The server notices the end, and cleans, in its own time.
    while Client::connect(&target).await.is_err() {
        tokio::task::yield_now().await;
    }
    done("the limit per address, and client events that are not allowed");
    Ok(())
}

/// Short times, in a file. One client takes no frames, and one answers no ping: both are cut, and no other.
async fn slow_and_silent() -> io::Result<()> {
    let file = std::env::temp_dir().join(format!("pusher-smoke-{}.toml", std::process::id()));
    std::fs::write(&file, SHORT)?;
    let path = file.to_str().ok_or_else(|| failed("the name of the file is not text"))?;
    let server = Process::start(&["--config", path]).await;
    std::fs::remove_file(&file)?;
    let server = server?;
    let target = Target { address: server.address, app: App::new("1", "key", "secret") };
    let mut silent = Client::connect(&target).await?;
    silent.answers_pings = false;
    let (mut slow, mut bystander) = (Client::connect(&target).await?, Client::connect(&target).await?);
    let channels: Vec<_> = (0..100).map(|number| format!("c{number}")).collect();
    for channel in &channels {
        slow.subscribe(channel, None).await?;
    }
    // One channel that both are in.
    bystander.subscribe("c99", None).await?;
    // 1 MB each: more than the buffers of the system hold.
    let large = json!({ "name": "large", "channels": channels, "data": "x".repeat(10_000) }).to_string();
    while figure(&target, "/traffic/slow").await? == 0 {
        let (status, answer) = request(&target, "POST", "/apps/1/events", &[], large.clone()).await?;
        expect(&answer, status, 200)?;
        // Both are heard of. The bystander also reads.
        bystander.ping().await?;
        if slow.send(&json!({ "event": "pusher:ping" })).await.is_err() {
            break;
        }
    }
    while figure(&target, "/traffic/slow").await? == 0 {
        tokio::task::yield_now().await;
    }
    let small = json!({ "name": "small", "channels": ["c99"], "data": "" }).to_string();
    expect("an event", request(&target, "POST", "/apps/1/events", &[], small).await?.0, 200)?;
    bystander.until("small").await?;
    expect("the end of the silent", silent.closed().await?, Some(4201))?;
    done("slow and silent clients are cut, and delay no other; a file with settings");
    Ok(())
}

/// Many frames at once are no reason to end a connection that reads.
async fn bursts() -> io::Result<()> {
    let server = Process::start(&["--app", "1:key:secret"]).await?;
    let target = Target { address: server.address, app: App::new("1", "key", "secret") };
    let (mut watchers, mut leavers) = (Vec::new(), Vec::new());
    for number in 0..330 {
        let mut client = Client::connect(&target).await?;
        client.subscribe("presence-a", Some(&number.to_string())).await?;
        if number < 30 { watchers.push(client) } else { leavers.push(client) }
    }
    // As when a proxy dies.
    drop(leavers);
    for watcher in &mut watchers {
        for _ in 0..300 {
            watcher.until("pusher_internal:member_removed").await?;
        }
        expect("after the last", watcher.ping().await?, Vec::new())?;
    }
    let reader = &mut watchers[0];
    let channels: Vec<_> = (0..99).map(|number| format!("c{number}")).collect();
    for channel in &channels {
        reader.subscribe(channel, None).await?;
    }
    let body = json!({ "name": "x", "channels": channels, "data": "x".repeat(5000) }).to_string();
    let trigger = || request(&target, "POST", "/apps/1/events", &[], body.clone());
    for sent in <[_; 4]>::from(tokio::join!(trigger(), trigger(), trigger(), trigger())) {
        expect("an event", sent?.0, 200)?;
    }
    for _ in 0..4 * channels.len() {
        reader.until("x").await?;
    }
    expect("slow clients", figure(&target, "/traffic/slow").await?, 0)?;
    done("bursts of members that leave, and of events, end no connection");
    Ok(())
}

/// Returns a figure of the server.
pub(super) async fn figure(target: &Target, path: &str) -> io::Result<u64> {
    let (_, text) = request(target, "GET", "/stats", &[], String::new()).await?;
    let stats: serde_json::Value = serde_json::from_str(&text)?;
    stats
        .pointer(path)
        .and_then(serde_json::Value::as_u64)
        .ok_or_else(|| failed(format!("there is no {path}")))
}

async fn end() -> io::Result<()> {
    let server = Process::start(&["--app", "1:key:secret"]).await?;
    let target = Target { address: server.address, app: App::new("1", "key", "secret") };
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = Client::connect(&target).await?;
        client.subscribe("news", None).await?;
        clients.push(client);
    }
    server.terminate().await?;
    for client in &mut clients {
        expect("the end", client.receive().await?, Received::Closed(Some(4200)))?;
    }
    drop(clients);
    let (status, printed) = server.ended().await?;
    expect(&printed, status.success(), true)?;
    expect(&printed, printed.contains("50 connections closed, 0 left"), true)?;
    done("a drain closes with 4200, and reports");
    Ok(())
}
