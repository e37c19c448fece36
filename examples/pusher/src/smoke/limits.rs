//! Limits, wrong settings, and the planned end.

use std::io;

use serde_json::json;

use super::done;
use crate::config::App;
use crate::harness::{Client, Process, Received, Target, expect, failed};

pub(super) async fn run() -> io::Result<()> {
    settings().await?;
    per_address().await?;
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
