//! The command-line flags and their validation.

use std::net::SocketAddr;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, value_parser};

/// A mesh of nodes on real sockets, each with its own link manager, under injected faults.
///
/// Every node listens on 127.0.0.1, requests peers until each of its nets has enough links, and accepts links
/// from the other nodes. Connections are cut, nodes are killed and restarted, announcements are refused and
/// dials hang; at the end the faults stop and both ends of every link are compared.
#[derive(Parser, Clone, Debug)]
#[command(name = "mesh", after_help = "Exit code: 0 if all checks pass, 1 otherwise, 2 for invalid flags.")]
pub(crate) struct Options {
    /// Number of nodes in this process
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 8)]
    #[arg(value_parser = value_parser!(u16).range(1..=256))]
    pub(crate) nodes: u16,

    /// Number of nets; every node takes part in all of them
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 2)]
    #[arg(value_parser = value_parser!(u16).range(1..=64))]
    pub(crate) nets: u16,

    /// Minimum number of links of each net of each node
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 3)]
    pub(crate) min_links: u16,

    /// Duration of the chaos, in seconds
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 20)]
    #[arg(value_parser = value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,

    /// Average number of cuts, kills and deleted links per second; 0 disables all faults
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, default_value_t = 2.0)]
    #[arg(value_parser = rate)]
    pub(crate) churn: f64,

    /// Number of threads that query all nodes continuously
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 1)]
    #[arg(value_parser = value_parser!(u16).range(0..=64))]
    pub(crate) readers: u16,

    /// Seed of all random choices [default: random]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,

    /// Serve the metrics of all nodes at http://ADDR/metrics; the address is printed to stderr
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Print the report as one JSON object, on the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// Parses the flags of this process. If they are invalid, prints a message and exits with code 2.
    pub(crate) fn from_command_line() -> Self {
        let mut options = Self::parse();
        if options.min_links >= options.nodes {
            let (min, nodes) = (options.min_links, options.nodes);
            let message =
                format!("--min-links {min} is too high: --nodes {nodes} allows at most {}", nodes - 1);
            Self::command().error(ErrorKind::ValueValidation, message).exit();
        }
        // 32 bits: JSON readers keep the number exactly.
        options.seed.get_or_insert_with(|| u64::from(fastrand::u32(..)));
        options
    }

    /// The seed of all random choices.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or_default()
    }

    /// Whether no faults are injected.
    pub(crate) fn is_quiet(&self) -> bool {
        self.churn == 0.0
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| String::from("not a number"))?;
    if (0.0..=1000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err(String::from("not in 0..=1000 events per second"))
    }
}
