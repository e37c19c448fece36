//! A link from creation to export, with different address types.
#![cfg(feature = "manager")]
#![allow(clippy::unwrap_used)] // Tests.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use switchboard::clock::{Clock, ManualClock};
use switchboard::link::DialState;
use switchboard::manager::MemberFilter;
use switchboard::manager::explain::{DialBlocker, KeepReason};
use switchboard::{
    Addr, CommandError, Config, Direction, Effect, Link, LinkManager, NetConfig, NetId, NodeAddr, Outcome,
    StreamId,
};

const NET: NetId = NetId(1);

/// A public key as a type of the embedder.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct PublicKey([u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {:02x}{:02x}..", self.0[0], self.0[1])
    }
}

impl Addr for PublicKey {
    fn is_blank(&self) -> bool {
        self.0 == [0; 32]
    }
}

/// Creates, dials, accounts, lists, explains, exports and restores a link.
fn live<A: Addr>(own: &A, blank: &A, peer: &A, guest: &A) {
    let clock = ManualClock::new();
    let builder = LinkManager::<A>::builder(Config::default()).own_addr(own.clone());
    let mut driver = builder.clock(clock.clone()).build().unwrap();
    let (handle, links) = (driver.handle(), driver.links());
    handle.add_net(NET, NetConfig::new().min_links(2)).unwrap();
    handle.set_net_active(NET, true).unwrap();
    let blank = handle.create_link(blank.clone(), NET).unwrap();
    let own = handle.create_link(own.clone(), NET).unwrap();
    let created = handle.create_link(peer.clone(), NET).unwrap();
    let endpoint = SocketAddr::from(([192, 0, 2, 1], 4000));
    handle.set_endpoint(peer.clone(), endpoint).unwrap();
    let _ = driver.run_once(clock.now());
    assert_eq!(blank.wait(), Err(CommandError::BlankAddr));
    assert_eq!(own.wait(), Err(CommandError::OwnAddr));
    assert_eq!(created.wait().map(|applied| applied.outcome), Ok(Outcome::Created));

    let dial = driver.effects().find_map(|effect| match effect {
        Effect::Dial { addr, endpoint: to, dial, .. } if addr == *peer && to == endpoint => Some(dial),
        _ => None,
    });
    handle.add_stream(peer.clone(), StreamId(1), Direction::Uplink).unwrap();
    handle.dial_connected(peer.clone(), dial.unwrap()).unwrap();
    handle.admit(NET, peer.clone(), StreamId(1)).unwrap();
    handle.add_stream(guest.clone(), StreamId(2), Direction::Downlink).unwrap();
    handle.admit(NET, guest.clone(), StreamId(2)).unwrap();
    let _ = driver.run_once(clock.now());

    let snapshot = links.snapshot();
    assert_eq!(snapshot.addrs(NET, MemberFilter::Established).collect::<Vec<_>>(), [peer, guest]);
    assert_eq!((snapshot.count(NET), snapshot.needed(NET)), (2, 0));
    assert_eq!(snapshot.ignored(NET, clock.now()).collect::<Vec<_>>(), [peer]);
    let explanation = snapshot.explain(peer, clock.now());
    assert_eq!(explanation.reasons, [KeepReason::WantedBy(NET), KeepReason::MemberOf(NET)]);
    assert_eq!(explanation.blockers, [DialBlocker::Busy(DialState::Established), DialBlocker::Connected]);
    let explanation = snapshot.explain(guest, clock.now());
    assert_eq!(explanation.reasons, [KeepReason::MemberOf(NET), KeepReason::Downlink(StreamId(2))]);

    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let export = snapshot.export(clock.now(), wall);
    let builder = LinkManager::builder(Config::default()).clock(clock.clone());
    let restored = builder.import(export.clone(), wall).unwrap().build().unwrap();
    let snapshot = restored.links().snapshot();
    assert!(snapshot.contains(peer, NET) && snapshot.get(guest).is_none());
    assert_eq!(snapshot.get(peer).and_then(Link::endpoint), Some(endpoint));
    assert_eq!(snapshot.export(clock.now(), wall), export);
}

#[test]
fn node_addresses() {
    live(&NodeAddr(9), &NodeAddr::BLANK, &NodeAddr(1), &NodeAddr(2));
}

#[test]
fn socket_addresses() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    live(&at("192.0.2.9:7"), &at("0.0.0.0:7"), &at("192.0.2.1:7"), &at("[2001:db8::2]:7"));
}

#[test]
fn public_keys() {
    live(&[9; 32], &[0; 32], &[1; 32], &[2; 32]);
    let key = |byte| PublicKey([byte; 32]);
    live(&key(9), &key(0), &key(1), &key(2));
}

#[test]
fn texts_of_the_embedder() {
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Name(String);

    impl Addr for Name {
        fn is_blank(&self) -> bool {
            self.0.is_empty()
        }
    }

    let name = |text: &str| Name(String::from(text));
    live(&name("self"), &name(""), &name("peer.example"), &name("guest.example"));
}
