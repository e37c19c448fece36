//! Stores that give wrong answers, panic or hang; full queues and rings; a flag that changes.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use switchboard::clock::{Clock, ManualClock};
use switchboard::link::{DialId, ResolveId};
use switchboard::manager::MemberFilter;
use switchboard::shadow::{
    Answer, DriverStore, LinkStore, LockedLinks, Operation, Reply, ResyncError, Shadow, Side, StoreError,
    Value, from_fn,
};
use switchboard::{Direction, Effect, NetConfig, NetId, NodeAddr, Outcome, StreamId};

use super::LONG;
use super::world::{World, driver, locked};

const NET: NetId = NetId(1);
/// Long enough for a store that is not stuck, even on a busy machine.
const SHORT: Duration = Duration::from_secs(1);

type Op = Operation<NodeAddr>;

fn room(operations: usize) -> NonZeroUsize {
    NonZeroUsize::new(operations).unwrap()
}

/// A store that keeps a member when its stream has ended.
fn forgetful(clock: &ManualClock) -> impl LinkStore<Addr = NodeAddr> + use<> {
    let right = locked(clock);
    from_fn(move |operation: Op| match operation {
        Operation::DeleteStream { .. } => Ok(Answer::new(Value::Outcome(Outcome::Done))),
        operation => operation.perform_on(&right),
    })
}

/// A store that counts by adding and subtracting, and does not subtract when a stream ends.
fn drifting(clock: &ManualClock) -> impl LinkStore<Addr = NodeAddr> + use<> {
    let (right, count) = (locked(clock), AtomicUsize::new(0));
    from_fn(move |operation: Op| {
        let reply = operation.perform_on(&right);
        match (&operation, &reply) {
            (Operation::AccountLink { accepted: true, .. }, Ok(answer))
                if answer.value == Value::Outcome(Outcome::Done) =>
            {
                count.fetch_add(1, Ordering::Relaxed);
            }
            (Operation::Count { .. }, Ok(_)) => {
                return Ok(Answer::new(Value::Count(count.load(Ordering::Relaxed))));
            }
            _ => {}
        }
        reply
    })
}

fn open<S: LinkStore<Addr = NodeAddr>>(store: &S) {
    store.add_net(NET, NetConfig::new()).unwrap();
    store.set_net_active(NET, true).unwrap();
}

/// Adds a node, makes it a member, and removes it.
fn come_and_go<S: LinkStore<Addr = NodeAddr>>(store: &S, node: u64) {
    let (addr, stream) = (NodeAddr(node), StreamId(node));
    let _ = store.add_stream(&addr, stream, Direction::Downlink);
    let _ = store.admit(NET, &addr, stream);
    let _ = store.delete_stream(&addr, stream);
}

#[test]
fn the_first_difference_names_the_operation_both_answers_and_both_versions() {
    let clock = ManualClock::new();
    for forgets in [true, false] {
        let store = driver(&clock);
        let new = DriverStore::new(store, clock.clone(), LONG);
        let wrong: Arc<dyn LinkStore<Addr = NodeAddr>> =
            if forgets { Arc::new(forgetful(&clock)) } else { Arc::new(drifting(&clock)) };
        let shadow = Shadow::builder(wrong, new).spawn().unwrap();
        open(&shadow);
        come_and_go(&shadow, 7);
        assert_eq!(shadow.count(NET).unwrap().value, 1, "the old store serves, although it is wrong");
        assert!(shadow.wait_idle(LONG));
        let stats = shadow.stats();
        assert_eq!((stats.accepted, stats.compared, stats.mismatches), (6, 6, 1));
        let mismatch = shadow.take_mismatches().remove(0);
        assert_eq!(mismatch.operation, Operation::Count { net: NET });
        assert_eq!(mismatch.answer_a, Ok(Answer::new(Value::Count(1))));
        assert_eq!(mismatch.answer_b, Ok(Answer::new(Value::Count(0))));
        let version = shadow.b().count(NET).unwrap().version;
        assert!(version.is_some());
        assert_eq!(mismatch.versions, (None, version));
        let text = mismatch.to_string();
        assert!(
            text.contains("Count") && text.contains("A answered Count(1)") && text.contains("(version 5)"),
            "{text}"
        );
        assert!(shadow.stop(LONG).is_clean());
    }
}

