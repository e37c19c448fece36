//! The operations of the last batches, to be replayed on an older version. Pure.
//!
//! Operations own keys and values, whose destructors are user code and may panic. Therefore only
//! [`Log::tidy`] drops operations: all other methods move unneeded ones to where `tidy` finds them, and the
//! writer calls it once its own state is consistent again. A batch may be an eighth of the table, so `tidy`
//! works in steps.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::mem;

use super::history::{History, Limits, Link};
use super::index::Index;
use super::op::Op;
use super::page_map::TOGETHER;
use super::state::{LARGE, State};
use crate::sync::StdArc;
use crate::table::version::Version;

/// Minimum number of operations to keep, and entries of the table per operation beyond that.
///
/// Replaying a log costs less than copying the touched pages, whatever its length; the bound limits the
/// memory, to an eighth of the table's.
const KEPT_MIN: usize = 1024;
const ENTRIES_PER_KEPT: usize = 8;

/// Empty buffers to keep, of up to [`KEPT_MIN`] operations each.
const SPARE_MAX: usize = 16;

/// Number of operations that [`look_ahead`] reads ahead.
const AHEAD: usize = TOGETHER;

/// The operations of a sealed batch.
enum Ops<K, V> {
    Own(Vec<Op<K, V>>),
    /// Also in the history of published versions.
    Shared(StdArc<Link<K, V>>),
}

impl<K, V> Ops<K, V> {
    fn as_slice(&self) -> &[Op<K, V>] {
        match self {
            Self::Own(ops) => ops,
            Self::Shared(link) => &link.ops,
        }
    }
}

/// The operations that led from the version before `version` to it.
struct Batch<K, V> {
    version: Version,
    /// Number of operations before they were consumed by the last replay.
    len: usize,
    ops: Ops<K, V>,
}

/// The last batches without a gap, and the staged one.
pub(super) struct Log<K, V> {
    batches: VecDeque<Batch<K, V>>,
    /// Number of operations in these batches.
    kept: usize,
    /// The operations of the staged batch, all of which have been applied.
    staged: Vec<Op<K, V>>,
    /// Whether recording of the staged batch has stopped: it has grown too long, or has cleared the table.
    cut: bool,
    /// Number of staged operations up to a savepoint, which are kept even if recording stops.
    protected: Option<usize>,
    /// Unneeded operations, until [`tidy`](Self::tidy) drops them.
    doomed: Vec<Batch<K, V>>,
    /// Empty buffers, to be filled again.
    spare: Vec<Vec<Op<K, V>>>,
    /// Whether older versions are brought up to date. If not, the log serves only the history.
    recycles: bool,
    /// The bounds of what is kept for subscribers, while there are any.
    limits: Limits,
}

impl<K, V> Log<K, V> {
    pub(super) fn new(recycles: bool, limits: Limits) -> Self {
        Self {
            batches: VecDeque::new(),
            kept: 0,
            staged: Vec::new(),
            cut: false,
            protected: None,
            doomed: Vec::new(),
            spare: Vec::new(),
            recycles,
            limits,
        }
    }

    /// Returns the number of operations to keep for a table of `len` entries.
    fn limit(&self, len: usize, is_followed: bool) -> usize {
        let followed = if is_followed && self.limits.versions > 0 { self.limits.operations } else { 0 };
        KEPT_MIN.max(len / ENTRIES_PER_KEPT).max(followed)
    }

    /// Whether the next operation of the staged batch, on a table of `len` entries, is to be recorded.
    ///
    /// The limit is always that of a batch with subscribers: the first one may arrive at any time before the
    /// batch is published, and must get all of it.
    #[inline]
    pub(super) fn records_next(&self, len: usize) -> bool {
        !self.cut && self.staged.len() < self.limit(len, true)
    }

    /// Records an applied operation of the staged batch; `None` stops recording the batch.
    #[inline]
    pub(super) fn record(&mut self, op: Option<Op<K, V>>) {
        match op {
            Some(op) => self.staged.push(op),
            None => self.cut(),
        }
    }

    /// Stops recording the staged batch: no older version can be brought up to it.
    pub(super) fn cut(&mut self) {
        self.cut = true;
        if self.protected.is_none() {
            self.doom_staged();
        }
    }

    /// Keeps the staged operations until [`unprotect`](Self::unprotect) or [`roll_back`](Self::roll_back),
    /// and returns their number; `None` if the batch is no longer recorded.
    pub(super) fn protect(&mut self) -> Option<usize> {
        self.protected = (!self.cut).then_some(self.staged.len());
        self.protected
    }

    /// Ends the protection; the batch stays as it is.
    pub(super) fn unprotect(&mut self) {
        self.protected = None;
        if self.cut {
            self.doom_staged();
        }
    }

