//! The names of channels, sockets and users.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest name of a channel, in bytes.
pub const MAX_NAME: usize = 164;

/// Longest id of a user, in bytes.
pub const MAX_USER: usize = 128;

/// The valid name of a channel. A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

/// The kind of a channel, which its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Public,
    Private,
    /// Private, with events that the server cannot read.
    Encrypted,
    Presence,
}

/// A name that is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    Empty,
    TooLong,
    Character,
}

impl ChannelName {
    /// Checks a name.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-=@,.;".contains(&byte);
        match name {
            "" => Err(NameError::Empty),
            _ if name.len() > MAX_NAME => Err(NameError::TooLong),
            _ if !name.bytes().all(is_allowed) => Err(NameError::Character),
            _ => Ok(Self(name.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn kind(&self) -> Kind {
        let name = self.as_str();
        if name.starts_with("presence-") {
            Kind::Presence
        } else if name.starts_with("private-encrypted-") {
            Kind::Encrypted
        } else if name.starts_with("private-") {
            Kind::Private
        } else {
            Kind::Public
        }
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a channel has no name"),
            Self::TooLong => write!(f, "the name of a channel is longer than {MAX_NAME} characters"),
            Self::Character => {
                f.write_str("the name of a channel has a character other than A-Z a-z 0-9 _ - = @ , . ;")
            }
        }
    }
}

/// The id of a socket, in its text form `number.number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId {
    /// Random, so that ids cannot be guessed.
    secret: u32,
    /// Counts the sockets.
    number: u64,
}

impl SocketId {
    pub fn new(secret: u32, number: u64) -> Self {
        Self { secret, number }
    }

    /// Reads an id; `None` if the text does not look like one. An id of another server is valid and unknown.
    pub fn parse(text: &str) -> Option<Option<Self>> {
        let (secret, number) = text.split_once('.')?;
        let is_number = |part: &str| {
            !part.is_empty() && part.len() <= 32 && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(secret) || !is_number(number) {
            return None;
        }
        let id = secret.parse().ok().zip(number.parse().ok()).map(|(secret, number)| Self { secret, number });
        // Leading zeros are not written here, so such an id is that of no socket.
        Some(id.filter(|id| id.to_string() == text))
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.secret, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_164_characters_of_the_documented_set() {
        for name in ["a", "room_1-=@,.;Z", &"x".repeat(MAX_NAME)] {
            assert_eq!(ChannelName::parse(name).unwrap().as_str(), name);
        }
        assert_eq!(ChannelName::parse(""), Err(NameError::Empty));
        assert_eq!(ChannelName::parse(&"x".repeat(MAX_NAME + 1)), Err(NameError::TooLong));
        for name in ["a b", "a/b", "a#b", "ä", "a\n", "a:b", "a*"] {
            assert_eq!(ChannelName::parse(name), Err(NameError::Character), "{name}");
        }
    }

    #[test]
    fn the_prefix_tells_the_kind() {
        let kind = |name| ChannelName::parse(name).unwrap().kind();
        assert_eq!(kind("news"), Kind::Public);
        assert_eq!(kind("private"), Kind::Public);
        assert_eq!(kind("Private-a"), Kind::Public);
        assert_eq!(kind("private-a"), Kind::Private);
        assert_eq!(kind("private-encrypted-a"), Kind::Encrypted);
        assert_eq!(kind("presence-a"), Kind::Presence);
    }

    #[test]
    fn socket_ids_are_two_numbers() {
        let id = SocketId::new(7, 42);
        assert_eq!(SocketId::parse("7.42"), Some(Some(id)));
        assert_eq!(SocketId::parse(&id.to_string()), Some(Some(id)));
        assert_eq!(SocketId::parse("07.42"), Some(None));
        assert_eq!(SocketId::parse("99999999999.1"), Some(None));
        for text in ["", ".", "1", "1.", ".1", "a.b", "1.2.3", "-1.2", "1.2 ", "+1.2"] {
            assert_eq!(SocketId::parse(text), None, "{text}");
        }
    }
}
