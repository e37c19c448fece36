//! The flags, and what makes sense of them.

use std::net::SocketAddr;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, value_parser};

/// A mesh of nodes on real sockets, each with its own link manager, under fire.
///
/// Every node listens on 127.0.0.1, looks for peers until each of its nets has enough links, and answers for
/// its links to the others. Sockets are cut, nodes die and come back, announcements are refused and dials
/// hang; at the end the chaos stops and both ends of every link are compared.
#[derive(Parser, Clone, Debug)]
#[command(name = "mesh", after_help = "Exit code: 0 when all is well, 1 when it is not, 2 for bad flags.")]
pub(crate) struct Options {
    /// Nodes in this process
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 8)]
    #[arg(value_parser = value_parser!(u16).range(1..=256))]
    pub(crate) nodes: u16,

    /// Nets; every node takes part in all of them
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 2)]
    #[arg(value_parser = value_parser!(u16).range(1..=64))]
    pub(crate) nets: u16,

    /// Links that each net of each node asks for
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 3)]
    pub(crate) min_links: u16,

    /// How long the chaos lasts
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 20)]
    #[arg(value_parser = value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,

    /// Cuts and kills per second; 0 for a quiet mesh
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, default_value_t = 2.0)]
    #[arg(value_parser = rate)]
    pub(crate) churn: f64,

    /// Threads that query all nodes without a pause
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 1)]
    #[arg(value_parser = value_parser!(u16).range(0..=64))]
    pub(crate) readers: u16,

    /// Seed of every random choice [default: a random one]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,

    /// Serve the metrics of all nodes at http://ADDR/metrics; port 0 for any, which standard error names
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// The flags of this process. Flags that make no sense end it: a message, and exit code 2.
    pub(crate) fn from_command_line() -> Self {
        let mut options = Self::parse();
        if options.min_links >= options.nodes {
            let (min, nodes) = (options.min_links, options.nodes);
            let message =
                format!("--min-links {min} cannot be had: a node of {nodes} has {} peers", nodes - 1);
            Self::command().error(ErrorKind::ValueValidation, message).exit();
        }
        // 32 bits: a number that every JSON reader keeps exactly.
        options.seed.get_or_insert_with(|| u64::from(fastrand::u32(..)));
        options
    }

    /// What all random choices derive from.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or_default()
    }

    /// Whether anything is broken on purpose.
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
