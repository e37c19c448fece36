//! Publishing, and its refusal.

use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::mem;
use std::num::NonZeroUsize;

use super::{PAGES_DROPPED, Writer};
use crate::table::history::History;
use crate::table::index::Index;
use crate::table::version::Version;

impl<K, V, I, S> Writer<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Makes all staged changes visible at once, and returns the new version.
    ///
    /// If nothing is staged, nothing is published, and the current version is returned: versions count
    /// changes, not calls. An insertion or an update counts as a change even if the value equals the replaced
    /// one.
    ///
    /// After the return, every snapshot that is taken on any thread is of this version or a newer one.
    ///
    /// A table with [`max_versions`](crate::TableBuilder::max_versions) publishes nothing while that many
    /// older versions are held: the current version is returned, and all changes
    /// [stay staged](Self::has_staged). [`try_publish`](Self::try_publish) distinguishes the two cases.
    ///
    /// # Progress
    ///
    /// Lock-free: does not wait for readers, however long they hold their snapshots. Once the number of
    /// versions held at the same time has reached its maximum, a publish allocates nothing; while there is a
    /// [feed](crate::table::Feed), it allocates what it keeps of the batch. Of the two locks in a publish,
    /// one is never taken by another thread; the other is taken only to wake a thread or a task that waits
    /// for this version, in [`Table::wait_for`](crate::Table::wait_for),
    /// [`Table::changed`](crate::Table::changed) or a feed, or that has stopped waiting since the last
    /// publish. The cost grows with the number of threads that have ever loaded at the same time:
    /// [`docs::guarantees`](crate::docs::guarantees#wait-free).
    ///
    /// The wakers of the tasks run on this thread, once the version is visible and without a lock. A panic in
    /// one of them is contained.
    ///
    /// O(operations in the batch), regardless of the number of entries: old versions and recorded operations
    /// are dropped in steps, each of a constant number of pages plus as many as the batch can have created.
    /// The first operation after a publish is amortized, not constant: it replays the previous batch on the
    /// copy that is [recycled](crate::TableBuilder::recycle).
    pub fn publish(&mut self) -> Version {
        self.try_publish().unwrap_or_else(|_| self.version())
    }

    /// [Publishes](Self::publish) the staged changes, unless too many older versions are held.
    ///
    /// Never fails in a table without [`max_versions`](crate::TableBuilder::max_versions). With that limit,
    /// while it is reached, a publish checks each held version: O(`max_versions`).
    ///
    /// # Errors
    /// [`TooManyVersions`] while as many older versions are held as the table allows. All changes stay
    /// staged, and readers have the last published version. Try again after the next change or some time
    /// later: releasing a version notifies no one.
    pub fn try_publish(&mut self) -> Result<Version, TooManyVersions> {
        if !self.dirty {
            return Ok(self.version());
        }
        if let Err(refused) = self.check_versions() {
            self.tidy_refused();
            return Err(refused);
        }
        Ok(self.publish_staged())
    }

    /// Whether as many older versions are held as the table allows. Runs no user code. Once it succeeds, it
    /// does until the next publish.
    pub(crate) fn check_versions(&mut self) -> Result<(), TooManyVersions> {
        match self.max_versions {
            Some(limit) if !self.publisher.has_fewer_held(limit.get()) => Err(TooManyVersions { limit }),
            _ => Ok(()),
        }
    }

    /// Drops part of what was released since, as a publish does. The staged operations pay when they are
    /// published.
    pub(crate) fn tidy_refused(&mut self) {
        self.tidy_states(PAGES_DROPPED);
    }

    fn publish_staged(&mut self) -> Version {
        if self.is_torn() {
            self.rebuild_index();
        }
        self.count_copied();
        let Some(mut state) = self.staged.take() else { return self.version() };
        self.dirty = false;
        let version = self.version().next();
        let (replayable, history) = self.seal(version, state.map.len());
        let past = mem::replace(&mut state.history, history);
        self.publisher.publish(state, replayable, &mut self.published);
        debug_assert_eq!(self.version(), version, "only this writer publishes, one version at a time");
        // The version is published; user code, that is destructors, runs only from here on.
        self.forget(past);
        self.tidy();
        version
    }

    /// Seals the staged batch as `version`. Returns the oldest version that can be brought up to it, and its
    /// history.
    fn seal(&mut self, version: Version, len: usize) -> (Version, History<K, V>) {
        let Some(log) = &mut self.log else { return (version, History::default()) };
        let is_followed = self.publisher.cell().is_followed();
        log.seal(version, len, is_followed.then(|| &self.published.state().history))
    }
}

/// The error returned by [`Writer::try_publish`](crate::Writer::try_publish) when as many older versions are
/// held as the table allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooManyVersions {
    limit: NonZeroUsize,
}

impl TooManyVersions {
    /// Returns the limit on older versions,
    /// [`TableBuilder::max_versions`](crate::TableBuilder::max_versions).
    #[must_use]
    pub fn limit(&self) -> NonZeroUsize {
        self.limit
    }
}

impl fmt::Display for TooManyVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit } = self;
        write!(
            f,
            "{limit} older versions are held (the limit): drop snapshots, refresh readers, or retry later"
        )
    }
}

impl Error for TooManyVersions {}
