//! The groups that a batch empties or fills: an event for each, and no other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use crate::table::DefaultHashBuilder;

/// A change of a group: it has members now, or has none any longer.
///
/// A group is a channel, or a user in a channel, whose members are that user's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The first member has joined: a channel is occupied, or a user was added to it.
    Occupied,
    /// The last member has left: a channel is vacated, or a user was removed from it.
    Vacated,
}

/// Compares the groups before a batch with those after it.
///
/// It is asked in the transaction that changes the entries, about the staged state. No other
/// operation comes between, so each change of a group is in exactly one batch, and the changes of
/// one group alternate. A group that a batch empties and fills again has not changed.
///
/// With a note for each group, such as the longest delay.
#[derive(Debug)]
pub(crate) struct Transitions<G, N = ()> {
    before: HashMap<G, Before<N>, DefaultHashBuilder>,
}

/// A group before the batch.
#[derive(Debug)]
struct Before<N> {
    /// The number of groups that were touched earlier.
    order: usize,
    was_occupied: bool,
    note: N,
}

impl<G: Hash + Eq, N: Default> Transitions<G, N> {
    /// With room for so many groups.
    pub(crate) fn with_capacity(groups: usize) -> Self {
        Self { before: HashMap::with_capacity_and_hasher(groups, DefaultHashBuilder::default()) }
    }

    /// Notes that a member of `group` is about to join or leave. Called before that change; `is_occupied` is asked once
    /// per group. Returns the note of the group.
    pub(crate) fn touch(&mut self, group: G, is_occupied: impl FnOnce(&G) -> bool) -> &mut N {
        let order = self.before.len();
        let before = match self.before.entry(group) {
            Entry::Occupied(touched) => touched.into_mut(),
            Entry::Vacant(place) => {
                let was_occupied = is_occupied(place.key());
                place.insert(Before { order, was_occupied, note: N::default() })
            }
        };
        &mut before.note
    }

    /// Returns the groups that have changed, in the order in which they were touched. Called after the last change.
    pub(crate) fn finish(self, is_occupied: impl Fn(&G) -> bool) -> Vec<(G, Change, N)> {
        let changed = self.before.into_iter().filter_map(|(group, before)| {
            let change = match (before.was_occupied, is_occupied(&group)) {
                (false, true) => Change::Occupied,
                (true, false) => Change::Vacated,
                _ => return None,
            };
            Some((before.order, (group, change, before.note)))
        });
        let mut changed: Vec<_> = changed.collect();
        changed.sort_unstable_by_key(|(order, _)| *order);
        changed.into_iter().map(|(_, changed)| changed).collect()
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;

    use super::*;
    use crate::Table;
    use crate::table::GroupIndex;

    #[test]
    fn r10_n5_n7_n11_two_members_that_leave_together_vacate_once() {
        let mut transitions = Transitions::<_>::with_capacity(0);
        transitions.touch("room", |_| true);
        transitions.touch("room", |_| panic!("asked twice"));
        transitions.touch("hall", |_| true);
        assert_eq!(transitions.finish(|group| *group == "hall"), [("room", Change::Vacated, ())]);
    }

    #[test]
    fn r10_a_group_that_is_emptied_and_filled_again_has_not_changed() {
        let mut transitions = Transitions::<_>::with_capacity(0);
        transitions.touch("room", |_| true);
        transitions.touch("room", |_| false);
        assert_eq!(transitions.finish(|_| true), []);
    }

    #[test]
    fn r10_events_keep_the_order_of_the_removals() {
        let mut transitions = Transitions::<_>::with_capacity(0);
        (0..100).for_each(|group| *transitions.touch(group, |_| true) = ());
        let groups: Vec<_> = transitions.finish(|_| false).into_iter().map(|(group, ..)| group).collect();
        assert!(groups.into_iter().eq(0..100));
    }

    type Channels = BTreeSet<u8>;

    proptest! {
        /// Batches of joins and leaves on a real table with an index: per channel the events alternate, begin with
        /// Occupied, and end as the channel does.
        #[test]
        fn r10_exactly_one_vacated_per_occupied(
            batches in prop::collection::vec(prop::collection::vec((0..6_u32, prop::collection::btree_set(0..4_u8, 0..3)), 1..6), 1..30)
        ) {
            let index = GroupIndex::new(|_: &u32, channels: &Channels, group: &mut dyn FnMut(u8)| {
                channels.iter().copied().for_each(group);
            });
            let (mut writer, _) = Table::<u32, Channels>::builder().index(index).build();
            let mut occupied = HashSet::new();
            for batch in batches {
                let mut transitions = Transitions::<_>::with_capacity(0);
                for (key, channels) in batch {
                    let old = writer.get(&key).cloned().unwrap_or_default();
                    for channel in old.iter().chain(&channels) {
                        transitions.touch(*channel, |channel| writer.index().count(channel) > 0);
                    }
                    if channels.is_empty() {
                        writer.remove(&key);
                    } else {
                        writer.insert(key, channels);
                    }
                }
                for (channel, change, ()) in transitions.finish(|channel| writer.index().count(channel) > 0) {
                    let is_new = match change {
                        Change::Occupied => occupied.insert(channel),
                        Change::Vacated => occupied.remove(&channel),
                    };
                    prop_assert!(is_new, "{change:?} twice");
                }
                writer.publish();
                let expected: HashSet<_> = writer.iter().flat_map(|(_, channels)| channels.clone()).collect();
                prop_assert_eq!(&occupied, &expected);
            }
        }
    }
}
