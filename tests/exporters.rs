//! The output of the exporters, compared with the snapshot that it was made from.
#![allow(clippy::unwrap_used)] // A panic fails the test.

use std::collections::HashMap;

use prometheus_client::registry::Registry;
use prometheus_parse::{Scrape, Value};
use switchboard::clock::{Clock, ManualClock};
use switchboard::manager::MemberFilter;
use switchboard::metrics::Page;
use switchboard::{
    Command, CommandKind, Config, Direction, Driver, LinkManager, LinksSnapshot, Metrics, NetConfig, NetId,
    NodeAddr, StreamId,
};

fn node() -> (Driver<NodeAddr>, ManualClock) {
    let clock = ManualClock::new();
    let mut driver =
        LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build().unwrap();
    let handle = driver.handle();
    for net in [NetId(1), NetId(2)] {
        handle.add_net(net, NetConfig::new().min_links(4)).unwrap();
        handle.set_net_active(net, net == NetId(1)).unwrap();
    }
    for node in 1..=7 {
        let (addr, stream) = (NodeAddr(node), StreamId(node));
        handle.add_stream(addr, stream, Direction::Downlink).unwrap();
        if node % 2 == 0 {
            handle.admit(NetId(1), addr, stream).unwrap();
        }
    }
    handle.create_link(NodeAddr(100), NetId(1)).unwrap();
    handle.delete_link(NodeAddr(101)).unwrap();
    let _ = driver.run_once(clock.now());
    handle.wake_up().unwrap();
    (driver, clock)
}

type Samples = HashMap<String, f64>;

/// Parses a page into its samples, by name and sorted labels.
fn parse(page: &str) -> Samples {
    let scrape = Scrape::parse(page.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let mut samples = HashMap::new();
    for sample in scrape.samples {
        let mut labels: Vec<_> = sample.labels.iter().collect();
        labels.sort();
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let name = format!("{}{{{}}}", sample.metric, labels.join(","));
        match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                assert!(samples.insert(name, value).is_none(), "duplicate sample");
            }
            Value::Histogram(buckets) => {
                let counts: Vec<_> = buckets.iter().map(|bucket| bucket.count).collect();
                assert!(counts.is_sorted(), "{name}: {counts:?}");
                samples.insert(format!("{name} all"), counts.last().copied().unwrap());
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    samples
}

/// Compares the samples with counts over the links themselves.
fn assert_recounted(samples: &Samples, snapshot: &LinksSnapshot, label: &str) {
    let get = |name: &str, labels: &str| {
        let labels: Vec<_> = [labels, label].into_iter().filter(|part| !part.is_empty()).collect();
        let mut labels: Vec<_> = labels.join(",").split(',').map(str::to_owned).collect();
        labels.sort();
        let key = format!("{name}{{{}}}", labels.join(","));
        *samples.get(&key).unwrap_or_else(|| panic!("no {key} among {:?}", samples.keys()))
    };
    assert_eq!(get("switchboard_version", ""), snapshot.version().as_u64() as f64);
    assert_eq!(get("switchboard_links", ""), snapshot.links().count() as f64);
    assert_eq!(get("switchboard_nets", ""), snapshot.nets().len() as f64);
    for net in snapshot.nets() {
        let id = net.id().0;
        for (name, direction) in [("uplink", Direction::Uplink), ("downlink", Direction::Downlink)] {
            let members = snapshot
                .links()
                .filter(|link| link.is_member(net.id()) && link.direction() == direction)
                .count();
            let shown = get("switchboard_net_members", &format!("direction={name},net={id}"));
            assert_eq!(shown, members as f64, "net {id}, {name}");
        }
        let listed = snapshot.addrs(net.id(), MemberFilter::All).count();
        let missing = if net.is_active() { 4 - listed } else { snapshot.needed(net.id()) };
        assert_eq!(get("switchboard_net_needed", &format!("net={id}")), missing as f64);
        assert_eq!(get("switchboard_net_active", &format!("net={id}")), f64::from(u8::from(net.is_active())));
    }
    assert_eq!(get("switchboard_commands_total", "kind=add_stream"), 7.0);
    assert_eq!(get("switchboard_command_errors_total", "code=unknown_link"), 1.0);
    assert_eq!(get("switchboard_lane_queued", "lane=low"), 1.0);
    assert_eq!(get("switchboard_lane_processed_total", "lane=high"), 7.0);
    let commands = snapshot.stats().commands() as f64;
    assert_eq!(get("switchboard_publishes_total", ""), snapshot.stats().publishes() as f64);
    let all: f64 =
        CommandKind::ALL.iter().map(|kind| get("switchboard_commands_total", &format!("kind={kind}"))).sum();
    assert_eq!(all, commands);
}

#[test]
fn a_page_is_what_prometheus_reads_and_what_the_snapshot_says() {
    let (driver, _) = node();
    let (other, _) = node();
    let (metrics, others) = (Metrics::for_driver(&driver), Metrics::for_driver(&other));
    let page = Page::new().add("north", &metrics).add("a \"quoted\\ name", &others).to_string();
    let samples = parse(&page);
    assert_recounted(&samples, &driver.links().snapshot(), "node=north");
    // Each name is declared once, regardless of the number of nodes.
    assert_eq!(page.matches("# TYPE switchboard_links ").count(), 1);
    assert!(page.contains(r#"node="a \"quoted\\ name""#));
    let commands = metrics.collect().processed() as f64;
    assert_eq!(samples.get("switchboard_queue_wait_seconds{node=north} all"), Some(&commands));
    assert_eq!(samples.get("switchboard_queue_wait_seconds_count{node=north}"), Some(&commands));
}

#[test]
fn a_registry_shows_what_the_snapshot_says() {
    let (driver, _) = node();
    let metrics = Metrics::for_driver(&driver);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    assert!(page.ends_with("# EOF\n"));
    let samples = parse(&page);
    assert_recounted(&samples, &driver.links().snapshot(), "");
    // A scrape shows the newest version, not the last report.
    let handle = driver.handle();
    let mut driver = driver;
    handle.submit(Command::RemoveNet { net: NetId(2) }).unwrap();
    let _ = driver.run_once(ManualClock::new().now());
    page.clear();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    let version = format!("switchboard_version {}\n", driver.links().version());
    assert!(page.contains(&version), "{version}: {page}");
}

#[test]
fn the_facade_gets_the_same_figures() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let (driver, _) = node();
    let metrics = Metrics::for_driver(&driver);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        Metrics::<NodeAddr>::describe();
        metrics.record("north");
        metrics.record("north");
    });
    let mut samples = HashMap::new();
    for (key, _, description, value) in snapshotter.snapshot().into_vec() {
        assert!(description.is_some(), "{key:?}");
        let (name, labels) = key.key().clone().into_parts();
        let mut labels: Vec<_> =
            labels.iter().map(|label| format!("{}={}", label.key(), label.value())).collect();
        labels.sort();
        let (suffix, value) = match value {
            DebugValue::Counter(count) => ("_total", count as f64),
            DebugValue::Gauge(value) => ("", value.into_inner()),
            DebugValue::Histogram(_) => panic!("{name:?} is not a histogram"),
        };
        samples.insert(format!("{}{suffix}{{{}}}", name.as_str(), labels.join(",")), value);
    }
    assert_recounted(&samples, &driver.links().snapshot(), "node=north");
}
