//! Changes of a manager: the diff of two versions, and the feed of them.
#![cfg(feature = "manager")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // A panic fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use switchboard::clock::{Clock, ManualClock};
use switchboard::link::{ClusterKind, UserData};
use switchboard::manager::{LinksDiff, LinksEvent};
use switchboard::table::{Change, WaitError};
use switchboard::{
    ClusterId, Config, Direction, Driver, Handle, Link, LinkManager, LinksSnapshot, NetConfig, NetId,
    NodeAddr, StreamId,
};

const NET: NetId = NetId(1);
const OTHER: NetId = NetId(2);
const A: NodeAddr = NodeAddr(1);
const B: NodeAddr = NodeAddr(2);

struct Bench {
    clock: ManualClock,
    driver: Driver,
    handle: Handle,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new();
        let driver = LinkManager::builder(Config::default()).clock(clock.clone()).build().unwrap();
        let handle = driver.handle();
        let mut bench = Self { clock, driver, handle };
        bench.handle.add_net(NET, NetConfig::new().min_links(0)).unwrap();
        bench.handle.set_net_active(NET, true).unwrap();
        bench.turn();
        bench
    }

    /// Publishes one version at most.
    fn turn(&mut self) -> LinksSnapshot {
        let _ = self.driver.run_once(self.clock.now());
        self.driver.links().snapshot()
    }
}

/// A change by its kind: `+`, `~` or `-`.
fn kind<K: Copy, T>(change: Change<'_, K, T>) -> (char, K) {
    match change {
        Change::Inserted { key, .. } => ('+', *key),
        Change::Updated { key, .. } => ('~', *key),
        Change::Removed { key, .. } => ('-', *key),
    }
}

fn links(diff: &LinksDiff<NodeAddr>) -> BTreeSet<(char, NodeAddr)> {
    diff.links().map(kind).collect()
}

fn nets(diff: &LinksDiff<NodeAddr>) -> Vec<(char, NetId)> {
    diff.nets().map(kind).collect()
}

fn clusters(diff: &LinksDiff<NodeAddr>) -> Vec<(char, ClusterId)> {
    diff.clusters().map(kind).collect()
}

#[test]
fn a_diff_names_the_links_nets_and_clusters_that_changed_and_no_others() {
    let mut bench = Bench::new();
    let start = bench.turn();
    assert!(start.diff(&start).is_empty());

    // A link that a net wants: the link, and the ignore list of the net.
    bench.handle.create_link(A, NET).unwrap();
    let created = bench.turn();
    let diff = created.diff(&start);
    assert_eq!((links(&diff), nets(&diff)), ([('+', A)].into(), vec![('~', NET)]));
    assert!(clusters(&diff).is_empty() && !diff.is_empty());

    // A user value: the link alone.
    bench.handle.set_user_data(A, UserData::new(7_u32)).unwrap();
    let named = bench.turn();
    let diff = named.diff(&created);
    assert_eq!((links(&diff), nets(&diff)), ([('~', A)].into(), vec![]));
    let values: Vec<_> = diff
        .links()
        .map(|change| match change {
            Change::Updated { old, new, .. } => (old.user_data::<u32>(), new.user_data::<u32>()),
            _ => panic!("an update"),
        })
        .collect();
    assert_eq!(values, [(None, Some(&7))]);

    // A member by the peer's stream: the link, and the count of the net.
    bench.handle.add_stream(A, StreamId(1), Direction::Downlink).unwrap();
    bench.handle.admit(NET, A, StreamId(1)).unwrap();
    let admitted = bench.turn();
    let diff = admitted.diff(&named);
    assert_eq!((links(&diff), nets(&diff)), ([('~', A)].into(), vec![('~', NET)]));

    // A cluster, and then its members.
    let cluster = ClusterId::new(NET, 1);
    bench.handle.associate_cluster(NET, cluster, ClusterKind::Embedded).unwrap();
    let associated = bench.turn();
    let diff = associated.diff(&admitted);
    assert_eq!((links(&diff), nets(&diff), clusters(&diff)), ([].into(), vec![], vec![('+', cluster)]));
    bench.handle.join_cluster(cluster, A).unwrap();
    let joined = bench.turn();
    let diff = joined.diff(&associated);
    assert_eq!(
        (links(&diff), nets(&diff), clusters(&diff)),
        ([('~', A)].into(), vec![], vec![('~', cluster)])
    );

    // Everything at once, and backwards.
    bench.handle.remove_net(NET).unwrap();
    bench.handle.add_net(OTHER, NetConfig::new()).unwrap();
    let last = bench.turn();
    let diff = last.diff(&joined);
    assert_eq!((nets(&diff), clusters(&diff)), (vec![('-', NET), ('+', OTHER)], vec![('-', cluster)]));
    let diff = joined.diff(&last);
    assert_eq!((nets(&diff), clusters(&diff)), (vec![('+', NET), ('-', OTHER)], vec![('+', cluster)]));
    let diff = last.diff(&start);
    assert_eq!((nets(&diff), clusters(&diff)), (vec![('-', NET), ('+', OTHER)], vec![]));
}

