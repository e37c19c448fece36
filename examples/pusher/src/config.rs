//! The settings: flags, and a file in TOML. All errors are reported at once.

mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use switchboard::cleanup;

/// The flags of the server. They have precedence over the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// A file in TOML with the settings; see the README.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:6001].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// An app; may be given several times [default: 1:app-key:app-secret].
    #[arg(long = "app", value_name = "ID:KEY:SECRET")]
    pub apps: Vec<String>,
    /// Receives the webhooks of all apps.
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// Lets clients send events to private and presence channels.
    #[arg(long)]
    pub client_events: bool,
    /// Connections from one IP address at the same time [default: any number].
    #[arg(long, value_name = "NUMBER")]
    pub limit_per_ip: Option<String>,
    /// Milliseconds in which a client can come back without webhooks [default: 3000].
    #[arg(long, value_name = "MS")]
    pub grace_ms: Option<String>,
}

/// The settings of the server, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub listen: SocketAddr,
    pub apps: Vec<App>,
    /// Connections from one IP address at the same time.
    pub limit_per_ip: Option<usize>,
    /// Connections at the same time.
    pub connections: u32,
    /// Channels of one connection.
    pub channels: usize,
    /// Bytes of frames that wait for one client.
    pub outbox: usize,
    /// Silence after which a client is asked whether it still lives.
    pub activity_timeout: Duration,
    /// Time for its answer, and for a client to take a frame.
    pub pong_timeout: Duration,
    /// Time for a client to send a request, or the start of a connection.
    pub request_timeout: Duration,
    /// Connections that are closed per second when the server ends.
    pub drain_rate: u32,
    pub cleanup: cleanup::Config,
}

/// An app: a tenant of the server.
#[derive(Clone, PartialEq, Eq)]
pub struct App {
    pub id: String,
    pub key: String,
    pub secret: String,
    pub client_events: bool,
    pub webhook: Option<String>,
}

/// Everything that is wrong with the settings.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl Settings {
    /// Settings without a file, for an app.
    pub fn new(apps: Vec<App>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6001)),
            apps,
            limit_per_ip: None,
            connections: 100_000,
            channels: 100,
            outbox: 4 << 20,
            activity_timeout: Duration::from_secs(120),
            pong_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
            drain_rate: 10_000,
            cleanup: cleanup(Duration::from_secs(3), 100_000, 1),
        }
    }

    /// Reads flags, and the file that they name.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let file = flags.config.as_ref().map(|path| {
            std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
        });
        read::settings(flags, file.unwrap_or_else(|| Ok(String::new())))
    }

    /// Lowers the number of connections to what that many file descriptors allow. Returns whether it was higher.
    pub fn fit(&mut self, files: u64) -> bool {
        let allowed = files.saturating_sub(RESERVED_FILES).max(1);
        let is_higher = u64::from(self.connections) > allowed;
        if is_higher {
            self.connections = allowed as u32;
        }
        is_higher
    }
}

/// File descriptors that are not for connections: of requests to the HTTP API, webhooks, and the process itself.
const RESERVED_FILES: u64 = 256;

/// Events of a connection that ends, for which there is room even if all end at once.
const EVENTS: usize = 4;

/// The settings of the pipeline: the grace is that of the protocol, webhooks are tried for five minutes, and the end of all
/// connections of an app has room.
pub fn cleanup(grace: Duration, connections: u32, apps: usize) -> cleanup::Config {
    let mut config = cleanup::Config::default();
    config.events_pending = config.events_pending.max(EVENTS * connections as usize);
    // An app may use a quarter of it.
    config.sink_capacity = config.sink_capacity.max(4 * config.events_pending);
    // A receiver that does not answer keeps one of them busy.
    config.sink_threads = apps.clamp(2, 16);
    config.event_delay = grace;
    config.event_delay_closed = grace;
    config.sink_batch = 100;
    config.sink_retries = 15;
    config.sink_backoff = Duration::from_millis(500);
    config.sink_backoff_max = Duration::from_secs(30);
    config
}

impl App {
    pub fn new(id: &str, key: &str, secret: &str) -> Self {
        let own = |text: &str| text.to_owned();
        Self { id: own(id), key: own(key), secret: own(secret), client_events: false, webhook: None }
    }

    /// The app of a server that is started without one, to try it out.
    pub fn for_trials() -> Self {
        Self::new("1", "app-key", "app-secret")
    }
}

impl fmt::Debug for App {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("id", &self.id).field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not valid:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
