//! Publishing, and when it is refused.

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
    /// Makes everything that is staged visible, all at once, and returns the new version.
    ///
    /// When nothing is staged, nothing is published, and the current version is returned: versions count
    /// changes, not calls. An insertion or an update counts as a change even if the value is equal to what it
    /// replaces.
    ///
    /// Once this has returned, every snapshot that is taken on any thread is of this version or a newer one.
    ///
    /// A table with [`max_versions`](crate::TableBuilder::max_versions) publishes nothing while that many older
    /// versions are held: the current version is returned, and everything [stays staged](Self::has_staged).
    /// [`try_publish`](Self::try_publish) tells the two apart.
    ///
    /// # Progress
    ///
    /// Lock-free: does not wait for readers, however long they hold their snapshots. Once the table has had
    /// as many versions held at the same time as it will have, a publish allocates nothing; while there is a
    /// [feed](crate::table::Feed), it allocates what it keeps of the batch. Of the two locks in a
    /// publish, one is never taken by another thread; the other is taken only if a thread waits for this version,
    /// in [`Table::wait_for`](crate::Table::wait_for) or in a feed. The cost grows with the number of threads that
    /// have ever loaded at the same time: [`docs::guarantees`](crate::docs::guarantees#wait-free).
    ///
    /// O(operations in the batch), whatever the number of entries: old versions and recorded operations are dropped in
    /// steps, of a constant number of pages and as many more as the batch can have made. Amortized, not constant, is
    /// the first operation after a publish, which repeats the batch before it on the copy that is
    /// [recycled](crate::TableBuilder::recycle).
    pub fn publish(&mut self) -> Version {
        self.try_publish().unwrap_or_else(|_| self.version())
    }

    /// [Publishes](Self::publish) what is staged, unless too many older versions are held.
    ///
    /// Never fails in a table without [`max_versions`](crate::TableBuilder::max_versions). There, while that many
    /// are held, a publish looks at each of them: O(`max_versions`).
    ///
    /// # Errors
    /// [`TooManyVersions`] while as many older versions are held as the table allows. Everything stays staged, and
    /// readers have the version that was published last. Try again after the next change or some time later:
    /// letting go of a version tells no one.
    pub fn try_publish(&mut self) -> Result<Version, TooManyVersions> {
        if !self.dirty {
            return Ok(self.version());
        }
        if let Some(limit) = self.max_versions
            && !self.publisher.has_fewer_held(limit.get())
        {
            // What was let go since; a part, as in a publish. The staged operations pay when they are published.
            self.tidy_states(PAGES_DROPPED);
            return Err(TooManyVersions { limit });
        }
        Ok(self.publish_staged())
    }

    fn publish_staged(&mut self) -> Version {
        if self.torn {
            self.rebuild_index();
        }
        self.count_copied();
        let Some(mut state) = self.staged.take() else { return self.version() };
        self.dirty = false;
        let version = self.version().next();
        let (replayable, history) = self.seal(version, state.map.len());
        let past = mem::replace(&mut state.history, history);
        self.publisher.publish(state, replayable, &mut self.published);
        debug_assert_eq!(self.version(), version, "one writer, one version at a time");
        // It is published, and user code runs only from here on: destructors.
        self.forget(past);
        self.tidy();
        version
    }

    /// The staged batch becomes `version`: the oldest version that can be brought up to it, and its history.
    fn seal(&mut self, version: Version, len: usize) -> (Version, History<K, V>) {
        let Some(log) = &mut self.log else { return (version, History::default()) };
        let is_followed = self.publisher.cell().is_followed();
        log.seal(version, len, is_followed.then(|| &self.published.state().history))
    }
}

/// As many older versions are held as a table allows, so that nothing is published; see
/// [`Writer::try_publish`](crate::Writer::try_publish).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooManyVersions {
    limit: NonZeroUsize,
}

impl TooManyVersions {
    /// How many older versions may be held: [`TableBuilder::max_versions`](crate::TableBuilder::max_versions).
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
            "{limit} older versions are held, which is the limit: drop snapshots, read on, or publish later"
        )
    }
}

impl Error for TooManyVersions {}