#[test]
fn random_operations_find_a_wrong_store() {
    let clock = ManualClock::new();
    let shadow = Shadow::builder(locked(&clock), forgetful(&clock)).inline();
    let mut world = World::new(3);
    let mut operations = 0;
    while shadow.stats().mismatches == 0 {
        let operation = world.operation(clock.now(), shadow.a());
        let _ = shadow.perform(operation);
        operations += 1;
        assert!(operations < 2_000, "the wrong store was not found");
    }
    let mismatch = shadow.take_mismatches().remove(0);
    assert_ne!(mismatch.answer_a, mismatch.answer_b);
}

#[test]
fn a_side_that_panics_takes_nobody_down() {
    let clock = ManualClock::new();
    let right = locked(&clock);
    let panicking = from_fn(move |operation: Op| match operation {
        Operation::CreateLink { .. } => panic!("in the old manager"),
        operation => operation.perform_on(&right),
    });
    let shadow = Shadow::builder(panicking, locked(&clock)).spawn().unwrap();
    open(&shadow);
    let addr = NodeAddr(7);
    assert_eq!(shadow.create_link(&addr, NET), Err(StoreError::Panicked), "the old store serves");
    assert_eq!(shadow.serve(Side::B), Side::A);
    assert_eq!(shadow.create_link(&NodeAddr(8), NET), Ok(Answer::new(Outcome::Created)));
    assert_eq!(shadow.contains(&addr, NET).map(|answer| answer.value), Ok(true));
    assert!(shadow.wait_idle(LONG));
    let stats = shadow.stats();
    assert_eq!((stats.a.panics, stats.b.panics), (2, 0));
    // Both creations, and the query.
    assert_eq!(stats.mismatches, 3);
    let mismatches = shadow.take_mismatches();
    assert_eq!(mismatches[0].answer_a, Err(StoreError::Panicked));
    assert!(mismatches[0].to_string().contains("A failed: the store panicked"));
    let report = shadow.stop(LONG);
    assert!(!report.is_clean() && report.left_behind == 0);
}

/// A store that stops at `CreateLink` until it is released, and can be replaced.
struct Stuck {
    links: Mutex<LockedLinks>,
    gate: Mutex<mpsc::Receiver<()>>,
    entered: mpsc::Sender<()>,
}

/// Returns the store, its shared state, the signal that it is stuck, and the sender that releases it.
fn stuck(
    clock: &ManualClock,
) -> (impl LinkStore<Addr = NodeAddr> + use<>, Arc<Stuck>, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((go, gate), (entered, stuck)) = (mpsc::channel(), mpsc::channel());
    let shared = Arc::new(Stuck { links: Mutex::new(locked(clock)), gate: Mutex::new(gate), entered });
    let inner = shared.clone();
    let store = from_fn(move |operation: Op| {
        if let Operation::CreateLink { .. } = operation {
            inner.entered.send(()).unwrap();
            // Also returns when the sender is dropped.
            let _ = inner.gate.lock().unwrap().recv();
        }
        operation.perform_on(&*inner.links.lock().unwrap())
    });
    (store, shared, stuck, go)
}

