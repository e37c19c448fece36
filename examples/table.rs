//! A table with one writer, and a reader on another thread.
//!
//! `cargo run --example table` prints:
//!
//! ```text
//! staged 2 peers, readers see 0
//! version 1: len 2, peer 7 is at 10.0.0.7:9000
//! version 2: len 1; the snapshot of version 1 still has len 2
//! Removed { key: 9, old: "10.0.0.9:9000" }
//! ```
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::expect_used)] // Prints, and uses only std.

use std::thread;

use switchboard::Table;

fn main() {
    let (mut writer, table) = Table::<u64, String>::new();
    writer.insert(7, "10.0.0.7:9000".into());
    writer.insert(9, "10.0.0.9:9000".into());
    println!("staged {} peers, readers see {}", writer.len(), table.snapshot().len());

    writer.publish();
    let old = table.snapshot();
    // Handles are cheap to clone. A thread that looks up keys in a loop uses a `Reader`.
    let mut reader = table.reader();
    let lookup = thread::spawn(move || {
        let snapshot = reader.snapshot();
        println!("version {}: len {}, peer 7 is at {}", snapshot.version(), snapshot.len(), snapshot[&7]);
    });
    lookup.join().expect("the reader does not panic");

    writer.remove(&9);
    let version = writer.publish();
    let new = table.snapshot();
    println!("version {version}: len {}; the snapshot of version 1 still has len {}", new.len(), old.len());
    for change in new.diff(&old) {
        println!("{change:?}");
    }
}
