//! Node addresses, and the policy for endpoints that may be dialled.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// The address of a remote node, which is the key of the link table.
///
/// Implemented for [`NodeAddr`], [`SocketAddr`] and 32-byte public keys. `Clone`, `Eq` and `Hash` run on the
/// writer's thread inside commands, and, when effects are merged, under the lock of the outbox: they should
/// be cheap, must not block, and must not call the manager.
pub trait Addr: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static {
    /// Whether this is the blank value, which identifies no node. Links to it are refused.
    fn is_blank(&self) -> bool;
}

/// A 64-bit node address, written as four groups of four upper-case hexadecimal digits.
///
/// # Examples
/// ```
/// use switchboard::NodeAddr;
///
/// let addr: NodeAddr = "AAAA::BBBB::CCCC::DDDD".parse()?;
/// assert_eq!(addr, NodeAddr(0xAAAA_BBBB_CCCC_DDDD));
/// assert_eq!(addr.to_string(), "AAAA::BBBB::CCCC::DDDD");
/// assert_eq!("0xAAAABBBBCCCCDDDD".parse(), Ok(addr));
/// # Ok::<(), switchboard::link::ParseAddrError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NodeAddr(pub u64);

impl NodeAddr {
    /// The value that identifies no node.
    pub const BLANK: Self = Self(0);

    /// Returns the address derived from the 32-byte hash of a node's certificate: its first and last four
    /// bytes. The first two 16-bit words, read in little-endian order, become the upper two groups of the
    /// address, the last two words the lower two groups.
    #[must_use]
    pub fn from_certificate_hash(hash: &[u8; 32]) -> Self {
        let word = |at: usize| u64::from(u16::from_le_bytes([hash[at], hash[at + 1]]));
        Self(word(0) << 48 | word(2) << 32 | word(28) << 16 | word(30))
    }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |shift: u32| (self.0 >> shift) & 0xFFFF;
        write!(f, "{:04X}::{:04X}::{:04X}::{:04X}", group(48), group(32), group(16), group(0))
    }
}

impl fmt::Debug for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeAddr({self})")
    }
}

/// The error of a text that is not a node address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseAddrError {
    text: String,
}

impl fmt::Display for ParseAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a node address: expected `AAAA::BBBB::CCCC::DDDD` or `0x` and 16 hexadecimal digits",
            self.text.escape_debug()
        )
    }
}

impl std::error::Error for ParseAddrError {}

impl FromStr for NodeAddr {
    type Err = ParseAddrError;

    /// Parses strictly: four groups of exactly four hexadecimal digits joined by `::`, or `0x` and exactly 16
    /// digits, and nothing else. Upper-case and lower-case digits are accepted.
    fn from_str(text: &str) -> Result<Self, ParseAddrError> {
        let value = match text.strip_prefix("0x") {
            Some(digits) => parse_hex(digits, 16),
            None => parse_groups(text),
        };
        // Truncated: hostile input must not produce a large error.
        value.map(Self).ok_or_else(|| ParseAddrError { text: text.chars().take(64).collect() })
    }
}

fn parse_groups(text: &str) -> Option<u64> {
    let mut groups = text.split("::");
    let mut value = 0;
    for _ in 0..4 {
        value = value << 16 | parse_hex(groups.next()?, 4)?;
    }
    groups.next().is_none().then_some(value)
}

fn parse_hex(digits: &str, expected: usize) -> Option<u64> {
    let valid = digits.len() == expected && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

impl Addr for NodeAddr {
    fn is_blank(&self) -> bool {
        *self == Self::BLANK
    }
}

impl Addr for SocketAddr {
    /// Whether the IP address is unspecified or the port is 0.
    fn is_blank(&self) -> bool {
        self.ip().is_unspecified() || self.port() == 0
    }
}

impl Addr for [u8; 32] {
    /// Whether all bytes are zero.
    fn is_blank(&self) -> bool {
        self.iter().all(|byte| *byte == 0)
    }
}

/// The policy for endpoints that the manager may dial.
///
/// Port 0, the unspecified address, multicast addresses and the IPv4 broadcast address are always refused.
/// Loopback is accepted unless the policy is [`public`](Self::public).
///
/// # Examples
/// ```
/// use switchboard::Config;
/// use switchboard::link::{AddressPolicy, EndpointError};
///
/// let local = "127.0.0.1:4000".parse()?;
/// assert_eq!(AddressPolicy::new().check(local), Ok(()));
/// assert_eq!(AddressPolicy::public().check(local), Err(EndpointError::Loopback));
/// let config = Config::default().addresses(AddressPolicy::public());
/// # assert!(config.validate().is_ok());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AddressPolicy {
    refuse_loopback: bool,
}

impl AddressPolicy {
    /// The default policy, which accepts loopback: several nodes on one host find each other.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy for a node that receives endpoints from nodes that it does not trust: loopback is refused,
    /// because another node could make this node dial its own services.
    ///
    /// Private and link-local addresses are accepted. A host that must not dial these checks the endpoints
    /// before it supplies them.
    #[must_use]
    pub fn public() -> Self {
        Self::new().allow_loopback(false)
    }

    /// Sets whether loopback endpoints are accepted. Default: yes.
    #[must_use]
    pub fn allow_loopback(mut self, allow: bool) -> Self {
        self.refuse_loopback = !allow;
        self
    }

