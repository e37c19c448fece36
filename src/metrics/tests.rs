//! Reports compared with their sources, and the threads that collect.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // These tests use real threads, not models.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use super::board::Board;
use crate::clock::{Clock, ManualClock};
use crate::link::addr::NodeAddr;
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::mailbox::{self, Backpressure, Priority};
use crate::manager::MemberFilter;
use crate::manager::link_manager::LinkManager;
use crate::manager::model::command::kind::CommandKind;
use crate::manager::model::config::Config;
use crate::manager::model::effect::Effect;
use crate::manager::run::driver::Driver;
use crate::manager::run::handle::Handle;
use crate::metrics::collector::MetricsCollector;
use crate::metrics::handle::Metrics;
use crate::metrics::report::MetricsReport;

const NET: NetId = NetId(1);
const NEVER: Duration = Duration::MAX;

fn driver(capacities: mailbox::Config) -> (Driver<NodeAddr>, ManualClock) {
    let clock = ManualClock::new();
    let config = Config::default().mailbox(capacities);
    (LinkManager::builder(config).clock(clock.clone()).build().unwrap(), clock)
}

fn manager() -> LinkManager<NodeAddr> {
    let transport = |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| {};
    LinkManager::builder(Config::default()).transport(transport).spawn().unwrap()
}

fn join(handle: &Handle<NodeAddr>, node: u64) {
    let (addr, stream) = (NodeAddr(node), StreamId(node));
    handle.add_stream(addr, stream, Direction::Downlink).unwrap();
    handle.admit(NET, addr, stream).unwrap();
}

#[test]
fn a_fresh_manager_has_a_report() {
    let (driver, _clock) = driver(mailbox::Config::new().normal(64).unwrap());
    let metrics = Metrics::for_driver(&driver);
    for report in [metrics.report(), metrics.collect(), *metrics.reader().report()] {
        assert!(report.is_manager_active());
        assert_eq!(report.lane(Priority::Normal).capacity, 64);
        assert!(report.tickets().capacity > 0);
        assert_eq!(report.version(), driver.links().version());
    }
    assert!(!metrics.refresh(), "nothing has happened since");
}

#[test]
fn a_report_says_what_its_version_says() {
    let (mut driver, clock) = driver(mailbox::Config::new());
    let (metrics, handle) = (Metrics::for_driver(&driver), driver.handle());
    assert_eq!((metrics.report().links(), metrics.report().version()), (0, driver.links().version()));

    handle.add_net(NET, NetConfig::new().min_links(0)).unwrap();
    handle.add_net(NetId(2), NetConfig::new()).unwrap();
    handle.set_net_active(NET, true).unwrap();
    (1..=5).for_each(|node| join(&handle, node));
    let _ = driver.run_once(clock.now());
    let snapshot = driver.links().snapshot();
    // Not collected yet.
    assert!(metrics.report().version() < snapshot.version());
    let report = metrics.collect();
    assert_eq!(report, metrics.report());
    assert_eq!(report.version(), snapshot.version());
    assert_eq!((report.links(), report.nets(), report.nets_active()), (5, 2, 1));
    assert_eq!(
        (report.uplinks(), report.downlinks()),
        (0, snapshot.addrs(NET, MemberFilter::All).count() as u64)
    );
    assert_eq!(report.stats(), snapshot.stats());
    assert!(report.is_manager_active());
}

