//! Names of files: any key, on any file system, also on those that do not tell upper case from lower case.

/// Longest encoded key: with the ending of a file that is kept aside, a name stays below 255 bytes.
const LONGEST: usize = 200;
pub(super) const START: &str = "s-";
const END: &str = ".session";

/// Returns the name of the file of a session, or `None` if the key is too long.
pub(super) fn of_key(key: &[u8]) -> Option<String> {
    let mut name = String::from(START);
    for byte in key {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(char::from(*byte)),
            b'"' => name.push('_'),
            _ => {
                name.push('=');
                name.push(digit(byte >> 4));
                name.push(digit(byte & 15));
            }
        }
        if name.len() > START.len() + LONGEST {
            return None;
        }
    }
    name.push_str(END);
    Some(name)
}

/// Returns the key of a session from the name of its file, or `None` if this is another file.
pub(super) fn to_key(name: &str) -> Option<Vec<u8>> {
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
    (of_key(&key)? == name).then_some(key)
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

fn value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
