//! The folder of a file store: the accesses to the file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

use super::super::{StoreError, StoreErrorKind};
use super::{format, name};
use crate::sync::atomic::{AtomicU64, Ordering};

const LOCK: &str = "lock";
const OPENING: &str = "opening";
const TEMPORARY: &str = ".tmp";

/// A locked folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
    /// The next number of a name that is used once.
    next: AtomicU64,
    #[cfg(test)]
    pub(super) faults: faults::Faults,
}

impl Folder {
    /// Opens and locks the folder, and removes temporary files. Returns the number of times that it was opened.
    pub(super) fn open(path: &Path) -> Result<(Self, u64), StoreError> {
        // The current directory may change later.
        let path = &std::path::absolute(path)?;
        create(path, sync_folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK))?;
        // The standard library has a method of this name from Rust 1.89.
        match FileExt::try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::new(StoreErrorKind::Locked)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let folder = Self {
            path: path.to_path_buf(),
            _lock: lock,
            next: AtomicU64::new(0),
            #[cfg(test)]
            faults: faults::Faults::default(),
        };
        for name in folder.names()?.iter().filter(|name| is_temporary(name)) {
            folder.remove(name)?;
        }
        let opening = folder.last_opening()? + 1;
        folder.replace(OPENING, format!("{opening}\n").as_bytes())?;
        Ok((folder, opening))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of the last opening. If its file is missing or damaged, the newest of all sessions.
    fn last_opening(&self) -> Result<u64, StoreError> {
        let file = self.read(OPENING)?;
        let text = file.and_then(|bytes| String::from_utf8(bytes).ok());
        let number =
            text.as_deref().and_then(|text| text.strip_suffix('\n')).and_then(|text| text.parse().ok());
        if let Some(number) = number {
            return Ok(number);
        }
        let mut newest = 0;
        for name in self.names()?.iter().filter(|name| name::parse(name).is_some()) {
            let start = self.read_start(name, format::LONGEST_HEADER)?.unwrap_or_default();
            newest = format::header(&start).map_or(0, |header| header.version.opening).max(newest);
        }
        Ok(newest)
    }

    /// Returns the names of all files.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)?;
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.read_start(name, usize::MAX)
    }

    /// Returns up to `length` bytes of the file, or `None` if it does not exist.
    pub(super) fn read_start(&self, name: &str, length: usize) -> io::Result<Option<Vec<u8>>> {
        self.step()?;
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Replaces or creates the file, in one step that a crash does not divide.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.{}{TEMPORARY}", self.number()));
        let replaced = self.write(&temporary, bytes).and_then(|()| {
            self.step()?;
            fs::rename(&temporary, self.path.join(name))
        });
        if let Err(error) = replaced {
            // If this fails too, the next opening removes it.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.sync()
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        let mut file = OpenOptions::new().create_new(true).write(true).open(path)?;
        if let Err(error) = self.step() {
            // As a disk that is full does it.
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        file.write_all(bytes)?;
        self.step()?;
        file.sync_all()
    }

    /// Removes the file, if it exists.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        match fs::remove_file(self.path.join(name)) {
            Ok(()) => self.sync(),
            // An earlier attempt may have removed it, without having synced the folder.
            Err(error) if error.kind() == ErrorKind::NotFound => self.sync(),
            Err(error) => Err(error),
        }
    }

    /// Renames the file to a name that was never used. Returns its path, also if the new name could not be made durable:
    /// after a power failure the file may have its old name, and is found damaged once more.
    pub(super) fn keep_aside(&self, name: &str, reason: &str, opening: u64) -> io::Result<PathBuf> {
        self.step()?;
        let next = || self.path.join(format!("{name}.{reason}-{opening}-{}", self.number()));
        // The number of the opening may have been lost, and used before.
        let mut kept = next();
        while kept.exists() {
            kept = next();
        }
        fs::rename(self.path.join(name), &kept)?;
        let _ = self.sync();
        Ok(kept)
    }

    fn number(&self) -> u64 {
        // Relaxed: only distinct numbers are needed.
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes the names of the folder durable.
    #[cfg(unix)]
    pub(super) fn sync(&self) -> io::Result<()> {
        self.step()?;
        #[cfg(test)]
        self.faults.count_sync();
        sync_folder(&self.path)
    }

    #[cfg(not(unix))]
    #[allow(clippy::unused_self)] // As on Unix.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Called before each access, which tests let fail.
    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.faults.step()
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // As in tests.
    fn step(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Creates the folder and those above it, each of which is entered durably in the one above: otherwise a power failure
/// removes the whole store, with all that was acknowledged.
///
/// A folder is synced before another one is created below, so an earlier attempt, which failed or was killed, has left at
/// most the lowest folder that exists without a durable entry.
pub(super) fn create(path: &Path, mut sync: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
    let lowest = missing.last().map_or(Some(path), |path| path.parent());
    match lowest.and_then(Path::parent).map_or(Ok(()), &mut sync) {
        // The folder above is that of another user, as is, in all likelihood, the entry.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        synced => synced?,
    }
    while let Some(path) = missing.pop() {
        match fs::create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            created => created?,
        }
        path.parent().map_or(Ok(()), &mut sync)?;
    }
    Ok(())
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns whether the file is one that [`Folder::replace`] has left. Other files are not touched.
fn is_temporary(name: &str) -> bool {
    let file = name.strip_suffix(TEMPORARY).and_then(|name| name.rsplit_once('.'));
    file.is_some_and(|(file, number)| {
        let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        is_number && (file == OPENING || name::parse(file).is_some())
    })
}

#[cfg(test)]
pub(super) mod faults {
    use std::io;

    use crate::sync::atomic::{AtomicU64, Ordering};

    /// Lets one access fail, and all after it. SeqCst: a test; the order does not matter.
    #[derive(Debug)]
    pub(crate) struct Faults {
        left: AtomicU64,
        syncs: AtomicU64,
    }

    impl Default for Faults {
        fn default() -> Self {
            Self { left: AtomicU64::new(u64::MAX), syncs: AtomicU64::new(0) }
        }
    }

    impl Faults {
        /// Accesses succeed this many times.
        pub(crate) fn after(&self, steps: u64) {
            self.left.store(steps, Ordering::SeqCst);
        }

        /// The folder is synced now.
        pub(super) fn count_sync(&self) {
            self.syncs.fetch_add(1, Ordering::SeqCst);
        }

        pub(crate) fn syncs(&self) -> u64 {
            self.syncs.load(Ordering::SeqCst)
        }

        pub(super) fn step(&self) -> io::Result<()> {
            match self.left.load(Ordering::SeqCst) {
                0 => Err(io::Error::from(io::ErrorKind::StorageFull)),
                left => {
                    self.left.store(left - u64::from(left < u64::MAX), Ordering::SeqCst);
                    Ok(())
                }
            }
        }
    }
}