#[test]
fn the_writer_counts_what_it_does() {
    let capacities = mailbox::Config::try_from([2, 8, 2, 1]).unwrap();
    let (mut driver, clock) = driver(capacities);
    let (metrics, handle) = (Metrics::for_driver(&driver), driver.handle());
    handle.with_deadline(Duration::from_millis(1)).add_net(NET, NetConfig::new()).unwrap();
    handle.remove_net(NetId(7)).unwrap();
    assert!(handle.remove_net(NetId(8)).is_err_and(|error| error.is_full()));
    handle.add_stream(NodeAddr(1), StreamId(1), Direction::Downlink).unwrap();
    let queued = metrics.collect();
    assert_eq!((queued.lane(Priority::Normal).queued, queued.lane(Priority::High).queued), (2, 1));
    assert_eq!((queued.lane(Priority::Normal).refused, queued.processed()), (1, 0));

    clock.advance(Duration::from_millis(3));
    let _ = driver.run_once(clock.now());
    let report = metrics.collect();
    let normal = report.lane(Priority::Normal);
    assert_eq!((normal.processed, normal.queued, normal.queued_peak, normal.capacity), (2, 0, 2, 2));
    assert_eq!((report.lane(Priority::High).processed, report.processed()), (1, 3));
    assert_eq!(report.operations(CommandKind::RemoveNet), 1);
    assert_eq!(report.operations(CommandKind::AddStream), 1);
    assert_eq!((report.error_count("expired"), report.error_count("unknown_net")), (1, 1));
    assert_eq!(report.errors().map(|(_, count)| count).sum::<u64>(), 2);
    assert_eq!((report.queue_wait().count, report.queue_wait().max), (3, Duration::from_millis(3)));
    assert_eq!(report.queue_wait().mean(), Duration::from_millis(3));
    assert_eq!((report.processing().count, report.processing().sum), (3, Duration::ZERO));
    assert_eq!(metrics.queue_wait().quantile(0.5), Duration::from_millis(3));
    assert_eq!(metrics.processing().count(), 3);
    // The refused command returned its ticket to the pool.
    assert_eq!(report.tickets().allocated + report.tickets().reused, 4);
    assert_eq!(report.tickets().capacity, 13);
}

#[test]
fn what_is_shed_is_counted_as_an_error() {
    let capacities = mailbox::Config::try_from([1; 4]).unwrap().backpressure(Backpressure::ShedLowest);
    let (mut driver, clock) = driver(capacities);
    let (metrics, handle) = (Metrics::for_driver(&driver), driver.handle());
    let victim = handle.wake_up().unwrap();
    handle.remove_net(NET).unwrap();
    handle.remove_net(NET).unwrap();
    assert_eq!(victim.wait(), Err(crate::CommandError::Shed));
    let _ = driver.run_once(clock.now());
    let report = metrics.collect();
    assert_eq!((report.lane(Priority::Low).shed, report.error_count("shed")), (1, 1));
    assert_eq!((report.error_count("unknown_net"), report.processed()), (2, 2));
}

#[test]
fn an_older_version_does_not_replace_a_newer_one() {
    let (mut driver, clock) = driver(mailbox::Config::new());
    let (metrics, handle) = (Metrics::for_driver(&driver), driver.handle());
    let old = driver.links().snapshot();
    handle.add_net(NET, NetConfig::new()).unwrap();
    let _ = driver.run_once(clock.now());
    let newer = metrics.collect();
    assert_eq!(metrics.collect_from(&old), newer);
    assert_eq!(metrics.report(), newer);
    // The same version again: the counters are current.
    handle.remove_net(NET).unwrap();
    let again = metrics.collect();
    assert_eq!((again.version(), again.lane(Priority::Normal).queued), (newer.version(), 1));
}

/// The writer counts memory, which grows with the content.
#[test]
fn memory_is_measured_on_demand() {
    let (mut driver, clock) = driver(mailbox::Config::new());
    let handle = driver.handle();
    let before = driver.memory();
    assert!(before.mailbox_bytes > 0 && before.records_bytes == 0);
    (1..=100).for_each(|node| {
        handle.add_stream(NodeAddr(node), StreamId(node), Direction::Downlink).unwrap();
    });
    // An idle turn brings the spare copy up to date, after its commands.
    let _ = driver.run_once(clock.now());
    let measured = handle.measure_memory().unwrap();
    let _ = driver.run_once(clock.now());
    let after = measured.wait().unwrap();
    assert_eq!(after, driver.memory());
    assert!(after.records_bytes > 100 * 100 && after.table.newest_bytes > 100 * 16);
    assert!(after.tickets_bytes > before.tickets_bytes && after.mailbox_bytes == before.mailbox_bytes);
    assert!(after.total_bytes() > before.total_bytes());
}

/// A measurement occupies a lane without being a command.
#[test]
fn a_report_shows_that_a_measurement_has_left_its_lane() {
    let config = Config::default().batch(NonZeroUsize::MIN);
    let clock = ManualClock::new();
    let mut driver = LinkManager::<NodeAddr>::builder(config).clock(clock.clone()).build().unwrap();
    let (metrics, handle) = (Metrics::for_driver(&driver), driver.handle());
    let measured = handle.measure_memory().unwrap();
    handle.add_net(NET, NetConfig::new()).unwrap();
    // The net first: its lane comes before that of the measurement.
    let _ = driver.run_once(clock.now());
    assert_eq!(metrics.collect().lane(Priority::Low).queued, 1);
    let _ = driver.run_once(clock.now());
    let _ = measured.wait().unwrap();
    assert!(metrics.refresh());
    assert_eq!(metrics.report().lane(Priority::Low).queued, 0);
}

