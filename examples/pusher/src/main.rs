//! A WebSocket server for clients of the Pusher Channels protocol, version 7.
//!
//! ```text
//! cargo run --release --manifest-path examples/pusher/Cargo.toml -- --app 1:app-key:app-secret
//! ```
//!
//! Connections, channels and users are in one table: an entry per connection, and an index by channel and by user. An
//! event for a channel is one pass over the channel's members in a snapshot. The end of a connection is reported to the
//! cleanup pipeline of the table, which removes connections in batches; changes of channels and members follow from the
//! removal, and become webhooks.
//!
//! The modules, in the order of the flow:
//!
//! * `config`: flags and a file. `auth`: signatures. `channel`: names. `protocol`: frames. `subscribe`, `api`: decisions.
//! * `entry`: a connection as the table holds it. `outbox`: the way to its socket. `pipeline`: the table and its cleanup.
//! * `hub`: what all tasks share. `connection`: the task of a socket. `server`: the routes.
//! * `announce`: answers to subscriptions and news of members, from one version to the next. `webhook`: the sink.
//! * `stats`: figures. `drain`: the planned end. `smoke` and `storm`: the tests.

mod announce;
mod api;
mod auth;
mod background;
mod channel;
mod config;
mod connection;
mod drain;
mod entry;
mod harness;
mod hub;
mod outbox;
mod pipeline;
mod protocol;
mod server;
mod smoke;
mod stats;
mod storm;
mod subscribe;
#[cfg(test)]
mod tests;
mod webhook;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use background::Background;
use clap::{Parser, Subcommand};
use config::{ConfigError, Flags, Settings};
use hub::Hub;
use switchboard::cleanup::DrainProgress;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// A WebSocket server for clients of the Pusher Channels protocol.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a server, and drives clients through everything. Fails on any deviation.
    Smoke,
    /// Connects thousands of clients, cuts most of them at once, and measures new connections meanwhile.
    Storm(storm::Options),
}

/// The start of the line that a server prints when it is ready, before its address.
pub const READY: &str = "listening on ";

async fn run(settings: Settings) -> io::Result<()> {
    let accepting = Background::new("pusher-accept")?;
    let listener = {
        let _in_it = accepting.handle().enter();
        server::listen(settings.listen)?
    };
    let hub = Hub::start(settings)?;
    // In a thread of its own: what it sends to thousands is not in the way of those who read.
    let announcing = Background::nice("pusher-announce")?;
    let announcer = announcing.handle().spawn(announce::run(hub.pipeline.subscribe(), hub.derived.clone()));
    if hub.settings.apps == [config::App::for_trials()] {
        warn!("the app 1:app-key:app-secret is for trials: anyone knows its secret; set --app");
    }
    print(format_args!("{READY}{}", listener.local_addr()?));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    accepting.handle().spawn(server::serve(hub.clone(), listener, async move {
        let _ = stopped.await;
    }));
    let ended = until(interrupted(), announcer).await;
    if let Err(error) = &ended {
        error!(%error, "the server ends");
    }
    // A second Ctrl-C ends the process.
    let impatient = async {
        interrupted().await?;
        Err(io::Error::other("stopped before the end of the drain"))
    };
    drop(stop);
    let finished = tokio::select! {
        result = finish(&hub) => result,
        result = impatient => result,
    };
    ended.and(finished)
}

/// Waits for the request to end. If the announcer ends before that, no subscription would be answered any more: that is an
/// error, and the server drains.
async fn until(
    interrupted: impl Future<Output = io::Result<()>>,
    announcer: JoinHandle<()>,
) -> io::Result<()> {
    tokio::select! {
        result = interrupted => result,
        end = announcer => match end {
            Ok(()) => Err(io::Error::other("the announcer has ended")),
            Err(error) => Err(io::Error::other(format!("the announcer has ended: {error}"))),
        },
    }
}

async fn finish(hub: &Arc<Hub>) -> io::Result<()> {
    let mut shown = None;
    let report = drain::drain(hub, move |progress| {
        // A line for each phase, and each further thousand.
        let (phase, thousands) = (progress.phase, progress.closed / 1000);
        if shown.replace((phase, thousands)) != Some((phase, thousands)) {
            let DrainProgress { open, closing, undelivered, .. } = progress;
            print(format_args!(
                "draining: {open} open, {closing} to be removed, {undelivered} webhook events"
            ));
        }
    });
    let report = report.await;
    print(format_args!("{report}"));
    if !report.is_complete() {
        return Err(io::Error::other("the drain was not complete"));
    }
    Ok(())
}

/// Prints a line. No one may read it: that does not end a server.
fn print(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Waits for Ctrl-C or the signal to terminate.
async fn interrupted() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let options = Options::parse();
    match options.command {
        Some(Command::Smoke) => return end(smoke::run()),
        Some(Command::Storm(options)) => return end(storm::run(options)),
        None => {}
    }
    let mut settings = match Settings::load(&options.flags) {
        Ok(settings) => settings,
        Err(error) => return invalid(&error),
    };
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => {
            info!(files, "file descriptors");
            if settings.fit(files) {
                warn!(
                    files,
                    connections = settings.connections,
                    "fewer connections than set: raise the limit of files"
                );
            }
        }
        Err(error) => warn!(%error, "the limit of file descriptors stays as it is"),
    }
    end(run(settings))
}

fn end(work: impl Future<Output = io::Result<()>>) -> ExitCode {
    // One processor is left to the runtime that accepts connections.
    let threads = std::thread::available_parallelism().map_or(1, |all| all.get().saturating_sub(1).max(1));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(threads).on_thread_start(background::give_way).enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(work)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn invalid(error: &ConfigError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(2)
}
