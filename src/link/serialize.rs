//! Serialization: addresses as text, identities as numbers.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::link::addr::NodeAddr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::link::stream::StreamId;

impl Serialize for NodeAddr {
    /// Serializes the address as text, in every format.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeAddr {
    /// Deserializes the address from any text that `FromStr` accepts.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = NodeAddr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a node address")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<NodeAddr, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

macro_rules! number {
    ($($name:ident),*) => {
        $(impl Serialize for $name {
            /// Serializes the identity as a number.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Deserialize::deserialize(deserializer).map(Self)
            }
        })*
    };
}

number!(ClusterId, NetId, StreamId);
