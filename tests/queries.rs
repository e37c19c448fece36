//! Every query is answered from one version, without allocating.
#![cfg(feature = "manager")]
#![allow(clippy::unwrap_used)] // Tests.

use std::hint::black_box;

use switchboard::clock::{Clock, ManualClock};
use switchboard::link::DialState;
use switchboard::manager::MemberFilter;
use switchboard::{
    Config, Direction, Driver, LinkManager, LinksSnapshot, NetConfig, NetId, NodeAddr, StreamId,
};

const NET: NetId = NetId(1);
const UNKNOWN: NetId = NetId(9);
const HOST: NodeAddr = NodeAddr(3);

/// A net with three downlinks as members and a link that is only wanted.
fn driver() -> (Driver, ManualClock) {
    let clock = ManualClock::new();
    let mut driver = LinkManager::builder(Config::default()).clock(clock.clone()).build().unwrap();
    let handle = driver.handle();
    handle.add_net(NET, NetConfig::new().min_links(5)).unwrap();
    handle.set_net_active(NET, true).unwrap();
    for node in 1..=3 {
        let (addr, stream) = (NodeAddr(node), StreamId(node));
        handle.add_stream(addr, stream, Direction::Downlink).unwrap();
        handle.admit(NET, addr, stream).unwrap();
    }
    handle.create_link(NodeAddr(4), NET).unwrap();
    let _ = driver.run_once(clock.now());
    (driver, clock)
}

/// Makes every query, and returns the answers as numbers.
fn ask(snapshot: &LinksSnapshot, clock: &ManualClock) -> [u64; 18] {
    let now = clock.now();
    let count = |count: usize| count as u64;
    [
        count(snapshot.count(NET)),
        count(snapshot.count(UNKNOWN)),
        count(snapshot.count_by(NET, Direction::Downlink, DialState::Disconnected)),
        count(snapshot.min_links(NET)),
        count(snapshot.needed(NET)),
        u64::from(snapshot.is_active(NET)),
        u64::from(snapshot.is_active(UNKNOWN)),
        u64::from(snapshot.contains(&NodeAddr(4), NET)),
        u64::from(snapshot.contains(&HOST, NET)),
        count(snapshot.get(&HOST).map_or(0, |link| link.streams().len())),
        count(snapshot.addrs(NET, MemberFilter::All).count()),
        count(snapshot.addrs(NET, MemberFilter::Established).count()),
        count(snapshot.ignored(NET, now).count()),
        count(snapshot.nets().len()),
        snapshot.stats().links_created(),
        snapshot.version().as_u64(),
        u64::try_from((now - snapshot.published_at()).as_nanos()).unwrap(),
        count(snapshot.settings().max_streams),
    ]
}

#[test]
fn no_query_allocates() {
    let (driver, clock) = driver();
    let snapshot = driver.links().snapshot();
    // Shows that the allocation counter works.
    assert!(allocation_counter::measure(|| drop(black_box(Box::new(1)))).count_total > 0);
    let mut answers = [0; 18];
    let counted = allocation_counter::measure(|| answers = ask(&snapshot, &clock));
    assert_eq!(counted.count_total, 0);
    assert_eq!(answers, [3, 0, 3, 5, 2, 1, 0, 1, 0, 1, 3, 3, 1, 1, 4, 1, 0, 8]);
    // Nor does a snapshot of the newest version.
    let links = driver.links();
    drop(links.snapshot());
    assert_eq!(allocation_counter::measure(|| drop(black_box(links.snapshot()))).count_total, 0);
}

#[test]
fn a_version_answers_the_same_for_ever() {
    let (mut driver, clock) = driver();
    let old = driver.links().snapshot();
    let answers = ask(&old, &clock);
    driver.handle().remove_net(NET).unwrap();
    driver.handle().delete_link(HOST).unwrap();
    let _ = driver.run_once(clock.now());
    assert_eq!(ask(&old, &clock), answers);
    let new = driver.links().snapshot();
    assert_ne!(ask(&new, &clock), answers);
    assert_eq!((new.count(NET), new.min_links(NET), new.needed(NET), new.nets().len()), (0, 0, 0, 0));
}

#[test]
fn traffic_is_counted_without_allocating_and_without_a_version() {
    let (driver, clock) = driver();
    let links = driver.links();
    let snapshot = links.snapshot();
    let counters = snapshot.get(&HOST).unwrap().counters();
    let counted = allocation_counter::measure(|| {
        counters.add_sent(3);
        counters.add_received(4);
        counters.seen(clock.now());
    });
    assert_eq!(counted.count_total, 0);
    let newest = links.snapshot();
    assert_eq!(newest.version(), snapshot.version());
    let found = newest.get(&HOST).unwrap().counters();
    assert_eq!((found.sent(), found.received(), found.last_seen()), (3, 4, Some(clock.now())));
}