    /// Forgets the operations staged since [`protect`](Self::protect), and ends the protection.
    pub(super) fn roll_back(&mut self) {
        let Some(staged) = self.protected.take() else { return };
        self.cut = false;
        let undone = self.staged.split_off(staged);
        if !undone.is_empty() {
            self.doom(Ops::Own(undone));
        }
    }

    /// Forgets the staged batch.
    pub(super) fn discard(&mut self) {
        self.cut = false;
        self.protected = None;
        self.doom_staged();
    }

    fn doom_staged(&mut self) {
        if !self.staged.is_empty() {
            let ops = mem::take(&mut self.staged);
            self.doom(Ops::Own(ops));
        }
    }

    fn doom(&mut self, ops: Ops<K, V>) {
        self.doomed.push(Batch { version: Version::ZERO, len: 0, ops });
    }

    /// Leaves the history of an unneeded version to [`tidy`](Self::tidy).
    pub(super) fn doom_history(&mut self, history: History<K, V>) {
        history.into_lists().for_each(|link| self.doom(Ops::Shared(link)));
    }

    /// Seals the staged batch, which made `version` of `len` entries. Returns the oldest version that the log
    /// can bring up to date, and the history of `version`: empty, unless there is a history `before` to
    /// extend.
    pub(super) fn seal(
        &mut self,
        version: Version,
        len: usize,
        before: Option<&History<K, V>>,
    ) -> (Version, History<K, V>) {
        if self.cut {
            self.cut = false;
            while self.forget_oldest() {}
            return (version, History::default());
        }
        let expected = if before.is_some() { self.staged.len() } else { 0 };
        let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(expected));
        let ops = mem::replace(&mut self.staged, next);
        let len_of_batch = ops.len();
        let extended = match before {
            Some(before) => before.extended(self.limits, version, ops),
            None => Err(ops),
        };
        let (history, ops) = match extended {
            Ok((history, link)) => (history, Ops::Shared(link)),
            Err(ops) => (History::default(), Ops::Own(ops)),
        };
        self.kept += len_of_batch;
        self.batches.push_back(Batch { version, len: len_of_batch, ops });
        let is_followed = before.is_some();
        while (!self.recycles || self.kept > self.limit(len, is_followed)) && self.forget_oldest() {}
        (self.batches.front().map_or(version, |batch| batch.version.previous()), history)
    }

    /// Forgets the batches that lead to `oldest` and to versions before it; all of them, if there is no older
    /// version to bring up to date.
    pub(super) fn trim(&mut self, oldest: Option<Version>) {
        while let Some(batch) = self.batches.front()
            && oldest.is_none_or(|oldest| batch.version <= oldest)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(batch) = self.batches.pop_front() else { return false };
        self.kept -= batch.len;
        self.doomed.push(batch);
        true
    }

    /// Drops up to `budget` unneeded operations and links of histories: user code. What a panic leaves is
    /// dropped by the next call.
    ///
    /// Keeps the buffers, unless they are large or shared, or enough are kept.
    pub(super) fn tidy(&mut self, budget: &mut usize) {
        while let Some(batch) = self.doomed.last_mut() {
            let is_due = match &mut batch.ops {
                Ops::Own(ops) => truncate(ops, budget),
                Ops::Shared(_) => mem::replace(budget, budget.saturating_sub(1)) > 0,
            };
            if !is_due {
                return;
            }
            match self.doomed.pop().map(|batch| batch.ops) {
                Some(Ops::Own(ops)) => self.keep_buffer(ops),
                Some(Ops::Shared(link)) => self.doom_link(link),
                None => return,
            }
        }
    }

    /// Whether nothing is left for [`tidy`](Self::tidy).
    pub(super) fn is_tidy(&self) -> bool {
        self.doomed.is_empty()
    }

    fn keep_buffer(&mut self, ops: Vec<Op<K, V>>) {
        if ops.capacity() <= KEPT_MIN && self.spare.len() < SPARE_MAX {
            self.spare.push(ops);
        }
    }

    /// Queues the operations of the link, and the links before it, unless the link is shared.
    fn doom_link(&mut self, link: StdArc<Link<K, V>>) {
        let Some(mut link) = StdArc::into_inner(link) else { return };
        let (ops, previous) = link.take();
        if let Some(previous) = previous {
            self.doom(Ops::Shared(previous));
        }
        self.doom(Ops::Own(ops));
    }

    /// Frees the empty buffers and unused capacity.
    pub(super) fn shrink(&mut self) {
        self.spare = Vec::new();
        self.batches.shrink_to_fit();
    }
}

/// Drops up to `budget` operations, the last ones first; returns `true` when none is left. Operations without
/// a destructor cost nothing.
fn truncate<K, V>(ops: &mut Vec<Op<K, V>>, budget: &mut usize) -> bool {
    let dropped = if mem::needs_drop::<Op<K, V>>() { ops.len().min(*budget) } else { ops.len() };
    *budget = budget.saturating_sub(dropped);
    ops.truncate(ops.len() - dropped);
    ops.is_empty()
}

