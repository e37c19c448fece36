//! The serialized form of an export: it survives a round trip, and no damage to it causes a panic.
#![allow(clippy::unwrap_used)] // Tests.

mod ops;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::{Value, json};
use switchboard::clock::{Clock, ManualClock};
use switchboard::link::ClusterKind;
use switchboard::manager::export::{Export, ImportError};
use switchboard::{ClusterId, Config, Link, LinkManager, NetConfig, NetId, NodeAddr};

const NET: NetId = NetId(1);
const OWN: NodeAddr = NodeAddr(9);

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// An export that uses every field.
fn exported() -> Export<NodeAddr> {
    let clock = ManualClock::new();
    let builder = LinkManager::<NodeAddr>::builder(Config::default().max_attempts(9));
    let builder = builder.own_addr(OWN);
    let mut driver = builder.clock(clock.clone()).build().unwrap();
    let handle = driver.handle();
    handle.add_net(NET, NetConfig::new().min_links(2)).unwrap();
    handle.set_net_active(NET, true).unwrap();
    for node in 1..=2 {
        handle.create_link(NodeAddr(node), NET).unwrap();
    }
    handle.add_permanent_peer(NET, NodeAddr(2)).unwrap();
    let cluster = ClusterId::new(NetId(u64::MAX), 7);
    handle.associate_cluster(NET, cluster, ClusterKind::Autonomic).unwrap();
    handle.set_role_member(cluster, OWN, true).unwrap();
    handle.set_role_member(cluster, NodeAddr(2), true).unwrap();
    handle.add_static_peer(cluster, NodeAddr(3)).unwrap();
    handle.set_endpoint(NodeAddr(1), SocketAddr::from(([192, 0, 2, 1], 7))).unwrap();
    let _ = driver.run_once(clock.now());
    let dial = driver.links().snapshot().get(&NodeAddr(1)).and_then(Link::dial_id);
    handle.dial_failed(NodeAddr(1), dial.unwrap(), true).unwrap();
    let _ = driver.run_once(clock.now());
    driver.links().snapshot().export(clock.now(), wall())
}

#[test]
fn the_form_is_plain_and_stable() {
    let mut value = serde_json::to_value(exported()).unwrap();
    value["links"].as_array_mut().unwrap().sort_by_key(|link| link["addr"].to_string());
    let hot = |addr| json!({"addr": addr, "until": 1_000_000_900_000_u64});
    let (first, second) = ("0000::0000::0000::0001", "0000::0000::0000::0002");
    let third = "0000::0000::0000::0003";
    let cluster = json!({"net": u64::MAX, "service": 7});
    let expected = json!({
        "format": 1,
        "active": true,
        "nets": [{
            "id": 1,
            "min_links": 2,
            "count_downlinks": true,
            "reserved_only": false,
            "active": true,
            "ignored": [hot(first), hot(second)],
            "permanent": [second],
        }],
        "clusters": [{
            "id": cluster,
            "net": 1,
            "kind": "autonomic",
            "own_role": true,
            "roles": [second],
        }],
        "links": [
            {
                "addr": first,
                "nets": [1],
                "endpoint": "192.0.2.1:7",
                "attempts": 1,
                "failures": 1,
                "next_attempt": 1_000_000_020_000_u64,
            },
            {"addr": second, "nets": [1], "attempts": 0, "failures": 0},
            {"addr": third, "nets": [], "static_of": [cluster], "attempts": 0, "failures": 0},
        ],
    });
    assert_eq!(value, expected);
    assert_eq!(serde_json::from_value::<Export<NodeAddr>>(expected).unwrap(), exported());
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let mut value = serde_json::to_value(exported()).unwrap();
    value["format"] = json!(2);
    value["something new"] = json!([1, 2, 3]);
    let export: Export<NodeAddr> = serde_json::from_value(value).unwrap();
    assert_eq!(export.format(), 2);
    let error = export.check(&Config::default()).unwrap_err();
    assert_eq!(error, ImportError::UnknownFormat { found: 2, supported: Export::<NodeAddr>::FORMAT });
    assert!(error.to_string().contains("update"));
}

#[test]
fn an_incomplete_form_is_refused() {
    let whole = serde_json::to_value(exported()).unwrap();
    for field in ["format", "active", "nets", "links"] {
        let mut value = whole.clone();
        value.as_object_mut().unwrap().remove(field);
        let error = serde_json::from_value::<Export<NodeAddr>>(value).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn every_prefix_is_refused() {
    let json = serde_json::to_string(&exported()).unwrap();
    for len in 0..json.len() {
        assert!(serde_json::from_str::<Export<NodeAddr>>(&json[..len]).is_err(), "{len}");
    }
}

/// Replaces the part number `place`.
fn damage(value: &mut Value, place: &mut usize, with: &Value) {
    if *place == 0 {
        *value = with.clone();
    }
    *place = place.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| damage(item, place, with)),
        Value::Object(fields) => fields.values_mut().for_each(|field| damage(field, place, with)),
        _ => {}
    }
}

fn wrong() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(|number| json!(number)),
        (0_u64..4).prop_map(|number| json!(number)),
        any::<i8>().prop_map(|number| json!(number)),
        (0_u64..4).prop_map(|number| json!(NodeAddr(number).to_string())),
        any::<bool>().prop_map(|flag| json!(flag)),
        Just(json!(null)),
        Just(json!([])),
        Just(json!({})),
        Just(json!("192.0.2.1:0")),
        Just(json!("embedded")),
    ]
}

proptest! {
    #[test]
    fn a_text_with_other_bytes_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = serde_json::to_vec(&exported()).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        ops::import::survive(&bytes, 0);
    }

    #[test]
    fn a_form_with_other_parts_never_panics(
        changes in prop::collection::vec((0_usize..60, wrong()), 1..4),
        hours in -1000_i64..1000,
    ) {
        let mut value = serde_json::to_value(exported()).unwrap();
        for (mut place, with) in changes {
            damage(&mut value, &mut place, &with);
        }
        ops::import::survive(&serde_json::to_vec(&value).unwrap(), hours);
    }
}
