//! A store in an SQLite database.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::codec::{BoxError, Codec};
use super::json::Json;
use super::{Keys, Saved, SessionStore, StoreError, StoreErrorKind, Stored, Version};
use crate::sync::{Mutex, lock_order};

/// The `user_version` of the database.
const FORMAT: i64 = 1;
/// The `application_id` of the database.
const APPLICATION: i32 = 0x5357_4253;
/// The time for which one connection waits for the transaction of another.
const BUSY: Duration = Duration::from_secs(10);
/// Connections that are kept open while no call uses them.
const MAX_IDLE: usize = 4;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS sessions (
        key NOT NULL PRIMARY KEY, opening INTEGER NOT NULL, number INTEGER NOT NULL, data NOT NULL);
    CREATE TABLE IF NOT EXISTS kept_aside (
        key NOT NULL, opening INTEGER NOT NULL, number INTEGER NOT NULL, data NOT NULL);
    CREATE TABLE IF NOT EXISTS store (id INTEGER PRIMARY KEY CHECK (id = 1), opening INTEGER NOT NULL);
    INSERT INTO store SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM store);";
/// Above all sessions, even if the number was lost.
const OPEN: &str = "
    UPDATE store SET opening = 1 + max(opening, (SELECT coalesce(max(opening), 0) FROM sessions))
    RETURNING opening";
const SAVE: &str = "
    INSERT INTO sessions (key, opening, number, data) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET opening = excluded.opening, number = excluded.number, data = excluded.data
    WHERE (excluded.opening, excluded.number) > (opening, number)";
const DELETE: &str = "DELETE FROM sessions WHERE key = ?1 AND (opening, number) <= (?2, ?3)";
const KEEP_ASIDE: &str = "INSERT INTO kept_aside SELECT key, opening, number, data FROM sessions
    WHERE key = ?1 AND opening IS ?2 AND number IS ?3";
const DROP: &str = "DELETE FROM sessions WHERE key = ?1 AND opening IS ?2 AND number IS ?3";

/// A store in one SQLite database, which other programs can read.
///
/// The database is in WAL mode and syncs each save. SQLite is compiled into the program. Every call
/// that runs at the same time as others has a connection of its own.
///
/// # Format
///
/// Table `sessions`, with a row per session: `key` and `data` as the codec has encoded them, as text if that is UTF-8,
/// otherwise as a blob; `opening` and `number`, the version. The `user_version` of the database is 1, its
/// `application_id` 1398227539.
///
/// A row that the codec or this store cannot read is moved to the table `kept_aside` when it is loaded, which the load
/// reports as an error; from then on the session counts as not stored. A save and a deletion read the version only, and
/// do the same if there is none. SQLite has no checksums of its own: a row that the disk has changed is only noticed if
/// the codec cannot read it.
///
/// # Several processes
///
/// Other programs may read the database at any time. If it is opened as a store a second time, in this process or
/// another, the later one has it: saves of the earlier one fail with [`StoreErrorKind::Overtaken`] from then on, and
/// change nothing.
///
/// # Examples
/// ```
/// use switchboard::sessions::store::{SessionStore, SqliteStore, Version};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("switchboard-sqlite-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("sessions.db");
/// let store: SqliteStore<u32, Vec<String>> = SqliteStore::open(&path)?;
/// store.save(&1, Version::new(store.opening(), 1), &vec![String::from("hello")])?;
/// assert_eq!(store.load(&1)?.map(|stored| stored.data), Some(vec![String::from("hello")]));
/// # drop(store);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
pub struct SqliteStore<K, D, C = Json> {
    path: PathBuf,
    opening: u64,
    codec: C,
    /// Valid after a panic: connections are pushed and popped.
    idle: Mutex<Vec<Connection>>,
    _types: PhantomData<fn(K) -> D>,
}

impl<K, D> SqliteStore<K, D, Json> {
    /// Opens the store in the database `path`, which is created if it does not exist, with [`Json`] as the codec. A
    /// relative path counts from the current directory of this moment.
    ///
    /// # Errors
    /// [`StoreErrorKind::NewerFormat`], [`StoreErrorKind::Corrupt`] if the file is not a database,
    /// [`StoreErrorKind::Other`] if it is that of another application or cannot be in WAL mode,
    /// [`StoreErrorKind::Io`]. A file that is refused stays as it is. A database that is not empty is that of another
    /// application unless its `application_id` is that of a store.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::with_codec(path, Json)
    }
}

