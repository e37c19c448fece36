//! A store with one file per session.

mod folder;
mod format;
mod name;

#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use self::folder::Folder;
use self::format::{Damage, Parsed};
use self::name::Name;
use super::codec::{BoxError, Codec};
use super::json::Json;
use super::{Keys, Saved, SessionStore, StoreError, StoreErrorKind, Stored, Version};

/// A store in a folder, with one file per session.
///
/// A save writes a temporary file, syncs it, renames it over the old one, and syncs the folder: after a crash the file
/// is the old one or the new one, as a whole. There is never a second file of a session. The folder belongs to one
/// store at a time: it is locked, and a second one, in this process or another, cannot be opened. A process that is
/// killed releases the lock.
///
/// # Format
///
/// A session is the file `s-KEY.session`. In `KEY`, the lower-case letters, digits and `-` of the encoded key stand for
/// themselves, `_` for a quotation mark, and `=` with two hexadecimal digits for any other byte. If this has more than
/// 200 characters, `KEY` is `==` and the SHA-256 of the encoded key in hexadecimal. The file has a line of text, the
/// encoded key, a line feed, the encoded data, and a line feed:
///
/// ```text
/// switchboard-session 1 OPENING NUMBER KEY_LENGTH DATA_LENGTH CHECKSUM HEADER_CHECKSUM
/// "alice"
/// ["hello","how are you?"]
/// ```
///
/// 1 is the number of the format. The lengths are in bytes. The checksums are CRC-32 (as in zlib) in hexadecimal: of
/// key and data with their line feeds, and of the line up to and without the space before the last field. The file
/// `opening` has the number of times that the folder was opened.
///
/// # Damaged files
///
/// A file that is damaged, that is of a newer format, or whose data the codec cannot read, is renamed to
/// `s-KEY.session.REASON-N` when it is loaded. The load reports this as an error with the new name; from then on the
/// session counts as not stored. No other session is affected, and nothing deletes or overwrites the renamed file.
///
/// A save and a deletion check the header only, with the number of the format, and do the same if they cannot read it.
/// A file whose header is whole is replaced, also if what follows is damaged: load a session before it is used.
///
/// # Durability
///
/// As far as the file system and the hardware do what `fsync` asks. On systems other than Unix the folder cannot be
/// synced: after a power failure the newest saves may be missing there.
///
/// # Examples
/// ```
/// use switchboard::sessions::store::{FileStore, SessionStore, Version};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("switchboard-doc-{}", std::process::id()));
/// let store: FileStore<String, Vec<String>> = FileStore::open(&folder)?;
/// let key = String::from("alice");
/// store.save(&key, Version::new(store.opening(), 1), &vec![String::from("hello")])?;
/// drop(store);
///
/// let store: FileStore<String, Vec<String>> = FileStore::open(&folder)?;
/// assert_eq!(store.opening(), 2);
/// assert_eq!(store.load(&key)?.map(|stored| stored.data), Some(vec![String::from("hello")]));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
pub struct FileStore<K, D, C = Json> {
    folder: Folder,
    opening: u64,
    codec: C,
    _types: PhantomData<fn(K) -> D>,
}

impl<K, D> FileStore<K, D, Json> {
    /// Opens the store in `folder`, which is created if it does not exist, with [`Json`] as the codec.
    ///
    /// A relative path counts from the current directory of this moment. Blocks for a few accesses;
    /// if the file `opening` is missing or damaged, for one per session.
    ///
    /// # Errors
    /// [`StoreErrorKind::Locked`] if another store has the folder, [`StoreErrorKind::Io`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::with_codec(folder, Json)
    }
}

impl<K, D, C> FileStore<K, D, C> {
    /// Opens the store in `folder` with another codec.
    ///
    /// # Errors
    /// As [`open`](FileStore::open).
    pub fn with_codec(folder: impl AsRef<Path>, codec: C) -> Result<Self, StoreError> {
        let (folder, opening) = Folder::open(folder.as_ref())?;
        Ok(Self { folder, opening, codec, _types: PhantomData })
    }
}