    /// Whether `endpoint` may be dialled.
    ///
    /// # Errors
    /// [`EndpointError`] names the reason.
    pub fn check(&self, endpoint: SocketAddr) -> Result<(), EndpointError> {
        // An IPv4-mapped IPv6 address is treated as the IPv4 address.
        let ip = endpoint.ip().to_canonical();
        if endpoint.port() == 0 {
            return Err(EndpointError::PortZero);
        }
        if ip.is_unspecified() {
            return Err(EndpointError::Unspecified);
        }
        if ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(EndpointError::Broadcast);
        }
        if ip.is_multicast() {
            return Err(EndpointError::Multicast);
        }
        if ip.is_loopback() && self.refuse_loopback {
            return Err(EndpointError::Loopback);
        }
        Ok(())
    }
}

/// The reason why an endpoint cannot be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointError {
    /// The port is 0, which no listener can have.
    PortZero,
    /// The address is `0.0.0.0` or `::`.
    Unspecified,
    /// The address is `255.255.255.255`.
    Broadcast,
    /// The address is a multicast address.
    Multicast,
    /// The address is a loopback address, and the policy is [`AddressPolicy::public`], or does not
    /// [allow](AddressPolicy::allow_loopback) loopback.
    Loopback,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PortZero => "port 0 cannot be dialled",
            Self::Unspecified => "the unspecified address cannot be dialled",
            Self::Broadcast => "the broadcast address cannot be dialled",
            Self::Multicast => "a multicast address cannot be dialled",
            Self::Loopback => "the address policy refuses loopback",
        })
    }
}

impl std::error::Error for EndpointError {}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    #[test]
    fn every_address_survives_its_text_form() {
        for value in [0, 1, 0xFFFF, 0xAAAA_BBBB_CCCC_DDDD, u64::MAX, 1 << 63] {
            let addr = NodeAddr(value);
            assert_eq!(addr.to_string().len(), 22);
            assert_eq!(addr.to_string().parse(), Ok(addr));
            assert_eq!(format!("0x{value:016x}").parse(), Ok(addr));
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            "AAAA",
            "AAAA::BBBB::CCCC",
            "AAAA::BBBB::CCCC::DDDD::EEEE",
            "AAAA::BBBB::CCCC::DDD",
            "AAAA::BBBB::CCCC::DDDDD",
            "AAAA:BBBB:CCCC:DDDD",
            "GAAA::BBBB::CCCC::DDDD",
            "+AAA::BBBB::CCCC::DDDD",
            " AAAA::BBBB::CCCC::DDDD",
            "0x",
            "0xAAAABBBBCCCCDDD",
            "0xAAAABBBBCCCCDDDD0",
            "0x+AAABBBBCCCCDDDD",
            "ÄAAA::BBBB::CCCC::DDDD",
        ] {
            let error = text.parse::<NodeAddr>().expect_err(text);
            assert!(error.to_string().contains("expected"), "{error}");
        }
        assert!("x".repeat(10_000).parse::<NodeAddr>().unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn a_certificate_hash_gives_its_first_and_last_words() {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&[0x22, 0x11, 0x44, 0x33]);
        hash[28..].copy_from_slice(&[0x66, 0x55, 0x88, 0x77]);
        assert_eq!(NodeAddr::from_certificate_hash(&hash), NodeAddr(0x1122_3344_5566_7788));
    }

    #[test]
    fn the_policy_refuses_what_cannot_be_dialled() {
        let policy = AddressPolicy::public();
        let check = |text: &str| policy.check(text.parse().unwrap());
        assert_eq!(check("192.0.2.1:0"), Err(EndpointError::PortZero));
        assert_eq!(check("0.0.0.0:1"), Err(EndpointError::Unspecified));
        assert_eq!(check("[::]:1"), Err(EndpointError::Unspecified));
        assert_eq!(check("255.255.255.255:1"), Err(EndpointError::Broadcast));
        assert_eq!(check("224.0.0.1:1"), Err(EndpointError::Multicast));
        assert_eq!(check("[ff02::1]:1"), Err(EndpointError::Multicast));
        assert_eq!(check("127.0.0.1:1"), Err(EndpointError::Loopback));
        assert_eq!(check("127.8.9.10:1"), Err(EndpointError::Loopback));
        assert_eq!(check("[::1]:1"), Err(EndpointError::Loopback));
        assert_eq!(check("[::ffff:127.0.0.1]:1"), Err(EndpointError::Loopback));
        assert_eq!(check("192.0.2.1:1"), Ok(()));
        assert_eq!(check("[2001:db8::1]:1"), Ok(()));
    }

    #[test]
    fn the_default_policy_accepts_loopback_and_nothing_that_has_no_listener() {
        for local in [AddressPolicy::default(), AddressPolicy::public().allow_loopback(true)] {
            let check = |text: &str| local.check(text.parse().unwrap());
            assert_eq!(local, AddressPolicy::new());
            for text in ["127.0.0.1:1", "127.8.9.10:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "192.0.2.1:1"] {
                assert_eq!(check(text), Ok(()), "{text}");
            }
            assert_eq!(check("127.0.0.1:0"), Err(EndpointError::PortZero));
            assert_eq!(check("0.0.0.0:1"), Err(EndpointError::Unspecified));
            assert_eq!(check("[::ffff:0.0.0.0]:1"), Err(EndpointError::Unspecified));
            assert_eq!(check("255.255.255.255:1"), Err(EndpointError::Broadcast));
            assert_eq!(check("239.1.2.3:1"), Err(EndpointError::Multicast));
            assert_eq!(check("[::ffff:224.0.0.1]:1"), Err(EndpointError::Multicast));
        }
    }
}
