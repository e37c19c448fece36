//! Names of files: any key, on any file system, also on those that do not tell upper case from lower case.

use sha2::{Digest as _, Sha256};

/// Longest encoded key: with the ending of a file that is kept aside, a name stays below 255 bytes.
const LONGEST: usize = 200;
pub(super) const START: &str = "s-";
/// Before the digest of a longer key. No key is encoded like this: two digits follow each of these signs.
const LONG: &str = "s-==";
const END: &str = ".session";

/// The name of a file of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// With its key.
    Key(Vec<u8>),
    /// Of a long key, which is in the file.
    Digest,
}

/// Returns the name of the file of a session.
pub(super) fn of_key(key: &[u8]) -> String {
    let encoded = encoded(key).unwrap_or_else(|| {
        let mut name = String::from(LONG);
        Sha256::digest(key).into_iter().for_each(|byte| push_hex(&mut name, byte));
        name
    });
    encoded + END
}

/// Returns the encoded key, or `None` if it is too long for a name.
fn encoded(key: &[u8]) -> Option<String> {
    let mut name = String::from(START);
    for byte in key {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(char::from(*byte)),
            b'"' => name.push('_'),
            _ => {
                name.push('=');
                push_hex(&mut name, *byte);
            }
        }
        if name.len() > START.len() + LONGEST {
            return None;
        }
    }
    Some(name)
}

/// Returns what the name of a file says, or `None` if it is not that of a session.
pub(super) fn parse(name: &str) -> Option<Name> {
    if let Some(digest) = name.strip_prefix(LONG) {
        let digest = digest.strip_suffix(END)?;
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| value(byte).is_some());
        return is_digest.then_some(Name::Digest);
    }
    let encoded = name.strip_prefix(START)?.strip_suffix(END)?;
    let mut bytes = encoded.bytes();
    let mut key = Vec::new();
    while let Some(byte) = bytes.next() {
        key.push(match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => byte,
            b'_' => b'"',
            b'=' => (value(bytes.next()?)? << 4) | value(bytes.next()?)?,
            _ => return None,
        });
    }
    // Each key has one name.
    (of_key(&key) == name).then_some(Name::Key(key))
}

fn push_hex(name: &mut String, byte: u8) {
    name.push(digit(byte >> 4));
    name.push(digit(byte & 15));
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

fn value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
