//! The error of a store.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::sync::StdArc;

/// The error of a [`SessionStore`](super::SessionStore). Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    cause: Option<StdArc<dyn Error + Send + Sync>>,
    kept: Option<StdArc<Path>>,
}

/// The kind of a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The stored data is damaged: it is shorter than it should be, its checksum differs, or it belongs to another key.
    Corrupt,
    /// The data was stored in a format that only a newer release of this crate reads.
    NewerFormat,
    /// The codec could not make bytes of the key or the data, or could not read them.
    Codec,
    /// The key is too long for the store. Those of this crate take keys of any length.
    KeyTooLong,
    /// Another process uses the store. Only the opening of a store fails with it.
    Locked,
    /// The store was opened again later, and belongs to that opening now.
    Overtaken,
    /// The operating system or the database failed, for example because the disk is full.
    Io,
    /// The store or the codec panicked.
    Panicked,
    /// Another reason, in a store that is not part of this crate.
    Other,
}

impl StoreError {
    /// Creates an error of this kind.
    #[must_use]
    pub const fn new(kind: StoreErrorKind) -> Self {
        Self { kind, cause: None, kept: None }
    }

    /// Adds the cause, which [`source`](Error::source) returns.
    #[must_use]
    pub fn with_cause(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let cause: Box<dyn Error + Send + Sync> = cause.into();
        Self { cause: Some(cause.into()), ..self }
    }

    /// Adds the place where the unreadable data is kept aside.
    #[must_use]
    pub fn with_kept(self, path: PathBuf) -> Self {
        Self { kept: Some(path.into()), ..self }
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Returns the file, or the database, in which the unreadable data is kept aside, if it was moved there. Then the
    /// session counts as not stored from now on.
    #[must_use]
    pub fn kept(&self) -> Option<&Path> {
        self.kept.as_deref()
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::new(StoreErrorKind::Io).with_cause(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.kind {
            StoreErrorKind::Corrupt => "the stored session is damaged",
            StoreErrorKind::NewerFormat => "the session was stored in a newer format",
            StoreErrorKind::Codec => "the codec failed",
            StoreErrorKind::KeyTooLong => "the key is too long for the store",
            StoreErrorKind::Locked => "another process uses the store",
            StoreErrorKind::Overtaken => "the store was opened again",
            StoreErrorKind::Io => "the store failed",
            StoreErrorKind::Panicked => "the store panicked",
            StoreErrorKind::Other => "the store reported an error",
        };
        f.write_str(text)?;
        match &self.kept {
            Some(kept) => write!(f, ", and is kept aside as {}", kept.display()),
            None => Ok(()),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Some(cause) => Some(&**cause),
            None => None,
        }
    }
}
