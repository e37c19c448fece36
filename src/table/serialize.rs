//! serde: a snapshot is serialized as a map, and a table is deserialized from one.

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
    /// Serializes the version as a number.
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
    /// Serializes the entries as a map, in no particular order. The version and the index are not included.
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

    /// Builds a table that contains the entries of a map at version zero, as
    /// [`build_with`](TableBuilder::build_with) does: the entries are inserted one by one, and the size that
    /// the input claims is not trusted. Of several entries for one key, the last one wins.
    ///
    /// # Errors
    /// The errors of the format, of the keys and of the values; no table is created then.
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
