//! Stores: the durable copies of sessions.
//!
//! A [`SessionStore`] keeps, for each key, the newest data and its [`Version`]. A registry with a store saves behind
//! the runs: see [`saving`](super::saving). Two stores ship, and one for tests:
//!
//! | store | feature | form |
//! |---|---|---|
//! | `FileStore` | `file-store` | a folder with one file per session, replaced as a whole |
//! | `SqliteStore` | `sqlite` | one table of an SQLite database, which other programs can read |
//! | [`MemoryStore`] | | nothing durable: for tests and examples |
//!
//! `FileStore` and `SqliteStore` are not bound to a serializer: a [`Codec`] makes bytes of keys and data. Their
//! default is `Json`, through `serde`.
//!
//! # Versions and openings
//!
//! The version of stored data has two parts. The *number* grows with each change of a session while the process runs.
//! The *opening* is the number of times that the store was opened, which the store itself keeps. So every version of
//! this process is above every version of an earlier one, without reading them, also if the last saves of that one
//! were lost.
//!
//! A store discards a save or a delete that is older than what it has. Together with a saver that has one call per
//! key at a time, this means: the stored version of a session never decreases, except by a deletion.
//!
//! # Blocking
//!
//! All methods of a store block. They are called by [`Saver::run_once`](super::saving::Saver::run_once), by the flushes
//! and by the loads, on the threads of those callers and with nothing held; in an async program, on a thread for
//! blocking work such as that of `tokio::task::spawn_blocking`.

mod codec;
mod error;
#[cfg(feature = "file-store")]
mod file;
#[cfg(any(feature = "file-store", feature = "sqlite"))]
mod json;
mod memory;
mod pointer;
#[cfg(feature = "sqlite")]
mod sqlite;
mod version;

#[cfg(all(test, not(switchboard_model)))]
mod tests;

pub use codec::{BoxError, Codec};
pub use error::{StoreError, StoreErrorKind};
#[cfg(feature = "file-store")]
pub use file::FileStore;
#[cfg(any(feature = "file-store", feature = "sqlite"))]
pub use json::Json;
pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use version::Version;

/// The durable copies of sessions: for each key the newest data and its version.
///
/// # Contract
/// * Calls for one key do not overlap; the saver makes sure of it. Calls for several keys may.
/// * When `save` or `delete` returns `Ok`, the change is durable: it survives a crash of the process or, as far as the
///   hardware keeps its word, of the machine.
/// * A crash during `save` or `delete` leaves the old state or the new one, never a mix.
/// * `save` and `delete` compare versions, and discard what is older than, or as old as, the stored version.
/// * A panic counts as a failure, and the call is repeated later.
///
/// A `Box` or an `Arc` of a store is a store, too.
pub trait SessionStore<K, D>: Send + Sync {
    /// Returns the number of times that the store was opened, including this time. It is the upper part of all versions
    /// that are saved through this value.
    fn opening(&self) -> u64;

    /// Returns the stored data of the session, or `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`]. Data that cannot be read is kept aside, so that the next save does not overwrite it.
    fn load(&self, key: &K) -> Result<Option<Stored<D>>, StoreError>;

    /// Returns the keys of the stored sessions, in no particular order, and the number of those that cannot be read.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed at all. Damage of single sessions is reported by their
    /// [`load`](Self::load).
    fn keys(&self) -> Result<Keys<K>, StoreError>;

    /// Stores the data of the session, unless the store has a version that is not older.
    ///
    /// # Errors
    /// [`StoreError`]: the store has the old state or, if it cannot tell, the new one.
    fn save(&self, key: &K, version: Version, data: &D) -> Result<Saved, StoreError>;

    /// Removes the session, unless the store has a version that is newer. Removing a session that is not stored
    /// succeeds.
    ///
    /// # Errors
    /// [`StoreError`]: the store has the old state or, if it cannot tell, the new one.
    fn delete(&self, key: &K, version: Version) -> Result<Saved, StoreError>;
}

/// The data of a session, as [`SessionStore::load`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored<D> {
    /// The version of the data.
    pub version: Version,
    /// The data.
    pub data: D,
}

impl<D> Stored<D> {
    /// Creates the result of a load.
    #[must_use]
    pub const fn new(version: Version, data: D) -> Self {
        Self { version, data }
    }
}

/// The result of [`SessionStore::keys`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keys<K> {
    /// The keys of the stored sessions.
    pub keys: Vec<K>,
    /// Number of stored sessions whose keys the codec cannot read.
    pub unreadable: usize,
}

impl<K> Keys<K> {
    /// Creates the result of a listing.
    #[must_use]
    pub const fn new(keys: Vec<K>, unreadable: usize) -> Self {
        Self { keys, unreadable }
    }

    /// Sorts out what the codec has made of the stored keys.
    #[cfg(any(feature = "file-store", feature = "sqlite"))]
    fn of<E>(decoded: impl Iterator<Item = Result<K, E>>) -> Self {
        let mut all = Self::new(Vec::new(), 0);
        for key in decoded {
            match key {
                Ok(key) => all.keys.push(key),
                Err(_) => all.unreadable += 1,
            }
        }
        all
    }
}

/// The result of [`SessionStore::save`] and [`SessionStore::delete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Saved {
    /// The change is durable.
    Stored,
    /// Nothing has changed: the store has a newer version.
    Discarded,
}
