mod bulk;
pub(crate) mod publish;
pub(crate) mod reclaim;
pub(crate) mod savepoint;

use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::mem;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::cell::{Header, Publisher, Recycled};
use super::history::{History, Limits};
use super::index::Index;
use super::log::Log;
use super::op::Op;
use super::state::State;
use crate::sync::Arc;
use crate::table::handle::Table;
use crate::table::hash::DefaultHashBuilder;
use crate::table::snapshot::{Iter, Snapshot};
use crate::table::version::Version;
use crate::unwind::{both, discard, resume};

/// Pages of old versions, and parts of their indexes, that a publish or a discard drops in addition to those
/// for its operations.
const PAGES_DROPPED: usize = 16;

/// Pages of old versions dropped for each operation of the batch: more than an operation creates, which
/// copies a page or splits one.
const PAGES_DROPPED_PER_OP: usize = 3;

/// Upper bound of the pages and parts dropped, regardless of the batch, while few old versions wait to be
/// dropped.
const PAGES_DROPPED_MAX: usize = 64;

/// Number of waiting versions that counts as few. Beyond it batches pay in full, so the backlog stops
/// growing.
const WAITING_MAX: usize = 4;

/// Recorded operations, no longer needed, that are dropped in addition to those for the batch: as many as a
/// short batch has, whose buffer is reused at once.
const OPS_DROPPED: usize = 1024;

/// Recorded operations dropped for each operation of the batch: more than an operation creates, which is
/// recorded once.
const OPS_DROPPED_PER_OP: usize = 2;

/// The one writer of a table.
///
/// Its changes are *staged*: visible to the writer immediately, and to readers only after
/// [`publish`](Self::publish), all at once. The writer is `Send` and not `Clone`, and its methods take
/// `&mut self`, so the compiler ensures that there is only one.
///
/// Dropping the writer, even by a panic of its thread, discards the staged changes and closes the table: it
/// stays readable indefinitely at the last published version, and [`Table::wait_for`](crate::Table::wait_for)
/// fails for versions that can no longer be published. [`into_table`](Self::into_table) does the same
/// explicitly.
///
/// # Panics in user code
///
/// Hashing, comparing, cloning, the index and all closures are user code. A panic in any of it propagates to
/// the caller, and **the staged state is what it was before the entry that was being changed**: nothing that
/// was staged earlier is lost, in this batch or in the same call ([`extend`](Extend::extend) keeps the
/// entries before). Readers see nothing of it.
///
/// The destructors of keys, values, indexes, hashers and captured variables of closures are user code, too.
/// Most of them run at the end of a call: when one panics, **the call has done all of its work, or none**,
/// and in [`extend`](Extend::extend) and [`retain`](Self::retain) this holds for each entry.
/// [`discard`](Self::discard) has always discarded. [`publish`](Self::publish) has published, and
/// [`version`](Self::version) shows it, unless an index had to be rebuilt first (see below). A call that has
/// changed something does not return its result then: the result is dropped. Values that the panic kept from
/// being dropped are dropped by the calls that follow, except those in the same page or buffer as the value
/// whose destructor panicked: these may be leaked.
///
/// If the index itself panicked, it may be half changed. It is then rebuilt before the panic propagates: from
/// the published one by replaying the batch, or, if [the batch is not recorded](#memory), from an empty one
/// and all entries; and [`Index::refresh`] carries over what is not derived from entries. If the index panics
/// again during this, the entries still remain. Until the rebuild succeeds, which each call that needs the
/// index attempts again, [`index`](Self::index) returns the published one, and such a call panics with the
/// panic of the index; [`discard`](Self::discard) always works.
///
/// # Memory
///
/// With [recycling](crate::TableBuilder::recycle), the operations of a batch are recorded, each with a clone
/// of key and value, up to what a [feed](crate::TableBuilder::history) would get (4096) or an eighth of the
/// entries, whichever is more. Beyond that, a batch is no longer recorded, and its record is dropped when it
/// is published; so is the record of a batch beyond 1024 operations or an eighth of the entries while there
/// is no feed. After such a batch, older versions cannot be recycled, and the next batches copy the pages
/// that they touch until there is a new version to recycle.
///
/// # Progress
///
/// Staging never waits for readers and takes no lock that they take. Old versions that no one holds any
/// longer are reclaimed by the writer: keys and values are dropped on the thread that owns it (or, once
/// writer, table and readers are all dropped, on the thread that releases the last reference).
pub struct Writer<K, V, I = (), S = DefaultHashBuilder> {
    publisher: Publisher<State<K, V, I, S>>,
    published: Arc<Header<State<K, V, I, S>>>,
    staged: Option<State<K, V, I, S>>,
    /// The operations of the last batches; `None` when there is neither recycling nor a subscriber.
    log: Option<Log<K, V>>,
    /// The index of a table without entries.
    blank: I,
    recycles: bool,
    limits: Limits,
    /// The limit on older versions that may be held.
    pub(super) max_versions: Option<NonZeroUsize>,
    /// Number of operations in the staged batch.
    ops: usize,
    /// Number of parts that the index has copied for it, at most.
    copied: usize,
    /// Whether the staged state differs from the published one.
    dirty: bool,
    /// Number of retired versions that the pass of [`reclaim_some`](Self::reclaim_some) has yet to check.
    unchecked: usize,
}

