//! A subscriber that follows a table version by version.
//!
//! `cargo run --example feed` prints:
//!
//! ```text
//! version 1
//!   Inserted { key: 1, new: "connecting" }
//!   Inserted { key: 2, new: "connecting" }
//! version 2
//!   Updated { key: 1, old: "connecting", new: "established" }
//! version 3
//!   Removed { key: 2, old: "connecting" }
//! the writer was dropped; the subscriber has 1 link
//! ```
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::expect_used)] // Prints, and uses only std.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use switchboard::Table;
use switchboard::table::{Change, FeedEvent};

fn main() {
    let (mut writer, table) = Table::<u32, &str>::new();
    // The feed starts at an exact version; every later one is delivered once and in order.
    let mut feed = table.subscribe();
    let mut mirror: BTreeMap<u32, &str> = feed.snapshot().iter().map(|(key, state)| (*key, *state)).collect();
    let subscriber = thread::spawn(move || {
        // Returns an error after the writer was dropped and every event was delivered.
        while let Ok(event) = feed.next_timeout(Duration::from_secs(10)) {
            match event {
                FeedEvent::Changes(set) => {
                    println!("version {}", set.version());
                    for change in set.iter() {
                        println!("  {change:?}");
                        apply(&mut mirror, change);
                    }
                }
                // Too far behind: the difference of the two snapshots is what was missed.
                FeedEvent::Lagged { from, resync, .. } => {
                    resync.diff(&from).for_each(|change| apply(&mut mirror, change));
                }
                _ => {}
            }
        }
        println!("the writer was dropped; the subscriber has {} link", mirror.len());
    });

    writer.insert(1, "connecting");
    writer.insert(2, "connecting");
    writer.publish();
    writer.insert(1, "established");
    writer.publish();
    writer.remove(&2);
    writer.publish();
    drop(writer);
    subscriber.join().expect("the subscriber does not panic");
}

fn apply<'a>(mirror: &mut BTreeMap<u32, &'a str>, change: Change<'_, u32, &'a str>) {
    match change {
        Change::Inserted { key, new } | Change::Updated { key, new, .. } => mirror.insert(*key, new),
        Change::Removed { key, .. } => mirror.remove(key),
    };
}
