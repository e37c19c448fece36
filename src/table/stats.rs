//! Statistics of a table: computed on demand, by its writer.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroUsize;

use super::state::State;
use crate::table::version::Version;
use crate::table::writer::Writer;

/// The versions of a table that are alive; see [`Writer::stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The version that was published last.
    pub newest: Version,
    /// The oldest version that is held; the newest one, if no older one is held.
    pub oldest: Version,
    /// Number of versions alive: the newest, and the older ones that are held.
    pub alive: usize,
    /// The limit on older versions; see [`TableBuilder::max_versions`](crate::TableBuilder::max_versions).
    pub max_versions: Option<NonZeroUsize>,
    /// Number of copies without readers: to be recycled, or not yet found to be free.
    pub spare: usize,
    /// Number of [feeds](crate::table::Feed), leaked ones included.
    pub feeds: usize,
    /// Number of [`Reader`](crate::Reader)s that hold a version, leaked ones included;
    /// [released](crate::Reader::release) ones are not counted. If it grows with the number of tasks or
    /// connections instead of that of threads, each of them has a reader of its own: see
    /// [`Reader`](crate::Reader#tasks).
    pub readers: usize,
    /// Number of version headers: the maximum number of versions that were alive or spare at the same time,
    /// plus one or two. They are kept until the table is dropped, even after the versions are freed.
    pub headers: usize,
    /// Memory of the headers, without what their versions own.
    pub header_bytes: usize,
}

impl Stats {
    /// Returns the number of versions published since the oldest one alive. If this grows without bound, a
    /// snapshot, reader or feed was forgotten.
    #[must_use]
    pub fn oldest_age(&self) -> u64 {
        self.newest.as_u64() - self.oldest.as_u64()
    }

    /// Returns the maximum number of older versions that idle readers can hold: each reader holds one version
    /// at most. The exact number is not known, because snapshots and feeds hold versions in the same way, and
    /// because several readers may hold one version.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, table) = switchboard::Table::<u64, u64>::new();
    /// let mut idle = Vec::new();
    /// for number in 0..10 {
    ///     idle.push(table.reader());
    ///     writer.insert(1, number);
    ///     writer.publish();
    /// }
    /// assert_eq!((writer.stats().readers, writer.stats().held_by_readers_max()), (10, 10));
    /// idle.iter_mut().for_each(|reader| reader.release());
    /// assert_eq!((writer.stats().readers, writer.stats().held_by_readers_max()), (0, 0));
    /// ```
    #[must_use]
    pub fn held_by_readers_max(&self) -> usize {
        self.readers.min(self.alive - 1)
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { newest, alive, spare, feeds, readers, .. } = self;
        let age = self.oldest_age();
        write!(f, "version {newest}, {alive} alive (oldest {age} behind), {spare} spare, ")?;
        write!(f, "{feeds} feeds, {readers} readers")
    }
}

/// Heap memory of the entries of a table, in bytes; see [`Writer::memory`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Memory of the newest version alone.
    pub newest_bytes: usize,
    /// Additional memory of the older versions that are held.
    pub held_bytes: usize,
    /// Additional memory of the writer: the staged state, copies to be recycled, old pages to be dropped.
    pub spare_bytes: usize,
    /// Memory of the history of the newest version, for [feeds](crate::table::Feed).
    pub history_bytes: usize,
}

impl Memory {
    /// Returns the sum of all fields.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.newest_bytes + self.held_bytes + self.spare_bytes + self.history_bytes
    }
}

impl<K, V, I, S> Writer<K, V, I, S> {
    /// Returns the number of versions alive, and the oldest of them.
    ///
    /// Provided by the writer, not the table, because only the writer can inspect the versions without making
    /// itself wait. A version counts as held while a snapshot, reader, feed or change set refers to it.
    ///
    /// # Progress
    ///
    /// O(retired versions): those that are held, and up to a few that are not. Lock-free, changes nothing.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, table) = switchboard::Table::<u64, u64>::new();
    /// let leaked = table.snapshot();
    /// for number in 0..10 {
    ///     writer.insert(1, number);
    ///     writer.publish();
    /// }
    /// let stats = writer.stats();
    /// assert_eq!((stats.alive, stats.oldest, stats.oldest_age()), (2, leaked.version(), 10));
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let newest = self.version();
        let mut stats = Stats {
            newest,
            oldest: newest,
            alive: 1,
            max_versions: self.max_versions,
            spare: 0,
            feeds: self.publisher().cell().followers(),
            readers: self.publisher().cell().readers(),
            headers: self.publisher().headers(),
            header_bytes: self.publisher().header_bytes(),
        };
        self.publisher().each_retired(|header, is_held| {
            if is_held {
                stats.alive += 1;
                stats.oldest = stats.oldest.min(header.version());
            } else {
                stats.spare += 1;
            }
        });
        stats
    }

    /// Returns the memory that the entries take, by owner.
    ///
    /// Counts each page and directory once, however many versions share it. Memory owned by keys and values
    /// themselves is not counted, nor is the index.
    ///
    /// # Progress
    ///
    /// O(pages of all versions that are alive) time and memory, where a page has up to a few hundred entries:
    /// for diagnostics, not for every publish. Never waits.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, table) = switchboard::Table::<u64, u64>::new();
    /// (0..1000).for_each(|key| _ = writer.insert(key, key));
    /// writer.publish();
    /// let memory = writer.memory();
    /// assert!(memory.newest_bytes >= 1000 * 16);
    /// assert_eq!(memory.held_bytes, 0);
    /// ```
    #[must_use]
    pub fn memory(&self) -> Memory {
        // Reference counts are incremented, so that no address already seen is reused in the meantime.
        let (mut held, mut spare) = (Vec::new(), Vec::new());
        self.publisher().each_retired(|header, is_held| {
            if is_held { &mut held } else { &mut spare }.push(header.clone());
        });
        let mut seen = HashSet::new();
        let mut count = |state: &State<K, V, I, S>| state.map.bytes_unseen(&mut seen);
        let published = self.published();
        Memory {
            newest_bytes: count(published.state()),
            held_bytes: held.iter().map(|header| count(header.state())).sum(),
            spare_bytes: spare.iter().map(|header| header.state()).chain(self.unpublished()).map(count).sum(),
            history_bytes: published.state().history.bytes(),
        }
    }
}