#[test]
fn a_panic_while_a_report_is_completed_leaves_the_one_before() {
    let board = Board::<2>::new();
    assert!(board.publish(1, &mut [1, 1], |_| 1));
    let panicking = || board.publish(2, &mut [2, 2], |_| panic!("while the report is completed"));
    assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    assert_eq!(board.read(), [1, 1]);
    assert!(board.publish(1, &mut [3, 3], |_| 3));
    assert_eq!(board.read(), [3, 3]);
}

/// The report's lock is a leaf: nothing is acquired under it.
#[test]
#[cfg(debug_assertions)]
#[should_panic = "lock order inversion"]
fn a_lock_under_the_reports_lock_panics() {
    let board = Board::<1>::new();
    let other = crate::sync::Mutex::new(&crate::sync::lock_order::TEST_AUXILIARY, ());
    board.publish(1, &mut [1], |_| {
        drop(other.lock());
        1
    });
}

/// Other threads read while a collecting thread stalls in the middle.
#[test]
fn a_collector_that_stands_still_delays_no_reader() {
    let board = Arc::new(Board::<2>::new());
    assert!(board.publish(1, &mut [1, 1], |_| 1));
    let (inside, entered) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let stuck = board.clone();
    let collector = std::thread::spawn(move || {
        stuck.publish(2, &mut [2, 2], |_| {
            inside.send(()).unwrap();
            wait.recv().unwrap();
            2
        })
    });
    entered.recv().unwrap();
    for _ in 0..1_000 {
        assert_eq!(board.read(), [1, 1]);
    }
    go_on.send(()).unwrap();
    assert!(collector.join().unwrap());
    assert_eq!(board.read(), [2, 2]);
}

/// A second refresh changes nothing, and every counted event makes a new report.
#[test]
fn nothing_new_makes_no_report_and_every_change_does() {
    let (mut driver, clock) = driver(mailbox::Config::new().normal(1).unwrap());
    let (metrics, handle) = (Metrics::for_driver(&driver), driver.handle());
    let refreshed = |what: &str| {
        assert!(metrics.refresh(), "{what} changes the report");
        assert!(!metrics.refresh(), "{what} changes the report only once");
        metrics.report()
    };
    assert!(!metrics.refresh(), "the first report exists");
    let waiting = handle.add_net(NET, NetConfig::new()).unwrap();
    assert_eq!(refreshed("a command that waits").lane(Priority::Normal).queued, 1);
    assert!(handle.add_net(NET, NetConfig::new()).unwrap_err().is_full());
    assert_eq!(refreshed("a refusal").lane(Priority::Normal).refused, 1);
    driver.run_once(clock.now());
    waiting.wait().unwrap();
    assert_eq!(refreshed("a command that is done").nets(), 1);
    drop(handle.add_net(NET, NetConfig::new()).unwrap());
    assert_eq!(refreshed("another command").lane(Priority::Normal).queued, 1);
    driver.run_once(clock.now());
    assert_eq!(refreshed("an error").error_count("net_exists"), 1);
}

#[test]
fn a_reader_has_the_newest_report_and_never_goes_back() {
    let (mut driver, clock) = driver(mailbox::Config::new());
    let (metrics, handle) = (Metrics::for_driver(&driver), driver.handle());
    let mut reader = metrics.reader();
    let mut before = *reader.report();
    for net in 1..=20 {
        drop(handle.add_net(NetId(net), NetConfig::new()).unwrap());
        driver.run_once(clock.now());
        assert_eq!(*reader.report(), before, "no report was collected");
        let collected = metrics.collect();
        assert_eq!((*reader.report(), reader.report().nets()), (collected, net));
        assert!(reader.report().version() > before.version());
        before = collected;
    }
    let mut other = reader.clone();
    assert_eq!(other.report(), reader.report());
}

