//! Exports of any form, imported into a manager.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use switchboard::clock::{Clock, ManualClock};
use switchboard::manager::export::Export;
use switchboard::{Config, LinkManager, NodeAddr};

use super::bytes::Bytes;
use super::driver::check;

const OWN: NodeAddr = NodeAddr(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// Runs a case. The first byte chooses between raw JSON text and an export built from the other bytes.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let hours = i64::from(kind >> 1) - 64;
    if kind & 1 == 0 {
        survive(rest, hours);
    } else {
        let value = form(&mut Bytes::new(rest));
        survive(value.to_string().as_bytes(), hours);
    }
}

/// Imports the text if it is an export, with the wall clock moved by some hours. The export is either refused
/// or makes a manager that works.
pub fn survive(json: &[u8], hours: i64) {
    let Ok(export) = serde_json::from_slice::<Export<NodeAddr>>(json) else { return };
    let clock = ManualClock::new();
    let config = Config::default().max_links(8).max_nets(4).max_ignored(4);
    let config = config.max_clusters(3).max_roles(3).max_permanent(2);
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let moved = HOUR * u32::try_from(hours.unsigned_abs()).unwrap();
    let wall = if hours < 0 { noon - moved } else { noon + moved };
    let fits = export.check(&config);
    let builder = LinkManager::builder(config.clone()).own_addr(OWN).clock(clock.clone());
    let builder = match builder.import(export, wall) {
        Ok(builder) => builder,
        Err(error) => {
            assert!(!error.to_string().is_empty() && fits == Err(error));
            return;
        }
    };
    let mut driver = builder.build().unwrap();
    let links = driver.links().snapshot();
    check(&links);
    let now = clock.now();
    let (cap, ignore_period) = (config.settings().retry.cap(), config.settings().ignore_period);
    for link in links.links() {
        assert!(link.not_before().is_none_or(|at| at >= now && at <= now + cap), "{link:?}");
    }
    for net in links.nets() {
        assert!(links.ignored(net.id(), now).count() <= 4);
        assert_eq!(links.ignored(net.id(), now + ignore_period + Duration::from_nanos(1)).count(), 0);
    }

    // An export of the new manager makes the same manager again, also through text.
    let again = links.export(now, wall);
    let text = serde_json::to_string(&again).unwrap();
    let again: Export<NodeAddr> = serde_json::from_str(&text).unwrap();
    let builder = LinkManager::builder(config).own_addr(OWN).clock(clock.clone());
    let twin = builder.import(again.clone(), wall).unwrap().build().unwrap();
    assert_eq!(twin.links().snapshot().export(now, wall), again);

    for _ in 0..4 {
        let _ = driver.run_once(clock.now());
        check(&driver.links().snapshot());
        clock.advance(Duration::from_secs(10));
    }
    let report = driver.shutdown(clock.now());
    assert_eq!(report.refused, 0);
}

/// A value with the structure of an export.
fn form(bytes: &mut Bytes<'_>) -> Value {
    let flags = bytes.byte();
    let nets: Vec<_> = (0..flags & 3).map(|_| net(bytes)).collect();
    let mut links: Vec<_> = (0..flags >> 2 & 7).map(|_| link(bytes)).collect();
    let format = if flags == 255 { 2 } else { 1 };
    // In bits that the first findings do not use, so that they keep their meaning.
    let mut clusters = Vec::new();
    if flags & 64 != 0 {
        clusters.extend((0..bytes.byte() & 3).map(|_| cluster(bytes)));
        for link in &mut links {
            let fixed: Vec<_> = (0..bytes.byte() & 3).map(|_| cluster_id(bytes)).collect();
            link["static_of"] = json!(fixed);
            link["resting"] = json!(bytes.byte() & 1 == 0);
        }
    }
    let active = flags & 32 == 0;
    json!({"format": format, "active": active, "nets": nets, "clusters": clusters, "links": links})
}

/// One of a few identities. Service 0 is refused.
fn cluster_id(bytes: &mut Bytes<'_>) -> Value {
    let byte = bytes.byte();
    json!({"net": byte & 1, "service": if byte == 255 { 0 } else { u64::from(byte >> 1 & 3) + 1 }})
}

fn cluster(bytes: &mut Bytes<'_>) -> Value {
    let (id, net, flags) = (cluster_id(bytes), net_id(bytes), bytes.byte());
    let kind = if flags & 3 == 3 { "embedded" } else { "autonomic" };
    let roles: Vec<_> = (0..flags >> 2 & 3).map(|_| addr(bytes)).collect();
    json!({"id": id, "net": net, "kind": kind, "own_role": flags & 16 != 0, "roles": roles})
}

fn addr(bytes: &mut Bytes<'_>) -> String {
    NodeAddr(u64::from(bytes.byte() % 16)).to_string()
}

fn net_id(bytes: &mut Bytes<'_>) -> u64 {
    let byte = bytes.byte();
    if byte == 255 { u64::MAX } else { u64::from(byte % 4) }
}

/// A time near that of the test, or an extreme one.
fn time(bytes: &mut Bytes<'_>) -> u64 {
    let (byte, word) = (bytes.byte(), u64::from(bytes.word()));
    match byte {
        0 => 0,
        1 => u64::MAX,
        _ => 1_000_000_000_000 + word * 1_000,
    }
}

fn net(bytes: &mut Bytes<'_>) -> Value {
    let (id, flags) = (net_id(bytes), bytes.byte());
    let ignored = (0..flags & 7).map(|_| json!({"addr": addr(bytes), "until": time(bytes)}));
    let ignored: Vec<_> = ignored.collect();
    let peers = if flags & 128 == 0 { 0 } else { bytes.byte() };
    let permanent: Vec<_> = (0..peers & 3).map(|_| addr(bytes)).collect();
    json!({
        "id": id,
        "reserved_only": peers & 4 != 0,
        "permanent": permanent,
        "min_links": flags >> 3 & 3,
        "count_downlinks": flags & 32 == 0,
        "active": flags & 64 == 0,
        "ignored": ignored,
    })
}

fn link(bytes: &mut Bytes<'_>) -> Value {
    let (addr, flags) = (addr(bytes), bytes.byte());
    let nets: Vec<_> = (0..flags & 3).map(|_| net_id(bytes)).collect();
    let endpoint =
        ["192.0.2.1:7", "192.0.2.1:0", "127.0.0.1:7", "[2001:db8::1]:7"][usize::from(flags >> 2 & 3)];
    let mut link = json!({"addr": addr, "nets": nets, "attempts": flags >> 4 & 3, "failures": bytes.byte()});
    if flags & 64 == 0 {
        link["endpoint"] = json!(endpoint);
    }
    if flags & 128 == 0 {
        link["next_attempt"] = json!(time(bytes));
    }
    link
}
