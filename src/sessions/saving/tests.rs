#![allow(clippy::unwrap_used)] // These tests fail by panicking.
#![allow(clippy::disallowed_types)] // Channels hold the stores of these tests back.

mod properties;
mod registry;
mod saver;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::super::store::{
    Keys, MemoryStore, Saved, SessionStore, StoreError, StoreErrorKind, Stored, Version,
};
use super::*;
use crate::sync::{Mutex, StdArc};

/// Long enough never to pass unless a test is stuck.
const LONG: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

type Hook<T> = StdArc<dyn Fn(&u32, T) -> Result<(), StoreError> + Send + Sync>;

/// A store that calls back before it does something.
#[derive(Clone)]
struct Scripted {
    inner: MemoryStore<u32, String>,
    /// With the number of the version. A failure is that of the store.
    on_write: Hook<u64>,
    /// After the read.
    on_read: Hook<()>,
}

impl Scripted {
    fn new() -> Self {
        Self {
            inner: MemoryStore::new(),
            on_write: StdArc::new(|_, _| Ok(())),
            on_read: StdArc::new(|_, ()| Ok(())),
        }
    }

    fn on_write(self, hook: impl Fn(&u32, u64) -> Result<(), StoreError> + Send + Sync + 'static) -> Self {
        Self { on_write: StdArc::new(hook), ..self }
    }

    fn on_read(self, hook: impl Fn(&u32, ()) -> Result<(), StoreError> + Send + Sync + 'static) -> Self {
        Self { on_read: StdArc::new(hook), ..self }
    }

    fn stored(&self, key: u32) -> Option<String> {
        self.inner.load(&key).unwrap().map(|stored| stored.data)
    }
}

impl SessionStore<u32, String> for Scripted {
    fn opening(&self) -> u64 {
        self.inner.opening()
    }

    fn load(&self, key: &u32) -> Result<Option<Stored<String>>, StoreError> {
        let found = self.inner.load(key)?;
        (self.on_read)(key, ())?;
        Ok(found)
    }

    fn keys(&self) -> Result<Keys<u32>, StoreError> {
        self.inner.keys()
    }

    fn save(&self, key: &u32, version: Version, data: &String) -> Result<Saved, StoreError> {
        (self.on_write)(key, version.number)?;
        self.inner.save(key, version, data)
    }

    fn delete(&self, key: &u32, version: Version) -> Result<Saved, StoreError> {
        (self.on_write)(key, version.number)?;
        self.inner.delete(key, version)
    }
}

/// Holds calls of a store back until they are let through.
struct Gate {
    entered: Receiver<u64>,
    open: SyncSender<()>,
}

impl Gate {
    /// Returns the gate, and the function that waits at it. The function reports a number first.
    fn new() -> (Self, impl Fn(u64) + Send + Sync + 'static) {
        let ((enter, entered), (open, opened)) = (sync_channel(100), sync_channel(100));
        let opened = Mutex::new(&crate::sync::lock_order::TEST_AUXILIARY, opened);
        let pass = move |number| {
            enter.send(number).unwrap();
            opened.lock().recv().unwrap();
        };
        (Self { entered, open }, pass)
    }

    /// Returns a store whose saves and deletions wait, and report the numbers of their versions.
    fn before_writes() -> (Self, Scripted) {
        let (gate, pass) = Self::new();
        let store = Scripted::new().on_write(move |_, number| {
            pass(number);
            Ok(())
        });
        (gate, store)
    }

    /// Returns a store whose loads wait, after the read, and report their keys.
    fn after_reads() -> (Self, Scripted) {
        let (gate, pass) = Self::new();
        let store = Scripted::new().on_read(move |key, ()| {
            pass(u64::from(*key));
            Ok(())
        });
        (gate, store)
    }

    /// Waits for the next call at the gate, and returns its number.
    fn entered(&self) -> u64 {
        self.entered.recv().unwrap()
    }

    /// Lets one call through.
    fn open(&self) {
        self.open.send(()).unwrap();
    }
}

fn full() -> StoreError {
    std::io::Error::from(std::io::ErrorKind::StorageFull).into()
}
