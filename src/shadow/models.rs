//! Models of the shadow: callers, the serving side, a full queue, stopping.
//!
//! Run under shuttle (and on plain threads); too large for loom.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests fail by panicking.
#![cfg(not(switchboard_loom))]

use std::num::NonZeroUsize;
use std::time::Duration;

use super::answer::{Answer, Reply, StoreError};
use super::side::Side;
use super::{LinkStore, Operation, Shadow, Value, from_fn};
use crate::link::addr::NodeAddr;
use crate::link::net::{NetConfig, NetId};
use crate::manager::model::command::Outcome;
use crate::shadow::builder::Builder;
use crate::sync::model::{model, spawn};
use crate::sync::{Mutex, StdArc, lock_order};

/// The nets that a side was told to add, in order.
type Log = StdArc<Mutex<Vec<u64>>>;

fn log() -> Log {
    StdArc::new(Mutex::new(&lock_order::TEST_AUXILIARY, Vec::new()))
}

fn performed(log: &Log) -> Vec<u64> {
    log.lock().clone()
}

/// A store whose answers identify its side.
fn probe(log: &Log, says: Outcome) -> impl LinkStore<Addr = NodeAddr> + use<> {
    let log = log.clone();
    from_fn(move |operation| {
        let Operation::AddNet { net, .. } = operation else { panic!("unexpected operation") };
        log.lock().push(net.0);
        let reply: Reply<Value<NodeAddr>> = Ok(Answer::new(Value::Outcome(says)));
        reply
    })
}

fn shadow(
    logs: &[Log; 2],
    queue: usize,
) -> Builder<impl LinkStore<Addr = NodeAddr> + use<>, impl LinkStore<Addr = NodeAddr> + use<>> {
    let [a, b] = logs;
    let builder = Shadow::builder(probe(a, Outcome::Done), probe(b, Outcome::Unchanged));
    builder.deadline(None).queue(NonZeroUsize::new(queue).unwrap())
}

fn side_of(outcome: Outcome) -> Side {
    if outcome == Outcome::Done { Side::A } else { Side::B }
}

/// Asserts that both sides performed their common operations in the same order, and that neither performed
/// one twice.
fn assert_one_order(a: &[u64], b: &[u64]) {
    let common = |of: &[u64], other: &[u64]| -> Vec<u64> {
        of.iter().copied().filter(|net| other.contains(net)).collect()
    };
    assert_eq!(common(a, b), common(b, a), "two orders");
    for log in [a, b] {
        let mut unique = log.to_vec();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), log.len(), "performed twice: {log:?}");
    }
}

/// Each caller gets the answer of a side that served during the call, every accepted operation reaches both
/// sides once, and stopping terminates.
#[test]
fn two_callers_a_flag_and_an_end() {
    model(|| {
        let logs = [log(), log()];
        let shadow = StdArc::new(shadow(&logs, 4).spawn().unwrap());
        let callers: Vec<_> = [1, 11]
            .into_iter()
            .map(|first| {
                let shadow = shadow.clone();
                spawn(move || {
                    for net in [NetId(first), NetId(first + 1)] {
                        let before = shadow.serving();
                        let reply = shadow.add_net(net, NetConfig::new());
                        let after = shadow.serving();
                        match reply {
                            // The serving side changes once, so it was one of the two during the call.
                            Ok(answer) => {
                                let side = side_of(answer.value);
                                assert!(side == before || side == after, "{side:?}: {before:?}..{after:?}");
                            }
                            Err(error) => assert_eq!(error, StoreError::Closed),
                        }
                    }
                })
            })
            .collect();
        let flag = {
            let shadow = shadow.clone();
            spawn(move || shadow.serve(Side::B))
        };
        assert!(flag.join().unwrap() == Side::A);
        let report = shadow.stop(Duration::MAX);
        assert!(callers.into_iter().all(|caller| caller.join().is_ok()));
        assert!(report.is_clean(), "{report:?}");
        let stats = report.stats;
        assert_eq!((stats.a.performed, stats.b.performed), (stats.accepted, stats.accepted));
        assert_eq!((stats.compared, stats.mismatches), (stats.accepted, stats.accepted));
        let [a, b] = logs.each_ref().map(performed);
        assert_eq!(a, b, "one order");
        assert_eq!(a.len() as u64, stats.accepted);
    });
}