/// A sink may do anything: it collects, reads, sends commands and waits for them, and stops its collector.
#[test]
fn a_sink_may_use_everything() {
    let manager = manager();
    let (metrics, handle) = (Metrics::new(&manager), manager.handle());
    let collector: Arc<OnceLock<MetricsCollector>> = Arc::default();
    let (entered, results) = mpsc::channel();
    let (own, mine, sender) = (collector.clone(), metrics.clone(), handle.clone());
    let sink = move |report: &MetricsReport| {
        let applied = sender.add_net(NET, NetConfig::new()).unwrap().wait();
        let newer = mine.collect();
        assert!(newer.version() > report.version() && mine.report().version() >= newer.version());
        if let Some(own) = own.get() {
            own.stop();
        }
        entered.send(applied.is_ok()).unwrap();
    };
    assert!(collector.set(MetricsCollector::start("metrics", metrics, NEVER, sink).unwrap()).is_ok());
    collector.get().unwrap().collect_now();
    assert_eq!(results.recv_timeout(Duration::from_secs(60)), Ok(true));
    collector.get().unwrap().stop();
    // The thread has ended and dropped the sink.
    assert!(results.recv().is_err());
    assert!(manager.shutdown(Duration::from_secs(60)).is_clean());
}

#[test]
fn a_panicking_sink_does_not_end_its_collector() {
    let manager = manager();
    let (sender, reports) = mpsc::channel();
    let sender = Mutex::new(sender);
    let sink = move |report: &MetricsReport| {
        sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send(*report).unwrap();
        panic!("in the sink");
    };
    let collector = MetricsCollector::start("metrics", Metrics::new(&manager), NEVER, sink).unwrap();
    for _ in 0..2 {
        collector.collect_now();
        assert!(reports.recv_timeout(Duration::from_secs(60)).is_ok());
    }
    collector.stop();
    assert!(reports.recv().is_err());
}

/// The collector is dropped, started and stopped from several threads while it collects continuously.
#[test]
fn a_collector_may_be_stopped_at_any_time() {
    let manager = manager();
    let metrics = Metrics::new(&manager);
    for _ in 0..50 {
        let (sender, ended) = mpsc::channel::<()>();
        let sink = move |_: &MetricsReport| _ = &sender;
        let collector = MetricsCollector::start("metrics", metrics.clone(), Duration::ZERO, sink).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| collector.stop());
            scope.spawn(|| collector.collect_now());
            scope.spawn(|| metrics.collect());
            collector.stop();
        });
        collector.stop();
        assert!(ended.recv().is_err());

        let (sender, ended) = mpsc::channel::<()>();
        let sink = move |_: &MetricsReport| _ = &sender;
        drop(MetricsCollector::start("metrics", metrics.clone(), NEVER, sink).unwrap());
        assert!(ended.recv().is_err());
    }
}

/// Sessions without a manager.
#[cfg(feature = "sessions")]
#[test]
fn a_page_shows_the_figures_of_a_saver() {
    use crate::metrics::Page;
    use crate::sessions::Sessions;
    use crate::sessions::store::MemoryStore;

    let clock = ManualClock::new();
    let store = MemoryStore::<u32, u32>::new();
    let sessions: Sessions<u32, u32> = Sessions::builder().clock(clock.clone()).store(store).build();
    let saver = sessions.saver().unwrap();
    for number in 1..=3 {
        assert!(sessions.try_begin(&number).unwrap().update(|_| number).is_ok());
    }
    assert!(saver.flush(&1, Duration::from_secs(60)).is_ok());
    clock.advance(Duration::from_millis(1500));
    let page = Page::new().add_saver("a", saver.stats()).add_saver("b", Default::default()).to_string();
    for line in [
        "# TYPE switchboard_saver_saves_total counter",
        "switchboard_saver_saves_total{registry=\"a\"} 1",
        "switchboard_saver_saves_total{registry=\"b\"} 0",
        "switchboard_saver_discarded_total{registry=\"a\"} 0",
        "switchboard_saver_failures_total{registry=\"a\"} 0",
        "# TYPE switchboard_saver_dirty gauge",
        "switchboard_saver_dirty{registry=\"a\"} 2",
        "# TYPE switchboard_saver_oldest_dirty_seconds gauge",
        "switchboard_saver_oldest_dirty_seconds{registry=\"a\"} 1.5",
        "switchboard_saver_oldest_dirty_seconds{registry=\"b\"} 0",
    ] {
        assert!(page.lines().any(|other| other == line), "{line} in\n{page}");
    }
    assert!(!page.contains("switchboard_links") && !page.contains("switchboard_sessions"));
}
