//! The test of the whole server: another process, and clients that go through everything.
//!
//! Waits for answers. To show that something does *not* come, the client asks for something else afterwards: answers come in
//! order.

mod api;
mod limits;
mod protocol;
mod webhooks;

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::App;
use crate::harness::{Process, Target};

/// Longer than everything takes, unless the server is stuck.
const LIMIT: Duration = Duration::from_secs(300);

pub async fn run() -> io::Result<()> {
    timeout(LIMIT, drive()).await??;
    println!("smoke: all passed");
    Ok(())
}

async fn drive() -> io::Result<()> {
    let server = Process::start(&["--app", "1:key:secret", "--client-events"]).await?;
    let target = Target { address: server.address, app: App::new("1", "key", "secret") };
    protocol::run(&target).await?;
    api::run(&target).await?;
    drop(server);
    limits::run().await?;
    webhooks::run().await
}

fn done(what: &str) {
    println!("smoke: {what}");
}
