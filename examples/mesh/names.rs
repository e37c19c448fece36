//! What the nodes are called.

use switchboard::NodeAddr;

/// The upper half of every address, so that the addresses look like addresses.
const PREFIX: u64 = 0x5EA7_BEEF_0000_0000;

/// The address of a node: the same in each of its lives. Never blank.
pub(crate) fn addr_of(index: u16) -> NodeAddr {
    NodeAddr(PREFIX + u64::from(index) + 1)
}

/// The node of an address; `None` for an address that no node has.
pub(crate) fn index_of(addr: NodeAddr) -> Option<u16> {
    u16::try_from(addr.0.checked_sub(PREFIX + 1)?).ok()
}

/// What every node attaches to its links with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl Name {
    pub(crate) fn of(addr: NodeAddr) -> Self {
        Self(index_of(addr).map_or_else(|| addr.to_string(), |index| format!("node-{index}")))
    }
}
