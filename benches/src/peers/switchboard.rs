use std::any::Any;
use std::array;
use std::convert::identity;

use switchboard::{Reader, Table, Writer};

use super::{Peer, Read};
use crate::data::{Key, Value};

/// This crate with its default settings.
pub struct Switchboard<K, V>(Side<K, V>);

/// This crate without recycling: every publish copies the pages that it touches.
pub struct Plain<K, V>(Side<K, V>);

/// This crate, with sixteen keys per lookup.
pub struct Many<K, V>(Side<K, V>);

/// A reader that looks up several keys together.
pub struct ManyReader<K, V>(Reader<K, V>);

struct Side<K, V> {
    writer: Writer<K, V>,
    table: Table<K, V>,
}

impl<K: Key, V: Value> Side<K, V> {
    fn new(recycles: bool) -> Self {
        let (writer, table) = Table::builder().recycle(recycles).build();
        Self { writer, table }
    }
}

macro_rules! peer {
    ($name:ident, $text:literal, $recycles:literal, $reader:ident, $make:expr) => {
        impl<K: Key, V: Value> Peer<K, V> for $name<K, V> {
            const NAME: &'static str = $text;
            type Source = Table<K, V>;
            type Reader<'a> = $reader<K, V>;

            fn new() -> Self {
                Self(Side::new($recycles))
            }

            fn source(&self) -> Table<K, V> {
                self.0.table.clone()
            }

            fn reader(table: &Table<K, V>) -> $reader<K, V> {
                $make(table.reader())
            }

            fn put(&mut self, key: K, value: V) {
                self.0.writer.insert(key, value);
            }

            fn publish(&mut self) {
                self.0.writer.publish();
            }

            fn hold(&self) -> Option<Box<dyn Any>> {
                Some(Box::new(self.0.table.snapshot()))
            }
        }
    };
}

peer!(Switchboard, "switchboard", true, Reader, identity);
peer!(Plain, "switchboard, recycle(false)", false, Reader, identity);
peer!(Many, "switchboard, get_many of 16", true, ManyReader, ManyReader);

impl<K: Key, V: Value> Read<K, V> for Reader<K, V> {
    #[inline]
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(look)
    }

    fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
        self.snapshot().iter().for_each(|(key, value)| visit(key, value));
    }
}

impl<K: Key, V: Value> Read<K, V> for ManyReader<K, V> {
    fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.get(key).map(look)
    }

    #[inline]
    fn sum(&mut self, keys: &[K]) -> u64 {
        let (chunks, rest) = keys.as_chunks::<16>();
        assert!(rest.is_empty(), "the keys come in chunks");
        let mut sum = 0_u64;
        for keys in chunks {
            for value in self.0.get_many(array::from_fn::<_, 16, _>(|index| &keys[index])) {
                sum = sum.wrapping_add(value.map_or(1, Value::word));
            }
        }
        sum
    }

    fn for_each(&mut self, visit: impl FnMut(&K, &V)) {
        self.0.for_each(visit);
    }
}
