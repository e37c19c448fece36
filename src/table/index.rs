//! Secondary indexes: kept by the writer, published in the same version as the entries.

mod chunks;
mod group_set;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::borrow::Borrow;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::marker::PhantomData;

pub(crate) use group_set::GroupSet;

/// State derived from the entries of a table, maintained by its writer and published with them.
///
/// The writer tells the index of every change of an entry, in order, before the version that contains the
/// change is published; readers find the index of a version in its snapshot.
///
/// A version is a clone, so cloning must be cheap: O(1) with persistent data structures, as [`GroupIndex`]
/// does. The writer may also apply a change twice, to the two versions it alternates between: the index must
/// depend on nothing but the keys and values it is given, except for what it copies in
/// [`refresh`](Self::refresh).
///
/// A method that panics may leave the index half changed: the writer then makes another one, from the one
/// that was published last or from the one that the table was built with, which must be that of no entries.
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
    /// `key` was absent and now has `value`.
    fn insert(&mut self, key: &K, value: &V);

    /// The value of `key` was `old` and is now `new`. By default [`remove`](Self::remove) and
    /// [`insert`](Self::insert).
    fn update(&mut self, key: &K, old: &V, new: &V) {
        self.remove(key, old);
        self.insert(key, new);
    }

    /// `key` had the value `old` and is now absent.
    fn remove(&mut self, key: &K, old: &V);

    /// This index was brought up to `newest` by repeating the changes: it belongs to a retired version that
    /// is to be used again, or `newest` is half changed, because one of the methods above has panicked, and
    /// is to be replaced. For state that is not derived from keys and values: copy it here. By default
    /// nothing.
    fn refresh(&mut self, newest: &Self) {
        let _ = newest;
    }

    /// Takes this index apart in steps: it is that of a version that is not needed any more.
    ///
    /// A publish drops old versions, and must not take long for it. So it calls this with a `budget`, which
    /// the index lowers by one for each *part* that it drops: what can be dropped in a few microseconds, and
    /// only what no clone of this index shares. Returns `false` when the budget is used up and something is
    /// left, for the next publish; and `true` when the rest is quickly dropped, which is then done. Nothing
    /// else is called in between.
    ///
    /// By default `true`: the index is dropped in one step.
    fn dismantle(&mut self, budget: &mut usize) -> bool {
        let _ = budget;
        true
    }

    /// Returns how many parts, at most, the changes since the last call have copied, so that an older version
    /// is alone with the originals: publishes drop parts as fast as they are made. Starts again at zero.
    ///
    /// To be implemented together with [`dismantle`](Self::dismantle). By default zero, which is right for an
    /// index that is dropped in one step. Each entry that a batch changes pays for three parts anyway.
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
/// group passed twice counts once. It must give the same groups for the same entry whenever it is called.
///
/// A clone is O(1) and shares everything. A change touches only the groups that an entry enters or leaves, in
/// O(1) amortized per group, and copies at most a chunk of 128 keys and one page of positions of what a clone
/// still shares. An update calls the function once for each value and once more for each group of either. Old
/// versions are [dismantled](Index::dismantle) by chunks and pages.
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
/// Where the type must be named, use a function pointer, which is the default of the last parameter:
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
    // Takes values and holds none.
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
    /// An empty index that groups by `groups_of`.
    #[must_use]
    pub fn new(groups_of: F) -> Self {
        Self { set: GroupSet::new(), groups_of, values: PhantomData }
    }
}

impl<K, V, G, F> GroupIndex<K, V, G, F> {
    /// The groups that have keys, with their numbers of keys, in an arbitrary order. Does not allocate.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&G, usize)> {
        self.set.groups()
    }
}

impl<K, V, G, F> GroupIndex<K, V, G, F>
where
    G: Hash + Eq,
{
    /// How many keys the group has. O(1).
    #[must_use]
    pub fn count<Q>(&self, group: &Q) -> usize
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.set.count(group)
    }

    /// The keys of the group, each once, in an arbitrary order. Does not allocate.
    pub fn keys<Q>(&self, group: &Q) -> impl ExactSizeIterator<Item = &K> + use<'_, K, V, G, F, Q>
    where
        G: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.set.keys(group)
    }

    /// The keys of the group as slices, none of them empty: the fastest way to go through all of them.
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
        groups_of(key, old, &mut |group| {
            let mut stays = false;
            groups_of(key, new, &mut |other| stays |= other == group);
            if !stays {
                set.remove(&group, key);
            }
        });
        self.insert(key, new);
    }

    fn remove(&mut self, key: &K, old: &V) {
        let set = &mut self.set;
        (self.groups_of)(key, old, &mut |group| {
            set.remove(&group, key);
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
    /// The groups with their counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.groups()).finish()
    }
}
