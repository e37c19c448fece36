use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::num::NonZeroUsize;

use super::history::Limits;
use super::index::Index;
use super::state::State;
use crate::table::handle::Table;
use crate::table::hash::DefaultHashBuilder;
use crate::table::snapshot::Snapshot;
use crate::table::writer::Writer;

/// A builder for a table; see [`Table::builder`].
///
/// # Examples
/// ```
/// let (mut writer, table) = switchboard::Table::<String, u32>::builder()
///     .hasher(std::hash::RandomState::new())
///     .expected_len(10_000)
///     .build();
/// writer.insert(String::from("answer"), 42);
/// writer.publish();
/// assert_eq!(table.snapshot().get("answer"), Some(&42));
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct TableBuilder<K, V, I = (), S = DefaultHashBuilder> {
    index: I,
    hasher: S,
    expected_len: usize,
    recycles: bool,
    history: Limits,
    max_versions: Option<NonZeroUsize>,
    entry: PhantomData<fn() -> (K, V)>,
}

impl<K, V> TableBuilder<K, V> {
    pub(super) fn new() -> Self {
        Self {
            index: (),
            hasher: DefaultHashBuilder::default(),
            expected_len: 0,
            recycles: true,
            history: Limits::default(),
            max_versions: None,
            entry: PhantomData,
        }
    }
}

impl<K, V, I, S> TableBuilder<K, V, I, S> {
    /// Sets an index, which is maintained over the entries and published with them. A tuple is several
    /// indexes.
    ///
    /// `index` must be empty: the index of a table without entries.
    pub fn index<J>(self, index: J) -> TableBuilder<K, V, J, S> {
        let Self { hasher, expected_len, recycles, history, max_versions, entry, .. } = self;
        TableBuilder { index, hasher, expected_len, recycles, history, max_versions, entry }
    }

    /// Sets the hasher of the keys. Default: [`DefaultHashBuilder`], randomly seeded.
    pub fn hasher<T>(self, hasher: T) -> TableBuilder<K, V, I, T> {
        let Self { index, expected_len, recycles, history, max_versions, entry, .. } = self;
        TableBuilder { index, hasher, expected_len, recycles, history, max_versions, entry }
    }

    /// Sets the expected number of entries. This is a hint: the table grows and shrinks in small steps
    /// anyway.
    pub fn expected_len(mut self, expected_len: usize) -> Self {
        self.expected_len = expected_len;
        self
    }

    /// Sets whether retired versions are brought up to date and reused, instead of copying the pages that a
    /// batch touches. Default: yes.
    ///
    /// With recycling, updates are several times faster, and the table takes the memory of two copies (three,
    /// while readers are so busy that one of them always holds the version before the last). Recycling never
    /// waits for readers and needs no help from them: a version that is held is left alone, and pages are
    /// copied until another version is free. Without recycling, the table takes the memory of one copy, and
    /// of what has changed since the oldest version that is held.
    ///
    /// A batch of more than 1024 operations or an eighth of the entries, whichever is more, is not replayed
    /// unless there is a subscriber: see [`Writer`](Writer#memory).
    pub fn recycle(mut self, recycles: bool) -> Self {
        self.recycles = recycles;
        self
    }

    /// Sets how many versions a [`Feed`](crate::table::Feed) may fall behind and still get each of them, and
    /// how many operations these may have in total. Default: 128 versions, 4096 operations.
    ///
    /// The history is kept only while there is a feed, and holds at most twice as much: the keys and values
    /// of that many operations. A batch of more operations is not kept, and with `0` versions none is; feeds
    /// then get [`FeedEvent::Lagged`](crate::table::FeedEvent::Lagged). A table that
    /// [recycles](Self::recycle) records up to that many operations of the staged batch even while there is
    /// no feed, because the first one may subscribe at any time.
    pub fn history(mut self, versions: usize, operations: usize) -> Self {
        self.history = Limits { versions, operations };
        self
    }

