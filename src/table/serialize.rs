//! serde: a snapshot as a map, a table from a map.

use std::fmt;
use std::hash::{BuildHasher, Hash};

use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::index::Index;
use crate::table::builder::TableBuilder;
use crate::table::handle::Table;
use crate::table::snapshot::Snapshot;
use crate::table::version::Version;
use crate::table::writer::Writer;

impl Serialize for Version {
    /// As a number.
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        serializer.serialize_u64(self.as_u64())
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from_u64)
    }
}

impl<K: Serialize, V: Serialize, I, S> Serialize for Snapshot<K, V, I, S> {
    /// As a map of the entries, in no particular order. The version and the index are not part of it.
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, K, V, I, S> DeserializeSeed<'de> for TableBuilder<K, V, I, S>
where
    K: Deserialize<'de> + Hash + Eq + Clone + Send + Sync + 'static,
    V: Deserialize<'de> + Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    type Value = (Writer<K, V, I, S>, Table<K, V, I, S>);

    /// A table that has the entries of a map at version zero, as [`build_with`](TableBuilder::build_with)
    /// makes it: the entries go into it one by one, and the size that the input claims to have is not
    /// believed. Of several entries for one key the last counts.
    ///
    /// # Errors
    /// Those of the format, of the keys and of the values; there is no table then.
    ///
    /// # Examples
    /// ```
    /// use serde::de::DeserializeSeed;
    /// use switchboard::{Snapshot, Table};
    ///
    /// let saved: Snapshot<String, u32> = [(String::from("answer"), 42)].into_iter().collect();
    /// let json = serde_json::to_string(&saved)?;
    /// assert_eq!(json, r#"{"answer":42}"#);
    ///
    /// let mut input = serde_json::Deserializer::from_str(&json);
    /// let (_writer, table) = Table::<String, u32>::builder().deserialize(&mut input)?;
    /// assert_eq!(table.snapshot(), saved);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(Entries { builder: self })
    }
}

struct Entries<K, V, I, S> {
    builder: TableBuilder<K, V, I, S>,
}

impl<'de, K, V, I, S> Visitor<'de> for Entries<K, V, I, S>
where
    K: Deserialize<'de> + Hash + Eq + Clone + Send + Sync + 'static,
    V: Deserialize<'de> + Clone + Send + Sync + 'static,
    I: Index<K, V>,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    type Value = (Writer<K, V, I, S>, Table<K, V, I, S>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut failed = None;
        let entries = std::iter::from_fn(|| {
            map.next_entry().unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        let built = self.builder.build_with(entries);
        failed.map_or(Ok(built), Err)
    }
}
