//! The default codec.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{BoxError, Codec};

/// JSON, through `serde` and `serde_json`: the default codec.
///
/// The data of a session can be read with any text editor. Add fields to it with `#[serde(default)]`, so that sessions
/// that were stored before can still be loaded.
///
/// JSON has no numbers that are not finite: `serde_json` writes NaN and the infinities as `null`, which it then does not
/// read as a number. Such a session is saved, and cannot be loaded: keep them out of the data, or use an `Option`.
/// The keys of maps must be strings, numbers or unit variants; otherwise the session is not saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl<K, D> Codec<K, D> for Json
where
    K: Serialize + DeserializeOwned,
    D: Serialize + DeserializeOwned,
{
    fn encode_key(&self, key: &K, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(serde_json::to_writer(bytes, key)?)
    }

    fn decode_key(&self, bytes: &[u8]) -> Result<K, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    fn encode(&self, data: &D, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(serde_json::to_writer(bytes, data)?)
    }

    fn decode(&self, bytes: &[u8]) -> Result<D, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