#[test]
#[should_panic(expected = "two versions of one manager")]
fn snapshots_of_two_managers_are_not_compared() {
    let (mut one, mut two) = (Bench::new(), Bench::new());
    let _ = one.turn().diff(&two.turn());
}

/// A copy of the links that follows a feed.
type Copied = BTreeMap<NodeAddr, Link<NodeAddr>>;

fn copy(snapshot: &LinksSnapshot) -> Copied {
    snapshot.links().map(|link| (*link.addr(), link.clone())).collect()
}

fn follow(copied: &mut Copied, diff: &LinksDiff<NodeAddr>) {
    for change in diff.links() {
        match change {
            Change::Inserted { key, new } => assert!(copied.insert(*key, new.clone()).is_none()),
            Change::Updated { key, old, new } => {
                assert_eq!(copied.insert(*key, new.clone()).as_ref(), Some(old));
            }
            Change::Removed { key, old } => assert_eq!(copied.remove(key).as_ref(), Some(old)),
        }
    }
}

/// Each event starts where the one before ended, and following the changes reproduces the newest version,
/// however rarely the feed is read, and also when it has lagged.
#[test]
fn following_a_feed_reproduces_the_newest_version() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut bench = Bench::new();
    let mut feed = bench.driver.links().subscribe();
    let (mut copied, mut at) = (copy(&feed.snapshot()), feed.version());
    let (mut changes, mut lagged) = (0, 0);
    for round in 0..400 {
        // Sometimes longer than the history.
        for _ in 0..if round % 50 == 49 { 400 } else { random.usize(1..4) } {
            let addr = NodeAddr(random.u64(1..40));
            let stream = StreamId(random.u64(1..400));
            match random.u8(0..4) {
                0 => drop(bench.handle.create_link(addr, NET).unwrap()),
                1 => drop(bench.handle.delete_link(addr).unwrap()),
                2 => drop(bench.handle.add_stream(addr, stream, Direction::Downlink).unwrap()),
                _ => drop(bench.handle.set_user_data(addr, UserData::new(round)).unwrap()),
            }
            bench.turn();
            bench.driver.effects().for_each(drop);
        }
        let newest = bench.driver.links().snapshot();
        let event = feed.try_next().unwrap();
        if matches!(event, LinksEvent::Lagged { .. }) {
            lagged += 1;
        } else {
            changes += 1;
        }
        let diff = event.into_diff();
        assert_eq!((diff.from().version(), diff.to().version()), (at, newest.version()));
        at = newest.version();
        follow(&mut copied, &diff);
        assert_eq!(copied, copy(&newest));
        assert!(feed.try_next().is_none());
    }
    assert!(changes > 300 && lagged > 5, "{changes} {lagged}");
}

#[test]
fn a_feed_resumes_from_a_snapshot_and_ends_with_the_manager() {
    let mut bench = Bench::new();
    let links = bench.driver.links();
    let first = links.subscribe();
    let start = links.snapshot();
    bench.handle.create_link(A, NET).unwrap();
    bench.turn();
    let mut second = links.subscribe_from(start.clone());
    drop(first);
    assert_eq!(second.version(), start.version());
    bench.handle.create_link(B, NET).unwrap();
    bench.turn();
    let Some(LinksEvent::Changes(diff)) = second.try_next() else { panic!("two versions") };
    assert_eq!(links_of(&diff), [A, B].into());
    assert_eq!(second.next_timeout(Duration::ZERO).unwrap_err(), WaitError::Timeout);

    // Without a feed nothing is recorded.
    drop(second);
    bench.handle.delete_link(A).unwrap();
    bench.turn();
    bench.handle.delete_link(B).unwrap();
    bench.turn();
    let mut late = links.subscribe_from(start.clone());
    assert!(
        matches!(late.try_next(), Some(LinksEvent::Lagged { from, .. }) if from.version() == start.version())
    );
    assert!(!late.is_closed());
    bench.driver.shutdown(bench.clock.now());
    drop(bench);
    assert_eq!(nets(&late.events().next().unwrap().into_diff()), [('-', NET)]);
    assert!(late.is_closed() && late.events().next().is_none());
    assert_eq!(late.next_timeout(Duration::MAX).unwrap_err(), WaitError::WriterClosed);
}