/// With room for one operation, each side performs every accepted operation once or counts it as skipped, and
/// both sides perform their common operations in the same order.
#[test]
fn a_full_queue_skips_and_counts() {
    model(|| {
        let logs = [log(), log()];
        let shadow = StdArc::new(shadow(&logs, 1).spawn().unwrap());
        let callers: Vec<_> = [1, 11]
            .into_iter()
            .map(|first| {
                let shadow = shadow.clone();
                spawn(move || {
                    for net in [NetId(first), NetId(first + 1)] {
                        let reply = shadow.add_net(net, NetConfig::new());
                        assert!(matches!(reply, Ok(_) | Err(StoreError::Closed)), "{reply:?}");
                    }
                })
            })
            .collect();
        shadow.serve(Side::B);
        assert!(callers.into_iter().all(|caller| caller.join().is_ok()));
        let report = shadow.stop(Duration::MAX);
        assert_eq!(report.left_behind, 0);
        let stats = report.stats;
        assert_eq!((stats.accepted, stats.refused), (4, 0));
        for (side, log) in [(&stats.a, &logs[0]), (&stats.b, &logs[1])] {
            assert_eq!(side.performed + side.skipped, stats.accepted);
            assert_eq!(log.lock().len() as u64, side.performed);
            assert_eq!(side.diverged, side.skipped > 0);
        }
        assert!(stats.a.skipped == 0 || stats.b.skipped == 0, "at most one side skips");
        let [a, b] = logs.each_ref().map(performed);
        assert_one_order(&a, &b);
    });
}

/// Three callers wait for the same room, one after another, without a deadline; none is forgotten.
#[test]
fn every_caller_that_waits_for_room_gets_it() {
    model(|| {
        let logs = [log(), log()];
        let shadow = StdArc::new(shadow(&logs, 1).spawn().unwrap());
        let callers: Vec<_> = [1, 11, 21]
            .into_iter()
            .map(|net| {
                let shadow = shadow.clone();
                spawn(move || assert!(shadow.add_net(NetId(net), NetConfig::new()).is_ok()))
            })
            .collect();
        assert!(callers.into_iter().all(|caller| caller.join().is_ok()));
        let stats = shadow.stop(Duration::MAX).stats;
        assert_eq!((stats.accepted, stats.refused, stats.a.performed), (3, 0, 3));
    });
}

/// Stopping with a timeout of zero: callers get an answer or `Closed`, and every thread ends.
#[test]
fn an_end_that_cannot_wait_leaves_no_caller_behind() {
    model(|| {
        let logs = [log(), log()];
        let shadow = StdArc::new(shadow(&logs, 2).spawn().unwrap());
        let callers: Vec<_> = [1, 11]
            .into_iter()
            .map(|first| {
                let shadow = shadow.clone();
                spawn(move || {
                    let reply = shadow.add_net(NetId(first), NetConfig::new());
                    assert!(matches!(reply, Ok(_) | Err(StoreError::Closed)), "{reply:?}");
                })
            })
            .collect();
        let _ = shadow.stop(Duration::ZERO);
        assert!(callers.into_iter().all(|caller| caller.join().is_ok()));
        let [a, b] = logs.each_ref().map(performed);
        assert_one_order(&a, &b);
    });
}

/// After a resynchronization of a side that missed operations, both sides have the same state.
#[test]
fn a_side_that_is_resynchronized_has_what_the_other_one_has() {
    model(|| {
        let logs = [log(), log()];
        let shadow = StdArc::new(shadow(&logs, 2).spawn().unwrap());
        let caller = {
            let shadow = shadow.clone();
            spawn(move || {
                for net in 1..=3 {
                    assert!(shadow.add_net(NetId(net), NetConfig::new()).is_ok());
                }
            })
        };
        let (from, to) = (logs[0].clone(), logs[1].clone());
        let export = move |_: &_| performed(&from);
        // A queue may be full, in which case nothing happens.
        let copied = shadow.resync_b(export, move |_, nets: Vec<u64>| *to.lock() = nets).is_ok();
        assert!(caller.join().is_ok());
        let stats = shadow.stop(Duration::MAX).stats;
        assert!(!stats.a.diverged && stats.a.skipped == 0);
        if copied && !stats.b.diverged {
            let [a, b] = logs.each_ref().map(performed);
            assert_eq!(a, b);
        }
    });
}

/// A side is lagging only while it has jobs, regardless of how late its caller was.
#[test]
fn a_side_that_has_caught_up_is_not_lagging() {
    model(|| {
        let logs = [log(), log()];
        let shadow = StdArc::new(shadow(&logs, 4).deadline(Duration::from_secs(60)).spawn().unwrap());
        let caller = {
            let shadow = shadow.clone();
            spawn(move || {
                let reply = shadow.add_net(NetId(1), NetConfig::new());
                assert!(matches!(reply, Ok(_) | Err(StoreError::TimedOut)), "{reply:?}");
            })
        };
        assert!(caller.join().is_ok());
        // Without a bound, because every deadline has passed under the checkers.
        assert!(shadow.wait_idle(Duration::MAX));
        let stats = shadow.stats();
        assert!(!stats.a.lagging && !stats.b.lagging, "{stats:?}");
        let _ = shadow.stop(Duration::MAX);
    });
}
