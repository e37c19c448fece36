//! What a table holds: counted on demand, by its writer.

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
    /// The oldest version that somebody holds; the newest one, if nobody holds another.
    pub oldest: Version,
    /// How many versions are alive: the newest, and the older ones that somebody holds.
    pub alive: usize,
    /// How many older ones may be; see [`TableBuilder::max_versions`](crate::TableBuilder::max_versions).
    pub max_versions: Option<NonZeroUsize>,
    /// How many copies nobody reads: to be recycled, or not yet found to be free.
    pub spare: usize,
    /// How many [feeds](crate::table::Feed) there are, leaked ones included.
    pub feeds: usize,
    /// How many version headers there are: as many as there have been versions alive or spare at the same
    /// time, and one or two. They stay until the table is dropped, also when the versions are gone.
    pub headers: usize,
    /// How much memory the headers take, without what their versions own.
    pub header_bytes: usize,
}

impl Stats {
    /// How many versions have been published since the oldest one that is alive. What grows without end here
    /// is a snapshot, a reader or a feed that somebody forgot.
    #[must_use]
    pub fn oldest_age(&self) -> u64 {
        self.newest.as_u64() - self.oldest.as_u64()
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { newest, alive, spare, feeds, .. } = self;
        let age = self.oldest_age();
        write!(f, "version {newest}, {alive} alive (oldest {age} behind), {spare} spare, {feeds} feeds")
    }
}

/// Heap memory of the entries of a table, in bytes; see [`Writer::memory`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Of the newest version alone.
    pub newest_bytes: usize,
    /// What the older versions that somebody holds have beyond that.
    pub held_bytes: usize,
    /// What the writer has beyond both: what is staged, copies to be recycled, old pages to be dropped.
    pub spare_bytes: usize,
    /// The history of the newest version, for [feeds](crate::table::Feed).
    pub history_bytes: usize,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.newest_bytes + self.held_bytes + self.spare_bytes + self.history_bytes
    }
}

impl<K, V, I, S> Writer<K, V, I, S> {
    /// How many versions are alive, and how far back.
    ///
    /// Here and not on the table, because only the writer can look without making itself wait. A version
    /// counts as held while a snapshot, reader, feed or change set has it.
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

    /// How much memory the entries take, and on whose account.
    ///
    /// Counts pages and directories, each once, however many versions share it. What keys and values own
    /// themselves is not counted, nor is the index.
    ///
    /// # Progress
    ///
    /// O(pages of all versions that are alive) time and memory, where a page has up to a few hundred entries:
    /// for diagnostics, not for every publish. Waits for nobody.
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
        // Counted up, so that no address that has been seen is used again meanwhile.
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
