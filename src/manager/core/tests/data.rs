//! User values and traffic counters of links.

use super::*;
use crate::link::UserData;
use crate::link::cluster::{By, Designation};

fn attach(bench: &mut Bench, addr: NodeAddr, data: Option<UserData>) -> Applying {
    bench.apply(Command::SetUserData { addr, data })
}

#[test]
fn data_is_typed_and_belongs_to_the_version() {
    let mut bench = Bench::immediate();
    let data = UserData::new(String::from("Lisbon"));
    assert_eq!(attach(&mut bench, A, Some(data.clone())), Err(CommandError::UnknownLink));
    bench.create(A, NET).unwrap();
    assert_eq!(attach(&mut bench, A, Some(data.clone())), Ok(Outcome::Done));
    assert_eq!(attach(&mut bench, A, Some(data)), Ok(Outcome::Unchanged));
    let old = bench.link(A);
    assert_eq!(old.user_data::<String>().map(String::as_str), Some("Lisbon"));
    assert_eq!(old.user_data::<u32>(), None);

    assert_eq!(attach(&mut bench, A, Some(UserData::new(7_u32))), Ok(Outcome::Done));
    assert_eq!(bench.link(A).user_data(), Some(&7_u32));
    assert_eq!(
        old.user_data::<String>().map(String::as_str),
        Some("Lisbon"),
        "an old version does not change"
    );
    assert_eq!(attach(&mut bench, A, None), Ok(Outcome::Done));
    assert_eq!(attach(&mut bench, A, None), Ok(Outcome::Unchanged));
    assert_eq!(bench.link(A).user_data::<u32>(), None);
}

#[test]
fn data_stays_as_long_as_the_record() {
    let mut bench = Bench::immediate();
    bench.create(A, NET).unwrap();
    attach(&mut bench, A, Some(UserData::new(7_u32))).unwrap();
    bench.uplink(B, NET, 2);
    bench.update(A).unwrap();
    bench.turn();
    assert_eq!(bench.link(A).user_data(), Some(&7_u32), "the value survives every change of the link");
    bench.done(Command::DeleteLink { addr: A });
    bench.create(A, NET).unwrap();
    assert_eq!(bench.link(A).user_data::<u32>(), None);
}

#[test]
fn counters_are_newer_than_any_version_and_publish_nothing() {
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Direction::Downlink);
    let old = bench.link(A);
    let version = bench.links.version();
    old.counters().add_received(7);
    assert!(!bench.core.is_dirty());
    assert_eq!(bench.links.version(), version);
    let published = bench.links.snapshot();
    assert_eq!(published.get(&A).map(|link| link.counters().received()), Some(7), "newer than the version");
    bench.account(NET, A, 1, true).unwrap();
    let new = bench.link(A);
    assert_ne!(old, new);
    assert_eq!((old.counters(), new.counters().received()), (new.counters(), 7));

    // A link that is created again has a new record.
    bench.unstream(A, 1).unwrap();
    bench.done_stream(A, 2, Direction::Downlink);
    assert_eq!(bench.link(A).counters().received(), 0);
    assert_eq!(old.counters().received(), 7, "the old counters can still be read");
}

#[test]
fn every_list_of_a_record_is_counted() {
    let mut link = Link::new(A, ManualClock::new().now());
    let before = link.bytes();
    link.join_cluster(CLUSTER);
    assert_eq!(link.bytes() - before, size_of::<ClusterId>());
    link.designate(CLUSTER, By::Host);
    assert_eq!(link.bytes() - before, size_of::<ClusterId>() + size_of::<Designation>());
}