impl<K, V, I, S> Writer<K, V, I, S> {
    fn view(&self) -> &State<K, V, I, S> {
        self.staged.as_ref().unwrap_or_else(|| self.published.state())
    }

    /// Whether the index of the staged state is half changed. The entries never are.
    fn is_torn(&self) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.is_torn)
    }

    /// Returns the number of entries in the staged state. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.view().map.len()
    }

    /// Whether the staged state has no entry. O(1).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.view().map.is_empty()
    }

    /// Iterates over the entries of the staged state, in no particular order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { inner: self.view().map.iter() }
    }

    /// Returns the index over the staged state.
    #[must_use]
    pub fn index(&self) -> &I {
        if self.is_torn() { &self.published.state().index } else { &self.view().index }
    }

    /// Returns the number of the last published version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.published.version()
    }

    /// Returns the last published version, as readers see it.
    pub fn published(&self) -> Snapshot<K, V, I, S> {
        Snapshot::new(self.published.clone())
    }

    /// Whether the next [`publish`](Self::publish) makes a new version.
    #[must_use]
    pub fn has_staged(&self) -> bool {
        self.dirty
    }

    /// Returns a handle of the table.
    pub(crate) fn table(&self) -> Table<K, V, I, S> {
        Table::new_handle(self.publisher.cell().clone())
    }

    pub(super) fn publisher(&self) -> &Publisher<State<K, V, I, S>> {
        &self.publisher
    }

    /// Iterates over the states that no reader can reach and that wait to be published or dropped.
    pub(super) fn unpublished(&self) -> impl Iterator<Item = &State<K, V, I, S>> {
        self.staged.iter().chain(self.publisher.garbage())
    }
}

impl<K, V, I: Index<K, V>, S> Writer<K, V, I, S> {
    /// Discards all changes since the last publish. The staged state equals the published one again.
    pub fn discard(&mut self) {
        let panic = self.unstage();
        // What a panic of the index leaves is dropped by the next call.
        panic.into_iter().for_each(resume);
        self.tidy();
    }

    /// Discards the staged changes, and drops nothing. Does not panic; returns a panic of the index.
    fn unstage(&mut self) -> Option<Box<dyn Any + Send>> {
        self.dirty = false;
        if let Some(log) = &mut self.log {
            log.discard();
        }
        let staged = self.staged.take()?;
        self.discard_state(staged)
    }

    /// Leaves a staged state to be dropped in steps. Does not panic; returns a panic of the index.
    fn discard_state(&mut self, staged: State<K, V, I, S>) -> Option<Box<dyn Any + Send>> {
        let discarded = self.publisher.discard(staged);
        if discarded.is_torn {
            return None;
        }
        // Unwind safety: only a number is lost.
        match catch_unwind(AssertUnwindSafe(|| discarded.index.take_copied())) {
            Ok(copied) => {
                self.copied = self.copied.saturating_add(copied);
                None
            }
            Err(panic) => Some(panic),
        }
    }

    /// Charges the staged batch for the parts that its index has copied. A torn index cannot tell, and will
    /// be rebuilt.
    fn count_copied(&mut self) {
        if let Some(staged) = &mut self.staged
            && !staged.is_torn
        {
            self.copied = self.copied.saturating_add(staged.index.take_copied());
        }
    }

    /// Drops as many unneeded operations, pages and parts of indexes as this batch can have created, and some
    /// more.
    ///
    /// Called last, because destructors run here. What a panic leaves is dropped by the next call.
    fn tidy(&mut self) {
        let ops = mem::take(&mut self.ops);
        let made = (PAGES_DROPPED_PER_OP * ops).saturating_add(mem::take(&mut self.copied));
        let is_waiting = self.publisher.garbage().nth(WAITING_MAX).is_some();
        let most = if is_waiting { usize::MAX } else { PAGES_DROPPED_MAX };
        // Unwind safety: both leave what they have not dropped to the next call. A panic in the one does not
        // keep the other from its share, or what it leaves would pile up.
        both(
            self,
            |writer| writer.tidy_states(made.saturating_add(PAGES_DROPPED).min(most)),
            |writer| writer.tidy_log(OPS_DROPPED + OPS_DROPPED_PER_OP * ops),
        );
    }

