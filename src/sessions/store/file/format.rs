//! The format of a file: see [`FileStore`](super::FileStore).

use std::fmt::Write;

use super::super::{StoreError, StoreErrorKind, Version};

const MAGIC: &str = "switchboard-session ";
const FORMAT: u64 = 1;
/// The magic, the format, four numbers of up to 20 digits, two checksums of 8, the spaces, and the line feed.
pub(super) const LONGEST_HEADER: usize = 20 + 20 + 4 * 21 + 2 * 9 + 2;

/// The reason why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Corrupt,
    NewerFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: Version,
    key_length: usize,
    data_length: usize,
    checksum: u32,
    /// The length of the line, with its line feed.
    length: usize,
}

/// The contents of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    pub(super) version: Version,
    pub(super) key: &'a [u8],
    pub(super) data: &'a [u8],
}

impl Damage {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::NewerFormat => "newer",
        }
    }

    pub(super) fn error(self) -> (StoreError, &'static str) {
        let kind = match self {
            Self::Corrupt => StoreErrorKind::Corrupt,
            Self::NewerFormat => StoreErrorKind::NewerFormat,
        };
        (StoreError::new(kind), self.reason())
    }
}

/// Returns the bytes of a file.
pub(super) fn file(version: Version, key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(key.len() + data.len() + 2);
    for part in [key, data] {
        body.extend_from_slice(part);
        body.push(b'\n');
    }
    let mut file = line(version, key.len(), data.len(), crc32fast::hash(&body)).into_bytes();
    file.append(&mut body);
    file
}

fn line(version: Version, key_length: usize, data_length: usize, checksum: u32) -> String {
    let Version { opening, number } = version;
    let mut line = format!("{MAGIC}{FORMAT} {opening} {number} {key_length} {data_length} {checksum:08x}");
    let own = crc32fast::hash(line.as_bytes());
    // Writing to a string does not fail.
    let _ = writeln!(line, " {own:08x}");
    line
}

/// Reads the header of a file from its first bytes.
pub(super) fn header(start: &[u8]) -> Result<Header, Damage> {
    let end = start.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n').ok_or(Damage::Corrupt)?;
    let text = std::str::from_utf8(&start[..=end]).map_err(|_| Damage::Corrupt)?;
    let mut fields = text.trim_end_matches('\n').strip_prefix(MAGIC).ok_or(Damage::Corrupt)?.split(' ');
    let mut number = || fields.next().and_then(|field| field.parse::<u64>().ok()).ok_or(Damage::Corrupt);
    if number()? > FORMAT {
        return Err(Damage::NewerFormat);
    }
    let version = Version::new(number()?, number()?);
    let mut length = || number().and_then(|number| usize::try_from(number).map_err(|_| Damage::Corrupt));
    let (key_length, data_length) = (length()?, length()?);
    let checksum =
        fields.next().and_then(|field| u32::from_str_radix(field, 16).ok()).ok_or(Damage::Corrupt)?;
    // Each header has one form, and its checksum is part of it.
    if line(version, key_length, data_length, checksum) != text {
        return Err(Damage::Corrupt);
    }
    Ok(Header { version, key_length, data_length, checksum, length: text.len() })
}

/// Reads a whole file.
pub(super) fn parse(file: &[u8]) -> Result<Parsed<'_>, Damage> {
    let header = header(file)?;
    let body = &file[header.length..];
    let length = header.key_length.checked_add(header.data_length).and_then(|length| length.checked_add(2));
    if length != Some(body.len()) || crc32fast::hash(body) != header.checksum {
        return Err(Damage::Corrupt);
    }
    let (key, data) = body.split_at(header.key_length + 1);
    let key = key.strip_suffix(b"\n").ok_or(Damage::Corrupt)?;
    let data = data.strip_suffix(b"\n").ok_or(Damage::Corrupt)?;
    Ok(Parsed { version: header.version, key, data })
}
