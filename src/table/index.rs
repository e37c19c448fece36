//! Secondary indexes: maintained by the writer, published in the same version as the entries.

mod chunks;
mod group_set;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::marker::PhantomData;

pub(crate) use group_set::GroupSet;

use super::hash::DefaultHashBuilder;

/// Number of groups up to which those that stay are found by comparing each with each.
const FEW: usize = 16;

/// State derived from the entries of a table, maintained by its writer and published with them.
///
/// The writer reports every change of an entry to the index, in order, before it publishes the version that
/// contains the change; readers find the index of a version in its snapshot.
///
/// Each version has a clone of the index, so cloning must be cheap: O(1) with persistent data structures, as
/// in [`GroupIndex`]. The writer may also apply a change twice, to the two versions that it alternates
/// between: the index must depend only on the keys and values that it is given, except for what it copies in
/// [`refresh`](Self::refresh).
///
/// A method that panics may leave the index half changed: the writer then makes another one, from the one
/// published last or from the one that the table was built with, which must be empty.
///
/// `()` is the index of a table without one; a tuple of up to four indexes is an index.
///
/// # Examples
///
/// The sum of all values:
///
/// ```
/// use switchboard::table::Index;
///
/// #[derive(Clone, Default)]
/// struct Sum(u64);
///
/// impl<K> Index<K, u64> for Sum {
///     fn insert(&mut self, _: &K, value: &u64) {
///         self.0 += value;
///     }
///
///     fn remove(&mut self, _: &K, old: &u64) {
///         self.0 -= old;
///     }
/// }
///
/// let mut sum = Sum::default();
/// sum.insert(&"a", &3);
/// sum.update(&"a", &3, &5);
/// assert_eq!(sum.0, 5);
/// ```
pub trait Index<K, V>: Clone + Send + Sync + 'static {
    /// Called when `key` was absent and now has `value`.
    fn insert(&mut self, key: &K, value: &V);

    /// Called when the value of `key` was `old` and is now `new`. The default implementation calls
    /// [`remove`](Self::remove) and [`insert`](Self::insert).
    fn update(&mut self, key: &K, old: &V, new: &V) {
        self.remove(key, old);
        self.insert(key, new);
    }

    /// Called when `key` had the value `old` and is now absent.
    fn remove(&mut self, key: &K, old: &V);

    /// Reads what a change of this entry is going to read, and changes nothing. The default implementation does
    /// nothing.
    ///
    /// A table that is larger than the caches of the processor calls it for a number of entries before it changes the
    /// first of them, so that their waits for memory overlap. It may be called for entries that are not changed then.
    fn look_ahead(&self, key: &K, value: &V) {
        let _ = (key, value);
    }

    /// Copies state that is not derived from keys and values from `newest`. The default implementation does
    /// nothing.
    ///
    /// This index has caught up with `newest` by replaying the changes. Either it belongs to a retired
    /// version that will be reused, or it replaces `newest`, which is half changed because one of the methods
    /// above has panicked.
    fn refresh(&mut self, newest: &Self) {
        let _ = newest;
    }

    /// Drops the index of a version that is no longer needed, in steps.
    ///
    /// A publish drops old versions, and must stay short. It therefore calls this with a `budget`, which the
    /// index decrements for each *part* that it drops: something that is dropped in a few microseconds and
    /// that no clone of this index shares. Returns `false` when the budget is used up and something is left,
    /// for the next publish; returns `true` when dropping the rest is quick, and the index is then dropped.
    /// No other method is called in between.
    ///
    /// The default implementation returns `true`: the index is dropped in one step.
    fn dismantle(&mut self, budget: &mut usize) -> bool {
        let _ = budget;
        true
    }

    /// Returns an upper bound of the number of parts copied by the changes since the last call, and resets it
    /// to zero. The originals of copied parts are left to older versions, and publishes drop parts as fast as
    /// they are made.
    ///
    /// Implement this together with [`dismantle`](Self::dismantle). The default implementation returns zero,
    /// which is right for an index that is dropped in one step. Each entry that a batch changes pays for
    /// three parts in any case.
    fn take_copied(&mut self) -> usize {
        0
    }
}

