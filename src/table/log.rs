//! What the last batches did, so that it can be done again to an older version. Pure.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use super::Version;
use super::history::{History, Limits, Link};
use super::index::Index;
use super::state::State;
use crate::sync::StdArc;

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

/// One operation: the key, its hash, and what it maps to afterwards.
pub(super) struct Op<K, V> {
    pub(super) hash: u64,
    pub(super) key: K,
    pub(super) value: Option<V>,
}

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
    staged: Vec<Op<K, V>>,
    /// How many of these have been done; the one after them has only been announced.
    done: usize,
    /// The staged batch is not recorded (any more): it has grown too long, or has cleared the table.
    cut: bool,
    /// Empty buffers, to be filled again.
    spare: Vec<Vec<Op<K, V>>>,
    /// Whether older versions are to be brought up to date. If not, the log is for the history only.
    recycles: bool,
    /// What is kept for subscribers, while there are any.
    limits: Limits,
    /// Somebody subscribed before this batch began.
    is_followed: bool,
}

impl<K, V> Log<K, V> {
    pub(super) fn new(recycles: bool, limits: Limits) -> Self {
        Self {
            batches: VecDeque::new(),
            kept: 0,
            staged: Vec::new(),
            done: 0,
            cut: false,
            spare: Vec::new(),
            recycles,
            limits,
            is_followed: false,
        }
    }

    /// A batch begins, which the history is to have or not.
    pub(super) fn begin(&mut self, is_followed: bool) {
        self.is_followed = is_followed;
    }

    /// The operations to keep for a table of `len` entries.
    fn limit(&self, len: usize) -> usize {
        let followed = if self.is_followed { self.limits.operations } else { 0 };
        KEPT_MIN.max(len / ENTRIES_PER_KEPT).max(followed)
    }

    /// Whether operations of the staged batch are recorded.
    pub(super) fn is_recording(&self) -> bool {
        !self.cut
    }

    /// Writes down an operation of the staged batch, on a table of `len` entries, that is about to be done:
    /// [`confirm`](Self::confirm) makes it count. One that panicked in between is struck out by the next.
    #[inline]
    pub(super) fn announce(&mut self, len: usize, hash: u64, key: K, value: Option<V>) {
        self.strike_out();
        if self.staged.len() >= self.limit(len) {
            self.cut();
        }
        if !self.cut {
            self.staged.push(Op { hash, key, value });
        }
    }

    /// The operation that was announced has been done.
    #[inline]
    pub(super) fn confirm(&mut self) {
        self.done = self.staged.len();
    }

    /// Strikes out what was announced and not done.
    #[inline]
    pub(super) fn strike_out(&mut self) {
        if self.done < self.staged.len() {
            self.staged.truncate(self.done);
        }
    }

    /// Records no more of the staged batch: no older version can be brought up to it.
    pub(super) fn cut(&mut self) {
        self.cut = true;
        self.done = 0;
        self.staged = Vec::new();
    }

    /// Forgets the staged batch.
    pub(super) fn discard(&mut self) {
        self.done = 0;
        self.cut = false;
        self.staged.clear();
    }

    /// The staged batch made `version` of `len` entries. Returns the oldest version that the log leads on
    /// from, and the history of `version`: none, unless there is a history `before` to go on with.
    pub(super) fn seal(
        &mut self,
        version: Version,
        len: usize,
        before: Option<History<K, V>>,
    ) -> (Version, History<K, V>) {
        if self.cut {
            self.cut = false;
            self.batches.clear();
            self.kept = 0;
            return (version, History::default());
        }
        self.strike_out();
        self.done = 0;
        let expected = if before.is_some() { self.staged.len() } else { 0 };
        let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(expected));
        let ops = std::mem::replace(&mut self.staged, next);
        let len_of_batch = ops.len();
        let mut history = before;
        let ops = match &mut history {
            Some(history) => history.push(self.limits, version, ops).map_or_else(Ops::Own, Ops::Shared),
            None => Ops::Own(ops),
        };
        let history = history.unwrap_or_default();
        if !self.recycles {
            self.reuse(ops);
            return (version, history);
        }
        self.kept += len_of_batch;
        self.batches.push_back(Batch { version, len: len_of_batch, ops });
        while self.kept > self.limit(len) && self.forget_oldest() {}
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
        let Some(Batch { len, ops, .. }) = self.batches.pop_front() else { return false };
        self.kept -= len;
        self.reuse(ops);
        true
    }

    /// Keeps the buffer, unless it is a large one, or not only ours, or enough are kept.
    fn reuse(&mut self, ops: Ops<K, V>) {
        let Ops::Own(mut ops) = ops else { return };
        ops.clear();
        if ops.capacity() <= KEPT_MIN && self.spare.len() < SPARE_MAX {
            self.spare.push(ops);
        }
    }

    /// Drops what no one will ask for, and the buffers.
    pub(super) fn shrink(&mut self) {
        self.spare = Vec::new();
        self.batches.shrink_to_fit();
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Log<K, V> {
    /// Applies the staged batch to the state before it; `false` when the batch was not recorded.
    pub(super) fn replay_staged<I, S>(&self, state: &mut State<K, V, I, S>) -> bool
    where
        I: Index<K, V>,
        S: BuildHasher,
    {
        if self.is_recording() {
            for Op { hash, key, value } in &self.staged[..self.done] {
                apply(state, *hash, key.clone(), value.clone());
            }
        }
        self.is_recording()
    }

    /// Brings `state` from `version` to the newest one.
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
        let newer = self.batches.partition_point(|batch| batch.version <= version);
        for batch in self.batches.range_mut(newer..) {
            state.map.set_stamp(batch.version.as_u64());
            let is_kept = keep.is_some_and(|keep| keep < batch.version);
            match &mut batch.ops {
                Ops::Own(ops) if !is_kept => {
                    for ops in ops.chunks_mut(AHEAD) {
                        look_ahead(state, ops);
                        ops.iter_mut().for_each(|op| apply_for_good(state, op));
                    }
                }
                ops => {
                    for ops in ops.as_slice().chunks(AHEAD) {
                        look_ahead(state, ops);
                        for Op { hash, key, value } in ops {
                            apply(state, *hash, key.clone(), value.clone());
                        }
                    }
                }
            }
        }
        self.trim(keep);
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