    fn tidy_log(&mut self, mut budget: usize) {
        if let Some(log) = &mut self.log {
            log.tidy(&mut budget);
        }
    }

    /// Drops up to `budget` pages and parts of indexes of unneeded states.
    fn tidy_states(&mut self, mut budget: usize) {
        let Self { publisher, log, limits, dirty, .. } = self;
        publisher.tidy(|state| {
            doom(log, *limits, *dirty, mem::take(&mut state.history));
            state.dismantle(&mut budget)
        });
    }

    /// Releases the history of an older version, in steps.
    fn forget(&mut self, past: History<K, V>) {
        doom(&mut self.log, self.limits, self.dirty, past);
    }
}

/// Leaves a history to the log, which drops it in steps. A table without a log gets one for the purpose, until
/// it is tidy.
fn doom<K, V>(log: &mut Option<Log<K, V>>, limits: Limits, is_dirty: bool, past: History<K, V>) {
    if past.is_empty() {
        return;
    }
    let log = log.get_or_insert_with(|| {
        let mut log = Log::new(false, limits);
        if is_dirty {
            // It lacks the operations that are staged already.
            log.cut();
        }
        log
    });
    log.doom_history(past);
}

impl<K: Hash + Eq, V, I, S: BuildHasher> Writer<K, V, I, S> {
    /// Returns the value of `key` in the staged state. O(1).
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.view().get(key)
    }

    /// Whether the staged state has an entry for `key`. O(1).
    #[must_use]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key).is_some()
    }
}