impl<K, D, C: Codec<K, D>> FileStore<K, D, C> {
    /// Returns the name of the file of the session, and the encoded key.
    fn name(&self, key: &K) -> Result<(String, Vec<u8>), StoreError> {
        let mut bytes = Vec::new();
        self.codec.encode_key(key, &mut bytes).map_err(codec)?;
        Ok((name::of_key(&bytes), bytes))
    }

    /// Returns the stored version, to compare with. A file whose header cannot be read is kept aside, and an error.
    fn stored_version(&self, name: &str) -> Result<Option<Version>, StoreError> {
        let Some(start) = self.folder.read_start(name, format::LONGEST_HEADER)? else { return Ok(None) };
        match format::header(&start) {
            Ok(header) if header.version.opening > self.opening => {
                Err(StoreError::new(StoreErrorKind::Overtaken))
            }
            Ok(header) => Ok(Some(header.version)),
            Err(damage) => {
                let (error, reason) = damage.error();
                Err(error.with_kept(self.keep_aside(name, reason)?))
            }
        }
    }

    fn read(&self, key: &[u8], file: &[u8]) -> Result<Stored<D>, (StoreError, &'static str)> {
        let Parsed { version, key: found, data } = format::parse(file).map_err(Damage::error)?;
        if found != key {
            return Err(Damage::Corrupt.error());
        }
        let data = self.codec.decode(data).map_err(|error| (codec(error), "unreadable"))?;
        Ok(Stored::new(version, data))
    }

    /// Returns the key of a file that is named by a digest, or `None` if it does not exist any more.
    fn key_of(&self, name: &str) -> Result<Option<K>, BoxError> {
        let Some(file) = self.folder.read(name)? else { return Ok(None) };
        let Parsed { key, .. } = format::parse(&file).map_err(|damage| damage.error().0)?;
        self.codec.decode_key(key).map(Some)
    }

    fn keep_aside(&self, name: &str, reason: &str) -> Result<PathBuf, StoreError> {
        Ok(self.folder.keep_aside(name, reason, self.opening)?)
    }
}

impl<K, D, C: Codec<K, D>> SessionStore<K, D> for FileStore<K, D, C> {
    fn opening(&self) -> u64 {
        self.opening
    }

    fn load(&self, key: &K) -> Result<Option<Stored<D>>, StoreError> {
        let (name, bytes) = self.name(key)?;
        let Some(file) = self.folder.read(&name)? else { return Ok(None) };
        match self.read(&bytes, &file) {
            Ok(stored) => Ok(Some(stored)),
            Err((error, reason)) => Err(match self.keep_aside(&name, reason) {
                Ok(kept) => error.with_kept(kept),
                // It remains in its place, and the next load or save tries again.
                Err(_) => error,
            }),
        }
    }

    fn keys(&self) -> Result<Keys<K>, StoreError> {
        let names = self.folder.names()?;
        let keys = names.iter().filter_map(|name| match name::parse(name)? {
            Name::Key(bytes) => Some(self.codec.decode_key(&bytes)),
            Name::Digest => self.key_of(name).transpose(),
        });
        Ok(Keys::of(keys))
    }

    fn save(&self, key: &K, version: Version, data: &D) -> Result<Saved, StoreError> {
        let (name, key) = self.name(key)?;
        let mut bytes = Vec::new();
        self.codec.encode(data, &mut bytes).map_err(codec)?;
        if self.stored_version(&name)?.is_some_and(|stored| stored >= version) {
            // It may be this change, from an attempt that failed after the file was renamed.
            self.folder.sync()?;
            return Ok(Saved::Discarded);
        }
        self.folder.replace(&name, &format::file(version, &key, &bytes))?;
        Ok(Saved::Stored)
    }

    fn delete(&self, key: &K, version: Version) -> Result<Saved, StoreError> {
        let (name, _) = self.name(key)?;
        if self.stored_version(&name)?.is_some_and(|stored| stored > version) {
            return Ok(Saved::Discarded);
        }
        self.folder.remove(&name)?;
        Ok(Saved::Stored)
    }
}

fn codec(error: BoxError) -> StoreError {
    StoreError::new(StoreErrorKind::Codec).with_cause(error)
}

impl<K, D, C> fmt::Debug for FileStore<K, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("folder", &self.folder.path())
            .field("opening", &self.opening)
            .finish_non_exhaustive()
    }
}