impl<K, D, C> SqliteStore<K, D, C> {
    /// Opens the store in the database `path` with another codec.
    ///
    /// # Errors
    /// As [`open`](SqliteStore::open).
    pub fn with_codec(path: impl AsRef<Path>, codec: C) -> Result<Self, StoreError> {
        // The current directory may change later.
        let path = std::path::absolute(path)?;
        let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_CREATE)?;
        let transaction = begin(&mut connection)?;
        // Another program may have come first.
        check_owner(&transaction)?;
        transaction.execute_batch(SCHEMA).map_err(failed)?;
        transaction.pragma_update(None, "user_version", FORMAT).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
        let opening: i64 = transaction.query_row(OPEN, [], |row| row.get(0)).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        let idle = Mutex::new(&lock_order::SQLITE, vec![connection]);
        Ok(Self { path, opening: unsigned(opening)?, codec, idle, _types: PhantomData })
    }

    /// Calls `call` with a connection, and nothing held. A connection that failed is closed.
    fn with<R>(&self, call: impl FnOnce(&mut Connection) -> Result<R, StoreError>) -> Result<R, StoreError> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, OpenFlags::empty())?,
        };
        let result = call(&mut connection)?;
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
            return Ok(result);
        }
        drop(idle);
        drop(connection);
        Ok(result)
    }

    /// Changes the database, if it still belongs to this opening.
    fn change<R>(&self, call: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<R>) -> Result<R, StoreError> {
        self.with(|connection| {
            let transaction = begin(connection)?;
            let opening: i64 =
                transaction.query_row("SELECT opening FROM store", [], |row| row.get(0)).map_err(failed)?;
            if unsigned(opening)? != self.opening {
                return Err(StoreError::new(StoreErrorKind::Overtaken));
            }
            let result = call(&transaction).map_err(failed)?;
            transaction.commit().map_err(failed)?;
            Ok(result)
        })
    }
}

impl<K, D, C> SqliteStore<K, D, C> {
    /// As [`change`](Self::change), for the row of the key. A row without a version is kept aside, and an error.
    fn replace<R>(
        &self,
        key: &[u8],
        call: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<R>,
    ) -> Result<R, StoreError> {
        let done = self.change(|transaction| {
            let select = "SELECT opening, number FROM sessions WHERE key = ?1";
            let found =
                transaction.query_row(select, params![value(key)], |row| Ok((row.get(0)?, row.get(1)?)));
            match found.optional()? {
                Some((opening, number)) if version(&opening, &number).is_err() => {
                    keep_aside(transaction, key, &opening, &number)?;
                    Ok(None)
                }
                _ => call(transaction).map(Some),
            }
        })?;
        done.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt).with_kept(self.path.clone()))
    }
}

impl<K, D, C: Codec<K, D>> SqliteStore<K, D, C> {
    fn key(&self, key: &K) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.codec.encode_key(key, &mut bytes).map_err(codec)?;
        Ok(bytes)
    }
}

impl<K, D, C: Codec<K, D>> SessionStore<K, D> for SqliteStore<K, D, C> {
    fn opening(&self) -> u64 {
        self.opening
    }

    fn load(&self, key: &K) -> Result<Option<Stored<D>>, StoreError> {
        let key = self.key(key)?;
        let found = self.with(|connection| {
            let select = "SELECT opening, number, data FROM sessions WHERE key = ?1";
            let row = connection.query_row(select, params![value(&key)], |row| {
                Ok(Row { opening: row.get(0)?, number: row.get(1)?, data: row.get(2)? })
            });
            row.optional().map_err(failed)
        })?;
        let Some(row) = found else { return Ok(None) };
        row.read(&self.codec).map(Some).map_err(|error| {
            let Row { opening, number, .. } = &row;
            // Only what was read.
            let kept = self.change(|transaction| keep_aside(transaction, &key, opening, number));
            match kept {
                Ok(_) => error.with_kept(self.path.clone()),
                // It remains in its place, and the next load tries again.
                Err(_) => error,
            }
        })
    }

