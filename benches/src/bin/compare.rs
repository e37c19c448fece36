//! Prints a comparison of this crate with the alternatives, as Markdown.

use std::time::{Duration, Instant};

use clap::Parser;
use switchboard_benches::measure::Plan;
use switchboard_benches::memory::Counting;
use switchboard_benches::workloads::{Settings, run};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Compares switchboard with its peers, measured alternately in the same run, and prints Markdown.
#[derive(Parser, Debug)]
struct Options {
    /// Runs a smoke test in under a minute; its figures are not meaningful.
    #[arg(long)]
    quick: bool,

    /// Numbers of entries.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,

    /// Numbers of reader threads.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,

    /// Workloads: lookup, types, writing, update, iterate, growth, groups, memory, manager, metrics, waits,
    /// storm, sessions, cleanup. Default: all.
    #[arg(long, value_delimiter = ',')]
    workload: Vec<String>,

    /// Number of measured rounds per side, after one warm-up round. Default: 7, quick 3.
    #[arg(long)]
    rounds: Option<usize>,

    /// Milliseconds per side and round. Default: 12, quick 2.
    #[arg(long)]
    budget_ms: Option<u64>,
}

fn main() {
    let start = Instant::now();
    let options = Options::parse();
    let default_sizes: &[usize] =
        if options.quick { &[1_000, 10_000] } else { &[1_000, 10_000, 100_000, 1_000_000] };
    let sizes = if options.sizes.is_empty() { default_sizes.to_vec() } else { options.sizes };
    let plan = Plan {
        rounds: options.rounds.unwrap_or(if options.quick { 3 } else { 7 }).max(1),
        budget: Duration::from_millis(options.budget_ms.unwrap_or(if options.quick { 2 } else { 12 })),
    };
    let settings = Settings { plan, sizes, threads: options.threads, wanted: options.workload };
    let report = run(&settings);
    println!("# switchboard against its peers\n");
    println!(
        "{} rounds of {} ms per side, in a random order for each round; medians. {} processors.",
        plan.rounds,
        plan.budget.as_millis(),
        std::thread::available_parallelism().map_or(1, usize::from),
    );
    println!("{}", report.to_markdown());
    eprintln!("{:.0} s", start.elapsed().as_secs_f64());
}
