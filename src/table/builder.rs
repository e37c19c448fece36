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

/// How a table is to be made; see [`Table::builder`].
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
    /// An index that is kept over the entries and published with them. A tuple keeps several.
    ///
    /// It must be the index of no entries.
    pub fn index<J>(self, index: J) -> TableBuilder<K, V, J, S> {
        let Self { hasher, expected_len, recycles, history, max_versions, entry, .. } = self;
        TableBuilder { index, hasher, expected_len, recycles, history, max_versions, entry }
    }

    /// What hashes the keys. Default: [`DefaultHashBuilder`], seeded at random.
    pub fn hasher<T>(self, hasher: T) -> TableBuilder<K, V, I, T> {
        let Self { index, expected_len, recycles, history, max_versions, entry, .. } = self;
        TableBuilder { index, hasher, expected_len, recycles, history, max_versions, entry }
    }

    /// About how many entries there will be. A hint: the table grows and shrinks in small steps anyway.
    pub fn expected_len(mut self, expected_len: usize) -> Self {
        self.expected_len = expected_len;
        self
    }

    /// Whether retired versions are brought up to date and used again, in place of copying the pages that a
    /// batch touches. Default: yes.
    ///
    /// With recycling, updates are several times faster, and the table takes the memory of two copies (three,
    /// while readers are so busy that there is always one on the version before the last). It needs no
    /// waiting and no help from readers: a version that somebody holds is left alone, and pages are copied
    /// until there is another. Without, it takes the memory of one, and of what has changed since the oldest
    /// version that is held.
    ///
    /// A batch of more than 1024 operations or an eighth of the entries, whichever is more, is not repeated
    /// unless somebody follows: see [`Writer`](Writer#memory).
    pub fn recycle(mut self, recycles: bool) -> Self {
        self.recycles = recycles;
        self
    }

    /// How many versions a [`Feed`](crate::table::Feed) may be behind and still get each of them, and how many
    /// operations these may have together. Default: 128 versions, 4096 operations.
    ///
    /// The history is kept only while there is a feed, and takes at most twice as much: that many keys and
    /// values. A batch of more operations is not kept, and with `0` versions nothing is: then feeds get
    /// [`FeedEvent::Lagged`](crate::table::FeedEvent::Lagged). Of the batch that is staged, a table that
    /// [recycles](Self::recycle) records that many operations also while there is no feed: the first one may
    /// come at any time.
    pub fn history(mut self, versions: usize, operations: usize) -> Self {
        self.history = Limits { versions, operations };
        self
    }

    /// How many older versions may be held at the same time. Default: no limit, and then only the readers bound
    /// it: each version that a snapshot, [`Reader`](crate::Reader), feed or change set holds stays.
    ///
    /// While `versions` older versions are held, nothing is published: [`Writer::try_publish`] fails with
    /// [`TooManyVersions`](crate::table::TooManyVersions), [`Writer::publish`] returns the current version, and the batch
    /// stays staged, to be published with what is added to it. Nothing is lost. **Reading always succeeds**: a
    /// snapshot is of the version that was published last, and a reader that is refused a newer one holds no
    /// version more.
    ///
    /// The limit bounds what held versions keep in memory, and the headers of versions, of which there are at most
    /// `versions` + 3. It lets readers hold up the writer, which they cannot do otherwise. An idle
    /// [`Reader`](crate::Reader) and a feed that is not read hold a version each, so take at least the number of
    /// readers and feeds, and what snapshots need beyond that.
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
    /// An empty table at version zero, with its one writer.
    #[allow(clippy::type_complexity)] // The two ends belong together.
    pub fn build(self) -> (Writer<K, V, I, S>, Table<K, V, I, S>) {
        self.build_with([])
    }

    /// A table that has `entries` at version zero, with its one writer. Of several entries for one key the
    /// last counts.
    ///
    /// Costs an insertion for each entry, and no memory beside that of the table: nothing is recorded or
    /// published in between. When the iterator or other foreign code panics, there is no table.
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
        let table = Table::new_handle(writer.publisher().cell().clone());
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
    /// An empty table at version zero, with its one writer.
    #[allow(clippy::new_ret_no_self)] // The two ends belong together.
    #[must_use]
    pub fn new() -> (Writer<K, V>, Self) {
        Self::builder().build()
    }

    /// A table with an index, another hasher, or an expected size.
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
    /// Version zero of a table of its own, which has no writer. For a table that has one, see
    /// [`TableBuilder::build_with`].
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let builder = TableBuilder::new().index(I::default()).hasher(S::default()).recycle(false);
        builder.build_with(entries).0.published()
    }
}
