//! The memory of programs with many tasks: a task that holds a handle of the table, and no version while it
//! waits, adds little to the table.
#![allow(clippy::unwrap_used)] // A panic fails the test.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Uses a runtime, not models.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use switchboard::Table;
use switchboard::table::Memory;
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};

const ENTRIES: u64 = 100_000;
const TASKS: u64 = 10_000;
const ROUNDS: u64 = 10;
/// The bound, relative to the table alone.
const LIMIT: f64 = 1.2;

/// The hasher has no random seed: pages split in the same way in each run.
type Hasher = BuildHasherDefault<DefaultHasher>;
type Links = Table<u64, [u64; 16], (), Hasher>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tasks {
    /// No tasks.
    None,
    /// Each task takes a snapshot for a request, at a version of its own, and waits before and after.
    Requests,
    /// Each task awaits every change.
    Changes,
}

/// Waits for the round in which this task has its request, looks up an entry, and waits for the end.
async fn answer(id: u64, links: Links, mut requests: watch::Receiver<u64>, reads: Arc<AtomicU64>) {
    requests.wait_for(|round| *round == id % ROUNDS + 1).await.unwrap();
    assert_eq!(links.snapshot()[&id], [0; 16]);
    reads.fetch_add(1, Ordering::Relaxed);
    requests.wait_for(|round| *round > ROUNDS).await.unwrap();
}

/// Looks up an entry in every version, until the writer is dropped.
async fn follow(id: u64, links: Links, reads: Arc<AtomicU64>) {
    loop {
        let snapshot = links.snapshot();
        let seen = snapshot.version();
        assert_eq!(snapshot[&id], [0; 16]);
        drop(snapshot);
        reads.fetch_add(1, Ordering::Relaxed);
        if links.changed(seen).await.is_err() {
            return;
        }
    }
}

/// Changes a table while tasks wait and read it. Returns the account of the table while all of them wait.
async fn program(kind: Tasks) -> Memory {
    let (mut writer, links) =
        Table::builder().hasher(Hasher::default()).build_with((0..ENTRIES).map(|key| (key, [0; 16])));
    let (requests, received) = watch::channel(0);
    let (mut tasks, reads) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
    for id in 0..TASKS {
        match kind {
            Tasks::None => continue,
            Tasks::Requests => tasks.spawn(answer(id, links.clone(), received.clone(), reads.clone())),
            Tasks::Changes => tasks.spawn(follow(id, links.clone(), reads.clone())),
        };
    }
    let until = async |count: u64| {
        while reads.load(Ordering::Relaxed) < count {
            yield_now().await;
        }
    };
    until(if kind == Tasks::Changes { TASKS } else { 0 }).await;
    for round in 1..=ROUNDS {
        for key in (TASKS + round..ENTRIES).step_by(50) {
            writer.insert(key, [round; 16]); // on most pages
        }
        writer.publish();
        requests.send_replace(round);
        match kind {
            Tasks::None => {}
            Tasks::Requests => until(TASKS / ROUNDS * round).await,
            Tasks::Changes => until(TASKS * (round + 1)).await,
        }
    }
    let (stats, memory) = (writer.stats(), writer.memory());
    assert_eq!(
        (stats.alive, stats.readers, memory.held_bytes),
        (1, 0, 0),
        "a task that waits holds no version"
    );
    drop(writer);
    requests.send_replace(ROUNDS + 1);
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    memory
}

/// Returns the bytes that the program has allocated at most, and the account of its table.
fn measure(kind: Tasks) -> (u64, Memory) {
    let mut memory = None;
    let counted = allocation_counter::measure(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        memory = Some(runtime.block_on(program(kind)));
    });
    (counted.bytes_max, memory.unwrap())
}

#[test]
fn ten_thousand_waiting_tasks_add_little_to_the_table() {
    let (alone, table) = measure(Tasks::None);
    assert!(table.total_bytes() as u64 <= alone, "everything is counted");
    for kind in [Tasks::Requests, Tasks::Changes] {
        let (bytes, memory) = measure(kind);
        assert!(bytes as f64 <= LIMIT * alone as f64, "{kind:?}: {bytes} bytes, {alone} without tasks");
        assert!(
            memory.total_bytes() as f64 <= LIMIT * table.total_bytes() as f64,
            "{kind:?}: {memory:?}, {table:?}"
        );
    }
}
