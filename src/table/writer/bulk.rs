//! Bulk changes, and updates in the style of the entry API.

use std::hash::{BuildHasher, Hash};
use std::panic::AssertUnwindSafe;

use super::Writer;
use crate::table::handle::Table;
use crate::table::index::Index;
use crate::table::page_map::TOGETHER;
use crate::table::state::LARGE;
use crate::unwind;

impl<K, V, I, S> Writer<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Stages for `key` the value that `value` computes from the existing one, if any. Returns the replaced
    /// value.
    ///
    /// Nothing changes if `value` panics. O(1); two lookups, one hash.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, _) = switchboard::Table::<&str, u32>::new();
    /// for word in ["a", "b", "a"] {
    ///     writer.upsert(word, |count| count.map_or(1, |count| count + 1));
    /// }
    /// assert_eq!((writer.get("a"), writer.get("b")), (Some(&2), Some(&1)));
    /// ```
    pub fn upsert(&mut self, key: K, value: impl FnOnce(Option<&V>) -> V) -> Option<V> {
        let view = self.view();
        let hash = view.hash(&key);
        let value = value(view.map.get(hash, &key));
        self.insert_hashed(hash, key, value)
    }

    /// Stages for `key` the value that `value` returns, if there is no entry yet. Returns whether there was
    /// none.
    ///
    /// An existing entry is unchanged, and nothing is staged. Nothing changes if `value` panics. O(1); two
    /// lookups, one hash.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, _) = switchboard::Table::<u64, String>::new();
    /// assert!(writer.insert_if_absent(7, || String::from("seven")));
    /// writer.publish();
    /// assert!(!writer.insert_if_absent(7, || unreachable!("7 is present")));
    /// assert!(!writer.has_staged());
    /// ```
    pub fn insert_if_absent(&mut self, key: K, value: impl FnOnce() -> V) -> bool {
        let view = self.view();
        let hash = view.hash(&key);
        let is_absent = view.map.get(hash, &key).is_none();
        if is_absent {
            self.insert_hashed(hash, key, value());
        }
        is_absent
    }

    /// Stages the removal of all entries for which `keep` returns `false`. Returns the number of removed
    /// entries.
    ///
    /// `keep` is called for every entry before the first one is removed: if it panics, nothing has changed.
    /// Until the removals are done, the keys of these entries exist twice. If other user code panics, the
    /// entries removed by then stay removed.
    ///
    /// O(len) to visit all entries; changes, and copies if shared, only the pages of the removed ones.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, _) = switchboard::Table::<u64, u64>::new();
    /// writer.extend((0..10).map(|key| (key, key * key)));
    /// assert_eq!(writer.retain(|_, value| value % 2 == 0), 5);
    /// assert_eq!(writer.len(), 5);
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) -> usize {
        let view = self.view();
        let unwanted = view.map.iter().filter(|(key, value)| !keep(key, value));
        let unwanted: Vec<_> = unwanted.map(|(key, _)| (view.hash(key), key.clone())).collect();
        for (hash, key) in &unwanted {
            self.remove_hashed(*hash, key);
        }
        unwanted.len()
    }

    /// Stages the removal of all entries. O(1): the entries that only this version has are dropped in the
    /// publishes that follow, a few pages at a time.
    ///
    /// The index becomes the one that the table was built with, and [`Index::refresh`] carries over what is
    /// not derived from entries. An empty table is not changed.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, table) = switchboard::Table::<u64, u64>::new();
    /// writer.extend([(1, 1), (2, 2)]);
    /// writer.publish();
    /// writer.clear();
    /// writer.insert(3, 3);
    /// assert_eq!(table.snapshot().len(), 2, "the removal is only staged");
    /// writer.publish();
    /// assert_eq!(table.snapshot().len(), 1);
    /// ```
    pub fn clear(&mut self) {
        let view = self.view();
        if view.map.is_empty() {
            return;
        }
        let mut index = self.blank.clone();
        index.refresh(&view.index);
        let mut cleared = view.cleared(index);
        cleared.map.set_stamp(self.version().next().as_u64());
        self.count_copied();
        // From here on only destructors can panic, and they run last.
        self.dirty = true;
        if let Some(full) = self.staged.replace(cleared) {
            self.publisher.discard(full);
        }
        if let Some(log) = &mut self.log {
            // Dropping older versions is better than emptying them.
            log.cut();
        }
        self.tidy();
    }
}

impl<K, V, I, S> Writer<K, V, I, S> {
    /// Ends writing. Returns a handle of the table, which is closed and stays readable indefinitely.
    ///
    /// As when the writer is dropped, staged changes that have not been published are discarded.
    ///
    /// # Examples
    /// ```
    /// use switchboard::Table;
    ///
    /// let (mut writer, _) = Table::<u64, &str>::new();
    /// writer.insert(7, "seven");
    /// writer.publish();
    /// let table = writer.into_table();
    /// assert!(table.is_closed());
    /// assert_eq!(table.snapshot()[&7], "seven");
    /// ```
    #[must_use = "to end writing, drop the writer"]
    pub fn into_table(self) -> Table<K, V, I, S> {
        self.table()
    }
}

impl<K, V, I, S> Extend<(K, V)> for Writer<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// [Inserts](Self::insert) each entry. If the iterator or other user code panics, the entries before that
    /// are staged.
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        let mut entries = entries.into_iter();
        while self.take_and_insert(&mut entries) {}
    }
}

impl<K, V, I, S> Writer<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Inserts the next entries, whose places are read before the first of them is changed. Returns whether there may
    /// be more.
    fn take_and_insert(&mut self, entries: &mut impl Iterator<Item = (K, V)>) -> bool {
        let number = if self.len() < LARGE { 1 } else { TOGETHER };
        let mut taken = [const { None }; TOGETHER];
        let mut all = (self, &mut taken[..number], false);
        let take = |(writer, taken, has_more): &mut (&mut Self, &mut [Option<(K, V)>], bool)| {
            // In this order: `zip` takes no entry that has no place.
            taken.iter_mut().zip(entries).for_each(|(place, entry)| *place = Some(entry));
            *has_more = taken.iter().all(Option::is_some);
            if number > 1 {
                writer.look_ahead(taken.iter().flatten().map(|(key, _)| key));
            }
        };
        // If that panics, what the iterator has returned is inserted, and then the panic goes on.
        unwind::both(&mut all, take, |(writer, taken, _)| writer.insert_taken(taken));
        all.2
    }

    fn insert_taken(&mut self, taken: &mut [Option<(K, V)>]) {
        let insert = |(writer, taken): &mut (&mut Self, &mut [Option<(K, V)>])| {
            for (key, value) in taken.iter_mut().map_while(Option::take) {
                writer.insert(key, value);
            }
        };
        // Those that are left after a panic, one by one: a second panic in one drop would end the process.
        unwind::both(&mut (self, taken), insert, |(_, taken)| {
            for entry in taken.iter_mut() {
                // Unwind safety: nothing of it remains.
                let _ = unwind::contain(AssertUnwindSafe(|| drop(entry.take())));
            }
        });
    }

    /// Reads the entries that are about to be changed; see [`State::look_ahead`](crate::table::state::State::look_ahead).
    /// For as many keys as are changed next, a few dozen at most.
    pub(crate) fn look_ahead<'a>(&self, keys: impl Iterator<Item = &'a K>)
    where
        K: 'a,
    {
        self.view().look_ahead(keys);
    }
}