#[test]
fn a_side_that_hangs_delays_one_caller_once_and_comes_back_by_a_resync() {
    let clock = ManualClock::new();
    let (old, inner, entered, go) = stuck(&clock);
    // The commands of the new store, from which the old one is rebuilt.
    let (right, told) = (locked(&clock), Arc::new(Mutex::new(Vec::new())));
    let journal = told.clone();
    let new = from_fn(move |operation: Op| {
        if operation.is_change() {
            journal.lock().unwrap().push(operation.clone());
        }
        operation.perform_on(&right)
    });
    let shadow = Shadow::builder(old, new).queue(room(2)).deadline(SHORT).spawn().unwrap();
    // The queues are short: the side that does not serve must not fall behind too early.
    assert_eq!(shadow.add_net(NET, NetConfig::new()).unwrap().value, Outcome::Done);
    assert!(shadow.wait_idle(LONG));
    assert_eq!(shadow.set_net_active(NET, true).unwrap().value, Outcome::Done);
    assert!(shadow.wait_idle(LONG));

    assert_eq!(shadow.create_link(&NodeAddr(7), NET), Ok(Answer::new(Outcome::Created)), "the other store");
    entered.recv().unwrap();
    let stats = shadow.stats();
    assert_eq!((stats.a.timeouts, stats.a.lagging, stats.fallbacks), (1, true, 1));
    // Two more operations fit into the queue without delaying a caller; the others are skipped.
    for node in 8..13 {
        come_and_go(&shadow, node);
    }
    assert_eq!(shadow.count(NET).unwrap().value, 0);
    let stats = shadow.stats();
    assert_eq!((stats.a.timeouts, stats.a.queue_len, stats.a.skipped), (1, 2, 14));
    assert!(stats.a.diverged && !stats.b.diverged && !stats.b.lagging);
    assert_eq!((stats.b.skipped, stats.fallbacks), (0, 17));
    assert_eq!(shadow.resync_b(|_| (), |_, ()| {}), Err(ResyncError::NoSource));
    assert_eq!(shadow.resync_a(|_| (), |_, ()| {}), Err(ResyncError::Full));

    // The released store performs its queued operations; their answers are compared late.
    go.send(()).unwrap();
    assert!(shadow.wait_idle(LONG));
    let stats = shadow.stats();
    assert_eq!((stats.a.performed, stats.compared, stats.mismatches), (5, 5, 0));
    assert!(stats.a.diverged && !stats.a.lagging);
    assert_eq!(shadow.needed(NET).unwrap().value, 3, "answered by the other store");
    assert_eq!(shadow.stats().a.performed, 5);

    // Rebuilt from the beginning, it equals the other store, and is compared again.
    let clock = clock.clone();
    let export = move |_: &_| told.lock().unwrap().clone();
    let import = move |_: &_, told: Vec<Op>| {
        let links = locked(&clock);
        for operation in told {
            let _ = operation.perform_on(&links);
        }
        *inner.links.lock().unwrap() = links;
    };
    assert_eq!(shadow.resync_a(export, import), Ok(()));
    drop(go);
    assert!(shadow.wait_idle(LONG));
    let (addr, stream) = (NodeAddr(20), StreamId(20));
    assert!(shadow.add_stream(&addr, stream, Direction::Downlink).is_ok());
    assert!(shadow.wait_idle(LONG));
    assert!(shadow.admit(NET, &addr, stream).is_ok());
    assert!(shadow.wait_idle(LONG));
    assert!(shadow.delete_stream(&addr, stream).is_ok());
    assert!(shadow.wait_idle(LONG));
    assert!(shadow.contains(&NodeAddr(7), NET).unwrap().value);
    assert!(shadow.wait_idle(LONG));
    let stats = shadow.stats();
    assert!(!stats.a.diverged);
    assert_eq!((stats.a.performed, stats.compared, stats.mismatches), (9, 9, 0), "{stats:?}");
    assert_eq!(stats.a.performed + stats.a.skipped, stats.accepted);
    assert!(shadow.stop(LONG).left_behind == 0);
}

#[test]
fn a_resync_that_panics_leaves_the_side_out() {
    let clock = ManualClock::new();
    let shadow = Shadow::builder(locked(&clock), locked(&clock)).spawn().unwrap();
    open(&shadow);
    assert_eq!(shadow.resync_a(|_| -> () { panic!("in the export") }, |_, ()| {}), Ok(()));
    assert!(shadow.wait_idle(LONG));
    assert!(shadow.stats().a.diverged && !shadow.stats().b.diverged);
    assert_eq!(shadow.needed(NET).unwrap().value, 3, "answered by the other side");
    assert_eq!(shadow.resync_a(|_| (), |_, ()| {}), Ok(()));
    assert_eq!(shadow.needed(NET).unwrap().value, 3);
    assert!(shadow.wait_idle(LONG) && !shadow.stats().a.diverged);
    assert_eq!((shadow.stats().a.skipped, shadow.stats().mismatches), (1, 0));
}

