use left_right::{Absorb, ReadHandle, ReadHandleFactory, WriteHandle};

use super::{Hasher, Peer, Read};
use crate::data::{Key, Value};

type Map<K, V> = hashbrown::HashMap<K, V, Hasher>;

type EvmapReader<K, V> = evmap::handles::ReadHandle<K, V, (), Hasher>;

/// `evmap`.
pub struct Evmap<K: Key, V: Value> {
    writer: evmap::handles::WriteHandle<K, V, (), Hasher>,
    reader: EvmapReader<K, V>,
}

/// `left_right` around two flat hashbrown maps with the values inline, which `evmap` could have.
pub struct LeftRight<K: Key, V: Value> {
    writer: WriteHandle<Flat<K, V>, Put<K, V>>,
    readers: ReadHandleFactory<Flat<K, V>>,
}

#[derive(Clone)]
pub struct Flat<K, V>(Map<K, V>);

pub struct Put<K, V>(K, V);

impl<K: Key, V: Value> Absorb<Put<K, V>> for Flat<K, V> {
    fn absorb_first(&mut self, Put(key, value): &mut Put<K, V>, _: &Self) {
        self.0.insert(key.clone(), value.clone());
    }

    fn absorb_second(&mut self, Put(key, value): Put<K, V>, _: &Self) {
        self.0.insert(key, value);
    }

    fn sync_with(&mut self, first: &Self) {
        self.clone_from(first);
    }
}

impl<K: Key, V: Value> Peer<K, V> for Evmap<K, V> {
    const NAME: &'static str = "evmap";
    type Source = EvmapReader<K, V>;
    type Reader<'a> = EvmapReader<K, V>;

    fn new() -> Self {
        // SAFETY: both copies get clones of one `RandomState` and hash alike, and `Hash` and `Eq` of numbers,
        // arrays and strings are deterministic.
        let options = unsafe { evmap::Options::default().with_hasher(Hasher::default()) };
        // SAFETY: as above.
        let (writer, reader) = unsafe { options.assert_stable() };
        Self { writer, reader }
    }

    fn source(&self) -> Self::Source {
        self.reader.clone()
    }

    fn reader(source: &Self::Source) -> Self::Reader<'_> {
        source.clone()
    }

    fn put(&mut self, key: K, value: V) {
        self.writer.update(key, value);
    }

    fn publish(&mut self) {
        self.writer.publish();
    }
}

impl<K: Key, V: Value> Read<K, V> for EvmapReader<K, V> {
    #[inline]
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.get_one(key).map(|value| look(&value))
    }

    fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
        let Some(map) = self.enter() else { return };
        for (key, values) in map.iter() {
            values.iter().for_each(|value| visit(key, value));
        }
    }
}

impl<K: Key, V: Value> Peer<K, V> for LeftRight<K, V> {
    const NAME: &'static str = "left-right + hashbrown";
    type Source = ReadHandleFactory<Flat<K, V>>;
    type Reader<'a> = ReadHandle<Flat<K, V>>;

    fn new() -> Self {
        let (writer, reader) = left_right::new_from_empty(Flat(Map::default()));
        Self { writer, readers: reader.factory() }
    }

    fn source(&self) -> Self::Source {
        self.readers.clone()
    }

    fn reader(source: &Self::Source) -> Self::Reader<'_> {
        source.handle()
    }

    fn put(&mut self, key: K, value: V) {
        self.writer.append(Put(key, value));
    }

    fn publish(&mut self) {
        self.writer.publish();
    }
}

impl<K: Key, V: Value> Read<K, V> for ReadHandle<Flat<K, V>> {
    #[inline]
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.enter()?.0.get(key).map(look)
    }

    fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
        let Some(map) = self.enter() else { return };
        map.0.iter().for_each(|(key, value)| visit(key, value));
    }
}
