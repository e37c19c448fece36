//! Many entries at once, and updates in the style of an entry.

use std::hash::{BuildHasher, Hash};

use super::Writer;
use crate::table::handle::Table;
use crate::table::index::Index;

impl<K, V, I, S> Writer<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Stages for `key` what `value` makes of the value that is there. Returns what it replaces.
    ///
    /// Nothing happens when `value` panics. O(1); two lookups, one hash.
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

    /// Stages for `key` the value that `value` makes, if there is no entry yet; whether there was none.
    ///
    /// An entry that is there stays as it is, and nothing is staged. Nothing happens when `value` panics.
    /// O(1); two lookups, one hash.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, _) = switchboard::Table::<u64, String>::new();
    /// assert!(writer.insert_if_absent(7, || String::from("seven")));
    /// writer.publish();
    /// assert!(!writer.insert_if_absent(7, || unreachable!("it is there")));
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

    /// Stages the removal of all entries that `keep` does not want. Returns how many these are.
    ///
    /// `keep` is asked about every entry before the first is removed: when it panics, nothing has changed. In
    /// between, the keys of these entries are there twice. When other foreign code panics, the entries that
    /// have been removed by then stay removed.
    ///
    /// O(len) to look at all entries; changes, and copies where they are shared, only the pages of those that
    /// go.
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

    /// Stages the removal of all entries. O(1): what only this version has is dropped in the publishes that
    /// follow, a few pages at a time.
    ///
    /// The index becomes the one that the table was built with, and [`Index::refresh`] takes over what is not
    /// derived from entries. An empty table is not changed.
    ///
    /// # Examples
    /// ```
    /// let (mut writer, table) = switchboard::Table::<u64, u64>::new();
    /// writer.extend([(1, 1), (2, 2)]);
    /// writer.publish();
    /// writer.clear();
    /// writer.insert(3, 3);
    /// assert_eq!(table.snapshot().len(), 2, "it is staged, like everything else");
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
        // From here on nothing panics but destructors, and they come last.
        self.torn = false;
        self.dirty = true;
        if let Some(full) = self.staged.replace(cleared) {
            self.publisher.discard(full);
        }
        if let Some(log) = &mut self.log {
            // Older versions are better dropped than emptied.
            log.cut();
        }
        self.tidy();
    }
}

impl<K, V, I, S> Writer<K, V, I, S> {
    /// Ends writing: a handle of the table, which is closed and stays readable for ever.
    ///
    /// As when the writer is dropped, what is staged and not published is given up.
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
        Table::new_handle(self.publisher.cell().clone())
    }
}

impl<K, V, I, S> Extend<(K, V)> for Writer<K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// [Inserts](Self::insert) each entry. When the iterator or other foreign code panics, the entries before
    /// that are staged.
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}