impl<K: Hash + Eq + Clone, V: Clone> Log<K, V> {
    /// Applies the staged batch to the state before it; returns `false` if the batch was not recorded.
    pub(super) fn replay_staged<I, S>(&self, state: &mut State<K, V, I, S>) -> bool
    where
        I: Index<K, V>,
        S: BuildHasher,
    {
        if !self.cut {
            repeat(state, &self.staged);
        }
        !self.cut
    }

    /// Applies the first `staged` operations of the staged batch, which are protected, to the state before
    /// the batch.
    pub(super) fn replay_first<I, S>(&self, staged: usize, state: &mut State<K, V, I, S>)
    where
        I: Index<K, V>,
        S: BuildHasher,
    {
        repeat(state, self.staged.get(..staged).unwrap_or_default());
    }

    /// Brings `state` from `version` to the newest one. If user code panics, `state` belongs to no version,
    /// and the log is as if it had not panicked.
    ///
    /// `keep` is the oldest version that the log must still be able to bring up to date after this.
    pub(super) fn replay<I, S>(
        &mut self,
        version: Version,
        state: &mut State<K, V, I, S>,
        keep: Option<Version>,
    ) where
        I: Index<K, V>,
        S: BuildHasher,
    {
        // First: consumed operations must not remain in the log, however far the replay gets.
        let first_doomed = self.doomed.len();
        self.trim(keep);
        for batch in self.doomed[first_doomed..].iter_mut().filter(|batch| batch.version > version) {
            state.map.set_stamp(batch.version.as_u64());
            match &mut batch.ops {
                Ops::Own(ops) => repeat_for_good(state, ops),
                Ops::Shared(link) => repeat(state, &link.ops),
            }
        }
        for batch in self.batches.iter().filter(|batch| batch.version > version) {
            state.map.set_stamp(batch.version.as_u64());
            repeat(state, batch.ops.as_slice());
        }
    }
}

/// Reads the entries that up to [`AHEAD`] operations are going to change; see [`State::look_ahead`].
fn look_ahead<K, V, I, S>(state: &State<K, V, I, S>, ops: &[Op<K, V>])
where
    K: Hash + Eq,
    I: Index<K, V>,
    S: BuildHasher,
{
    let Some(first) = ops.first().filter(|_| state.map.len() >= LARGE) else { return };
    let (mut keys, mut hashes) = ([&first.key; AHEAD], [0; AHEAD]);
    for ((key, hash), op) in keys.iter_mut().zip(&mut hashes).zip(ops) {
        (*key, *hash) = (&op.key, op.hash);
    }
    let len = ops.len().min(AHEAD);
    state.look_ahead_hashed(&hashes[..len], &keys[..len]);
}

fn repeat<K, V, I, S>(state: &mut State<K, V, I, S>, ops: &[Op<K, V>])
where
    K: Hash + Eq + Clone,
    V: Clone,
    I: Index<K, V>,
    S: BuildHasher,
{
    for ops in ops.chunks(AHEAD) {
        look_ahead(state, ops);
        for Op { hash, key, value } in ops {
            apply(state, *hash, key.clone(), value.clone());
        }
    }
}

/// Like [`repeat`], for the last time: consumes the operations.
fn repeat_for_good<K, V, I, S>(state: &mut State<K, V, I, S>, ops: &mut [Op<K, V>])
where
    K: Hash + Eq + Clone,
    V: Clone,
    I: Index<K, V>,
    S: BuildHasher,
{
    for ops in ops.chunks_mut(AHEAD) {
        look_ahead(state, ops);
        ops.iter_mut().for_each(|op| apply_for_good(state, op));
    }
}

/// Like [`apply`], for the last time: unneeded values stay in the log, and are dropped with it.
#[inline]
fn apply_for_good<K, V, I, S>(state: &mut State<K, V, I, S>, op: &mut Op<K, V>)
where
    K: Hash + Eq + Clone,
    V: Clone,
    I: Index<K, V>,
    S: BuildHasher,
{
    let Op { hash, key, value } = op;
    if let Some(value) = value
        && state.swap(*hash, key, value)
    {
        return;
    }
    apply(state, *hash, key.clone(), value.take());
}

fn apply<K, V, I, S>(state: &mut State<K, V, I, S>, hash: u64, key: K, value: Option<V>)
where
    K: Hash + Eq + Clone,
    V: Clone,
    I: Index<K, V>,
    S: BuildHasher,
{
    match value {
        Some(value) => drop(state.insert(hash, key, value)),
        None => drop(state.remove(hash, &key)),
    }
}