    fn keys(&self) -> Result<Keys<K>, StoreError> {
        let keys = self.with(|connection| {
            let mut select = connection.prepare("SELECT key FROM sessions").map_err(failed)?;
            let keys = select
                .query_map([], |row| Ok(row.get_ref(0)?.as_bytes().map(<[u8]>::to_vec)))
                .map_err(failed)?;
            keys.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)
        })?;
        // A key that is neither text nor a blob is not of this store.
        Ok(Keys::of(keys.into_iter().map(|key| self.codec.decode_key(&key?))))
    }

    fn save(&self, key: &K, version: Version, data: &D) -> Result<Saved, StoreError> {
        let key = self.key(key)?;
        let mut bytes = Vec::new();
        self.codec.encode(data, &mut bytes).map_err(codec)?;
        let (opening, number) = (signed(version.opening)?, signed(version.number)?);
        let row = params![value(&key), opening, number, value(&bytes)];
        let changed = self.replace(&key, |transaction| transaction.execute(SAVE, row))?;
        Ok(if changed > 0 { Saved::Stored } else { Saved::Discarded })
    }

    fn delete(&self, key: &K, version: Version) -> Result<Saved, StoreError> {
        let key = self.key(key)?;
        let (opening, number) = (signed(version.opening)?, signed(version.number)?);
        let is_left: bool = self.replace(&key, |transaction| {
            transaction.execute(DELETE, params![value(&key), opening, number])?;
            let left = "SELECT EXISTS (SELECT 1 FROM sessions WHERE key = ?1)";
            transaction.query_row(left, params![value(&key)], |row| row.get(0))
        })?;
        Ok(if is_left { Saved::Discarded } else { Saved::Stored })
    }
}

/// A row of the table, of which nothing is known: other programs may have written it.
struct Row {
    opening: Value,
    number: Value,
    data: Value,
}

impl Row {
    fn read<K, D>(&self, codec: &impl Codec<K, D>) -> Result<Stored<D>, StoreError> {
        let version = version(&self.opening, &self.number)?;
        let data = match &self.data {
            Value::Text(text) => text.as_bytes(),
            Value::Blob(bytes) => bytes,
            Value::Null | Value::Integer(_) | Value::Real(_) => {
                return Err(StoreError::new(StoreErrorKind::Corrupt));
            }
        };
        Ok(Stored::new(version, codec.decode(data).map_err(self::codec)?))
    }
}

/// Returns the version of a row.
fn version(opening: &Value, number: &Value) -> Result<Version, StoreError> {
    match (opening, number) {
        (Value::Integer(opening), Value::Integer(number)) => {
            Ok(Version::new(unsigned(*opening)?, unsigned(*number)?))
        }
        _ => Err(StoreError::new(StoreErrorKind::Corrupt)),
    }
}

/// Moves the row of the key, if it still has these values.
fn keep_aside(
    transaction: &Transaction<'_>,
    key: &[u8],
    opening: &Value,
    number: &Value,
) -> rusqlite::Result<()> {
    transaction.execute(KEEP_ASIDE, params![value(key), opening, number])?;
    transaction.execute(DROP, params![value(key), opening, number]).map(drop)
}

/// Opens a connection. Changes nothing in a database of another application, or of a newer release.
fn connect(path: &Path, create: OpenFlags) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    // Before anything is changed.
    check_owner(&connection)?;
    // In memory, or on some network file systems, it is another one.
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        let cause = format!("the journal mode of the database is {mode}");
        return Err(StoreError::new(StoreErrorKind::Other).with_cause(cause));
    }
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA fullfsync = 1;").map_err(failed)?;
    Ok(connection)
}

/// Fails if the database is neither empty nor that of a store, or of a newer release.
///
/// Most applications set no `application_id`, so a database without one is that of a store only if nothing is in it.
fn check_owner(connection: &Connection) -> Result<(), StoreError> {
    let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let application = number("PRAGMA application_id")?;
    let format = number("PRAGMA user_version")?;
    let is_empty = application == 0 && format == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0;
    if application != i64::from(APPLICATION) && !is_empty {
        let cause = "the database belongs to another application";
        return Err(StoreError::new(StoreErrorKind::Other).with_cause(cause));
    }
    if format > FORMAT {
        return Err(StoreError::new(StoreErrorKind::NewerFormat));
    }
    Ok(())
}

/// Begins a transaction that may write: it has its turn now, or fails now.
fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)
}

/// Text if the bytes are UTF-8, for other programs; otherwise a blob. Equal bytes are equal values.
fn value(bytes: &[u8]) -> ToSqlOutput<'_> {
    let is_text = std::str::from_utf8(bytes).is_ok();
    ToSqlOutput::Borrowed(if is_text { ValueRef::Text(bytes) } else { ValueRef::Blob(bytes) })
}

fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|error| StoreError::new(StoreErrorKind::Other).with_cause(error))
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|error| StoreError::new(StoreErrorKind::Corrupt).with_cause(error))
}

fn failed(error: rusqlite::Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreErrorKind::Corrupt,
        Some(_) => StoreErrorKind::Io,
        None => StoreErrorKind::Other,
    };
    StoreError::new(kind).with_cause(error)
}

fn codec(error: BoxError) -> StoreError {
    StoreError::new(StoreErrorKind::Codec).with_cause(error)
}

impl<K, D, C> fmt::Debug for SqliteStore<K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .field("opening", &self.opening)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests;
