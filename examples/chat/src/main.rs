//! A chat server with sessions, and its client.
//!
//! ```text
//! cargo run --release --manifest-path examples/chat/Cargo.toml -- serve
//! cargo run --release --manifest-path examples/chat/Cargo.toml -- client alice
//! ```
//!
//! Each client names a session. What it says is answered by a *run* of that session, word by word and slowly. A
//! session has one run at a time, so a second question is refused while an answer is in progress; `/stop` cancels the
//! answer, and `/clear` forgets the conversation. A client that comes back, or comes twice, takes over its session:
//! the older connection is closed, and an answer in progress continues on the newer one. `/help` lists the commands.
//! With `--store file` or `--store sqlite` conversations are saved behind the runs, and survive a crash of the server.
//!
//! `smoke` starts a server in another process, drives two clients through all of this, and fails on any deviation.
//! It waits for answers, never for time.
//!
//! The modules, in the order of the flow:
//!
//! * `protocol`: the lines that clients and servers exchange.
//! * `server`: sockets; one task per client that reads, and one that writes.
//! * `chat`: the sessions: what a request does, and the runs that answer.
//! * `history`: the data of a session. `store`: where it is saved.
//! * `client`: the terminal. `smoke`: the test.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use chat::Chat;
use clap::{Parser, Subcommand};
use switchboard::sessions::OnDisconnect;

mod chat;
mod client;
mod history;
mod protocol;
mod server;
mod smoke;
mod store;

/// A chat server with sessions, and its client.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server until Ctrl-C or the signal to terminate.
    Serve(Serve),
    /// Connects a terminal to a session.
    Client {
        /// The name of the session.
        session: String,
        /// The address of the server.
        #[arg(long, default_value = "127.0.0.1:7878")]
        address: SocketAddr,
    },
    /// Starts a server, and drives two clients through it. Fails on any deviation.
    Smoke,
}

#[derive(Clone, Debug, clap::Args)]
struct Serve {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7878")]
    address: SocketAddr,
    /// Milliseconds between the words of an answer.
    #[arg(long, default_value_t = 200)]
    pace_ms: u64,
    /// Seconds for which an answer goes on when its client is gone.
    #[arg(long, default_value_t = 30)]
    grace_s: u64,
    /// Seconds after which an idle session is forgotten.
    #[arg(long, default_value_t = 3600)]
    keep_s: u64,
    #[command(flatten)]
    store: store::Options,
}

async fn serve(options: Serve) -> io::Result<()> {
    let on_disconnect = OnDisconnect::KeepForResume(Duration::from_secs(options.grace_s));
    let (sessions, saving) = store::open(&options.store, on_disconnect)?;
    let chat = Chat::new(sessions, Duration::from_millis(options.pace_ms));
    let served = server::run(options.address, &chat, Duration::from_secs(options.keep_s)).await;
    // Also after an error.
    let saved = saving.close().await;
    served.and(saved)
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Options::parse().command {
        Command::Serve(options) => serve(options).await,
        Command::Client { session, address } => client::run(address, &session).await,
        Command::Smoke => smoke::run().await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
