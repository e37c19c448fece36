//! The storm: thousands of clients, of which most vanish at once while new ones connect at a steady rate.
//!
//! Clients are in rooms of fifty. A room is a public, a private and a presence channel, and each user of it has two
//! connections. The storm cuts whole rooms, so that the channels that it empties, and the users that leave them, are
//! known. Channels are not occupied again: each causes one event of each kind.

mod check;
mod load;
mod report;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use crate::config::{self, App, Flags};
use crate::harness::{Process, Receiver, Target, Usage, failed};
use load::{Load, Plan};
use report::{Latencies, Report};

/// The settings of a storm.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Clients before the storm; three channels each.
    #[arg(long, default_value_t = 5000)]
    clients: usize,
    /// Percentage of them that is cut.
    #[arg(long, default_value_t = 90)]
    cut: usize,
    /// New connections per second, before the storm and in it.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Seconds for which connections are measured, before the storm and in it.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Milliseconds of grace of the server that is started.
    #[arg(long, default_value_t = 1000)]
    grace_ms: u64,
    /// Another server of the same protocol, instead of one that is started.
    #[arg(long, value_name = "ws://ADDRESS")]
    target: Option<String>,
    /// The app of that server.
    #[arg(long, value_name = "ID:KEY:SECRET", default_value = "1:app-key:app-secret")]
    app: String,
    /// The process of that server, whose memory and processor time are reported.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// The address at which the webhooks of that server arrive; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    webhooks: Option<SocketAddr>,
    /// Prints the report as JSON, too.
    #[arg(long)]
    json: bool,
    /// Fails if connecting in the storm takes 1.5 times as long as before it, or longer.
    #[arg(long)]
    strict: bool,
}

pub async fn run(options: Options) -> io::Result<()> {
    let files = rlimit::increase_nofile_limit(u64::MAX)?;
    let most = (files / 2).min(25_000) as usize;
    let clients = options.clients.min(most);
    if clients < options.clients {
        println!("storm: {clients} clients instead of {}, for want of file descriptors", options.clients);
    }
    let app = parse_app(&options.app)?;
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let receiver = Receiver::start(app.clone(), options.webhooks.unwrap_or(here)).await?;
    let server = match &options.target {
        Some(_) => None,
        None => {
            let (grace, url) = (options.grace_ms.to_string(), receiver.url());
            let flags = ["--app", &options.app, "--webhook", &url, "--grace-ms", &grace];
            Some(Process::start(&flags).await?)
        }
    };
    let address = match (&server, &options.target) {
        (Some(server), _) => server.address,
        (None, Some(target)) => parse_target(target)?,
        (None, None) => return Err(failed("there is no server")),
    };
    let target = Target { address, app };
    let pid = server.as_ref().and_then(Process::id).or(options.pid);
    let plan = Plan { clients, cut: clients * options.cut.min(100) / 100, rate: options.rate.max(1) };
    let report = storm(&target, &plan, &options, pid, &receiver, server.is_some()).await?;
    println!("{report}");
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    if let Some(server) = server {
        server.terminate().await?;
        let (status, printed) = server.ended().await?;
        print!("storm: {}", printed.lines().last().unwrap_or_default());
        println!();
        if !status.success() {
            return Err(failed("the drain was not complete"));
        }
    }
    let problems = report.problems(options.strict);
    if problems.is_empty() { Ok(()) } else { Err(failed(problems.join("\n"))) }
}

async fn storm(
    target: &Target,
    plan: &Plan,
    options: &Options,
    pid: Option<u32>,
    receiver: &Receiver,
    is_own: bool,
) -> io::Result<Report> {
    let period = Duration::from_secs(options.seconds);
    let usage = || pid.and_then(Usage::of).unwrap_or_default();
    let empty = usage();
    let began = Instant::now();
    let mut load = Load::connect(target, plan).await?;
    let connected_in = began.elapsed();
    println!(
        "storm: {} clients in {} rooms after {:.1} s",
        load.clients(),
        plan.rooms(),
        connected_in.as_secs_f64()
    );
    let idle = load.connect_steadily(period).await?;
    let full = usage();
    println!("storm: idle: {idle}");
    // The cut, and the connections that are made from this moment on.
    let cut_in = load.cut();
    let storm = load.connect_steadily(period).await?;
    println!("storm: {} clients cut within {:.0} ms: {storm}", plan.cut, cut_in.as_secs_f64() * 1e3);
    let after = usage();
    let expected = load.expected();
    load.leave().await;
    let check = if is_own {
        check::own(target, receiver, &expected).await?
    } else {
        check::other(receiver, &expected).await
    };
    Ok(Report {
        clients: plan.clients,
        cut: plan.cut,
        connected_in_s: connected_in.as_secs_f64(),
        ratio: storm.p95_ms / idle.p95_ms,
        idle,
        storm,
        memory_mb: full.memory_mb,
        memory_peak_mb: after.memory_peak_mb,
        memory_per_connection_kb: (full.memory_mb - empty.memory_mb) * 1024.0
            / load.opened_before_cut() as f64,
        processor_s: after.processor_s - empty.processor_s,
        check,
    })
}

fn parse_app(text: &str) -> io::Result<App> {
    let flags = Flags { apps: vec![text.to_owned()], ..Flags::default() };
    let settings = config::Settings::load(&flags).map_err(|error| failed(error.to_string()))?;
    settings.apps.into_iter().next().ok_or_else(|| failed("there is no app"))
}

fn parse_target(text: &str) -> io::Result<SocketAddr> {
    let address = text.strip_prefix("ws://").unwrap_or(text).trim_end_matches('/');
    address.parse().map_err(|_| failed(format!("{text} is not like ws://127.0.0.1:6001")))
}

/// Waits until `is_done`, and no longer than a minute. Returns whether it is.
async fn eventually(mut is_done: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_done().await {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(100)).await;
    }
    true
}