fn links_of(diff: &LinksDiff<NodeAddr>) -> BTreeSet<NodeAddr> {
    diff.links().map(|change| kind(change).1).collect()
}

/// Counts the wake-ups of a task.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that is dropped at each point loses no event, and leaves no waker.
#[test]
fn a_task_that_gives_up_its_waits_misses_no_event() {
    let mut bench = Bench::new();
    let mut feed = bench.driver.links().subscribe();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut context = Context::from_waker(&waker);
    let kept = || Arc::strong_count(&count) - 2;
    for node in 1..=3 {
        drop(feed.next());
        assert!(Pin::new(&mut feed.next()).poll(&mut context).is_pending());
        assert_eq!(kept(), 0, "dropped with the future");
        {
            let mut next = feed.next();
            assert!(Pin::new(&mut next).poll(&mut context).is_pending());
            assert_eq!(kept(), 1);
            bench.handle.create_link(NodeAddr(node), NET).unwrap();
            bench.turn();
            assert_eq!((count.0.swap(0, Ordering::SeqCst), kept()), (1, 0));
        }
        let Poll::Ready(Some(LinksEvent::Changes(diff))) = Pin::new(&mut feed.next()).poll(&mut context)
        else {
            panic!("a version was published")
        };
        assert_eq!(links(&diff), [('+', NodeAddr(node))].into());
    }
    {
        let mut next = feed.next();
        assert!(Pin::new(&mut next).poll(&mut context).is_pending());
        bench.driver.shutdown(bench.clock.now());
        assert!(matches!(Pin::new(&mut next).poll(&mut context), Poll::Ready(Some(_))), "the empty version");
    }
    {
        let mut next = feed.next();
        assert!(Pin::new(&mut next).poll(&mut context).is_pending());
        count.0.store(0, Ordering::SeqCst);
        drop(bench);
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "woken by the end");
        assert!(matches!(Pin::new(&mut next).poll(&mut context), Poll::Ready(None)));
    }
    assert!(feed.is_closed() && kept() == 0);
}

#[cfg(feature = "stream")]
#[test]
fn a_feed_of_links_is_a_stream() {
    use futures_core::{FusedStream, Stream};

    let mut bench = Bench::new();
    let mut feed = std::pin::pin!(bench.driver.links().subscribe());
    let mut context = Context::from_waker(Waker::noop());
    assert!(feed.as_mut().poll_next(&mut context).is_pending() && !feed.is_terminated());
    bench.handle.create_link(A, NET).unwrap();
    bench.turn();
    assert!(matches!(feed.as_mut().poll_next(&mut context), Poll::Ready(Some(LinksEvent::Changes(_)))));
    bench.driver.shutdown(bench.clock.now());
    drop(bench);
    assert!(matches!(feed.as_mut().poll_next(&mut context), Poll::Ready(Some(_))));
    assert!(matches!(feed.as_mut().poll_next(&mut context), Poll::Ready(None)));
    assert!(feed.is_terminated());
}

#[cfg(feature = "stream")]
#[test]
fn a_stream_of_links_is_terminated_once_it_has_returned_none() {
    use futures_core::{FusedStream, Stream};

    let mut bench = Bench::new();
    let mut feed = std::pin::pin!(bench.driver.links().subscribe());
    let mut context = Context::from_waker(Waker::noop());
    bench.driver.shutdown(bench.clock.now());
    while let Poll::Ready(event) = feed.as_mut().poll_next(&mut context) {
        assert!(event.is_some());
    }
    drop(bench);
    assert!(feed.is_closed() && !feed.is_terminated());
    assert!(matches!(feed.as_mut().poll_next(&mut context), Poll::Ready(None)));
    assert!(feed.is_terminated());
}
