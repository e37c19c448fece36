//! Serialized values survive a round trip, and malformed input is refused.
#![allow(clippy::unwrap_used)] // Tests.

use std::collections::HashMap;
use std::fmt::Debug;

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde::{Deserialize, Serialize};
use switchboard::table::GroupIndex;
use switchboard::{NetId, NodeAddr, Snapshot, StreamId, Table, Version, Writer};

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, json: &str) {
    assert_eq!(serde_json::to_string(value).unwrap(), json);
    assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
}

fn parity(_: &NodeAddr, value: &u32, group: &mut dyn FnMut(bool)) {
    group(value.is_multiple_of(2));
}

type Addrs = GroupIndex<NodeAddr, u32, bool>;

type Loaded = (Writer<NodeAddr, u32, Addrs>, Table<NodeAddr, u32, Addrs>);

fn load(json: &str) -> serde_json::Result<Loaded> {
    let builder = Table::<NodeAddr, u32>::builder().index(Addrs::new(parity));
    builder.deserialize(&mut serde_json::Deserializer::from_str(json))
}

#[test]
fn links_and_versions_have_a_plain_form() {
    round_trip(&NodeAddr(0xAAAA_BBBB_CCCC_DDDD), r#""AAAA::BBBB::CCCC::DDDD""#);
    round_trip(&NodeAddr::BLANK, r#""0000::0000::0000::0000""#);
    round_trip(&NetId(u64::MAX), "18446744073709551615");
    round_trip(&StreamId(7), "7");
    round_trip(&Version::ZERO, "0");
    let (mut writer, _) = Table::<u64, u64>::new();
    writer.insert(1, 1);
    round_trip(&writer.publish(), "1");
    assert_eq!(serde_json::from_str::<NodeAddr>(r#""0x000000000000000A""#).unwrap(), NodeAddr(10));
    // With an escape, the text cannot be borrowed from the input.
    let escaped = r#""\u0041AAA::BBBB::CCCC::DDDD""#;
    assert_eq!(serde_json::from_str::<NodeAddr>(escaped).unwrap(), NodeAddr(0xAAAA_BBBB_CCCC_DDDD));
}

#[test]
fn malformed_links_and_versions_are_refused() {
    for json in [r#""AAAA::BBBB::CCCC""#, r#""""#, "7", "null", "[]", r#""AAAA::BBBB::CCCC::DDDG""#] {
        let error = serde_json::from_str::<NodeAddr>(json).unwrap_err();
        assert!(error.to_string().contains("a node address"), "{json}: {error}");
    }
    for json in ["-1", "18446744073709551616", "1.5", r#""1""#, "null"] {
        assert!(serde_json::from_str::<NetId>(json).is_err(), "{json}");
        assert!(serde_json::from_str::<StreamId>(json).is_err(), "{json}");
        assert!(serde_json::from_str::<Version>(json).is_err(), "{json}");
    }
}

#[test]
fn a_snapshot_comes_back_as_a_table() {
    let saved: Snapshot<NodeAddr, u32> = (0..3_000).map(|node| (NodeAddr(node), node as u32)).collect();
    let json = serde_json::to_string(&saved).unwrap();
    let (mut writer, table) = load(&json).unwrap();
    let loaded = table.snapshot();
    assert_eq!((loaded.version(), loaded.len()), (Version::ZERO, 3_000));
    assert!(saved.iter().all(|(addr, value)| loaded[addr] == *value));
    assert_eq!((loaded.index().count(&true), loaded.index().count(&false)), (1_500, 1_500));

    // The round trip through a map of the standard library gives the same entries.
    let map: HashMap<NodeAddr, u32> = serde_json::from_str(&json).unwrap();
    writer.clear();
    writer.extend(map);
    writer.publish();
    assert_eq!(table.snapshot(), loaded);
    assert_eq!(serde_json::to_string(&Table::<u64, u64>::new().1.snapshot()).unwrap(), "{}");
}

#[test]
fn a_snapshot_is_a_field_of_something_larger() {
    #[derive(Serialize)]
    struct Saved<'a> {
        version: Version,
        links: &'a Snapshot<NodeAddr, u32>,
    }

    let links: Snapshot<NodeAddr, u32> = [(NodeAddr(1), 10)].into_iter().collect();
    let json = serde_json::to_string(&Saved { version: links.version(), links: &links }).unwrap();
    assert_eq!(json, r#"{"version":0,"links":{"0000::0000::0000::0001":10}}"#);
}

#[test]
fn a_malformed_map_makes_no_table() {
    for json in [
        "",
        "[]",
        "7",
        r#"{"0000::0000::0000::0001":1"#,
        r#"{"0000::0000::0000::0001":-1}"#,
        r#"{"0000::0000::0000::0001":1,"0000::0000::0000::0002":null}"#,
        r#"{"0000::0000::0000::0001":1,"nobody":2}"#,
    ] {
        assert!(load(json).is_err(), "{json}");
    }
    let twice = r#"{"0000::0000::0000::0001":1,"0000::0000::0000::0001":2}"#;
    let (_, table) = load(twice).unwrap();
    assert_eq!((table.snapshot().len(), table.snapshot()[&NodeAddr(1)]), (1, 2), "the last value is kept");
    assert_eq!((table.snapshot().index().count(&true), table.snapshot().index().count(&false)), (1, 0));
}

#[test]
fn a_value_that_fails_late_is_an_error() {
    #[derive(Clone, Debug, PartialEq, Deserialize)]
    #[serde(try_from = "u32")]
    struct Even(u32);

    impl TryFrom<u32> for Even {
        type Error = &'static str;

        fn try_from(number: u32) -> Result<Self, &'static str> {
            if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("odd") }
        }
    }

    let load = |json: &str| {
        let (writer, table) =
            Table::<String, Even>::builder().deserialize(&mut serde_json::Deserializer::from_str(json))?;
        drop(writer);
        Ok::<_, serde_json::Error>(table.snapshot())
    };
    assert_eq!(load(r#"{"a":2}"#).unwrap()["a"], Even(2));
    assert!(load(r#"{"a":2,"b":3}"#).unwrap_err().to_string().contains("odd"));
}