impl<K, V, I, S> Writer<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// `blank` is the index of no entries.
    pub(super) fn new(
        state: State<K, V, I, S>,
        blank: I,
        recycles: bool,
        limits: Limits,
        max_versions: Option<NonZeroUsize>,
    ) -> Self {
        let publisher = Publisher::new(state);
        let published = publisher.cell().load();
        let log = recycles.then(|| Log::new(recycles, limits));
        Self {
            publisher,
            published,
            staged: None,
            log,
            blank,
            recycles,
            limits,
            max_versions,
            ops: 0,
            copied: 0,
            dirty: false,
            unchecked: 0,
        }
    }

    /// Stages an entry. Returns the value that it replaces.
    ///
    /// An existing key is kept, as in the maps of the standard library.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = self.view().hash(&key);
        self.insert_hashed(hash, key, value)
    }

    fn insert_hashed(&mut self, hash: u64, key: K, value: V) -> Option<V> {
        self.begin();
        let op = self.records_next().then(|| Op { hash, key: key.clone(), value: Some(value.clone()) });
        let replaced = self.stage(|state| state.insert(hash, key, value));
        // Before any value is dropped: destructors are user code, too.
        self.record(op);
        replaced.map(|(_, old)| old)
    }

    /// Stages a change of the value of `key`. Returns `false`, without calling `change`, if there is no such
    /// entry.
    ///
    /// `change` is applied to a clone of the value.
    pub fn update<Q>(&mut self, key: &Q, change: impl FnOnce(&mut V)) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.begin();
        let view = self.view();
        let hash = view.hash(key);
        let Some((stored, value)) = view.map.get_key_value(hash, key) else { return false };
        let stored = self.records_next().then(|| stored.clone());
        let mut value = value.clone();
        change(&mut value);
        let op = stored.map(|key| Op { hash, key, value: Some(value.clone()) });
        let old = self.stage(|state| state.replace(hash, key, value));
        self.record(op);
        old.is_some()
    }

    /// Stages the removal of `key`. Returns its value: a clone of it stays in the versions that contain it,
    /// until no one holds them and one of the publishes that follow, or [`reclaim`](Self::reclaim), drops
    /// them.
    ///
    /// To release what the value stands for, such as a socket, do so explicitly on the returned value; a
    /// destructor runs only when the last of these versions is dropped.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.remove_hashed(self.view().hash(key), key)
    }

    fn remove_hashed<Q>(&mut self, hash: u64, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.begin();
        // Removing an absent key stages nothing.
        self.view().map.get(hash, key)?;
        let records = self.records_next();
        let (key, value) = self.stage(|state| state.remove(hash, key))?;
        // Dropped last, if the record does not need it.
        let mut key = Some(key);
        let op = if records { key.take().map(|key| Op { hash, key, value: None }) } else { None };
        self.record(op);
        Some(value)
    }

    /// Returns the index over the staged state, to change what it holds beyond the entries. Counts as a
    /// change.
    pub fn index_mut(&mut self) -> &mut I {
        self.begin();
        self.open();
        self.dirty = true;
        match &mut self.staged {
            Some(staged) => &mut staged.index,
            None => unreachable!("`open` makes a staged state"),
        }
    }

    /// Does what the first operation of a batch does for the batches before it. User code may panic in it: then
    /// nothing has changed, and the next call goes on.
    pub(crate) fn open_batch(&mut self) {
        self.begin();
        self.open();
    }

    /// Ensures that there is a staged state.
    fn open(&mut self) {
        if self.is_torn() {
            self.rebuild_index();
        }
        if self.staged.is_none() {
            let mut staged = self.recycle().unwrap_or_else(|| self.published.state().clone());
            staged.map.set_stamp(self.version().next().as_u64());
            // Copies made before this batch are already paid for. The state is kept first: if the index
            // panics, nothing of it is dropped here.
            self.staged.insert(staged).index.take_copied();
            self.tidy_log(OPS_DROPPED);
        }
    }

    /// Starts an operation: if it is the first of its batch, ensures that there is a log if the batch will be
    /// needed later.
    ///
    /// Called once for each operation: the first subscriber may arrive between this call and the recording,
    /// and a log created then would lack this operation.
    fn begin(&mut self) {
        if self.dirty {
            return;
        }
        let is_followed = self.publisher.cell().is_followed();
        let is_tidy = self.log.as_ref().is_none_or(Log::is_tidy);
        if !self.recycles && is_followed != self.log.is_some() && is_tidy {
            self.log = is_followed.then(|| Log::new(false, self.limits));
        }
    }

    /// Brings a recent version that no one holds up to date, to be changed in place without copying.
    fn recycle(&mut self) -> Option<State<K, V, I, S>> {
        let log = self.log.as_mut()?;
        let (recycled, oldest) = self.publisher.recycle();
        let Some(Recycled { version, state }) = recycled else {
            log.trim(oldest);
            return None;
        };
        // Discarded until it is up to date: if user code panics before that, the state belongs to no version,
        // and is dropped like all unneeded states.
        let state = self.publisher.discard(state);
        log.replay(version, state, oldest);
        state.index.refresh(&self.published.state().index);
        self.publisher.take_back()
    }

    /// Applies `change` to one entry of the staged state. If it panics, the entry is unchanged.
    fn stage<R>(&mut self, change: impl FnOnce(&mut State<K, V, I, S>) -> R) -> R {
        self.open();
        let Some(staged) = &mut self.staged else { unreachable!("`open` makes a staged state") };
        let result = if State::<K, V, I, S>::is_indexed() {
            // Unwind safety: the entries are as before `change`, and a torn index is not used until it is
            // rebuilt.
            match catch_unwind(AssertUnwindSafe(|| change(staged))) {
                Ok(result) => result,
                Err(panic) if staged.is_torn => self.rebuild_after(panic),
                Err(panic) => resume_unwind(panic),
            }
        } else {
            change(staged)
        };
        self.dirty = true;
        self.ops += 1;
        result
    }

    #[cold]
    fn rebuild_after(&mut self, panic: Box<dyn Any + Send>) -> ! {
        // Unwind safety: `rebuild_index` replaces the index only once another one is complete. If it panics,
        // the caller still sees the first panic.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| self.rebuild_index())) {
            discard(second);
        }
        resume_unwind(panic)
    }

    /// Rebuilds the index of the staged state. If that panics, the index stays torn.
    fn rebuild_index(&mut self) {
        let Some(staged) = &mut self.staged else { unreachable!("only a staged index is torn") };
        let mut again = self.published.state().clone();
        let is_done = !self.dirty || self.log.as_ref().is_some_and(|log| log.replay_staged(&mut again));
        if !is_done {
            again.index = self.blank.clone();
            staged.map.iter().for_each(|(key, value)| again.index.insert(key, value));
            // None of it is a copy.
            again.index.take_copied();
        }
        again.index.refresh(&staged.index);
        // The torn one is dropped last, with the rest.
        mem::swap(&mut staged.index, &mut again.index);
        staged.is_torn = false;
    }

    /// Whether the operation about to be staged for a key has to be recorded.
    #[inline]
    fn records_next(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.records_next(self.len()))
    }

    /// Records a staged operation. Runs no user code.
    #[inline]
    fn record(&mut self, op: Option<Op<K, V>>) {
        if let Some(log) = &mut self.log {
            log.record(op);
        }
    }
}

impl<K, V, I, S> fmt::Debug for Writer<K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("version", &self.version())
            .field("len", &self.len())
            .field("has_staged", &self.has_staged())
            .finish_non_exhaustive()
    }
}
