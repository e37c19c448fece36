//! Connection tasks that change one table, which a monitor reads.
//!
//! `cargo run --example shared_writer` prints:
//!
//! ```text
//! 5000 connected, each task has seen its own link
//! 500 links left after the storm
//! fewer versions than operations: true
//! a transfer that panicked has changed nothing: 500 links
//! the writer returns with 500 links
//! ```
#![allow(clippy::print_stdout)] // An example prints.

use std::sync::Arc;
use std::time::Duration;

use switchboard::table::shared::{CommitError, Config};
use switchboard::{SharedWriter, Table};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const CONNECTIONS: u64 = 5_000;

type Links = SharedWriter<u64, &'static str>;

/// Connects, waits until everyone has connected, and is cut unless its number ends in zero.
async fn connection(id: u64, links: Links, connected: Arc<Barrier>) -> Result<(), &'static str> {
    // The ticket is completed after the publish, so this task reads its own write.
    let ticket = links.transaction_async(move |table| table.insert(id, "connected"));
    let committed = ticket.await.map_err(|_| "closed")?.await.map_err(|_| "not committed")?;
    let snapshot = links.table().snapshot();
    assert!(snapshot.version() >= committed.version && snapshot.contains_key(&id));
    connected.wait().await;
    if !id.is_multiple_of(10) {
        // Nothing waits for this removal, and nothing is allocated for it.
        links.remove_async(id).await.map_err(|_| "closed")?;
    }
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (writer, table) = Table::new();
    let (links, thread) = SharedWriter::spawn(writer, Config::new().thread_name("links"))?;
    let connected = Arc::new(Barrier::new(CONNECTIONS as usize + 1));
    let mut tasks = JoinSet::new();
    for id in 0..CONNECTIONS {
        tasks.spawn(connection(id, links.clone(), connected.clone()));
    }
    connected.wait().await;
    println!("{CONNECTIONS} connected, each task has seen its own link");
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    // Completed after everything that was accepted before it.
    let settled = links.transaction_async(|table| table.len()).await.map_err(|_| "closed")?.await?;
    println!("{} links left after the storm", settled.value);
    let stats = links.stats();
    println!("fewer versions than operations: {}", stats.publishes < stats.operations);

    std::panic::set_hook(Box::new(|_| ())); // keeps the output short
    let transfer = links.transaction(|table| {
        table.remove(&0);
        assert!(table.insert(1, "moved").is_some(), "nothing to move to");
    });
    assert_eq!(transfer.map_err(|_| "closed")?.await, Err(CommitError::Panicked));
    println!("a transfer that panicked has changed nothing: {} links", table.snapshot().len());

    let writer = thread.shutdown(Duration::from_secs(10))?;
    println!("the writer returns with {} links", writer.len());
    Ok(())
}
