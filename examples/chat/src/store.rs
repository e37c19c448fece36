//! Saving: the store that `--store` selects, and the thread that saves.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use switchboard::sessions::saving::SaverThread;
use switchboard::sessions::store::{FileStore, SqliteStore, StoreError};
use switchboard::sessions::{LoadError, Loaded, OnDisconnect, SessionsBuilder};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::chat::{Peer, Sessions};
use crate::history::History;

/// Longest wait for a save.
const PATIENCE: Duration = Duration::from_secs(30);

/// The options of the store.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where conversations are saved.
    #[arg(long, value_enum, default_value_t = Kind::None)]
    store: Kind,
    /// The folder of the store, which is created.
    #[arg(long, default_value = "chat-sessions")]
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Nowhere.
    None,
    /// One file per session.
    File,
    /// One database.
    Sqlite,
}

/// The saver of the sessions, with its thread; nothing without a store.
pub struct Saving(Option<SaverThread<String, History>>);

/// Opens the store, and creates the sessions.
pub fn open(options: &Options, on_disconnect: OnDisconnect) -> io::Result<(Sessions, Saving)> {
    if options.store != Kind::None {
        std::fs::create_dir_all(&options.folder)?;
    }
    let builder = Sessions::builder().on_disconnect(on_disconnect);
    let sessions = with_store(builder, options).map_err(io::Error::other)?.build();
    let thread = sessions.saver().map(|saver| saver.spawn("saver")).transpose()?;
    Ok((sessions, Saving(thread)))
}

fn with_store(
    builder: SessionsBuilder<String, History, Peer>,
    options: &Options,
) -> Result<SessionsBuilder<String, History, Peer>, StoreError> {
    let folder = &options.folder;
    Ok(match options.store {
        Kind::None => builder,
        Kind::File => builder.store(FileStore::open(folder)?),
        Kind::Sqlite => builder.store(SqliteStore::open(folder.join("sessions.db"))?),
    })
}

/// Loads the session, if it is stored and not here yet. Returns a note if it could not be read, and is kept aside: then
/// it begins anew. After an error it must not be used.
pub async fn load(sessions: &Sessions, key: &str) -> io::Result<Option<String>> {
    let (sessions, key) = (sessions.clone(), key.to_owned());
    let load = spawn_blocking(move || sessions.load_timeout(&key, PATIENCE));
    // The call of the store may take longer, and goes on: a later attempt finds its result.
    match timeout(PATIENCE, load).await?? {
        Ok(Loaded::Busy) => Err(io::Error::other("an answer is in progress")),
        Ok(_) => Ok(None),
        Err(LoadError::Failed(error)) if error.kept().is_some() => Ok(Some(error.to_string())),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Returns when everything that the session has is saved; at once without a store.
pub async fn flush(sessions: &Sessions, key: &str) -> io::Result<()> {
    let Some(saver) = sessions.saver().cloned() else { return Ok(()) };
    let key = key.to_owned();
    spawn_blocking(move || saver.flush(&key, PATIENCE)).await?.map_err(io::Error::other)
}

impl Saving {
    /// Saves everything, and ends the thread.
    pub async fn close(self) -> io::Result<()> {
        let Some(thread) = self.0 else { return Ok(()) };
        spawn_blocking(move || thread.shutdown(PATIENCE)).await?.map_err(io::Error::other)
    }
}