    /// Sets how many older versions may be held at the same time. Default: no limit, so that only the readers
    /// bound the number: each version that a snapshot, [`Reader`](crate::Reader), feed or change set holds
    /// stays alive.
    ///
    /// While `versions` older versions are held, nothing is published: [`Writer::try_publish`] fails with
    /// [`TooManyVersions`](crate::table::TooManyVersions), [`Writer::publish`] returns the current version,
    /// and the batch stays staged, to be published together with later changes. Nothing is lost. **Reading
    /// always succeeds**: a snapshot is of the last published version, and a reader that gets no newer
    /// version holds no additional one.
    ///
    /// The limit bounds the memory of held versions, and the number of version headers, which is at most
    /// `versions` + 3. It lets readers hold up the writer, which they cannot do otherwise. An idle
    /// [`Reader`](crate::Reader) and an unread feed hold one version each, so allow at least the number of
    /// readers and feeds, plus what snapshots need.
    ///
    /// A batch that grows while it waits is recorded up to the same bound as any other: see
    /// [`Writer`](Writer#memory).
    ///
    /// # Examples
    /// ```
    /// use std::num::NonZeroUsize;
    /// use switchboard::Table;
    ///
    /// let (mut writer, table) = Table::<u64, &str>::builder().max_versions(NonZeroUsize::MIN).build();
    /// let held = table.snapshot();
    /// writer.insert(1, "one");
    /// let first = writer.try_publish()?;
    ///
    /// writer.insert(2, "two");
    /// assert_eq!(writer.try_publish().unwrap_err().limit(), NonZeroUsize::MIN);
    /// assert_eq!((table.version(), writer.has_staged()), (first, true));
    ///
    /// drop(held);
    /// writer.try_publish()?;
    /// assert_eq!(table.snapshot()[&2], "two");
    /// # Ok::<(), switchboard::table::TooManyVersions>(())
    /// ```
    pub fn max_versions(mut self, versions: NonZeroUsize) -> Self {
        self.max_versions = Some(versions);
        self
    }
}

impl<K, V, I, S> TableBuilder<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Builds an empty table at version zero, with its one writer.
    #[allow(clippy::type_complexity)] // The two ends belong together.
    pub fn build(self) -> (Writer<K, V, I, S>, Table<K, V, I, S>) {
        self.build_with([])
    }

    /// Builds a table that contains `entries` at version zero, with its one writer. Of several entries for
    /// one key, the last one wins.
    ///
    /// Costs one insertion for each entry, and no memory beyond that of the table: nothing is recorded or
    /// published in between. If the iterator or other user code panics, no table is created.
    ///
    /// # Examples
    /// ```
    /// let (_writer, table) = switchboard::Table::builder().build_with([(1, "one"), (2, "two")]);
    /// assert_eq!(table.version(), switchboard::Version::ZERO);
    /// assert_eq!(table.snapshot()[&2], "two");
    /// ```
    #[allow(clippy::type_complexity)] // The two ends belong together.
    pub fn build_with(
        self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> (Writer<K, V, I, S>, Table<K, V, I, S>) {
        let mut state = State::new(self.index.clone(), self.hasher, self.expected_len);
        for (key, value) in entries {
            state.insert(state.hash(&key), key, value);
        }
        let writer = Writer::new(state, self.index, self.recycles, self.history, self.max_versions);
        let table = writer.table();
        (writer, table)
    }
}

impl<K, V, I: fmt::Debug, S> fmt::Debug for TableBuilder<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableBuilder")
            .field("index", &self.index)
            .field("expected_len", &self.expected_len)
            .finish_non_exhaustive()
    }
}

impl<K, V> Table<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Creates an empty table at version zero, with its one writer.
    #[allow(clippy::new_ret_no_self)] // The two ends belong together.
    #[must_use]
    pub fn new() -> (Writer<K, V>, Self) {
        Self::builder().build()
    }

    /// Returns a builder, to create a table with an index, another hasher, or an expected size.
    pub fn builder() -> TableBuilder<K, V> {
        TableBuilder::new()
    }
}

impl<K, V, I, S> FromIterator<(K, V)> for Snapshot<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V> + Default,
    S: BuildHasher + Clone + Default + Send + Sync + 'static,
{
    /// Builds version zero of a separate table, which has no writer. For a table with a writer, see
    /// [`TableBuilder::build_with`].
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let builder = TableBuilder::new().index(I::default()).hasher(S::default()).recycle(false);
        builder.build_with(entries).0.published()
    }
}
