//! The addresses and names of the nodes.

use switchboard::NodeAddr;

/// The upper half of every address, so that printed addresses look real.
const PREFIX: u64 = 0x5EA7_BEEF_0000_0000;

/// The address of a node, the same after each restart. Never blank.
pub(crate) fn addr_of(index: u16) -> NodeAddr {
    NodeAddr(PREFIX + u64::from(index) + 1)
}

/// The index of the node with this address; `None` if no node can have it.
pub(crate) fn index_of(addr: NodeAddr) -> Option<u16> {
    u16::try_from(addr.0.checked_sub(PREFIX + 1)?).ok()
}

/// The user data that every node attaches to its links: the name of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl Name {
    pub(crate) fn of(addr: NodeAddr) -> Self {
        Self(index_of(addr).map_or_else(|| addr.to_string(), |index| format!("node-{index}")))
    }
}
