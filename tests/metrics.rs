//! Metrics under load: with hundreds of readers, no report goes backwards or mixes two versions.
#![cfg(feature = "manager")]
#![allow(clippy::unwrap_used)] // A panic fails the test.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Uses real threads, not models.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use switchboard::mailbox::Priority;
use switchboard::{
    CommandKind, Config, Direction, Effect, Handle, LinkManager, LinksSnapshot, Metrics, MetricsCollector,
    MetricsReport, NetConfig, NetId, NodeAddr, StreamId,
};

const NET: NetId = NetId(1);

fn manager() -> LinkManager<NodeAddr> {
    let transport = |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| {};
    let manager = LinkManager::builder(Config::default()).transport(transport).spawn().unwrap();
    let handle = manager.handle();
    handle.add_net(NET, NetConfig::new().min_links(0)).unwrap().wait().unwrap();
    handle.set_net_active(NET, true).unwrap().wait().unwrap();
    manager
}

/// Adds, admits and deletes nodes as fast as the manager allows.
fn churn(handle: &Handle<NodeAddr>, stop: &AtomicBool) {
    // Relaxed, here and below: the flag publishes no other data.
    for node in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (addr, stream) = (NodeAddr(node), StreamId(node));
        handle.add_stream(addr, stream, Direction::Downlink).unwrap();
        handle.admit(NET, addr, stream).unwrap();
        let gone = NodeAddr(node.saturating_sub(100));
        let deleted = handle.delete_stream(gone, StreamId(gone.0)).unwrap();
        // Rarely: a round trip is slow while hundreds of threads compete for the processor.
        if node % 100 == 0 {
            deleted.wait().unwrap();
        }
    }
}

/// Checks relations that hold within each version, so a report that mixes two versions fails.
fn check_report(report: &MetricsReport, before: &MetricsReport) {
    let stats = report.stats();
    assert_eq!(report.links(), stats.links_created() - stats.links_deleted());
    assert!(report.downlinks() <= report.links() && report.uplinks() == 0);
    assert_eq!((report.nets(), report.nets_active()), (1, 1));

    assert!(report.version() >= before.version());
    assert!(stats.commands() >= before.stats().commands());
    assert!(stats.publishes() >= before.stats().publishes());
    for priority in Priority::ALL {
        assert!(report.lane(priority).processed >= before.lane(priority).processed);
        assert!(report.lane(priority).queued_peak >= before.lane(priority).queued_peak);
    }
    for kind in CommandKind::ALL {
        assert!(report.operations(*kind) >= before.operations(*kind));
    }
    for ((code, now), (_, then)) in report.errors().zip(before.errors()) {
        assert!(now >= then, "{code}");
    }
    assert!(report.queue_wait().count >= before.queue_wait().count);
    assert!(report.queue_wait().max >= before.queue_wait().max);
    assert!(report.tickets().reused >= before.tickets().reused);
}

fn check_snapshot(snapshot: &LinksSnapshot<NodeAddr>, before: &LinksSnapshot<NodeAddr>) {
    let stats = snapshot.stats();
    assert_eq!(snapshot.len() as u64, stats.links_created() - stats.links_deleted());
    assert!(snapshot.version() >= before.version());
    assert!(stats.commands() >= before.stats().commands());
}

/// Runs readers of reports, of the state and of the settings, and one collector.
fn storm(duration: Duration, metric_readers: usize, state_readers: usize, config_readers: usize) -> u64 {
    let manager = manager();
    let metrics = Metrics::new(&manager);
    let (stop, operations, started) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let collected = std::sync::Arc::new(AtomicU64::new(0));
    let sound = std::sync::Arc::new(AtomicU64::new(0));
    let (counted, agreed) = (collected.clone(), sound.clone());
    let mut last = metrics.report();
    let sink = move |report: &MetricsReport| {
        counted.fetch_add(1, Ordering::Relaxed);
        check_report(report, &last);
        last = *report;
        agreed.fetch_add(1, Ordering::Relaxed);
    };
    let collector =
        MetricsCollector::start("metrics", metrics.clone(), Duration::from_millis(5), sink).unwrap();
    let until_stopped = |step: &mut dyn FnMut()| {
        let mut done = 0;
        while !stop.load(Ordering::Relaxed) {
            step();
            done += 1;
            if done == 1 {
                started.fetch_add(1, Ordering::Relaxed);
            }
        }
        operations.fetch_add(done, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..metric_readers {
            threads.push(scope.spawn(|| {
                let mut before = metrics.report();
                until_stopped(&mut || {
                    let report = metrics.report();
                    check_report(&report, &before);
                    before = report;
                });
            }));
        }
        for _ in 0..state_readers {
            threads.push(scope.spawn(|| {
                let links = manager.links();
                let mut before = links.snapshot();
                until_stopped(&mut || {
                    let snapshot = links.snapshot();
                    check_snapshot(&snapshot, &before);
                    before = snapshot;
                });
            }));
        }
        for _ in 0..config_readers {
            threads.push(scope.spawn(|| {
                let mut reader = manager.links().reader();
                until_stopped(&mut || {
                    let snapshot = reader.snapshot();
                    let net = snapshot.net(NET).unwrap();
                    assert!(net.is_active() && snapshot.is_manager_active());
                    assert_eq!((net.min_links(), snapshot.needed(NET)), (0, 0));
                });
            }));
        }
        let handle = manager.handle();
        let churning = scope.spawn(|| {
            let handle = handle;
            churn(&handle, &stop);
        });
        let end = Instant::now() + duration;
        // On a busy machine, waits until every thread has run.
        let is_done = || {
            let ran = started.load(Ordering::Relaxed) == threads.len() as u64;
            let written = metrics.collect().processed() > 100;
            Instant::now() >= end && ran && written && collected.load(Ordering::Relaxed) >= 2
        };
        while !is_done()
            && !churning.is_finished()
            && !threads.iter().any(thread::ScopedJoinHandle::is_finished)
        {
            thread::park_timeout(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(threads.into_iter().all(|thread| thread.join().is_ok()));
        churning.join().unwrap();
    });
    collector.stop();
    // The collector contains panics of its sink.
    assert_eq!(sound.load(Ordering::Relaxed), collected.load(Ordering::Relaxed), "a report failed a check");
    let last = metrics.collect();
    assert_eq!(last.version(), manager.links().version());
    operations.load(Ordering::Relaxed)
}

/// 151 threads for at least 2 s, besides the manager's own threads and one that makes changes.
#[test]
fn a_hundred_readers_see_whole_reports_in_order() {
    let operations = storm(Duration::from_secs(2), 100, 50, 0);
    assert!(operations >= 150, "too few reads: {operations}");
}

/// 301 threads for at least 3 s.
#[test]
fn three_hundred_readers_see_whole_reports_in_order() {
    let operations = storm(Duration::from_secs(3), 200, 50, 50);
    assert!(operations >= 300, "too few reads: {operations}");
}
