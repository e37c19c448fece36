//! Sessions, as a saver knows them.

use std::any::Any;

use crate::sync::StdArc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// One session object, as the saver knows it: its key, with the hash, and two marks that it shares with the saver from
/// its creation until its last holder is gone. Clones are the same object.
///
/// `accepted` is the tombstone of a session. The only changes that can reach the saver late, after newer ones, are those
/// of runs that a clear has detached. They come through the same session object, whose mark tells that they are old,
/// however late they are: also after the newer state was saved and forgotten, or deleted. A session that is created
/// again for the key is another object, with higher numbers. So a tombstone needs neither a clock nor a limit: it lives
/// exactly as long as a change can be late.
///
/// The hash is kept, so that user code runs under the lock of the saver only to compare two keys whose hashes are equal.
pub(super) struct Mark<K>(StdArc<Inner<K>>);

struct Inner<K> {
    hash: u64,
    key: K,
    /// The highest number of a change that the saver was told of. Changed under its lock.
    accepted: AtomicU64,
    /// The highest number with which the session may be evicted. Changed under the lock of the saver.
    saved: AtomicU64,
    /// The number of the deletion; zero if the session was not deleted. Accessed under the lock of the session.
    deleted: AtomicU64,
}

impl<K> Mark<K> {
    pub(super) fn new(hash: u64, key: K) -> Self {
        let zero = || AtomicU64::new(0);
        Self(StdArc::new(Inner { hash, key, accepted: zero(), saved: zero(), deleted: zero() }))
    }

    pub(super) fn hash(&self) -> u64 {
        self.0.hash
    }

    pub(super) fn key(&self) -> &K {
        &self.0.key
    }

    /// For its destructor, which may be that of the key.
    pub(super) fn into_any(self) -> StdArc<dyn Any + Send + Sync>
    where
        K: Send + Sync + 'static,
    {
        self.0
    }

    /// Returns whether the number is above all that came before. Called under the lock of the saver.
    pub(super) fn is_new(&self, number: u64) -> bool {
        // Relaxed: only changed under the lock of the saver, which is held here.
        number > self.0.accepted.load(Ordering::Relaxed)
    }

    /// Returns whether the number is below one that came before. Called under the lock of the saver.
    pub(super) fn is_older(&self, number: u64) -> bool {
        // Relaxed: as in `is_new`.
        number < self.0.accepted.load(Ordering::Relaxed)
    }

    /// Returns whether the saver knows this change, or a newer one.
    pub(super) fn is_noted(&self, number: u64) -> bool {
        // Relaxed: as in `set_saved`, where the change is noted by the time the lock is free.
        self.0.accepted.load(Ordering::Relaxed) >= number
    }

    /// Notes the number, if it is above all that came before. Called under the lock of the saver.
    pub(super) fn accept(&self, number: u64) {
        if self.is_new(number) {
            // Relaxed: as in `is_new`.
            self.0.accepted.store(number, Ordering::Relaxed);
        }
    }

    pub(super) fn set_saved(&self, number: u64) {
        // Relaxed: a thread that acts on it, by evicting the session, has nothing to read from the saver; a load of the
        // session takes the lock of the saver first.
        self.0.saved.fetch_max(number, Ordering::Relaxed);
    }

    /// Notes the number of the deletion. Called under the lock of the session.
    pub(super) fn set_deleted(&self, number: u64) {
        // Relaxed: accessed under the lock of the session.
        self.0.deleted.store(number, Ordering::Relaxed);
    }

    /// Returns the number of the deletion, if the session was deleted. Called under the lock of the session.
    pub(super) fn deleted(&self) -> Option<u64> {
        // Relaxed: as in `set_deleted`.
        Some(self.0.deleted.load(Ordering::Relaxed)).filter(|number| *number > 0)
    }

    pub(super) fn saved(&self) -> u64 {
        // Relaxed: as in `set_saved`.
        self.0.saved.load(Ordering::Relaxed)
    }
}

impl<K> Mark<K> {
    /// Returns whether both are the same object.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        StdArc::ptr_eq(&self.0, &other.0)
    }
}

impl<K: Eq> Mark<K> {
    /// Returns whether both have the same key. Calls `Eq` of the keys, unless they are the same object.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.is_same(other) || (self.0.hash == other.0.hash && self.0.key == other.0.key)
    }
}

impl<K> Clone for Mark<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
