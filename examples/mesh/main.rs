//! A mesh of nodes on real sockets, each with its own link manager, under injected faults.
//!
//! ```text
//! cargo run --release --example mesh -- --nodes 8 --seconds 10
//! ```
//!
//! Every node has a [`LinkManager`](switchboard::LinkManager), a TCP listener on 127.0.0.1 and one task that
//! owns its connections. The manager's effects reach that task through a channel; network events return to
//! the manager as commands. While connections are cut, nodes are killed and restarted, announcements are
//! refused and dials hang, query threads read all nodes continuously. Some nodes keep permanent or static
//! peers, and hosts sort links into clusters. Half way through the run the nodes are asked for more links,
//! and a killed node restarts from its exported state. At the end the faults stop, and the two ends of every
//! link are compared with each other and with the plan.
//!
//! The modules:
//!
//! * `node`: builds, feeds and stops a manager. `transport`: effects in, events out.
//! * `stream`: one connection; how async code uses tickets and snapshots. `sockets`: all that a node has.
//! * `wire`: the frames. `local`: the state that the tasks of a node share.
//! * `plan`: the links that nodes are told to keep. `host`: the members of their clusters. `names`: names.
//! * `run`: the supervisor. `run::lives`: starts and kills nodes. `chaos`, `faults`: the injected faults.
//! * `truth`: checks the nodes against each other. `kept`: checks them against the plan. `describe`: reasons.
//! * `query`: the readers. `audit`: explanations against snapshots. `ledger`: traffic, counted twice.
//! * `scrape`: metrics over HTTP. `totals`, `progress`, `report`, `options`: the rest of the program.
//!
//! The exit code is 0 if all checks pass, 1 with a list of the breaches otherwise, and 2 for invalid flags.

// A program prints to its user and reads the clock; the lints against both are meant for the library.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

use std::process::ExitCode;

use options::Options;
use report::Report;

mod audit;
mod chaos;
mod describe;
mod faults;
mod host;
mod kept;
mod ledger;
mod local;
mod names;
mod node;
mod options;
mod plan;
mod progress;
mod query;
mod report;
mod run;
mod scrape;
mod sockets;
mod stream;
mod totals;
mod transport;
mod truth;
mod wire;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    match execute(&options) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            for complaint in &complaints {
                eprintln!("breach: {complaint}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the mesh, prints the report, and returns the failed checks.
fn execute(options: &Options) -> Result<Vec<String>, run::Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().enable_time().build()?;
    let outcome = runtime.block_on(run::run(options))?;
    let report = Report::new(options, &outcome);
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
        if let Some(took) = outcome.stable_after {
            println!("stable     after {:.1} s; both ends of every link agree", took.as_secs_f64());
        }
    }
    Ok(report::complaints(&outcome))
}
