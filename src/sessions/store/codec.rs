//! Bytes of keys and data.

use std::error::Error;

/// The error of a [`Codec`].
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Makes bytes of keys and data, and reads them again.
///
/// `decode(encode(x))` must give a value that equals `x`, and equal keys must give the same bytes. A panic counts as a
/// failure of the store.
///
/// # Examples
/// ```
/// use switchboard::sessions::store::{BoxError, Codec};
///
/// /// Numbered sessions with text.
/// struct Plain;
///
/// impl Codec<u32, String> for Plain {
///     fn encode_key(&self, key: &u32, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
///         bytes.extend_from_slice(key.to_string().as_bytes());
///         Ok(())
///     }
///
///     fn decode_key(&self, bytes: &[u8]) -> Result<u32, BoxError> {
///         Ok(std::str::from_utf8(bytes)?.parse()?)
///     }
///
///     fn encode(&self, data: &String, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
///         bytes.extend_from_slice(data.as_bytes());
///         Ok(())
///     }
///
///     fn decode(&self, bytes: &[u8]) -> Result<String, BoxError> {
///         Ok(String::from_utf8(bytes.to_vec())?)
///     }
/// }
///
/// let mut bytes = Vec::new();
/// Plain.encode_key(&7, &mut bytes)?;
/// assert_eq!(Codec::<u32, String>::decode_key(&Plain, &bytes)?, 7);
/// # Ok::<(), BoxError>(())
/// ```
pub trait Codec<K, D>: Send + Sync + 'static {
    /// Appends the bytes of a key.
    ///
    /// # Errors
    /// If the key has no bytes.
    fn encode_key(&self, key: &K, bytes: &mut Vec<u8>) -> Result<(), BoxError>;

    /// Reads a key.
    ///
    /// # Errors
    /// If the bytes are not those of a key.
    fn decode_key(&self, bytes: &[u8]) -> Result<K, BoxError>;

    /// Appends the bytes of data.
    ///
    /// # Errors
    /// If the data has no bytes.
    fn encode(&self, data: &D, bytes: &mut Vec<u8>) -> Result<(), BoxError>;

    /// Reads data.
    ///
    /// # Errors
    /// If the bytes are not those of data.
    fn decode(&self, bytes: &[u8]) -> Result<D, BoxError>;
}
