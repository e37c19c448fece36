use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use switchboard::clock::MonotonicClock;
use switchboard::shadow::{LinkStore, LockedLinks};
use switchboard::{Config, Direction, NetConfig, NetId, NodeAddr, StreamId};

use super::{LINKS, Manager, NETS};
use crate::data::Key;

/// A manager with the operations of this crate, behind one lock for the nets and one for the links.
pub(super) struct TwoLocks {
    links: LockedLinks,
}

impl TwoLocks {
    pub(super) fn new() -> Self {
        let links = LockedLinks::new(Config::default(), Some(NodeAddr(u64::MAX)), MonotonicClock);
        let links = links.expect("the configuration is valid");
        for net in 1..=NETS {
            links.add_net(NetId(net), NetConfig::new().min_links(0)).expect("the net is new");
            links.set_net_active(NetId(net), true).expect("the net exists");
        }
        for number in 0..LINKS {
            let (addr, stream) = (NodeAddr(u64::from_number(number)), StreamId(u64::from_number(number)));
            links.add_stream(&addr, stream, Direction::Downlink).expect("there is room");
            links.admit(NetId(number % NETS + 1), &addr, stream).expect("the stream exists");
        }
        Self { links }
    }
}

impl Manager for TwoLocks {
    type Pending = ();

    fn name(&self) -> &'static str {
        "LockedLinks (two RwLocks)"
    }

    fn send(&self, addr: u64, comes: bool) {
        let (addr, stream) = (NodeAddr(addr), StreamId(addr));
        let sent = if comes {
            self.links.add_stream(&addr, stream, Direction::Downlink)
        } else {
            self.links.delete_stream(&addr, stream)
        };
        sent.expect("the operation is applied");
    }

    fn wait(&self, (): ()) {}

    fn count(&self, net: u64) -> usize {
        self.links.count(NetId(net)).expect("the store answers").value
    }

    fn read(&self, stop: &AtomicBool) {
        // Relaxed: the flag publishes no other data.
        while !stop.load(Ordering::Relaxed) {
            for number in 0..256 {
                let addr = NodeAddr(u64::from_number(number * 31 % LINKS));
                // A lookup that copies nothing but the answer, as with the other managers.
                black_box(self.links.contains(&addr, NetId(1)).expect("the store answers").value);
            }
        }
    }
}