impl<K, V> Index<K, V> for () {
    fn insert(&mut self, _: &K, _: &V) {}

    fn update(&mut self, _: &K, _: &V, _: &V) {}

    fn remove(&mut self, _: &K, _: &V) {}
}

macro_rules! tuple_index {
    ($($name:ident . $field:tt),+) => {
        impl<K, V, $($name: Index<K, V>),+> Index<K, V> for ($($name,)+) {
            fn insert(&mut self, key: &K, value: &V) {
                $(self.$field.insert(key, value);)+
            }

            fn update(&mut self, key: &K, old: &V, new: &V) {
                $(self.$field.update(key, old, new);)+
            }

            fn remove(&mut self, key: &K, old: &V) {
                $(self.$field.remove(key, old);)+
            }

            fn look_ahead(&self, key: &K, value: &V) {
                $(self.$field.look_ahead(key, value);)+
            }

            fn refresh(&mut self, newest: &Self) {
                $(self.$field.refresh(&newest.$field);)+
            }

            fn dismantle(&mut self, budget: &mut usize) -> bool {
                true $(&& Index::<K, V>::dismantle(&mut self.$field, budget))+
            }

            fn take_copied(&mut self) -> usize {
                0_usize $(.saturating_add(Index::<K, V>::take_copied(&mut self.$field)))+
            }
        }
    };
}

tuple_index!(A.0, B.1);
tuple_index!(A.0, B.1, C.2);
tuple_index!(A.0, B.1, C.2, D.3);

/// Groups keys by any function of the entry, with O(1) counts and contiguous listing.
///
/// The function passes each group of an entry to its third argument: none, one or several, in any order; a
/// group passed twice counts once. It must always give the same groups for the same entry.
///
/// A clone is O(1) and shares everything. A change touches only the groups that an entry enters or leaves, in
/// O(1) amortized per group, and copies at most a chunk of 128 keys and one page of positions that a clone
/// still shares. An update calls the function once for each value and once more for each group of the old
/// one. Old versions are [dismantled](Index::dismantle) by chunks and pages.
///
/// # Examples
///
/// ```
/// use switchboard::table::{GroupIndex, Index};
///
/// struct Peer {
///     nets: Vec<u16>,
/// }
///
/// let mut by_net = GroupIndex::new(|_: &u64, peer: &Peer, group: &mut dyn FnMut(u16)| {
///     peer.nets.iter().copied().for_each(group);
/// });
/// by_net.insert(&1, &Peer { nets: vec![10, 20] });
/// by_net.insert(&2, &Peer { nets: vec![20] });
///
/// assert_eq!(by_net.count(&20), 2);
/// assert_eq!(by_net.keys(&10).collect::<Vec<_>>(), [&1]);
/// assert!(by_net.contains(&20, &2));
/// ```
///
/// To name the type, use a function pointer, which is the default of the last parameter. A function, or a
/// closure that captures nothing, becomes one:
///
/// ```
/// use switchboard::table::{GroupIndex, Index};
///
/// fn parity(_: &u64, value: &u32, group: &mut dyn FnMut(bool)) {
///     group(value % 2 == 0);
/// }
///
/// struct Indexes {
///     by_parity: GroupIndex<u64, u32, bool>,
/// }
///
/// let mut indexes = Indexes { by_parity: GroupIndex::new(parity) };
/// indexes.by_parity.insert(&1, &4);
/// assert_eq!(indexes.by_parity.count(&true), 1);
/// ```
pub struct GroupIndex<K, V, G, F = fn(&K, &V, &mut dyn FnMut(G))> {
    set: GroupSet<G, K>,
    groups_of: F,
    // Accepts values and holds none.
    values: PhantomData<fn(&V)>,
}

