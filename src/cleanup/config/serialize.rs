//! Serialization of the settings.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Overflow, Workers};

impl Serialize for Workers {
    /// Serializes `"auto"` or the number.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(number) => serializer.serialize_u64(number.get() as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    /// Deserializes `"auto"` in any case, a number from 1 to [`Workers::MAX`], or such a number as text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WorkersVisitor)
    }
}

struct WorkersVisitor;

impl Visitor<'_> for WorkersVisitor {
    type Value = Workers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"auto\" or a number from 1 to 64")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Workers, E> {
        Workers::from_count(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Workers, E> {
        let workers = u64::try_from(number).ok().and_then(Workers::from_count);
        workers.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Workers, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Overflow {
    /// Deserializes `"inline"`, `"defer"` or `"reject"`, or the setting `fallback_to_sync`: `true` is `Inline`,
    /// `false` is `Defer`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OverflowVisitor)
    }
}

struct OverflowVisitor;

impl Visitor<'_> for OverflowVisitor {
    type Value = Overflow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"inline\", \"defer\", \"reject\" or a boolean")
    }

    fn visit_bool<E: Error>(self, is_inline: bool) -> Result<Overflow, E> {
        Ok(Overflow::of_fallback(is_inline))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Overflow, E> {
        match text {
            "inline" => Ok(Overflow::Inline),
            "defer" => Ok(Overflow::Defer),
            "reject" => Ok(Overflow::Reject),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// Durations as whole milliseconds.
pub(super) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
