//! A mesh of nodes on real sockets, each with its own link manager, under fire.
//!
//! ```text
//! cargo run --release --example mesh -- --nodes 8 --seconds 10
//! ```
//!
//! Every node has a [`LinkManager`](switchboard::LinkManager), a TCP listener on 127.0.0.1 and one task that
//! owns its connections. Effects of the manager go to that task through a channel; what the network does goes
//! back as commands. While sockets are cut, nodes die and come back, announcements are refused and dials
//! hang, query threads read all nodes without a pause. Some nodes keep permanent or static peers, hosts sort
//! links into clusters, half way everybody is asked for more, and who was killed comes back with what it had
//! exported. At the end the chaos stops, both ends of every link are compared, and all of it with the plan.
//!
//! Where to look:
//!
//! * `node`: how a manager is built, fed and ended. `transport`: effects in, events out.
//! * `stream`: one connection; how async code uses tickets and snapshots. `sockets`: all that a node has.
//! * `wire`: the frames. `local`: what the tasks of a node share.
//! * `plan`: what the nodes are told to want. `host`: who belongs to their clusters. `names`: what they are called.
//! * `run`: the supervisor. `run::lives`: how nodes begin and end. `chaos`, `faults`: what goes wrong.
//! * `truth`: what must hold at the end between the nodes. `kept`: what of the plan. `describe`: why not.
//! * `query`: the readers. `audit`: explanations against snapshots. `ledger`: traffic, counted twice.
//! * `scrape`: metrics over HTTP. `totals`, `progress`, `report`, `options`: the rest of the program.
//!
//! It exits with 0 when all is well, with 1 and a list of the breaches otherwise, and with 2 on bad flags.

// A program talks to its user, and takes the time where it needs it; neither is for the library.
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

/// Runs the mesh, prints the report, and returns what must not be.
fn execute(options: &Options) -> Result<Vec<String>, run::Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().enable_time().build()?;
    let outcome = runtime.block_on(run::run(options))?;
    let report = Report::new(options, &outcome);
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
        if let Some(took) = outcome.settled_after {
            println!("settled    after {:.1} s; every link is the same at both ends", took.as_secs_f64());
        }
    }
    Ok(report::complaints(&outcome))
}