#[test]
fn stop_leaves_a_stuck_side_behind_and_says_so() {
    let clock = ManualClock::new();
    let (old, _inner, entered, go) = stuck(&clock);
    let shadow = Shadow::builder(old, locked(&clock)).deadline(SHORT).spawn().unwrap();
    open(&shadow);
    shadow.create_link(&NodeAddr(7), NET).unwrap();
    entered.recv().unwrap();
    shadow.needed(NET).unwrap();
    let report = shadow.stop(SHORT);
    assert_eq!((report.left_behind, report.stats.a.skipped, report.stats.b.performed), (1, 1, 4));
    assert_eq!(shadow.needed(NET), Err(StoreError::Closed));
    assert_eq!(shadow.resync_b(|_| (), |_, ()| {}), Err(ResyncError::Closed));
    assert_eq!(shadow.stop(SHORT).left_behind, 0, "no thread is left to join");
    drop(go);
}

#[test]
fn two_stuck_sides_refuse_what_they_have_no_room_for() {
    let clock = ManualClock::new();
    let (old, _, old_entered, go_old) = stuck(&clock);
    let (new, _, new_entered, go_new) = stuck(&clock);
    let shadow = Shadow::builder(old, new).queue(room(1)).deadline(SHORT).spawn().unwrap();
    assert_eq!(shadow.create_link(&NodeAddr(7), NET), Err(StoreError::TimedOut));
    old_entered.recv().unwrap();
    new_entered.recv().unwrap();
    assert_eq!(shadow.needed(NET), Err(StoreError::TimedOut));
    assert_eq!(shadow.needed(NET), Err(StoreError::Full));
    let stats = shadow.stats();
    assert_eq!((stats.accepted, stats.refused, stats.a.skipped, stats.b.skipped), (2, 1, 0, 0));
    drop((go_old, go_new));
    assert!(shadow.wait_idle(LONG));
    assert_eq!((shadow.stats().compared, shadow.stats().mismatches), (2, 0));
    assert!(shadow.stop(LONG).is_clean());
}

