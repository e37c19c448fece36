//! Savepoints: taking back the last part of a staged batch.

use std::hash::{BuildHasher, Hash};
use std::panic::AssertUnwindSafe;

use super::Writer;
use crate::table::index::Index;
use crate::table::log::Log;
use crate::table::state::State;
use crate::unwind::{contain, discard};

/// A point in a staged batch that [`Writer::roll_back`] returns to.
///
/// A batch that is recorded is taken back by replaying its first operations on the published version, so a
/// savepoint in it is a number, and costs nothing until it is needed. Otherwise the savepoint is a copy of
/// the staged state: O(1), but each page that is changed after it is copied first.
#[must_use = "a savepoint is rolled back or released"]
pub(crate) enum Savepoint<K, V, I, S> {
    /// Nothing was staged.
    Published,
    /// Number of recorded operations that were staged.
    Recorded(usize),
    /// The staged state.
    Copied(State<K, V, I, S>),
}

impl<K, V, I, S> Writer<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Sets a savepoint: the present point of the staged batch. It must be [rolled back](Self::roll_back) to or
    /// [released](Self::release) before the next savepoint, publish or discard. Changes of the index that no
    /// entry explains ([`index_mut`](Self::index_mut)) must not be staged before or after it.
    pub(crate) fn savepoint(&mut self) -> Savepoint<K, V, I, S> {
        if !self.dirty {
            return Savepoint::Published;
        }
        if let Some(staged) = self.log.as_mut().and_then(Log::protect) {
            return Savepoint::Recorded(staged);
        }
        // Rebuilds a torn index, which must not be copied.
        self.open();
        match &self.staged {
            Some(staged) => Savepoint::Copied(staged.clone()),
            None => unreachable!("`open` makes a staged state"),
        }
    }

    /// Keeps what was staged since the savepoint.
    pub(crate) fn release(&mut self, savepoint: Savepoint<K, V, I, S>) {
        match savepoint {
            Savepoint::Published => {}
            Savepoint::Recorded(_) => {
                if let Some(log) = &mut self.log {
                    log.unprotect();
                }
            }
            // Dropped in steps: it may be the last owner of what was removed since.
            Savepoint::Copied(state) => _ = self.publisher.discard(state),
        }
    }

    /// Takes back what was staged since the savepoint. Does not panic, and drops nothing:
    /// [`tidy_undone`](Self::tidy_undone) does.
    ///
    /// Returns `false` if user code panicked in the replay. The whole batch is discarded then.
    ///
    /// O(operations staged before the savepoint), or O(1) with a copy.
    pub(crate) fn roll_back(&mut self, savepoint: Savepoint<K, V, I, S>) -> bool {
        let before = match savepoint {
            Savepoint::Published => None,
            Savepoint::Copied(state) => Some(Some(state)),
            // Unwind safety: the incomplete state is unneeded, and nothing else was changed.
            Savepoint::Recorded(staged) => Some(contain(AssertUnwindSafe(|| self.replayed(staged)))),
        };
        let Some(Some(before)) = before else {
            self.unstage().into_iter().for_each(discard);
            return before.is_none();
        };
        if let Some(log) = &mut self.log {
            log.roll_back();
        }
        if let Some(staged) = self.staged.replace(before) {
            self.discard_state(staged).into_iter().for_each(discard);
        }
        true
    }

    /// Drops a share of what was taken back, and of older versions, as a publish does. What a panic leaves is
    /// dropped by the next call.
    pub(crate) fn tidy_undone(&mut self) {
        self.tidy();
    }

    /// Returns the published state with the first `staged` operations of the batch.
    fn replayed(&mut self, staged: usize) -> State<K, V, I, S> {
        let mut state = self.published.state().clone();
        state.map.set_stamp(self.version().next().as_u64());
        state.index.take_copied();
        // Discarded until it is complete: if user code panics before that, it is dropped like all unneeded
        // states.
        let state = self.publisher.discard(state);
        // The pages that the replay copies are dropped with those that the operations have copied.
        self.ops = self.ops.saturating_add(staged);
        if let Some(log) = &self.log {
            log.replay_first(staged, state);
        }
        match self.publisher.take_back() {
            Some(state) => state,
            None => unreachable!("it was discarded just now"),
        }
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;
    use crate::Table;
    use crate::table::hash::DefaultHashBuilder;
    use crate::table::{Change, FeedEvent, GroupIndex};

    type Parity = GroupIndex<u64, u64, u64>;
    type Subject = Writer<u64, u64, Parity, DefaultHashBuilder>;

    fn parity(key: &u64, value: &u64, group: &mut dyn FnMut(u64)) {
        group((key + value) % 2);
    }

    fn check(writer: &Subject, expected: &BTreeMap<u64, u64>) {
        let actual: BTreeMap<u64, u64> = writer.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!(&actual, expected);
        for group in 0..2 {
            let members = expected.iter().filter(|(key, value)| (**key + **value) % 2 == group).count();
            assert_eq!(writer.index().count(&group), members, "group {group}");
        }
    }

    /// Random batches with random savepoints, some of them rolled back, on recycled and other tables, with
    /// and without a feed, with short and long records.
    #[test]
    fn a_rollback_restores_entries_and_index_and_what_follows_is_published() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let index: Parity = GroupIndex::new(parity as fn(&_, &_, &mut dyn FnMut(_)));
            let builder = Table::<u64, u64>::builder().index(index).recycle(seed % 2 == 0);
            let builder = builder.history(4, if seed % 3 == 0 { 4096 } else { 8 });
            let (mut writer, table) = builder.build_with((0..200).map(|key| (key, key)));
            let mut feed = (seed % 5 == 0).then(|| table.subscribe());
            let mut model: BTreeMap<u64, u64> = (0..200).map(|key| (key, key)).collect();
            for _ in 0..30 {
                for _ in 0..random.usize(0..4) {
                    let before = model.clone();
                    let savepoint = writer.savepoint();
                    change(&mut writer, &mut model, &mut random);
                    check(&writer, &model);
                    if random.bool() {
                        assert!(writer.roll_back(savepoint));
                        model = before;
                    } else {
                        writer.release(savepoint);
                    }
                    check(&writer, &model);
                }
                let before: BTreeMap<u64, u64> = table.snapshot().iter().map(|(k, v)| (*k, *v)).collect();
                let old = table.snapshot();
                writer.publish();
                check(&writer, &model);
                let snapshot = table.snapshot();
                assert_eq!(replay(before, snapshot.diff(&old)), model);
                drop(old);
                assert_eq!(snapshot.len(), model.len());
                assert!(snapshot.iter().all(|(key, value)| model.get(key) == Some(value)));
                if let Some(feed) = &mut feed {
                    while feed.try_next().is_some() {}
                    assert_eq!(feed.snapshot().len(), model.len());
                }
            }
            writer.reclaim();
            check(&writer, &model);
        }
    }

    /// A batch that was too long to be recorded, and is taken back, leaves the record of what was before it: the
    /// batch is delivered to a feed.
    #[test]
    fn a_rollback_keeps_the_record_of_what_was_before() {
        let (mut writer, table) = Table::<u64, u64>::builder().history(8, 2000).build();
        let mut feed = table.subscribe();
        writer.insert(1, 1);
        let savepoint = writer.savepoint();
        (0..5000).for_each(|key| _ = writer.insert(key, 0));
        assert!(writer.roll_back(savepoint));
        writer.insert(2, 2);
        writer.publish();
        let Some(FeedEvent::Changes(set)) = feed.try_next() else { unreachable!("the batch was recorded") };
        assert_eq!((set.len(), writer.len()), (2, 2));
    }

    /// The record of a batch that is cut after a savepoint does not reach the batches after it.
    #[test]
    fn a_batch_that_is_cut_leaves_no_record() {
        let (mut writer, _table) = Table::<u64, u64>::new();
        writer.insert(1, 1);
        let savepoint = writer.savepoint();
        writer.clear();
        writer.release(savepoint);
        writer.publish();
        for key in 2..8 {
            writer.insert(key, key);
            assert_eq!((writer.get(&1), writer.len()), (None, key as usize - 1));
            writer.publish();
        }
    }

    fn replay<'a>(
        mut before: BTreeMap<u64, u64>,
        changes: impl Iterator<Item = Change<'a, u64, u64>>,
    ) -> BTreeMap<u64, u64> {
        for change in changes {
            match change {
                Change::Inserted { key, new } | Change::Updated { key, new, .. } => before.insert(*key, *new),
                Change::Removed { key, .. } => before.remove(key),
            };
        }
        before
    }

    fn change(writer: &mut Subject, model: &mut BTreeMap<u64, u64>, random: &mut fastrand::Rng) {
        if random.u8(..) < 8 {
            writer.clear();
            model.clear();
        }
        let many = if random.u8(..) < 4 { 5000 } else { 12 };
        for _ in 0..random.usize(0..many) {
            let (key, value) = (random.u64(0..300), random.u64(..));
            if random.bool() {
                assert_eq!(writer.insert(key, value), model.insert(key, value));
            } else {
                assert_eq!(writer.remove(&key), model.remove(&key));
            }
        }
    }
}
