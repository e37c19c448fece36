//! What the last batches did, so that it can be done again to an older version. Pure.
//!
//! Operations own keys and values, whose destructors are user code and may panic. So nothing in here drops an
//! operation except [`Log::tidy`]: all else moves what is no longer needed to where `tidy` finds it, and the
//! writer calls that when its own state is whole again. A batch may be an eighth of the table, so `tidy` goes in
//! steps.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::mem;

use super::history::{History, Limits, Link};
use super::index::Index;
use super::op::Op;
use super::state::State;
use crate::sync::StdArc;
use crate::table::version::Version;

/// Operations that are kept at least, and entries of the table per operation that is kept beyond that.
///
/// A log is repeated for less than what copying the touched pages would cost, whatever its length; the bound
/// is there for the memory, an eighth of the table's.
const KEPT_MIN: usize = 1024;
const ENTRIES_PER_KEPT: usize = 8;

/// Empty buffers that are kept, of up to [`KEPT_MIN`] operations each.
const SPARE_MAX: usize = 16;

/// From this many entries on, a table is too large for the caches next to the processor, and [`look_ahead`]
/// pays.
const LARGE: usize = 16 * 1024;

/// How many operations it looks ahead.
const AHEAD: usize = 32;

/// The operations of a sealed batch.
enum Ops<K, V> {
    Own(Vec<Op<K, V>>),
    /// The history of published versions has them too.
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

/// The operations that led from the version before to `version`.
struct Batch<K, V> {
    version: Version,
    /// How many operations they were before they were repeated for good.
    len: usize,
    ops: Ops<K, V>,
}

/// The last batches without a gap, and the one that is being staged.
pub(super) struct Log<K, V> {
    batches: VecDeque<Batch<K, V>>,
    /// The operations in these batches.
    kept: usize,
    /// The operations of the staged batch, each of which has been done.
    staged: Vec<Op<K, V>>,
    /// The staged batch is not recorded (any more): it has grown too long, or has cleared the table.
    cut: bool,
    /// What is no longer needed, until [`tidy`](Self::tidy).
    doomed: Vec<Batch<K, V>>,
    /// Empty buffers, to be filled again.
    spare: Vec<Vec<Op<K, V>>>,
    /// Whether older versions are to be brought up to date. If not, the log is for the history only.
    recycles: bool,
    /// What is kept for subscribers, while there are any.
    limits: Limits,
}

impl<K, V> Log<K, V> {
    pub(super) fn new(recycles: bool, limits: Limits) -> Self {
        Self {
            batches: VecDeque::new(),
            kept: 0,
            staged: Vec::new(),
            cut: false,
            doomed: Vec::new(),
            spare: Vec::new(),
            recycles,
            limits,
        }
    }

    /// The operations to keep for a table of `len` entries.
    fn limit(&self, len: usize, is_followed: bool) -> usize {
        let followed = if is_followed && self.limits.versions > 0 { self.limits.operations } else { 0 };
        KEPT_MIN.max(len / ENTRIES_PER_KEPT).max(followed)
    }

    /// Whether the next operation of the staged batch, on a table of `len` entries, is to be recorded.
    ///
    /// The limit is that of a batch that is followed, whether it is or not: the first feed may come at any
    /// time before the batch is published, and is to have all of it.
    #[inline]
    pub(super) fn records_next(&self, len: usize) -> bool {
        !self.cut && self.staged.len() < self.limit(len, true)
    }

    /// Records an operation of the staged batch that has been done; without one, no more of the batch.
    #[inline]
    pub(super) fn record(&mut self, op: Option<Op<K, V>>) {
        match op {
            Some(op) => self.staged.push(op),
            None => self.cut(),
        }
    }

    /// Records no more of the staged batch: no older version can be brought up to it.
    pub(super) fn cut(&mut self) {
        self.cut = true;
        self.doom_staged();
    }

    /// Forgets the staged batch.
    pub(super) fn discard(&mut self) {
        self.cut = false;
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

    /// Leaves the history of a version that is no longer needed to [`tidy`](Self::tidy).
    pub(super) fn doom_history(&mut self, history: History<K, V>) {
        history.into_lists().for_each(|link| self.doom(Ops::Shared(link)));
    }

    /// The staged batch made `version` of `len` entries. Returns the oldest version that the log leads on
    /// from, and the history of `version`: none, unless there is a history `before` to go on with.
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

    /// Forgets the batches that lead to `oldest` and before; all of them, if there is no older version to
    /// lead on from.
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

    /// Drops up to `budget` operations, and links of histories, that are no longer needed: user code. What a panic leaves is dropped by
    /// the next call.
    ///
    /// Keeps the buffers, unless they are large, or not only ours, or enough are kept.
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

    /// If no one else has the link, its operations, and the links before it, are next.
    fn doom_link(&mut self, link: StdArc<Link<K, V>>) {
        let Some(mut link) = StdArc::into_inner(link) else { return };
        let (ops, previous) = link.take();
        if let Some(previous) = previous {
            self.doom(Ops::Shared(previous));
        }
        self.doom(Ops::Own(ops));
    }

    /// Drops what no one will ask for, and the buffers.
    pub(super) fn shrink(&mut self) {
        self.spare = Vec::new();
        self.batches.shrink_to_fit();
    }
}

/// Drops up to `budget` operations, the last ones first; `true` when none is left. Those that have no destructor
/// cost nothing.
fn truncate<K, V>(ops: &mut Vec<Op<K, V>>, budget: &mut usize) -> bool {
    let dropped = if mem::needs_drop::<Op<K, V>>() { ops.len().min(*budget) } else { ops.len() };
    *budget = budget.saturating_sub(dropped);
    ops.truncate(ops.len() - dropped);
    ops.is_empty()
}

impl<K: Hash + Eq + Clone, V: Clone> Log<K, V> {
    /// Applies the staged batch to the state before it; `false` when the batch was not recorded.
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

    /// Brings `state` from `version` to the newest one. If user code panics, `state` is of no version, and
    /// the log is as if it had not.
    ///
    /// `keep` is the oldest version that the log will have to lead on from after this.
    pub(super) fn replay<I, S>(
        &mut self,
        version: Version,
        state: &mut State<K, V, I, S>,
        keep: Option<Version>,
    ) where
        I: Index<K, V>,
        S: BuildHasher,
    {
        // First: what is used up is not in the log any more, however far the repeating comes.
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

/// Reads the entries that are about to be changed: one after the other does not wait for the one before, so
/// that the misses of many overlap, which those of the changes themselves do not.
fn look_ahead<K, V, I, S>(state: &State<K, V, I, S>, ops: &[Op<K, V>])
where
    K: Hash + Eq,
{
    if state.map.len() >= LARGE {
        let found = ops.iter().filter(|op| state.map.get(op.hash, &op.key).is_some()).count();
        std::hint::black_box(found);
    }
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

/// [`repeat`], for the last time: uses the operations up.
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

/// [`apply`], for the last time: what is not needed any more stays in the log, to be dropped with it.
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