impl<K, V, G, F: Clone> Clone for GroupIndex<K, V, G, F> {
    fn clone(&self) -> Self {
        Self { set: self.set.clone(), groups_of: self.groups_of.clone(), values: PhantomData }
    }
}

impl<K, V, G, F> GroupIndex<K, V, G, F>
where
    F: Fn(&K, &V, &mut dyn FnMut(G)),
{
    /// Creates an empty index that groups by `groups_of`.
    #[must_use]
    pub fn new(groups_of: F) -> Self {
        Self { set: GroupSet::new(), groups_of, values: PhantomData }
    }
}

impl<K, V, G, F> GroupIndex<K, V, G, F> {
    /// Iterates over the groups that have keys, with their numbers of keys, in an arbitrary order. Does not
    /// allocate.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&G, usize)> {
        self.set.groups()
    }
}

impl<K, V, G, F> GroupIndex<K, V, G, F>
where
    G: Hash + Eq,
{
    /// Returns the number of keys in the group. O(1).
    #[must_use]
    pub fn count<Q>(&self, group: &Q) -> usize
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.set.count(group)
    }

    /// Iterates over the keys of the group, each once, in an arbitrary order. Does not allocate.
    pub fn keys<Q>(&self, group: &Q) -> impl ExactSizeIterator<Item = &K> + use<'_, K, V, G, F, Q>
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.set.keys(group)
    }

    /// Returns the keys of the group as slices, none of them empty: the fastest way to iterate over all of
    /// them.
    pub fn chunks<Q>(&self, group: &Q) -> impl Iterator<Item = &[K]> + use<'_, K, V, G, F, Q>
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.set.chunks(group)
    }

    /// Whether the key is in the group. O(1).
    #[must_use]
    pub fn contains<Q>(&self, group: &Q, key: &K) -> bool
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        K: Hash + Eq,
    {
        self.set.contains(group, key)
    }
}

impl<K, V, G, F> Index<K, V> for GroupIndex<K, V, G, F>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: 'static,
    G: Hash + Eq + Clone + Send + Sync + 'static,
    F: Fn(&K, &V, &mut dyn FnMut(G)) + Clone + Send + Sync + 'static,
{
    fn insert(&mut self, key: &K, value: &V) {
        let set = &mut self.set;
        (self.groups_of)(key, value, &mut |group| {
            set.insert(group, key);
        });
    }

    fn update(&mut self, key: &K, old: &V, new: &V) {
        let Self { set, groups_of, .. } = self;
        let mut number = 0_usize;
        groups_of(key, new, &mut |_| number += 1);
        if number <= FEW {
            groups_of(key, old, &mut |group| {
                let mut stays = false;
                groups_of(key, new, &mut |other| stays |= other == group);
                if !stays {
                    set.remove(&group, key);
                }
            });
        } else {
            let mut kept = HashSet::with_capacity_and_hasher(number, DefaultHashBuilder::default());
            groups_of(key, new, &mut |group| {
                kept.insert(group);
            });
            groups_of(key, old, &mut |group| {
                if !kept.contains(&group) {
                    set.remove(&group, key);
                }
            });
        }
        self.insert(key, new);
    }

    fn remove(&mut self, key: &K, old: &V) {
        let set = &mut self.set;
        (self.groups_of)(key, old, &mut |group| {
            set.remove(&group, key);
        });
    }

    fn look_ahead(&self, key: &K, value: &V) {
        (self.groups_of)(key, value, &mut |group| {
            std::hint::black_box(self.set.contains(&group, key));
        });
    }

    fn dismantle(&mut self, budget: &mut usize) -> bool {
        self.set.dismantle(budget)
    }

    fn take_copied(&mut self) -> usize {
        self.set.take_copied()
    }
}

impl<K, V, G: Debug, F> Debug for GroupIndex<K, V, G, F> {
    /// Formats the groups with their counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.groups()).finish()
    }
}
