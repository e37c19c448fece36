use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use switchboard::manager::command::AppliedAll;
use switchboard::ticket::Ticket;
use switchboard::{
    Applied, Command, CommandError, Config, Direction, Effect, Handle, LinkManager, Links, NetConfig, NetId,
    NodeAddr, StreamId,
};

use super::{LINKS, Manager, NETS};
use crate::data::Key;

pub(super) struct Ours {
    name: &'static str,
    handle: Handle,
    links: Links,
    _manager: LinkManager,
}

impl Ours {
    pub(super) fn new(name: &'static str) -> Self {
        let manager =
            LinkManager::builder(Config::default().batch(NonZeroUsize::new(256).expect("not zero")))
                .own_addr(NodeAddr(u64::MAX))
                .transport(|_: Effect<NodeAddr>, _: &Handle| {})
                .spawn()
                .expect("the configuration is valid");
        let (handle, links) = (manager.handle(), manager.links());
        for net in 1..=NETS {
            let ready = handle.add_net(NetId(net), NetConfig::new().min_links(0));
            ready.expect("there is room").wait().expect("the net is new");
            let ready = handle.set_net_active(NetId(net), true);
            ready.expect("there is room").wait().expect("the net exists");
        }
        for number in 0..LINKS {
            let (addr, stream) = (NodeAddr(u64::from_number(number)), StreamId(u64::from_number(number)));
            drop(handle.add_stream(addr, stream, Direction::Downlink).expect("there is room"));
            let member = handle.admit(NetId(number % NETS + 1), addr, stream);
            member.expect("there is room").wait().expect("the stream exists");
        }
        Self { name, handle, links, _manager: manager }
    }
}

impl Ours {
    /// Sends a list in which streams come and go.
    pub(super) fn send_list(&self, first: u64, len: usize) -> Ticket<AppliedAll, CommandError> {
        let command = |number: u64| {
            let (addr, stream) = (NodeAddr(first + number / 2), StreamId(first + number / 2));
            if number.is_multiple_of(2) {
                Command::AddStream { addr, stream, direction: Direction::Downlink }
            } else {
                Command::DeleteStream { addr, stream }
            }
        };
        self.handle.submit_all((0..len as u64).map(command).collect()).expect("reports wait for room")
    }

    pub(super) fn wait_for_list(pending: Ticket<AppliedAll, CommandError>) {
        assert!(pending.wait().expect("the list is applied").first_error().is_none());
    }
}

impl Manager for Ours {
    type Pending = Ticket<Applied, CommandError>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn send(&self, addr: u64, comes: bool) -> Self::Pending {
        let (addr, stream) = (NodeAddr(addr), StreamId(addr));
        let sent = if comes {
            self.handle.add_stream(addr, stream, Direction::Downlink)
        } else {
            self.handle.delete_stream(addr, stream)
        };
        sent.expect("reports wait for room")
    }

    fn wait(&self, pending: Self::Pending) {
        pending.wait().expect("the command is applied");
    }

    fn count(&self, net: u64) -> usize {
        self.links.snapshot().count(NetId(net))
    }

    fn read(&self, stop: &AtomicBool) {
        let mut reader = self.links.reader();
        // Relaxed: the flag publishes no other data.
        while !stop.load(Ordering::Relaxed) {
            for number in 0..256 {
                black_box(reader.snapshot().get(&NodeAddr(u64::from_number(number * 31 % LINKS))));
            }
        }
    }
}
