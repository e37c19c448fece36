//! The writer, as a transaction sees it.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::ops::Deref;

use crate::table::hash::DefaultHashBuilder;
use crate::table::index::Index;
use crate::table::writer::Writer;

/// Access to the [`Writer`] in a [transaction](crate::SharedWriter::transaction): reads and changes the
/// staged state.
///
/// All reading methods of the writer are available by dereference; they see the changes of this transaction
/// and of the operations before it. Publishing and discarding are not: the turn publishes.
/// [`Writer::index_mut`] is not either, because a change of the index that no entry explains could not be
/// taken back.
///
/// # Examples
/// ```
/// use switchboard::table::shared::Config;
/// use switchboard::{SharedWriter, Table};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (writer, _) = Table::<&str, u32>::new();
/// let (words, _thread) = SharedWriter::spawn(writer, Config::new())?;
/// let total = words.transaction(|table| {
///     for word in ["a", "b", "a"] {
///         table.upsert(word, |count| count.map_or(1, |count| count + 1));
///     }
///     table.iter().map(|(_, count)| count).sum::<u32>()
/// });
/// assert_eq!(total.map_err(|_| "closed")?.wait()?.value, 3);
/// # Ok(())
/// # }
/// ```
pub struct Transaction<'a, K, V, I = (), S = DefaultHashBuilder> {
    writer: &'a mut Writer<K, V, I, S>,
}

impl<'a, K, V, I, S> Transaction<'a, K, V, I, S> {
    pub(super) fn new(writer: &'a mut Writer<K, V, I, S>) -> Self {
        Self { writer }
    }
}

impl<K, V, I, S> Transaction<'_, K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Stages an entry, and returns the value that it replaces: [`Writer::insert`].
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.writer.insert(key, value)
    }

    /// Stages a change of the value of `key`, and returns whether there is one: [`Writer::update`].
    pub fn update<Q>(&mut self, key: &Q, change: impl FnOnce(&mut V)) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.writer.update(key, change)
    }

    /// Stages the value that `value` computes from the existing one: [`Writer::upsert`].
    pub fn upsert(&mut self, key: K, value: impl FnOnce(Option<&V>) -> V) -> Option<V> {
        self.writer.upsert(key, value)
    }

    /// Stages an entry if there is none for `key`: [`Writer::insert_if_absent`].
    pub fn insert_if_absent(&mut self, key: K, value: impl FnOnce() -> V) -> bool {
        self.writer.insert_if_absent(key, value)
    }

    /// Stages the removal of `key`, and returns its value: [`Writer::remove`].
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.writer.remove(key)
    }

    /// Stages the removal of the entries for which `keep` returns `false`: [`Writer::retain`].
    pub fn retain(&mut self, keep: impl FnMut(&K, &V) -> bool) -> usize {
        self.writer.retain(keep)
    }

    /// Stages the removal of all entries: [`Writer::clear`].
    pub fn clear(&mut self) {
        self.writer.clear();
    }
}

impl<K, V, I, S> Extend<(K, V)> for Transaction<'_, K, V, I, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// [Inserts](Self::insert) each entry.
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        self.writer.extend(entries);
    }
}

impl<K, V, I, S> Deref for Transaction<'_, K, V, I, S> {
    type Target = Writer<K, V, I, S>;

    fn deref(&self) -> &Self::Target {
        self.writer
    }
}

impl<K, V, I, S> fmt::Debug for Transaction<'_, K, V, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction").field(&self.writer).finish()
    }
}
