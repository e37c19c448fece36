//! The cost of threads that have loaded: `arc_swap` keeps as many records as threads have had one at the same
//! time, and every publish in the process visits all of them.
//!
//! `cargo test --release --test records -- --ignored --nocapture`
// Prints measurements with real threads.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_types, clippy::disallowed_methods)]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use switchboard::{Table, Writer};

const PUBLISHES: usize = 2_000;

/// Returns the median duration of a publish of one change.
fn median_publish(writer: &mut Writer<u64, u64>) -> Duration {
    let mut times: Vec<_> = (0..PUBLISHES as u64)
        .map(|value| {
            writer.insert(0, value);
            let start = Instant::now();
            black_box(writer.publish());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[PUBLISHES / 2]
}

/// Lets this many threads load at the same time, and then ends them.
fn load_in_threads(table: &Table<u64, u64>, threads: usize) {
    let all_have = Arc::new(Barrier::new(threads));
    let threads: Vec<_> = (0..threads)
        .map(|_| {
            let (table, all_have) = (table.clone(), all_have.clone());
            let body = move || {
                let version = table.snapshot().version();
                all_have.wait();
                version
            };
            thread::Builder::new().stack_size(64 << 10).spawn(body).unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
#[ignore = "measures the figures in `docs::guarantees`; up to 4,000 threads at once"]
fn publishing_after_many_threads_have_loaded() {
    for threads in [0, 100, 1_000, 4_000] {
        let (mut writer, table) = Table::new();
        load_in_threads(&table, threads);
        let publish = median_publish(&mut writer);
        println!("after {threads:>5} threads at once: {publish:?} per publish");
        assert_eq!(table.version().as_u64(), PUBLISHES as u64, "each change is a version");
    }
}