#[test]
fn each_caller_gets_the_side_that_the_flag_names_while_it_moves() {
    let clock = ManualClock::new();
    let new = DriverStore::new(driver(&clock), clock.clone(), LONG);
    let shadow = Shadow::builder(locked(&clock), new).deadline(None).spawn().unwrap();
    open(&shadow);
    let moved = AtomicU64::new(0);
    let judged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (shadow, moved, judged) = (&shadow, &moved, &judged);
        let callers: Vec<_> = (0..3_u64)
            .map(|caller| {
                scope.spawn(move || {
                    for _ in 0..400 {
                        let before = moved.load(Ordering::SeqCst);
                        let serving = shadow.serving();
                        come_and_go(shadow, 10 + caller);
                        let version = shadow.count(NET).unwrap().version;
                        if before % 2 == 0 && moved.load(Ordering::SeqCst) == before {
                            // Only the new store has versions.
                            assert_eq!(version.is_some(), serving == Side::B);
                            judged.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        let mut side = Side::A;
        while callers.iter().any(|caller| !caller.is_finished()) {
            side = side.other();
            // The number is odd while the flag changes.
            moved.fetch_add(1, Ordering::SeqCst);
            shadow.serve(side);
            moved.fetch_add(1, Ordering::SeqCst);
            // The flag stays until an answer has been checked against it.
            let before = judged.load(Ordering::Relaxed);
            while judged.load(Ordering::Relaxed) == before
                && callers.iter().any(|caller| !caller.is_finished())
            {
                std::thread::yield_now();
            }
        }
    });
    let report = shadow.stop(LONG);
    assert!(report.is_clean());
    assert_eq!((report.stats.mismatches, report.stats.compared), (0, report.stats.accepted));
    assert_eq!(report.stats.accepted, 2 + 3 * 400 * 4);
    assert_eq!(report.stats.fallbacks, 0);
    assert!(judged.into_inner() > 0, "no answer was checked");
}

#[test]
fn the_ring_drops_the_oldest_and_counts() {
    let clock = ManualClock::new();
    let shadow = Shadow::builder(locked(&clock), forgetful(&clock)).keep(room(2)).inline();
    open(&shadow);
    for node in 1..=5 {
        come_and_go(&shadow, node);
        shadow.get(&NodeAddr(node)).unwrap();
    }
    let stats = shadow.stats();
    assert_eq!((stats.mismatches, stats.mismatches_dropped), (5, 3));
    let kept: Vec<_> = shadow.take_mismatches().into_iter().map(|found| found.operation).collect();
    assert_eq!(kept, [Operation::Get { addr: NodeAddr(4) }, Operation::Get { addr: NodeAddr(5) }]);
    assert!(shadow.take_mismatches().is_empty());
}

#[test]
fn the_callback_may_use_the_shadow_and_panic() {
    let clock = ManualClock::new();
    type Pair = Shadow<LockedLinks, Arc<dyn LinkStore<Addr = NodeAddr>>>;
    let place: Arc<OnceLock<Pair>> = Arc::new(OnceLock::new());
    let entered = Arc::new(AtomicUsize::new(0));
    let (again, times) = (place.clone(), entered.clone());
    let wrong: Arc<dyn LinkStore<Addr = NodeAddr>> = Arc::new(forgetful(&clock));
    let builder = Shadow::builder(locked(&clock), wrong).deadline(SHORT);
    let builder = builder.on_mismatch(move |mismatch| {
        let shadow = again.get().unwrap();
        assert_eq!(mismatch.operation, Operation::Count { net: NET });
        assert!(shadow.take_mismatches().is_empty() && shadow.stats().accepted > 0);
        // The worker of this side runs the callback: the other side answers, or no side does in time.
        assert!(matches!(shadow.needed(NET), Ok(_) | Err(StoreError::TimedOut)));
        shadow.serve(Side::B);
        times.fetch_add(1, Ordering::SeqCst);
        panic!("in the callback");
    });
    let shadow = place.get_or_init(|| builder.spawn().unwrap());
    open(shadow);
    come_and_go(shadow, 7);
    let _ = shadow.count(NET);
    assert!(shadow.wait_idle(LONG));
    let stats = shadow.stats();
    assert_eq!(entered.load(Ordering::SeqCst), 1);
    // The answers to the callback's own query may differ as well, which is reported to it.
    assert!(stats.callback_panics >= 1 && stats.mismatches >= 1);
    assert_eq!(shadow.take_mismatches()[0].operation, Operation::Count { net: NET });
    assert_eq!(shadow.stop(LONG).left_behind, 0);
}

#[test]
fn a_store_that_calls_the_shadow_back_in_line_gets_a_time_out() {
    type Pair = Shadow<Arc<dyn LinkStore<Addr = NodeAddr>>, LockedLinks>;
    let clock = ManualClock::new();
    let place: Arc<OnceLock<Pair>> = Arc::new(OnceLock::new());
    let (again, right) = (place.clone(), locked(&clock));
    let nosy: Arc<dyn LinkStore<Addr = NodeAddr>> = Arc::new(from_fn(move |operation: Op| {
        if operation.is_change() {
            assert_eq!(again.get().unwrap().needed(NET), Err(StoreError::TimedOut));
        }
        operation.perform_on(&right)
    }));
    let shadow = place.get_or_init(|| Shadow::builder(nosy, locked(&clock)).deadline(SHORT).inline());
    shadow.add_net(NET, NetConfig::new()).unwrap();
    assert!(shadow.wait_idle(LONG));
    let stats = shadow.stats();
    // The query was performed later, by both sides at the same point.
    assert_eq!((stats.accepted, stats.compared, stats.mismatches), (2, 2, 0));
}

#[test]
fn a_rule_decides_what_agrees() {
    let clock = ManualClock::new();
    let right = locked(&clock);
    // An old manager with error codes: -2 means refused.
    let coded = from_fn(move |operation: Op| match operation.perform_on(&right) {
        Err(StoreError::Refused(_)) => Err(StoreError::Code(-2)),
        reply => reply,
    });
    let agree = |_: &Op, a: &Reply<Value<NodeAddr>>, b: &Reply<Value<NodeAddr>>| match (a, b) {
        (Err(StoreError::Code(-2)), Err(StoreError::Refused(_))) => true,
        _ => a == b,
    };
    let shadow = Shadow::builder(coded, locked(&clock)).compare_with(agree).inline();
    open(&shadow);
    assert_eq!(shadow.add_net(NET, NetConfig::new()), Err(StoreError::Code(-2)));
    assert_eq!((shadow.stats().compared, shadow.stats().mismatches), (3, 0));
}

#[test]
fn a_dial_is_named_to_the_side_that_drives_only() {
    for driven_by in [Side::A, Side::B] {
        let seen: [Arc<Mutex<Vec<Op>>>; 2] = Default::default();
        let store = |log: &Arc<Mutex<Vec<Op>>>| {
            let log = log.clone();
            from_fn(move |operation: Op| {
                log.lock().unwrap().push(operation);
                Ok(Answer::new(Value::Outcome(Outcome::Stale)))
            })
        };
        let shadow = Shadow::builder(store(&seen[0]), store(&seen[1])).driven_by(driven_by).inline();
        let (addr, dial, resolve) = (NodeAddr(7), Some(DialId(9)), Some(ResolveId(8)));
        shadow.dial_connected(&addr, dial).unwrap();
        shadow.dial_failed(&addr, dial, true).unwrap();
        shadow.resolve_failed(&addr, resolve).unwrap();
        let named = |dial, resolve| {
            vec![
                Operation::DialConnected { addr, dial },
                Operation::DialFailed { addr, dial, last: true },
                Operation::ResolveFailed { addr, resolve },
            ]
        };
        let [a, b] = seen.map(|log| log.lock().unwrap().clone());
        let (drives, follows) = if driven_by == Side::A { (a, b) } else { (b, a) };
        assert_eq!((drives, follows), (named(dial, resolve), named(None, None)));
    }
}

#[test]
fn latencies_are_those_of_the_stores() {
    let clock = ManualClock::new();
    let slow = {
        let (clock, right) = (clock.clone(), locked(&clock));
        from_fn(move |operation: Op| {
            clock.advance(Duration::from_micros(50));
            operation.perform_on(&right)
        })
    };
    let shadow = Shadow::builder(slow, locked(&clock)).clock(clock.clone()).inline();
    for _ in 0..100 {
        shadow.needed(NET).unwrap();
    }
    let (a, b) = (shadow.stats().a.latency, shadow.stats().b.latency);
    assert_eq!((a.count, b.count, b.ns_max), (100, 100, 0));
    for ns in [a.ns_p50, a.ns_p99, a.ns_p999, a.ns_max] {
        assert!((49_500..=50_500).contains(&ns), "{ns}");
    }
}

#[test]
fn effects_of_locked_links_come_outside_its_locks() {
    let clock = ManualClock::new();
    let place: Arc<OnceLock<LockedLinks>> = Arc::new(OnceLock::new());
    let told = Arc::new(Mutex::new(Vec::new()));
    let (again, log) = (place.clone(), told.clone());
    let links = locked(&clock).on_effects(move |effects| {
        let links = again.get().unwrap();
        // One call takes the lock for reading, the other for writing.
        links.addrs(NET, MemberFilter::All).unwrap();
        let _ = links.add_net(NetId(2), NetConfig::new().min_links(0));
        log.lock().unwrap().extend(effects);
    });
    let links = place.get_or_init(|| links);
    links.add_net(NET, NetConfig::new().min_links(1)).unwrap();
    links.set_net_active(NET, true).unwrap();
    assert_eq!(*told.lock().unwrap(), [Effect::RequestLinks { net: NET, needed: 1 }]);
    assert!(!links.is_active(NetId(2)).unwrap().value);
    assert!(links.remove_net(NetId(2)).is_ok(), "the callback was entered");
}
